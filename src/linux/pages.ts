// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import { Pages } from './abi.ts';

export const pageBytes = 4096;

/** Runs of 4 KiB pages; native/pages.cc works on the same map. */
export class PageMap {
  readonly words: Int32Array;
  readonly count: number;

  constructor(count: number) {
    this.count = count;
    const words = Math.ceil(count / 32);
    this.words = new Int32Array(Pages.bits + words);
    this.words[Pages.count] = count;
    this.words[Pages.free] = count;
    for (let page = count; page < words * 32; page++) this.words[Pages.bits + (page >>> 5)]! |= 1 << (page & 31);
  }

  get free(): number { return this.words[Pages.free]!; }

  /** First page of a free run, now taken; -1 when there is none. */
  alloc(count: number): number {
    assert(count > 0, 'a run has at least one page');
    if (count > this.words[Pages.free]!) return -1;
    const cursor = this.words[Pages.cursor]! % this.count;
    let first = this.find(count, cursor, this.count);
    if (first < 0) first = this.find(count, 0, Math.min(this.count, cursor + count));
    if (first < 0) return -1;
    this.mark(first, count, true);
    this.words[Pages.cursor] = first + count;
    this.words[Pages.free]! -= count;
    return first;
  }

  release(first: number, count: number): void {
    assert(first >= 0 && count > 0 && first + count <= this.count, 'a run lies in its arena');
    this.mark(first, count, false);
    this.words[Pages.free]! += count;
  }

  private find(count: number, from: number, to: number): number {
    let run = 0;
    for (let page = from; page < to;) {
      const left = 32 - (page & 31);
      const word = this.words[Pages.bits + (page >>> 5)]! >>> (page & 31);
      if ((word & 1) !== 0) {
        run = 0;
        page += Math.min(trailingZeros(~word), left);
        continue;
      }
      const zeros = Math.min(trailingZeros(word), left, to - page);
      if (run + zeros >= count) return page - run;
      run += zeros;
      page += zeros;
    }
    return -1;
  }

  private mark(first: number, count: number, taken: boolean): void {
    for (let page = first; page < first + count;) {
      const shift = page & 31;
      const n = Math.min(32 - shift, first + count - page);
      const mask = (n === 32 ? -1 : (1 << n) - 1) << shift;
      const at = Pages.bits + (page >>> 5);
      const word = this.words[at]!;
      assert((taken ? word & mask : ~word & mask) === 0, 'a page is taken once and given back once');
      this.words[at] = taken ? word | mask : word & ~mask;
      page += n;
    }
  }
}

function trailingZeros(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word);
}
