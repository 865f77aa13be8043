// SPDX-License-Identifier: GPL-2.0-or-later
/** What a commit means for I/O: the view's rows as plain numbers of the I/O engine, then one call. */
import { Cstate, Disk, Role } from '../state/states.ts';
import { awaitsGeneration, mayMakeGeneration } from '../state/facts.ts';
import { deviceIndex, findConnection, findDevice, findPeerDevice } from '../state/view.ts';
import type { Connection } from './connection.ts';
import type { Device } from './device.ts';
import type { PeerDevice } from './peer-device.ts';
import { journalReplaced } from './replaced.ts';
import type { Resource } from './resource.ts';
import { generationMayBeConfirmed } from './unused.ts';

/** Called after each step that moved the view on, before its effects, and after changes of options. */
export function pushFacts(resource: Resource): void {
  const { view, io, opts } = resource;
  const row = view.resource;
  io.facts.role = row.role;
  io.facts.suspended = row.suspended;
  io.facts.completionQuorum = row.allDevicesHaveQuorum || row.options.onNoQuorum !== 'io-error';
  io.facts.nrRequests = opts.nrRequests;
  io.facts.peerAckWindow = opts.peerAckWindow;
  io.facts.peerAckDelayMs = opts.peerAckDelay;
  for (const device of resource.devices.values()) {
    pushDevice(resource, device);
    journalReplaced(device);
  }
  for (const connection of resource.connections.values()) {
    pushConnection(resource, connection);
    for (const peerDevice of connection.peerDevices.values()) pushPeerDevice(resource, connection, peerDevice);
  }
  io.factsChanged();
  for (const device of resource.devices.values()) generationMayBeConfirmed(device);
}

function pushDevice(resource: Resource, device: Device): void {
  const row = findDevice(resource.view, device.vnr);
  if (!row) return;
  const { facts } = device.io;
  noteLostDisk(resource, device, facts.disk as Disk, row.disk);
  facts.disk = row.disk;
  facts.errIo = row.errIo;
  const d = deviceIndex(resource.view, device.vnr);
  facts.newCurUuid = awaitsGeneration(resource.view, d);
  facts.unstable = row.unstable || (facts.newCurUuid && !mayMakeGeneration(resource.view, d));
  facts.makingUuid = device.makingUuid;
  facts.blocked = device.blocked;
  facts.openCount = row.openCount;
  const { disk } = device;
  facts.readBalancing = disk?.conf.readBalancing ?? 0;
  device.readBypass.update(resource.io.facts, facts, disk !== null);
  if (!disk) return;
  disk.stateIs(row.disk);
  facts.alDisabled = disk.alDisabled;
  facts.alSuspended = disk.alSuspended;
  facts.diskFlushes = disk.conf.diskFlushes;
  facts.diskDrain = disk.conf.diskDrain;
  facts.discardZeroesIfAligned = disk.conf.discardZeroesIfAligned;
  facts.diskTimeout = disk.conf.diskTimeout;
}

function noteLostDisk(resource: Resource, device: Device, before: Disk, now: Disk): void {
  if (resource.view.resource.role !== Role.primary) device.lostUuid = 0n;
  else if (before === Disk.upToDate && now <= Disk.failed) device.lostUuid = device.disk?.meta.superBlock.currentUuid ?? 0n;
}

function pushConnection(resource: Resource, connection: Connection): void {
  const row = findConnection(resource.view, connection.nodeId);
  if (!row) return;
  connection.prepareWaits(resource.view.waiting.some(({ from, why }) => from === connection.nodeId && why !== 'retryOpener'));
  const { netConf, io: { facts } } = connection;
  facts.connected = row.cstate === Cstate.connected;
  facts.protocol = netConf.wireProtocol;
  facts.peerRole = row.peerRole;
  facts.twoPrimaries = netConf.twoPrimaries;
  facts.maxEpochSize = netConf.maxEpochSize;
  facts.maxBuffers = netConf.maxBuffers;
  facts.timeout = netConf.timeout;
  facts.koCount = netConf.koCount;
  facts.useRle = netConf.useRle;
  facts.csumsAlg = netConf.csumsAlg;
  facts.verifyAlg = netConf.verifyAlg;
  facts.onCongestion = netConf.onCongestion;
  facts.congestionFill = netConf.congFill;
  facts.congestionExtents = netConf.congExtents;
}

function pushPeerDevice(resource: Resource, connection: Connection, peerDevice: PeerDevice): void {
  const { vnr } = peerDevice.device;
  const row = findPeerDevice(resource.view, vnr, connection.nodeId);
  if (!row) return;
  const { conf, io: { facts } } = peerDevice;
  facts.repl = row.repl;
  facts.pdisk = row.pdsk;
  facts.bitmapIndex = peerDevice.device.disk?.bitmapIndex(connection.nodeId) ?? -1;
  facts.allowRemoteRead = connection.netConf.allowRemoteRead;
  facts.resyncRate = conf.resyncRate;
  facts.cPlanAhead = conf.cPlanAhead;
  facts.cDelayTarget = conf.cDelayTarget;
  facts.cFillTarget = conf.cFillTarget;
  facts.cMaxRate = conf.cMaxRate;
  facts.cMinRate = conf.cMinRate;
  const { csumsAlg, csumsAfterCrashOnly } = connection.netConf;
  facts.useCsums = csumsAlg !== '' && (!csumsAfterCrashOnly || (findDevice(resource.view, vnr)?.crashedPrimary ?? false));
}
