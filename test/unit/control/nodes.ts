// SPDX-License-Identifier: GPL-2.0-or-later
/** A few nodes with one resource, each with an application, and short words for what tests ask. */
import { expect } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { applyActivityLog } from '../../../src/sim/apply-al.ts';
import { SimCluster } from '../../../src/sim/cluster.ts';
import type { ClusterOptions, SimMember } from '../../../src/sim/cluster.ts';
import type { Answer } from '../../../src/sim/drbdsetup.ts';
import type { Role } from '../../../src/state/states.ts';
import { Cstate, Disk, Repl } from '../../../src/state/states.ts';
import type { PeerDeviceRow } from '../../../src/state/types.ts';

export const BLOCK_SECTORS = 8;
const BLOCK_BYTES = 4096;

export class Nodes {
  readonly cluster: SimCluster;
  readonly members: readonly SimMember[];

  constructor(seed: number, options: Partial<ClusterOptions> = {}) {
    this.cluster = new SimCluster(seed, { nodes: 2, volumes: 1, diskSectors: 20_480, wireProtocol: 3, ...options });
    this.members = this.cluster.members;
  }

  at(id: number): SimMember { return this.members[id]!; }
  disk(id: number, vnr = 0): Disk { return this.at(id).resource.deviceRow(vnr).disk; }
  cstate(id: number, peer: number): Cstate { return this.at(id).resource.connectionRow(peer).cstate; }
  peer(id: number, peer: number, vnr = 0): PeerDeviceRow { return this.at(id).resource.peerDeviceRow(vnr, peer); }
  repl(id: number, peer: number, vnr = 0): Repl { return this.peer(id, peer, vnr).repl; }
  /** Blocks that are out of sync towards a peer. */
  bits(id: number, peer: number, vnr = 0): number {
    const { disk } = this.at(id).resource.devices.get(vnr)!;
    return disk ? disk.bitmap.weight[disk.bitmapIndex(peer)]! : 0;
  }
  /** First sector of a block of a backing disk. */
  tag(id: number, block: number, vnr = 0): number { return this.at(id).node.disks.get(`/dev/disk${vnr}`)!.tag(block * BLOCK_SECTORS); }
  kernel(id: number, vnr = 0) { return this.at(id).node.devices.get(this.cluster.minor(id, vnr))!; }
  logged(id: number, text: string): number { return this.at(id).node.log.lines.filter((line) => line.includes(text)).length; }

  until(what: string, holds: () => boolean, limitMs = 60_000): Promise<void> { return this.cluster.until(what, holds, limitMs); }
  async code(answer: Promise<Answer>): Promise<number> { return (await this.cluster.admin(answer)).code; }
  async ok(answer: Promise<Answer>): Promise<void> {
    const { code, text } = await this.cluster.admin(answer);
    expect([1, 2, 101], text).toContain(code);
  }

  async up(): Promise<void> {
    for (const { id } of this.members) await this.cluster.up(id);
    await this.until('all are connected', () => this.everyPair((id, peer) => this.repl(id, peer) >= Repl.established));
  }

  /** No packet between these two any more, or again. */
  cut(a: number, b: number, on = true): void {
    const { fabric } = this.cluster;
    const [from, to] = [this.at(a).node.address, this.at(b).node.address];
    fabric.cut(from, to, on);
    fabric.cut(to, from, on);
    if (on) fabric.resetBetween(from, to);
  }

  /** From everybody else. */
  isolate(id: number, on = true): void {
    for (const peer of this.members) if (peer.id !== id) this.cut(id, peer.id, on);
  }

  suspended(id: number): boolean { return this.at(id).resource.view.resource.suspended; }
  role(id: number): Role { return this.at(id).resource.view.resource.role; }
  helpers(id: number, name: string): number { return this.at(id).node.helper!.calls.filter(({ argv }) => argv[1] === name).length; }
  hasQuorum(id: number, vnr = 0): boolean { return this.at(id).resource.deviceRow(vnr).haveQuorum; }

  /** A write that may wait for ever: errno -1 until it ends. */
  pending(id: number, block: number, tag: number): { errno: number } {
    const result = { errno: -1 };
    this.submit(id, block, tag, (errno) => { result.errno = errno; });
    return result;
  }

  async pass(ms: number): Promise<void> {
    const end = this.cluster.world.nowMs + ms;
    this.cluster.world.at(ms, 'time passes', () => {});
    await this.until('time passes', () => this.cluster.world.nowMs >= end, 2 * ms + 1);
  }

  /** All connected and UpToDate, the first one Primary. */
  async upToDate(): Promise<void> {
    await this.up();
    await this.ok(this.at(0).setup.primary('r0', true));
    await this.settled();
  }

  inSync(): boolean {
    const good = (id: number): Disk => (this.diskless(id) ? Disk.diskless : Disk.upToDate);
    return this.everyPair((id, peer) => this.volumes(id).every((vnr) => this.disk(id, vnr) === good(id)
      && this.repl(id, peer, vnr) === Repl.established && this.peer(id, peer, vnr).pdsk === good(peer)
      && (this.diskless(peer) || this.bits(id, peer, vnr) === 0)));
  }

  diskless(id: number): boolean { return this.cluster.options.diskless?.includes(id) ?? false; }

  settled(): Promise<void> { return this.until('everything is in sync', () => this.inSync()); }

  everyPair(holds: (id: number, peer: number) => boolean): boolean {
    return this.members.every(({ id }) => this.members.every((peer) => peer.id === id || holds(id, peer.id)));
  }

  volumes(id: number): number[] { return [...this.at(id).resource.devices.keys()]; }

  async open(id: number, vnr = 0): Promise<number> {
    let errno = -1;
    this.kernel(id, vnr).open(true, (e) => { errno = e; });
    await this.until('open', () => errno >= 0);
    return errno;
  }

  /** As close(2): comes back when the last writes are safe. */
  async close(id: number, vnr = 0): Promise<void> {
    this.kernel(id, vnr).close();
    await this.until('close', () => this.at(id).resource.deviceRow(vnr).openCount === 0);
  }

  /** As drbdadm does it. */
  async attach(id: number, vnr = 0): Promise<void> {
    applyActivityLog(this.at(id).node.disks.get(`/dev/disk${vnr}`)!);
    await this.ok(this.at(id).setup.attach(this.cluster.minor(id, vnr), `/dev/disk${vnr}`, this.cluster.options.disk));
  }

  /** 0 or the errno. */
  async write(id: number, block: number, tag: number, blocks = 1, vnr = 0): Promise<number> {
    let errno = -1;
    this.submit(id, block, tag, (e) => { errno = e; }, blocks, vnr);
    await this.until(`write of block ${block}`, () => errno >= 0);
    return errno;
  }

  submit(id: number, block: number, tag: number, done: (errno: number) => void, blocks = 1, vnr = 0): void {
    const tags = new Float64Array(blocks * BLOCK_SECTORS).fill(tag);
    this.kernel(id, vnr).submit({ op: BioOp.write, flags: 0, sector: block * BLOCK_SECTORS, sizeBytes: blocks * BLOCK_BYTES, tags, done });
  }

  /** What an application reads there. */
  async read(id: number, block: number, vnr = 0): Promise<number> {
    let errno = -1;
    const tags = new Float64Array(BLOCK_SECTORS);
    this.kernel(id, vnr).submit({ op: BioOp.read, flags: 0, sector: block * BLOCK_SECTORS, sizeBytes: BLOCK_BYTES, tags,
      done: (e) => { errno = e; } });
    await this.until(`read of block ${block}`, () => errno >= 0);
    expect(errno).toBe(0);
    return tags[0]!;
  }

  expectSameDisks(vnr = 0): void {
    const [first, ...others] = this.members.filter(({ id }) => !this.diskless(id)).map(({ node }) => node.disks.get(`/dev/disk${vnr}`)!);
    const { capacity } = this.kernel(0, vnr);
    for (const other of others) {
      const differs = Array.from({ length: capacity }, (_, s) => s).filter((s) => !Object.is(other.tag(s), first!.tag(s)));
      expect(differs).toEqual([]);
    }
  }

  /** For a test that fails: what was logged, in order of time. */
  log(last = 100): string {
    const lines = this.members.flatMap(({ node }) => node.log.lines.slice(-last));
    return lines.sort((x, y) => parseFloat(x) - parseFloat(y)).join('\n');
  }
}
