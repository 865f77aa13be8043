// SPDX-License-Identifier: GPL-2.0-or-later
/** A sync target waits until all Primaries' writes have met the bitmaps. @spec wire.md 10.9 */
import { count64, u32 } from '../fields.ts';
import { NODE_ID_MAX } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';

const versions = [123, 0xffff] as const;

export const PFlushRequests = packet({
  name: 'P_FLUSH_REQUESTS',
  command: 0x55,
  stream: 'data',
  scope: 'connection',
  versions,
  fields: { flushSequence: count64() },
});
export type PFlushRequests = ValueOf<typeof PFlushRequests>;

export const PFlushForward = packet({
  name: 'P_FLUSH_FORWARD',
  command: 0x56,
  stream: 'control',
  scope: 'connection',
  versions,
  fields: { flushSequence: count64(), initiatorNodeId: u32({ max: NODE_ID_MAX }) },
});
export type PFlushForward = ValueOf<typeof PFlushForward>;

export const PFlushRequestsAck = packet({
  name: 'P_FLUSH_REQUESTS_ACK',
  command: 0x57,
  stream: 'data',
  scope: 'connection',
  versions,
  fields: { flushSequence: count64(), primaryNodeId: u32({ max: NODE_ID_MAX }) },
});
export type PFlushRequestsAck = ValueOf<typeof PFlushRequestsAck>;
