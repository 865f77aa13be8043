// SPDX-License-Identifier: GPL-2.0-or-later
/** Two nodes with one resource, their events, and short words for what tests ask. */
import { expect } from 'vitest';
import type { NetConf, ResourceOpts } from '../../../src/genl/config-attrs.ts';
import { BioOp } from '../../../src/host/block.ts';
import { SimCluster } from '../../../src/sim/cluster.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';
import type { Answer } from '../../../src/sim/drbdsetup.ts';
import { Ss } from '../../../src/state/ss.ts';
import { Cstate, Disk, Repl } from '../../../src/state/states.ts';
import { eventLine } from './events.ts';

const BLOCK_SECTORS = 8;

export class Pair {
  readonly cluster: SimCluster;
  readonly a: SimMember;
  readonly b: SimMember;
  readonly events: readonly [string[], string[]] = [[], []];

  constructor(seed: number, volumes = 1, diskSectors = 20_480, resource: Partial<ResourceOpts> = {}, net: Partial<NetConf> = {}) {
    this.cluster = new SimCluster(seed, { nodes: 2, volumes, diskSectors, wireProtocol: 3, resource, net });
    [this.a, this.b] = this.cluster.members as [SimMember, SimMember];
    for (const { id, node } of this.cluster.members) {
      node.admin.listeners.push((message) => this.events[id as 0 | 1].push(eventLine(message)));
    }
  }

  /** Connected, both sides UpToDate, the first node Primary. */
  async upToDate(): Promise<void> {
    await this.cluster.up(0);
    await this.cluster.up(1);
    await this.until('connected', () => this.#all(({ resource: { view } }) =>
      view.peerDevices.every((pd) => pd.repl === Repl.established)));
    await this.ok(this.a.setup.primary('r0', true));
    await this.until('first sync', () => this.inSync());
    this.sent();
  }

  inSync(): boolean {
    return this.#all(({ resource: { view, worker, devices, io } }) => worker.idle
      && view.connections.every((c) => c.cstate === Cstate.connected)
      && view.devices.every((d) => d.disk === Disk.upToDate)
      && view.peerDevices.every((pd) => pd.repl === Repl.established && pd.pdsk === Disk.upToDate)
      && [...devices.values()].every((d) => d.disk!.bitmap.weight[0] === 0)
      && io.requests.writes === 0);
  }

  until(what: string, holds: () => boolean, limitMs = 60_000): Promise<void> { return this.cluster.until(what, holds, limitMs); }

  async answer(answer: Promise<Answer>): Promise<number> { return (await this.cluster.admin(answer)).code; }
  async ok(answer: Promise<Answer>): Promise<void> {
    const { code, text } = await this.cluster.admin(answer);
    expect([1, 2, 101], text).toContain(code);
  }

  /** As drbdsetup: again while the state is transient. */
  async patient(ask: () => Promise<Answer>): Promise<number> {
    for (;;) {
      const code = await this.answer(ask());
      if (code !== Ss.inTransientState) return code;
      await this.pause(62);
    }
  }

  /** Events of both nodes since the last call. */
  sent(): [a: string[], b: string[]] { return [this.events[0].splice(0), this.events[1].splice(0)]; }

  /** Time passes. */
  async pause(ms: number): Promise<void> {
    const end = this.cluster.world.nowMs + ms;
    this.cluster.world.at(ms, 'time passes', () => {});
    await this.until('time passes', () => this.cluster.world.nowMs >= end, 2 * ms + 1);
  }

  kernel(m: SimMember, volume = 0) { return m.node.devices.get(this.cluster.minor(m.id, volume))!; }
  bits(m: SimMember, volume = 0): number { return m.resource.devices.get(volume)!.disk!.bitmap.weight[0]!; }
  tag(m: SimMember, block: number, volume = 0): number { return m.node.disks.get(`/dev/disk${volume}`)!.tag(block * BLOCK_SECTORS); }

  async open(m: SimMember, write: boolean, volume = 0): Promise<number> {
    let errno = -1;
    this.kernel(m, volume).open(write, (e) => { errno = e; });
    await this.until('open', () => errno >= 0);
    return errno;
  }

  /** One block of 4 KiB; the result is the errno, later. */
  submit(m: SimMember, block: number, tag: number, volume = 0): { errno: number } {
    const result = { errno: -1 };
    this.kernel(m, volume).submit({ op: BioOp.write, flags: 0, sector: block * BLOCK_SECTORS, sizeBytes: 4096,
      tags: new Float64Array(BLOCK_SECTORS).fill(tag), done: (errno) => { result.errno = errno; } });
    return result;
  }

  async write(m: SimMember, block: number, tag: number, volume = 0): Promise<void> {
    const result = this.submit(m, block, tag, volume);
    await this.until(`write of block ${block}`, () => result.errno >= 0);
    expect(result.errno).toBe(0);
  }

  /** First sector that differs between the disks, -1 when none does. */
  difference(volume = 0): number {
    const diskOf = (m: SimMember) => m.node.disks.get(`/dev/disk${volume}`)!;
    const a = diskOf(this.a);
    const b = diskOf(this.b);
    for (let s = 0; s < this.kernel(this.a, volume).capacity; s++) if (a.tag(s) !== b.tag(s)) return s;
    return -1;
  }

  /** The log of both nodes in order of time. */
  log(): string {
    const lines = this.cluster.members.flatMap((m) => m.node.log.lines.slice(-80));
    return lines.sort((x, y) => parseFloat(x) - parseFloat(y)).join('\n');
  }

  #all(holds: (m: SimMember) => boolean): boolean {
    return this.cluster.members.every((m) => m.engine?.resources.has('r0') && holds(m));
  }
}

/** Writes that never stop: `depth` in flight, blocks and tags all different. */
export class Writers {
  readonly #pair: Pair;
  readonly #member: SimMember;
  readonly errors: number[] = [];
  done = 0;
  stopped = false;
  #running = 0;
  #next = 1;

  constructor(pair: Pair, member: SimMember, depth: number) {
    this.#pair = pair;
    this.#member = member;
    for (let i = 0; i < depth; i++) this.#loop();
  }

  get idle(): boolean { return this.#running === 0; }

  #loop(): void {
    if (this.stopped) return;
    const tag = this.#next++;
    const block = (tag * 37) % 1200;
    this.#running++;
    const result = this.#pair.submit(this.#member, block, tag);
    const poll = (): void => {
      if (result.errno < 0) {
        this.#pair.cluster.world.at(0.5, 'writer looks', poll);
        return;
      }
      this.#running--;
      this.done++;
      if (result.errno > 0) this.errors.push(result.errno);
      this.#loop();
    };
    this.#pair.cluster.world.at(0.5, 'writer looks', poll);
  }
}
