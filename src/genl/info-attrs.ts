// SPDX-License-Identifier: GPL-2.0-or-later
import { ROLE, WRITE_ORDERING } from './enums.ts';
import type { Infer } from './schema.ts';
import { flag, nest, s32, string, u32, u64, uuid, uuids } from './schema.ts';

/**
 * What dumps and notifications tell: states by number (state.md 1), statistics.
 * @spec genetlink.md 4, 5
 */

const M = { mandatory: true } as const;

export const resourceInfo = nest(15, 'RESOURCE_INFO', 'resource_info', {
  resRole: u32(1, { names: ROLE }),
  resSusp: flag(2),
  resSuspNod: flag(3),
  resSuspFen: flag(4),
  resSuspQuorum: flag(5),
  resFailIo: flag(6),
});
export type ResourceInfo = Infer<typeof resourceInfo>;

export const deviceInfo = nest(16, 'DEVICE_INFO', 'device_info', {
  devDiskState: u32(1),
  isIntentionalDiskless: flag(2),
  devHasQuorum: flag(3),
  devIsOpen: flag(5),
  backingDevPath: string(4, 128),
});
export type DeviceInfo = Infer<typeof deviceInfo>;

export const connectionInfo = nest(17, 'CONNECTION_INFO', 'connection_info', {
  connConnectionState: u32(1),
  connRole: u32(2, { names: ROLE }),
});
export type ConnectionInfo = Infer<typeof connectionInfo>;

export const peerDeviceInfo = nest(18, 'PEER_DEVICE_INFO', 'peer_device_info', {
  peerReplState: u32(1),
  peerDiskState: u32(2),
  peerResyncSuspUser: u32(3),
  peerResyncSuspPeer: u32(4),
  peerResyncSuspDependency: u32(5),
  peerIsIntentionalDiskless: flag(6),
});
export type PeerDeviceInfo = Infer<typeof peerDeviceInfo>;

export const resourceStatistics = nest(19, 'RESOURCE_STATISTICS', 'resource_statistics', {
  resStatWriteOrdering: u32(1, { names: WRITE_ORDERING }),
});
export type ResourceStatistics = Infer<typeof resourceStatistics>;

export const deviceStatistics = nest(20, 'DEVICE_STATISTICS', 'device_statistics', {
  devSize: u64(1, { unit: 'sectors' }),
  devRead: u64(2, { unit: 'sectors' }),
  devWrite: u64(3, { unit: 'sectors' }),
  devAlWrites: u64(4),
  devBmWrites: u64(5),
  devUpperPending: u32(6, { unit: 'requests' }),
  devLowerPending: u32(7, { unit: 'requests' }),
  devUpperBlocked: flag(8),
  devLowerBlocked: flag(9),
  devAlSuspended: flag(10),
  devExposedDataUuid: uuid(11),
  devCurrentUuid: uuid(12),
  devDiskFlags: u32(13),
  /** 32 when a disk is attached, none otherwise. */
  historyUuids: uuids(14, 256),
});
export type DeviceStatistics = Infer<typeof deviceStatistics>;

export const connectionStatistics = nest(21, 'CONNECTION_STATISTICS', 'connection_statistics', {
  connCongested: flag(1),
  apInFlight: u64(2, { unit: 'sectors' }),
  rsInFlight: u64(3, { unit: 'sectors' }),
});
export type ConnectionStatistics = Infer<typeof connectionStatistics>;

export const peerDeviceStatistics = nest(22, 'PEER_DEVICE_STATISTICS', 'peer_device_statistics', {
  peerDevReceived: u64(1, { unit: 'sectors' }),
  peerDevSent: u64(2, { unit: 'sectors' }),
  peerDevPending: u32(3, { unit: 'requests' }),
  peerDevUnacked: u32(4, { unit: 'requests' }),
  peerDevOutOfSync: u64(5, { unit: 'sectors' }),
  peerDevResyncFailed: u64(6, { unit: 'sectors' }),
  peerDevBitmapUuid: uuid(7),
  peerDevFlags: u32(9),
  peerDevRsTotal: u64(10, { unit: 'sectors' }),
  peerDevOvStartSector: u64(11, { unit: 'sector' }),
  peerDevOvStopSector: u64(12, { unit: 'sector' }),
  peerDevOvPosition: u64(13, { unit: 'sector' }),
  peerDevOvLeft: u64(14, { unit: 'sectors' }),
  peerDevOvSkipped: u64(15, { unit: 'sectors' }),
  peerDevRsSameCsum: u64(16, { unit: 'sectors' }),
  peerDevRsDtStartMs: u64(17, { unit: 'ms' }),
  peerDevRsPausedMs: u64(18, { unit: 'ms' }),
  peerDevRsDt0Ms: u64(19, { unit: 'ms' }),
  peerDevRsDb0Sectors: u64(20, { unit: 'sectors' }),
  peerDevRsDt1Ms: u64(21, { unit: 'ms' }),
  peerDevRsDb1Sectors: u64(22, { unit: 'sectors' }),
  peerDevRsCSyncRate: u32(23, { unit: 'KiB/s' }),
  peerDevUuidFlags: u64(24),
});
export type PeerDeviceStatistics = Infer<typeof peerDeviceStatistics>;

export const notificationHeader = nest(23, 'NOTIFICATION_HEADER', 'drbd_notification_header', {
  nhType: u32(1, M),
});

export const helperInfo = nest(24, 'HELPER', 'drbd_helper_info', {
  helperName: string(1, 32, M),
  /** 0 for a call; for a response the raw wait status, or -errno. */
  helperStatus: s32(2, M),
});

export const pathInfo = nest(30, 'PATH_INFO', 'drbd_path_info', {
  pathEstablished: flag(1),
});
export type PathInfo = Infer<typeof pathInfo>;

export const renameResourceInfo = nest(32, 'RENAME_RESOURCE_INFO', 'rename_resource_info', {
  resNewName: string(1, 128, M),
});
