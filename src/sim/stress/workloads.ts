// SPDX-License-Identifier: GPL-2.0-or-later
/** What applications do, as a table: chances of each kind of bio, and how large and how scattered they are. */

export interface Work {
  readonly write: number;
  readonly discard: number;
  readonly zeroes: number;
  readonly flush: number;
  /** The rest are reads. Of writes: */
  readonly fua: number;
  readonly odd: number;
  /** Of a bio, in blocks: usual, now and then, rarely. */
  readonly blocks: readonly [number, number, number];
  /** Share of the region that is used. */
  readonly spread: number;
}

export const workloads = {
  mixed: { write: 0.72, discard: 0.03, zeroes: 0.03, flush: 0.04, fua: 0.05, odd: 0.05, blocks: [4, 64, 256], spread: 1 },
  hot: { write: 0.80, discard: 0.02, zeroes: 0.01, flush: 0.03, fua: 0.05, odd: 0.10, blocks: [1, 2, 8], spread: 0.02 },
  database: { write: 0.80, discard: 0, zeroes: 0, flush: 0.10, fua: 0.30, odd: 0, blocks: [2, 4, 16], spread: 0.5 },
  stream: { write: 0.85, discard: 0.05, zeroes: 0.02, flush: 0.01, fua: 0.01, odd: 0, blocks: [16, 64, 256], spread: 1 },
  trim: { write: 0.60, discard: 0.18, zeroes: 0.08, flush: 0.02, fua: 0.02, odd: 0.02, blocks: [4, 32, 128], spread: 0.3 },
} satisfies Record<string, Work>;

export type Workload = keyof typeof workloads;
