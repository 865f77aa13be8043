// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * One of two Primaries: its application, and what its reads may return. Each has a history of its own, in which the writes of
 * the other one appear as long as it can see them; so both may go on apart.
 */
import { BioFlag, BioOp } from '../../host/block.ts';
import { Disk, Repl } from '../../state/states.ts';
import type { KernelDevice } from '../block.ts';
import type { SimMember } from '../cluster.ts';
import type { SimRandom } from '../random.ts';
import { History } from '../stress/history.ts';
import type { Write } from '../stress/history.ts';
import { diskStateOf, replOf, viewOf } from '../stress/look.ts';
import type { Plan } from './plan.ts';

const SECTOR_BYTES = 512;
const BLOCK_SECTORS = 8;
const FLIGHT_MAX = 100;

/** A range in use. Who takes care does not touch it on the other side, as a cluster file system with its locks. */
interface Lock {
  readonly side: Side;
  readonly sector: number;
  readonly count: number;
  readonly writes: boolean;
  own: Write | null;
  /** The same write in the history of the other side, that may come to see it. */
  other: Write | null;
  /** Of `Pair`, when it began; -1: the two were connected. */
  readonly meetings: number;
}

/** What both sides share. */
export interface Pair {
  readonly random: SimRandom;
  readonly plan: Plan;
  readonly locks: Set<Lock>;
  /** Locks are not asked for. */
  careless: boolean;
  tag: number;
  writes: number;
  reads: number;
  /** The first thing that is wrong. */
  wrong: string;
  /** How often they were connected. */
  meetings: number;
  /** Either end takes the other for connected; or both. */
  connected(both: boolean): boolean;
}

export class Side {
  readonly member: SimMember;
  peer!: Side;
  history = new History();
  /** The device while an application has it open. */
  device: KernelDevice | null = null;
  /** Target of a resync: then it has what the other side has. */
  syncing = false;
  stopping = false;
  pending = 0;
  readonly #pair: Pair;
  #lives = 0;

  constructor(pair: Pair, member: SimMember) {
    this.#pair = pair;
    this.member = member;
  }

  get good(): boolean { return viewOf(this.member) !== null && diskStateOf(this.member) === Disk.upToDate; }

  opened(device: KernelDevice): void {
    this.look();
    this.device = device;
    this.stopping = false;
    this.#lives = this.member.node.lives;
  }

  /** Is a resync through? An application reads what the other side has from its beginning. */
  look(): void {
    const through = this.device ? this.#pair.connected(true) : this.good && replOf(this.member, this.peer.member) === Repl.established;
    if (this.syncing && through) this.takeOver();
  }

  /** What the other side knows holds here too. */
  takeOver(): void {
    this.syncing = false;
    const { history, writes } = this.peer.history.fork();
    this.history = history;
    for (const lock of this.#pair.locks) {
      if (lock.side === this.peer) lock.other = lock.own && writes.get(lock.own)!;
      else lock.own = lock.other && writes.get(lock.other)!;
    }
  }

  /** The machine lost power: what was not flushed may be gone here. What is under way may still land on the other side. */
  lost(): void {
    this.device = null;
    this.pending = 0;
    this.#lives = -1;
    this.history.powerLost();
  }

  /** The other side knows that it is gone: nothing of it lands any more. */
  buried(): void {
    const dead = [...this.#pair.locks].filter((lock) => lock.side === this);
    for (const lock of dead) this.#pair.locks.delete(lock);
    this.peer.history.never(dead.flatMap((lock) => lock.other ?? []));
  }

  step(): void {
    const { random } = this.#pair;
    if (this.pending >= FLIGHT_MAX) return;
    const kind = random.fraction();
    if (kind < 0.66) this.#write(BioOp.write);
    else if (kind < 0.69) this.#write(BioOp.discard);
    else if (kind < 0.72) this.#write(BioOp.writeZeroes);
    else if (kind < 0.75) this.#flush();
    else this.#read();
  }

  #flush(): void {
    const sound = this.good;
    const durable = this.history.flush();
    this.#submit(BioOp.flush, BioFlag.preflush, 0, 0, null, (errno) => { if (errno === 0 && sound && this.good) durable(); });
  }

  #write(op: BioOp): void {
    const pair = this.#pair;
    const { sector, count } = this.#range();
    if (this.#taken(sector, count, true)) return;
    const tag = op === BioOp.write ? ++pair.tag : 0;
    const fua = op === BioOp.write && pair.random.chance(0.05);
    const lock: Lock = { side: this, sector, count, writes: true, own: this.history.write(tag, sector, count),
      other: this.peer.history.write(tag, sector, count), meetings: pair.connected(false) ? -1 : pair.meetings };
    pair.locks.add(lock);
    pair.writes++;
    const sound = this.good;
    const tags = op === BioOp.write ? new Float64Array(count).fill(tag) : null;
    this.#submit(op, fua ? BioFlag.fua : 0, sector, count, tags, (errno) => {
      pair.locks.delete(lock);
      this.history.answered(lock.own!, errno, fua && sound && this.good);
      if (lock.other && lock.meetings === pair.meetings) this.peer.history.forget(lock.other, sector, count);
      // Else it may be there or not: who has lost the other one, or has a peer without good data, does not wait for it there.
      else if (lock.other && errno === 0 && pair.connected(true) && this.peer.good) this.peer.history.answered(lock.other, 0, false);
    });
  }

  #read(): void {
    const pair = this.#pair;
    const { sector, count } = this.#range();
    if (this.#taken(sector, count, false)) return;
    const lock: Lock = { side: this, sector, count, writes: false, own: null, other: null, meetings: -1 };
    pair.locks.add(lock);
    pair.reads++;
    const { history } = this;
    const read = history.read();
    const tags = new Float64Array(count).fill(-1);
    this.#submit(BioOp.read, 0, sector, count, tags, (errno) => {
      pair.locks.delete(lock);
      for (let i = 0; errno === 0 && history === this.history && !this.syncing && i < count; i++) {
        const why = read.check(sector + i, tags[i]!);
        if (why !== '') pair.wrong ||= `a read on ${this.member.node.name}: ${why}`;
      }
      read.end();
    });
  }

  #taken(sector: number, count: number, writes: boolean): boolean {
    const { careless, locks } = this.#pair;
    if (careless) return false;
    return [...locks].some((lock) => lock.side !== this && (writes || lock.writes)
      && sector < lock.sector + lock.count && lock.sector < sector + count);
  }

  #submit(op: BioOp, flags: number, sector: number, count: number, tags: Float64Array | null, done: (errno: number) => void): void {
    const { world } = this.member.node;
    const lives = this.#lives;
    this.pending++;
    this.device!.submit({ op, flags, sector, sizeBytes: count * SECTOR_BYTES, tags, done: (errno) => {
      if (this.#lives !== lives || this.member.node.lives !== lives) return;
      this.pending--;
      world.noteNumber(op * 64 + errno);
      done(errno);
    } });
  }

  #range(): { sector: number; count: number } {
    const { random, plan: { regionSectors } } = this.#pair;
    const size = random.fraction();
    const blocks = Math.min(1 + random.below(size < 0.02 ? 256 : size < 0.12 ? 32 : 4), Math.floor(regionSectors / BLOCK_SECTORS));
    const count = blocks * BLOCK_SECTORS;
    return { sector: random.below((regionSectors - count) / BLOCK_SECTORS + 1) * BLOCK_SECTORS, count };
  }
}
