// SPDX-License-Identifier: GPL-2.0-or-later
/** A clock, an arena and a disk that the test drives step by step. */
import type { MetaArena } from '../../../src/host/arena.ts';
import type { Clock, Job, Timer } from '../../../src/host/clock.ts';
import { LowerFlag, LowerOp } from '../../../src/host/lower.ts';
import type { LowerDevice, LowerLimits } from '../../../src/host/lower.ts';

export class FakeClock implements Clock {
  time = 0;
  #timers: { at: number; fire: () => void }[] = [];
  #turnEnd: Job[] = [];
  #soon: Job[] = [];

  nowMs(): number { return this.time; }
  wallSeconds(): number { return 0; }

  timer(name: string, delayMs: number, fire: () => void): Timer {
    const entry = { at: this.time + delayMs, fire };
    this.#timers.push(entry);
    return { name, cancel: () => { this.#timers = this.#timers.filter((other) => other !== entry); } };
  }

  atTurnEnd(job: Job): void {
    if (job.queued) return;
    job.queued = true;
    this.#turnEnd.push(job);
  }

  soon(job: Job): void {
    if (job.queued) return;
    job.queued = true;
    this.#soon.push(job);
  }

  /** Runs what is queued until nothing is. */
  endTurn(): void {
    for (let job = this.#next(); job !== undefined; job = this.#next()) {
      job.queued = false;
      job.run();
    }
  }

  advance(ms: number): void {
    this.time += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.time);
    this.#timers = this.#timers.filter((timer) => timer.at > this.time);
    for (const timer of due) timer.fire();
  }

  #next(): Job | undefined {
    return this.#turnEnd.shift() ?? this.#soon.shift();
  }
}

export class FakeArena implements MetaArena {
  readonly id = 1;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #top = 0;

  constructor(readonlyBytes: number) {
    this.bytes = new Uint8Array(readonlyBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  get sizeBytes(): number { return this.bytes.length; }

  alloc(sizeBytes: number): number {
    const at = this.#top;
    this.#top += Math.ceil(sizeBytes / 4096) * 4096;
    return this.#top <= this.bytes.length ? at : -1;
  }

  free(): void {}
  freeSent(): void {}
  onRoom(): void {}
}

export interface Operation {
  readonly op: number;
  readonly flags: number;
  readonly sector: number;
  readonly sizeBytes: number;
  readonly offset: number;
  readonly cookie: number;
  /** Writes completed when this one was submitted: what its pre-flush makes durable. */
  readonly covers: number;
}

/** Takes the data of a write when the operation is completed, the latest moment allowed. */
export class FakeDisk implements LowerDevice {
  readonly unflushed = true;
  readonly id = 1;
  readonly limits: LowerLimits;
  readonly content: Uint8Array;
  readonly durable: Uint8Array;
  readonly baseSector: number;
  pending: Operation[] = [];
  readonly #arena: FakeArena;
  #volatile: { sector: number; bytes: Uint8Array }[] = [];
  done: (cookie: number, errno: number) => void = () => {};

  /** Only sectors from baseSector on exist. */
  constructor(arena: FakeArena, sectors: number, baseSector = 0, content?: Uint8Array) {
    this.#arena = arena;
    this.baseSector = baseSector;
    this.content = content ?? new Uint8Array((sectors - baseSector) * 512);
    this.durable = this.content.slice();
    this.limits = {
      sectors, logicalBlockBytes: 512, physicalBlockBytes: 4096, maxIoBytes: 1 << 20, maxDiscardSectors: 0,
      discardGranularityBytes: 0, discardZeroesIfAligned: false, maxWriteZeroesSectors: 0, rotational: false,
      name: 'fake', major: 1, minor: 1,
    };
  }

  submit(op: number, flags: number, sector: number, sizeBytes: number, _arena: unknown, offset: number,
    cookie: number): void {
    if (sector < this.baseSector || sector + sizeBytes / 512 > this.limits.sectors) throw new Error(`I/O beyond: ${sector}`);
    this.pending.push({ op, flags, sector, sizeBytes, offset, cookie, covers: this.#volatile.length });
  }

  inFlight(): number { return this.pending.length; }
  refresh(): LowerLimits { return this.limits; }
  release(): void {}

  complete(index = 0, errno = 0): Operation {
    const [operation] = this.pending.splice(index, 1);
    if (errno === 0) this.#apply(operation);
    this.done(operation.cookie, errno);
    return operation;
  }

  /**
   * Content after a power failure: what is durable, and of the rest whatever `keep` says, sector by sector. Of a write
   * with pre-flush nothing can be there before its flush is done.
   */
  crash(keep: () => boolean): Uint8Array {
    const image = this.durable.slice();
    const flying = this.pending.filter((o) => o.op === LowerOp.write && ((o.flags & LowerFlag.preflush) === 0 || keep()));
    const flushed = Math.max(0, ...flying.map((o) => ((o.flags & LowerFlag.preflush) === 0 ? 0 : o.covers)));
    this.#volatile.forEach((w, i) => this.#land(image, w.sector, w.bytes, i < flushed ? () => true : keep));
    for (const o of flying) this.#land(image, o.sector, this.#arena.bytes.slice(o.offset, o.offset + o.sizeBytes), keep);
    return image;
  }

  #land(image: Uint8Array, sector: number, bytes: Uint8Array, keep: () => boolean): void {
    for (let at = 0; at < bytes.length; at += 512) {
      if (keep()) image.set(bytes.subarray(at, at + 512), (sector - this.baseSector) * 512 + at);
    }
  }

  #apply(o: Operation): void {
    const at = (o.sector - this.baseSector) * 512;
    if (o.op === LowerOp.read) {
      this.#arena.bytes.set(this.content.subarray(at, at + o.sizeBytes), o.offset);
      return;
    }
    const bytes = this.#arena.bytes.slice(o.offset, o.offset + o.sizeBytes);
    this.content.set(bytes, at);
    if ((o.flags & LowerFlag.preflush) !== 0) {
      // Writes that were completed before the submission; later ones may stay volatile.
      for (const w of this.#volatile.splice(0, o.covers)) this.durable.set(w.bytes, (w.sector - this.baseSector) * 512);
      this.pending = this.pending.map((p) => ({ ...p, covers: Math.max(0, p.covers - o.covers) }));
    }
    if ((o.flags & LowerFlag.fua) !== 0) this.durable.set(bytes, at);
    else this.#volatile.push({ sector: o.sector, bytes });
  }
}
