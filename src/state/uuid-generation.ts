// SPDX-License-Identifier: GPL-2.0-or-later
/** New data generations: made here, or received. @spec uuid.md 1.6, 1.7, 1.12 */
import { LogLevel } from '../host/log.ts';
import { Disk, PeerFlag, Repl, Role, UuidFlag } from './states.ts';
import {
  UuidDraft, inMask, nodeBit, rotate, weakNodes, withRole,
} from './uuid-ops.ts';
import {
  nodeIds, uuidEq, uuidJustCreated, uuidPrimaryBit, uuidText, uuidUnknown,
} from './uuid-types.ts';
import type { DeviceContext, DeviceUuids, LogLine, PeerContext } from './uuid-types.ts';
import type { NodeMask } from './types.ts';

export type Random64 = () => bigint;

export interface NewCurrent {
  readonly uuid: bigint;
  /** Goes into node_mask of P_UUIDS110 (with disk) or P_CURRENT_UUID (without). */
  readonly weak: NodeMask;
  readonly log: LogLine;
}

/** Exactly L_ESTABLISHED with an Inconsistent disk: it does not count when a Primary is forced. */
const lacksData = (peer: PeerContext): boolean => peer.repl === Repl.established && peer.pdsk === Disk.inconsistent;

/** Consistent: neither written to nor told what it misses. If it turns out to be good, it is so in the generation before. */
const isUnsure = (peer: PeerContext): boolean => peer.repl >= Repl.established && peer.pdsk === Disk.consistent;

const nodesOf = (peers: readonly PeerContext[]): NodeMask => peers.reduce((mask, peer) => mask | nodeBit(peer.nodeId), 0n);

function isDay0({ currentUuid, historyUuids, peers }: DeviceUuids): boolean {
  const generation = currentUuid & ~uuidPrimaryBit;
  return generation !== 0n && generation !== uuidJustCreated
    && historyUuids.every((uuid) => uuid === 0n) && peers.every((slot) => slot.bitmapUuid === 0n);
}

/**
 * new_current_uuid with an UpToDate own disk. null: every slot has its base already, nothing happens. The result must
 * be on stable storage before the first write of the generation; P_UUIDS110 goes to peers ≥ Established after that.
 */
export function newCurrentUuid(device: DeviceContext, forced: boolean,
  random: Random64): (NewCurrent & { readonly uuids: DeviceUuids; readonly flags: number }) | null {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  const day0 = isDay0(device.uuids);
  const lacking = nodesOf(device.peers.filter((peer) => isUnsure(peer) || (forced && lacksData(peer))));
  const mask = rotate(draft, device, lacking, device.dagtag, random);
  if (mask === 0n && !day0) return null;
  const old = draft.current;
  draft.current = withRole(random(), device.role);
  if (day0) draft.pushHistory(old);
  const weak = weakNodes(device);
  return {
    uuids: draft.done(), uuid: draft.current, weak, flags: forced ? 0 : UuidFlag.newDatagen,
    log: { level: LogLevel.info, text: `new current UUID: ${uuidText(draft.current)} weak: ${uuidText(weak)}` },
  };
}

/** As on a disk that has never had data; its slots stay assigned. */
export const justCreated = ({ historyUuids, peers }: DeviceUuids): DeviceUuids => ({
  currentUuid: uuidJustCreated, historyUuids: historyUuids.map(() => 0n),
  peers: peers.map((slot) => ({ ...slot, bitmapUuid: 0n, bitmapDagtag: 0n })),
});

/** Some UpToDate peer keeps no base for a node that will miss what comes. @spec hazards.md 15.3 */
function diskfulPeersNeedNew(device: DeviceContext): boolean {
  const { peers, nodeId, intentionalDiskless } = device;
  const lacksBase = (peer: PeerContext): boolean => peer.uuids.bitmapUuids.some((uuid, n) => uuid === 0n && n !== peer.nodeId
    && (n !== nodeId || !intentionalDiskless) && peers.find((other) => other.nodeId === n)?.wantBitmap !== false);
  const knowsNoThird = (peer: PeerContext): boolean => intentionalDiskless
    && !peers.some(({ nodeId: n }) => n !== peer.nodeId && hasBase(peer.uuids.bitmapUuids[n]));
  return peers.some((peer) => peer.pdsk === Disk.upToDate && (lacksBase(peer) || knowsNoThird(peer)));
}

const hasBase = (uuid: bigint): boolean => uuid !== 0n && uuid !== uuidUnknown;

function lostPeerOnSame(device: DeviceContext): boolean {
  return device.peers.some((peer) => peer.repl < Repl.established
    && peer.pdsk >= Disk.inconsistent && peer.pdsk <= Disk.unknown
    && (peer.uuids.flags & UuidFlag.syncTarget) === 0
    && (peer.uuids.currentUuid === 0n || uuidEq(peer.uuids.currentUuid, device.exposedUuid)));
}

/** It was in this generation, and attaches its disk again any time. A base that others keep for it may be this very generation. */
const lostDiskOnSame = (device: DeviceContext): boolean => device.peers.some((peer) => peer.repl >= Repl.established && peer.wantBitmap
  && peer.pdsk <= Disk.failed && uuidEq(peer.uuids.currentUuid, device.exposedUuid));

const isUnsureOnSame = (device: DeviceContext): boolean =>
  device.peers.some((peer) => isUnsure(peer) && uuidEq(peer.uuids.currentUuid, device.exposedUuid));

/** new_current_uuid without an UpToDate own disk: only told (P_CURRENT_UUID), and only if somebody needs it. */
export function sendNewCurrentUuid(device: DeviceContext, random: Random64): NewCurrent | null {
  if (!diskfulPeersNeedNew(device) && !lostPeerOnSame(device) && !lostDiskOnSame(device) && !isUnsureOnSame(device)) return null;
  const uuid = withRole(random(), device.role);
  const weak = weakNodes(device);
  return { uuid, weak, log: { level: LogLevel.info, text: `sending new current UUID: ${uuidText(uuid)}` } };
}

export interface ReceivedNew {
  readonly uuids: DeviceUuids;
  /** These peers are sync sources of ours or ahead, and get what is written: what they hold is the new one, our own current stays. */
  readonly peersMoved: readonly number[];
  /** Get P_UUIDS110 (flags 0) when the super block is written; ascending. Empty when the current UUID stays. */
  readonly recipients: readonly number[];
  readonly log: LogLine;
}

/** Also during a verify, unlike genuine DRBD: its Primary waits for our word. */
const toldAgain: ReadonlySet<number> = new Set([Repl.wfBitMapS, Repl.syncSource, Repl.pausedSyncS, Repl.established, Repl.verifyS, Repl.verifyT]);
/** Who waits for the bitmap lacks what is to be synced: with the new label it would count as equal if the resync never began. */
const followsSource: ReadonlySet<number> = new Set([Repl.wfBitMapT, Repl.syncTarget, Repl.pausedSyncT, Repl.behind]);

/** received_new_current: a Primary has made a generation. `dagtag`: last dagtag received from it. @spec uuid.md 1.7 */
export function receivedNewCurrent(device: DeviceContext, uuid: bigint, weak: NodeMask, dagtag: bigint,
  random: Random64): ReceivedNew {
  const log = {
    level: LogLevel.info,
    text: `received new current UUID: ${uuidText(uuid)} weak_nodes=${uuidText(BigInt.asUintN(64, weak))}`,
  };
  const moved = device.peers.filter((peer) => followsSource.has(peer.repl)).map((peer) => peer.nodeId);
  // Nor does an Inconsistent disk have the ancestors of the new label: with it, it would be unrelated to who has only those.
  // An Outdated one that the Primary passes over gets no writes: with the label it would be good once all others are gone.
  const passedOver = device.disk === Disk.outdated && inMask(weak, device.nodeId);
  if (moved.length > 0 || device.disk === Disk.inconsistent || passedOver) {
    return { uuids: device.uuids, peersMoved: moved.filter((nodeId) => !inMask(weak, nodeId)), recipients: [], log };
  }
  const draft = new UuidDraft(device.uuids, device.nodeId);
  let tell = device.peers.filter((peer) => toldAgain.has(peer.repl) || peer.pdsk === Disk.diskless)
    .reduce((mask, peer) => mask | nodeBit(peer.nodeId), 0n);
  if (device.disk === Disk.upToDate) tell |= rotate(draft, device, weak, dagtag, random);
  for (let n = 0; n < nodeIds; n++) {
    const slot = draft.slots[n];
    if (n === device.nodeId || inMask(weak, n) || slot.bitmapUuid === 0n || !draft.hasBitmap(n)) continue;
    if (slot.bitmapUuid !== uuid) draft.setBitmapUuidWithHistory(n, uuid, device.dagtag);
  }
  const old = draft.current;
  draft.current = withRole(uuid, device.role);
  draft.pushHistory(old);
  const recipients = device.peers.filter((peer) => inMask(tell, peer.nodeId) && peer.repl >= Repl.established)
    .map((peer) => peer.nodeId);
  return { uuids: draft.done(), peersMoved: [], recipients, log };
}

/** Has the own disk been in this generation, or does it keep a base of it? */
export function isKnown({ nodeId, uuids: { currentUuid, peers, historyUuids } }: DeviceContext, uuid: bigint): boolean {
  return uuidEq(currentUuid, uuid) || peers.some((slot, n) => n !== nodeId && uuidEq(slot.bitmapUuid, uuid))
    || historyUuids.some((old) => uuidEq(old, uuid));
}

/** P_CURRENT_UUID: has the peer gone to a generation that we have never heard of? Before its value is stored. */
export function movedOn(device: DeviceContext, peer: PeerContext, uuid: bigint): boolean {
  const { currentUuid } = peer.uuids;
  return uuid !== 0n && !uuidEq(uuid, currentUuid) && uuidEq(currentUuid, device.uuids.currentUuid) && !isKnown(device, uuid);
}

/** Row 8 and others: the bitmap UUID of a peer := 0, the old one goes to the history. */
export function clearBitmapUuid(device: DeviceContext, nodeId: number): DeviceUuids {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  draft.setBitmapUuidWithHistory(nodeId, 0n, 0n);
  return draft.done();
}

/** Row 11, SOURCE_SET_BITMAP: the base of a full sync is what the target has now. */
export function setBitmapUuid(device: DeviceContext, nodeId: number, uuid: bigint): DeviceUuids {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  draft.setBitmapUuidWithHistory(nodeId, uuid, device.dagtag);
  return draft.done();
}

/** Row 5: bit 0 follows the role. */
export function setPrimaryBit(uuids: DeviceUuids, role: Role): DeviceUuids {
  const currentUuid = uuids.currentUuid === uuidJustCreated ? uuids.currentUuid : withRole(uuids.currentUuid, role);
  return currentUuid === uuids.currentUuid ? uuids : { ...uuids, currentUuid };
}

/** Row 2: dagtag of the resource at attach. */
export function attachDagtag(resourceDagtag: bigint, uuids: DeviceUuids): bigint {
  return uuids.peers.filter((slot) => slot.bitmapUuid !== 0n)
    .reduce((max, slot) => (slot.bitmapDagtag > max ? slot.bitmapDagtag : max), resourceDagtag);
}

/** A P_UUIDS110 with skip-initial-sync was accepted (uuid.md 1.8 item 6): all slots are cleared as well. */
export function skipInitialSync(device: DeviceContext, peer: PeerContext): DeviceUuids {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  draft.current = withRole(peer.uuids.currentUuid, device.role);
  draft.setBitmapUuid(peer.nodeId, 0n, 0n);
  return draft.done();
}

/** new-current-uuid, steps 2 and 3: bases are dropped, then a generation is made as for an absent peer. */
export function newCurrentUuidCommand(device: DeviceContext, clearBitmap: boolean, initialSyncOf: readonly number[],
  random: Random64): { readonly uuids: DeviceUuids; readonly log: readonly LogLine[] } {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  const configured = device.peers.map((peer) => peer.nodeId);
  for (const n of configured) draft.setBitmapUuidWithHistory(n, 0n, 0n);
  for (let n = 0; n < nodeIds; n++) {
    if (n !== device.nodeId && !configured.includes(n) && draft.slots[n].bitmapUuid !== 0n) {
      draft.setBitmapUuidWithHistory(n, 0n, 0n);
    }
  }
  const made = newCurrentUuid({ ...device, uuids: draft.done() }, false, random);
  if (made === null) return { uuids: draft.done(), log: [] };
  if (!clearBitmap) return { uuids: made.uuids, log: [made.log] };
  const cleared = new UuidDraft(made.uuids, device.nodeId);
  for (const n of initialSyncOf) cleared.setBitmapUuid(n, 0n, 0n);
  return { uuids: cleared.done(), log: [made.log] };
}

/** forget-peer and bitmap=no: the slot is free again, its id gets the day-0 UUID if there is one. Row 22. */
export function clearPeerSlot(device: DeviceContext, nodeId: number, keepFlags: number): DeviceUuids {
  const draft = new UuidDraft(device.uuids, device.nodeId);
  const slot = draft.slots[nodeId];
  slot.bitmapIndex = -1;
  slot.flags = slot.flags & keepFlags;
  const day0 = draft.slots.findIndex((other, n) => n !== nodeId && n !== device.nodeId && other.flags === 0
    && other.bitmapIndex === -1 && !device.peers.some((peer) => peer.nodeId === n));
  const from = slot.flags === 0 && day0 >= 0 ? draft.slots[day0] : null;
  slot.bitmapUuid = from?.bitmapUuid ?? 0n;
  slot.bitmapDagtag = from?.bitmapDagtag ?? 0n;
  return draft.done();
}

/** Evidence that a node with this id exists. */
export function markNodeExists(uuids: DeviceUuids, nodeId: number): DeviceUuids {
  if ((uuids.peers[nodeId].flags & PeerFlag.nodeExists) !== 0) return uuids;
  const { nodeExists } = PeerFlag;
  const peers = uuids.peers.map((slot, n) => (n === nodeId ? { ...slot, flags: slot.flags | nodeExists } : slot));
  return { ...uuids, peers };
}
