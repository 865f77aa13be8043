// SPDX-License-Identifier: GPL-2.0-or-later
import { LowerFlag, type LowerDevice, LowerOp } from '../host/lower.ts';

/** Sectors of the largest single discard that is tried. */
const MAX_PIECE = 4194304;

/**
 * drbd_issue_discard_or_zero_out: the aligned inner part is discarded, edges are zeroed; all is zeroed when `zeroout`, or
 * when the disk cannot discard so. Returns how many lowerDone(cookie) follow. @spec io.md 10.4
 */
export function submitDiscard(lower: LowerDevice, sector: number, sectors: number, trim: boolean, zeroout: boolean,
  cookie: number, bioTag: number): number {
  const unmap = trim ? LowerFlag.unmap : 0;
  const { limits } = lower;
  const granularity = Math.max(1, Math.floor(limits.discardGranularityBytes / 512));
  const max = Math.min(limits.maxDiscardSectors, MAX_PIECE);
  const piece = max - (max % granularity);
  if (zeroout || !trim || piece === 0 || sectors < granularity) return zero(lower, sector, sectors, unmap, cookie, bioTag);
  let parts = 0;
  let at = sector;
  let left = sectors;
  if (at % granularity !== 0) {
    if (left < 2 * granularity) return zero(lower, sector, sectors, unmap, cookie, bioTag);
    const edge = granularity - (at % granularity);
    parts += zero(lower, at, edge, LowerFlag.unmap, cookie, bioTag);
    at += edge;
    left -= edge;
  }
  while (left >= granularity) {
    const n = Math.min(piece, left - (left % granularity));
    lower.submit(LowerOp.discard, 0, at, n * 512, null, 0, cookie, bioTag);
    parts++;
    at += n;
    left -= n;
  }
  return left > 0 ? parts + zero(lower, at, left, unmap, cookie, bioTag) : parts;
}

function zero(lower: LowerDevice, sector: number, sectors: number, flags: number, cookie: number, bioTag: number): number {
  lower.submit(LowerOp.writeZeroes, flags, sector, sectors * 512, null, 0, cookie, bioTag);
  return 1;
}
