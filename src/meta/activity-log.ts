// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The set of 4 MiB extents that may have writes in flight. A write takes references on its extents before it is
 * submitted and gives them back when its outcome is settled everywhere. @spec io.md 8
 *
 * Requests that miss wait in order; what one turn brings goes into one transaction of up to 64 changes.
 */
import { assert } from '../assert.ts';
import type { Clock, Job } from '../host/clock.ts';
import { LowerFlag } from '../host/lower.ts';
import { alSectorOf, encodeAlTransaction, noExtent } from './al-transaction.ts';
import {
  alContextPerTransaction, alExtentsMax, alExtentsMin, alSize4kMin, alUpdatesPerTransaction, blockBytes,
} from './limits.ts';
import { AlSlots } from './al-slots.ts';
import type { AlMemory } from './al-slots.ts';
import type { Crc32c } from './crc32c.ts';
import type { MdLayout } from './layout.ts';
import type { MdIo, MdJob } from './md-io.ts';
import { WaiterRing } from './waiter-ring.ts';

const ENODEV = 19;

export interface ActivityLogHandler {
  /**
   * All extents of a request that had to wait are referenced and durable. errno ≠ 0: the transaction could not be
   * written; the references are held all the same and `alError` has been called before.
   */
  alActive(token: number, errno: number): void;
  /** Meta-data I/O error (io.md 7.4). */
  alError(errno: number): void;
}

/** What the activity log needs of the bitmap: BitmapWriter has it. */
export interface AlBitmap {
  /** Writes the changed pages of these extents; false: nothing to write and `job` is not told. */
  writeExtents(extents: Int32Array, count: number, job: MdJob): boolean;
}

export interface ActivityLogOptions {
  readonly io: MdIo;
  readonly layout: MdLayout;
  /** One page of the meta arena, only for transactions. */
  readonly bufferOffset: number;
  readonly clock: Clock;
  readonly crc32c: Crc32c;
  readonly bitmap: AlBitmap;
  readonly handler: ActivityLogHandler;
  /** al-extents, already limited by `alExtentsLimit`. */
  readonly extents: number;
  /** Most requests that can wait at once. */
  readonly waitersMax: number;
  /** Memory that outlives the engine (AlSlots.memoryWords); by default the heap. */
  readonly memory?: AlMemory;
  /** The memory is a dead engine's: go on with its extents and numbers. Never at an attach. */
  readonly adopt?: boolean;
}

/** Largest al-extents that a log of this size can hold: a full restatement must never overwrite itself. */
export function alExtentsLimit(alSize4k: number): number {
  assert(alSize4k >= alSize4kMin, 'activity log smaller than 8 blocks');
  return Math.min(alExtentsMax, (alSize4k - 1) * alContextPerTransaction);
}

export class ActivityLog {
  readonly slots: AlSlots;
  /** Transactions written, and how many had n changes. */
  writCnt = 0;
  readonly histogram = new Float64Array(alUpdatesPerTransaction + 1);
  misses = 0;
  hits = 0;
  starvingCount = 0;
  locked = 0;
  changed = 0;

  readonly #o: ActivityLogOptions;
  readonly #waiting: WaiterRing;
  readonly #staged: WaiterRing;
  readonly #evicted = new Int32Array(alUpdatesPerTransaction);
  #evictedCount = 0;
  #starving = false;
  #transaction = false;
  #updates = true;
  #frozen = false;
  /** Some extent became active while nothing was written. */
  #unlogged = false;
  #holds = 0;
  #abandoned = false;
  #ringLeft = 0;
  #ringJob: MdJob | null = null;
  #layout: MdLayout;
  readonly #pumpJob: Job;
  readonly #bitmapJob: MdJob;
  readonly #blockJob: MdJob;
  readonly #restated: MdJob = { done: () => {} };

  constructor(options: ActivityLogOptions) {
    assert(options.extents >= alExtentsMin && options.extents <= alExtentsLimit(options.layout.alSize4k),
      'al-extents out of range');
    this.#o = options;
    this.#layout = options.layout;
    this.slots = new AlSlots(options.extents, options.memory, options.adopt);
    this.#waiting = new WaiterRing(options.waitersMax);
    this.#staged = new WaiterRing(options.waitersMax);
    this.#pumpJob = { name: 'activity log', queued: false, run: () => this.#pump() };
    this.#bitmapJob = { done: (errno) => this.#bitmapWritten(errno) };
    this.#blockJob = { done: (errno) => this.#blockWritten(errno) };
  }

  /** Slots with a reference. */
  get used(): number {
    return this.slots.used;
  }

  /** Nothing referenced, waiting or being written. */
  get idle(): boolean {
    return this.slots.used === 0 && !this.#transaction && this.#waiting.size === 0 && this.#staged.size === 0;
  }

  get transactionInFlight(): boolean {
    return this.#transaction;
  }

  /**
   * al-updates. While off nothing is written and extents become active at once. Those are restated when it is on again,
   * before the next write goes on.
   */
  setUpdates(enabled: boolean): void {
    this.#updates = enabled;
    if (this.#stale) this.#queuePump();
  }

  /**
   * The disk is on its way out: bits are no longer set, so what is active stays so on the disk, and its next attach counts it
   * as out of sync. Extents become active at once, and nothing is written any more.
   */
  freeze(): void { this.#frozen = true; }

  /**
   * Takes a reference on each extent first..last. True: all are active, go on. False: `alActive(token)` follows.
   * token: Int32 >= 0, not waiting already.
   */
  begin(first: number, last: number, token: number): boolean {
    assert(first >= 0 && last >= first && last - first < alUpdatesPerTransaction, 'bad extent range');
    assert(token >= 0, 'bad token');
    if (!this.#starving && this.#holds === 0 && !this.#stale && this.slots.allCommitted(first, last)) {
      for (let extent = first; extent <= last; extent++) this.slots.get(this.slots.find(extent));
      this.hits += last - first + 1;
      return true;
    }
    if (this.#starving) this.starvingCount++;
    else if (this.#transaction) this.locked++;
    this.#waiting.push(token, first, last);
    this.#queuePump();
    return false;
  }

  /** Gives the references of first..last back. */
  complete(first: number, last: number): void {
    for (let extent = first; extent <= last; extent++) {
      const slot = this.slots.find(extent);
      assert(slot >= 0, 'completed an extent that is not in the set');
      if (this.slots.put(slot)) this.#starving = false;
    }
    if (this.#waiting.size > 0) this.#queuePump();
  }

  /** A waiting request gives up; what it holds is given back. False: it does not wait. */
  cancel(token: number): boolean {
    for (const ring of [this.#waiting, this.#staged]) {
      const at = ring.find(token);
      if (at < 0) continue;
      const first = ring.first[at];
      const held = ring.next[at] - 1;
      ring.drop(at);
      if (held >= first) this.complete(first, held);
      this.#queuePump();
      return true;
    }
    return false;
  }

  /** The disk goes: who waits goes on without it, nothing is written any more. Only with no transaction in flight. */
  abandon(): void {
    assert(!this.#transaction, 'activity log given up under a transaction');
    this.#abandoned = true;
    for (const ring of [this.#staged, this.#waiting]) this.#tellAll(ring, ENODEV);
  }

  /** Is any extent of first..last referenced? */
  isActive(first: number, last: number): boolean {
    for (let extent = first; extent <= last; extent++) {
      const slot = this.slots.find(extent);
      if (slot >= 0 && this.slots.refs[slot] > 0) return true;
    }
    return false;
  }

  /**
   * Drops all extents from memory: before AL suspension or another number of slots. Only when idle, and the caller
   * has written the changed bitmap pages before: the dropped extents no longer protect them.
   */
  shrink(): void {
    assert(this.idle, 'activity log shrunk while in use');
    this.slots.clear();
    this.#unlogged = false;
  }

  /** Everybody waits from now on, also for extents that are active, until `release`. The one transaction that runs ends. */
  hold(): void {
    this.#holds++;
  }

  release(): void {
    assert(this.#holds > 0, 'activity log released more often than held');
    this.#holds--;
    this.#queuePump();
  }

  /** The log moved or changed its stripes. Only with no transaction in flight; `rewriteRing` must follow. */
  relocate(layout: MdLayout): void {
    assert(!this.#transaction, 'activity log moved under a transaction');
    this.#layout = layout;
  }

  /** Writes al_size_4k consecutive transactions without changes, so that every block of the ring is of this layout. */
  rewriteRing(job: MdJob): void {
    this.#restate(this.#layout.alSize4k, job);
  }

  /** The log on disk lacks extents that are active. */
  get #stale(): boolean {
    return this.#updates && !this.#frozen && this.#unlogged;
  }

  /** So many transactions without changes: each says what a part of the slots holds. */
  #restate(transactions: number, job: MdJob): void {
    assert(!this.#transaction, 'ring rewritten under a transaction');
    this.#transaction = true;
    this.#ringLeft = transactions;
    this.#ringJob = job;
    this.#writeBlock();
  }

  #queuePump(): void {
    if (!this.#pumpJob.queued) this.#o.clock.atTurnEnd(this.#pumpJob);
  }

  #pump(): void {
    if (this.#holds > 0 || this.#abandoned) return;
    if (this.#stale && !this.#transaction) this.#restate(Math.ceil(this.slots.count / alContextPerTransaction), this.#restated);
    while (!this.#transaction && this.#waiting.size > 0) {
      const before = this.#staged.size;
      while (this.#waiting.size > 0 && this.#fill()) this.#stageHead();
      if (this.slots.pendingCount === 0) {
        if (this.#staged.size === before) return;
        this.#deliver(0);
      } else {
        this.#startTransaction();
      }
    }
  }

  /** Takes what the oldest waiting request still lacks; true: it has everything. */
  #fill(): boolean {
    const ring = this.#waiting;
    const at = ring.head;
    if (ring.token[at] < 0) return true;
    while (ring.next[at] <= ring.last[at]) {
      if (!this.#take(ring.next[at])) return false;
      ring.next[at]++;
    }
    return true;
  }

  #take(extent: number): boolean {
    const { slots } = this;
    const present = slots.find(extent);
    if (present >= 0) {
      this.hits++;
      slots.get(present);
      return true;
    }
    if (slots.pendingCount === alUpdatesPerTransaction) return false;
    const slot = slots.victim();
    if (slot < 0) {
      this.#starving = true;
      this.starvingCount++;
      return false;
    }
    this.misses++;
    const old = slots.replace(slot, extent);
    if (old !== noExtent) this.#evicted[this.#evictedCount++] = old;
    return true;
  }

  #stageHead(): void {
    const at = this.#waiting.head;
    if (this.#waiting.token[at] >= 0) {
      this.#staged.pushHeld(this.#waiting.token[at], this.#waiting.first[at], this.#waiting.last[at]);
    }
    this.#waiting.shift();
  }

  #startTransaction(): void {
    if (!this.#updates || this.#frozen) {
      this.#unlogged = true;
      this.#commit(0);
      return;
    }
    this.#transaction = true;
    const count = this.#evictedCount;
    if (count === 0 || !this.#o.bitmap.writeExtents(this.#evicted, count, this.#bitmapJob)) this.#writeBlock();
  }

  #bitmapWritten(errno: number): void {
    if (errno === 0) this.#writeBlock();
    else this.#failed(errno);
  }

  #writeBlock(): void {
    const { io, bufferOffset, crc32c } = this.#o;
    const { slots } = this;
    encodeAlTransaction(io.arena.view, io.arena.bytes, bufferOffset, slots.trNumber, slots.pending,
      slots.pendingCount, slots.wanted, slots.committed, slots.contextStart, crc32c);
    const flags = LowerFlag.preflush | LowerFlag.fua | LowerFlag.sync | LowerFlag.meta;
    io.write(flags, alSectorOf(this.#layout, slots.trNumber), blockBytes, bufferOffset, this.#blockJob);
  }

  #blockWritten(errno: number): void {
    if (errno !== 0) {
      this.#failed(errno);
      return;
    }
    this.writCnt++;
    this.histogram[this.slots.pendingCount]++;
    this.slots.advance();
    if (this.#ringJob === null) {
      this.#commit(0);
    } else if (--this.#ringLeft > 0) {
      this.slots.commit();
      this.#writeBlock();
    } else {
      this.#ringDone(0);
    }
  }

  /** The in-core commit happens all the same: the disk is Failed by then. @spec io.md 8.4 */
  #failed(errno: number): void {
    this.#o.handler.alError(errno);
    if (this.#ringJob !== null) this.#ringDone(errno);
    else this.#commit(errno);
  }

  #ringDone(errno: number): void {
    const job = this.#ringJob;
    assert(job !== null, 'no ring rewrite');
    this.#ringJob = null;
    this.#unlogged = false;
    this.#commit(errno);
    job.done(errno);
  }

  #commit(errno: number): void {
    this.changed += this.slots.pendingCount;
    if (this.slots.commit()) this.#starving = false;
    this.#evictedCount = 0;
    this.#transaction = false;
    this.#deliver(errno);
    if (this.#waiting.size > 0 || this.#stale) this.#queuePump();
  }

  #deliver(errno: number): void {
    this.#tellAll(this.#staged, errno);
  }

  #tellAll(ring: WaiterRing, errno: number): void {
    for (let left = ring.size; left > 0; left--) {
      const token = ring.token[ring.head];
      ring.shift();
      if (token >= 0) this.#o.handler.alActive(token, errno);
    }
  }
}
