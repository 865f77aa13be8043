// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Inner loops over 32-bit bitmap words. All take `count` words at index, index + stride, … of `words`;
 * RangeError when one lies outside.
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
