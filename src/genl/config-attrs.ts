// SPDX-License-Identifier: GPL-2.0-or-later
import { AFTER_SB, FENCING, ON_CONGESTION, ON_IO_ERROR, ON_NO_DATA, ON_NO_QUORUM, ON_SUSP_PRIMARY_OUTDATED,
  READ_BALANCING, WIRE_PROTOCOL } from './enums.ts';
import type { Infer } from './schema.ts';
import { binary, flag, nest, s32, string, u32, u64 } from './schema.ts';

/**
 * Options: what an administrator sets and dumps show. Defaults and ranges are those of DRBD 9.2.18.
 * @spec genetlink.md 4
 */

const MAX_SECTORS = 2_199_023_255_552;
const M = { mandatory: true } as const;

export const diskConf = nest(3, 'DISK_CONF', 'disk_conf', {
  backingDev: string(1, 128, { required: true, invariant: true }),
  metaDev: string(2, 128, { required: true, invariant: true }),
  metaDevIdx: s32(3, { required: true, invariant: true }),
  diskSize: u64(4, { ...M, invariant: true, default: 0, min: 0, max: MAX_SECTORS, unit: 'sectors' }),
  onIoError: u32(6, { ...M, default: 2, names: ON_IO_ERROR }),
  resyncAfter: s32(9, { ...M, default: -1, min: -1, max: 1_048_575, unit: 'minor', outside: 'operation' }),
  alExtents: u32(10, { ...M, default: 1237, min: 67, max: 65_534, unit: 'extents', outside: 'clamp' }),
  diskBarrier: flag(16, { ...M, default: false }),
  diskFlushes: flag(17, { ...M, default: true }),
  diskDrain: flag(18, { ...M, default: true }),
  mdFlushes: flag(19, { ...M, default: true }),
  diskTimeout: u32(20, { ...M, default: 0, min: 0, max: 6000, unit: '0.1 s' }),
  readBalancing: u32(21, { ...M, default: 0, names: READ_BALANCING }),
  unplugWatermark: u32(22, { ...M, default: 128, min: 1, max: 131_072, unit: 'requests' }),
  rsDiscardGranularity: u32(25, { default: 0, min: 0, max: 1_048_576, unit: 'bytes' }),
  alUpdates: flag(23, { default: true }),
  discardZeroesIfAligned: flag(24, { default: true }),
  disableWriteSame: flag(26, { default: false }),
});
export type DiskConf = Infer<typeof diskConf>;

export const resourceOpts = nest(4, 'RESOURCE_OPTS', 'res_opts', {
  cpuMask: string(1, 256, { ...M, default: '' }),
  onNoData: u32(2, { ...M, default: 0, names: ON_NO_DATA }),
  autoPromote: flag(3, { ...M, default: true }),
  nodeId: u32(4, { required: true, invariant: true, min: 0, max: 31, outside: 'operation' }),
  peerAckWindow: u32(5, { ...M, default: 4096, min: 2048, max: 204_800, unit: 'sectors' }),
  twopcTimeout: u32(6, { ...M, default: 300, min: 50, max: 600, unit: '0.1 s' }),
  twopcRetryTimeout: u32(7, { ...M, default: 1, min: 1, max: 50, unit: '0.1 s' }),
  peerAckDelay: u32(8, { default: 100, min: 1, max: 10_000, unit: 'ms' }),
  autoPromoteTimeout: u32(9, { default: 20, min: 0, max: 600, unit: '0.1 s' }),
  nrRequests: u32(10, { default: 8000, min: 4, max: 4_294_967_295, unit: 'requests', outside: 'clamp' }),
  quorum: s32(11, { default: 0, min: 0, max: 1025 }),
  onNoQuorum: u32(12, { default: 1, names: ON_NO_QUORUM }),
  quorumMinRedundancy: s32(13, { default: 0, min: 0, max: 1025 }),
  onSuspPrimaryOutdated: u32(14, { default: 0, names: ON_SUSP_PRIMARY_OUTDATED }),
  drbd8CompatMode: flag(15, { default: false }),
});
export type ResourceOpts = Infer<typeof resourceOpts>;

export const netConf = nest(5, 'NET_CONF', 'net_conf', {
  sharedSecret: string(1, 64, { ...M, sensitive: true, default: '' }),
  cramHmacAlg: string(2, 64, { ...M, default: '' }),
  integrityAlg: string(3, 64, { ...M, default: '' }),
  verifyAlg: string(4, 64, { ...M, default: '' }),
  csumsAlg: string(5, 64, { ...M, default: '' }),
  wireProtocol: u32(6, { ...M, default: 3, names: WIRE_PROTOCOL }),
  connectInt: u32(7, { ...M, default: 10, min: 1, max: 120, unit: 's' }),
  timeout: u32(8, { ...M, default: 60, min: 1, max: 600, unit: '0.1 s' }),
  pingInt: u32(9, { ...M, default: 10, min: 1, max: 120, unit: 's' }),
  pingTimeo: u32(10, { ...M, default: 5, min: 1, max: 300, unit: '0.1 s' }),
  sndbufSize: u32(11, { ...M, default: 0, min: 0, max: 134_217_728, unit: 'bytes' }),
  rcvbufSize: u32(12, { ...M, default: 0, min: 0, max: 134_217_728, unit: 'bytes' }),
  koCount: u32(13, { ...M, default: 7, min: 0, max: 200 }),
  maxEpochSize: u32(15, { ...M, default: 2048, min: 1, max: 20_000, unit: 'writes' }),
  afterSb0p: u32(17, { ...M, default: 0, names: AFTER_SB, wireName: 'after_sb_0p' }),
  afterSb1p: u32(18, { ...M, default: 0, names: AFTER_SB, wireName: 'after_sb_1p' }),
  afterSb2p: u32(19, { ...M, default: 0, names: AFTER_SB, wireName: 'after_sb_2p' }),
  rrConflict: u32(20, { ...M, default: 0, names: AFTER_SB }),
  onCongestion: u32(21, { ...M, default: 0, names: ON_CONGESTION }),
  congFill: u32(22, { ...M, default: 0, min: 0, max: 20_971_520, unit: 'sectors' }),
  congExtents: u32(23, { ...M, default: 1237, min: 67, max: 65_534, unit: 'extents' }),
  twoPrimaries: flag(24, { ...M, default: false }),
  tcpCork: flag(26, { ...M, default: true }),
  alwaysAsbp: flag(27, { ...M, default: false }),
  useRle: flag(29, { ...M, default: true }),
  fencingPolicy: u32(30, { ...M, default: 0, names: FENCING }),
  name: string(31, 64, { ...M, default: '' }),
  csumsAfterCrashOnly: flag(33, { default: false }),
  sockCheckTimeo: u32(34, { default: 0, min: 0, max: 300, unit: '0.1 s' }),
  transportName: string(35, 64, { invariant: true, default: '' }),
  maxBuffers: u32(36, { default: 2048, min: 32, max: 131_072, unit: '4 KiB pages' }),
  allowRemoteRead: flag(37, { default: true }),
  tls: flag(38, { default: false }),
  tlsPrivkey: s32(39, { default: 0 }),
  tlsCertificate: s32(40, { default: 0 }),
  tlsKeyring: s32(41, { default: 0 }),
  loadBalancePaths: flag(42, { invariant: true, default: false }),
  rdmaCtrlRcvbufSize: u32(43, { default: 0, min: 0, max: 10_485_760, unit: 'bytes' }),
  rdmaCtrlSndbufSize: u32(44, { default: 0, min: 0, max: 10_485_760, unit: 'bytes' }),
});
export type NetConf = Infer<typeof netConf>;

export const deviceConf = nest(14, 'DEVICE_CONF', 'device_conf', {
  maxBioSize: u32(1, { invariant: true, default: 1_048_576, min: 512, max: 1_048_576, unit: 'bytes' }),
  intentionalDiskless: flag(2, { default: false }),
  blockSize: u32(3, { default: 512, min: 512, max: 4096, unit: 'bytes', outside: 'operation' }),
});
export type DeviceConf = Infer<typeof deviceConf>;

export const peerDeviceConf = nest(27, 'PEER_DEVICE_OPTS', 'peer_device_conf', {
  resyncRate: u32(1, { ...M, default: 250, min: 1, max: 8_388_608, unit: 'KiB/s', outside: 'clamp' }),
  cPlanAhead: u32(2, { ...M, default: 20, min: 0, max: 300, unit: '0.1 s', outside: 'clamp' }),
  cDelayTarget: u32(3, { ...M, default: 10, min: 1, max: 100, unit: '0.1 s' }),
  cFillTarget: u32(4, { ...M, default: 100, min: 0, max: 1_048_576, unit: 'sectors' }),
  cMaxRate: u32(5, { ...M, default: 102_400, min: 0, max: 4_194_304, unit: 'KiB/s' }),
  cMinRate: u32(6, { ...M, default: 250, min: 0, max: 4_194_304, unit: 'KiB/s' }),
  bitmap: flag(7, { default: true }),
});
export type PeerDeviceConf = Infer<typeof peerDeviceConf>;

export const pathParms = nest(28, 'PATH_PARMS', 'path_parms', {
  myAddr: binary(1, 128, M),
  peerAddr: binary(2, 128, M),
});
