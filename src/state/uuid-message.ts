// SPDX-License-Identifier: GPL-2.0-or-later
/** P_UUIDS110 as a value: what is sent, and what receiving one changes. @spec uuid.md 1.4, 1.8, hazards.md 15.4 */
import { Disk, Repl, Role, UuidFlag, isSyncTarget } from './states.ts';
import { authoritativeNodes, isListed, isStable, localUuidFlags, movedTo, nodeBit, resolvedUuid, weakNodes } from './uuid-ops.ts';
import type { LocalFlagsInput } from './uuid-ops.ts';
import { markNodeExists } from './uuid-generation.ts';
import { historyLength, nodeIds, uuidEq, uuidUnknown } from './uuid-types.ts';
import type { DeviceContext, DeviceUuids, PeerContext, PeerUuids, SentUuids } from './uuid-types.ts';
import type { NodeMask } from './types.ts';

/** Fields of P_UUIDS110 (wire.md 5.7). */
export interface UuidsMessage {
  readonly currentUuid: bigint;
  readonly dirtyBits: number;
  /** UuidFlag bits. */
  readonly flags: number;
  /** Node id that goes into the top byte with hasUnalloc; -1: none. */
  readonly unallocNodeId: number;
  readonly nodeMask: NodeMask;
  /** Ascending node id. */
  readonly bitmapUuids: readonly { readonly nodeId: number; readonly uuid: bigint }[];
  readonly historyUuids: readonly bigint[];
  /** PeerUuids.former */
  readonly former: bigint;
}

export interface UuidsToSend {
  readonly message: UuidsMessage;
  /** comm_*: what the next handshake is decided on. */
  readonly sent: SentUuids;
}

/** A target does not know its base for a source with another generation. */
function toldBitmapUuid(device: DeviceContext, n: number): bigint {
  const uuid = device.uuids.peers[n].bitmapUuid;
  const source = device.peers.find((peer) => peer.nodeId === n);
  const unknown = uuid === 0n && source !== undefined && isSyncTarget(source.repl)
    && source.uuids.currentUuid !== 0n && !uuidEq(source.uuids.currentUuid, device.uuids.currentUuid);
  return unknown ? uuidUnknown : uuid;
}

/** The day-0 hint: an id never used, while a bitmap slot really is free. */
function unallocatedNode(device: DeviceContext, peerNodeId: number): number {
  const { peers } = device.uuids;
  const used = peers.filter((slot) => slot.bitmapIndex !== -1).length;
  if (used >= device.maxPeers) return -1;
  return peers.findIndex((slot, n) => n !== device.nodeId && n !== peerNodeId && !isListed(slot)
    && slot.bitmapUuid !== 0n);
}

/** Node ids whose bitmap UUIDs the peer is told, ascending. */
export function toldNodes(device: DeviceContext, peerNodeId: number): readonly number[] {
  const hint = unallocatedNode(device, peerNodeId);
  return device.uuids.peers.flatMap((slot, n) => (isListed(slot) || n === hint ? [n] : []));
}

/** `flags`: the packet's own (newDatagen, …); `givenMask`: weak nodes or 0; `dirtyBits`: of the peer's slot. */
export function uuidsToSend(device: DeviceContext, peer: PeerContext, flags: number, givenMask: NodeMask,
  dirtyBits: number, local: LocalFlagsInput): UuidsToSend {
  const { peers } = device.uuids;
  const unallocNodeId = unallocatedNode(device, peer.nodeId);
  const localFlags = localUuidFlags(device, peer.nodeId, local);
  const currentUuid = resolvedUuid(device, peer.nodeId);
  return {
    message: {
      currentUuid, dirtyBits, unallocNodeId,
      flags: flags | localFlags | (unallocNodeId >= 0 ? UuidFlag.hasUnalloc : 0),
      nodeMask: isStable(device) ? givenMask : authoritativeNodes(device),
      bitmapUuids: toldNodes(device, peer.nodeId).map((nodeId) => ({ nodeId, uuid: toldBitmapUuid(device, nodeId) })),
      historyUuids: device.uuids.historyUuids, former: local.former,
    },
    sent: { currentUuid, bitmapUuid: peers[peer.nodeId].bitmapUuid, flags: localFlags, dirtyBits },
  };
}

export interface ReceivedUuids {
  readonly peerUuids: PeerUuids;
  /** With NODE_EXISTS set where the peer listed ids without a bitmap here. Unchanged object if nothing is new. */
  readonly uuids: DeviceUuids;
  /** In what is known of these nodes, the bitmap UUID for the sender is 0 now. */
  readonly zeroIn: readonly number[];
}

/** Items 1 and 2 of uuid.md 1.8. Nothing received goes into the own history (hazards.md 15.4). `late`: the peer has moved on since. */
export function receiveUuids(device: DeviceContext, peer: PeerContext, message: UuidsMessage, late = false): ReceivedUuids {
  const bitmapUuids = Array.from({ length: nodeIds }, () => uuidUnknown);
  for (const { nodeId, uuid } of message.bitmapUuids) bitmapUuids[nodeId] = uuid;
  // A late packet must not undo what a diskless Primary has just told.
  const undoes = device.role === Role.primary && device.disk === Disk.diskless
    && uuidEq(peer.uuids.currentUuid, device.exposedUuid)
    && peer.sent !== null && uuidEq(peer.sent.currentUuid, device.exposedUuid);
  const history = message.historyUuids.slice(0, historyLength);
  const told: PeerUuids = {
    currentUuid: message.currentUuid,
    bitmapUuids,
    historyUuids: [...history, ...Array.from({ length: historyLength - history.length }, () => 0n)],
    dirtyBits: message.dirtyBits,
    flags: message.flags,
    nodeMask: message.nodeMask,
    former: message.former,
  };
  const peerUuids = late || undoes ? movedTo(told, peer.uuids.currentUuid, weakNodes(device)) : told;
  let { uuids } = device;
  if (device.disk >= Disk.inconsistent) {
    for (const { nodeId } of message.bitmapUuids) {
      if (nodeId !== message.unallocNodeId && uuids.peers[nodeId].bitmapIndex === -1) {
        uuids = markNodeExists(uuids, nodeId);
      }
    }
  }
  const zeroIn = bitmapUuids.flatMap((uuid, n) => {
    const old = peer.uuids.bitmapUuids[n];
    const other = device.peers.find(({ nodeId }) => nodeId === n);
    // They were equal, but the other has moved on since: that is its base for the sender.
    const movedOn = other !== undefined && uuidEq(other.uuids.bitmapUuids[peer.nodeId], message.currentUuid);
    return uuid === 0n && old !== 0n && old !== uuidUnknown && !movedOn ? [n] : [];
  });
  return { peerUuids, uuids, zeroIn };
}

/** Is self SyncTarget or PausedSyncT of a peer that is not STABLE? (item 11) */
export function sourceIsUnstable(peer: PeerContext): boolean {
  return isSyncTarget(peer.repl) && (peer.uuids.flags & UuidFlag.stable) === 0;
}

/** drbd_stable_sync_source_present. @spec state.md 9.4 */
export function stableSyncSourcePresent(device: DeviceContext, except: PeerContext,
  twoPrimariesAllowed: (nodeId: number) => boolean): boolean {
  const authoritative = (except.uuids.flags & UuidFlag.stable) === 0 ? except.uuids.nodeMask : 0n;
  if ((authoritative & nodeBit(device.nodeId)) !== 0n) return true;
  return device.peers.some((peer) => {
    const active = peer.repl === Repl.established || peer.repl === Repl.wfBitMapS
      || (peer.repl >= Repl.syncSource && peer.repl < Repl.ahead);
    if (peer.nodeId === except.nodeId || !active) return false;
    return (authoritative & nodeBit(peer.nodeId)) !== 0n
      || (peer.peerRole === Role.primary && !twoPrimariesAllowed(peer.nodeId))
      || (isSyncTarget(peer.repl) && (peer.uuids.flags & UuidFlag.stable) !== 0);
  });
}
