// SPDX-License-Identifier: GPL-2.0-or-later
/** Every packet by number. @spec wire.md 6 */
import { assert } from '../assert.ts';
import { PAuthChallenge, PAuthResponse } from './packets/auth.ts';
import { PBarrier, PBarrierAck, PConfirmStable } from './packets/barrier.ts';
import { PBitmap, PCompressedBitmap } from './packets/bitmap.ts';
import {
  PNegAck, PNegDreply, PNegRsDreply, POvResult, PRecvAck, PRetryWrite, PRsCancel, PRsCancelAhead, PRsDeallocatedId,
  PRsIsInSync, PRsNegAck, PRsWriteAck, PSuperseded, PWriteAck, PWriteAckInSync,
} from './packets/block-ack.ts';
import { POutOfSync, PPeersInSync, PRsDeallocated } from './packets/block-desc.ts';
import {
  PCsumRsRequest, PDataRequest, POvDagtagReply, POvDagtagReq, POvReply, POvRequest, PRsCsumDagtagReq, PRsDagtagReq,
  PRsDataRequest, PRsThinDagtagReq, PRsThinReq,
} from './packets/block-req.ts';
import { PConnectionFeatures } from './packets/connection-features.ts';
import { PDagtag, PPeerAck, PPeerDagtag } from './packets/dagtag.ts';
import { PData, PDataReply, PRsDataReply } from './packets/data.ts';
import { PDelayProbe } from './packets/delay-probe.ts';
import { PDisconnect, PInitialData, PInitialMeta, PPing, PPingAck, PUnplugRemote } from './packets/empty.ts';
import { PEnableReplication, PEnableReplicationNext } from './packets/enable-replication.ts';
import { PFlushForward, PFlushRequests, PFlushRequestsAck } from './packets/flush.ts';
import { POvResultId } from './packets/ov-result.ts';
import { PProtocol, PProtocolUpdate } from './packets/protocol.ts';
import { PSizes } from './packets/sizes.ts';
import { PConnStChgReply, PConnStChgReq, PState, PStateChgReply, PStateChgReq } from './packets/state.ts';
import { PSyncParam, PSyncParam89 } from './packets/sync-param.ts';
import { PTrim, PWsame, PZeroes } from './packets/trim.ts';
import { PTwopcAbort, PTwopcCommit, PTwopcNo, PTwopcPrepare, PTwopcPrepRsz, PTwopcRetry, PTwopcYes } from './packets/twopc.ts';
import { PSyncUuid, PUuids } from './packets/uuids.ts';
import { PCurrentUuid, PUuids110 } from './packets/uuids110.ts';
import type { Packet } from './schema.ts';

export type AnyPacket = Packet<any>;

export const PACKETS: readonly AnyPacket[] = [
  PData, PDataReply, PRsDataReply, PBarrier, PBitmap, PUnplugRemote, PDataRequest, PRsDataRequest, PSyncParam,
  PProtocol, PUuids, PSizes, PState, PSyncUuid, PAuthChallenge, PAuthResponse, PStateChgReq, PPing, PPingAck, PRecvAck,
  PWriteAck, PRsWriteAck, PSuperseded, PNegAck, PNegDreply, PNegRsDreply, PBarrierAck, PStateChgReply, POvRequest,
  POvReply, POvResult, PCsumRsRequest, PRsIsInSync, PSyncParam89, PCompressedBitmap, PDelayProbe, POutOfSync, PRsCancel,
  PConnStChgReq, PConnStChgReply, PRetryWrite, PProtocolUpdate, PTwopcPrepare, PTwopcAbort, PDagtag, PTrim, PRsThinReq,
  PRsDeallocated, PWsame, PTwopcPrepRsz, PZeroes, PPeerAck, PPeersInSync, PUuids110, PPeerDagtag, PCurrentUuid,
  PTwopcYes, PTwopcNo, PTwopcCommit, PTwopcRetry, PConfirmStable, PRsCancelAhead, PDisconnect, PRsDagtagReq,
  PRsCsumDagtagReq, PRsThinDagtagReq, POvDagtagReq, POvDagtagReply, PWriteAckInSync, PRsNegAck, POvResultId,
  PRsDeallocatedId, PFlushRequests, PFlushForward, PFlushRequestsAck, PEnableReplicationNext, PEnableReplication,
  PInitialMeta, PInitialData, PConnectionFeatures,
];

const byCommand = new Map<number, AnyPacket>();
for (const packet of PACKETS) {
  assert(!byCommand.has(packet.command), 'each command has one packet');
  byCommand.set(packet.command, packet);
}

export const packetOf = (command: number): AnyPacket | undefined => byCommand.get(command);

/** DRBD's name of a command, for logs. */
export const packetName = (command: number): string =>
  byCommand.get(command)?.name ?? `unknown packet 0x${command.toString(16).padStart(4, '0')}`;

/** Commands below this are ordinary packets; those above it belong to the start of a connection. */
export const COMMAND_TABLE_SIZE = 256;

/**
 * How a stream cuts a packet (`Framing.fixedBytes` of host/net.ts): bytes before block data, -1 where there is none.
 * `digestBytes`: of the agreed data-integrity algorithm, 0 without.
 */
export function fixedBytesTable(digestBytes: number): Int32Array {
  const table = new Int32Array(COMMAND_TABLE_SIZE).fill(-1);
  for (const packet of PACKETS) if (packet.blockData) table[packet.command] = packet.fixedBytes + digestBytes;
  return table;
}
