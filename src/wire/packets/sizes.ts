// SPDX-License-Identifier: GPL-2.0-or-later
import { sectors, u16, u32, u8 } from '../fields.ts';
import { Feature } from '../features.ts';
import { packet, type ValueOf } from '../schema.ts';
import { groupTail } from '../tails.ts';
import { agreedOn } from '../versions.ts';

export const DdsFlag = { assumePeerHasSpace: 1, noResync: 2, ignorePeerConstraints: 4 } as const;

/** dSize, uSize, cSize in sectors (disk, wished, exported); the rest in bytes. @spec wire.md 5.5 */
export const PSizes = packet({
  name: 'P_SIZES',
  command: 0x0d,
  stream: 'data',
  scope: 'volume',
  fields: {
    dSize: sectors(),
    uSize: sectors(),
    cSize: sectors(),
    maxBioSize: u32(),
    queueOrderType: u16(),
    ddsFlags: u16({ hex: true }),
  },
  tail: groupTail(
    'qlim',
    {
      physicalBlockSize: u32(),
      logicalBlockSize: u32(),
      alignmentOffset: u32(),
      ioMin: u32(),
      ioOpt: u32(),
      discardEnabled: u8(),
      discardZeroesData: u8(),
      writeSameCapable: u8(),
      /** log2 of the bytes per bitmap bit, minus 12; 0 without feature BM_BLOCK_SHIFT. */
      bmBlockShift: u8(),
    },
    (agreed) => agreedOn(agreed, Feature.wsame),
  ),
});
export type PSizes = ValueOf<typeof PSizes>;
