// SPDX-License-Identifier: GPL-2.0-or-later
/** Building and looking up views. */
import { assert } from '../assert.ts';
import { Cstate, Disk, Negotiation, Repl, Role } from './states.ts';
import type {
  ConnectionOptions, ConnectionRow, ConnectState, DeviceOptions, DeviceRow, PeerDeviceRow, ResourceOptions, ResourceRow, View,
} from './types.ts';

/** The rows alone: a view or a transaction's draft. */
export interface Rows {
  readonly resource: ResourceRow;
  readonly connections: readonly ConnectionRow[];
  readonly devices: readonly DeviceRow[];
  readonly peerDevices: readonly PeerDeviceRow[];
}

export const NODES_MAX = 32;
export const VOLUMES_MAX = 65536;

export const bit = (nodeId: number): bigint => 1n << BigInt(nodeId);
export const hasNode = (mask: bigint, nodeId: number): boolean => (mask >> BigInt(nodeId) & 1n) === 1n;
const ALL = (1n << 64n) - 1n;
/** 64-bit complement, as masks stand on the wire. */
export const complement = (mask: bigint): bigint => ALL ^ (mask & ALL);

/** Equal without bit 0 (Primary). @spec uuid.md 1.1 */
export const sameUuid = (a: bigint, b: bigint): boolean => (a | 1n) === (b | 1n);

export const defaultResourceOptions: ResourceOptions = {
  onNoQuorum: 'suspend-io', onNoDataAccessible: 'io-error', onSuspendedPrimaryOutdated: 'disconnect', quorum: 0,
  quorumMinimumRedundancy: 0, autoPromote: true, autoPromoteTimeoutMs: 2_000, twopcTimeoutMs: 30_000, twopcRetryTimeoutMs: 100,
};
export const defaultConnectionOptions: ConnectionOptions = {
  fencing: 0, allowTwoPrimaries: false, allowRemoteRead: true, verifyAlg: false, pingTimeoutMs: 500, rrConflict: 'disconnect',
};
export const defaultDeviceOptions: DeviceOptions = { onIoError: 'detach', alUpdates: true };

export const PRO_VERSION_MAX = 124;

export const noConnectState: ConnectState = {
  conn: Repl.off, peerRole: Role.unknown, pdsk: Disk.unknown, disk: Disk.mask, peerIsp: false,
};

/** A resource without anything in it. @spec state.md 10.1 */
export function emptyView(name: string, nodeId: number, options: ResourceOptions = defaultResourceOptions): View {
  assert(nodeId >= 0 && nodeId < NODES_MAX, 'node id in range');
  return {
    resource: {
      name, nodeId, options, role: Role.secondary, suspUser: false, suspNod: false, suspQuorum: false, suspUuid: false,
      failIo: false, members: bit(nodeId), explicitPrimary: false, downInProgress: false, tryBecomeUpToDatePending: false,
      emptyTwopcScheduled: false, suspended: false, minAgreedVersion: PRO_VERSION_MAX, allDevicesHaveQuorum: true,
    },
    connections: [], devices: [], peerDevices: [], twopc: null, waiting: [], operations: [], semHolder: 0, nextId: 1,
  };
}

export function newConnection(nodeId: number, name: string, options: ConnectionOptions): ConnectionRow {
  return {
    nodeId, name, options, cstate: Cstate.standAlone, peerRole: Role.unknown, suspFen: false, agreedVersion: 0,
    agreedFeatures: 0, hasPath: false, disconnectExpected: false, reconnect: false, handshake: 'none', dryRun: false,
    discardMyData: false, notifyPeersLostPrimary: false, lossTold: false, connects: 0, fencingRuns: false,
  };
}

export function newDevice(vnr: number, minor: number, options: DeviceOptions, intentionalDiskless: boolean,
  haveQuorum: boolean): DeviceRow {
  return {
    vnr, minor, options, intentionalDiskless, disk: Disk.diskless, haveQuorum, md: null, currentUuid: 0n, exposedUuid: 0n,
    nextExposedUuid: 0n, newCurUuid: false, crashedPrimary: false, primaryLostQuorum: false, restoreQuorum: false,
    restoringQuorum: false, tiebreakerQuorum: false, tryToGetResync: false, outdateOn2pcCommit: false, forceDetach: false, outgrown: false,
    keptAll: false, unregistered: false, stableResync: false, openCount: 0, writable: false, unstable: false, errIo: false, mirrorMask: 0,
    outOfSyncMask: 0, remoteReadMask: 0, localReadable: false,
  };
}

export function newPeerDevice(vnr: number, nodeId: number, wantBitmap: boolean, pdsk: Disk, suspOtherC: boolean): PeerDeviceRow {
  return {
    vnr, nodeId, wantBitmap, repl: Repl.off, pdsk, suspUser: false, suspPeer: false, suspDependency: false, suspOtherC,
    resyncActive: false, uuidsReceived: false, currentUuidReceived: false, initialStateSent: false, initialStateReceived: false,
    haveSizes: false, holdingUuidLock: false, follows: false, peerQuorate: false, considerResync: false, unstableResync: false,
    reconciliationResync: false, reconcilePending: false, beforeResyncDone: false, aheadToSyncSource: false, syncSrcCrashedPrimary: false,
    resyncAgain: 0, peerCurrentUuid: 0n, uuidFlags: 0, uuidNodeMask: 0n, commCurrentUuid: 0n,
    negotiationResult: Negotiation.negotiating, connectState: noConnectState, lastRepl: Repl.off,
  };
}

/** Index of the connection to this node; -1: none. */
export function connectionIndex(rows: Rows, nodeId: number): number {
  const { connections } = rows;
  for (let c = 0; c < connections.length; c++) if (connections[c]!.nodeId === nodeId) return c;
  return -1;
}

export function deviceIndex(rows: Rows, vnr: number): number {
  const { devices } = rows;
  for (let d = 0; d < devices.length; d++) if (devices[d]!.vnr === vnr) return d;
  return -1;
}

export const peerDeviceIndex = (rows: Rows, d: number, c: number): number => d * rows.connections.length + c;

export const findConnection = (rows: Rows, nodeId: number): ConnectionRow | undefined =>
  rows.connections[connectionIndex(rows, nodeId)];
export const findDevice = (rows: Rows, vnr: number): DeviceRow | undefined => rows.devices[deviceIndex(rows, vnr)];
export function findPeerDevice(rows: Rows, vnr: number, nodeId: number): PeerDeviceRow | undefined {
  const d = deviceIndex(rows, vnr);
  const c = connectionIndex(rows, nodeId);
  return d < 0 || c < 0 ? undefined : rows.peerDevices[peerDeviceIndex(rows, d, c)];
}

/** Node ids with cstate Connected. */
export function connectedMask(rows: Rows): bigint {
  let mask = 0n;
  for (const connection of rows.connections) if (connection.cstate === Cstate.connected) mask |= bit(connection.nodeId);
  return mask;
}

/** The row with the patch, or the same row if nothing differs. */
export function patched<Row extends object>(row: Row, patch: Partial<Row>): Row {
  for (const key in patch) if (patch[key] !== row[key]) return { ...row, ...patch };
  return row;
}

export function replaceResource(view: View, patch: Partial<ResourceRow>): View {
  const resource = patched(view.resource, patch);
  return resource === view.resource ? view : { ...view, resource };
}

const replaceAt = <Row extends object>(rows: readonly Row[], index: number, patch: Partial<Row>): readonly Row[] => {
  const row = patched(rows[index]!, patch);
  return row === rows[index] ? rows : rows.with(index, row);
};

/** Facts only; unknown nodes and volumes change nothing (the object may have gone meanwhile). */
export function replaceConnection(view: View, nodeId: number, patch: Partial<ConnectionRow>): View {
  const c = connectionIndex(view, nodeId);
  if (c < 0) return view;
  const connections = replaceAt(view.connections, c, patch);
  return connections === view.connections ? view : { ...view, connections };
}

export function replaceDevice(view: View, vnr: number, patch: Partial<DeviceRow>): View {
  const d = deviceIndex(view, vnr);
  if (d < 0) return view;
  const devices = replaceAt(view.devices, d, patch);
  return devices === view.devices ? view : { ...view, devices };
}

export function replacePeerDevice(view: View, vnr: number, nodeId: number, patch: Partial<PeerDeviceRow>): View {
  const d = deviceIndex(view, vnr);
  const c = connectionIndex(view, nodeId);
  if (d < 0 || c < 0) return view;
  const peerDevices = replaceAt(view.peerDevices, peerDeviceIndex(view, d, c), patch);
  return peerDevices === view.peerDevices ? view : { ...view, peerDevices };
}

/** The same patch for every volume of a connection. */
export function replacePeerDevicesOf(view: View, nodeId: number, patch: Partial<PeerDeviceRow>): View {
  let result = view;
  for (const device of view.devices) result = replacePeerDevice(result, device.vnr, nodeId, patch);
  return result;
}
