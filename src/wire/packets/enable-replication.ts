// SPDX-License-Identifier: GPL-2.0-or-later
import { Feature } from '../features.ts';
import { pad, u8 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';

const shape = {
  stream: 'data',
  scope: 'volume',
  feature: Feature.resyncWithoutReplication,
  fields: { enable: u8({ max: 1 }), pad: pad(3) },
} as const;

/** Only between peers that both offer the feature. @spec wire.md 10.10 */
export const PEnableReplicationNext = packet({ name: 'P_ENABLE_REPLICATION_NEXT', command: 0x58, ...shape });
export const PEnableReplication = packet({ name: 'P_ENABLE_REPLICATION', command: 0x59, ...shape });
export type PEnableReplication = ValueOf<typeof PEnableReplication>;
