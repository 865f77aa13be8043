// SPDX-License-Identifier: GPL-2.0-or-later
/** Epochs. barrier is opaque to the receiver; setSize counts the epoch's writes. @spec wire.md 8.1, 8.2 */
import { pad, u32, u64 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';

export const PBarrier = packet({
  name: 'P_BARRIER', command: 0x03, stream: 'data', scope: 'connection', fields: { barrier: u32({ hex: true }), pad: pad(4) },
});
export type PBarrier = ValueOf<typeof PBarrier>;

export const PBarrierAck = packet({
  name: 'P_BARRIER_ACK',
  command: 0x1c,
  stream: 'control',
  scope: 'connection',
  fields: { barrier: u32({ hex: true }), setSize: u32() },
});
export type PBarrierAck = ValueOf<typeof PBarrierAck>;

/** The setSize oldest requests of the open epoch are stable. */
export const PConfirmStable = packet({
  name: 'P_CONFIRM_STABLE',
  command: 0x49,
  stream: 'control',
  scope: 'connection',
  versions: [114, 0xffff],
  fields: { oldestBlockId: u64(), youngestBlockId: u64(), setSize: u32(), pad: pad(4) },
});
export type PConfirmStable = ValueOf<typeof PConfirmStable>;
