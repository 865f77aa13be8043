// SPDX-License-Identifier: GPL-2.0-or-later
/** UUIDs of a volume: the values for src/state/uuid-*.ts, and what their results mean for disk, view and peers. */
import { Lack } from '../io/requests.ts';
import type { LogLevel } from '../host/log.ts';
import { LogLevel as Level } from '../host/log.ts';
import { freeBitmapSlot as freeIndex } from '../meta/attach-checks.ts';
import { Cs, Cstate, Disk, MdFlag, PeerFlag, Repl, Role } from '../state/states.ts';
import { dataAccessible, mayMakeGeneration, peerNegotiates, readsAtPeers, suspFen } from '../state/facts.ts';
import { othersLackQuorum } from '../state/quorum.ts';
import { deviceIndex } from '../state/view.ts';
import * as generation from '../state/uuid-generation.ts';
import * as resyncRules from '../state/uuid-resync.ts';
import { exposedUuid, movedTo, nodeBit, weakNodes } from '../state/uuid-ops.ts';
import { freshPeerUuids, uuidEq, uuidText } from '../state/uuid-types.ts';
import { asUnused, asUsed, backTo, formerUuid, newUnusedUuid, withdrawn } from '../state/uuid-unused.ts';
import type { DeviceContext, DeviceUuids, LogLine, PeerContext } from '../state/uuid-types.ts';
import { PCurrentUuid } from '../wire/packets/uuids110.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import { pushFacts } from './facts.ts';
import { overtake } from './replaced.ts';
import * as send from './send.ts';
import * as sizes from './sizes.ts';
import { withdraw } from './unused.ts';
import { awaitAfterLoss, witnessFor } from './witnesses.ts';

/** More of them at once are not remembered: a peer that is further behind has to ask others. */
const REPLACED_MAX = 16;

const noUuids: DeviceUuids = {
  currentUuid: 0n, historyUuids: freshPeerUuids().historyUuids,
  peers: Array.from({ length: 32 }, () => ({ bitmapUuid: 0n, bitmapDagtag: 0n, flags: 0, bitmapIndex: -1 })),
};

/** What the UUID rules know of a peer. */
export function peerContext(pd: PeerDevice): PeerContext {
  const { connection, device } = pd;
  const { resource } = device;
  const row = resource.peerDeviceRow(device.vnr, connection.nodeId);
  return {
    nodeId: connection.nodeId, name: connection.name, repl: row.repl, pdsk: row.pdsk, wantBitmap: row.wantBitmap,
    peerRole: resource.connectionRow(connection.nodeId).peerRole, uuids: pd.uuids ?? freshPeerUuids(), sent: pd.sent,
    overtaken: pd.overtaken, follows: row.follows,
  };
}

export function peerDevicesOf(device: Device): PeerDevice[] {
  return [...device.resource.connections.values()].flatMap((connection) => connection.peerDevices.get(device.vnr) ?? [])
    .sort((a, b) => a.connection.nodeId - b.connection.nodeId);
}

/** A copy of the UUIDs of the super block: the values of src/state are never changed in place. */
export function uuidsOf(device: Device): DeviceUuids {
  const sb = device.disk?.meta.superBlock;
  return sb === undefined ? noUuids
    : { currentUuid: sb.currentUuid, historyUuids: [...sb.historyUuids], peers: sb.peers.map((peer) => ({ ...peer })) };
}

export function deviceContext(device: Device): DeviceContext {
  const { resource } = device;
  const row = resource.deviceRow(device.vnr);
  return {
    nodeId: resource.nodeId, role: resource.view.resource.role, disk: row.disk, exposedUuid: row.exposedUuid, replaced: device.replaced,
    intentionalDiskless: row.intentionalDiskless, maxPeers: device.disk?.meta.superBlock.bmMaxPeers ?? 0, dagtag: BigInt(resource.io.requests.dagtag),
    uuids: uuidsOf(device), peers: peerDevicesOf(device).map(peerContext),
  };
}

export const random64 = (device: Device) => (): bigint => device.resource.engine.host.random.u64();

export function logLines(device: Device, lines: readonly LogLine[]): void {
  for (const { level, text } of lines) device.log.line(level as LogLevel, text);
}

/** The view's facts of the super block follow it. */
export function pushMd(device: Device): void {
  const { disk, resource, vnr } = device;
  if (!disk) return;
  const facts = { md: disk.facts(), currentUuid: disk.meta.superBlock.currentUuid };
  resource.dispatch({ kind: 'deviceFacts', vnr, facts });
}

/** Takes over a result of the UUID rules; on disk with the next sync. */
export function applyUuids(device: Device, uuids: DeviceUuids): void {
  if (!device.disk) return;
  device.disk.setUuids(uuids);
  pushMd(device);
}

/** new_current_uuid, after all connected peers have answered a ping. @spec uuid.md 1.5, 1.6, hazards.md H-003, H-004 */
export function newCurrentUuid(device: Device, reason: Reason): void {
  makeNewCurrentUuid(device, reason, () => {});
}

/**
 * For a request, which does not go on while we wait for a peer to be fenced: it may be us who are shot, and nobody has written
 * then. To thaw I/O. Or in any case.
 */
export type Reason = 'request' | 'thaw' | 'forced';

export function makeNewCurrentUuid(device: Device, reason: Reason, done: () => void): void {
  const { resource, vnr } = device;
  if (reason === 'thaw') device.thawing = true;
  if (device.makingUuid) {
    device.uuidWaiters.push(done);
    return;
  }
  // A request that could not wait has had it made.
  if (reason === 'thaw' && !resource.deviceRow(vnr).newCurUuid) return done();
  // The flag goes before the ping: a second loss meanwhile sets it again. New I/O waits all the same.
  device.makingUuid = true;
  device.thawing = reason === 'thaw';
  device.blocked++;
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: { newCurUuid: false } });
  pushFacts(resource);
  const connected = resource.view.connections.filter((row) => row.cstate === Cstate.connected).map((row) => row.nodeId);
  send.pingAll(resource, connected, () => device.whenUuidsAreFree(() => create(device, reason, () => {
    device.makingUuid = false;
    device.blocked--;
    pushFacts(resource);
    done();
    for (const waiter of device.uuidWaiters.splice(0)) waiter();
  })));
}

function create(device: Device, reason: Reason, done: () => void): void {
  const { resource, vnr } = device;
  const row = resource.deviceRow(vnr);
  const forced = reason === 'forced';
  const mayBeShot = suspFen(resource.view) && !device.thawing;
  const may = mayMakeGeneration(resource.view, deviceIndex(resource.view, vnr)) || answeredNeedOne(device);
  if (!forced && (mayBeShot || !may)) {
    resource.dispatch({ kind: 'deviceFacts', vnr, facts: { newCurUuid: true } });
    done();
    return;
  }
  if (device.disk && row.disk === Disk.upToDate) createOnDisk(device, forced, done);
  else {
    createForPeers(device);
    done();
  }
}

/**
 * Without good data of its own: who was lost, and lacks what was answered, must not come back as equal to who has it. Without quorum
 * that is no fork as long as nobody else can have quorum either.
 */
function answeredNeedOne(device: Device): boolean {
  const { view } = device.resource;
  const d = deviceIndex(view, device.vnr);
  const { disk, haveQuorum } = view.devices[d]!;
  return disk !== Disk.upToDate && dataAccessible(view, d) && !peerNegotiates(view, d) && (haveQuorum || othersLackQuorum(view, d))
    && peerDevicesOf(device).some((pd) => pd.lack !== Lack.nothing && peerContext(pd).repl < Repl.established);
}

/** It counts as having the generation that is made. */
const isThere = (pd: PeerDevice): boolean => peerContext(pd).pdsk > Disk.unknown;

/** On stable storage before anybody hears of it, and before the first write of the generation. */
function createOnDisk(device: Device, forced: boolean, ready: () => void): void {
  const { disk } = device;
  const before = uuidsOf(device);
  const counted = peerDevicesOf(device).filter(isThere);
  const context = deviceContext(device);
  const made = forced ? generation.newCurrentUuid(context, true, random64(device)) : newUnusedUuid(context, random64(device));
  if (made === null || !disk) return ready();
  device.storingUuid = true;
  const done = (): void => {
    device.uuidIsStored();
    ready();
  };
  disk.setUuids(made.uuids);
  disk.meta.sync({
    done: (errno) => {
      if (device.disk !== disk) return done();
      if (errno !== 0) {
        applyUuids(device, { ...made.uuids, currentUuid: before.currentUuid });
        return done();
      }
      const { haveQuorum } = device.resource.deviceRow(device.vnr);
      if (!forced && !(haveQuorum && counted.every(isThere))) {
        const former = backTo(before.currentUuid, uuidsOf(device), device.resource.nodeId);
        return withdraw(device, haveQuorum ? 'a peer is lost' : 'quorum is lost', former, done);
      }
      logLines(device, [made.log]);
      pushMd(device);
      setExposedLocally(device, made.uuid);
      for (const pd of peerDevicesOf(device)) {
        if (peerContext(pd).repl >= Repl.established) send.uuids(pd, made.flags);
      }
      done();
    },
  });
}

function createForPeers(device: Device): void {
  const made = generation.sendNewCurrentUuid(deviceContext(device), random64(device));
  if (made === null) return;
  device.replaced.unshift(device.resource.deviceRow(device.vnr).exposedUuid);
  device.replaced.length = Math.min(device.replaced.length, REPLACED_MAX);
  setExposedLocally(device, made.uuid);
  logLines(device, [made.log]);
  for (const pd of peerDevicesOf(device)) {
    if (peerContext(pd).repl < Repl.established) continue;
    const { pdsk } = peerContext(pd);
    // Genuine DRBD would take the label, with older data or without the writes.
    const lacks = pdsk === Disk.consistent || (pd.older !== 0n && uuidEq(pd.older, pd.uuids?.currentUuid ?? 0n));
    if (lacks && !send.reconcilesBits(pd.connection)) continue;
    pd.connection.conn.send(PCurrentUuid, device.vnr, { uuid: made.uuid, weakNodes: made.weak });
    // Passed over, it stays in the former one.
    const stays = pdsk === Disk.outdated && send.reconcilesBits(pd.connection);
    if (lacks || stays || pdsk <= Disk.failed) continue;
    if (pd.uuids && pdsk === Disk.upToDate && pd.overtaken === 0n) overtake(pd, pd.uuids.currentUuid);
    peerMovesTo(pd, made.uuid, made.weak);
  }
}

/** What is known of that peer's data is this generation now; `weak`: who is not in it. */
export function peerMovesTo(pd: PeerDevice, uuid: bigint, weak = 0n): void {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  if (pd.uuids) pd.uuids = movedTo(pd.uuids, uuid, weak & ~nodeBit(nodeId));
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { peerCurrentUuid: uuid } });
}

/** The step journals it and tells setExposed. */
export function setExposedLocally(device: Device, uuid: bigint): void {
  const { resource, vnr } = device;
  const next = exposedUuid(resource.deviceRow(vnr).exposedUuid, uuid, resource.view.resource.role);
  if (next !== null) resource.dispatch({ kind: 'deviceFacts', vnr, facts: { exposedUuid: next } });
  for (const pd of peerDevicesOf(device)) {
    reachedOurUuid(pd, 'exposed-uuid');
    hasWhatIsShown(pd);
  }
}

/** What made it look older is given up: it has what is shown now. */
function hasWhatIsShown(pd: PeerDevice): void {
  const { device: { resource, vnr }, connection: { nodeId }, older } = pd;
  const { pdsk, peerCurrentUuid } = resource.peerDeviceRow(vnr, nodeId);
  if (older === 0n || !uuidEq(older, peerCurrentUuid) || !uuidEq(older, resource.deviceRow(vnr).exposedUuid)) return;
  pd.older = 0n;
  if (pdsk !== Disk.outdated || pd.toldDisk !== Disk.upToDate) return;
  resource.dispatch({ kind: 'change', request: 0, tag: 'not-older', flags: Cs.hard | Cs.verbose, changes: [{ set: 'pdsk', vnr, nodeId, pdsk: Disk.upToDate }] });
}

/**
 * A node that reads at its peers and one of them have come to the same data, by a word of the peer or by what we show now.
 * Not who calls itself Consistent: it has lost its Primary, serves no reads before that is settled, and tells then.
 * @spec uuid.md 1.8 item 10
 */
export function reachedOurUuid(pd: PeerDevice, tag: string): void {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  const row = resource.deviceRow(vnr);
  const { pdsk, peerCurrentUuid } = resource.peerDeviceRow(vnr, nodeId);
  if (!readsAtPeers(resource.view, deviceIndex(resource.view, vnr)) || pdsk !== Disk.consistent || pd.toldDisk !== Disk.upToDate) return;
  if (!uuidEq(peerCurrentUuid, row.exposedUuid)) return;
  pd.log.info('Peer is on same UUID now');
  believe(pd, tag);
}

/** drbd_uuid_set_exposed; as an effect the view and the journal have it already. */
export function setExposed(device: Device, uuid: bigint): void {
  setExposedLocally(device, uuid);
  if (!device.disk) device.log.line(Level.info, `Setting exposed data uuid: ${uuidText(uuid)}`);
}

export function setPrimaryBit(device: Device, on: boolean): void {
  applyUuids(device, generation.setPrimaryBit(uuidsOf(device), on ? Role.primary : Role.secondary));
  // As a Primary it did not believe who has other data than its users had seen.
  if (!on) for (const pd of peerDevicesOf(device)) believe(pd, 'secondary');
}

/** A peer that calls itself UpToDate, and is Consistent here, is what it says. */
function believe(pd: PeerDevice, tag: string): void {
  const { device: { resource, vnr }, connection: { nodeId } } = pd;
  if (resource.peerDeviceRow(vnr, nodeId).pdsk !== Disk.consistent || pd.toldDisk !== Disk.upToDate) return;
  resource.dispatch({ kind: 'change', request: 0, tag, flags: Cs.verbose, changes: [{ set: 'pdsk', vnr, nodeId, pdsk: Disk.upToDate }] });
}

/**
 * Row 8: both have the same data, so no base is needed: UUID 0, slot cleared and written. But where equal generations with bits
 * are synced, bits stay that have come up since the peer was told that there are none: it is told again, and they are synced later.
 */
export function clearBitmapUuid(device: Device, nodeId: number): void {
  const { disk } = device;
  if (!disk) return;
  const pd = device.resource.peerDevice(device.vnr, nodeId);
  const bits = disk.bitsFor(nodeId);
  const late = bits > 0 && pd.sent?.dirtyBits === 0 && send.reconcilesBits(pd.connection);
  if (disk.meta.superBlock.peers[nodeId].bitmapUuid !== 0n || (bits > 0 && !late)) {
    applyUuids(device, generation.clearBitmapUuid(deviceContext(device), nodeId));
    disk.meta.sync({ done: () => {} });
    device.log.line(Level.info, `cleared bm UUID${late ? '' : ' and bitmap'} ${uuidText(disk.meta.superBlock.currentUuid)}`);
  }
  if (late) send.uuids(pd, 0);
  else if (bits > 0) {
    disk.bitmap.clearAll(disk.bitmapIndex(nodeId));
    disk.writeBitmap(() => {});
  }
}

/** It was told that there are bits for it, and would not count us as equal. */
export function tellNoBits(pd: PeerDevice): void {
  if (peerContext(pd).repl === Repl.established && (pd.sent?.dirtyBits ?? 0) > 0) send.uuids(pd, 0);
}

/** Before the first block is overwritten only where both ends judge equal generations by their bits. */
export function becomesTarget(pd: PeerDevice): void {
  if (send.reconcilesBits(pd.connection)) giveUpData(pd);
}

function giveUpData(pd: PeerDevice): void {
  const { device } = pd;
  const uuids = resyncRules.dataGivenUp(deviceContext(device), peerContext(pd));
  if (uuids === null) return;
  pd.givenUpUuid = uuidsOf(device).currentUuid;
  pd.log.info(`own data generation ${uuidText(pd.givenUpUuid)} is given up for ${uuidText(uuids.currentUuid)}`);
  applyUuids(device, uuids);
  device.disk?.meta.sync({ done: () => {} });
}

/** Rows 9 and 10: this node becomes the target of `pd`, maybe paused. */
export function resyncStarts(pd: PeerDevice): void {
  const { device } = pd;
  giveUpData(pd);
  const started = resyncRules.resyncStartsAsTarget(deviceContext(device), peerContext(pd), random64(device));
  logLines(device, started.log);
  pd.rsStartUuid = pd.givenUpUuid || started.rsStartUuid;
  pd.givenUpUuid = 0n;
  // What comes may have been written in this very generation.
  if (device.disk) device.disk.written = !device.disk.al.idle;
  applyUuids(device, asUsed(started.uuids, device.resource.nodeId));
}

/** Row 12: end of a stable resync as target. Mask of the nodes whose data are older now. */
export function resyncFinished(pd: PeerDevice): bigint {
  const { device } = pd;
  const ended = resyncRules.resyncFinished(deviceContext(device), peerContext(pd), pd.rsStartUuid);
  // Its data are those of the source, on which nothing was written in that generation either.
  const former = device.disk?.written === false ? pd.uuids?.former ?? 0n : 0n;
  applyUuids(device, asUnused(ended.uuids, device.resource.nodeId, former));
  device.disk?.meta.sync({ done: () => {} });
  pd.log.line(ended.log.level as LogLevel, ended.log.text);
  if (pd.uuids) {
    const { currentUuid, historyUuids, peers } = ended.uuids;
    pd.uuids = { ...pd.uuids, currentUuid, historyUuids, bitmapUuids: peers.map((slot) => slot.bitmapUuid) };
    const facts = { peerCurrentUuid: currentUuid };
    device.resource.dispatch({ kind: 'peerDeviceFacts', vnr: device.vnr, nodeId: pd.connection.nodeId, facts });
  }
  return ended.newer;
}

/** Per volume, between the last write of the peer and the transfer log's walk: uuid.md 4.9 item 7. */
export function afterConnectionLost(connection: Connection, done: () => void): void {
  let left = 1;
  const ended = (): void => { if (--left === 0) done(); };
  for (const pd of connection.peerDevices.values()) {
    left++;
    lostVolume(pd, ended);
  }
  ended();
}

/**
 * The peer ended its resync and has our generation, but the link broke before its disk state came: contact to data is lost. Without
 * a good disk here it was not we who synced it: it may have ended.
 */
function tookOverUnseen({ device, connection: { nodeId } }: PeerDevice): boolean {
  const { resource, vnr, disk } = device;
  if (resource.view.resource.role !== Role.primary || resource.peerDeviceRow(vnr, nodeId).pdsk !== Disk.inconsistent) return false;
  if (resource.deviceRow(vnr).disk !== Disk.upToDate) return dataAccessible(resource.view, deviceIndex(resource.view, vnr));
  return disk !== null && disk.tracks(nodeId) && disk.meta.superBlock.peers[nodeId].bitmapUuid === 0n;
}

/** A connect that failed tells nothing new. */
function countLack(pd: PeerDevice): void {
  const { device: { resource, io }, connection: { nodeId } } = pd;
  const { connects } = resource.connectionRow(nodeId);
  if (pd.lostConnects === connects) return;
  pd.lostConnects = connects;
  pd.lack = resource.io.requests.lackOfAnswered(nodeId, io.index);
}

function lostVolume(pd: PeerDevice, done: () => void): void {
  const { device, connection } = pd;
  const { resource, vnr } = device;
  const facts = { uuidsReceived: false, currentUuidReceived: false, initialStateSent: false, haveSizes: false,
    holdingUuidLock: false, resyncAgain: 0 };
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId: connection.nodeId, facts });
  pd.sent = null;
  pd.older = 0n;
  // Where others have the data it misses what they get now.
  if (dataAccessible(resource.view, deviceIndex(resource.view, vnr))) overtake(pd, 0n);
  if (tookOverUnseen(pd)) resource.dispatch({ kind: 'deviceFacts', vnr, facts: { newCurUuid: true } });
  countLack(pd);
  awaitAfterLoss(device);
  const row = resource.deviceRow(vnr);
  // One that a waiting request has asked for already has not been made yet.
  const needed = (row.newCurUuid || device.makingUuid) && resource.io.requests.tlHead >= 0
    && (!resource.view.resource.suspended && !row.primaryLostQuorum && dataAccessible(resource.view, deviceIndex(resource.view, vnr))
      || answeredNeedOne(device));
  const write = (): void => {
    sizes.reconsiderLimits(device);
    const { disk } = device;
    if (!disk) return done();
    disk.writeBitmap(() => (device.disk === disk ? disk.meta.sync({ done }) : done()));
  };
  if (needed) makeNewCurrentUuid(device, 'request', write);
  else write();
}

/** At attach and connect: each peer with bitmap=yes gets the lowest free slot. '' or why not. @spec metadata.md 6 */
export function allocateSlots(device: Device, peers: readonly PeerDevice[]): string {
  const { disk } = device;
  if (!disk) return '';
  const { superBlock } = disk.meta;
  for (const pd of peers) {
    const slot = superBlock.peers[pd.connection.nodeId];
    if (!peerContext(pd).wantBitmap || slot.bitmapIndex !== -1) continue;
    const index = freeIndex(superBlock);
    if (index < 0) return 'Not enough free bitmap slots available for all peers';
    slot.bitmapIndex = index;
    disk.meta.markDirty();
  }
  pushMd(device);
  pushFacts(device.resource);
  return '';
}

/** For `connect`: in all volumes that are attached. */
export function allocateBitmapSlots(connection: Connection): string {
  for (const pd of connection.peerDevices.values()) {
    const why = allocateSlots(pd.device, [pd]);
    if (why !== '') return why;
  }
  return '';
}

/** The bitmap of a slot that is free now becomes a copy of another unassigned one, else all set. Row 22 of uuid.md 1.12. */
function clearSlot(device: Device, nodeId: number, keepFlags: number): void {
  const { disk } = device;
  if (!disk) return;
  const index = disk.bitmapIndex(nodeId);
  const used = new Set(disk.meta.superBlock.peers.map((peer) => peer.bitmapIndex));
  const other = Array.from({ length: disk.bitmap.slots }, (_, slot) => slot).find((slot) => !used.has(slot));
  if (index >= 0 && other !== undefined) disk.bitmap.copySlot(index, other);
  else if (index >= 0) disk.bitmap.setAll(index);
  applyUuids(device, generation.clearPeerSlot(deviceContext(device), nodeId, keepFlags));
  disk.meta.sync({ done: () => {} });
  disk.writeBitmap(() => {});
  pushFacts(device.resource);
}

export function forgetPeerSlot(device: Device, nodeId: number): void { clearSlot(device, nodeId, 0); }

/** peer-device-options --bitmap=no. */
export function freeBitmapSlot(pd: PeerDevice): void {
  clearSlot(pd.device, pd.connection.nodeId, ~(PeerFlag.fullSync | PeerFlag.deviceSeen));
}

/** Own flags of P_UUIDS110. @spec uuid.md 1.4 */
export function localFlags(pd: PeerDevice): Parameters<typeof import('../state/uuid-ops.ts').localUuidFlags>[2] {
  const { device, connection } = pd;
  const row = device.resource.deviceRow(device.vnr);
  const connectionRow = device.resource.connectionRow(connection.nodeId);
  return {
    discardMyData: connectionRow.discardMyData, crashedPrimary: row.crashedPrimary, reconnect: connectionRow.reconnect,
    unused: send.reconcilesBits(connection) && withdrawn(deviceContext(device)) !== null,
    former: send.reconcilesBits(connection) ? formerUuid(uuidsOf(device), device.resource.nodeId) : 0n,
    witness: send.reconcilesBits(connection) ? witnessFor(pd) : -1,
    inconsistent: row.md !== null && (row.md.flags & MdFlag.consistent) === 0, primaryLostQuorum: row.primaryLostQuorum,
  };
}

/** node_mask of P_UUIDS110 with NEW_DATAGEN and of P_CURRENT_UUID. */
export const weak = (device: Device): bigint => weakNodes(deviceContext(device));
