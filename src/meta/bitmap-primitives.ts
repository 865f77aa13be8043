// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Inner loops over 32-bit bitmap words. All take `count` words at index, index + stride, … of `words`.
 * The TypeScript ones are the reference; `native/` supplies the same interface.
 */
export interface BitmapPrimitives {
  /** Words become `value` (0 or 0xffffffff); returns the number of bits that changed. */
  fill(words: Uint32Array, index: number, stride: number, count: number, value: number): number;
  /** Number of set bits. */
  count(words: Uint32Array, index: number, stride: number, count: number): number;
  /** Position 0..count-1 of the first word that is not `skip` (0 or 0xffffffff); -1: all are. */
  findNot(words: Uint32Array, index: number, stride: number, count: number, skip: number): number;
  /** ORs `source` in (contiguous words from sourceIndex by sourceStride); returns the number of newly set bits. */
  merge(words: Uint32Array, index: number, stride: number, count: number,
    source: Uint32Array, sourceIndex: number, sourceStride: number): number;
  /** Copies; returns bits set after minus bits set before. */
  copy(words: Uint32Array, index: number, stride: number, count: number,
    source: Uint32Array, sourceIndex: number, sourceStride: number): number;
}

export function popcount(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

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
