// SPDX-License-Identifier: GPL-2.0-or-later
/** Packets without a body. @spec wire.md 1.2, 7.6, 12, 13 */
import { packet, type StreamName, type ValueOf } from '../schema.ts';

const empty = (name: string, command: number, stream: StreamName, versions?: readonly [number, number]) =>
  packet({ name, command, stream, scope: 'connection', fields: {}, ...(versions && { versions }) });

/** First packet on a new TCP connection: it shall be the control stream. */
export const PInitialMeta = empty('P_INITIAL_META', 0xfff1, 'control');
/** First packet on a new TCP connection: it shall be the data stream. */
export const PInitialData = empty('P_INITIAL_DATA', 0xfff2, 'data');
export const PUnplugRemote = empty('P_UNPLUG_REMOTE', 0x07, 'data');
export const PPing = empty('P_PING', 0x13, 'control');
export const PPingAck = empty('P_PING_ACK', 0x14, 'control');
/** "Stop, go StandAlone", after a handshake that failed for good. */
export const PDisconnect = empty('P_DISCONNECT', 0x4b, 'data', [118, 0xffff]);

export type PEmpty = ValueOf<typeof PPing>;
