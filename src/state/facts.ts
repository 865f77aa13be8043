// SPDX-License-Identifier: GPL-2.0-or-later
/** Questions about rows that rules, guards and effects share. @spec state.md 1.8, 2.5, 8.1, 9 */
import { Cstate, Disk, MdFlag, PeerFlag, Repl, Role, UuidFlag, isSyncTarget } from './states.ts';
import type { DeviceRow, PeerDeviceRow, SlotFacts } from './types.ts';
import { NODES_MAX, bit, connectionIndex, peerDeviceIndex, sameUuid } from './view.ts';
import type { Rows } from './view.ts';

export const pdAt = (rows: Rows, d: number, c: number): PeerDeviceRow => rows.peerDevices[peerDeviceIndex(rows, d, c)]!;

/** True for some peer device of device d. */
export function somePeer(rows: Rows, d: number, test: (pd: PeerDeviceRow, c: number) => boolean): boolean {
  for (let c = 0; c < rows.connections.length; c++) if (test(pdAt(rows, d, c), c)) return true;
  return false;
}

/** @spec state.md 1.8 */
export const dataAccessible = (rows: Rows, d: number): boolean =>
  rows.devices[d]!.disk === Disk.upToDate
  || somePeer(rows, d, (pd, c) => pd.pdsk === Disk.upToDate && rows.connections[c]!.options.allowRemoteRead);

/** As Primary without data it made no generation when it lost a peer of its own: that is due when it has data again. */
export const regainsData = (old: Rows, now: Rows, d: number): boolean => old.resource.role === Role.primary
  && now.resource.role === Role.primary && !dataAccessible(old, d) && dataAccessible(now, d);

/** By the loss of a Primary, or by a resync whose source is itself no more than that: the empty transaction decides what it is. */
export const becameConsistent = (old: Disk, now: Disk): boolean =>
  now === Disk.consistent && (old === Disk.upToDate || old === Disk.inconsistent);

/**
 * Another survivor of a lost Primary may have more of its last writes: a Consistent disk stays so until it is settled.
 * @spec hazards.md 15.5
 */
export const reconcileHold = (rows: Rows, d: number): boolean => somePeer(rows, d, (pd, c) =>
  pd.reconcilePending || pd.reconciliationResync || rows.connections[c]!.notifyPeersLostPrimary);

/** Does this peer device hear of a lost Primary, and answer? Both have disks. */
export const hearsOfLoss = (device: DeviceRow, pd: PeerDeviceRow): boolean => pd.repl >= Repl.established
  && device.disk >= Disk.inconsistent && pd.pdsk >= Disk.inconsistent && pd.pdsk !== Disk.unknown;

/** Some volume has data. */
export const resourceDataAccessible = (rows: Rows): boolean => rows.devices.some((_, d) => dataAccessible(rows, d));

export const suspFen = (rows: Rows): boolean => rows.connections.some((c) => c.suspFen);

/** @spec state.md 8.1 */
export const isSuspended = (rows: Rows): boolean => {
  const r = rows.resource;
  return r.suspUser || r.suspNod || r.suspQuorum || r.suspUuid || suspFen(rows);
};

/** @spec state.md 2.5 */
export const isUnstable = (rows: Rows, d: number): boolean => {
  const { disk } = rows.devices[d]!;
  return disk === Disk.attaching || disk === Disk.negotiating
    || somePeer(rows, d, (pd) => pd.repl === Repl.wfBitMapT || pd.repl === Repl.wfSyncUuid);
};

/** A peer attaches and has not decided yet: it is not told of a new generation, and gets no writes. */
export const peerNegotiates = (rows: Rows, d: number): boolean =>
  somePeer(rows, d, (pd) => pd.repl >= Repl.established && pd.pdsk === Disk.negotiating);

/** Can the generation that is due be made now? @spec uuid.md 1.5 */
export const mayMakeGeneration = (rows: Rows, d: number): boolean =>
  rows.devices[d]!.haveQuorum && dataAccessible(rows, d) && !peerNegotiates(rows, d);

/** I/O waits for the generation that is due, unless nobody has data that it would be one of: then it fails. */
export const awaitsGeneration = (rows: Rows, d: number): boolean => rows.devices[d]!.newCurUuid
  && (rows.devices[d]!.disk === Disk.upToDate || somePeer(rows, d, (pd) => pd.pdsk === Disk.upToDate));

export const resyncSuspended = (pd: PeerDeviceRow, disk: Disk): boolean =>
  pd.suspUser || pd.suspPeer || pd.suspDependency || pd.suspOtherC
  || ((pd.repl === Repl.syncSource || pd.repl === Repl.pausedSyncS) && disk <= Disk.inconsistent);

/** drbd_should_do_remote. @spec io.md 1.6 */
export const shouldMirror = (pd: PeerDeviceRow): boolean =>
  pd.pdsk === Disk.upToDate
  || (pd.pdsk === Disk.inconsistent
    && (pd.repl === Repl.established || (pd.repl >= Repl.wfBitMapT && pd.repl < Repl.ahead)));

/** drbd_should_send_out_of_sync. @spec io.md 1.6 */
export const shouldSendOutOfSync = (pd: PeerDeviceRow): boolean =>
  pd.repl === Repl.ahead || pd.repl === Repl.wfBitMapS
  || (pd.pdsk === Disk.outdated && pd.repl >= Repl.established);

/** A Primary next door that has no disk any more works with other data. @spec state.md 9.2 */
export const mayReturnToUpToDate = (rows: Rows, d: number): boolean =>
  !somePeer(rows, d, (pd, c) => pd.pdsk <= Disk.failed && rows.connections[c]!.peerRole === Role.primary
    && !sameUuid(pd.peerCurrentUuid, rows.devices[d]!.currentUuid));

/** It shows these very data (mayReturnToUpToDate): a disk of its own with others does not count. */
const isDisklessPrimary = (rows: Rows, d: number, c: number): boolean =>
  c >= 0 && rows.connections[c]!.peerRole === Role.primary && pdAt(rows, d, c).pdsk === Disk.diskless;

/** A node whose absence does not forbid to call the own data UpToDate. `pd`: its peer device, if it is configured. @spec state.md 9.2 */
function slotIsFine(slot: SlotFacts, pd: PeerDeviceRow | undefined): boolean {
  if (slot.bitmapIndex < 0 && (slot.flags & PeerFlag.nodeExists) === 0) return true;
  if ((slot.flags & PeerFlag.fencing) === 0) return true;
  const pdsk = pd === undefined ? Disk.unknown : pd.pdsk;
  if (pdsk >= Disk.inconsistent && pdsk !== Disk.unknown) return true;
  if (pdsk === Disk.diskless && (slot.flags & PeerFlag.deviceSeen) === 0) return true;
  return (pd !== undefined && !pd.wantBitmap) || (slot.flags & PeerFlag.outdated) !== 0;
}

/** @spec state.md 9.2 */
export function mayBeUpToDate(which: Rows, next: Rows, d: number): boolean {
  if (!mayReturnToUpToDate(which, d) || !mayReturnToUpToDate(next, d) || reconcileHold(next, d)) return false;
  const md = next.devices[d]!.md;
  if (md === null) return true;
  for (let n = 0; n < NODES_MAX; n++) {
    if (n === next.resource.nodeId) continue;
    const c = connectionIndex(next, n);
    if (!isDisklessPrimary(next, d, c) && !slotIsFine(md.slots[n]!, c < 0 ? undefined : pdAt(next, d, c))) return false;
  }
  return true;
}

const goodDisk = (now: Rows, next: Rows, d: number): Disk => mayBeUpToDate(now, next, d) ? Disk.upToDate : Disk.consistent;

/** @spec state.md 9.1 */
export function diskStateFromMd(now: Rows, next: Rows, d: number): Disk {
  const flags = next.devices[d]!.md?.flags ?? 0;
  if ((flags & MdFlag.consistent) === 0) return Disk.inconsistent;
  if ((flags & MdFlag.wasUpToDate) === 0) return Disk.outdated;
  return goodDisk(now, next, d);
}

/**
 * At the end of an attach. A Primary has shown its users newer data than this disk has if their generation is another one and
 * the peer that had it was lost meanwhile: nothing may be read here before a resync. If it is the one that this Primary detached,
 * and it still has all, nobody has newer data.
 */
export function diskStateAttached(now: Rows, next: Rows, d: number): Disk {
  const disk = diskStateFromMd(now, next, d);
  if (hasShownOther(next, d)) return disk > Disk.outdated ? Disk.outdated : disk;
  return next.devices[d]!.keptAll && disk === Disk.outdated ? goodDisk(now, next, d) : disk;
}

/** A Primary whose users have seen another generation than its own disk is in. */
export function hasShownOther(rows: Rows, d: number): boolean {
  const { exposedUuid, currentUuid } = rows.devices[d]!;
  return rows.resource.role === Role.primary && exposedUuid !== 0n && !sameUuid(exposedUuid, currentUuid);
}

/** Whose data do users see? A Primary without good data of its own reads at its peers, as one without a disk does. */
export const readsAtPeers = (rows: Rows, d: number): boolean => rows.devices[d]!.disk < Disk.negotiating
  || (rows.resource.role === Role.primary && rows.devices[d]!.disk < Disk.consistent);

/**
 * A Secondary without a disk shows what the only Primary shows, whatever it has shown before: whoever looks now sees that one's
 * data. Unless somebody who is here has what it has shown: they are two lines of history.
 */
export const showsItsData = (rows: Rows, d: number, c: number): boolean => rows.resource.role === Role.secondary
  && rows.devices[d]!.disk < Disk.negotiating && pdAt(rows, d, c).repl >= Repl.established
  && rows.connections.every(({ peerRole }, n) => (peerRole === Role.primary) === (n === c))
  && !somePeer(rows, d, (pd, n) => n !== c && pd.pdsk === Disk.upToDate && sameUuid(pd.peerCurrentUuid, rows.devices[d]!.exposedUuid));

/** As calc_device_stable: looks at the roles of the peers only. @spec state.md 9.3 */
export const deviceStable = (rows: Rows): boolean =>
  rows.resource.role === Role.primary || !rows.connections.some((c) => c.peerRole === Role.primary);

/** @spec state.md 9.4 */
export function stableSyncSourcePresent(rows: Rows, d: number, exceptNodeId: number): boolean {
  const except = connectionIndex(rows, exceptNodeId);
  const exceptPd = except < 0 ? undefined : pdAt(rows, d, except);
  const authoritative = exceptPd !== undefined && (exceptPd.uuidFlags & UuidFlag.stable) === 0 ? exceptPd.uuidNodeMask : 0n;
  if ((authoritative & bit(rows.resource.nodeId)) !== 0n) return true;
  return somePeer(rows, d, (pd, c) => {
    if (c === except) return false;
    const connected = pd.repl === Repl.established || pd.repl === Repl.wfBitMapS
      || (pd.repl >= Repl.syncSource && pd.repl < Repl.ahead);
    if (!connected) return false;
    const connection = rows.connections[c]!;
    return (authoritative & bit(pd.nodeId)) !== 0n
      || (connection.peerRole === Role.primary && !connection.options.allowTwoPrimaries)
      || (isSyncTarget(pd.repl) && (pd.uuidFlags & UuidFlag.stable) !== 0);
  });
}

/** What P_UUIDS110 would carry as current UUID now. @spec uuid.md 1.4 */
export function resolvedUuid(rows: Rows, d: number, exceptNodeId: number): bigint {
  for (let c = 0; c < rows.connections.length; c++) {
    const pd = pdAt(rows, d, c);
    if (pd.nodeId !== exceptNodeId && pd.repl === Repl.syncTarget) return pd.peerCurrentUuid;
  }
  return rows.devices[d]!.currentUuid;
}

/** The highest disk and pdsk over a connection's volumes. */
export const highestDisk = (rows: Rows): Disk =>
  rows.devices.reduce<Disk>((high, device) => device.disk > high ? device.disk : high, Disk.diskless);
export const highestPdsk = (rows: Rows, c: number): Disk =>
  rows.devices.reduce<Disk>((high, _, d) => pdAt(rows, d, c).pdsk > high ? pdAt(rows, d, c).pdsk : high, Disk.diskless);

/** A new connect transaction's initial packets are being exchanged. @spec state.md 4.2 T2 */
export const inHandshake = (now: Rows, d: number): boolean =>
  somePeer(now, d, (pd) => pd.holdingUuidLock && pd.repl === Repl.off);

/** Device open, but only for reading. */
export const openReadOnly = (device: DeviceRow): boolean => device.openCount > 0 && !device.writable;
export const readOnlyOpeners = (rows: Rows): boolean => rows.devices.some(openReadOnly);

/** A Primary in the mask that is neither self nor Connected in these rows. @spec state.md 6.1 */
export function unreachablePrimary(rows: Rows, primaryNodes: bigint): boolean {
  let direct = bit(rows.resource.nodeId);
  for (const c of rows.connections) if (c.cstate === Cstate.connected) direct |= bit(c.nodeId);
  return (primaryNodes & ~direct) !== 0n;
}
