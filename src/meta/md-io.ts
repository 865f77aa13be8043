// SPDX-License-Identifier: GPL-2.0-or-later
/** Meta-data I/O of one device: small reads and writes that answer to a job object made once. */
import { assert } from '../assert.ts';
import type { MetaArena } from '../host/arena.ts';
import type { LowerDevice } from '../host/lower.ts';
import { LowerOp } from '../host/lower.ts';

/** Told when an operation is over; errno 0 or positive. Made once, used many times, one operation at a time. */
export interface MdJob {
  done(errno: number): void;
}

/**
 * The device's owner gives a range of cookies that nothing else on that LowerDevice uses, and passes every
 * lowerDone(cookie, errno) of the range to `lowerDone` here.
 */
export class MdIo {
  readonly lower: LowerDevice;
  readonly arena: MetaArena;
  readonly #cookieBase: number;
  readonly #jobs: (MdJob | null)[];
  readonly #free: Int32Array;
  /** Operations count from 1: which one each cookie stands for. */
  readonly #operation: Float64Array;
  #operations = 0;
  #freeCount: number;

  constructor(lower: LowerDevice, arena: MetaArena, cookieBase: number, cookieCount: number = MdIo.cookies) {
    assert(cookieBase >= 0 && cookieBase + cookieCount <= 0x7fffffff, 'meta-data cookies are no Int32');
    this.lower = lower;
    this.arena = arena;
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
    this.#submit(LowerOp.read, 0, sector, sizeBytes, offset, job);
  }

  write(flags: number, sector: number, sizeBytes: number, offset: number, job: MdJob): void {
    this.#submit(LowerOp.write, flags, sector, sizeBytes, offset, job);
  }

  /** True when the cookie is one of ours (and its job was told). */
  lowerDone(cookie: number, errno: number): boolean {
    const index = cookie - this.#cookieBase;
    if (index < 0 || index >= this.#jobs.length) return false;
    const job = this.#jobs[index];
    assert(job !== null, 'meta-data operation completed twice');
    this.#jobs[index] = null;
    this.#free[this.#freeCount++] = index;
    job.done(errno);
    return true;
  }

  #submit(op: LowerOp, flags: number, sector: number, sizeBytes: number, offset: number, job: MdJob): void {
    assert(this.#freeCount > 0, 'too many meta-data operations in flight');
    assert(sizeBytes % 4096 === 0 && sector % 8 === 0, 'meta-data I/O is in aligned 4 KiB blocks');
    const index = this.#free[--this.#freeCount];
    this.#jobs[index] = job;
    this.#operation[index] = ++this.#operations;
    this.lower.submit(op, flags, sector, sizeBytes, this.arena, offset, this.#cookieBase + index, -1);
  }
}
