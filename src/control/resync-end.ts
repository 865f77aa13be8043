// SPDX-License-Identifier: GPL-2.0-or-later
/** End of a resync: drbd_resync_finished. @spec uuid.md 7.9, state.md 7.8 */
import type { Change } from '../state/events.ts';
import { Cs, Disk, isSync, isSyncTarget, isVerify, Repl } from '../state/states.ts';
import { hasNode } from '../state/view.ts';
import type { PeerDevice } from './peer-device.ts';
import { unlessAnswered } from './unanswered.ts';
import * as uuids from './uuids.ts';
import { endVerify } from './verify.ts';

interface Numbers { readonly total: number; readonly failed: number; readonly sameCsum: number; readonly pausedMs: number; readonly startMs: number }

/** All blocks are done. A ping first: all that the peer sent on the control stream is processed when the answer comes. */
export function finished(pd: PeerDevice): void {
  pd.connection.conn.ping((alive) => {
    if (!alive) return;
    const { worker } = pd.device.resource;
    worker.push(() => end(pd, () => worker.next()));
  });
}

/** In the worker, so that notifications and P_STATE of the change come after the helper. True: `next` will be called. */
function end(pd: PeerDevice, next: () => void): boolean {
  const { device, connection } = pd;
  const { resource, vnr } = device;
  const { nodeId } = connection;
  if (!connection.peerDevices.has(vnr) || device.disk === null) return false;
  const before = resource.peerDeviceRow(vnr, nodeId);
  if (isVerify(before.repl)) return endVerify(pd, next);
  if (!isSync(before.repl)) return false;
  const target = isSyncTarget(before.repl);
  // What came behind the news that nothing is left, before the answer to the ping.
  if (target && pd.io.target.goesOn()) return false;
  const { total, failed, sameCsum, pausedMs, startMs } = pd.io.progress;
  const numbers: Numbers = { total, failed, sameCsum, pausedMs, startMs };
  const changes: Change[] = [
    { set: 'resyncActive', vnr, nodeId, value: false },
    { set: 'repl', vnr, nodeId, repl: Repl.established },
    ...(failed > 0 ? failedChanges(pd, target) : target ? targetChanges(pd) : sourceChanges(pd)),
  ];
  report(pd, numbers, target);
  const { rc } = resource.dispatch({ kind: 'change', request: 0, tag: 'resync-finished', flags: Cs.verbose, changes });
  if (rc < 1) return false;
  pd.io.progress.clear();
  again(pd, before.resyncAgain);
  device.disk.meta.sync({ done: () => {} });
  if (!target) return false;
  resource.engine.helpers.run(resource, 'after-resync-target', { device, connection }, next);
  return true;
}

function failedChanges({ device: { vnr }, connection: { nodeId } }: PeerDevice, target: boolean): Change[] {
  return [
    { set: 'disk', vnr, disk: target ? Disk.inconsistent : Disk.upToDate },
    { set: 'pdsk', vnr, nodeId, pdsk: target ? Disk.upToDate : Disk.inconsistent },
  ];
}

/** What it says now: with two sources it may have told another disk state while the answer to the ping was under way. */
export function sourceChanges({ device: { vnr }, connection: { nodeId }, toldDisk }: PeerDevice): Change[] {
  return [{ set: 'pdsk', vnr, nodeId, pdsk: toldDisk }];
}

/** A stable resync makes the own disk what the source's is, and takes its UUIDs over. */
function targetChanges(pd: PeerDevice): Change[] {
  const { device, connection } = pd;
  const { resource, vnr } = device;
  const row = resource.peerDeviceRow(vnr, connection.nodeId);
  if (row.unstableResync && !resource.deviceRow(vnr).stableResync) {
    pd.log.info('Peer was unstable during resync');
    return [];
  }
  resource.dispatch({ kind: 'deviceFacts', vnr, facts: { stableResync: true } });
  const changes: Change[] = [{ set: 'disk', vnr, disk: row.pdsk }];
  const others = [...resource.connections.values()].filter((c) => c !== connection && c.peerDevices.has(vnr));
  if (row.pdsk === Disk.upToDate) {
    for (const { nodeId } of others) {
      if (resource.peerDeviceRow(vnr, nodeId).repl !== Repl.pausedSyncT) continue;
      changes.push({ set: 'repl', vnr, nodeId, repl: Repl.established });
    }
  } else {
    // Its data are the source's now: so is what a crash says of them. With the own one left it would be synced by its peers for ever.
    const crashedPrimary = row.syncSrcCrashedPrimary;
    resource.dispatch({ kind: 'deviceFacts', vnr, facts: { crashedPrimary, ...(crashedPrimary ? { tryToGetResync: true } : {}) } });
  }
  if (pd.uuids === null) {
    pd.log.err('BUG: uuids were not received!');
    return changes;
  }
  const newer = uuids.resyncFinished(pd);
  for (const { nodeId } of others) {
    if (hasNode(newer, nodeId) && resource.peerDeviceRow(vnr, nodeId).pdsk >= Disk.consistent) {
      changes.push({ set: 'pdsk', vnr, nodeId, pdsk: Disk.outdated });
    }
  }
  return changes;
}

function report(pd: PeerDevice, n: Numbers, target: boolean): void {
  const nowMs = pd.device.resource.engine.host.clock.nowMs();
  const seconds = Math.max(1, Math.floor((nowMs - n.startMs - n.pausedMs) / 1000));
  const rate = Math.floor(n.total * 4 / seconds);
  pd.log.info(`Resync done (total ${seconds} sec; paused ${Math.floor(n.pausedMs / 1000)} sec; ${rate} K/sec)`);
  const bits = pd.io.bitsOutOfSync;
  if (bits !== n.failed) pd.log.warn(`expected n_oos:${bits} to be equal to rs_failed:${n.failed}`);
  if (target && n.sameCsum > 0 && n.total > 0) {
    pd.log.info(`${Math.floor(n.sameCsum * 100 / n.total)} % had equal checksums, eliminated: ${n.sameCsum * 4}K; ` +
      `transferred ${(n.total - n.sameCsum) * 4}K total ${n.total * 4}K`);
  }
  if (n.failed > 0) pd.log.warn(`            ${n.failed} failed blocks`);
}

/** A resync that was asked for meanwhile. */
function again(pd: PeerDevice, repl: number): void {
  if (repl === 0) return;
  const { resource, vnr } = pd.device;
  const { nodeId } = pd.connection;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId, facts: { resyncAgain: 0 } });
  const changes: Change[] = [{ set: 'repl', vnr, nodeId, repl: repl as Repl }];
  resource.dispatch({ kind: 'change', request: 0, tag: 'resync-again', flags: Cs.verbose, changes });
  unlessAnswered(pd.connection, 'resync-again');
}
