// SPDX-License-Identifier: GPL-2.0-or-later
/** What the activity log says after a crash. @spec metadata.md 7 (replay) */
import { AlType, decodeAlTransaction } from './al-transaction.ts';
import type { AlTransaction } from './al-transaction.ts';
import { alContextPerTransaction, alExtentsMax, blockBytes } from './limits.ts';
import type { Crc32c } from './crc32c.ts';

export type AlReplay =
  /** Initialised by create-md or apply-al, never written since. */
  | { readonly kind: 'unused' }
  /** Extents that may have had writes in flight, ascending; newest: last transaction number. */
  | { readonly kind: 'active'; readonly extents: readonly number[]; readonly newest: number }
  | { readonly kind: 'invalid'; readonly reason: string };

/** The newest transactions that are kept: several times what restates all slots, however large the ring. */
const kept = 512;
if (kept < 4 * (alExtentsMax / alContextPerTransaction)) throw new Error('too few transactions to restate all slots');

/** Signed difference of wrapping 32-bit numbers. */
function newer(a: AlTransaction, b: AlTransaction): number {
  return (a.trNumber - b.trNumber) | 0;
}

/** Takes the blocks of the ring in any order and any striping: the order comes from their numbers. */
export class AlReplayer {
  readonly #crc32c: Crc32c;
  readonly #found: AlTransaction[] = [];
  #blocks = 0;
  #invalid = 0;
  #initialized = 0;

  constructor(crc32c: Crc32c) {
    this.#crc32c = crc32c;
  }

  /** Whole blocks. */
  add(bytes: Uint8Array): void {
    for (let at = 0; at + blockBytes <= bytes.byteLength; at += blockBytes) {
      this.#blocks++;
      const transaction = decodeAlTransaction(bytes, at, this.#crc32c);
      if (transaction?.type === AlType.initialized) this.#initialized++;
      else if (transaction?.type === AlType.update) this.#found.push(transaction);
      else this.#invalid++;
    }
    if (this.#found.length > 2 * kept) this.#prune();
  }

  /** One corrupt block is tolerated: the write that was torn by the crash. */
  result(): AlReplay {
    const invalid = (reason: string): AlReplay => ({ kind: 'invalid', reason });
    if (this.#found.length + this.#initialized === 0) return invalid('no valid activity log block found');
    if (this.#invalid > 1) return invalid(`${this.#invalid} of ${this.#blocks} activity log blocks are corrupt`);
    if (this.#found.length === 0) return { kind: 'unused' };
    this.#prune();
    const newest = this.#found[this.#found.length - 1].trNumber;
    const span = ((newest - this.#found[0].trNumber) >>> 0) + 1;
    if (span > this.#found.length + this.#invalid) return invalid('activity log transactions are not consecutive');
    return { kind: 'active', extents: activeExtents(this.#found), newest };
  }

  #prune(): void {
    this.#found.sort(newer);
    this.#found.splice(0, Math.max(0, this.#found.length - kept));
  }
}

/** Oldest first: the context of each, then its updates. */
function activeExtents(transactions: readonly AlTransaction[]): number[] {
  const slots = new Map<number, number>();
  for (const { context, contextStart, updates } of transactions) {
    context.forEach((extent, i) => slots.set(contextStart + i, extent));
    for (const { slot, extent } of updates) slots.set(slot, extent);
  }
  return [...new Set(slots.values())].filter((extent) => extent >= 0).sort((a, b) => a - b);
}

/** `ring`: the whole activity log. */
export function replayActivityLog(ring: Uint8Array, crc32c: Crc32c): AlReplay {
  const replayer = new AlReplayer(crc32c);
  replayer.add(ring);
  return replayer.result();
}
