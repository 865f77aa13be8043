// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * w_after_state_change: what follows from a committed transaction, as work for the resource's queue. Looks only at the
 * views before and after. Row numbers are the spec's. @spec state.md 5.2
 */
import type { Effect } from './effects.ts';
import { becameConsistent, dataAccessible, deviceStable, mayReturnToUpToDate, pdAt, resolvedUuid, somePeer } from './facts.ts';
import { combinedDependency } from './info.ts';
import { notifyChanges } from './notify.ts';
import { stateWordOf } from './state-word.ts';
import {
  Cstate, Disk, Fencing, Repl, Role, UuidFlag, isSync, isSyncOrVerify, isSyncTarget,
} from './states.ts';
import type { ConnectionRow, DeviceRow, PeerDeviceRow, View } from './types.ts';
import { sameUuid } from './view.ts';

const noMemory: Memory = { oldStable: false, stable: false, oldResyncTarget: false, resyncTarget: false, oldData: false, data: false,
  resyncFinished: false, sendStateOthers: -1, healedPrimary: false, somePeerDemoted: false, newCurrentUuid: false,
  tryBecomeUpToDate: false, sendState: false, sendFlushRequests: false };

/** Where the rules stand: before and after of one peer device, its device and connection. One object that moves. */
class At {
  readonly old: View;
  readonly now: View;
  memory: Memory = noMemory;
  d = 0;
  c = 0;
  private i = 0;

  constructor(old: View, now: View) {
    this.old = old;
    this.now = now;
  }

  at(d: number, c: number): this {
    this.d = d;
    this.c = c;
    this.i = d * this.now.connections.length + c;
    return this;
  }

  /** Has anything changed that an edge of this peer device could come from? */
  get touched(): boolean {
    const { old, now, i, d, c, memory } = this;
    return now.peerDevices[i] !== old.peerDevices[i] || now.devices[d] !== old.devices[d] || now.connections[c] !== old.connections[c]
      || now.resource.role !== old.resource.role || memory.stable !== memory.oldStable
      || memory.resyncTarget !== memory.oldResyncTarget || memory.data !== memory.oldData || memory.resyncFinished;
  }

  get oldDevice(): DeviceRow { return this.old.devices[this.d]!; }
  get device(): DeviceRow { return this.now.devices[this.d]!; }
  get oldPd(): PeerDeviceRow { return this.old.peerDevices[this.i]!; }
  get pd(): PeerDeviceRow { return this.now.peerDevices[this.i]!; }
  get oldConnection(): ConnectionRow { return this.old.connections[this.c]!; }
  get connection(): ConnectionRow { return this.now.connections[this.c]!; }
}

/** What the rows of one device tell to later rows. */
interface Memory {
  oldStable: boolean;
  stable: boolean;
  oldResyncTarget: boolean;
  resyncTarget: boolean;
  oldData: boolean;
  data: boolean;
  /** A resync of the own disk has ended: all peers hear of the generation reached, before they hear of the disk state. */
  resyncFinished: boolean;
  /** Connection index whose initial sync was skipped; -1. */
  sendStateOthers: number;
  healedPrimary: boolean;
  somePeerDemoted: boolean;
  newCurrentUuid: boolean;
  tryBecomeUpToDate: boolean;
  sendState: boolean;
  sendFlushRequests: boolean;
}

export interface AfterRow {
  readonly row: string;
  readonly when: (at: At) => boolean;
  readonly then: (at: At, out: Effect[]) => void;
}
type Row = AfterRow;

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

/** Every peer device of a device, before the next loop. */
const firstLoop: readonly Row[] = [
  { row: 'W3', when: (at) => isSyncTarget(at.oldPd.repl) && at.pd.repl === Repl.established,
    then: (at) => { at.memory.resyncFinished = true; } },
  { row: 'W4', when: (at) => at.oldDevice.disk === Disk.inconsistent && at.device.disk === Disk.upToDate
      && at.oldPd.pdsk === Disk.inconsistent && at.pd.pdsk === Disk.upToDate,
    then: (at) => { at.memory.sendStateOthers = at.c; } },
  { row: 'W5', when: (at) => (at.oldDevice.disk >= Disk.outdated || attachedNow(at)) && at.pd.repl === Repl.established
      && at.pd.pdsk >= Disk.outdated && (at.oldPd.repl === Repl.off || at.oldPd.pdsk === Disk.diskless || attachedNow(at))
      && sameUuid(at.device.currentUuid, at.pd.peerCurrentUuid) && attached(at),
    then: (at, out) => out.push({ kind: 'clearBitmapUuid', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'W6', when: (at) => at.now.resource.role === Role.primary && !at.memory.oldData && at.memory.data,
    then: (at) => { at.memory.healedPrimary = true; } },
];

/** What the activity log marked at an attach is synced by then, or means nothing to a peer that knows no better. */
const attachedNow = (at: At): boolean => at.oldDevice.disk === Disk.negotiating && at.device.disk >= Disk.outdated;

const depends = (pd: PeerDeviceRow): boolean => pd.suspDependency || pd.suspPeer || pd.suspUser;

/** Before W22 of one peer device tells all the disk state: who has older UUIDs of ours would take it for that of other data. */
const uuidsLoop: readonly Row[] = [
  { row: 'W7', when: (at) => (at.memory.resyncFinished && at.pd.pdsk !== Disk.unknown && at.pd.repl > Repl.off)
      || (at.oldPd.repl <= Repl.off && at.pd.repl > Repl.off
        && at.pd.commCurrentUuid !== resolvedUuid(at.now, at.d, at.pd.nodeId) && at.device.md !== null)
      || (at.pd.repl > Repl.off && at.memory.stable !== at.memory.oldStable),
    then: (at, out) => uuids(at, out) },
];

/** Every peer device of a device. */
const secondLoop: readonly Row[] = [
  { row: 'W9', when: (at) => at.now.resource.role === Role.primary && !at.memory.data && !at.device.unregistered
      && !(at.old.resource.role === Role.primary && !at.memory.oldData),
    then: (at, out) => out.push({ kind: 'helper', name: 'pri-on-incon-degr', vnr: at.pd.vnr, nodeId: at.pd.nodeId,
      wait: true, token: 0 }) },
  { row: 'W11', when: (at) => at.oldPd.pdsk !== Disk.negotiating && at.pd.pdsk === Disk.negotiating,
    then: (at, out) => { uuids(at, out); state(at, out); } },
  { row: 'W12', when: (at) => becomes(at, Repl.wfBitMapS),
    then: (at, out) => out.push({ kind: 'sendBitmap', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'W12a', when: (at) => becomes(at, Repl.wfBitMapT) && attached(at),
    then: (at, out) => out.push({ kind: 'becomesTarget', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
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
  { row: 'W20', when: (at) => at.device.disk > Disk.negotiating && at.pd.pdsk > Disk.negotiating
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
  { row: 'W34', when: (at) => isSync(at.oldPd.repl) !== isSync(at.pd.repl) || isSyncTarget(at.oldPd.repl) !== isSyncTarget(at.pd.repl),
    then: resyncStartsOrEnds },
];

function resyncStartsOrEnds(at: At, out: Effect[]): void {
  const { vnr, nodeId, repl } = at.pd;
  if (!isSync(at.oldPd.repl) && isSync(repl)) out.push({ kind: 'runResync', vnr, nodeId, target: isSyncTarget(repl) });
  if (isSync(at.oldPd.repl) && !isSync(repl)) out.push({ kind: 'lastResyncRequest', vnr, nodeId });
  if (isSyncTarget(repl) && !isSyncTarget(at.oldPd.repl)) at.memory.sendFlushRequests = true;
}

function newMemory(old: View, now: View, d: number): Memory {
  const target = (view: View): boolean => somePeer(view, d, ({ repl }) => repl === Repl.wfBitMapT || isSyncTarget(repl));
  return { ...noMemory, oldStable: deviceStable(old), stable: deviceStable(now), oldResyncTarget: target(old), resyncTarget: target(now),
    oldData: dataAccessible(old, d), data: dataAccessible(now, d) };
}

const demoted = ({ old, now }: At): boolean => old.resource.role === Role.primary && now.resource.role === Role.secondary;
const hasMd = (at: At): boolean => at.device.md !== null;
const becameDisk = (at: At, disk: Disk): boolean => at.oldDevice.disk !== disk && at.device.disk === disk;
const goes = (at: At): boolean => becameDisk(at, Disk.failed) || becameDisk(at, Disk.detaching);
const tellAll = (at: At, out: Effect[]): void => stateToAll(at.now, at.d, out);

/** Every device, after its peer devices. */
const deviceTail: readonly Row[] = [
  { row: 'W35', when: (at) => (demoted(at) || at.memory.somePeerDemoted) && attached(at),
    then: (at, out) => out.push({ kind: 'writeBitmap', vnr: at.device.vnr, why: 'demote' }) },
  { row: 'W36', when: (at) => hasMd(at) && (at.device.disk === Disk.upToDate // W2, W8
      || somePeer(at.now, at.d, (pd) => pd.pdsk === Disk.upToDate)),
    then: (at, out) => out.push({ kind: 'storeEffectiveSize', vnr: at.device.vnr }) },
  { row: 'W37', when: goes, then: diskGoes },
  { row: 'W38', when: (at) => becameDisk(at, Disk.diskless) && hasMd(at),
    then: (at, out) => {
      tellAll(at, out);
      out.push({ kind: 'ldevReference', vnr: at.device.vnr, acquire: false });
    } },
  { row: 'W39', when: (at) => at.oldDevice.disk === Disk.upToDate && at.device.disk === Disk.inconsistent, then: tellAll },
  { row: 'W40', when: (at) => becameConsistent(at.oldDevice.disk, at.device.disk)
      && mayReturnToUpToDate(at.now, at.d),
    then: (at) => { at.memory.tryBecomeUpToDate = true; } },
  { row: 'W40', when: (at) => at.device.tryToGetResync,
    then: (at, out) => out.push({ kind: 'tryToGetResynced', vnr: at.device.vnr }) },
  { row: 'W40', when: (at) => hasMd(at) && at.device.disk > Disk.diskless,
    then: (at, out) => out.push({ kind: 'syncMd', vnr: at.device.vnr }) },
  { row: 'W40', when: (at) => at.now.resource.role === Role.primary && at.oldDevice.haveQuorum && !at.device.haveQuorum,
    then: (at, out) => out.push({ kind: 'helper', name: 'quorum-lost', vnr: at.device.vnr, nodeId: -1, wait: true, token: 0 }) },
  { row: 'W40', when: (at) => at.memory.newCurrentUuid
      || (!at.old.resource.suspUuid && at.now.resource.suspUuid && at.device.newCurUuid) || quorumBackUnfrozen(at),
    then: (at, out) => out.push({ kind: 'newCurrentUuid', vnr: at.device.vnr, forced: false }) },
  { row: 'W40', when: (at) => becameDisk(at, Disk.diskless), then: (at, out) => out.push({ kind: 'limits', vnr: at.device.vnr }) },
];

function diskGoes(at: At, out: Effect[]): void {
  const { vnr, disk, options, forceDetach } = at.device;
  if (disk === Disk.failed && options.onIoError === 'call-local-io-error') {
    out.push({ kind: 'helper', name: 'local-io-error', vnr, nodeId: -1, wait: true, token: 0 });
  }
  if (forceDetach) out.push({ kind: 'abortLocalIo', vnr });
  tellAll(at, out);
  out.push({ kind: 'writeBitmap', vnr, why: 'detach' }, { kind: 'syncMd', vnr });
  if (hasMd(at)) out.push({ kind: 'ldevReference', vnr, acquire: false });
}

/**
 * I/O that fails without quorum is not frozen, so no S43 sees to the generation that was due when a peer was lost; those who
 * connect now must not get it under the label of the one that the lost peer has.
 */
const quorumBackUnfrozen = ({ now, oldDevice, device }: At): boolean =>
  now.resource.role === Role.primary && !oldDevice.haveQuorum && device.haveQuorum && device.newCurUuid && !now.resource.suspended;

/** W45: all volumes became UpToDate on both sides. */
const unfence = ({ old, now, c }: At): boolean => now.devices.length > 0
  && now.devices.every((device, d) => device.disk === Disk.upToDate && pdAt(now, d, c).pdsk === Disk.upToDate)
  && now.devices.some((_, d) => pdAt(old, d, c).pdsk !== Disk.upToDate);

/** Every connection. */
const connectionRows: readonly Row[] = [
  { row: 'W42', when: (at) => at.memory.sendFlushRequests && at.connection.peerRole === Role.primary && at.connection.agreedVersion >= 123,
    then: (at, out) => out.push({ kind: 'sendFlushRequests', nodeId: at.connection.nodeId }) },
  // After a loss the receiver goes on by itself.
  { row: 'W43', when: (at) => at.oldConnection.cstate !== Cstate.unconnected && at.connection.cstate === Cstate.unconnected,
    then: (at, out) => out.push({ kind: 'startConnecting', nodeId: at.connection.nodeId }) },
  { row: 'W44', when: (at) => at.connection.suspFen,
    then: (at, out) => out.push({ kind: 'raise', event: { kind: 'checkFencing', nodeId: at.connection.nodeId } }) },
  { row: 'W45', when: (at) => at.connection.options.fencing !== Fencing.dontCare && unfence(at),
    then: (at, out) => out.push({ kind: 'helper', name: 'unfence-peer', vnr: -1, nodeId: at.connection.nodeId, wait: true, token: 0 }) },
];

/** Before the connections; only `old` and `now` count. */
const resourceRows: readonly Row[] = [
  { row: 'W41', when: demoted,
    then: ({ now }, out) => {
      for (const { cstate, nodeId } of now.connections) {
        if (cstate === Cstate.connected) out.push({ kind: 'sendState', nodeId, vnr: -1, word: Role.secondary });
      }
    } },
];

/** At the end; the memory is that of all devices. */
const tailRows: readonly Row[] = [
  { row: 'W46', when: (at) => at.now.resource.suspUuid, then: (_, out) => out.push({ kind: 'raise', event: { kind: 'suspUuidDone' } }) },
  { row: 'W47', when: (at) => at.memory.tryBecomeUpToDate || at.memory.healedPrimary || at.now.resource.emptyTwopcScheduled, // 6.9
    then: (_, out) => out.push({ kind: 'raise', event: { kind: 'emptyTwopc' } }) },
];

/** All of them, in the order in which they run. */
export const afterRows = { firstLoop, uuidsLoop, secondLoop, deviceTail, resourceRows, connectionRows, tailRows } as const;

function run(rows: readonly Row[], at: At, out: Effect[]): void {
  for (const row of rows) if (row.when(at)) row.then(at, out);
}

/** What the worker does for the change from `old` to `now`, in order. */
export function afterStateChange(old: View, now: View, out: Effect[]): void {
  notifyChanges(old, now, out); // A
  const at = new At(old, now);
  const connections = now.connections.length;
  const all = { ...noMemory };
  for (let d = 0; d < now.devices.length; d++) {
    const memory = at.memory = newMemory(old, now, d);
    for (let c = 0; c < connections; c++) if (at.at(d, c).touched) run(firstLoop, at, out);
    for (let c = 0; c < connections; c++) if (at.at(d, c).touched) run(uuidsLoop, at, out);
    for (let c = 0; c < connections; c++) {
      memory.sendState = false;
      if (at.at(d, c).touched) run(secondLoop, at, out);
    }
    run(deviceTail, at.at(d, 0), out);
    all.tryBecomeUpToDate ||= memory.tryBecomeUpToDate;
    all.healedPrimary ||= memory.healedPrimary;
    all.sendFlushRequests ||= memory.sendFlushRequests;
  }
  at.memory = all;
  run(resourceRows, at, out);
  for (let c = 0; c < connections; c++) run(connectionRows, at.at(0, c), out);
  run(tailRows, at, out);
}
