// SPDX-License-Identifier: GPL-2.0-or-later
/** Cold packets: what the state of this moment looks like on the wire. @spec wire.md 5, 11 */
import { hearsOfLoss } from '../state/facts.ts';
import { deviceSectorsMax } from '../state/size-agreement.ts';
import { diskOf, stateWordOf } from '../state/state-word.ts';
import { Disk, Role, UuidFlag } from '../state/states.ts';
import type { TwopcEnd, TwopcPacket, TwopcPrepare, TwopcPrepareResize, TwopcReply } from '../state/twopc-types.ts';
import { mayFollow } from '../state/uuid-diskless.ts';
import { uuidsToSend } from '../state/uuid-message.ts';
import type { UuidsMessage } from '../state/uuid-message.ts';
import { bit, connectionIndex, deviceIndex } from '../state/view.ts';
import { Feature } from '../wire/features.ts';
import { PPeerDagtag } from '../wire/packets/dagtag.ts';
import { PDisconnect } from '../wire/packets/empty.ts';
import { PSizes } from '../wire/packets/sizes.ts';
import { PState } from '../wire/packets/state.ts';
import { PSyncParam89 } from '../wire/packets/sync-param.ts';
import {
  PTwopcAbort, PTwopcCommit, PTwopcCommitResize, PTwopcNo, PTwopcPrepare, PTwopcPrepRsz, PTwopcReplyResize, PTwopcRetry,
  PTwopcYes, TwopcFlag,
} from '../wire/packets/twopc.ts';
import { PCurrentUuid, PUuids110, UNALLOC_NODE_ID_SHIFT } from '../wire/packets/uuids110.ts';
import type { Connection } from './connection.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';
import { ownSizes } from './sizes.ts';
import { deviceContext, localFlags, peerContext, weak } from './uuids.ts';

const PROTOCOL_A = 1;

/** P_STATE. vnr -1: of the resource. The disk state in it is what a handshake is decided on. */
export function state(resource: Resource, nodeId: number, vnr: number, word: number): void {
  const connection = resource.connections.get(nodeId);
  if (!connection?.conn.send(PState, vnr, { state: word })) return;
  const pd = connection.peerDevices.get(vnr);
  if (pd) pd.sentDisk = diskOf(word);
}

export function currentState({ device: { resource, vnr }, connection: { nodeId } }: PeerDevice): void {
  const { view } = resource;
  state(resource, nodeId, vnr, stateWordOf(view, deviceIndex(view, vnr), connectionIndex(view, nodeId)));
}

/** P_UUIDS110 with these flags added, or P_CURRENT_UUID without an attached disk. `nodeMask`: weak nodes or 0. @spec uuid.md 1.4 */
export function uuids(pd: PeerDevice, flags: number, nodeMask?: bigint): void {
  const { device, connection: { nodeId, conn } } = pd;
  const { resource, vnr, disk } = device;
  if (conn.link === null) return;
  const row = resource.deviceRow(vnr);
  if (!disk || row.disk < Disk.negotiating) {
    const { follows } = resource.peerDeviceRow(vnr, nodeId);
    return currentUuid(pd, row.exposedUuid, weak(device) & ~(follows ? bit(nodeId) : 0n));
  }
  const mask = nodeMask ?? ((flags & UuidFlag.newDatagen) !== 0 ? weak(device) : 0n);
  const { message, sent } = uuidsToSend(deviceContext(device), peerContext(pd), flags, mask, disk.bitsFor(nodeId), localFlags(pd));
  pd.sent = sent;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { commCurrentUuid: sent.currentUuid } });
  conn.send(PUuids110, vnr, encoded(message, resource.nodeId));
  pd.toldUnused = message.former !== 0n;
}

/** In the slot of its own id a node tells what its generation is of, if that is unused. */
function encoded(m: UuidsMessage, ownNodeId: number): PUuids110 {
  const others = m.bitmapUuids.filter(({ nodeId }) => nodeId !== ownNodeId);
  const bitmapUuids = m.former === 0n ? m.bitmapUuids
    : [...others, { nodeId: ownNodeId, uuid: m.former }].sort((a, b) => a.nodeId - b.nodeId);
  const unalloc = m.unallocNodeId < 0 ? 0n : BigInt(m.unallocNodeId) << UNALLOC_NODE_ID_SHIFT;
  return {
    currentUuid: m.currentUuid, dirtyBits: m.dirtyBits, uuidFlags: BigInt(m.flags) | unalloc, nodeMask: m.nodeMask,
    bitmapUuidsMask: bitmapUuids.reduce((mask, { nodeId }) => mask | 1n << BigInt(nodeId), 0n),
    bitmapUuids: bitmapUuids.map(({ uuid }) => uuid), historyUuids: [...m.historyUuids],
  };
}

/** P_CURRENT_UUID. */
export function currentUuid(pd: PeerDevice, uuid: bigint, weakNodes: bigint): void {
  const { device: { resource, vnr }, connection: { nodeId, conn } } = pd;
  if (!conn.send(PCurrentUuid, vnr, { uuid, weakNodes })) return;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { commCurrentUuid: uuid } });
}

export function sizes(pd: PeerDevice, ddsFlags = 0): void {
  pd.connection.conn.send(PSizes, pd.device.vnr, ownSizes(pd.device, ddsFlags));
}

export function syncParam({ device: { vnr }, connection: { conn, netConf }, conf }: PeerDevice): void {
  conn.send(PSyncParam89, vnr, {
    resyncRate: conf.resyncRate, verifyAlg: netConf.verifyAlg, csumsAlg: netConf.csumsAlg,
    controller: { cPlanAhead: conf.cPlanAhead, cDelayTarget: conf.cDelayTarget, cFillTarget: conf.cFillTarget,
      cMaxRate: conf.cMaxRate },
  });
}

/**
 * The quadruple of every volume; UUIDs are not to change until the connect is over. A generation that is not on the disk yet
 * might never be there, so it is told to nobody, and the peer's packets wait as well. @spec uuid.md 4.2
 */
export function initialPackets(connection: Connection): void {
  const { resource, conn, peerDevices } = connection;
  const storing = [...peerDevices.values()].find(({ device }) => device.storingUuid)?.device;
  if (storing === undefined) return tellVolumes(connection);
  const { link } = conn;
  const tid = resource.view.twopc?.packet.tid;
  link?.wait(true);
  storing.whenUuidIsStored(() => {
    if (conn.link !== link) return;
    if (resource.view.twopc?.packet.tid === tid) initialPackets(connection);
    link?.wait(false);
  });
}

function tellVolumes({ resource, nodeId, peerDevices }: Connection): void {
  for (const pd of peerDevices.values()) {
    const { vnr } = pd.device;
    resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { holdingUuidLock: true, follows: follows(pd) } });
    initialVolumePackets(pd);
  }
}

/** It is drbdd as well. */
export const reconcilesBits = ({ resource, nodeId }: Connection): boolean =>
  (resource.connectionRow(nodeId).agreedFeatures & Feature.reconcileBits) !== 0;

/** drbdd as well, and no write is answered before it has got there. */
export const writesTogether = (connection: Connection): boolean =>
  reconcilesBits(connection) && connection.netConf.wireProtocol !== PROTOCOL_A;

/** Such a peer knows what it means that it is not among the weak nodes; protocol A completes writes that nobody has. */
export function follows(pd: PeerDevice): boolean {
  const { device, connection } = pd;
  return writesTogether(connection) && mayFollow(deviceContext(device), peerContext(pd));
}

/** The same of a volume that is new on a Connected connection. @spec uuid.md 4.3 */
export function initialVolumePackets(pd: PeerDevice): void {
  const { device, connection: { nodeId } } = pd;
  const { resource, vnr } = device;
  syncParam(pd);
  sizes(pd);
  uuids(pd, 0, resource.view.resource.role === Role.primary ? weak(device) : 0n);
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { initialStateSent: true } });
  currentState(pd);
  device.disk?.degraded.delete(nodeId);
}

export function disconnect({ conn }: Connection): void {
  conn.send(PDisconnect, -1, {});
}

/** The answers of whoever got a PREPARE need a live control stream: a ping goes with it. */
export function twopc(connection: Connection, packet: TwopcPacket): void {
  const { conn } = connection;
  const head = { tid: packet.tid, initiatorNodeId: packet.initiator, targetNodeId: packet.target, nodesToReach: packet.nodesToReach };
  switch (packet.kind) {
    case 'prepare': {
      const flags = TwopcFlag.hasFlags + (packet.hasReachable ? TwopcFlag.hasReachable : 0);
      conn.send(PTwopcPrepare, packet.vnr, { ...head, flags, mask: packet.mask, val: packet.val });
      break;
    }
    case 'prepareResize':
      conn.send(PTwopcPrepRsz, packet.vnr,
        { ...head, flags: TwopcFlag.hasFlags, userSize: packet.userSizeSectors, ddsFlags: packet.ddsFlags });
      break;
    case 'commit':
    case 'abort': return twopcEnd(connection, packet, head);
  }
  connection.prepared = packet;
  conn.ping(() => {});
}

type Head = { readonly tid: number; readonly initiatorNodeId: number; readonly targetNodeId: number; readonly nodesToReach: bigint };

function twopcEnd({ conn, prepared }: Connection, packet: TwopcEnd, head: Head): void {
  if (packet.kind === 'commit' && prepared?.tid === packet.tid && prepared.kind === 'prepareResize') {
    conn.send(PTwopcCommitResize, packet.vnr, { ...head, flags: TwopcFlag.hasFlags,
      diskfulPrimaryNodes: packet.diskfulPrimaryNodes, exposedSize: packet.newSizeSectors });
    return;
  }
  const flags = TwopcFlag.hasFlags + (packet.hasReachable ? TwopcFlag.hasReachable : 0)
    + (packet.priIncapable ? TwopcFlag.priIncapable : 0);
  const reachableNodes = packet.hasReachable ? packet.reachableNodes : maskAndVal(prepared, packet);
  const definition = packet.kind === 'commit' ? PTwopcCommit : PTwopcAbort;
  conn.send(definition, packet.vnr, { ...head, flags, primaryNodes: packet.primaryNodes, reachableNodes });
}

/** What stands in the place of reachable_nodes for a peer that does not know them. */
function maskAndVal(prepared: TwopcPrepare | TwopcPrepareResize | null, { kind, tid }: TwopcEnd): bigint {
  if (kind === 'abort' || prepared?.tid !== tid || prepared.kind !== 'prepare') return 0n;
  return BigInt(prepared.mask) << 32n | BigInt(prepared.val);
}

export function twopcReply({ conn, resource }: Connection, packet: TwopcReply): void {
  const head = { tid: packet.tid, initiatorNodeId: packet.initiator, reachableNodes: packet.reachableNodes };
  const ongoing = resource.view.twopc?.packet;
  if (packet.kind === 'yes' && ongoing?.kind === 'prepareResize' && ongoing.tid === packet.tid) {
    const maxPossibleSize = BigInt(Math.min(packet.maxPossibleSize, deviceSectorsMax));
    conn.send(PTwopcReplyResize, packet.vnr, { ...head, diskfulPrimaryNodes: packet.diskfulPrimaryNodes, maxPossibleSize });
    return;
  }
  const definition = { yes: PTwopcYes, no: PTwopcNo, retry: PTwopcRetry }[packet.kind];
  conn.send(definition, packet.vnr, { ...head, primaryNodes: packet.primaryNodes, weakNodes: packet.weakNodes });
}

/** `done` once all of them have answered or are lost, and what a loss means is known; a silent one is lost. */
export function pingAll(resource: Resource, nodeIds: readonly number[], done: () => void): void {
  const { clock } = resource.engine.host;
  let left = 1;
  const ended = (): void => { if (--left === 0) done(); };
  // A loss is told to those who wait before the state machine hears of it: quorum may go with it.
  const answered = (alive: boolean): void => {
    if (alive) ended();
    else clock.soon({ name: 'ping of a lost peer', queued: false, run: ended });
  };
  for (const nodeId of nodeIds) {
    const connection = resource.connections.get(nodeId);
    if (!connection) continue;
    left++;
    connection.conn.ping(answered);
  }
  ended();
}

/** To everybody else: the generation that we have, and how far we had heard the lost Primary. @spec uuid.md 1.12 row 19 */
export function lostPrimary(resource: Resource, lostNodeId: number): void {
  const dagtag = resource.connections.get(lostNodeId)?.io.writes.lastDagtag ?? 0;
  for (const connection of resource.connections.values()) {
    if (connection.nodeId === lostNodeId) continue;
    let told = false;
    for (const pd of connection.peerDevices.values()) {
      const { device } = pd;
      const row = resource.deviceRow(device.vnr);
      if (!hearsOfLoss(row, resource.peerDeviceRow(device.vnr, connection.nodeId))) continue;
      currentUuid(pd, row.currentUuid, weak(device));
      told = true;
    }
    if (!told) continue;
    connection.toldLoss = lostNodeId;
    connection.conn.send(PPeerDagtag, -1, { dagtag, nodeId: lostNodeId });
  }
}
