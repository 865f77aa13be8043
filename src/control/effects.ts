// SPDX-License-Identifier: GPL-2.0-or-later
/** The interpreter of effects: one row a kind. Order is the caller's: resource.ts for effects, worker.ts for work. */
import type { LogLevel } from '../host/log.ts';
import type { Effect } from '../state/effects.ts';
import type { Device } from './device.ts';
import { followOlder } from './meet-diskless.ts';
import { tryToGetResynced } from './reevaluate.ts';
import * as resync from './resync.ts';
import { checkResyncSource } from './resync-source.ts';
import type { Resource } from './resource.ts';
import * as send from './send.ts';
import * as sizes from './sizes.ts';
import * as uuids from './uuids.ts';

type Kind = Effect['kind'];
type Of<K extends Kind> = Extract<Effect, { kind: K }>;

const connection = (r: Resource, nodeId: number) => r.connections.get(nodeId);
/** Runs on a volume's disk if both are there: an effect may outlive its object. */
function onDisk(r: Resource, vnr: number, run: (device: Device, disk: NonNullable<Device['disk']>) => void): void {
  const device = r.devices.get(vnr);
  if (device?.disk) run(device, device.disk);
}
function onPeer(r: Resource, e: { vnr: number; nodeId: number }, run: (pd: ReturnType<Resource['peerDevice']>) => void): void {
  const peerDevice = connection(r, e.nodeId)?.peerDevices.get(e.vnr);
  if (peerDevice) run(peerDevice);
}
/** Done by the I/O engine itself when it is given the new facts (facts.ts), before any effect of the step. */
const byFacts = (): void => {};

const table: { readonly [K in Kind]: (r: Resource, e: Of<K>) => void } = {
  sendState: (r, e) => send.state(r, e.nodeId, e.vnr, e.word),
  sendUuids: (r, e) => onPeer(r, e, (pd) => send.uuids(pd, e.flags)),
  sendSizes: (r, e) => onPeer(r, e, (pd) => send.sizes(pd)),
  sendInitialPackets: (r, e) => { const c = connection(r, e.nodeId); if (c) send.initialPackets(c); },
  sendFlushRequests: byFacts,
  sendDagtag: byFacts,
  sendDisconnect: (r, e) => { const c = connection(r, e.nodeId); if (c) send.disconnect(c); },
  sendTwopc: (r, e) => { const c = connection(r, e.nodeId); if (c) send.twopc(c, e.packet); },
  sendTwopcReply: (r, e) => { const c = connection(r, e.nodeId); if (c) send.twopcReply(c, e.packet); },
  ping: (r, e) => send.pingAll(r, e.nodeIds, () => r.dispatch({ kind: 'pinged', token: e.token })),
  tellLostPrimary: (r, e) => send.lostPrimary(r, e.lostNodeId),

  startConnecting: (r, e) => connection(r, e.nodeId)?.conn.connConnect(),
  teardown: (r, e) => connection(r, e.nodeId)?.conn.connDisconnect(),

  mdFlags: (r, e) => onDisk(r, e.vnr, (_, disk) => disk.setFlags(e.flags, e.members)),
  peerMdFlags: (r, e) => onDisk(r, e.vnr, (_, disk) => disk.setPeerFlags(e.nodeId, e.flags)),
  syncMd: (r, e) => onDisk(r, e.vnr, (_, disk) => disk.meta.sync({ done: () => {} })),
  newCurrentUuid: (r, e) => { const d = r.devices.get(e.vnr); if (d) uuids.newCurrentUuid(d, e.forced ? 'forced' : 'thaw'); },
  setExposedUuid: (r, e) => { const d = r.devices.get(e.vnr); if (d) uuids.setExposed(d, e.uuid); },
  olderIsPrimary: (r, e) => onPeer(r, e, followOlder),
  setPrimaryBit: (r, e) => onDisk(r, e.vnr, (d) => uuids.setPrimaryBit(d, e.on)),
  becomesTarget: (r, e) => onPeer(r, e, (pd) => uuids.becomesTarget(pd)),
  clearBitmapUuid: (r, e) => onDisk(r, e.vnr, (d) => uuids.clearBitmapUuid(d, e.nodeId)),
  storeEffectiveSize: (r, e) => onDisk(r, e.vnr, (d, disk) => disk.storeEffectiveSize(d.capacity)),
  alUpdates: (r, e) => onDisk(r, e.vnr, (_, disk) => disk.suspendAl(e.suspended)),
  detachedSlots: byFacts,

  writeBitmap: (r, e) => onDisk(r, e.vnr, (_, disk) => disk.writeBitmap(() => {})),
  setAllBits: (r, e) => onDisk(r, e.vnr, (d) => resync.setAllBits(d, e.nodeId, e.then, e.startNodeId)),
  // Behind the rest of this change's work: the peer must know the state before it sees a bitmap.
  sendBitmap: (r, e) => r.worker.flush(() => onPeer(r, e, (pd) => pd.io.sendBitmap())),
  applyUnackedPeerRequests: byFacts,

  initResync: byFacts,
  initVerify: byFacts,
  verifyStopped: byFacts,
  runResync: (r, e) => onPeer(r, e, (pd) => resync.run(pd, e.target)),
  checkResyncSource: (r, e) => { const d = r.devices.get(e.vnr); if (d) checkResyncSource(d, e.weak); },
  lastResyncRequest: byFacts,
  pauseResync: byFacts,
  resumeResync: byFacts,
  startVerify: (r, e) => onPeer(r, e, (pd) => pd.io.verifySource.start()),
  resyncAfter: (r, e) => resync.resyncAfter(r.engine, e.what),
  resyncAfterGrow: (r, e) => onPeer(r, e, (pd) => resync.afterGrow(pd)),
  tryToGetResynced: (r, e) => onDisk(r, e.vnr, (d) => tryToGetResynced(d)),

  startNewEpoch: byFacts,
  ioChanged: byFacts,
  walkTransferLog: byFacts,
  completionResumed: byFacts,
  sendPeerAck: byFacts,
  clearGotNegAck: (r, e) => onPeer(r, e, resync.peerDiskLeft),
  flushPending: byFacts,
  ldevReference: (r, e) => onDisk(r, e.vnr, (_, disk) => (e.acquire ? disk.hold() : disk.unhold())),
  abortLocalIo: (r, e) => r.devices.get(e.vnr)?.io.abortDiskIo(),
  suspendIo: (r, e) => r.devices.get(e.vnr)?.suspendIo(() => r.dispatch({ kind: 'ioQuiet', token: e.token })),
  resumeIo: (r, e) => r.devices.get(e.vnr)?.resumeIo(),
  congestionOver: (r, e) => { const c = connection(r, e.nodeId); if (c) c.io.congested = false; },

  helper: (r, e) => runHelper(r, e, () => {}),
  notify: (r, e) => r.engine.notifier.notify(r, e.object, e.more),
  log: (r, e) => r.logLine(e.level as LogLevel, e.vnr, e.nodeId, e.text),

  timerStart: (r, e) => r.startTimer(e.name, e.delayMs),
  timerStop: (r, e) => r.stopTimer(e.name),
  raise: (r, e) => { r.dispatch(e.event); },
  done: (r, e) => r.settle(e.request, e.rc, e.reason),
  sticky: (r, e) => r.engine.journal.sticky(r, e.fact),
  uevent: (r, e) => r.devices.get(e.vnr)?.block.setCapacity(r.devices.get(e.vnr)!.capacity),
  limits: (r, e) => { const d = r.devices.get(e.vnr); if (d) sizes.reconsiderLimits(d); },
  commitSize: (r, e) => {
    const d = r.devices.get(e.vnr);
    if (d) sizes.commit(d, e, ({ pd, side }) => resync.resyncNewStorage(pd, side));
  },
};

export function perform<K extends Kind>(resource: Resource, effect: Of<K>): void {
  table[effect.kind as K](resource, effect);
}

/** Effects that a worker waits for: true when it goes on and calls Worker.next(). */
const waiting: { readonly [K in Kind]?: (r: Resource, e: Of<K>, next: () => void) => boolean } = {
  helper: (r, e, next) => { runHelper(r, e, e.wait ? next : () => {}); return e.wait; },
  syncMd: (r, e, next) => awaitDisk(r, e.vnr, (disk) => disk.meta.sync({ done: next })),
  newCurrentUuid: (r, e, next) => {
    const device = r.devices.get(e.vnr);
    if (device) uuids.makeNewCurrentUuid(device, e.forced ? 'forced' : 'thaw', next);
    return device !== undefined;
  },
  writeBitmap: (r, e, next) => awaitDisk(r, e.vnr, (disk) => disk.writeBitmap(next)),
};

export function performWork<K extends Kind>(resource: Resource, effect: Of<K>): boolean {
  const wait = waiting[effect.kind as K];
  if (wait) return wait(resource, effect, () => resource.worker.next());
  perform(resource, effect);
  return false;
}

function awaitDisk(r: Resource, vnr: number, run: (disk: NonNullable<Device['disk']>) => void): boolean {
  const disk = r.devices.get(vnr)?.disk;
  if (!disk) return false;
  run(disk);
  return true;
}

function runHelper(r: Resource, e: Of<'helper'>, ended: () => void): void {
  const about = { device: r.devices.get(e.vnr), connection: connection(r, e.nodeId) };
  r.engine.helpers.run(r, e.name, about, (exit) => {
    if (e.token > 0) r.dispatch({ kind: 'helperDone', token: e.token, exit });
    ended();
  });
}

