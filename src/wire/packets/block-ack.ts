// SPDX-License-Identifier: GPL-2.0-or-later
/** The ack layout: sector and blockId as in the request, blksize in bytes. @spec wire.md 7.1, 7.2, 10.3 */
import { Feature } from '../features.ts';
import { sectors, u32, u64 } from '../fields.ts';
import { packet, type StreamName, type ValueOf } from '../schema.ts';

interface Differences {
  readonly versions?: readonly [number, number];
  readonly feature?: number;
  readonly stream?: StreamName;
}

const ack = (name: string, command: number, differences: Differences = {}) => packet({
  name,
  command,
  stream: 'control',
  scope: 'volume',
  ...differences,
  fields: { sector: sectors(), blockId: u64(), blksize: u32(), seqNum: u32() },
});

export const PRecvAck = ack('P_RECV_ACK', 0x15);
export type PBlockAck = ValueOf<typeof PRecvAck>;
export const PWriteAck = ack('P_WRITE_ACK', 0x16);
export const PRsWriteAck = ack('P_RS_WRITE_ACK', 0x17);
export const PSuperseded = ack('P_SUPERSEDED', 0x18, { versions: [86, 109] });
export const PNegAck = ack('P_NEG_ACK', 0x19);
export const PNegDreply = ack('P_NEG_DREPLY', 0x1a);
export const PNegRsDreply = ack('P_NEG_RS_DREPLY', 0x1b);
/** Result of a verify up to version 121: blockId is one of OvResultCode. */
export const POvResult = ack('P_OV_RESULT', 0x20, { versions: [88, 121] });
export const PRsIsInSync = ack('P_RS_IS_IN_SYNC', 0x22, { versions: [89, 0xffff] });
export const PRsCancel = ack('P_RS_CANCEL', 0x29, { versions: [96, 0xffff] });
export const PRetryWrite = ack('P_RETRY_WRITE', 0x2c, { versions: [100, 109] });
export const PRsCancelAhead = ack('P_RS_CANCEL_AHEAD', 0x4a, { versions: [115, 0xffff] });
export const PWriteAckInSync = ack('P_WRITE_ACK_IN_SYNC', 0x51, { versions: [122, 0xffff] });
export const PRsNegAck = ack('P_RS_NEG_ACK', 0x52, { versions: [122, 0xffff] });
/** A resync reply without data, hence on the data stream; its seqNum is 0. */
export const PRsDeallocatedId = ack(
  'P_RS_DEALLOCATED_ID', 0x54, { versions: [122, 0xffff], stream: 'data', feature: Feature.thinResync },
);

export const OvResultCode = { skipped: 4710n, inSync: 4711n, outOfSync: 4712n } as const;
