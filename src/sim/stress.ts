// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Two nodes under load and trouble, from one seed. Safety first: everything may break, nothing acknowledged may be lost.
 * Then liveness: all is healed, and both must become UpToDate with equal disks.
 */
import { assert } from '../assert.ts';
import { BioOp } from '../host/block.ts';
import { Cstate, Disk, Repl } from '../state/states.ts';
import { SimCluster } from './cluster.ts';
import type { SimMember } from './cluster.ts';
import type { SimDisk } from './disk.ts';

const SECTORS_PER_BLOCK = 8;
const BLOCKS = 2000;
const HEAL_MS = 120_000;

export interface StressOptions {
  readonly seed: number;
  readonly writes: number;
  readonly troubles: readonly Trouble[];
  /** 1 A, 2 B, 3 C. */
  readonly wireProtocol: number;
}

export type Trouble = 'disconnect' | 'cut' | 'reset' | 'killPrimaryEngine' | 'killSecondaryEngine' | 'crashSecondary' | 'failOver';

/** What a read of a block may return. */
interface Block { accepted: Set<number>; inFlight: number }

export class Stress {
  readonly cluster: SimCluster;
  readonly options: StressOptions;
  readonly #blocks = Array.from({ length: BLOCKS }, (): Block => ({ accepted: new Set([0]), inFlight: 0 }));
  #primary: SimMember;
  #tag = 0;
  #pending = 0;
  readonly #history: string[] = [];

  constructor(options: StressOptions) {
    this.options = options;
    this.cluster = new SimCluster(options.seed, { nodes: 2, volumes: 1, diskSectors: 40_960, wireProtocol: options.wireProtocol,
      net: { pingTimeo: 30 } });
    this.#primary = this.cluster.members[0]!;
  }

  get history(): readonly string[] { return this.#history; }
  get #secondary(): SimMember { return this.cluster.members[1 - this.#primary.id]!; }
  get #random() { return this.cluster.world.random; }

  async run(): Promise<void> {
    await this.cluster.up(0);
    await this.cluster.up(1);
    await this.#until('connected', () => cstate(this.#primary) === Cstate.connected);
    await this.#ok(this.#primary.setup.primary('r0', true));
    await this.#until('first sync', () => this.#healthy());
    await this.#openDevice();
    const every = Math.max(1, Math.floor(this.options.writes / 12));
    for (let i = 0; i < this.options.writes; i++) {
      this.#write();
      if (this.options.troubles.length > 0 && i % every === every - 1) await this.#trouble();
      if (this.#random.chance(0.3)) await this.#pass(this.#random.between(0.1, 3));
    }
    await this.#heal();
    this.#compare();
  }

  #write(): void {
    const count = 1 + this.#random.below(this.#random.chance(0.1) ? 64 : 4);
    const first = this.#random.below(BLOCKS - count);
    const range = this.#blocks.slice(first, first + count);
    if (range.some((block) => block.inFlight > 0)) return;
    const tags = new Float64Array(count * SECTORS_PER_BLOCK).fill(++this.#tag);
    const tag = this.#tag;
    for (const block of range) {
      block.inFlight++;
      block.accepted.add(tag);
    }
    this.#pending++;
    const device = kernel(this.cluster, this.#primary);
    device.submit({ op: BioOp.write, flags: 0, sector: first * SECTORS_PER_BLOCK, sizeBytes: count * 4096, tags,
      done: (errno) => {
        this.#pending--;
        for (const block of range) {
          block.inFlight--;
          if (errno === 0) block.accepted = new Set([tag]);
        }
      } });
  }

  async #trouble(): Promise<void> {
    const { troubles } = this.options;
    const trouble = troubles[this.#random.below(troubles.length)]!;
    const [a, b] = [this.#primary, this.#secondary];
    this.#note(trouble);
    switch (trouble) {
      case 'disconnect':
        await this.cluster.admin(a.setup.disconnect('r0', b.id));
        await this.#load(20);
        await this.cluster.admin(a.setup.connect('r0', b.id));
        break;
      case 'cut': {
        const [from, to] = this.#random.chance(0.5) ? [a, b] : [b, a];
        const both = this.#random.chance(0.5);
        this.cluster.fabric.cut(from.node.address, to.node.address, true);
        if (both) this.cluster.fabric.cut(to.node.address, from.node.address, true);
        await this.#load(30);
        await this.#pass(this.#random.between(1, 20_000));
        this.cluster.fabric.cut(from.node.address, to.node.address, false);
        if (both) this.cluster.fabric.cut(to.node.address, from.node.address, false);
        break;
      }
      case 'reset':
        this.cluster.fabric.resetBetween(a.node.address, b.node.address);
        break;
      case 'killPrimaryEngine':
        a.node.killEngine();
        break;
      case 'killSecondaryEngine':
        b.node.killEngine();
        break;
      case 'crashSecondary':
        b.node.crash();
        await this.#load(20);
        await this.cluster.up(b.id);
        break;
      case 'failOver':
        await this.#failOver(a, b);
        break;
    }
  }

  /** Power failure of the Primary while the other one has everything. */
  async #failOver(a: SimMember, b: SimMember): Promise<void> {
    await this.#until('healthy before fail-over', () => this.#healthy());
    a.node.crash();
    // What was not acknowledged may be there or not.
    for (const block of this.#blocks) block.inFlight = 0;
    this.#pending = 0;
    this.#primary = b;
    await this.#until('the survivor knows', () => cstate(b) !== Cstate.connected);
    await this.#ok(b.setup.primary('r0'));
    await this.#openDevice();
    await this.#load(10);
    await this.cluster.up(a.id);
  }

  async #heal(): Promise<void> {
    this.#note('heal');
    for (const m of this.cluster.members) {
      if (!m.node.life) await this.cluster.up(m.id);
    }
    await this.#until('every write is answered', () => this.#pending === 0);
    for (const m of this.cluster.members) {
      if (cstate(m) === Cstate.standAlone) await this.cluster.admin(m.setup.connect('r0', 1 - m.id));
    }
    await this.#until('both are UpToDate', () => this.#healthy() && bits(this.#primary) === 0 && bits(this.#secondary) === 0);
  }

  #compare(): void {
    const [a, b] = this.cluster.members.map((m) => m.node.disks.get('/dev/disk0')!) as [SimDisk, SimDisk];
    for (let n = 0; n < BLOCKS; n++) {
      for (let s = 0; s < SECTORS_PER_BLOCK; s++) {
        const [x, y] = [a.tag(n * SECTORS_PER_BLOCK + s), b.tag(n * SECTORS_PER_BLOCK + s)];
        assert(x === y, `block ${n} is ${x} here and ${y} there`);
        assert(this.#blocks[n]!.accepted.has(x), `block ${n} is ${x}, accepted: ${[...this.#blocks[n]!.accepted].join(' ')}`);
      }
    }
  }

  async #load(writes: number): Promise<void> {
    for (let i = 0; i < writes; i++) {
      this.#write();
      await this.#pass(this.#random.between(0.1, 2));
    }
  }

  async #openDevice(): Promise<void> {
    let errno = -1;
    kernel(this.cluster, this.#primary).open(true, (e) => { errno = e; });
    await this.#until('open', () => errno >= 0);
    assert(errno === 0, `open: ${errno}`);
  }

  #healthy(): boolean {
    return this.cluster.members.every((m) => {
      const view = m.engine?.resources.get('r0')?.view;
      return view?.devices[0]?.disk === Disk.upToDate && view.peerDevices[0]?.pdsk === Disk.upToDate
        && view.peerDevices[0].repl === Repl.established;
    });
  }

  async #pass(ms: number): Promise<void> {
    const end = this.cluster.world.nowMs + ms;
    while (this.cluster.world.nowMs < end && this.cluster.world.step()) await Promise.resolve();
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    await this.cluster.until(what, holds, HEAL_MS);
  }

  async #ok(answer: ReturnType<SimMember['setup']['down']>): Promise<void> {
    const { code, text } = await this.cluster.admin(answer);
    assert(code > 0, `refused: ${code} ${text}`);
  }

  #note(text: string): void { this.#history.push(`${this.cluster.world.nowMs.toFixed(1)} ${text}`); }
}


const cstate = (m: SimMember): number => m.engine?.resources.get('r0')?.view.connections[0]?.cstate ?? -1;
const bits = (m: SimMember): number => m.resource.devices.get(0)!.disk!.bitmap.weight[0]!;
const kernel = (cluster: SimCluster, m: SimMember) => m.node.devices.get(cluster.minor(m.id, 0))!;

