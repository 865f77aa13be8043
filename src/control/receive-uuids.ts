// SPDX-License-Identifier: GPL-2.0-or-later
/** P_UUIDS110: what the peer has, step by step. @spec uuid.md 1.7, 1.8 */
import type { Change } from '../state/events.ts';
import { deviceStable } from '../state/facts.ts';
import { Cs, Cstate, Disk, Repl, Role, UuidFlag } from '../state/states.ts';
import { stillBehind } from '../state/uuid-diskless.ts';
import { receivedNewCurrent, skipInitialSync } from '../state/uuid-generation.ts';
import { receiveUuids, sourceIsUnstable, stableSyncSourcePresent } from '../state/uuid-message.ts';
import type { UuidsMessage } from '../state/uuid-message.ts';
import { nodeIds, uuidEq, uuidJustCreated } from '../state/uuid-types.ts';
import { asUnused } from '../state/uuid-unused.ts';
import { UNALLOC_NODE_ID_SHIFT } from '../wire/packets/uuids110.ts';
import type { PUuids110 } from '../wire/packets/uuids110.ts';
import { bit } from '../state/view.ts';
import { run } from './admin/steps.ts';
import type { Steps } from './admin/steps.ts';
import { changeSlots } from './bitmap-mod.ts';
import { detectFinished } from './finished-resyncs.ts';
import { meetNewerData } from './meet-diskless.ts';
import { isKnownOlder } from './older-data.ts';
import type { PeerDevice } from './peer-device.ts';
import { resyncBecause, toldAnother } from './reevaluate.ts';
import { overtake } from './replaced.ts';
import { checkResyncSource } from './resync-source.ts';
import * as send from './send.ts';
import { followBack, generationMayBeConfirmed } from './unused.ts';
import {
  applyUuids, deviceContext, peerContext, peerDevicesOf, peerMovesTo, random64, reachedOurUuid, setExposedLocally,
  uuidsOf,
} from './uuids.ts';

const LOW_WORD = 0xffff_ffffn;

/** What the sender tells of itself is no base. */
function messageOf(p: PUuids110, sender: number): UuidsMessage {
  const flags = Number(p.uuidFlags & LOW_WORD);
  const nodes = Array.from({ length: nodeIds }, (_, n) => n).filter((n) => (p.bitmapUuidsMask >> BigInt(n) & 1n) === 1n);
  const told = nodes.map((nodeId, i) => ({ nodeId, uuid: p.bitmapUuids[i] }));
  const former = told.find(({ nodeId }) => nodeId === sender)?.uuid ?? 0n;
  return {
    currentUuid: p.currentUuid, dirtyBits: p.dirtyBits, flags, nodeMask: p.nodeMask, historyUuids: p.historyUuids,
    unallocNodeId: (flags & UuidFlag.hasUnalloc) !== 0 ? Number(p.uuidFlags >> UNALLOC_NODE_ID_SHIFT) : -1,
    bitmapUuids: told.map(({ nodeId, uuid }) => ({ nodeId, uuid: nodeId === sender ? 0n : uuid })), former,
  };
}

const rowOf = ({ device: { resource, vnr }, connection: { nodeId } }: PeerDevice) => resource.peerDeviceRow(vnr, nodeId);
const deviceRowOf = ({ device: { resource, vnr } }: PeerDevice) => resource.deviceRow(vnr);
const hasData = (pd: PeerDevice): boolean => pd.device.disk !== null && deviceRowOf(pd).disk >= Disk.inconsistent;

export function uuidsReceived(pd: PeerDevice, p: PUuids110): void {
  const { device, connection } = pd;
  const { resource } = device;
  const message = messageOf(p, connection.nodeId);
  const before = pd.uuids;
  let late = false;
  if (!stillBehind(deviceContext(device), peerContext(pd), message.currentUuid)) overtake(pd, 0n);
  else if (isLate(pd)) {
    if (deviceRowOf(pd).disk < Disk.negotiating) return toldToReplace(pd);
    late = true;
  }
  keep(pd, message, late);
  const { peerRole, cstate } = resource.connectionRow(connection.nodeId);
  if (cstate < Cstate.connected && (message.flags & UuidFlag.reconnect) === 0) connection.io.restarted();
  if (peerRole === Role.primary && (message.flags & UuidFlag.stable) !== 0) checkResyncSource(device, message.nodeMask);
  if ((message.flags & UuidFlag.skipInitialSync) !== 0) acceptSkippedSync(pd);
  if (hasData(pd)) {
    if ((message.flags & UuidFlag.newDatagen) !== 0) newGeneration(pd, message.currentUuid, message.nodeMask);
    detectFinished(pd);
    device.disk?.meta.sync({ done: () => {} });
  }
  exposeNewer(pd);
  reachedOurUuid(pd, 'receive-uuids');
  meetNewerData(pd);
  notOlder(pd);
  markUnstable(pd);
  if (before !== null) followBack(pd, before);
  resource.engine.notifier.peerDeviceChanged(pd);
  generationMayBeConfirmed(device);
  compareAgain(pd, message.flags);
  if (before !== null && !uuidEq(before.currentUuid, message.currentUuid)) toldAnother(device);
}

/** What made it look older was merely late: a new handshake decides, for it misses what is written meanwhile. */
function notOlder(pd: PeerDevice): void {
  if (pd.older === 0n || isKnownOlder(pd)) return;
  pd.older = 0n;
  if (rowOf(pd).pdsk === Disk.outdated && pd.toldDisk === Disk.upToDate) pd.connection.conn.fail(Cstate.networkFailure, 'not-older', '');
}

/**
 * It is about to hear of our generation, or to tell that it has it: a resync from it ends in that one. Not what a disk that
 * attaches is answered: that waits for each peer's word.
 */
function isLate(pd: PeerDevice): boolean {
  const { disk } = deviceRowOf(pd);
  return pd.device.resource.connectionRow(pd.connection.nodeId).cstate === Cstate.connected
    && (disk < Disk.negotiating || disk > Disk.negotiating && rowOf(pd).pdsk === Disk.upToDate);
}

/** A late word; or the peer has attached meanwhile: it may follow when it connects. */
function toldToReplace(pd: PeerDevice): void {
  if (rowOf(pd).pdsk <= Disk.negotiating && send.follows(pd)) pd.connection.conn.fail(Cstate.networkFailure, 'follow', '');
}

/** Items 1 to 3. */
function keep(pd: PeerDevice, message: UuidsMessage, late: boolean): void {
  const { device, connection: { nodeId } } = pd;
  const { resource, vnr } = device;
  const { peerUuids, uuids, zeroIn } = receiveUuids(deviceContext(device), peerContext(pd), message, late);
  pd.uuids = peerUuids;
  pd.io.inSync.peerHasBits = message.dirtyBits > 0;
  if (device.disk && uuids !== deviceContext(device).uuids) applyUuids(device, uuids);
  for (const n of zeroIn) {
    const other = resource.connections.get(n)?.peerDevices.get(vnr);
    if (other?.uuids) other.uuids = { ...other.uuids, bitmapUuids: other.uuids.bitmapUuids.with(nodeId, 0n) };
  }
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { uuidsReceived: true, peerCurrentUuid: peerUuids.currentUuid,
    uuidFlags: peerUuids.flags, uuidNodeMask: peerUuids.nodeMask } });
}

/**
 * Who is passed over gets no writes of that Primary: maybe it was Outdated there, and its word that it is good is on its way.
 * It is Outdated, then, and this is a fact, for what the two judge next is to be judged by it.
 */
export function newGeneration(pd: PeerDevice, uuid: bigint, weakNodes: bigint): void {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  const passedOver = resource.connectionRow(nodeId).peerRole === Role.primary && (weakNodes & bit(resource.nodeId)) !== 0n;
  if (!passedOver || deviceRowOf(pd).disk <= Disk.outdated) return adoptNewCurrent(pd, uuid, weakNodes);
  const changes: Change[] = [{ set: 'disk', vnr, disk: Disk.outdated }];
  resource.dispatch({ kind: 'change', request: 0, tag: 'passed-over', flags: Cs.hard | Cs.verbose, changes });
}

/** received_new_current: on disk before others hear of it, and before a write of this generation is taken. */
function adoptNewCurrent(pd: PeerDevice, uuid: bigint, weakNodes: bigint): void {
  const { device, connection } = pd;
  const { resource, vnr, disk } = device;
  const dagtag = BigInt(connection.io.writes.lastDagtag);
  const received = receivedNewCurrent(deviceContext(device), uuid, weakNodes, dagtag, random64(device));
  pd.log.info(received.log.text);
  for (const nodeId of received.peersMoved) peerMovesTo(resource.peerDevice(vnr, nodeId), uuid, weakNodes);
  if (!uuidEq(received.uuids.currentUuid, uuid) || !disk) return;
  applyUuids(device, asUnused(received.uuids, resource.nodeId, uuidsOf(device).currentUuid));
  setExposedLocally(device, received.uuids.currentUuid);
  const { link } = connection.conn;
  link?.wait(true);
  disk.meta.sync({ done: () => {
    link?.wait(false);
    for (const nodeId of received.recipients) {
      const peer = resource.connections.get(nodeId)?.peerDevices.get(vnr);
      if (peer && rowOf(peer).repl >= Repl.established) send.uuids(peer, 0);
    }
  } });
}

/** Item 6: new-current-uuid --clear-bitmap there, on two fresh disks. */
function acceptSkippedSync(pd: PeerDevice): void {
  const { device } = pd;
  const { disk } = device;
  if (!disk || !hasData(pd) || rowOf(pd).repl !== Repl.established || disk.meta.superBlock.currentUuid !== uuidJustCreated) return;
  pd.log.info('Accepted new current UUID, preparing to skip initial sync');
  run(skipSync(pd), () => {});
}

function* skipSync(pd: PeerDevice): Steps<void> {
  const { device, connection: { nodeId } } = pd;
  const { resource, vnr, disk } = device;
  if (!disk) return;
  disk.suspendAl(false);
  yield* changeSlots(device, { kind: 'clear', slots: Array.from({ length: disk.bitmap.slots }, (_, slot) => slot) });
  if (device.disk !== disk) return;
  applyUuids(device, skipInitialSync(deviceContext(device), peerContext(pd)));
  const currentUuid = disk.meta.superBlock.currentUuid;
  if (pd.sent) pd.sent = { ...pd.sent, currentUuid, bitmapUuid: 0n };
  const changes: Change[] = [{ set: 'disk', vnr, disk: Disk.upToDate }, { set: 'pdsk', vnr, nodeId, pdsk: Disk.upToDate }];
  resource.dispatch({ kind: 'change', request: 0, tag: 'skip-initial-sync', flags: Cs.verbose, changes });
  disk.meta.sync({ done: () => {} });
  for (const other of peerDevicesOf(device)) {
    if (other === pd || rowOf(other).pdsk !== Disk.diskless || rowOf(other).repl < Repl.established) continue;
    send.uuids(other, UuidFlag.skipInitialSync);
    peerMovesTo(other, currentUuid);
  }
}

/** Item 9: what users of this diskless node see is the peer's data. */
function exposeNewer(pd: PeerDevice): void {
  const { device, connection: { nodeId } } = pd;
  const { resource, vnr } = device;
  const row = deviceRowOf(pd);
  const { repl, pdsk, peerCurrentUuid } = rowOf(pd);
  const shown = row.disk < Disk.inconsistent && repl >= Repl.established && pdsk === Disk.upToDate;
  if (!shown || uuidEq(peerCurrentUuid, row.exposedUuid)) return;
  if (resource.view.resource.role === Role.primary) {
    if (!resource.connectionRow(nodeId).options.allowTwoPrimaries || !row.newCurUuid) return;
    resource.dispatch({ kind: 'deviceFacts', vnr, facts: { newCurUuid: false } });
  }
  if (resource.view.twopc === null) return setExposedLocally(device, peerCurrentUuid);
  pd.log.info('Delaying update of exposed data uuid');
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: { nextExposedUuid: peerCurrentUuid } });
}

/** Item 11. */
function markUnstable(pd: PeerDevice): void {
  const { device, connection: { nodeId } } = pd;
  const { resource, vnr } = device;
  const peer = peerContext(pd);
  if (!sourceIsUnstable(peer)) return;
  const twoPrimaries = (n: number): boolean => resource.connectionRow(n).options.allowTwoPrimaries;
  if (stableSyncSourcePresent(deviceContext(device), peer, twoPrimaries)) return;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { unstableResync: true } });
}

/** Item 13. */
function compareAgain(pd: PeerDevice, flags: number): void {
  const { repl, reconciliationResync } = rowOf(pd);
  if (reconciliationResync || !hasData(pd)) return;
  if ((flags & UuidFlag.gotStable) !== 0 && repl === Repl.established && deviceStable(pd.device.resource.view)) {
    send.uuids(pd, UuidFlag.resync);
    resyncBecause(pd, 'after-unstable');
  }
  if ((flags & UuidFlag.resync) === 0) return;
  resyncBecause(pd, (flags & UuidFlag.disklessPrimary) !== 0 ? 'diskless-primary' : 'after-unstable');
}
