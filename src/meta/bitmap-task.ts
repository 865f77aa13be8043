// SPDX-License-Identifier: GPL-2.0-or-later
/** Whole-slot work in slices, so that no turn lasts long. Others must be kept off the slot meanwhile (io.md 9.6). */
import { assert } from '../assert.ts';
import type { Clock, Job } from '../host/clock.ts';
import type { Bitmap } from './bitmap.ts';

/** Words a slice: below 1 ms with the addon's loops and one slot, about 10 ms with 31 (a call a page). */
export const sliceWords = 1 << 18;

export type SlotWork =
  | { readonly kind: 'set' | 'clear'; readonly slots: readonly number[] }
  | { readonly kind: 'copy'; readonly slots: readonly number[]; readonly from: number }
  /** What is set in `from` is set as well; what is set stays. */
  | { readonly kind: 'join'; readonly slots: readonly number[]; readonly from: number }
  | { readonly kind: 'recount' };

/** One piece of work at a time; `done` is called in a later turn, never from `start`. */
export class BitmapTask {
  readonly #bitmap: Bitmap;
  readonly #clock: Clock;
  readonly #sliceWords: number;
  readonly #job: Job;
  #work: SlotWork | null = null;
  #slots: readonly number[] = [];
  #at = 0;
  #word = 0;
  #done: () => void = () => {};

  constructor(bitmap: Bitmap, clock: Clock, wordsPerSlice: number = sliceWords) {
    this.#bitmap = bitmap;
    this.#clock = clock;
    this.#sliceWords = wordsPerSlice;
    this.#job = { name: 'bitmap', queued: false, run: () => this.#slice() };
  }

  get running(): boolean {
    return this.#work !== null;
  }

  start(work: SlotWork, done: () => void): void {
    assert(this.#work === null, 'bitmap task already running');
    this.#work = work;
    this.#slots = work.kind === 'recount' ? Array.from({ length: this.#bitmap.slots }, (_, i) => i) : work.slots;
    this.#at = 0;
    this.#word = 0;
    this.#done = done;
    if (work.kind === 'recount') {
      this.#bitmap.weight.fill(0);
      this.#bitmap.clearPageTail();
    }
    this.#clock.soon(this.#job);
  }

  /** The bitmap goes away: `done` is not called any more. */
  cancel(): void {
    this.#work = null;
  }

  #slice(): void {
    const work = this.#work;
    if (work === null) return;
    if (this.#at < this.#slots.length) {
      this.#step(work, this.#slots[this.#at]);
      this.#word += this.#sliceWords;
      if (this.#word >= this.#bitmap.words) {
        this.#word = 0;
        this.#at++;
      }
    }
    if (this.#at < this.#slots.length) {
      this.#clock.soon(this.#job);
      return;
    }
    this.#work = null;
    this.#done();
  }

  #step(work: SlotWork, slot: number): void {
    switch (work.kind) {
      case 'set': this.#bitmap.fillWords(slot, this.#word, this.#sliceWords, 1); break;
      case 'clear': this.#bitmap.fillWords(slot, this.#word, this.#sliceWords, 0); break;
      case 'copy': this.#bitmap.copyWords(slot, work.from, this.#word, this.#sliceWords); break;
      case 'join': this.#join(slot, work.from); break;
      case 'recount': this.#bitmap.recountWords(slot, this.#word, this.#sliceWords); break;
    }
  }

  #join(slot: number, from: number): void {
    const words = new Uint32Array(Math.min(this.#sliceWords, this.#bitmap.words - this.#word));
    this.#bitmap.readWords(from, this.#word, words);
    this.#bitmap.mergeWords(slot, this.#word, words);
  }
}
