// SPDX-License-Identifier: GPL-2.0-or-later
import { LogLevel } from '../host/log.ts';
import { Disk } from '../state/states.ts';
import { checkCongestion, OnCongestion } from './congestion.ts';
import type { DeviceIo } from './device-io.ts';
import { IvFlag } from './intervals.ts';
import { Rq, RqEvent } from './mod.ts';
import { Route, routeWrite } from './routing.ts';

const EIO = 5;

/** drbd_send_and_submit: decides who gets a request, and hands it over. @spec io.md 1.6 */
export function sendAndSubmit(device: DeviceIo, slot: number): void {
  const { requests } = device.resource;
  const { pool } = requests;
  if (device.resource.facts.suspended || lateForGeneration(device, slot)) {
    postpone(device, slot);
    return;
  }
  if ((pool.local[slot] & Rq.WRITE) === 0) submitRead(device, slot);
  else if (!mayWrite(device)) fail(device, slot);
  else if (pool.size[slot] === 0) submitFlush(device, slot);
  else submitWrite(device, slot);
}

/** While a write waited for the activity log a peer was lost: it belongs to the generation that is due, or is its first. */
function lateForGeneration(device: DeviceIo, slot: number): boolean {
  const { facts, resource: { requests: { pool } } } = device;
  const due = facts.newCurUuid || facts.makingUuid || ((pool.local[slot] & Rq.IN_ACT_LOG) !== 0 && device.disk?.unused === true);
  return due && !facts.errIo && (pool.local[slot] & Rq.WRITE) !== 0;
}

function submitWrite(device: DeviceIo, slot: number): void {
  const { resource } = device;
  const { requests } = resource;
  const { pool } = requests;
  requests.dagtag += pool.size[slot] / 512;
  pool.dagtag[slot] = requests.lastWriteDagtag = requests.dagtag;
  pool.epoch[slot] = requests.epoch;
  requests.epochWrites++;
  requests.append(slot);
  let limit = Infinity;
  let targets = 0;
  const { connectionList } = resource;
  for (let i = 0; i < connectionList.length; i++) {
    const connection = connectionList[i];
    const { facts } = connection.peers[device.index];
    const route = connection.connected ? routeWrite(facts.pdisk, facts.repl) : Route.nothing;
    if (connection.facts.onCongestion !== OnCongestion.block && connection.connected) checkCongestion(connection, device);
    if (route === Route.nothing) continue;
    if (route === Route.data) {
      targets++;
      limit = Math.min(limit, connection.facts.maxEpochSize);
    }
    requests.mod(slot, route === Route.data ? RqEvent.NEW_NET_WRITE : RqEvent.NEW_NET_OOS, connection.nodeId);
    requests.mod(slot, RqEvent.ADDED_TO_TRANSFER_LOG, connection.nodeId);
    connection.entryQueued(slot);
  }
  if (requests.epochWrites >= limit) requests.closeEpoch();
  const local = device.diskUsable;
  if (local) requests.mod(slot, RqEvent.TO_BE_SUBMITTED, -1);
  else {
    if (targets === 0) noData(device, slot);
    device.endInterval(slot, IvFlag.BACKING_COMPLETED);
  }
  resource.wakeSenders();
  if (local) device.submitLocal(slot);
  requests.dropSubmitterRef(slot);
}

/** Completes with the local disk's flush; the barriers of earlier writes go their own way. */
function submitFlush(device: DeviceIo, slot: number): void {
  const { requests, connectionList } = device.resource;
  for (const connection of connectionList) {
    if (connection.connected && connection.peers[device.index].facts.pdisk === Disk.upToDate) {
      requests.mod(slot, RqEvent.BARRIER_SENT, connection.nodeId);
    }
  }
  if (device.diskUsable) {
    requests.mod(slot, RqEvent.TO_BE_SUBMITTED, -1);
    device.submitLocal(slot);
  }
  requests.dropSubmitterRef(slot);
}

function submitRead(device: DeviceIo, slot: number): void {
  const { requests } = device.resource;
  const { pool } = requests;
  const path = device.balance.choose(device, pool.sector[slot], pool.size[slot]);
  if (path === null) {
    fail(device, slot);
    return;
  }
  pool.dagtag[slot] = requests.dagtag;
  pool.epoch[slot] = requests.epoch;
  requests.append(slot);
  if (path === 'local') {
    requests.mod(slot, RqEvent.TO_BE_SUBMITTED, -1);
    device.submitLocal(slot);
  } else {
    requests.mod(slot, RqEvent.NEW_NET_READ, path.nodeId);
    requests.mod(slot, RqEvent.ADDED_TO_TRANSFER_LOG, path.nodeId);
    path.entryQueued(slot);
    device.resource.wakeSenders();
  }
  requests.dropSubmitterRef(slot);
}

/** may_do_writes: own disk or any peer's is UpToDate. */
function mayWrite(device: DeviceIo): boolean {
  if (device.facts.disk === Disk.upToDate) return true;
  return device.resource.connectionList.some((c) => c.peers[device.index].facts.pdisk === Disk.upToDate);
}

/** Something came up after it passed the gate: back, as if it had never come. */
function postpone(device: DeviceIo, slot: number): void {
  const { requests } = device.resource;
  const { pool } = requests;
  releaseExtents(device, slot);
  if (pool.interval[slot] >= 0) device.endInterval(slot, IvFlag.BACKING_COMPLETED | IvFlag.COMPLETED);
  requests.putBack(slot);
}

/** Neither a local nor a remote path: not in the transfer log, never retried. @spec io.md 2.6 */
function fail(device: DeviceIo, slot: number): void {
  const { requests } = device.resource;
  noData(device, slot);
  releaseExtents(device, slot);
  if (requests.pool.interval[slot] >= 0) device.endInterval(slot, IvFlag.BACKING_COMPLETED);
  requests.pool.errno[slot] = EIO;
  requests.dropSubmitterRef(slot);
}

function releaseExtents(device: DeviceIo, slot: number): void {
  const { pool } = device.resource.requests;
  if ((pool.local[slot] & Rq.IN_ACT_LOG) === 0) return;
  pool.local[slot] &= ~Rq.IN_ACT_LOG;
  device.alComplete(pool.sector[slot], pool.size[slot]);
}

function noData(device: DeviceIo, slot: number): void {
  const { pool } = device.resource.requests;
  device.resource.env.log(LogLevel.err,
    `IO ERROR: neither local nor remote data, sector ${pool.sector[slot]}+${pool.size[slot] / 512}`);
}
