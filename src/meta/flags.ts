// SPDX-License-Identifier: GPL-2.0-or-later
/** Device flags of the super block. @spec metadata.md 4 */
export const MDF = {
  consistent: 0x001,
  primaryInd: 0x002,
  /** v08 only. */
  connectedInd: 0x004,
  /** v08 only. */
  fullSync: 0x008,
  wasUpToDate: 0x010,
  /** v08 only. */
  peerOutDated: 0x020,
  crashedPrimary: 0x040,
  alClean: 0x080,
  alDisabled: 0x100,
  primaryLostQuorum: 0x200,
  haveQuorum: 0x400,
} as const;

/** Flags of a peer slot. @spec metadata.md 4 */
export const MDF_PEER = {
  connected: 0x00001,
  outdated: 0x00002,
  fencing: 0x00004,
  fullSync: 0x00008,
  deviceSeen: 0x00010,
  nodeExists: 0x10000,
  /** In core only: never on disk; `bitmapIndex !== -1` says it. */
  haveBitmap: 0x80000000,
} as const;
