// SPDX-License-Identifier: GPL-2.0-or-later
/** Addresses in the bitmap: 32-bit little-endian words, the slots interleaved word by word. @spec metadata.md 6 */
import { bitsPerExtent, blockBytes, bmBytesPerBit, sectorBytes } from './limits.ts';
import { roundUp } from './layout.ts';

export const bitsPerWord = 32;
export const wordsPerPage = blockBytes / 4;

/** Number of bits of a device of `sectors`. */
export function bitsOf(sectors: number, bytesPerBit: number = bmBytesPerBit): number {
  return Math.ceil(sectors / (bytesPerBit / sectorBytes));
}

/** Words a slot has for `bits`: rounded up to 64 bits. */
export function wordsPerSlot(bits: number): number {
  return roundUp(bits, 64) / bitsPerWord;
}

export function wordIndex(bit: number, slots: number, slot: number): number {
  return Math.floor(bit / bitsPerWord) * slots + slot;
}

export function pageOfBit(bit: number, slots: number): number {
  return Math.floor((Math.floor(bit / bitsPerWord) * slots) / wordsPerPage);
}

export function pagesOf(bits: number, slots: number): number {
  return Math.ceil((wordsPerSlot(bits) * slots) / wordsPerPage);
}

/** First and last page (inclusive) that hold the words of all slots for an activity log extent. */
export function firstPageOfExtent(extent: number, slots: number): number {
  return pageOfBit(extent * bitsPerExtent, slots);
}

export function lastPageOfExtent(extent: number, slots: number): number {
  const lastWord = ((extent + 1) * bitsPerExtent / bitsPerWord) * slots - 1;
  return Math.floor(lastWord / wordsPerPage);
}
