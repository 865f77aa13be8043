// SPDX-License-Identifier: GPL-2.0-or-later
import { count64, u64 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';

/** Before node ids. @spec wire.md 5.6 */
export const PUuids = packet({
  name: 'P_UUIDS',
  command: 0x0c,
  stream: 'data',
  scope: 'volume',
  versions: [86, 109],
  fields: {
    current: u64(), bitmap: u64(), history0: u64(), history1: u64(), dirtyBits: count64(), uuidFlags: u64(),
  },
});
export type PUuids = ValueOf<typeof PUuids>;

/** The sync source's new UUID when a resync starts. @spec wire.md 5.9 */
export const PSyncUuid = packet({
  name: 'P_SYNC_UUID',
  command: 0x0f,
  stream: 'data',
  scope: 'volume',
  versions: [86, 109],
  fields: { uuid: u64() },
});
export type PSyncUuid = ValueOf<typeof PSyncUuid>;
