// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * w_after_state_change: what follows from a committed transaction, as work for the resource's queue. Looks only at the
 * views before and after. Row numbers are the spec's. @spec state.md 5.2
 */
import type { Effect } from './effects.ts';
import { dataAccessible, deviceStable, mayReturnToUpToDate, pdAt, resolvedUuid } from './facts.ts';
import { combinedDependency } from './info.ts';
import { notifyChanges } from './notify.ts';
import { stateWordOf } from './state-word.ts';
import {
  Cstate, Disk, Fencing, Repl, Role, UuidFlag, isSync, isSyncOrVerify, isSyncTarget,
} from './states.ts';
import type { ConnectionRow, DeviceRow, PeerDeviceRow, View } from './types.ts';
import { sameUuid } from './view.ts';

/** Where the rules stand: before and after of one peer device, its device and connection. */
interface At {
  readonly old: View;
  readonly now: View;
  readonly d: number;
  readonly c: number;
  readonly oldDevice: DeviceRow;
  readonly device: DeviceRow;
  readonly oldPd: PeerDeviceRow;
  readonly pd: PeerDeviceRow;
  readonly oldConnection: ConnectionRow;
  readonly connection: ConnectionRow;
  readonly memory: Memory;
}

/** What the rows of one device tell to later rows. */
interface Memory {
  oldStable: boolean;
  stable: boolean;
  oldResyncTarget: boolean;
  resyncTarget: boolean;
  sizeDetermined: boolean;
  resyncFinished: boolean[];
  /** Connection index whose initial sync was skipped; -1. */
  sendStateOthers: number;
  healedPrimary: boolean;
  somePeerDemoted: boolean;
  newCurrentUuid: boolean;
  tryBecomeUpToDate: boolean;
  sendState: boolean;
  sendFlushRequests: boolean;
}

interface Row { readonly row: string; readonly when: (at: At) => boolean; readonly then: (at: At, out: Effect[]) => void }

const uuids = (at: At, out: Effect[], flags = 0): void => {
  out.push({ kind: 'sendUuids', nodeId: at.pd.nodeId, vnr: at.pd.vnr, flags });
};
const stateOf = (now: View, d: number, c: number): Effect => ({ kind: 'sendState', nodeId: now.connections[c]!.nodeId,
  vnr: now.devices[d]!.vnr, word: stateWordOf(now, d, c) });
const state = (at: At, out: Effect[]): void => { out.push(stateOf(at.now, at.d, at.c)); };
const wantsState = (at: At): void => { at.memory.sendState = true; };
const becomes = (at: At, repl: Repl): boolean => at.oldPd.repl !== repl && at.pd.repl === repl;
const attached = (at: At): boolean => at.device.md !== null && at.device.disk >= Disk.inconsistent;

/** P_STATE to all peers of this device that are connected. */
function stateToAll(now: View, d: number, out: Effect[]): void {
  now.connections.forEach((connection, c) => {
    if (connection.cstate >= Cstate.connected && pdAt(now, d, c).repl > Repl.off) out.push(stateOf(now, d, c));
  });
}

const firstLoop: readonly Row[] = [
  { row: 'W3', when: (at) => isSyncTarget(at.oldPd.repl) && at.pd.repl === Repl.established,
    then: (at) => { at.memory.resyncFinished[at.c] = true; } },
  { row: 'W4', when: (at) => at.oldDevice.disk === Disk.inconsistent && at.device.disk === Disk.upToDate
      && at.oldPd.pdsk === Disk.inconsistent && at.pd.pdsk === Disk.upToDate,
    then: (at) => { at.memory.sendStateOthers = at.c; } },
  { row: 'W5', when: (at) => at.oldDevice.disk >= Disk.outdated && at.pd.repl === Repl.established
      && at.pd.pdsk >= Disk.outdated && (at.oldPd.repl === Repl.off || at.oldPd.pdsk === Disk.diskless)
      && sameUuid(at.device.currentUuid, at.pd.peerCurrentUuid) && attached(at),
    then: (at, out) => out.push({ kind: 'clearBitmapUuid', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'W6', when: (at) => at.now.resource.role === Role.primary && !dataAccessible(at.old, at.d) && dataAccessible(at.now, at.d),
    then: (at) => { at.memory.healedPrimary = true; } },
];

const depends = (pd: PeerDeviceRow): boolean => pd.suspDependency || pd.suspPeer || pd.suspUser;
const noData = (view: View, d: number): boolean => view.resource.role === Role.primary && !dataAccessible(view, d);

const secondLoop: readonly Row[] = [
  { row: 'W7', when: (at) => (at.memory.resyncFinished[at.c] === true && at.pd.pdsk !== Disk.unknown && at.pd.repl > Repl.off)
      || (at.oldPd.repl <= Repl.off && at.pd.repl > Repl.off
        && at.pd.commCurrentUuid !== resolvedUuid(at.now, at.d, at.pd.nodeId) && at.device.md !== null)
      || (at.pd.repl > Repl.off && at.memory.stable !== at.memory.oldStable),
    then: (at, out) => uuids(at, out) },
  { row: 'W8', when: (at) => at.pd.pdsk === Disk.upToDate, then: (at) => { at.memory.sizeDetermined = true; } },
  { row: 'W9', when: (at) => noData(at.now, at.d) && !noData(at.old, at.d) && !at.device.unregistered,
    then: (at, out) => out.push({ kind: 'helper', name: 'pri-on-incon-degr', vnr: at.pd.vnr, nodeId: at.pd.nodeId,
      wait: true, token: 0 }) },
  { row: 'W11', when: (at) => at.oldPd.pdsk < Disk.negotiating && at.pd.pdsk === Disk.negotiating,
    then: (at, out) => { uuids(at, out); state(at, out); } },
  { row: 'W12', when: (at) => becomes(at, Repl.wfBitMapS),
    then: (at, out) => out.push({ kind: 'sendBitmap', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'W13', when: (at) => at.oldConnection.peerRole === Role.primary && at.connection.peerRole === Role.secondary,
    then: (at) => { at.memory.somePeerDemoted = true; } },
  { row: 'W14', when: (at) => at.connection.cstate === Cstate.connected && at.oldDevice.disk === Disk.attaching
      && at.device.disk >= Disk.negotiating,
    then: (at, out) => {
      out.push({ kind: 'sendSizes', nodeId: at.pd.nodeId, vnr: at.pd.vnr });
      uuids(at, out);
      state(at, out);
    } },
  { row: 'W15', when: (at) => (isSyncOrVerify(at.pd.repl) && !isSyncOrVerify(at.oldPd.repl))
      || (at.pd.repl >= Repl.established
        && (combinedDependency(at.oldPd, at.oldDevice.disk) !== combinedDependency(at.pd, at.device.disk)
          || at.oldPd.suspUser !== at.pd.suspUser))
      || (isSyncTarget(at.oldPd.repl) && at.pd.repl === Repl.established), then: wantsState },
  { row: 'W16', when: (at) => !depends(at.oldPd) && depends(at.pd),
    then: (at, out) => out.push({ kind: 'resyncAfter', what: 'pause', vnr: at.pd.vnr }) },
  { row: 'W17', when: (at) => (at.oldPd.repl <= Repl.off && at.pd.repl >= Repl.established) || becomes(at, Repl.ahead),
    then: wantsState },
  { row: 'W18', when: (at) => becomes(at, Repl.startingSyncT),
    then: (at, out) => out.push({ kind: 'setAllBits', vnr: at.pd.vnr, nodeId: -1, then: 'startSyncTarget', startNodeId: at.pd.nodeId }) },
  { row: 'W19', when: (at) => becomes(at, Repl.startingSyncS),
    then: (at, out) => out.push({ kind: 'setAllBits', vnr: at.pd.vnr, nodeId: at.pd.nodeId, then: 'startSyncSource',
      startNodeId: at.pd.nodeId }) },
  { row: 'W20', when: (at) => at.device.disk > Disk.negotiating && at.pd.pdsk > Disk.negotiating && at.pd.repl === Repl.established
      && (at.oldDevice.disk <= Disk.negotiating || at.oldPd.pdsk <= Disk.negotiating),
    then: (at, out) => out.push({ kind: 'resyncAfterGrow', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'W21', when: (at) => (at.oldPd.repl > Repl.established && at.pd.repl <= Repl.established)
      || (at.oldPd.suspPeer && !at.pd.suspPeer) || (at.oldPd.suspUser && !at.pd.suspUser),
    then: (at, out) => out.push({ kind: 'resyncAfter', what: 'resume', vnr: at.pd.vnr }) },
  { row: 'W22', when: (at) => at.oldDevice.disk < Disk.upToDate && at.oldPd.repl >= Repl.syncSource && at.pd.repl === Repl.established,
    then: (at, out) => stateToAll(at.now, at.d, out) },
  { row: 'W23', when: (at) => at.device.disk >= Disk.inconsistent && at.oldDevice.disk !== at.device.disk
      && at.oldPd.repl >= Repl.established && at.pd.repl >= Repl.established
      && !(at.old.resource.role === Role.secondary && at.now.resource.role === Role.primary), then: wantsState },
  { row: 'W24', when: (at) => at.oldDevice.haveQuorum !== at.device.haveQuorum && at.device.disk >= Disk.inconsistent,
    then: wantsState },
  { row: 'W25', when: (at) => at.memory.sendStateOthers >= 0 && at.memory.sendStateOthers !== at.c, then: wantsState },
  { row: 'W26', when: (at) => at.oldPd.repl > Repl.established && at.oldPd.repl < Repl.ahead
      && (at.pd.repl === Repl.established || at.pd.repl >= Repl.ahead) && attached(at),
    then: (at, out) => out.push({ kind: 'writeBitmap', vnr: at.pd.vnr, why: 'write from resync_finished' }) },
  { row: 'W27', when: (at) => at.oldPd.repl === Repl.verifyS && at.pd.repl === Repl.established,
    then: (at, out) => stateToAll(at.now, at.d, out) },
  { row: 'W28', when: (at) => at.device.disk === Disk.diskless && at.connection.cstate === Cstate.standAlone
      && at.now.resource.role === Role.secondary && at.oldPd.suspDependency !== at.pd.suspDependency,
    then: (at, out) => out.push({ kind: 'resyncAfter', what: 'resume', vnr: at.pd.vnr }) },
  { row: 'W29', when: (at) => at.memory.oldStable && !at.memory.stable && at.pd.repl >= Repl.established && attached(at),
    then: (at, out) => uuids(at, out) },
  { row: 'W30', when: (at) => at.memory.sendState && at.connection.cstate === Cstate.connected, then: state },
  { row: 'W31', when: (at) => ((!at.memory.oldStable && at.memory.stable)
        || (at.memory.oldResyncTarget && !at.memory.resyncTarget && at.memory.stable))
      && !isSyncTarget(at.oldPd.repl) && at.oldConnection.peerRole !== Role.primary && at.device.disk >= Disk.outdated
      && at.pd.repl >= Repl.established && attached(at),
    then: (at, out) => uuids(at, out, UuidFlag.gotStable) },
  { row: 'W32', when: (at) => at.device.newCurUuid
      && ((at.oldPd.pdsk === Disk.upToDate && (at.pd.pdsk === Disk.failed || at.pd.pdsk === Disk.inconsistent))
        || (at.oldDevice.disk > Disk.failed && at.device.disk === Disk.failed && at.now.resource.role === Role.primary)),
    then: (at) => { at.memory.newCurrentUuid = true; } },
  { row: 'W33', when: (at) => becomes(at, Repl.verifyS),
    then: (at, out) => out.push({ kind: 'startVerify', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'W34', when: (at) => isSync(at.oldPd.repl) !== isSync(at.pd.repl) || becomes(at, Repl.syncTarget),
    then: resyncStartsOrEnds },
];

function resyncStartsOrEnds(at: At, out: Effect[]): void {
  const { vnr, nodeId, repl } = at.pd;
  if (!isSync(at.oldPd.repl) && isSync(repl)) out.push({ kind: 'runResync', vnr, nodeId, target: isSyncTarget(repl) });
  if (isSync(at.oldPd.repl) && !isSync(repl)) out.push({ kind: 'lastResyncRequest', vnr, nodeId });
  if (isSyncTarget(repl) && !isSyncTarget(at.oldPd.repl)) at.memory.sendFlushRequests = true;
}

function newMemory(old: View, now: View, d: number): Memory {
  const target = (view: View): boolean => view.connections.some((_, c) => {
    const { repl } = pdAt(view, d, c);
    return repl === Repl.wfBitMapT || isSyncTarget(repl);
  });
  return {
    oldStable: deviceStable(old), stable: deviceStable(now), oldResyncTarget: target(old), resyncTarget: target(now),
    sizeDetermined: now.devices[d]!.disk === Disk.upToDate, resyncFinished: [], sendStateOthers: -1, healedPrimary: false,
    somePeerDemoted: false, newCurrentUuid: false, tryBecomeUpToDate: false, sendState: false, sendFlushRequests: false,
  };
}

/** Rows W35..W40. */
function deviceTail(old: View, now: View, d: number, memory: Memory, out: Effect[]): void {
  const before = old.devices[d]!;
  const device = now.devices[d]!;
  const { vnr } = device;
  const demoted = old.resource.role === Role.primary && now.resource.role === Role.secondary;
  const leaves = before.disk !== device.disk;
  const hasMd = device.md !== null;
  if ((demoted || memory.somePeerDemoted) && hasMd && device.disk >= Disk.inconsistent) { // W35
    out.push({ kind: 'writeBitmap', vnr, why: 'demote' });
  }
  if (memory.sizeDetermined && hasMd) out.push({ kind: 'storeEffectiveSize', vnr }); // W36
  if (leaves && (device.disk === Disk.failed || device.disk === Disk.detaching)) { // W37
    if (device.disk === Disk.failed && device.options.onIoError === 'call-local-io-error') {
      out.push({ kind: 'helper', name: 'local-io-error', vnr, nodeId: -1, wait: true, token: 0 });
    }
    if (device.forceDetach) out.push({ kind: 'abortLocalIo', vnr });
    stateToAll(now, d, out);
    out.push({ kind: 'writeBitmap', vnr, why: 'detach' }, { kind: 'syncMd', vnr }, { kind: 'ldevReference', vnr, acquire: false });
  }
  if (leaves && device.disk === Disk.diskless) { // W38
    if (hasMd) stateToAll(now, d, out);
    if (hasMd) out.push({ kind: 'ldevReference', vnr, acquire: false });
  }
  if (before.disk === Disk.upToDate && device.disk === Disk.inconsistent) stateToAll(now, d, out); // W39
  if (before.disk === Disk.upToDate && device.disk === Disk.consistent && mayReturnToUpToDate(now, d)) memory.tryBecomeUpToDate = true;
  if (device.tryToGetResync) out.push({ kind: 'tryToGetResynced', vnr });
  if (hasMd) out.push({ kind: 'syncMd', vnr });
  if (now.resource.role === Role.primary && before.haveQuorum && !device.haveQuorum) {
    out.push({ kind: 'helper', name: 'quorum-lost', vnr, nodeId: -1, wait: true, token: 0 });
  }
  const resumes = !old.resource.suspUuid && now.resource.suspUuid && device.newCurUuid;
  if (memory.newCurrentUuid || resumes) out.push({ kind: 'newCurrentUuid', vnr, forced: false });
  if (leaves && device.disk === Disk.diskless) out.push({ kind: 'limits', vnr });
}

/** W45: all volumes became UpToDate on both sides. */
function unfence(old: View, now: View, c: number): boolean {
  return now.devices.length > 0
    && now.devices.every((device, d) => device.disk === Disk.upToDate && pdAt(now, d, c).pdsk === Disk.upToDate)
    && now.devices.some((_, d) => pdAt(old, d, c).pdsk !== Disk.upToDate);
}

function connectionTail(old: View, now: View, c: number, flush: boolean, out: Effect[]): void {
  const before = old.connections[c]!;
  const connection = now.connections[c]!;
  const { nodeId } = connection;
  if (flush && connection.peerRole === Role.primary && connection.agreedVersion >= 123) { // W42
    out.push({ kind: 'sendFlushRequests', nodeId });
  }
  // W43; after a loss the receiver goes on by itself.
  if (before.cstate !== Cstate.unconnected && connection.cstate === Cstate.unconnected) out.push({ kind: 'startConnecting', nodeId });
  if (connection.suspFen) out.push({ kind: 'raise', event: { kind: 'checkFencing', nodeId } }); // W44
  if (connection.options.fencing !== Fencing.dontCare && unfence(old, now, c)) { // W45
    out.push({ kind: 'helper', name: 'unfence-peer', vnr: -1, nodeId, wait: true, token: 0 });
  }
}

/** What the worker does for the change from `old` to `now`, in order. */
export function afterStateChange(old: View, now: View, out: Effect[]): void {
  let emptyTwopc = false;
  let flush = false;
  notifyChanges(old, now, out); // A
  for (let d = 0; d < now.devices.length; d++) {
    const memory = newMemory(old, now, d);
    const cells = now.connections.map((connection, c): At => ({ old, now, d, c, memory, connection, oldConnection: old.connections[c]!,
      device: now.devices[d]!, oldDevice: old.devices[d]!, pd: pdAt(now, d, c), oldPd: pdAt(old, d, c) }));
    for (const at of cells) for (const row of firstLoop) if (row.when(at)) row.then(at, out);
    for (const at of cells) {
      memory.sendState = false;
      for (const row of secondLoop) if (row.when(at)) row.then(at, out);
    }
    deviceTail(old, now, d, memory, out);
    emptyTwopc ||= memory.tryBecomeUpToDate || memory.healedPrimary;
    flush ||= memory.sendFlushRequests;
  }
  if (old.resource.role === Role.primary && now.resource.role === Role.secondary) { // W41
    for (const { cstate, nodeId } of now.connections) {
      if (cstate === Cstate.connected) out.push({ kind: 'sendState', nodeId, vnr: -1, word: Role.secondary });
    }
  }
  for (let c = 0; c < now.connections.length; c++) connectionTail(old, now, c, flush, out);
  if (now.resource.suspUuid) out.push({ kind: 'raise', event: { kind: 'suspUuidDone' } }); // W46
  if (emptyTwopc || now.resource.emptyTwopcScheduled) out.push({ kind: 'raise', event: { kind: 'emptyTwopc' } }); // W47, 6.9
}
