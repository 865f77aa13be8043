// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { MetaArena } from '../host/arena.ts';
import type { Job, Timer } from '../host/clock.ts';
import { Head, Pages } from './abi.ts';
import { PageMap, pageBytes } from './pages.ts';
import type { LinuxTurn } from './turn.ts';

/** Where an arena lies for LOWER: the shim's arena number and where it starts in it. */
export interface ShimPlace {
  readonly arena: number;
  readonly base: number;
}

/** Does anybody besides us hold pages of this range? Whole pages. */
export type Held = (offset: number, sizeBytes: number) => boolean;

/** A socket that was cut off gives pages back within some of these. */
const HELD_MS = 10;

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
  private readonly held: Held | null;
  private waiting: Job[] = [];
  /** Given back, and perhaps held by sockets. */
  private readonly sent: { readonly offset: number; readonly sizeBytes: number }[] = [];
  private sentTimer: Timer | null = null;

  /**
   * `pagesOffset`: where the engine's part starts, in bytes; the rest belongs to the shim. With `held` sockets may be given
   * pages as they are (shim-abi.md: DRBD_SHIM_ARENA_SPLICE).
   */
  constructor(turn: LinuxTurn, bytes: Uint8Array, pagesOffset: number, place: ShimPlace = { arena: 0, base: 0 },
    held: Held | null = null) {
    this.turn = turn;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.sizeBytes = bytes.byteLength;
    this.place = place;
    this.pagesOffset = pagesOffset;
    this.pages = new PageMap(Math.floor((bytes.byteLength - pagesOffset) / pageBytes));
    this.held = held;
    this.id = turn.native.addArena(bytes, pagesOffset, this.pages.words, held !== null);
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

  freeSent(offset: number, sizeBytes: number): void {
    if (this.held === null) {
      this.free(offset, sizeBytes);
      return;
    }
    this.sent.push({ offset, sizeBytes: Math.ceil(sizeBytes / pageBytes) * pageBytes });
    this.sentTimer ??= this.turn.clock.timer('payloads that sockets hold', HELD_MS, () => this.freeUnheld());
  }

  private freeUnheld(): void {
    this.sentTimer = null;
    for (const { offset, sizeBytes } of this.sent.splice(0)) {
      if (this.held!(offset, sizeBytes)) this.freeSent(offset, sizeBytes);
      else this.free(offset, sizeBytes);
    }
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
    this.sentTimer?.cancel();
    this.turn.native.removeArena(this.id);
    delete this.turn.arenas[this.id];
  }
}
