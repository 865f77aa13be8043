// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The bitmap in memory: one bit a 4 KiB block and slot, 1 = out of sync. Bits are numbers up to 2^38, ranges are
 * inclusive, counts are of bits. Nothing here does I/O: see bitmap-writer.ts. @spec io.md 9
 */
import { assert } from '../assert.ts';
import type { BitmapPrimitives } from '../host/bitmap.ts';
import { chunkWords, heapBitmapMemory, PageMark } from './bitmap-memory.ts';
import type { BitmapMemory } from './bitmap-memory.ts';
import { bitmapPrimitives, popcount } from './bitmap-primitives.ts';
import { bitsOf, bitsPerWord, pagesOf, wordsPerPage, wordsPerSlot } from './bitmap-layout.ts';
import { sectorBytes, sectorsPerBit } from './limits.ts';

const allOnes = 0xffffffff;

/** Results of a scan that are no bit number. */
export const BitScan = {
  /** No such bit up to the end. */
  end: -1,
  /** The budget is used up: go on at `scanNext`. */
  more: -2,
} as const;

export class Bitmap {
  readonly slots: number;
  /** Bits out of sync of each slot. */
  readonly weight: Float64Array;
  /** Where a scan that answered `more` goes on. */
  scanNext = 0;
  #sectors: number;
  #bits: number;
  #memory: BitmapMemory;
  readonly #primitives: BitmapPrimitives;

  /** `sectors` of device data. Memory of `pagesOf(bitsOf(sectors), slots)` pages, all zero unless `recount` follows. */
  constructor(sectors: number, slots: number, memory?: BitmapMemory, primitives: BitmapPrimitives = bitmapPrimitives) {
    assert(slots >= 1 && slots <= 32, 'bitmap slots out of range');
    this.slots = slots;
    this.weight = new Float64Array(slots);
    this.#sectors = sectors;
    this.#bits = bitsOf(sectors);
    this.#memory = memory ?? heapBitmapMemory(pagesOf(this.#bits, slots));
    assert(this.#memory.pages === pagesOf(this.#bits, slots), 'bitmap memory has another number of pages');
    this.#primitives = primitives;
  }

  get sectors(): number {
    return this.#sectors;
  }

  get bits(): number {
    return this.#bits;
  }

  get memory(): BitmapMemory {
    return this.#memory;
  }

  get pages(): number {
    return this.#memory.pages;
  }

  /** Words of 32 bits in one slot. */
  get words(): number {
    return wordsPerSlot(this.#bits);
  }

  test(slot: number, bit: number): boolean {
    assert(bit >= 0 && bit < this.#bits, 'bit beyond the device');
    const word = this.#wordAt(slot, Math.floor(bit / bitsPerWord));
    return ((word >>> (bit % bitsPerWord)) & 1) !== 0;
  }

  /** Sets first..last; returns how many were clear. */
  set(slot: number, first: number, last: number): number {
    return this.#change(slot, first, last, allOnes);
  }

  /** Clears first..last; returns how many were set. */
  clear(slot: number, first: number, last: number): number {
    return this.#change(slot, first, last, 0);
  }

  /** Number of set bits in first..last. */
  count(slot: number, first: number, last: number): number {
    if (!this.#cut(first, last)) return 0;
    const firstWord = Math.floor(first / bitsPerWord);
    const lastBit = Math.min(last, this.#bits - 1);
    const lastWord = Math.floor(lastBit / bitsPerWord);
    const head = headMask(first);
    const tail = tailMask(lastBit);
    if (firstWord === lastWord) return popcount(this.#wordAt(slot, firstWord) & head & tail);
    let bits = popcount(this.#wordAt(slot, firstWord) & head) + popcount(this.#wordAt(slot, lastWord) & tail);
    for (let word = firstWord + 1; word < lastWord;) {
      const n = this.#run(slot, word, lastWord - word, chunkWords);
      bits += this.#primitives.count(this.#words, this.#index, this.slots, n);
      word += n;
    }
    return bits;
  }

  /** Sectors → bits: every touched block of [sector, sector + bytes) becomes out of sync. Returns newly set bits. */
  setOutOfSync(slot: number, sector: number, sizeBytes: number): number {
    const end = Math.min(sector + sizeBytes / sectorBytes, this.#sectors);
    if (sizeBytes <= 0 || sector >= end) return 0;
    return this.set(slot, Math.floor(sector / sectorsPerBit), Math.floor((end - 1) / sectorsPerBit));
  }

  /** Only blocks fully inside become in sync; the last block of the device counts as full. Returns cleared bits. */
  setInSync(slot: number, sector: number, sizeBytes: number): number {
    const end = Math.min(sector + sizeBytes / sectorBytes, this.#sectors);
    if (sizeBytes <= 0 || sector >= end) return 0;
    const first = Math.ceil(sector / sectorsPerBit);
    const last = (end === this.#sectors ? this.#bits : Math.floor(end / sectorsPerBit)) - 1;
    return first > last ? 0 : this.clear(slot, first, last);
  }

  /** Set bits in the touched blocks. */
  countOutOfSync(slot: number, sector: number, sizeBytes: number): number {
    const end = Math.min(sector + sizeBytes / sectorBytes, this.#sectors);
    if (sizeBytes <= 0 || sector >= end) return 0;
    return this.count(slot, Math.floor(sector / sectorsPerBit), Math.floor((end - 1) / sectorsPerBit));
  }

  /**
   * First bit at or after `from` that is set (or clear). BitScan.end: none; BitScan.more: `budgetWords` words were
   * looked at without finding one, go on at `scanNext`.
   */
  next(slot: number, from: number, wanted: 0 | 1, budgetWords: number): number {
    if (from >= this.#bits) return BitScan.end;
    const skip = wanted === 1 ? 0 : allOnes;
    let word = Math.floor(from / bitsPerWord);
    const first = (this.#wordAt(slot, word) ^ skip) & headMask(from);
    if (first !== 0) return this.#found(word, first);
    const lastWord = Math.ceil(this.#bits / bitsPerWord);
    const stop = Math.min(lastWord, word + 1 + budgetWords);
    for (word++; word < stop;) {
      const n = this.#run(slot, word, stop - word, chunkWords);
      const at = this.#primitives.findNot(this.#words, this.#index, this.slots, n, skip);
      if (at >= 0) return this.#found(word + at, this.#words[this.#index + at * this.slots] ^ skip);
      word += n;
    }
    if (word >= lastWord) return BitScan.end;
    this.scanNext = word * bitsPerWord;
    return BitScan.more;
  }

  /**
   * Whole-slot operations work on words [fromWord, fromWord + count) of a slot, so that the caller can slice them;
   * see bitmap-task.ts. Return the change of the slot's weight.
   */
  fillWords(slot: number, fromWord: number, count: number, value: 0 | 1): number {
    const end = Math.min(fromWord + count, this.words);
    let delta = 0;
    for (let word = fromWord; word < end;) {
      const n = this.#run(slot, word, end - word, wordsPerPage);
      const changed = this.#primitives.fill(this.#words, this.#index, this.slots, n, value === 1 ? allOnes : 0);
      if (changed > 0) this.#mark(slot, word, value === 1);
      delta += changed;
      word += n;
    }
    delta = value === 1 ? delta - this.#clearSurplus(slot, fromWord, end) : -delta;
    this.weight[slot] += delta;
    return delta;
  }

  copyWords(to: number, from: number, fromWord: number, count: number): number {
    const end = Math.min(fromWord + count, this.words);
    let delta = 0;
    for (let word = fromWord; word < end;) {
      const first = this.#wordAt(from, word);
      let n = this.#run(to, word, end - word, wordsPerPage);
      const words = this.#words;
      const source = this.#index - to + from;
      const fits = Math.ceil((words.length - source) / this.slots);
      if (source >= 0 && fits > 0) {
        n = Math.min(n, fits);
        delta += this.#primitives.copy(words, this.#index, this.slots, n, words, source, this.slots);
      } else {
        // The two words lie in different chunks.
        n = 1;
        delta += popcount(first) - popcount(words[this.#index]);
        words[this.#index] = first;
      }
      this.#mark(to, word, true);
      word += n;
    }
    this.weight[to] += delta;
    return delta;
  }

  /** ORs `source` (plain little-endian words of one slot, as the wire has them) in from word `fromWord` on. */
  mergeWords(slot: number, fromWord: number, source: Uint32Array): number {
    const end = Math.min(fromWord + source.length, this.words);
    let changed = 0;
    for (let word = fromWord; word < end;) {
      const n = this.#run(slot, word, end - word, wordsPerPage);
      const more = this.#primitives.merge(this.#words, this.#index, this.slots, n, source, word - fromWord, 1);
      if (more > 0) this.#mark(slot, word, true);
      changed += more;
      word += n;
    }
    changed -= this.#clearSurplus(slot, fromWord, end);
    this.weight[slot] += changed;
    return changed;
  }

  /** Copies words of a slot out, as the wire has them; returns how many. */
  readWords(slot: number, fromWord: number, out: Uint32Array): number {
    const end = Math.min(fromWord + out.length, this.words);
    for (let word = fromWord; word < end;) {
      const n = this.#run(slot, word, end - word, wordsPerPage);
      this.#primitives.copy(out, word - fromWord, 1, n, this.#words, this.#index, this.slots);
      word += n;
    }
    return Math.max(0, end - fromWord);
  }

  /** Counts words [fromWord, fromWord + count) again into `weight` (start with weight 0) and drops surplus bits. */
  recountWords(slot: number, fromWord: number, count: number): void {
    const end = Math.min(fromWord + count, this.words);
    this.#clearSurplus(slot, fromWord, end);
    for (let word = fromWord; word < end;) {
      const n = this.#run(slot, word, end - word, chunkWords);
      this.weight[slot] += this.#primitives.count(this.#words, this.#index, this.slots, n);
      word += n;
    }
  }

  /** At once; only for small bitmaps or a stopped device. */
  setAll(slot: number): number {
    return this.fillWords(slot, 0, this.words, 1);
  }

  clearAll(slot: number): number {
    return this.fillWords(slot, 0, this.words, 0);
  }

  copySlot(to: number, from: number): number {
    return this.copyWords(to, from, 0, this.words);
  }

  recount(): void {
    this.weight.fill(0);
    this.clearPageTail();
    for (let slot = 0; slot < this.slots; slot++) this.recountWords(slot, 0, this.words);
  }

  /** Zeroes what the last page holds behind the last word: after reading it from disk. */
  clearPageTail(): void {
    const last = this.#memory.chunks[this.#memory.chunks.length - 1];
    const used = this.words * this.slots - (this.#memory.chunks.length - 1) * chunkWords;
    last?.fill(0, used);
  }

  /**
   * Another device size. `memory` (zeroed, of the new number of pages) takes the words over; new bits are set in all
   * slots when `setNew`. Every page is marked.
   */
  resize(sectors: number, setNew: boolean, memory?: BitmapMemory): void {
    const oldBits = this.#bits;
    this.clearPageTail();
    const bits = bitsOf(sectors);
    const pages = pagesOf(bits, this.slots);
    const to = memory ?? heapBitmapMemory(pages);
    assert(to.pages === pages, 'bitmap memory has another number of pages');
    this.#memory.chunks.forEach((chunk, i) => {
      const target = to.chunks[i];
      if (target !== undefined && target !== chunk) target.set(chunk.subarray(0, target.length));
    });
    this.#memory = to;
    this.#sectors = sectors;
    this.#bits = bits;
    to.marks.fill(PageMark.need);
    if (bits < oldBits) for (let slot = 0; slot < this.slots; slot++) this.#clearSurplus(slot, 0, this.words);
    this.recount();
    if (setNew && bits > oldBits) for (let slot = 0; slot < this.slots; slot++) this.set(slot, oldBits, bits - 1);
  }

  #change(slot: number, first: number, last: number, value: number): number {
    if (!this.#cut(first, last)) return 0;
    const lastBit = Math.min(last, this.#bits - 1);
    const firstWord = Math.floor(first / bitsPerWord);
    const lastWord = Math.floor(lastBit / bitsPerWord);
    let changed: number;
    if (firstWord === lastWord) {
      changed = this.#changeMasked(slot, firstWord, headMask(first) & tailMask(lastBit), value);
    } else {
      changed = this.#changeMasked(slot, firstWord, headMask(first), value);
      for (let word = firstWord + 1; word < lastWord;) {
        const n = this.#run(slot, word, lastWord - word, wordsPerPage);
        const more = this.#primitives.fill(this.#words, this.#index, this.slots, n, value);
        if (more > 0) this.#mark(slot, word, value !== 0);
        changed += more;
        word += n;
      }
      changed += this.#changeMasked(slot, lastWord, tailMask(lastBit), value);
    }
    this.weight[slot] += value === 0 ? -changed : changed;
    return changed;
  }

  #changeMasked(slot: number, word: number, mask: number, value: number): number {
    this.#run(slot, word, 1, 1);
    const words = this.#words;
    const old = words[this.#index];
    const difference = (old ^ value) & mask;
    if (difference === 0) return 0;
    words[this.#index] = old ^ difference;
    this.#mark(slot, word, value !== 0);
    return popcount(difference);
  }

  #cut(first: number, last: number): boolean {
    assert(first >= 0 && last >= first, 'bad bit range');
    return first < this.#bits;
  }

  #found(word: number, differing: number): number {
    const bit = word * bitsPerWord + 31 - Math.clz32(differing & -differing);
    return bit < this.#bits ? bit : BitScan.end;
  }

  /** Bits behind the last one, in the words [fromWord, end): cleared; returns how many were set. */
  #clearSurplus(slot: number, fromWord: number, end: number): number {
    let cleared = 0;
    for (let word = Math.max(fromWord, Math.floor(this.#bits / bitsPerWord)); word < end; word++) {
      const keep = this.#bits - word * bitsPerWord;
      const mask = keep <= 0 ? allOnes : keep >= bitsPerWord ? 0 : allOnes << keep;
      this.#run(slot, word, 1, 1);
      cleared += popcount(this.#words[this.#index] & mask);
      this.#words[this.#index] &= ~mask;
    }
    return cleared;
  }

  #wordAt(slot: number, word: number): number {
    this.#run(slot, word, 1, 1);
    return this.#words[this.#index];
  }

  #mark(slot: number, word: number, set: boolean): void {
    const page = Math.floor((word * this.slots + slot) / wordsPerPage);
    this.#memory.marks[page] |= set ? PageMark.need : PageMark.lazy;
  }

  #words: Uint32Array = new Uint32Array(0);
  #index = 0;

  /** Points #words and #index at a word; returns how many of `count` follow it in the same unit (page or chunk). */
  #run(slot: number, word: number, count: number, unitWords: number): number {
    assert(slot >= 0 && slot < this.slots, 'no such bitmap slot');
    const at = word * this.slots + slot;
    const chunk = Math.floor(at / chunkWords);
    this.#words = this.#memory.chunks[chunk];
    this.#index = at - chunk * chunkWords;
    if (count === 1) return 1;
    const left = Math.ceil((unitWords - (at % unitWords)) / this.slots);
    return Math.min(count, left);
  }
}

/** Bits of a word from `bit` on. */
function headMask(bit: number): number {
  return allOnes << (bit % bitsPerWord);
}

/** Bits of a word up to and including `bit`. */
function tailMask(bit: number): number {
  return allOnes >>> (31 - (bit % bitsPerWord));
}
