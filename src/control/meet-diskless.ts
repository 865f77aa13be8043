// SPDX-License-Identifier: GPL-2.0-or-later
/** A diskless node meets the data of a peer: are they those that it has shown, older ones, or newer ones? @spec state.md 9.6 */
import { Cs, Disk, Repl, Role } from '../state/states.ts';
import { disklessTrust } from '../state/uuid-diskless.ts';
import type { DisklessTrust } from '../state/uuid-diskless.ts';
import { freshPeerUuids, uuidEq, uuidText } from '../state/uuid-types.ts';
import { maybeForceSecondary } from './handshake.ts';
import { countAsOlder, isKnownOlder } from './older-data.ts';
import type { PeerDevice } from './peer-device.ts';
import { overtake } from './replaced.ts';
import * as send from './send.ts';
import { deviceContext, peerContext, peerDevicesOf, peerMovesTo, setExposedLocally } from './uuids.ts';

/** What was found out about the peer's data when it connects. */
export function meetAsDiskless(pd: PeerDevice, { trust, exposedUuid, follows, maybeForceSecondary: force }: DisklessTrust): void {
  const { device } = pd;
  const { resource, vnr } = device;
  const own = resource.deviceRow(vnr).exposedUuid;
  const peer = pd.uuids ?? freshPeerUuids();
  pd.log.info(`my exposed UUID: ${uuidText(own)}`);
  pd.log.info(`peer ${[peer.currentUuid, peer.bitmapUuids[resource.nodeId], peer.historyUuids[0], peer.historyUuids[1]]
    .map(uuidText).join(':')} bits:${peer.dirtyBits} flags:${peer.flags.toString(16).toUpperCase()}`);
  if (trust === 'retry') pd.log.warn('Remote node has more recent data');
  if (trust === 'outdated') {
    pd.log.info("Downgrading joining peer's disk as its data is older");
    pd.older = peer.currentUuid;
  }
  if (trust === 'disconnect') pd.log.err('Current UUID of peer does not match my exposed UUID.');
  if (follows) {
    pd.log.info('Peer is one generation behind; asserting UpToDate, will resend transfer log and relabel.');
    peerMovesTo(pd, own);
  } else if (trust === 'ok') {
    // Who has our generation may have more of it than who was told and did not confirm.
    for (const other of peerDevicesOf(device)) overtake(other, 0n);
  }
  if (force) maybeForceSecondary(pd);
  if (exposedUuid !== null) moveOn(pd, exposedUuid);
}

/**
 * It was not good, or not known to be, and now it is, with data that have gone on from those that were shown here: as at a
 * connect. Genuine DRBD shows it as Consistent until it connects again.
 */
export function meetNewerData(pd: PeerDevice): void {
  if (newerUuid(pd) !== null) pd.device.whenUuidsAreFree(() => {
    const uuid = newerUuid(pd);
    if (uuid === null) return;
    pd.log.info(`Peer has gone on from my exposed UUID: ${uuidText(uuid)}`);
    moveOn(pd, uuid);
  });
}

/**
 * A disk that attaches beside a Primary without one stays Consistent while that one's data may be other ones, and what was told of
 * them may be a disk that it had before: as a sync target it has shown those of its source. docs/differences.md
 */
export function tellWhatIsShown(pd: PeerDevice): void {
  const { device: { resource, vnr }, connection: { nodeId }, toldDisk } = pd;
  if (!isConfigured(pd)) return;
  const { disk, exposedUuid } = resource.deviceRow(vnr);
  const { repl, pdsk, peerCurrentUuid, commCurrentUuid } = resource.peerDeviceRow(vnr, nodeId);
  if (resource.view.resource.role !== Role.primary || disk !== Disk.diskless || repl < Repl.established) return;
  if (pdsk !== Disk.consistent || toldDisk !== Disk.consistent) return;
  if (uuidEq(peerCurrentUuid, exposedUuid) && !uuidEq(commCurrentUuid, exposedUuid)) send.uuids(pd, 0);
}

/** The connection may have gone with its last word. */
const isConfigured = (pd: PeerDevice): boolean =>
  pd.device.resource.connections.get(pd.connection.nodeId)?.peerDevices.get(pd.device.vnr) === pd;

/** What this node will show by it. */
function newerUuid(pd: PeerDevice): bigint | null {
  const { device, connection: { nodeId }, uuids, toldDisk } = pd;
  const { resource, vnr } = device;
  if (!isConfigured(pd) || uuids === null || toldDisk !== Disk.upToDate) return null;
  const { repl, pdsk, peerCurrentUuid } = resource.peerDeviceRow(vnr, nodeId);
  if (repl < Repl.established || pdsk !== Disk.consistent) return null;
  if (resource.deviceRow(vnr).disk !== Disk.diskless || resource.view.resource.role === Role.primary) return null;
  // What a Primary shows is what counts.
  const showsOther = (primary: number): boolean => !uuidEq(resource.peerDeviceRow(vnr, primary).peerCurrentUuid, peerCurrentUuid);
  if (resource.view.connections.some((c) => c.peerRole === Role.primary && c.nodeId !== nodeId && showsOther(c.nodeId))) return null;
  const { trust, exposedUuid } = disklessTrust(deviceContext(device), peerContext(pd));
  return trust === 'ok' ? exposedUuid : null;
}

function moveOn(pd: PeerDevice, uuid: bigint): void {
  const { device } = pd;
  const { resource, vnr } = device;
  const own = resource.deviceRow(vnr).exposedUuid;
  setExposedLocally(device, uuid);
  for (const other of peerDevicesOf(device)) {
    const { initialStateSent } = resource.peerDeviceRow(vnr, other.connection.nodeId);
    if (!initialStateSent) continue;
    // Who attached since it met us has not heard what we had shown, and would not know that we have moved on from there.
    if (own !== 0n) send.currentUuid(other, own, 0n);
    send.currentUuid(other, resource.deviceRow(vnr).exposedUuid, 0n);
    if (other !== pd) distrust(other);
  }
}

/** Its data are not those that are shown from now on. */
function distrust(pd: PeerDevice): void {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  const { pdsk, peerCurrentUuid } = resource.peerDeviceRow(vnr, nodeId);
  if (pdsk !== Disk.upToDate || uuidEq(peerCurrentUuid, resource.deviceRow(vnr).exposedUuid)) return;
  resource.dispatch({ kind: 'change', request: 0, tag: 'older-data', flags: Cs.hard | Cs.verbose, changes: [countAsOlder(pd)] });
}

/** It is good by its own word, and its users see its data now: what was shown here before is given up. */
export function followOlder(pd: PeerDevice): void {
  const { device, uuids, toldDisk } = pd;
  if (isConfigured(pd) && uuids !== null && toldDisk === Disk.upToDate && isKnownOlder(pd)) setExposedLocally(device, uuids.currentUuid);
}
