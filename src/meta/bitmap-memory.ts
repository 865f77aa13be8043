// SPDX-License-Identifier: GPL-2.0-or-later
/** Where the words of a bitmap live: whole 4 KiB pages in on-disk layout, in chunks, and one mark byte a page. */
import { assert } from '../assert.ts';
import { blockBytes } from './limits.ts';
import { wordsPerPage } from './bitmap-layout.ts';

/** Why a page has to be written. @spec io.md 9.1 */
export const PageMark = {
  /** A bit was set or merged since the last write. */
  need: 1,
  /** Bits were only cleared. */
  lazy: 2,
  /** A write of it is in flight. */
  io: 4,
} as const;

export const chunkPages = 1024;
export const chunkWords = chunkPages * wordsPerPage;

export interface BitmapMemory {
  readonly pages: number;
  /** Chunk i holds pages i * chunkPages …; the last one may be shorter. */
  readonly chunks: readonly Uint32Array[];
  readonly marks: Uint8Array;
}

if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) throw new Error('the bitmap needs a little-endian machine');

/** On the heap, all zero. */
export function heapBitmapMemory(pages: number): BitmapMemory {
  const chunks: Uint32Array[] = [];
  for (let page = 0; page < pages; page += chunkPages) {
    chunks.push(new Uint32Array(Math.min(chunkPages, pages - page) * wordsPerPage));
  }
  return { pages, chunks, marks: new Uint8Array(pages) };
}

/** Bytes that `bitmapMemoryIn` needs. */
export function bitmapMemoryBytes(pages: number): number {
  return pages * blockBytes + Math.ceil(pages / blockBytes) * blockBytes;
}

/** Over given memory (a state arena): the pages first, then the marks. */
export function bitmapMemoryIn(bytes: Uint8Array, pages: number): BitmapMemory {
  assert(bytes.byteLength >= bitmapMemoryBytes(pages), 'bitmap memory too small');
  assert(bytes.byteOffset % 4 === 0, 'bitmap memory is not aligned');
  const chunks: Uint32Array[] = [];
  for (let page = 0; page < pages; page += chunkPages) {
    const words = Math.min(chunkPages, pages - page) * wordsPerPage;
    chunks.push(new Uint32Array(bytes.buffer, bytes.byteOffset + page * blockBytes, words));
  }
  return { pages, chunks, marks: bytes.subarray(pages * blockBytes, pages * blockBytes + pages) };
}
