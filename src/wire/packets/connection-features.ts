// SPDX-License-Identifier: GPL-2.0-or-later
import { pad, u32 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';

/**
 * First packet after P_INITIAL_DATA in both directions, always with header h80. protocolMax 0 means "= protocolMin".
 * Node ids are 0 from peers before 9.0. @spec wire.md 3
 */
export const PConnectionFeatures = packet({
  name: 'P_CONNECTION_FEATURES',
  command: 0xfffe,
  stream: 'data',
  scope: 'connection',
  fields: {
    protocolMin: u32(),
    featureFlags: u32({ hex: true }),
    protocolMax: u32(),
    senderNodeId: u32(),
    receiverNodeId: u32(),
    pad: pad(4),
    reserved: pad(48),
  },
});
export type PConnectionFeatures = ValueOf<typeof PConnectionFeatures>;
