// SPDX-License-Identifier: GPL-2.0-or-later
import type { Arena, MetaArena } from '../host/arena.ts';
import type { Clock, Job } from '../host/clock.ts';
import { assert } from '../assert.ts';

const PAGE = 4096;
export const SECTOR = 512;

/** First-fit allocator of 4-KiB pages. */
class Pages {
  readonly #used: Uint8Array;
  readonly #waiting: Job[] = [];
  readonly #clock: Clock;
  constructor(count: number, clock: Clock) { this.#used = new Uint8Array(count); this.#clock = clock; }

  alloc(sizeBytes: number): number {
    const want = Math.ceil(sizeBytes / PAGE);
    assert(want > 0, 'room is asked for something');
    for (let i = 0, run = 0; i < this.#used.length; i++) {
      run = this.#used[i] ? 0 : run + 1;
      if (run === want) {
        this.#used.fill(1, i + 1 - want, i + 1);
        return (i + 1 - want) * PAGE;
      }
    }
    return -1;
  }

  free(offset: number, sizeBytes: number): void {
    assert(offset % PAGE === 0, 'room starts at a page');
    for (let i = offset / PAGE; i < (offset + sizeBytes) / PAGE; i++) {
      assert(this.#used[i] === 1, 'room is given back once');
      this.#used[i] = 0;
    }
    for (const job of this.#waiting.splice(0)) this.#clock.soon(job);
  }

  onRoom(job: Job): void { if (!this.#waiting.includes(job)) this.#waiting.push(job); }
  used(): number { return this.#used.reduce((n, u) => n + u, 0); }
}

/** Data as one tag a sector: what was written there, by name. 0 is never-written (zeroes). */
export class TagArena implements Arena {
  readonly id: number;
  readonly sizeBytes: number;
  readonly tags: Float64Array;
  /** The first bytes are the shim's, for bios; what is behind them the engine's. */
  readonly #roomBytes: number;
  readonly #rooms: Pages;
  readonly #pages: Pages;

  constructor(id: number, sizeBytes: number, clock: Clock, roomBytes = 0) {
    this.id = id;
    this.sizeBytes = sizeBytes;
    this.tags = new Float64Array(sizeBytes / SECTOR);
    this.#roomBytes = roomBytes;
    this.#rooms = new Pages(roomBytes / PAGE, clock);
    this.#pages = new Pages((sizeBytes - roomBytes) / PAGE, clock);
  }

  alloc(sizeBytes: number): number {
    const at = this.#pages.alloc(sizeBytes);
    return at < 0 ? at : this.#roomBytes + at;
  }
  free(offset: number, sizeBytes: number): void { this.#pages.free(offset - this.#roomBytes, sizeBytes); }
  /** Of a bio; -1: there is none. */
  takeRoom(sizeBytes: number): number { return this.#rooms.alloc(sizeBytes); }
  giveRoomBack(offset: number, sizeBytes: number): void { this.#rooms.free(offset, sizeBytes); }
  /** Simulated streams copy. */
  freeSent(offset: number, sizeBytes: number): void { this.free(offset, sizeBytes); }
  onRoom(job: Job): void { this.#pages.onRoom(job); }
  pagesUsed(): number { return this.#pages.used(); }

  /** The tags of a range, as a view. */
  at(offset: number, sizeBytes: number): Float64Array {
    assert(offset >= 0 && offset % SECTOR === 0 && offset + sizeBytes <= this.sizeBytes, 'range lies in the arena');
    return this.tags.subarray(offset / SECTOR, (offset + sizeBytes) / SECTOR);
  }
}

export class ByteArena implements MetaArena {
  readonly id: number;
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #pages: Pages;

  constructor(id: number, sizeBytes: number, clock: Clock) {
    this.id = id;
    this.sizeBytes = sizeBytes;
    this.bytes = new Uint8Array(sizeBytes);
    this.view = new DataView(this.bytes.buffer);
    this.#pages = new Pages(sizeBytes / PAGE, clock);
  }

  alloc(sizeBytes: number): number { return this.#pages.alloc(sizeBytes); }
  free(offset: number, sizeBytes: number): void { this.#pages.free(offset, sizeBytes); }
  /** Simulated streams copy. */
  freeSent(offset: number, sizeBytes: number): void { this.free(offset, sizeBytes); }
  onRoom(job: Job): void { this.#pages.onRoom(job); }
}
