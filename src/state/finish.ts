// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * finish_state_change: what belongs to the transaction itself, in order; flags are set in the draft, the rest are effects.
 * Row numbers are the spec's. @spec state.md 5.1
 */
import { Cell } from './cell.ts';
import type { Draft } from './draft.ts';
import type { Effect } from './effects.ts';
import { becameConsistent, dataAccessible, isSuspended, mayReturnToUpToDate, regainsData, shouldMirror, showsItsData, somePeer, stableSyncSourcePresent } from './facts.ts';
import { LEVEL, logChanges, logLine } from './log-lines.ts';
import { deviceFlagsOf, peerFlagsOf, withSlotFlags } from './md-flags.ts';
import type { PeerActivity } from './md-flags.ts';
import {
  Cstate, Disk, MdFlag, Repl, Role, UuidFlag, isLost, isSync, isSyncOrVerify, isSyncSource, isSyncTarget, isVerify,
} from './states.ts';
import { uuidText } from './uuid-types.ts';

export interface Finish {
  readonly draft: Draft;
  readonly out: Effect[];
  startNewEpoch: boolean;
  startingResync: boolean;
  createNewUuid: boolean;
  unfreezeIo: boolean;
  lostPrimaryPeer: boolean;
  peers: PeerActivity;
}

export interface FinishRow {
  readonly row: string;
  readonly when: (at: Cell, f: Finish) => boolean;
  readonly then: (at: Cell, f: Finish) => void;
}
type Row = FinishRow;

const becameRepl = (at: Cell, repl: Repl): boolean => at.oldPd.repl !== repl && at.pd.repl === repl;
const primary = (at: Cell): boolean => at.draft.resource.role === Role.primary;
const newUuid = (_: Cell, f: Finish): void => { f.createNewUuid = true; };
/** get_ldev: the state before the change counts. */
const hasDisk = (at: Cell, least: Disk): boolean => at.device.md !== null && at.oldDevice.disk >= least;

/** Every peer device, before the resource. */
const epochRows: readonly Row[] = [
  { row: 'F1', when: (at) => !shouldMirror(at.oldPd) && shouldMirror(at.pd),
    then: (at, f) => f.out.push({ kind: 'sendDagtag', nodeId: at.pd.nodeId }) },
  { row: 'F2', when: (at) => shouldMirror(at.oldPd) !== shouldMirror(at.pd), then: (_, f) => { f.startNewEpoch = true; } },
  { row: 'F3', when: (at) => becameRepl(at, Repl.wfBitMapS) || becameRepl(at, Repl.wfBitMapT),
    then: (at) => at.set({ beforeResyncDone: false }) },
  { row: 'F4', when: (at) => !isSync(at.oldPd.repl) && isSync(at.pd.repl), then: (at) => at.set({ beforeResyncDone: false }) },
];

/** Every device, still before the resource. */
const quorumRows: readonly Row[] = [
  { row: 'F5', when: (at) => primary(at) && !at.device.haveQuorum, then: (at) => at.setDevice({ primaryLostQuorum: true }) },
];

const demoted = ({ draft }: Cell): boolean => draft.old.resource.role === Role.primary && draft.resource.role === Role.secondary;
const failsNow = ({ draft }: Cell): boolean => !draft.old.resource.failIo && draft.resource.failIo;

/** Only `at.draft` counts. */
const resourceRows: readonly Row[] = [
  { row: 'F6', when: (_, f) => f.startNewEpoch, then: (_, f) => f.out.push({ kind: 'startNewEpoch' }) },
  { row: 'F7', when: demoted, then: (_, f) => f.out.push({ kind: 'sendPeerAck' }) },
  { row: 'F8', when: (at) => flushTargets(at.draft) !== 'none', then: (at, f) =>
    f.out.push({ kind: 'flushPending', sequence: flushTargets(at.draft) === 'starts' }) },
  { row: 'F9', when: failsNow, then: (_, f) => f.out.push(logLine('Failing IOs', LEVEL.warning)) },
  { row: 'F10', when: () => true, then: (at, f) => { f.peers = peerActivity(at.draft); } },
  { row: 'F41', when: failsNow, then: (_, f) => { f.unfreezeIo = true; } },
];

const becameDisk = (at: Cell, disk: Disk): boolean => at.oldDevice.disk !== disk && at.device.disk === disk;
const leaves = (at: Cell): boolean =>
  becameDisk(at, Disk.failed) || becameDisk(at, Disk.detaching) || becameDisk(at, Disk.diskless);

/** Every device, before its peer devices. */
const deviceHeadRows: readonly Row[] = [
  { row: 'F11', when: (at) => at.device.restoringQuorum && !at.oldDevice.haveQuorum && at.device.haveQuorum,
    then: (at, f) => {
      at.setDevice({ restoringQuorum: false });
      f.out.push(logLine('Restoring quorum', LEVEL.info, at.device.vnr));
    } },
  { row: 'Q5', when: (at) => at.device.tiebreakerQuorum && !at.oldDevice.tiebreakerQuorum, // 8.4, decision 5
    then: (at, f) => f.out.push(logLine('Would lose quorum, but using tiebreaker logic to keep', LEVEL.info, at.device.vnr)) },
  { row: 'F12', when: (at) => at.device.restoreQuorum && (at.device.haveQuorum || at.device.disk < Disk.upToDate),
    then: (at) => at.setDevice({ restoreQuorum: false }) },
  { row: 'F13', when: (at) => leaves(at) && at.device.md !== null,
    then: (at, f) => f.out.push({ kind: 'ldevReference', vnr: at.device.vnr, acquire: true }) },
  { row: 'F14', when: (at) => becameDisk(at, Disk.diskless),
    then: (at, f) => f.out.push({ kind: 'detachedSlots', vnr: at.device.vnr }) },
  { row: 'F15', when: (at) => at.oldDevice.disk === Disk.attaching && at.device.disk >= Disk.negotiating,
    then: (at, f) => f.out.push(logLine(`attached to current UUID: ${uuidText(at.device.currentUuid)}`, LEVEL.info, at.device.vnr)) },
];

const lostPeerData = (at: Cell): boolean => {
  const had = at.oldPd.pdsk >= Disk.inconsistent && at.oldPd.pdsk !== Disk.unknown && at.oldPd.pdsk !== Disk.outdated;
  const has = at.pd.pdsk >= Disk.inconsistent && at.pd.pdsk !== Disk.unknown && at.pd.pdsk !== Disk.outdated;
  return had && !has;
};
const primaryWithData = (at: Cell): boolean =>
  primary(at) && !at.device.unregistered && dataAccessible(at.draft, at.d);

/** Every peer device: edges, so only where something has changed. */
const peerDeviceRows: readonly Row[] = [
  { row: 'F16', when: (at) => at.oldPd.repl <= Repl.established && at.pd.repl === Repl.wfBitMapS,
    then: (_, f) => { f.startingResync = true; } },
  { row: 'F17', when: (at) => at.device.disk === Disk.upToDate && at.pd.pdsk === Disk.upToDate
      && !(at.oldDevice.disk === Disk.upToDate && at.oldPd.pdsk === Disk.upToDate),
    then: (at) => {
      at.setDevice({ crashedPrimary: false });
      if (at.pd.uuidsReceived) at.set({ uuidFlags: at.pd.uuidFlags & ~UuidFlag.crashedPrimary });
    } },
  { row: 'F18', when: (at) => isVerify(at.oldPd.repl) && at.pd.repl <= Repl.established,
    then: (at, f) => f.out.push({ kind: 'verifyStopped', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'F19', when: (at) => (at.oldPd.repl === Repl.pausedSyncS || at.oldPd.repl === Repl.pausedSyncT)
      && (at.pd.repl === Repl.syncSource || at.pd.repl === Repl.syncTarget),
    then: (at, f) => f.out.push({ kind: 'resumeResync', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'F20', when: (at) => (at.oldPd.repl === Repl.syncSource || at.oldPd.repl === Repl.syncTarget)
      && (at.pd.repl === Repl.pausedSyncS || at.pd.repl === Repl.pausedSyncT),
    then: (at, f) => f.out.push({ kind: 'pauseResync', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'F21', when: (at) => at.oldPd.repl > Repl.established && at.pd.repl <= Repl.established,
    then: (at) => settled(at, { reconciliationResync: false, reconcilePending: false }) },
  { row: '15.5', when: (at) => at.pd.reconcilePending && !isSyncSource(at.oldPd.repl) && (isSyncSource(at.pd.repl) || at.pd.repl === Repl.wfBitMapS),
    then: (at) => settled(at, { reconcilePending: false }) },
  { row: '15.5', when: (at) => at.pd.reconcilePending && at.oldDevice.disk === Disk.consistent && at.device.disk !== Disk.consistent,
    then: (at) => at.set({ reconcilePending: false }) },
  { row: 'F22', when: (at) => at.oldPd.repl >= Repl.established && at.pd.repl < Repl.established,
    then: (at) => at.set({ aheadToSyncSource: false }) },
  { row: 'F23', when: (at) => at.oldPd.repl === Repl.established && isVerify(at.pd.repl),
    then: (at, f) => f.out.push({ kind: 'initVerify', vnr: at.pd.vnr, nodeId: at.pd.nodeId, source: at.pd.repl === Repl.verifyS }) },
  { row: 'F24', when: (at) => !(at.oldPd.repl === Repl.established && isVerify(at.pd.repl))
      && !isSyncOrVerify(at.oldPd.repl) && isSyncOrVerify(at.pd.repl),
    then: (at, f) => f.out.push({ kind: 'initResync', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  // By force, or since who was away has been fenced: it compares with all, whatever they have.
  { row: 'F26', when: (at) => hasDisk(at, Disk.inconsistent) && at.pd.pdsk === Disk.upToDate
      && at.oldPd.pdsk >= Disk.inconsistent && at.oldPd.pdsk < Disk.upToDate && at.oldPd.pdsk !== Disk.unknown
      && at.oldConnection.peerRole === Role.secondary && at.connection.peerRole === Role.primary,
    then: (at) => at.set({ considerResync: true }) },
  { row: 'F27', when: (at) => hasDisk(at, Disk.attaching) && at.oldPd.repl < Repl.established && at.pd.repl >= Repl.established,
    then: (at, f) => f.out.push({ kind: 'alUpdates', vnr: at.pd.vnr, suspended: false }) },
  // Right behind the commit, and before any write: those go on in our generation.
  { row: '15.2', when: (at) => at.pd.follows && at.pd.pdsk >= Disk.consistent && at.oldPd.repl < Repl.established && at.pd.repl >= Repl.established,
    then: (at, f) => {
      at.set({ follows: false });
      f.out.push({ kind: 'sendUuids', vnr: at.pd.vnr, nodeId: at.pd.nodeId, flags: 0 });
    } },
  { row: 'F28', when: (at) => at.oldPd.repl === Repl.ahead && at.pd.repl === Repl.syncSource,
    then: (at, f) => f.out.push({ kind: 'congestionOver', nodeId: at.pd.nodeId }) },
  { row: 'F29', when: (at) => becameRepl(at, Repl.ahead), then: newUuid },
  { row: 'F30', when: (at) => lostPeerData(at) && (primaryWithData(at)
      || (at.connection.agreedVersion > 0 && at.connection.agreedVersion < 110 && at.connection.peerRole === Role.primary
        && at.device.disk === Disk.upToDate)), then: newUuid },
  { row: 'F31', when: (at) => hasDisk(at, Disk.inconsistent) && at.oldPd.pdsk === Disk.unknown
      && (at.pd.pdsk === Disk.diskless || at.pd.pdsk === Disk.failed || at.pd.pdsk === Disk.outdated)
      && at.device.md!.slots[at.pd.nodeId]!.bitmapUuid === 0n
      && primary(at) && !at.device.unregistered && at.device.disk === Disk.upToDate, then: newUuid },
  { row: 'F32', when: (at) => at.oldDevice.disk > Disk.failed && at.device.disk === Disk.failed && primary(at)
      && dataAccessible(at.draft, at.d), then: newUuid },
  { row: 'F33', when: (at) => at.pd.pdsk < Disk.upToDate && at.oldPd !== at.pd,
    then: (at, f) => f.out.push({ kind: 'clearGotNegAck', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  { row: 'F33', when: (at) => at.oldPd.repl > Repl.established && at.pd.repl <= Repl.established,
    then: (at) => at.set({ syncSrcCrashedPrimary: false }) },
  // Genuine DRBD waits for the Primary's next generation, or for the next connect.
  { row: '9.6', when: (at) => at.pd.pdsk === Disk.upToDate && newlyShown(at),
    then: (at, f) => exposeUuid(at, f.out, at.pd.peerCurrentUuid) },
  { row: '9.6', when: (at) => at.pd.pdsk === Disk.outdated && newlyShown(at),
    then: (at, f) => f.out.push({ kind: 'olderIsPrimary', vnr: at.pd.vnr, nodeId: at.pd.nodeId }) },
  // Not with its first word already: a connect that is refused in the end must not stop a resync.
  { row: '5.3 step 5', when: (at) => at.oldConnection.peerRole === Role.unknown && at.connection.peerRole === Role.primary
      && at.pd.uuidsReceived && (at.pd.uuidFlags & UuidFlag.stable) !== 0,
    then: (at, f) => f.out.push({ kind: 'checkResyncSource', vnr: at.pd.vnr, weak: at.pd.uuidNodeMask }) },
];

const newlyShown = (at: Cell): boolean => showsItsData(at.draft, at.d, at.c)
  && (at.oldPd.repl < Repl.established || at.oldPd.pdsk !== at.pd.pdsk || at.oldConnection.peerRole !== Role.primary);

/** Every peer device: what options change without a transaction is stored by the next one. */
const peerFlagRows: readonly Row[] = [
  { row: 'F25', when: (at) => at.device.disk !== Disk.negotiating && hasDisk(at, Disk.inconsistent)
      && at.device.md!.slots[at.pd.nodeId]!.bitmapIndex !== -1, then: storePeerFlags },
];

function storePeerFlags(at: Cell, f: Finish): void {
  const md = at.device.md!;
  const { flags } = md.slots[at.pd.nodeId]!;
  const next = peerFlagsOf(flags, at.pd, at.connection.options.fencing);
  if (next === flags) return;
  at.setDevice({ md: withSlotFlags(md, at.pd.nodeId, next) });
  f.out.push({ kind: 'peerMdFlags', vnr: at.pd.vnr, nodeId: at.pd.nodeId, flags: next });
}

const noDataAsPrimary = (role: Role, accessible: boolean, suspended: boolean): boolean =>
  suspended && role === Role.primary && !accessible;

/** After the peer device rows, for each device. */
const deviceRows: readonly Row[] = [
  { row: 'F34', when: (at) => at.oldDevice.disk >= Disk.inconsistent && at.device.disk < Disk.inconsistent && primary(at)
      && dataAccessible(at.draft, at.d), then: newUuid },
  { row: 'F34', when: (at) => !at.device.unregistered && regainsData(at.draft.old, at.draft, at.d), then: newUuid },
  { row: 'F35', when: (at) => at.draft.old.resource.role === Role.secondary && primary(at), then: newUuid },
  { row: 'F36', when: (at, f) => f.createNewUuid && !at.draft.old.resource.suspUuid,
    then: (at) => at.setDevice({ newCurUuid: true }) },
  // What becomes Diskless has been written before.
  { row: 'F37', when: (at) => at.device.disk !== Disk.negotiating && at.device.disk !== Disk.diskless && hasDisk(at, Disk.detaching),
    then: storeDeviceFlags },
  { row: 'F39', when: (at) => !at.oldDevice.haveQuorum && at.device.haveQuorum,
    then: (at) => at.setDevice({ primaryLostQuorum: false }) },
  { row: 'F40', when: (at) => noDataAsPrimary(at.draft.resource.role, dataAccessible(at.draft, at.d), isSuspended(at.draft))
      && !noDataAsPrimary(at.draft.old.resource.role, dataAccessible(at.draft.old, at.d), isSuspended(at.draft.old))
      && at.draft.resource.options.onNoDataAccessible === 'io-error',
    then: (_, f) => { f.unfreezeIo = true; } },
  { row: 'F42', when: demoted, then: (at) => at.setDevice({ newCurUuid: false, keptAll: false }) },
  { row: 'F43', when: (at) => becameConsistent(at.oldDevice.disk, at.device.disk)
      && mayReturnToUpToDate(at.draft, at.d),
    then: (at) => at.draft.setResource({ tryBecomeUpToDatePending: true }) },
];

/** A hold ends: the empty transaction looks whether the disk may be UpToDate again. */
function settled(at: Cell, facts: { readonly reconciliationResync?: false; readonly reconcilePending: false }): void {
  const held = at.pd.reconciliationResync || at.pd.reconcilePending;
  at.set(facts);
  if (held && at.device.disk === Disk.consistent) at.draft.setResource({ tryBecomeUpToDatePending: true, emptyTwopcScheduled: true });
}

/** Another Primary's writes would not come here meanwhile. */
const sharesWriting = (at: Cell): boolean => at.draft.connections.some(({ options }) => options.allowTwoPrimaries);

function storeDeviceFlags(at: Cell, f: Finish): void {
  const md = at.device.md!;
  const flags = deviceFlagsOf(at.draft, at.d, md, f.peers);
  const { members } = at.draft.resource;
  if (flags !== md.flags || members !== md.members) {
    at.setDevice({ md: { ...md, flags, members } });
    f.out.push({ kind: 'mdFlags', vnr: at.device.vnr, flags, members });
  }
  if (at.device.disk <= Disk.failed && (md.flags & ~flags & MdFlag.wasUpToDate) !== 0) at.setDevice({ outgrown: true });
  else if (at.device.disk === Disk.upToDate) at.setDevice({ outgrown: false });
  if (at.oldDevice.disk === Disk.upToDate && at.device.disk === Disk.detaching) at.setDevice({ keptAll: primary(at) && !sharesWriting(at) });
  else if (at.device.disk >= Disk.failed) at.setDevice({ keptAll: false });
  if (at.oldDevice.disk < Disk.consistent && at.device.disk >= Disk.consistent && at.device.currentUuid !== at.device.exposedUuid) {
    exposeUuid(at, f.out, at.device.currentUuid);
  }
}

/** Stored with bit 0 by role; never the UUID of a disk that has no data yet. @spec uuid.md 1.2 set_exposed */
export function exposeUuid(at: Cell, out: Effect[], uuid: bigint): void {
  const JUST_CREATED = 4n;
  if ((uuid | 1n) === (at.device.exposedUuid | 1n) || (uuid & ~1n) === JUST_CREATED || uuid === 0n) return;
  const exposedUuid = primary(at) ? uuid | 1n : uuid & ~1n;
  at.setDevice({ exposedUuid });
  out.push({ kind: 'sticky', fact: { kind: 'exposedUuid', vnr: at.device.vnr, uuid: exposedUuid } });
  out.push({ kind: 'setExposedUuid', vnr: at.device.vnr, uuid: exposedUuid });
}

function peerActivity(draft: Draft): PeerActivity {
  let requestInFlight = false;
  for (const { cstate, nodeId } of draft.connections) {
    const settled = cstate === Cstate.connected || cstate === Cstate.standAlone || cstate === Cstate.unconnected
      || cstate === Cstate.connecting;
    if (!settled || (cstate === Cstate.connected && draft.live.peerRequestsInFlight(nodeId))) requestInFlight = true;
  }
  return { primary: draft.connections.some((c) => c.peerRole === Role.primary), requestInFlight };
}

/** 5.1.1: peers that need not flush any more, or a target that starts. Which nodes must flush is computed by who sends. */
function flushTargets({ old, connections, peerDevices }: Draft): 'none' | 'lost' | 'starts' {
  const starts = old.peerDevices.some((pd, i) =>
    pd !== peerDevices[i] && !isSyncTarget(pd.repl) && isSyncTarget(peerDevices[i]!.repl));
  if (starts) return 'starts';
  const lost = old.connections.some((c, n) => c.cstate === Cstate.connected && connections[n]!.cstate !== Cstate.connected)
    || old.peerDevices.some((pd, i) => pd !== peerDevices[i] && pd.pdsk === Disk.upToDate && peerDevices[i]!.pdsk !== Disk.upToDate);
  return lost ? 'lost' : 'none';
}

/** Every connection. */
const connectionRows: readonly Row[] = [
  { row: 'F44', when: (at) => dropped(at) && at.oldConnection.peerRole === Role.primary,
    then: (at) => at.draft.setConnection(at.c, { notifyPeersLostPrimary: true }) },
  { row: 'F45', when: (at) => at.oldConnection.cstate >= Cstate.unconnected && at.oldConnection.cstate !== at.connection.cstate
      && (at.connection.cstate === Cstate.disconnecting
        || (at.oldConnection.cstate >= Cstate.connecting && isLost(at.connection.cstate))),
    then: (at, f) => f.out.push({ kind: 'teardown', nodeId: at.connection.nodeId }) },
  { row: 'F49', when: (at) => at.oldConnection.cstate < Cstate.connected && at.connection.cstate === Cstate.connected,
    then: (at) => at.draft.setConnection(at.c, { connects: at.connection.connects + 1 }) },
  { row: '15.5', when: (at) => at.connection.lossTold && at.connection.cstate === Cstate.connected, then: lostOneIsBack },
  { row: 'F50', when: (at) => isSuspended(at.draft.old), then: suspendedRequests },
  { row: 'F51', when: dropped, then: (at) => at.draft.setConnection(at.c, { reconnect: true }) },
  { row: 'F52', when: (at, f) => f.startingResync && at.connection.peerRole === Role.primary,
    then: (at, f) => f.out.push({ kind: 'applyUnackedPeerRequests', nodeId: at.connection.nodeId }) },
  { row: 'F53', when: (at) => at.oldConnection.peerRole === Role.primary && at.connection.peerRole === Role.unknown,
    then: (_, f) => { f.lostPrimaryPeer = true; } },
];

/** It has compared its data with ours: what neighbours have of it is its matter. One that was never lost to them says nothing. */
function lostOneIsBack({ draft, c }: Cell): void {
  draft.setConnection(c, { lossTold: false });
  if (draft.connections.some((other) => other.lossTold)) return;
  draft.peerDevices.forEach((pd, i) => { if (pd.reconcilePending) draft.setPeerDevice(i, { reconcilePending: false }); });
  if (draft.devices.some(({ disk }) => disk === Disk.consistent)) {
    draft.setResource({ tryBecomeUpToDatePending: true, emptyTwopcScheduled: true });
  }
}

function dropped(at: Cell): boolean {
  return at.oldConnection.cstate === Cstate.connected && at.connection.cstate < Cstate.connected;
}

function suspendedRequests(at: Cell, f: Finish): void {
  const { nodeId, cstate } = at.connection;
  if ((!isSuspended(at.draft) || f.unfreezeIo) && cstate < Cstate.connected) {
    f.out.push({ kind: 'walkTransferLog', nodeId, event: 'cancelSuspendedIo' });
  } else if (at.oldConnection.cstate < Cstate.connected && cstate === Cstate.connected) {
    const resync = at.draft.devices.some((_, d) => at.draft.peerDevices[at.draft.index(d, at.c)]!.repl > Repl.established);
    f.out.push({ kind: 'walkTransferLog', nodeId, event: resync ? 'cancelSuspendedIo' : 'resend' });
  }
}

function markUnstableResyncs(draft: Draft): void { // F54
  draft.devices.forEach((_, d) => somePeer(draft, d, (pd, c) => {
    if (isSyncTarget(pd.repl) && !pd.unstableResync && (pd.uuidFlags & UuidFlag.stable) === 0
      && !stableSyncSourcePresent(draft, d, pd.nodeId)) {
      draft.setPeerDevice(draft.index(d, c), { unstableResync: true });
    }
    return false;
  }));
}

const resumed = ({ draft }: Cell): boolean => isSuspended(draft.old) && !isSuspended(draft);

/** Only `at.draft` counts. */
const tailRows: readonly Row[] = [
  { row: 'F54', when: (_, f) => f.lostPrimaryPeer, then: (at) => markUnstableResyncs(at.draft) },
  { row: 'F56', when: (at, f) => resumed(at) || f.unfreezeIo, // with F55
    then: (at, f) => f.out.push({ kind: 'completionResumed', restart: resumed(at) }) },
];

/** All of them, in the order in which they run. */
export const finishRows = { epochRows, quorumRows, resourceRows, deviceHeadRows, peerDeviceRows, peerFlagRows, deviceRows, connectionRows,
  tailRows } as const;

function run(rows: readonly Row[], at: Cell, f: Finish): void {
  for (const row of rows) if (row.when(at, f)) row.then(at, f);
}

/** Rows F1..F56. `draft` is complete afterwards. */
export function finishStateChange(draft: Draft, tag: string, out: Effect[]): void {
  const f: Finish = { draft, out, startNewEpoch: false, startingResync: false, createNewUuid: false, unfreezeIo: false,
    lostPrimaryPeer: false, peers: { primary: false, requestInFlight: false } };
  const at = new Cell(draft);
  const connections = draft.connections.length;
  logChanges(draft, tag, out);
  for (let d = 0; d < draft.devices.length; d++) {
    for (let c = 0; c < connections; c++) if (at.at(d, c).touched) run(epochRows, at, f);
    run(quorumRows, at.at(d, 0), f);
  }
  run(resourceRows, at, f);
  for (let d = 0; d < draft.devices.length; d++) {
    f.createNewUuid = false;
    run(deviceHeadRows, at.at(d, 0), f);
    for (let c = 0; c < connections; c++) {
      if (at.at(d, c).touched) run(peerDeviceRows, at, f);
      run(peerFlagRows, at, f);
    }
    run(deviceRows, at.at(d, 0), f);
  }
  for (let c = 0; c < connections; c++) run(connectionRows, at.at(0, c), f);
  run(tailRows, at, f);
}
