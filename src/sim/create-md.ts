// SPDX-License-Identifier: GPL-2.0-or-later
/** drbdmeta create-md on a simulated disk: internal meta-data, just created. @spec metadata.md 10 */
import { encodeAlInitialized } from '../meta/al-transaction.ts';
import { crc32c } from '../meta/crc32c.ts';
import { mdLayout } from '../meta/layout.ts';
import { blockBytes, bmBytesPerBit, historyUuids, nodeIdMax, sectorsPerBlock } from '../meta/limits.ts';
import { decodeSuperBlock, encodeSuperBlock, MdMagic, uuidJustCreated } from '../meta/super-block.ts';
import type { SuperBlock } from '../meta/super-block.ts';
import { MDF } from '../meta/flags.ts';
import type { SimDisk } from './disk.ts';

const INTERNAL = -1;

export function createSuperBlock(disk: SimDisk, maxPeers: number): void {
  const layout = mdLayout({ metaDevIdx: INTERNAL, mdCapacity: disk.limits.sectors, bmMaxPeers: maxPeers, alStripes: 1,
    alStripeSize4k: 8 });
  const block = new Uint8Array(blockBytes);
  encodeAlInitialized(new DataView(block.buffer), block, 0, crc32c);
  for (let i = 0; i < layout.alSize4k; i++) disk.writeBytes(layout.superBlockSector + layout.alOffset + i * sectorsPerBlock, block);
  encodeSuperBlock({
    effectiveSize: 0, currentUuid: uuidJustCreated, members: 0n, deviceUuid: 0x1234n, flags: MDF.alClean, magic: MdMagic.v09,
    mdSizeSect: layout.mdSizeSect, alOffset: layout.alOffset, alNrExtents: 1237, bmOffset: layout.bmOffset,
    bmBytesPerBit, laPeerMaxBioSize: 1 << 20, bmMaxPeers: maxPeers, nodeId: -1, alStripes: 1, alStripeSize4k: 8,
    peers: Array.from({ length: nodeIdMax }, () => ({ bitmapUuid: 0n, bitmapDagtag: 0n, flags: 0, bitmapIndex: -1 })),
    historyUuids: Array.from({ length: historyUuids }, () => 0n),
  }, block);
  disk.writeBytes(layout.superBlockSector, block);
}

/** drbdmeta set-gi and the like, on a disk that is not attached. */
export function editSuperBlock(disk: SimDisk, change: (superBlock: SuperBlock) => SuperBlock): void {
  const { superBlockSector } = mdLayout({ metaDevIdx: INTERNAL, mdCapacity: disk.limits.sectors, bmMaxPeers: 1, alStripes: 1, alStripeSize4k: 8 });
  const block = disk.readBytes(superBlockSector, sectorsPerBlock);
  encodeSuperBlock(change(decodeSuperBlock(block)), block);
  disk.writeBytes(superBlockSector, block);
}
