// SPDX-License-Identifier: GPL-2.0-or-later
/** Block data: writes and answers to reads. blockId is the creator's business: the other side stores and returns it. */
import { sectors, u32, u64 } from '../fields.ts';
import { DIGEST_BYTES_MAX, MAX_BIO_BYTES } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';
import { bytesTail } from '../tails.ts';

/** dpFlags of P_DATA, P_TRIM and P_ZEROES. @spec wire.md 7.1 */
export const DpFlag = {
  hardbarrier: 1,
  rwSync: 2,
  maySetInSync: 4,
  unplug: 8,
  fua: 16,
  flush: 32,
  discard: 64,
  sendReceiveAck: 128,
  sendWriteAck: 256,
  wsame: 512,
  zeroes: 1024,
} as const;

/** In acks of resync writes before version 122, and never a real block id. */
export const ID_SYNCER = 0xffff_ffff_ffff_ffffn;

/** The common part of 24 bytes; digest, if agreed, and data follow it and are not told apart here. */
const common = (name: string, command: number) => packet({
  name,
  command,
  stream: 'data',
  scope: 'volume',
  blockData: true,
  fields: { sector: sectors(), blockId: u64(), seqNum: u32(), dpFlags: u32({ hex: true }) },
  tail: bytesTail('data', 0, DIGEST_BYTES_MAX + MAX_BIO_BYTES),
});

/** @spec wire.md 7.1 */
export const PData = common('P_DATA', 0x00);
export type PData = ValueOf<typeof PData>;
/** seqNum and dpFlags are 0 in both replies. @spec wire.md 7.5, 10.3 */
export const PDataReply = common('P_DATA_REPLY', 0x01);
export const PRsDataReply = common('P_RS_DATA_REPLY', 0x02);
