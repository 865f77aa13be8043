// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { MetaArena } from '../host/arena.ts';
import type { Job } from '../host/clock.ts';
import { Head, Pages } from './abi.ts';
import { PageMap, pageBytes } from './pages.ts';
import type { LinuxTurn } from './turn.ts';

/** Where an arena lies for LOWER: the shim's arena number and where it starts in it. */
export interface ShimPlace {
  readonly arena: number;
  readonly base: number;
}

/** Memory that sockets and disks share, of which the engine's part is given out in pages. */
export class LinuxArena implements MetaArena {
  readonly id: number;
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly place: ShimPlace;
  private readonly turn: LinuxTurn;
  private readonly pages: PageMap;
  private readonly pagesOffset: number;
  private waiting: Job[] = [];

  /**
   * `pagesOffset`: where the engine's part starts, in bytes; the rest belongs to the shim. `splice`: sockets may be given
   * the shim's part by the page (shim-abi.md: DRBD_SHIM_ROOMS_SPLICE).
   */
  constructor(turn: LinuxTurn, bytes: Uint8Array, pagesOffset: number, place: ShimPlace = { arena: 0, base: 0 }, splice = false) {
    this.turn = turn;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.sizeBytes = bytes.byteLength;
    this.place = place;
    this.pagesOffset = pagesOffset;
    this.pages = new PageMap(Math.floor((bytes.byteLength - pagesOffset) / pageBytes));
    this.id = turn.native.addArena(bytes, pagesOffset, this.pages.words, splice ? pagesOffset : 0);
    assert(this.id >= 0, 'an arena and its page map fit');
    turn.arenas[this.id] = this;
  }

  alloc(sizeBytes: number): number {
    const first = this.pages.alloc(Math.ceil(sizeBytes / pageBytes));
    return first < 0 ? -1 : this.pagesOffset + first * pageBytes;
  }

  free(offset: number, sizeBytes: number): void {
    assert((offset - this.pagesOffset) % pageBytes === 0, 'a run starts at a page of the engine');
    this.pages.release((offset - this.pagesOffset) / pageBytes, Math.ceil(sizeBytes / pageBytes));
    if (this.pages.words[Pages.nativeWaits] !== 0) {
      this.pages.words[Pages.nativeWaits] = 0;
      this.turn.head[Head.room]!++;
    }
    if (this.waiting.length > 0) this.room();
  }

  onRoom(job: Job): void {
    this.waiting.push(job);
    this.pages.words[Pages.scriptWaits] = 1;
  }

  /** Room was given back, by us or by native code. */
  room(): void {
    const jobs = this.waiting;
    this.waiting = [];
    this.pages.words[Pages.scriptWaits] = 0;
    for (const job of jobs) this.turn.clock.soon(job);
  }

  /** Bytes not given out. */
  freeBytes(): number { return this.pages.free * pageBytes; }

  /** Streams that are bound to it lose it; those that still send from it end. */
  remove(): void {
    this.turn.native.removeArena(this.id);
    delete this.turn.arenas[this.id];
  }
}
