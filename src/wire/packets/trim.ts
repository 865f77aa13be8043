// SPDX-License-Identifier: GPL-2.0-or-later
/** Writes without data. size in bytes. @spec wire.md 7.1 */
import { Feature } from '../features.ts';
import { sectors, u32, u64 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';
import { bytesTail } from '../tails.ts';

const fields = { sector: sectors(), blockId: u64(), seqNum: u32(), dpFlags: u32({ hex: true }), size: u32() } as const;

export const PTrim = packet({
  name: 'P_TRIM', command: 0x31, stream: 'data', scope: 'volume', feature: Feature.trim, fields,
});
export type PTrim = ValueOf<typeof PTrim>;

export const PZeroes = packet({
  name: 'P_ZEROES', command: 0x36, stream: 'data', scope: 'volume', feature: Feature.wzeroes, fields,
});
export type PZeroes = ValueOf<typeof PZeroes>;

/** Of old senders only: no current driver sends it, nobody handles it. One logical block follows. */
export const PWsame = packet({
  name: 'P_WSAME',
  command: 0x34,
  stream: 'data',
  scope: 'volume',
  feature: Feature.wsame,
  fields,
  tail: bytesTail('block', 0, 4096),
});
