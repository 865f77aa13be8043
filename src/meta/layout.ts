// SPDX-License-Identifier: GPL-2.0-or-later
/** Where the parts of the meta-data lie, in sectors of 512 bytes unless named otherwise. @spec metadata.md 1 */
import {
  alSize4kMin, blockBytes, bmBytesPerBit, deviceSectorsMax, fixedSlotSectors, sectorBytes, sectorsPerBlock,
} from './limits.ts';

/** Values of the attach option meta-dev-idx below 0. */
export const MetaDevIdx = { oldInternal: -1, flexible: -2, internal: -3 } as const;
export type MdKind = 'internal' | 'flexible' | 'fixed';

/** null: the index names nothing. */
export function mdKind(metaDevIdx: number): MdKind | null {
  if (metaDevIdx === MetaDevIdx.internal || metaDevIdx === MetaDevIdx.oldInternal) return 'internal';
  if (metaDevIdx === MetaDevIdx.flexible) return 'flexible';
  return Number.isInteger(metaDevIdx) && metaDevIdx >= 0 && metaDevIdx <= 255 ? 'fixed' : null;
}

export interface LayoutInput {
  readonly metaDevIdx: number;
  /** Capacity of the device that holds the meta-data (internal: the backing device). */
  readonly mdCapacity: number;
  readonly bmMaxPeers: number;
  /** Both 0 means one stripe of 8 blocks. */
  readonly alStripes: number;
  readonly alStripeSize4k: number;
  readonly bmBytesPerBit?: number;
}

export interface MdLayout {
  readonly kind: MdKind;
  readonly superBlockSector: number;
  /** alOffset and bmOffset are signed and relative to the super block. */
  readonly alOffset: number;
  readonly bmOffset: number;
  readonly mdSizeSect: number;
  readonly alStripes: number;
  readonly alStripeSize4k: number;
  readonly alSize4k: number;
  readonly bmMaxPeers: number;
  /** Room for the bitmap. */
  readonly bmSect: number;
  readonly areaSector: number;
}

export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

export function roundDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

/** Sectors of on-disk bitmap that `capacity` sectors of data need. */
export function bitmapSectors(capacity: number, bmMaxPeers: number, bytesPerBit: number = bmBytesPerBit): number {
  const bits = roundUp(Math.ceil(capacity / (bytesPerBit / sectorBytes)), 64);
  return roundUp((bits / 8) * bmMaxPeers, blockBytes) / sectorBytes;
}

/** Where the super block must be, or -1 when the device is too small to hold one. */
export function superBlockSector(metaDevIdx: number, mdCapacity: number): number {
  const kind = mdKind(metaDevIdx);
  const at = kind === 'internal' ? roundDown(mdCapacity, sectorsPerBlock) - sectorsPerBlock
    : kind === 'flexible' ? 0
      : kind === 'fixed' ? fixedSlotSectors * metaDevIdx : -1;
  return at >= 0 && at + sectorsPerBlock <= mdCapacity ? at : -1;
}

export function mdLayout(input: LayoutInput): MdLayout {
  const kind = mdKind(input.metaDevIdx);
  if (kind === null) throw new RangeError(`meta-dev-idx ${input.metaDevIdx}`);
  const both0 = input.alStripes === 0 && input.alStripeSize4k === 0;
  const alStripes = both0 ? 1 : input.alStripes;
  const alStripeSize4k = both0 ? alSize4kMin : input.alStripeSize4k;
  const alSize4k = alStripes * alStripeSize4k;
  const alSect = alSize4k * sectorsPerBlock;
  const bytesPerBit = input.bmBytesPerBit ?? bmBytesPerBit;
  const common = { kind, alStripes, alStripeSize4k, alSize4k, bmMaxPeers: input.bmMaxPeers };
  if (kind === 'internal') {
    const sb = roundDown(input.mdCapacity, sectorsPerBlock) - sectorsPerBlock;
    const bmSect = bitmapSectors(input.mdCapacity, input.bmMaxPeers, bytesPerBit);
    const bmOffset = -(bmSect + alSect);
    return {
      ...common, superBlockSector: sb, alOffset: -alSect, bmOffset, bmSect,
      mdSizeSect: bmSect + alSect + sectorsPerBlock, areaSector: sb + bmOffset,
    };
  }
  const sb = kind === 'fixed' ? fixedSlotSectors * input.metaDevIdx : 0;
  const bmOffset = sectorsPerBlock + alSect;
  const mdSizeSect = kind === 'fixed' ? fixedSlotSectors : input.mdCapacity;
  return {
    ...common, superBlockSector: sb, alOffset: sectorsPerBlock, bmOffset,
    bmSect: Math.max(0, mdSizeSect - bmOffset), mdSizeSect, areaSector: sb,
  };
}

/** Sectors of data that this layout can serve on a backing device of `backingCapacity`. @spec metadata.md 1.2 */
export function usableSectors(layout: MdLayout, backingCapacity: number,
  bytesPerBit: number = bmBytesPerBit): number {
  const limitDev = layout.kind === 'internal' ? layout.superBlockSector + layout.bmOffset : backingCapacity;
  const slotBytes = Math.floor(roundDown(layout.bmSect * sectorBytes, blockBytes) / layout.bmMaxPeers);
  const bmLimit = slotBytes * 8 * (bytesPerBit / sectorBytes);
  return Math.max(0, Math.min(limitDev, bmLimit, deviceSectorsMax));
}
