// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * P_CURRENT_UUID: the generation that a diskless node exposes, in its handshake or as Primary; or that of a node which has
 * lost its Primary. @spec uuid.md 1.7, state.md 9.5
 */
import type { Change } from '../state/events.ts';
import { Cs, Disk, Repl, Role, isSyncTarget } from '../state/states.ts';
import { isKnown, markNodeExists, movedOn } from '../state/uuid-generation.ts';
import { freshPeerUuids, uuidEq } from '../state/uuid-types.ts';
import { bit } from '../state/view.ts';
import type { PCurrentUuid } from '../wire/packets/uuids110.ts';
import type { Device } from './device.ts';
import { meetNewerData } from './meet-diskless.ts';
import type { PeerDevice } from './peer-device.ts';
import { newGeneration } from './receive-uuids.ts';
import { checkResyncSource } from './resync-source.ts';
import { applyUuids, deviceContext, peerContext, peerDevicesOf, peerMovesTo, setExposedLocally } from './uuids.ts';

export function currentUuidReceived(pd: PeerDevice, { uuid, weakNodes }: PCurrentUuid): void {
  const { device, connection: { nodeId } } = pd;
  const { resource } = device;
  const context = deviceContext(device);
  const moved = device.disk !== null && movedOn(context, peerContext(pd), uuid);
  const weak = weakNodes | bit(nodeId);
  const { peerRole } = resource.connectionRow(nodeId);
  // It counts on what this disk has, and makes its newer generation of it once we are connected.
  const kept = peerRole === Role.unknown && context.disk >= Disk.consistent && (weak & bit(context.nodeId)) === 0n;
  pd.uuids ??= freshPeerUuids();
  peerMovesTo(pd, kept ? context.uuids.currentUuid : uuid);
  if (device.disk) applyUuids(device, markNodeExists(context.uuids, nodeId));
  if (peerRole === Role.primary) checkResyncSource(device, weak);
  if (peerRole === Role.unknown) inHandshake(pd, moved && !kept);
  // Its users have seen what is here: nothing keeps a Consistent disk from being good any more.
  else if (peerRole === Role.primary && context.disk === Disk.consistent && uuidEq(uuid, context.uuids.currentUuid)) {
    resource.dispatch({ kind: 'reconciled', nodeId });
  }
  // What a Primary makes is new: this is a late word about one that it lost, before it became Primary itself.
  else if (peerRole === Role.primary && device.disk && isKnown(context, uuid)) return;
  else if (uuid !== context.uuids.currentUuid || !device.disk) connected(pd, uuid, weak, peerRole, moved);
  if (peerRole === Role.primary && !device.disk) for (const other of peerDevicesOf(device)) meetNewerData(other);
}

function inHandshake(pd: PeerDevice, moved: boolean): void {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  const { connectState } = resource.peerDeviceRow(vnr, nodeId);
  const outdates = moved && resource.deviceRow(vnr).disk > Disk.outdated;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { currentUuidReceived: true,
    ...(outdates && { connectState: { ...connectState, disk: Disk.outdated } }) } });
}

function connected(pd: PeerDevice, uuid: bigint, weak: bigint, peerRole: Role, moved: boolean): void {
  const { device, connection: { nodeId } } = pd;
  const { resource, vnr } = device;
  const { disk } = resource.deviceRow(vnr);
  const { role } = resource.view.resource;
  const passedOver = (weak & bit(resource.nodeId)) !== 0n;
  const judges = disk === Disk.upToDate || (disk === Disk.consistent && peerRole === Role.primary && passedOver);
  if (resource.peerDeviceRow(vnr, nodeId).repl >= Repl.established && judges) {
    if (peerRole === Role.primary) newGeneration(pd, uuid, weak);
    else if (moved) outdate(pd);
  } else if (disk === Disk.inconsistent && peerRole === Role.primary && !passedOver) {
    sourcesMoveTo(device, uuid, weak);
  } else if (disk === Disk.diskless && role === Role.primary && peerRole === Role.primary) {
    // Only who writes makes newer data: what a diskless Secondary has seen may be a generation that we have replaced.
    setExposedLocally(device, uuid);
  }
}

/**
 * We get what the Primary writes from now on, and the rest from who gets it as well: the resync ends in that generation,
 * though the word of the source may come later.
 */
function sourcesMoveTo(device: Device, uuid: bigint, weak: bigint): void {
  for (const { nodeId, repl } of deviceContext(device).peers) {
    if (isSyncTarget(repl) && (weak & bit(nodeId)) === 0n) peerMovesTo(device.resource.peerDevice(device.vnr, nodeId), uuid, weak);
  }
}

/** During somebody's two-phase commit that has to wait for its end. */
function outdate({ device: { resource, vnr } }: PeerDevice): void {
  if (resource.view.twopc !== null) {
    resource.dispatch({ kind: 'deviceFacts', vnr, facts: { outdateOn2pcCommit: true } });
    return;
  }
  const changes: Change[] = [{ set: 'disk', vnr, disk: Disk.outdated }];
  resource.dispatch({ kind: 'change', request: 0, tag: 'receive-current-uuid', flags: Cs.verbose, changes });
}
