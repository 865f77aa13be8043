// SPDX-License-Identifier: GPL-2.0-or-later
import type { DeviceConf, DiskConf, NetConf, PeerDeviceConf, ResourceOpts } from './config-attrs.ts';
import type { ConnectionInfo, ConnectionStatistics, DeviceInfo, DeviceStatistics, PathInfo, PeerDeviceInfo,
  PeerDeviceStatistics, ResourceInfo, ResourceStatistics } from './info-attrs.ts';

/**
 * What dumps and notifications show of an object: plain values, filled in by the control layer at one moment.
 * States are numbers (state.md 1), statistics as io.md 14.1.
 */

/** Names a resource in a notification. */
export interface ResourceShown {
  readonly name: string;
  readonly info: ResourceInfo;
  readonly statistics: ResourceStatistics;
}

export interface DeviceShown {
  readonly minor: number;
  readonly volume: number;
  readonly info: DeviceInfo;
  readonly statistics: DeviceStatistics;
}

export interface ConnectionShown {
  readonly peerNodeId: number;
  /** net_conf's name: the peer's host name. */
  readonly name: string;
  readonly info: ConnectionInfo;
  readonly statistics: ConnectionStatistics;
  readonly paths: readonly PathShown[];
}

export interface PathShown {
  /** struct sockaddr as it came with new-path. */
  readonly myAddr: Uint8Array;
  readonly peerAddr: Uint8Array;
  readonly info: PathInfo;
}

export interface PeerDeviceShown {
  readonly volume: number;
  readonly info: PeerDeviceInfo;
  readonly statistics: PeerDeviceStatistics;
}

/** The same with options, for dumps. */
export interface ResourceSnapshot extends ResourceShown {
  readonly opts: ResourceOpts;
  /** By volume. */
  readonly devices: readonly DeviceSnapshot[];
  /** In order of creation. */
  readonly connections: readonly ConnectionSnapshot[];
}

export interface DeviceSnapshot extends DeviceShown {
  readonly conf: DeviceConf;
  /** null when the disk state is below Failed. */
  readonly diskConf: DiskConf | null;
}

export interface ConnectionSnapshot extends ConnectionShown {
  readonly netConf: NetConf;
  /** By volume. */
  readonly peerDevices: readonly PeerDeviceSnapshot[];
}

export interface PeerDeviceSnapshot extends PeerDeviceShown {
  readonly opts: PeerDeviceConf;
}

/** Where dumps come from. */
export interface SnapshotSource {
  /** All resources in order of creation, or the one of that name ([] when there is none). */
  snapshot(resourceName?: string): readonly ResourceSnapshot[];
}
