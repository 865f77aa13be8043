// SPDX-License-Identifier: GPL-2.0-or-later
/** Super blocks of versions 09 and 08. @spec metadata.md 2, 3 */
import { blockBytes, bmBytesPerBit, historyUuids, nodeIdMax } from './limits.ts';
import { i32, list, record, size64, u32, u64 } from './record.ts';
import type { RecordOf, RecordSchema } from './record.ts';
import { MDF, MDF_PEER } from './flags.ts';

export const MdMagic = {
  v07: 0x8374026a,
  v08: 0x8374026b,
  v08Unclean: 0x8374026c,
  v09: 0x8374026d,
} as const;

export const uuidJustCreated = 4n;

const peerSlot = {
  bitmapUuid: u64(0),
  bitmapDagtag: u64(8),
  flags: u32(16),
  bitmapIndex: i32(20),
} as const satisfies RecordSchema;

export const superBlock09 = {
  /** Last agreed size in sectors, 0: never agreed; NaN: not representable (refused by the checks). */
  effectiveSize: size64(0),
  currentUuid: u64(8),
  members: u64(16),
  deviceUuid: u64(48),
  flags: u32(56),
  magic: u32(60),
  mdSizeSect: u32(64),
  alOffset: i32(68),
  alNrExtents: u32(72),
  bmOffset: i32(76),
  bmBytesPerBit: u32(80),
  laPeerMaxBioSize: u32(84),
  bmMaxPeers: u32(88),
  nodeId: i32(92),
  alStripes: u32(96),
  alStripeSize4k: u32(100),
  peers: list(112, nodeIdMax, 32, record(0, peerSlot)),
  historyUuids: list(1136, historyUuids, 8, u64(0)),
} as const satisfies RecordSchema;

export const superBlock08 = {
  effectiveSize: size64(0),
  currentUuid: u64(8),
  bitmapUuid: u64(16),
  historyUuids: list(24, 2, 8, u64(0)),
  deviceUuid: u64(40),
  flags: u32(56),
  magic: u32(60),
  mdSizeSect: u32(64),
  alOffset: i32(68),
  alNrExtents: u32(72),
  bmOffset: i32(76),
  bmBytesPerBit: u32(80),
  laPeerMaxBioSize: u32(84),
  alStripes: u32(88),
  alStripeSize4k: u32(92),
} as const satisfies RecordSchema;

export type SuperBlock = RecordOf<typeof superBlock09>;
export type SuperBlock08 = RecordOf<typeof superBlock08>;
export type PeerMd = RecordOf<typeof peerSlot>;

const codec09 = record(0, superBlock09);
const codec08 = record(0, superBlock08);

function viewOf(bytes: Uint8Array): DataView {
  if (bytes.byteLength < blockBytes) throw new RangeError(`super block of ${bytes.byteLength} bytes`);
  return new DataView(bytes.buffer, bytes.byteOffset, blockBytes);
}

/** The magic of a 4 KiB block that may be a super block of any version. */
export function superBlockMagic(bytes: Uint8Array): number {
  return viewOf(bytes).getUint32(superBlock09.magic.at);
}

export function decodeSuperBlock(bytes: Uint8Array): SuperBlock {
  return codec09.get(viewOf(bytes), 0);
}

/** Fills the whole 4 KiB block. */
export function encodeSuperBlock(superBlock: SuperBlock, bytes: Uint8Array): void {
  const view = viewOf(bytes);
  bytes.fill(0, 0, blockBytes);
  codec09.set(view, 0, superBlock);
  for (let n = 0; n < nodeIdMax; n++) {
    const at = superBlock09.peers.at + n * 32 + peerSlot.flags.at;
    view.setUint32(at, (view.getUint32(at) & ~MDF_PEER.haveBitmap) >>> 0);
  }
}

export function decodeSuperBlock08(bytes: Uint8Array): SuperBlock08 {
  return codec08.get(viewOf(bytes), 0);
}

export function encodeSuperBlock08(superBlock: SuperBlock08, bytes: Uint8Array): void {
  const view = viewOf(bytes);
  bytes.fill(0, 0, blockBytes);
  codec08.set(view, 0, superBlock);
}

export function freshPeerMd(): PeerMd {
  return { bitmapUuid: 0n, bitmapDagtag: 0n, flags: 0, bitmapIndex: -1 };
}

/** What create-md writes, without the offsets. @spec metadata.md 10 */
export function freshSuperBlock(bmMaxPeers: number): SuperBlock {
  return {
    effectiveSize: 0,
    currentUuid: uuidJustCreated,
    members: 0n,
    deviceUuid: 0n,
    flags: MDF.alClean,
    magic: MdMagic.v09,
    mdSizeSect: 0,
    alOffset: 0,
    alNrExtents: 257,
    bmOffset: 0,
    bmBytesPerBit,
    laPeerMaxBioSize: 0,
    bmMaxPeers,
    nodeId: -1,
    alStripes: 1,
    alStripeSize4k: 8,
    peers: Array.from({ length: nodeIdMax }, freshPeerMd),
    historyUuids: Array.from({ length: historyUuids }, () => 0n),
  };
}

export function hasBitmap(peer: PeerMd): boolean {
  return peer.bitmapIndex !== -1;
}
