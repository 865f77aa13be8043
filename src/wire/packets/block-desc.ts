// SPDX-License-Identifier: GPL-2.0-or-later
/** Areas of a volume; blksize in bytes. */
import { Feature } from '../features.ts';
import { pad, sectors, u32, u64 } from '../fields.ts';
import { packet, type ValueOf } from '../schema.ts';

const fields = { sector: sectors(), blksize: u32(), pad: pad(4) } as const;

/** "Written here without replicating it to you." @spec wire.md 10.6 */
export const POutOfSync = packet({
  name: 'P_OUT_OF_SYNC', command: 0x28, stream: 'data', scope: 'volume', versions: [96, 0xffff], fields,
});
export type PBlockDesc = ValueOf<typeof POutOfSync>;

/** @spec wire.md 10.3 */
export const PRsDeallocated = packet({
  name: 'P_RS_DEALLOCATED',
  command: 0x33,
  stream: 'data',
  scope: 'volume',
  versions: [86, 121],
  feature: Feature.thinResync,
  fields,
});

/** The nodes in mask have the same data as the sender there. size in bytes. @spec wire.md 10.7 */
export const PPeersInSync = packet({
  name: 'P_PEERS_IN_SYNC',
  command: 0x41,
  stream: 'control',
  scope: 'volume',
  versions: [110, 0xffff],
  fields: { sector: sectors(), mask: u64(), size: u32(), pad: pad(4) },
});
export type PPeersInSync = ValueOf<typeof PPeersInSync>;
