// SPDX-License-Identifier: GPL-2.0-or-later
/** Counters as dumps and notifications show them, at this moment. @spec io.md 14.1 */
import type { ConnectionStatistics, DeviceStatistics, PeerDeviceStatistics,
  ResourceStatistics } from '../genl/info-attrs.ts';
import { MDF_PEER } from '../meta/flags.ts';
import { hasBitmap } from '../meta/super-block.ts';
import { isSyncOrVerify, isSyncTarget, Repl } from '../state/states.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import type { Resource } from './resource.ts';

const SECTORS_A_BIT = 8;
/** 0-mark and 1-mark, counted from the newest of eight. */
const MARK_0 = 2;
const MARK_1 = 7;
const MARKS = 8;

export const resourceStatistics = (resource: Resource): ResourceStatistics =>
  ({ resStatWriteOrdering: resource.io.writeOrdering });

export function deviceStatistics(device: Device): DeviceStatistics {
  const { io, disk, resource } = device;
  return {
    devSize: device.capacity,
    devRead: io.readSectors + device.readBypass.sectors,
    devWrite: io.writtenSectors,
    devAlWrites: disk?.al.writCnt ?? 0,
    devBmWrites: disk?.writer.writCnt ?? 0,
    devUpperPending: io.apBio(0) + io.apBio(1),
    devLowerPending: io.lowerPending,
    devUpperBlocked: io.gateReason !== '',
    devLowerBlocked: false,
    devAlSuspended: disk?.alSuspended ?? false,
    devExposedDataUuid: resource.deviceRow(device.vnr).exposedUuid,
    devCurrentUuid: disk?.meta.superBlock.currentUuid ?? 0n,
    devDiskFlags: disk?.meta.superBlock.flags ?? 0,
    historyUuids: disk?.meta.superBlock.historyUuids ?? [],
  };
}

export const connectionStatistics = ({ io }: Connection): ConnectionStatistics =>
  ({ connCongested: false, apInFlight: io.apInFlight, rsInFlight: io.rsInFlight });

export function peerDeviceStatistics(peerDevice: PeerDevice): PeerDeviceStatistics {
  const { io, device, connection } = peerDevice;
  const peer = device.disk?.meta.superBlock.peers[connection.nodeId];
  const row = device.resource.peerDeviceRow(device.vnr, connection.nodeId);
  return {
    peerDevReceived: io.received,
    peerDevSent: io.sent,
    peerDevPending: io.apPending + io.rsPending,
    peerDevUnacked: io.unacked,
    peerDevOutOfSync: io.bitsOutOfSync * SECTORS_A_BIT,
    peerDevBitmapUuid: peer?.bitmapUuid ?? 0n,
    peerDevFlags: peer ? (peer.flags | (hasBitmap(peer) ? MDF_PEER.haveBitmap : 0)) >>> 0 : 0,
    peerDevUuidFlags: row.uuidFlags,
    ...resyncStatistics(peerDevice),
    ...verifyStatistics(peerDevice),
  };
}

const NO_VERIFY = {
  peerDevOvStartSector: 0, peerDevOvStopSector: 0, peerDevOvPosition: 0, peerDevOvLeft: 0, peerDevOvSkipped: 0,
};

function verifyStatistics({ io: { verify } }: PeerDevice): typeof NO_VERIFY {
  if (!verify.running) return NO_VERIFY;
  return {
    peerDevOvStartSector: verify.startSector, peerDevOvStopSector: verify.stopSector, peerDevOvPosition: verify.position,
    peerDevOvLeft: verify.left * SECTORS_A_BIT, peerDevOvSkipped: verify.skipped * SECTORS_A_BIT,
  };
}

const NO_RESYNC = {
  peerDevResyncFailed: 0, peerDevRsTotal: 0, peerDevRsSameCsum: 0, peerDevRsDtStartMs: 0, peerDevRsPausedMs: 0,
  peerDevRsDt0Ms: 0, peerDevRsDb0Sectors: 0, peerDevRsDt1Ms: 0, peerDevRsDb1Sectors: 0, peerDevRsCSyncRate: 0,
};

function resyncStatistics({ io, device }: PeerDevice): typeof NO_RESYNC {
  const { progress, facts, target, verifySource } = io;
  if (!isSyncOrVerify(facts.repl as never) || !io.device.diskUsable) return NO_RESYNC;
  const peerDevResyncFailed = progress.failed * SECTORS_A_BIT;
  const { left } = progress;
  if (progress.total === 0 || left === 0) return { ...NO_RESYNC, peerDevResyncFailed };
  const nowMs = device.resource.engine.host.clock.nowMs();
  const passed = (sinceMs: number): number => Math.max(0, Math.floor(nowMs - sinceMs));
  const mark = (distance: number): { ms: number; sectors: number } => {
    const at = (progress.lastMark + distance) % MARKS;
    return { ms: passed(progress.markMs[at]!), sectors: Math.max(0, progress.markLeft[at]! - left) * SECTORS_A_BIT };
  };
  const mark0 = mark(MARK_0);
  const mark1 = mark(MARK_1);
  return {
    peerDevResyncFailed,
    peerDevRsTotal: progress.total * SECTORS_A_BIT,
    peerDevRsSameCsum: progress.sameCsum * SECTORS_A_BIT,
    peerDevRsDtStartMs: passed(progress.startMs),
    peerDevRsPausedMs: Math.floor(progress.pausedMs),
    peerDevRsDt0Ms: mark0.ms, peerDevRsDb0Sectors: mark0.sectors,
    peerDevRsDt1Ms: mark1.ms, peerDevRsDb1Sectors: mark1.sectors,
    peerDevRsCSyncRate: isSyncTarget(facts.repl as never) ? Math.max(0, Math.round(target.pace.rate))
      : facts.repl === Repl.verifyS ? Math.max(0, Math.round(verifySource.pace.rate)) : 0,
  };
}
