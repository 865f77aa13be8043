// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Cheap questions of the I/O path. They read what the last commit computed and allocate nothing; take the DeviceRow once after
 * each `ioChanged` and keep it. Masks are Int32 bit sets of node ids (bit 31 makes them negative: test bits with &).
 */
import { combinedDependency } from './info.ts';
import { dataAccessible, pdAt } from './facts.ts';
import type { Reason } from './reason.ts';
import { Cstate, Disk, Repl, Role } from './states.ts';
import type { DeviceRow, PeerDeviceRow, View } from './types.ts';
import { findDevice, findPeerDevice } from './view.ts';

/** What to do with a new bio. */
export const Gate = { go: 0, wait: 1, fail: 2, newUuid: 3 } as const;
export type Gate = (typeof Gate)[keyof typeof Gate];

/** fail: EIO at once. wait: queue it (suspended or unstable). newUuid: a new current UUID first, then go. @spec state.md 8.1 */
export function gateOf(view: View, device: DeviceRow): Gate {
  if (device.errIo) return Gate.fail;
  if (view.resource.suspended || device.unstable) return Gate.wait;
  return device.newCurUuid ? Gate.newUuid : Gate.go;
}

/** Any suspension (drbd_suspended). */
export const drbdSuspended = (view: View): boolean => view.resource.suspended;

/** Writes of the application are accepted now. */
export function mayWrite(view: View, vnr: number): boolean {
  const device = findDevice(view, vnr);
  return device !== undefined && view.resource.role === Role.primary && gateOf(view, device) === Gate.go;
}

/** Who gets a write's data; Int32 mask. */
export const peersToMirror = (view: View, vnr: number): number => findDevice(view, vnr)?.mirrorMask ?? 0;
/** Who is told that a write happened. */
export const peersOutOfSync = (view: View, vnr: number): number => findDevice(view, vnr)?.outOfSyncMask ?? 0;
/** Peers that reads may go to. */
export const peersToRead = (view: View, vnr: number): number => findDevice(view, vnr)?.remoteReadMask ?? 0;
/** All of the local disk may be read. */
export const readAllowed = (view: View, vnr: number): boolean => findDevice(view, vnr)?.localReadable ?? false;
/** The shim may serve reads by itself: nothing that the engine must decide. */
export function bypassAllowed(view: View, vnr: number): boolean {
  const device = findDevice(view, vnr);
  return device !== undefined && device.localReadable && gateOf(view, device) === Gate.go;
}
/** Local writes go to the disk (also of peers). */
export const writesLocally = (device: DeviceRow): boolean => device.md !== null && device.disk >= Disk.inconsistent;

/** Does the resync of this peer device stand still? @spec state.md 1.6 */
export const resyncPaused = (pd: PeerDeviceRow, disk: Disk): boolean => pd.suspUser || pd.suspPeer || combinedDependency(pd, disk);

export const replOf = (view: View, vnr: number, nodeId: number): Repl => findPeerDevice(view, vnr, nodeId)?.repl ?? Repl.off;

/** Errno of an open, 0 when it may go on, after promotion was tried (7.2 steps 2, 5). EAGAIN: a connection may come soon. */
export const OpenErrno = { ok: 0, again: 11, noDevice: 19, readOnlyFs: 30, noData: 61, notRecoverable: 131, mediumType: 124 } as const;

export function openErrno(view: View, vnr: number, write: boolean): number {
  const device = findDevice(view, vnr);
  if (device === undefined || device.unregistered) return OpenErrno.noDevice;
  const { resource } = view;
  if (resource.failIo) return OpenErrno.notRecoverable;
  if (write) return resource.role === Role.primary ? OpenErrno.ok : OpenErrno.readOnlyFs;
  if (resource.role !== Role.primary && !resource.options.autoPromote) return OpenErrno.mediumType;
  if (!device.haveQuorum) return OpenErrno.noData;
  if (resource.role !== Role.primary
    && view.connections.some((c) => c.peerRole === Role.primary && !c.options.allowTwoPrimaries)) return OpenErrno.mediumType;
  const d = view.devices.indexOf(device);
  if (device.disk === Disk.upToDate || view.connections.some((_, c) => pdAt(view, d, c).pdsk === Disk.upToDate)) return OpenErrno.ok;
  const soon = view.connections.some((c) => c.cstate >= Cstate.unconnected && c.cstate <= Cstate.connecting);
  return soon ? OpenErrno.again : OpenErrno.noData;
}

/** Everything that suspends I/O now. */
export function suspensions(view: View): readonly Reason[] {
  const { resource } = view;
  const by: Reason[] = [];
  const add = (why: (Reason & { kind: 'suspended' })['by'], vnr = -1, nodeId = -1): void => {
    by.push({ kind: 'suspended', by: why, vnr, nodeId });
  };
  if (resource.suspUser) add('user');
  if (resource.suspNod) view.devices.forEach((device, d) => { if (!dataAccessible(view, d)) add('no-data', device.vnr); });
  if (resource.suspNod && by.every((r) => r.kind !== 'suspended' || r.by !== 'no-data')) add('no-data');
  for (const connection of view.connections) if (connection.suspFen) add('fencing', -1, connection.nodeId);
  if (resource.suspQuorum) for (const device of view.devices) if (!device.haveQuorum) add('quorum', device.vnr);
  if (resource.suspUuid) add('uuid');
  return by;
}

/** Why operations wait: one entry for each that does. */
export const waits = (view: View): readonly Reason[] =>
  view.operations.flatMap((operation) => operation.waiting === null ? [] : [operation.waiting]);

