// SPDX-License-Identifier: GPL-2.0-or-later
/** Positions in a Primary's stream of writes, in sectors. @spec wire.md 8.3, 8.4, 10.8 */
import { sectors, u32, u64 } from '../fields.ts';
import { NODE_ID_MAX } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';

/** All writes up to dagtag are finished on exactly the nodes in mask. */
export const PPeerAck = packet({
  name: 'P_PEER_ACK',
  command: 0x40,
  stream: 'control',
  scope: 'connection',
  versions: [110, 0xffff],
  fields: { mask: u64(), dagtag: sectors() },
});
export type PPeerAck = ValueOf<typeof PPeerAck>;

/** The position before the next write. */
export const PDagtag = packet({
  name: 'P_DAGTAG', command: 0x30, stream: 'data', scope: 'connection', versions: [110, 0xffff], fields: { dagtag: sectors() },
});
export type PDagtag = ValueOf<typeof PDagtag>;

/** Last position received from a Primary that was lost. */
export const PPeerDagtag = packet({
  name: 'P_PEER_DAGTAG',
  command: 0x43,
  stream: 'data',
  scope: 'connection',
  versions: [110, 0xffff],
  fields: { dagtag: sectors(), nodeId: u32({ max: NODE_ID_MAX }) },
});
export type PPeerDagtag = ValueOf<typeof PPeerDagtag>;
