// SPDX-License-Identifier: GPL-2.0-or-later
import { type BitSink, type BitSource, Scan } from '../../../src/wire/bitmap-code.ts';

/** Bits as an array of bytes: slow and plain. */
export class Bits implements BitSource, BitSink {
  readonly bits: number;
  readonly at: Uint8Array;
  scanNext = 0;

  constructor(bits: number, set: Iterable<number> = []) {
    this.bits = bits;
    this.at = new Uint8Array(bits);
    for (const bit of set) this.at[bit] = 1;
  }

  next(from: number, value: 0 | 1, budgetWords: number): number {
    const end = Math.min(this.bits, from + budgetWords * 32 + 1);
    for (let bit = from; bit < end; bit++) if (this.at[bit] === value) return bit;
    this.scanNext = end;
    return end === this.bits ? Scan.end : Scan.more;
  }

  readWords(fromWord: number, out: Uint32Array): number {
    const count = Math.min(out.length, Math.ceil(this.bits / 32) - fromWord);
    for (let i = 0; i < count; i++) {
      let word = 0;
      for (let bit = 0; bit < 32; bit++) if (this.at[(fromWord + i) * 32 + bit] === 1) word |= 1 << bit;
      out[i] = word;
    }
    return count;
  }

  set(first: number, last: number): void {
    if (last >= this.bits) throw new Error(`bit ${last} of ${this.bits}`);
    this.at.fill(1, first, last + 1);
  }

  mergeWords(fromWord: number, words: Uint32Array): void {
    words.forEach((word, i) => {
      for (let bit = 0; bit < 32; bit++) {
        const n = (fromWord + i) * 32 + bit;
        if (n < this.bits && ((word >>> bit) & 1) === 1) this.at[n] = 1;
      }
    });
  }
}
