// SPDX-License-Identifier: GPL-2.0-or-later
/** Numbers of the on-disk format. @spec metadata.md */
export const sectorBytes = 512;
export const blockBytes = 4096;
export const sectorsPerBlock = blockBytes / sectorBytes;

export const nodeIdMax = 32;
/** Slots that the kernel driver accepts; drbdmeta makes at most 31. */
export const bmMaxPeersMax = 32;
export const historyUuids = 32;

export const bmBytesPerBit = 4096;
export const sectorsPerBit = bmBytesPerBit / sectorBytes;
/** 2^41 sectors = 1 PiB. */
export const deviceSectorsMax = 2 ** 41;

export const alExtentBytes = 4 * 1024 * 1024;
export const sectorsPerExtent = alExtentBytes / sectorBytes;
export const bitsPerExtent = alExtentBytes / bmBytesPerBit;
export const alExtentsMin = 67;
export const alExtentsMax = 65534;
export const alUpdatesPerTransaction = 64;
export const alContextPerTransaction = 919;
export const alSize4kMin = 8;
export const alSize4kMax = 4194304;

/** A fixed-index slot on a shared meta device: 128 MiB. */
export const fixedSlotSectors = 262144;

if (420 + 4 * alContextPerTransaction !== blockBytes) throw new Error('activity log block does not fill 4 KiB');
if (bitsPerExtent % 32 !== 0) throw new Error('an extent must cover whole bitmap words');
// The most patient request (128 MiB discard, 33 extents) must fit into one transaction and into the smallest log.
if (33 > alUpdatesPerTransaction || alUpdatesPerTransaction > alExtentsMin) throw new Error('activity log too small');
