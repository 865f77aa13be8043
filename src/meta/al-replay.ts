// SPDX-License-Identifier: GPL-2.0-or-later
/** What the activity log says after a crash. @spec metadata.md 7 (replay) */
import { AlType, decodeAlTransaction } from './al-transaction.ts';
import type { AlTransaction } from './al-transaction.ts';
import { alExtentsMax, blockBytes } from './limits.ts';
import type { Crc32c } from './crc32c.ts';

export type AlReplay =
  | { readonly kind: 'unused' }
  | { readonly kind: 'active'; readonly extents: readonly number[]; readonly newest: number }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Signed difference of wrapping 32-bit numbers. */
function newer(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** `ring` is the whole activity log, al_size_4k blocks in any striping: order comes from the numbers. */
export function replayActivityLog(ring: Uint8Array, crc32c: Crc32c): AlReplay {
  const blocks = Math.floor(ring.byteLength / blockBytes);
  const found: AlTransaction[] = [];
  let invalid = 0;
  let initialized = 0;
  for (let i = 0; i < blocks; i++) {
    const transaction = decodeAlTransaction(ring, i * blockBytes, crc32c);
    if (transaction === null) invalid++;
    else if (transaction.type === AlType.initialized) initialized++;
    else if (transaction.type === AlType.update) found.push(transaction);
    else invalid++;
  }
  if (found.length === 0 && initialized === 0) return { kind: 'invalid', reason: 'No valid activity log block found' };
  if (invalid > 1) return { kind: 'invalid', reason: `${invalid} of ${blocks} activity log blocks are corrupt` };
  if (found.length === 0) return { kind: 'unused' };
  found.sort((a, b) => (a.trNumber === b.trNumber ? 0 : newer(a.trNumber, b.trNumber) ? 1 : -1));
  const newest = found[found.length - 1].trNumber;
  const span = ((newest - found[0].trNumber) >>> 0) + 1;
  if (span > found.length + invalid) return { kind: 'invalid', reason: 'activity log transactions are not consecutive' };
  const slots = new Map<number, number>();
  for (const transaction of found) {
    transaction.context.forEach((extent, i) => slots.set(transaction.contextStart + i, extent));
    for (const { slot, extent } of transaction.updates) {
      if (slot <= alExtentsMax) slots.set(slot, extent);
    }
  }
  const extents = [...new Set(slots.values())].filter((extent) => extent >= 0).sort((a, b) => a - b);
  return { kind: 'active', extents, newest };
}
