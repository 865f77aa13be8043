// SPDX-License-Identifier: GPL-2.0-or-later
import type { BitmapPrimitives } from '../host/bitmap.ts';

export function popcount(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** The reference, and the simulator's. */
export const bitmapPrimitives: BitmapPrimitives = {
  fill(words, index, stride, count, value) {
    let changed = 0;
    for (let i = 0, at = index; i < count; i++, at += stride) {
      if (words[at] !== value) {
        changed += popcount(words[at] ^ value);
        words[at] = value;
      }
    }
    return changed;
  },

  count(words, index, stride, count) {
    let bits = 0;
    for (let i = 0, at = index; i < count; i++, at += stride) if (words[at] !== 0) bits += popcount(words[at]);
    return bits;
  },

  findNot(words, index, stride, count, skip) {
    for (let i = 0, at = index; i < count; i++, at += stride) if (words[at] !== skip) return i;
    return -1;
  },

  merge(words, index, stride, count, source, sourceIndex, sourceStride) {
    let changed = 0;
    for (let i = 0, at = index, from = sourceIndex; i < count; i++, at += stride, from += sourceStride) {
      const more = source[from] & ~words[at];
      if (more !== 0) {
        changed += popcount(more);
        words[at] |= more;
      }
    }
    return changed;
  },

  copy(words, index, stride, count, source, sourceIndex, sourceStride) {
    let difference = 0;
    for (let i = 0, at = index, from = sourceIndex; i < count; i++, at += stride, from += sourceStride) {
      if (words[at] !== source[from]) {
        difference += popcount(source[from]) - popcount(words[at]);
        words[at] = source[from];
      }
    }
    return difference;
  },
};
