// SPDX-License-Identifier: GPL-2.0-or-later
import { u32 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';

/** Never sent by current releases; ignored on either stream. */
export const PDelayProbe = packet({
  name: 'P_DELAY_PROBE',
  command: 0x27,
  stream: 'data',
  scope: 'connection',
  versions: [93, 0xffff],
  fields: { seqNum: u32(), offsetUs: u32() },
});
export type PDelayProbe = ValueOf<typeof PDelayProbe>;
