// SPDX-License-Identifier: GPL-2.0-or-later
/** drbdmeta apply-al on a simulated disk, as drbdadm runs it before each attach. @spec metadata.md 7 */
import { assert } from '../assert.ts';
import { replayActivityLog } from '../meta/al-replay.ts';
import { encodeAlInitialized } from '../meta/al-transaction.ts';
import { bitsPerWord, wordIndex, wordsPerSlot } from '../meta/bitmap-layout.ts';
import { crc32c } from '../meta/crc32c.ts';
import { MDF } from '../meta/flags.ts';
import { bitsPerExtent, blockBytes, sectorBytes, sectorsPerBit, sectorsPerBlock } from '../meta/limits.ts';
import { mdLayout, usableSectors } from '../meta/layout.ts';
import type { MdLayout } from '../meta/layout.ts';
import { decodeSuperBlock, encodeSuperBlock } from '../meta/super-block.ts';
import type { SimDisk } from './disk.ts';

const INTERNAL = -1;
const ALL = 0xffff_ffff;

/** Internal meta-data. What was active when the node went down is out of sync in every slot afterwards. */
export function applyActivityLog(disk: SimDisk): void {
  // It is refused: the disk is in use.
  if (disk.claimedBy !== null) return;
  const { sectors } = disk.limits;
  const at = mdLayout({ metaDevIdx: INTERNAL, mdCapacity: sectors, bmMaxPeers: 1, alStripes: 1, alStripeSize4k: 8 }).superBlockSector;
  const block = disk.readBytes(at, sectorsPerBlock);
  const superBlock = decodeSuperBlock(block);
  if ((superBlock.flags & MDF.alClean) !== 0) return;
  const layout = mdLayout({ metaDevIdx: INTERNAL, mdCapacity: sectors, bmMaxPeers: superBlock.bmMaxPeers,
    alStripes: superBlock.alStripes, alStripeSize4k: superBlock.alStripeSize4k });
  const ring = disk.readBytes(at + layout.alOffset, layout.alSize4k * sectorsPerBlock);
  const replay = replayActivityLog(ring, crc32c);
  assert(replay.kind !== 'invalid', 'the activity log can be read');
  if (replay.kind === 'active') mark(disk, layout, replay.extents);
  const init = new Uint8Array(blockBytes);
  encodeAlInitialized(new DataView(init.buffer), init, 0, crc32c);
  for (let n = 0; n < layout.alSize4k; n++) disk.writeBytes(at + layout.alOffset + n * sectorsPerBlock, init);
  encodeSuperBlock({ ...superBlock, flags: superBlock.flags | MDF.alClean }, block);
  disk.writeBytes(at, block);
}

function mark(disk: SimDisk, layout: MdLayout, extents: readonly number[]): void {
  const from = layout.superBlockSector + layout.bmOffset;
  const bitmap = disk.readBytes(from, layout.bmSect);
  const view = new DataView(bitmap.buffer, bitmap.byteOffset, layout.bmSect * sectorBytes);
  const bits = Math.ceil(usableSectors(layout, disk.limits.sectors) / sectorsPerBit);
  for (const extent of extents) {
    const first = extent * bitsPerExtent / bitsPerWord;
    const last = Math.min(first + bitsPerExtent / bitsPerWord, wordsPerSlot(bits));
    for (let word = first; word < last; word++) {
      for (let slot = 0; slot < layout.bmMaxPeers; slot++) {
        view.setUint32(wordIndex(word * bitsPerWord, layout.bmMaxPeers, slot) * 4, ALL, true);
      }
    }
  }
  disk.writeBytes(from, bitmap);
}
