// SPDX-License-Identifier: GPL-2.0-or-later
import { pad, sectors, u32, u64 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';

export const OvResult = { skipped: 0, inSync: 1, outOfSync: 2 } as const;

/** @spec wire.md 10.5 */
export const POvResultId = packet({
  name: 'P_OV_RESULT_ID',
  command: 0x53,
  stream: 'control',
  scope: 'volume',
  versions: [122, 0xffff],
  fields: {
    sector: sectors(), blockId: u64(), blksize: u32(), seqNum: u32(), result: u32({ max: OvResult.outOfSync }), pad: pad(4),
  },
});
export type POvResultId = ValueOf<typeof POvResultId>;
