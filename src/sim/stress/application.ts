// SPDX-License-Identifier: GPL-2.0-or-later
/** An application that has a device open: bios of all kinds, overlapping at will, and reads that are checked as they come. */
import { BioFlag, BioOp } from '../../host/block.ts';
import { Disk } from '../../state/states.ts';
import type { KernelDevice } from '../block.ts';
import type { SimMember } from '../cluster.ts';
import type { SimRandom } from '../random.ts';
import type { Write } from './history.ts';
import type { Ledger } from './ledger.ts';
import type { Plan } from './plan.ts';
import { workloads } from './workloads.ts';
import type { Work } from './workloads.ts';

const SECTOR_BYTES = 512;
const BLOCK_SECTORS = 8;
const FLIGHT_MAX = 300;

/** What all applications of a run share. */
export class LoadState {
  readonly random: SimRandom;
  readonly plan: Plan;
  readonly ledger: Ledger;
  readonly work: Work;
  tag = 0;
  writes = 0;
  reads = 0;
  errors = 0;
  /** The first thing that is wrong. */
  wrong = '';
  constructor(random: SimRandom, plan: Plan, ledger: Ledger) {
    this.random = random;
    this.plan = plan;
    this.ledger = ledger;
    this.work = workloads[plan.workload];
  }
}

export class Application {
  readonly member: SimMember;
  readonly device: KernelDevice;
  readonly writes = new Set<Write>();
  /** Bios without an answer. */
  pending = 0;
  answered = 0;
  /** Submits nothing more. */
  stopping = false;
  /** Its machine is gone. */
  lost = false;
  readonly #state: LoadState;
  readonly #lives: number;
  readonly #nowMs: () => number;
  lastAnswerMs: number;

  constructor(state: LoadState, member: SimMember, device: KernelDevice) {
    this.#state = state;
    this.member = member;
    this.device = device;
    this.#lives = member.node.lives;
    this.#nowMs = () => member.node.world.nowMs;
    this.lastAnswerMs = this.#nowMs();
  }

  get alive(): boolean { return !this.lost && this.member.node.lives === this.#lives; }
  get stuckMs(): number { return this.pending > 0 ? this.#nowMs() - this.lastAnswerMs : 0; }
  get full(): boolean { return this.pending >= FLIGHT_MAX; }

  /** One bio. */
  step(): void {
    const { random, work } = this.#state;
    const kind = random.fraction();
    if (kind < work.write) return this.#write(BioOp.write);
    if (kind < work.write + work.discard) return this.#write(BioOp.discard);
    if (kind < work.write + work.discard + work.zeroes) return this.#write(BioOp.writeZeroes);
    if (kind < work.write + work.discard + work.zeroes + work.flush) return this.flush();
    this.#read();
  }

  flush(): void {
    const durable = this.#durable();
    this.#submit(BioOp.flush, BioFlag.preflush, 0, 0, null, (errno) => { if (errno === 0) durable(); });
  }

  /** May what is flushed here be called durable? Not while only a peer's disk is good: it flushes in its own time. */
  #sound(): boolean { return isGood(this.member); }

  #durable(): () => void {
    const sound = this.#sound();
    const durable = this.#state.ledger.history.flush();
    return () => { if (sound && this.#sound()) durable(); };
  }

  #write(op: BioOp): void {
    const { random, work, ledger } = this.#state;
    const { sector, count } = this.#range(op === BioOp.write && random.chance(work.odd));
    const fua = op === BioOp.write && random.chance(work.fua);
    const tag = op === BioOp.write ? ++this.#state.tag : 0;
    const write = ledger.history.write(tag, sector, count);
    this.writes.add(write);
    this.#state.writes++;
    const tags = op === BioOp.write ? new Float64Array(count).fill(tag) : null;
    const preflush = fua && random.chance(0.5);
    const durable = preflush ? this.#durable() : () => {};
    const sound = this.#sound();
    this.#submit(op, (fua ? BioFlag.fua : 0) | (preflush ? BioFlag.preflush : 0), sector, count, tags, (errno) => {
      if (errno === 0) durable();
      this.writes.delete(write);
      ledger.history.answered(write, errno, fua && sound && this.#sound());
    });
  }

  #read(): void {
    const state = this.#state;
    const { sector, count } = this.#range(false);
    const tags = new Float64Array(count).fill(-1);
    const read = state.ledger.history.read();
    const mayCheck = state.ledger.holder === this;
    state.reads++;
    this.#submit(BioOp.read, 0, sector, count, tags, (errno) => {
      for (let i = 0; errno === 0 && i < count; i++) {
        const why = mayCheck && state.ledger.holder === this ? read.check(sector + i, tags[i]!) : '';
        if (why !== '') state.wrong ||= `a read on ${this.member.node.name}: ${why}`;
      }
      read.end();
    });
  }

  #submit(op: BioOp, flags: number, sector: number, count: number, tags: Float64Array | null, done: (errno: number) => void): void {
    this.pending++;
    if (this.pending === 1) this.lastAnswerMs = this.#nowMs();
    this.device.submit({ op, flags, sector, sizeBytes: count * SECTOR_BYTES, tags, done: (errno) => {
      if (!this.alive) return;
      this.pending--;
      this.answered++;
      if (errno !== 0) this.#state.errors++;
      this.lastAnswerMs = this.#nowMs();
      this.member.node.world.noteNumber(op * 64 + errno);
      done(errno);
    } });
  }

  /** 4 KiB blocks unless `odd`. */
  #range(odd: boolean): { sector: number; count: number } {
    const { random, plan: { diskSectors, usedSectors, regions, regionSectors }, work: { blocks, spread } } = this.#state;
    const size = random.fraction();
    const most = size < 0.02 ? blocks[2] : size < 0.12 ? blocks[1] : blocks[0];
    const unit = odd ? 1 : BLOCK_SECTORS;
    const used = Math.max(BLOCK_SECTORS * 8, Math.floor(regionSectors * spread / BLOCK_SECTORS) * BLOCK_SECTORS);
    const count = Math.min(odd ? 1 + random.below(40) : (1 + random.below(most)) * BLOCK_SECTORS, used);
    const spacing = Math.floor(usedSectors * 0.95 / regions / BLOCK_SECTORS) * BLOCK_SECTORS;
    const { capacity } = this.device;
    // What a resize has added, up to the last sector.
    const added = usedSectors < diskSectors && capacity > usedSectors && random.chance(0.1);
    const region = added ? capacity - used : random.below(regions) * spacing;
    return { sector: region + random.below(Math.floor((used - count) / unit) + 1) * unit, count };
  }
}

/** Its own disk is UpToDate. */
export function isGood(member: SimMember): boolean {
  return member.engine?.resources.get('r0')?.view.devices[0]?.disk === Disk.upToDate && member.node.life !== null;
}
