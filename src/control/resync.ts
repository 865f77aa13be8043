// SPDX-License-Identifier: GPL-2.0-or-later
/** Resync: start, and what the state machine and the I/O engine order around it. @spec uuid.md 7, state.md 7.8 */
import { BitmapTask } from '../meta/bitmap-task.ts';
import type { Change } from '../state/events.ts';
import { stableSyncSourcePresent } from '../state/facts.ts';
import { Cs, Cstate, Disk, isSyncTarget, Repl, Role, UuidFlag } from '../state/states.ts';
import { deviceIndex, findPeerDevice } from '../state/view.ts';
import { scanAgain } from './bitmap-mod.ts';
import type { Device } from './device.ts';
import type { Connection } from './connection.ts';
import type { PeerDevice } from './peer-device.ts';
import { finished } from './resync-end.ts';
import { maySyncNow, resyncAfter } from './resync-after.ts';
import { reconcilesBits } from './send.ts';
import * as uuids from './uuids.ts';

/** From this protocol on a resync by bitmap may be asked for. */
const BITMAP_RESYNC_PROTOCOL = 120;

/** drbdd knows what it means, whatever version was agreed. */
export const knowsBitmapResync = (connection: Connection): boolean => reconcilesBits(connection)
  || connection.resource.connectionRow(connection.nodeId).agreedVersion >= BITMAP_RESYNC_PROTOCOL;

export { finished, resyncAfter };

const RETRY_MS = 200;
const AHEAD_MS = 1000;
const POSTPONED_MS = 100;
type Side = 'source' | 'target';

const rowOf = (pd: PeerDevice) => pd.device.resource.peerDeviceRow(pd.device.vnr, pd.connection.nodeId);

function setFacts(pd: PeerDevice, some: { beforeResyncDone?: boolean; unstableResync?: boolean; aheadToSyncSource?: boolean }): void {
  const { vnr, resource } = pd.device;
  resource.dispatch({ kind: 'peerDeviceFacts', vnr, nodeId: pd.connection.nodeId, facts: some });
}

/** drbd_start_resync. @spec uuid.md 7.2 */
export function startResync(pd: PeerDevice, side: Side, peer: 'waits' | 'is heard' = 'waits'): void {
  const { repl, beforeResyncDone } = rowOf(pd);
  if (repl < Repl.established) return;
  if (repl >= Repl.syncSource && repl < Repl.ahead) {
    pd.log.err('Resync already running!');
    return;
  }
  if (beforeResyncDone) begin(pd, side);
  else askHelper(pd, side, peer, whileAsked(pd));
}

/** False once the connection, the disk or the state is another one than when the resync was asked for, or some resync has begun. */
function whileAsked(pd: PeerDevice): () => boolean {
  const { device, device: { disk, vnr }, connection, resyncs } = pd;
  const { link } = connection.conn;
  const { repl } = rowOf(pd);
  return () => connection.conn.link === link && connection.peerDevices.get(vnr) === pd && device.disk === disk
    && rowOf(pd).repl === repl && pd.resyncs === resyncs;
}

/**
 * Its target is good until it begins, and would be Inconsistent for nothing if the source has lost its disk meanwhile: it hears of
 * that while its helper runs. Nothing else that comes needs the target to have begun: no bitmaps are exchanged, and it is the one
 * who asks.
 */
export function resyncNewStorage(pd: PeerDevice, side: Side): void {
  startResync(pd, side, side === 'target' ? 'is heard' : 'waits');
}

function askHelper(pd: PeerDevice, side: Side, peer: 'waits' | 'is heard', still: () => boolean): void {
  const { device, connection } = pd;
  const name = `before-resync-${side}`;
  const { resource } = device;
  const { link } = connection.conn;
  if (link === null) return;
  const token = pd.newStorage = peer === 'is heard' ? {} : null;
  const holds = token === null;
  // The peer's packets wait, as they do in genuine DRBD: its requests and its end of the resync come after our start.
  if (holds) link.wait(true);
  const goOn = (): void => { if (holds) link.wait(false); };
  const ask = (): void => {
    if (!still()) return goOn();
    resource.engine.helpers.run(resource, name, { device, connection }, (exit) => {
      if (still() && pd.newStorage === token) helperEnded(pd, side, name, exit);
      // Behind what the start makes of the UUIDs: the next word of the peer may be about others.
      resource.worker.flush(goOn);
    });
  };
  // Behind the events that led here.
  resource.worker.flush(() => (side === 'target' ? keepBits(pd, ask) : ask()));
}

/**
 * The source forgets a block with our ack, which waits for no flush: after a power failure only our own bits on the disk tell
 * that it may be missing. So they are there before the first block comes; they are cleared only behind a flush. Other nodes
 * may lack what comes, and after that failure only these bits would tell which blocks came: also other sources, which may
 * have older data. Not while blocks come from one of them: it would have to send these as well. Again, therefore, when a source
 * that had to pause takes over.
 */
export function keepBits(pd: PeerDevice, done: () => void): void {
  const { device, connection } = pd;
  const { disk, resource } = device;
  if (disk === null) return done();
  const from = disk.bitmapIndex(connection.nodeId);
  const busy = disk.nodesWithBitmap().some((n) => n !== connection.nodeId && replTo(device, n) === Repl.syncTarget);
  const others = from < 0 ? []
    : disk.nodesWithBitmap().filter((n) => n !== connection.nodeId && !(busy && isSource(replTo(device, n))));
  disk.hold();
  new BitmapTask(disk.bitmap, resource.engine.host.clock).start({ kind: 'join', slots: others.map((n) => disk.bitmapIndex(n)), from }, () => {
    for (const n of others) resource.connections.get(n)?.peerDevices.get(device.vnr)?.io.target.bitSet(0);
    disk.storeBits(done);
    disk.unhold();
  });
}

const replTo = ({ resource, vnr }: Device, nodeId: number): Repl => findPeerDevice(resource.view, vnr, nodeId)?.repl ?? Repl.off;
const isSource = (repl: Repl): boolean => repl === Repl.wfBitMapT || isSyncTarget(repl);

function helperEnded(pd: PeerDevice, side: Side, name: string, exit: number | null): void {
  if (exit === null || exit <= 0) return begin(pd, side);
  if (side === 'source' && exit === 3) {
    pd.log.info(`${name} handler returned ${exit}, ignoring. Old userland tools?`);
    return begin(pd, side);
  }
  pd.log.info(`${name} handler returned ${exit}, dropping connection.`);
  pd.connection.conn.fail(Cstate.disconnecting, name, '');
}

function begin(pd: PeerDevice, side: Side): void {
  const { device, connection } = pd;
  const { resource } = device;
  if (resource.view.semHolder !== 0) {
    setFacts(pd, { beforeResyncDone: true });
    const still = whileAsked(pd);
    resource.engine.host.clock.timer('start of resync', RETRY_MS, () => {
      if (still()) startResync(pd, side);
    });
    return;
  }
  setFacts(pd, { beforeResyncDone: false });
  if (connection.cstate() !== Cstate.connected || resource.deviceRow(device.vnr).disk < Disk.negotiating) return;
  if (rowOf(pd).pdsk <= Disk.failed) return;
  const { vnr } = device;
  const { nodeId } = connection;
  if (side === 'target') forgetStability(pd);
  const changes: Change[] = [
    { set: 'resyncSuspDependency', vnr, nodeId, value: !maySyncNow(device) },
    { set: 'repl', vnr, nodeId, repl: side === 'source' ? Repl.syncSource : Repl.syncTarget },
  ];
  const { rc } = resource.dispatch({ kind: 'change', request: 0, tag: `start-resync-${side}`, flags: Cs.verbose, changes });
  if (rc < 1) return;
  resyncAfter(resource.engine, 'pause');
  if (!pd.peerFinishedEarly) return;
  pd.peerFinishedEarly = false;
  finished(pd);
}

/** What an earlier resync made of the device counts no more, unless another source is at it. */
function forgetStability(pd: PeerDevice): void {
  const { device, connection } = pd;
  const { resource } = device;
  setFacts(pd, { unstableResync: false });
  const others = [...resource.connections.values()].filter((c) => c !== connection && c.peerDevices.has(device.vnr));
  if (others.some((c) => isSyncTarget(resource.peerDeviceRow(device.vnr, c.nodeId).repl))) return;
  resource.dispatch({ kind: 'deviceFacts', vnr: device.vnr, facts: { stableResync: false } });
}

/** drbd_run_resync: the state is a sync state now. @spec uuid.md 7.3 */
export function run(pd: PeerDevice, target: boolean): void {
  const { repl } = rowOf(pd);
  const name = repl === Repl.pausedSyncS ? 'PausedSyncS' : repl === Repl.pausedSyncT ? 'PausedSyncT'
    : target ? 'SyncTarget' : 'SyncSource';
  const bits = pd.io.bitsOutOfSync;
  pd.resyncs++;
  pd.log.info(`Began resync as ${name} (will sync ${bits * 4} KB [${bits} bits set]).`);
  if (!target || pd.uuids === null) return;
  const { view } = pd.device.resource;
  // Users of this node see nothing of a source without good data of its own, and those of a Primary have seen others. Genuine DRBD
  // does not ask.
  const unread = view.resource.role === Role.primary ? Disk.outdated : Disk.inconsistent;
  if (rowOf(pd).pdsk > unread) uuids.setExposed(pd.device, pd.uuids.currentUuid);
  const stable = (pd.uuids.flags & UuidFlag.stable) !== 0
    || stableSyncSourcePresent(view, deviceIndex(view, pd.device.vnr), pd.connection.nodeId);
  if (!stable) setFacts(pd, { unstableResync: true });
  uuids.resyncStarts(pd);
}

/**
 * Bits of one slot (nodeId) or of all (-1) are set and written while no write is in flight; then a resync with
 * `startNodeId` starts where that was the purpose. @spec uuid.md 7.1, io.md 9.4
 */
export function setAllBits(device: Device, nodeId: number, then: 'none' | 'startSyncSource' | 'startSyncTarget',
  startNodeId: number): void {
  const { disk, resource } = device;
  if (disk === null) return;
  const slot = nodeId < 0 ? -1 : disk.bitmapIndex(nodeId);
  const slots = nodeId < 0 ? Array.from({ length: disk.bitmap.slots }, (_, i) => i) : slot < 0 ? [] : [slot];
  device.suspendIo(() => {
    new BitmapTask(disk.bitmap, resource.engine.host.clock).start({ kind: 'set', slots }, () => {
      scanAgain(device);
      disk.writeBitmap(() => {
        device.resumeIo();
        const pd = resource.connections.get(startNodeId)?.peerDevices.get(device.vnr);
        if (pd && then !== 'none') startResync(pd, then === 'startSyncSource' ? 'source' : 'target');
      });
    });
  });
}

/**
 * A write failed at the peer. If its disk is known to have left UpToDate, the generation that the application works in is
 * made now, not with its next write: there may be none before the disk comes back. @spec hazards.md H-009
 */
export function gotNegAck(pd: PeerDevice): void {
  const { device, connection } = pd;
  if (rowOf(pd).pdsk >= Disk.upToDate) {
    if (!pd.negAcked) pd.log.warn('got a negative write acknowledgement');
    pd.negAcked = true;
  } else if (connection.cstate() === Cstate.connected) newGeneration(device);
}

/** The peer's disk is no longer UpToDate. */
export function peerDiskLeft(pd: PeerDevice): void {
  if (rowOf(pd).pdsk <= Disk.failed) pd.newStorage = null;
  if (pd.negAcked) newGeneration(pd.device);
  pd.negAcked = false;
}

function newGeneration(device: Device): void {
  if (device.resource.deviceRow(device.vnr).newCurUuid) uuids.newCurrentUuid(device, 'request');
}

/** It stands still with nothing on its way: the one sync target is chosen again. @spec state.md 3.4, 7.8 */
export function becameIdle(pd: PeerDevice): void {
  const { resource, vnr } = pd.device;
  const { nodeId } = pd.connection;
  const { resyncActive, repl } = rowOf(pd);
  if (!resyncActive || repl === Repl.syncTarget) return;
  const changes: Change[] = [{ set: 'resyncActive', vnr, nodeId, value: false }];
  resource.dispatch({ kind: 'change', request: 0, tag: 'resync-inactive', flags: Cs.verbose, changes });
}

/** The source has gone Ahead: we are Behind when its P_STATE comes. */
export function toBehind(pd: PeerDevice): void {
  pd.log.info('peer pulled ahead during resync');
}

/** Ahead, and all that was sent is acked: back to replication after a second. @spec uuid.md 7.12 */
export function aheadDrained(connection: Connection): void {
  for (const pd of connection.peerDevices.values()) {
    const row = rowOf(pd);
    if (row.repl !== Repl.ahead || row.aheadToSyncSource) continue;
    setFacts(pd, { aheadToSyncSource: true });
    later(pd, AHEAD_MS);
  }
}

function later(pd: PeerDevice, delayMs: number): void {
  pd.device.resource.engine.host.clock.timer('postponed resync', delayMs, () => {
    if (!pd.connection.peerDevices.has(pd.device.vnr) || rowOf(pd).repl !== Repl.ahead) return;
    if (pd.io.rsPending > 0 || pd.io.unacked > 0) later(pd, POSTPONED_MS);
    else {
      setFacts(pd, { aheadToSyncSource: false });
      startResync(pd, 'source');
    }
  });
}

/**
 * resync_after_online_grow, if the device grew while it had no peer to tell: the new bits are set on both. A peer that goes
 * by bits has judged by them already, and would not take part. @spec uuid.md 5.4
 */
export function afterGrow(pd: PeerDevice): void {
  if (!pd.resyncAfterNegotiation) return;
  pd.resyncAfterNegotiation = false;
  const { device: { resource }, connection, connection: { nodeId } } = pd;
  if (rowOf(pd).repl !== Repl.established || reconcilesBits(connection)) return;
  const { role } = resource.view.resource;
  const { peerRole } = resource.connectionRow(nodeId);
  const source = role !== peerRole ? role === Role.primary : resource.nodeId < nodeId;
  pd.log.info('Resync of new storage after online grow');
  resyncNewStorage(pd, source ? 'source' : 'target');
}
