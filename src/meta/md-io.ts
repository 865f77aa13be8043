// SPDX-License-Identifier: GPL-2.0-or-later
/** Meta-data I/O of one device: small reads and writes that answer to a job object made once. */
import { assert } from '../assert.ts';
import type { MetaArena } from '../host/arena.ts';
import type { LowerDevice } from '../host/lower.ts';
import { LowerFlag, LowerOp } from '../host/lower.ts';

/** Told when an operation is over; errno 0 or positive. Made once, used many times, one operation at a time. */
export interface MdJob {
  done(errno: number): void;
}

/**
 * The device's owner gives a range of cookies that nothing else on these LowerDevices uses, and passes every
 * lowerDone(cookie, errno) of the range to `lowerDone` here.
 *
 * A write with `preflush` says something about data (a cleared bit, an extent that is cold now), so data that were
 * written before must be stable before it is: where they lie on a disk of their own, that disk is flushed first.
 */
export class MdIo {
  readonly lower: LowerDevice;
  readonly arena: MetaArena;
  /** The disk that holds the data, null: the same one. */
  readonly #data: LowerDevice | null;
  readonly #cookieBase: number;
  readonly #jobs: (MdJob | null)[];
  /** Of a write that waits for the flush of the data's disk: flags, bytes, sector, offset; bytes 0: none waits. */
  readonly #flags: Int32Array;
  readonly #bytes: Int32Array;
  readonly #sector: Float64Array;
  readonly #offset: Float64Array;
  readonly #free: Int32Array;
  /** Operations count from 1: which one each cookie stands for. */
  readonly #operation: Float64Array;
  #operations = 0;
  #freeCount: number;

  constructor(lower: LowerDevice, arena: MetaArena, cookieBase: number, data: LowerDevice | null = null) {
    const cookieCount = MdIo.cookies;
    assert(cookieBase >= 0 && cookieBase + cookieCount <= 0x7fffffff, 'meta-data cookies are no Int32');
    this.lower = lower;
    this.arena = arena;
    this.#data = data;
    this.#flags = new Int32Array(cookieCount);
    this.#bytes = new Int32Array(cookieCount);
    this.#sector = new Float64Array(cookieCount);
    this.#offset = new Float64Array(cookieCount);
    this.#cookieBase = cookieBase;
    this.#jobs = new Array<MdJob | null>(cookieCount).fill(null);
    this.#free = Int32Array.from({ length: cookieCount }, (_, i) => cookieCount - 1 - i);
    this.#freeCount = cookieCount;
    this.#operation = new Float64Array(cookieCount);
  }

  /** Number of the oldest operation in flight, 0: none is. */
  oldest(): number {
    let oldest = 0;
    for (let i = 0; i < this.#jobs.length; i++) {
      if (this.#jobs[i] !== null && (oldest === 0 || this.#operation[i]! < oldest)) oldest = this.#operation[i]!;
    }
    return oldest;
  }

  /** Cookies that super block, activity log and bitmap together never exceed. */
  static readonly cookies = 64;

  get inFlight(): number {
    return this.#jobs.length - this.#freeCount;
  }

  read(sector: number, sizeBytes: number, offset: number, job: MdJob): void {
    this.#submit(LowerOp.read, 0, sector, sizeBytes, offset, this.#take(sector, sizeBytes, job));
  }

  write(flags: number, sector: number, sizeBytes: number, offset: number, job: MdJob): void {
    const index = this.#take(sector, sizeBytes, job);
    if (this.#data === null || (flags & LowerFlag.preflush) === 0) {
      this.#submit(LowerOp.write, flags, sector, sizeBytes, offset, index);
      return;
    }
    this.#flags[index] = flags;
    this.#bytes[index] = sizeBytes;
    this.#sector[index] = sector;
    this.#offset[index] = offset;
    this.#data.submit(LowerOp.flush, 0, 0, 0, null, 0, this.#cookieBase + index, -1);
  }

  /** True when the cookie is one of ours (and its job was told). */
  lowerDone(cookie: number, errno: number): boolean {
    const index = cookie - this.#cookieBase;
    if (index < 0 || index >= this.#jobs.length) return false;
    const job = this.#jobs[index];
    assert(job !== null, 'meta-data operation completed twice');
    const bytes = this.#bytes[index];
    this.#bytes[index] = 0;
    if (bytes > 0 && errno === 0) {
      this.#submit(LowerOp.write, this.#flags[index], this.#sector[index], bytes, this.#offset[index], index);
      return true;
    }
    this.#jobs[index] = null;
    this.#free[this.#freeCount++] = index;
    job.done(errno);
    return true;
  }

  #take(sector: number, sizeBytes: number, job: MdJob): number {
    assert(this.#freeCount > 0, 'too many meta-data operations in flight');
    assert(sizeBytes % 4096 === 0 && sector % 8 === 0, 'meta-data I/O is in aligned 4 KiB blocks');
    const index = this.#free[--this.#freeCount];
    this.#jobs[index] = job;
    this.#operation[index] = ++this.#operations;
    return index;
  }

  #submit(op: LowerOp, flags: number, sector: number, sizeBytes: number, offset: number, index: number): void {
    this.lower.submit(op, flags, sector, sizeBytes, this.arena, offset, this.#cookieBase + index, -1);
  }
}
