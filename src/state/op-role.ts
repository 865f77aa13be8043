// SPDX-License-Identifier: GPL-2.0-or-later
/** drbd_set_role: promote and demote. @spec state.md 7.1 */
import type { Effect } from './effects.ts';
import { pdAt, highestPdsk } from './facts.ts';
import type { Verdict } from './guards.ts';
import { backOffMs, stillTransient } from './initiator.ts';
import { LEVEL, logLine } from './log-lines.ts';
import {
  addOperation, awaitWork, endOperation, interrupted, putOperation, runChange, startTimer, stopTimer, takeId, timerFired, waitingFor,
  workDone,
} from './op-common.ts';
import type { Signal } from './op-common.ts';
import { tryOutdatePeer } from './op-fence.ts';
import type { RoleOperation } from './operation-types.ts';
import { Ss } from './ss.ts';
import { stateWordOf } from './state-word.ts';
import { Cs, Cstate, Disk, Role } from './states.ts';
import type { Step } from './transaction.ts';
import type { View } from './types.ts';
import { peerDeviceIndex, replaceConnection, replaceResource } from './view.ts';

const TRIES_MAX = 4;

export function startRole(step: Step, request: number, tag: string, role: 1 | 2, force: boolean): void {
  const id = takeId(step);
  const operation: RoleOperation = {
    kind: 'role', id, request, tag, run: null, waiting: null, role, force, flags: Cs.alreadySerialized | Cs.dontRetry | Cs.waitComplete,
    tries: 0, phase: 'try', upToDateBefore: 0, fenced: false, raised: [], primaryNopSeen: false, twoPrimariesSeen: false, fencing: [],
    fencedCount: 0, fenceFailed: false, rc: Ss.success, reason: null,
  };
  addOperation(step, operation);
  retry(step, operation);
}

/** "retry" of 7.1: a promotion first asks whether the peers are alive, then waits for what is being settled. */
function retry(step: Step, operation: RoleOperation): void {
  if (operation.role !== Role.primary) return putOperation(step, { ...operation, run: null, phase: 'try' });
  const nodeIds = step.view.connections.filter((c) => c.cstate === Cstate.connected).map((c) => c.nodeId);
  if (nodeIds.length === 0) return settle(step, operation, 'settle');
  step.effects.push({ kind: 'ping', nodeIds, token: operation.id });
  putOperation(step, { ...operation, run: null, phase: 'ping', waiting: waitingFor('ping') });
}

/** Nothing is on its way to become UpToDate. @spec state.md 7.1 "events settled" */
export const eventsSettled = (view: View): boolean => !view.resource.tryBecomeUpToDatePending
  && view.devices.every((device, d) => device.disk !== Disk.consistent && view.connections.every((_, c) => {
    const pd = pdAt(view, d, c);
    return pd.pdsk !== Disk.consistent
      && !(pd.reconciliationResync && (device.disk === Disk.outdated || device.disk === Disk.inconsistent));
  }));

const maxPingTimeoutMs = (view: View): number =>
  view.connections.reduce((most, c) => Math.max(most, c.options.pingTimeoutMs), 0);

function settle(step: Step, operation: RoleOperation, phase: 'settle' | 'settleAgain'): void {
  if (eventsSettled(step.view)) return putOperation(step, settled(operation, phase));
  startTimer(step, operation.id, step.view.resource.options.autoPromoteTimeoutMs + maxPingTimeoutMs(step.view));
  putOperation(step, { ...operation, run: null, phase, waiting: waitingFor('events settled') });
}

const settled = (operation: RoleOperation, phase: 'settle' | 'settleAgain'): RoleOperation =>
  ({ ...operation, run: null, phase: phase === 'settle' ? 'try' : 'settleAgain', waiting: null });

/** An answer for one role operation. */
export function signalRole(step: Step, signal: Signal & { readonly kind: 'fenced' }): void {
  const operation = step.view.operations.find((o) => o.id === signal.operation);
  if (operation?.kind !== 'role' || operation.phase !== 'fence') return;
  putOperation(step, { ...operation, fencing: operation.fencing.filter((n) => n !== signal.nodeId),
    fencedCount: operation.fencedCount + (signal.fenced ? 1 : 0), fenceFailed: operation.fenceFailed || !signal.fenced });
}

export function driveRole(step: Step, operation: RoleOperation, signal: Signal): void {
  const { id } = operation;
  if (interrupted(step, operation, signal)) return;
  switch (operation.phase) {
    case 'ping': if (workDone(signal, id)) settle(step, operation, 'settle'); return;
    case 'settle': case 'settleAgain':
      if (!timerFired(signal, id) && !eventsSettled(step.view)) return;
      stopTimer(step, id);
      if (operation.phase === 'settle') return putOperation(step, settled(operation, 'settle'));
      return afterSettling(step, operation);
    case 'backOff': if (timerFired(signal, id)) retry(step, operation); return;
    case 'twoPrimariesSleep': if (timerFired(signal, id)) retry(step, operation); return;
    case 'try': case 'transient': return attempt(step, operation, signal);
    case 'fence': if (operation.fencing.length === 0) afterFencing(step, operation); return;
    case 'work': if (workDone(signal, id)) succeed(step, operation); return;
    case 'telling': if (workDone(signal, id)) endOperation(step, operation, Ss.success, null); return;
  }
}

const countUpToDate = (view: View): number => view.devices.filter((d) => d.disk === Disk.upToDate).length
  + view.peerDevices.filter((pd) => pd.pdsk === Disk.upToDate).length;

function attempt(step: Step, operation: RoleOperation, signal: Signal): void {
  const { view } = step;
  const change = { what: 'role', role: operation.role } as const;
  if (operation.phase === 'transient' && operation.run === null && stillTransient(step, change, operation.flags)) return;
  if (operation.run === null) {
    if (view.semHolder !== 0 && view.semHolder !== operation.id) {
      if (operation.waiting === null) putOperation(step, { ...operation, waiting: waitingFor('serialization') });
      return;
    }
    if (operation.phase === 'try' && operation.tries >= TRIES_MAX) return endOperation(step, operation, operation.rc, operation.reason);
  }
  const tries = operation.run === null && operation.phase === 'try' ? operation.tries + 1 : operation.tries;
  const verbose = tries >= 3 ? Cs.verbose : 0;
  if (operation.run === null && view.semHolder === 0) step.view = { ...view, semHolder: operation.id };
  const begun: RoleOperation = tries === operation.tries && operation.flags === (operation.flags | verbose) ? operation
    : { ...operation, tries, flags: operation.flags | verbose, upToDateBefore: countUpToDate(view) };
  const { operation: next, verdict } = runChange(step, begun, change, begun.flags, signal);
  if (verdict === null) return putOperation(step, next);
  if (verdict.rc === Ss.inTransientState) {
    return putOperation(step, { ...next, phase: 'transient', waiting: waitingFor('transient state') });
  }
  react(step, { ...next, run: null, phase: 'try', rc: verdict.rc, reason: verdict.reason, raised: raisedBy(view, step.view) }, verdict);
}

const raisedBy = (before: View, { devices }: View): number[] => devices
  .filter(({ disk }, d) => disk === Disk.upToDate && before.devices[d]!.disk < Disk.upToDate).map(({ vnr }) => vnr);

const dropSem = (step: Step, operation: RoleOperation): void => {
  if (step.view.semHolder === operation.id) step.view = { ...step.view, semHolder: 0 };
};

const again = (step: Step, operation: RoleOperation, flags: number): void =>
  putOperation(step, { ...operation, flags: operation.flags | flags, phase: 'try', waiting: null });

/** Rows 1 to 12 of 7.1: what the result of an attempt leads to. The first that applies. */
interface Row {
  readonly row: number;
  readonly when: (operation: RoleOperation, rc: Ss) => boolean;
  readonly then: (step: Step, operation: RoleOperation) => void;
}

const has = (operation: RoleOperation, flag: number): boolean => (operation.flags & flag) !== 0;

const rows: readonly Row[] = [
  { row: 1, when: (_, rc) => rc === Ss.timeout || rc === Ss.concurrentStChg,
    then: (step, operation) => {
      dropSem(step, operation);
      startTimer(step, operation.id, backOffMs(step, operation.tries));
      putOperation(step, { ...operation, phase: 'backOff', waiting: waitingFor('back-off') });
    } },
  { row: 2, when: (o, rc) => rc === Ss.cwFailedByPeer && o.fenced && has(o, Cs.fpLocalUpToDate),
    then: (step, operation) => again(step, { ...operation, flags: operation.flags & ~Cs.fpLocalUpToDate }, 0) },
  { row: 3, when: (o, rc) => rc === Ss.noUpToDateDisk && o.force && !has(o, Cs.fpLocalUpToDate),
    then: (step, operation) => again(step, operation, Cs.fpLocalUpToDate) },
  { row: 4, when: (o, rc) => rc === Ss.deviceInUse && o.force && !has(o, Cs.fsIgnOpeners),
    then: (step, operation) => again(step, operation, Cs.fsIgnOpeners) },
  { row: 5, when: (_, rc) => rc === Ss.noUpToDateDisk,
    then: (step, operation) => {
      dropSem(step, operation);
      settle(step, operation, 'settleAgain');
    } },
  { row: 7, when: (o, rc) => rc === Ss.primaryNop && o.force && has(o, Cs.fpLocalUpToDate) && !has(o, Cs.fpOutdatePeers),
    then: (step, operation) => again(step, operation, Cs.fpOutdatePeers) },
  { row: 8, when: (o, rc) => rc === Ss.noQuorum && o.force && !has(o, Cs.fpOutdatePeers),
    then: (step, operation) => again(step, operation, Cs.fpOutdatePeers) },
  { row: 10, when: (o, rc) => rc === Ss.primaryNop && !o.primaryNopSeen,
    then: (step, operation) => fence(step, { ...operation, primaryNopSeen: true }, step.view.connections.map((c) => c.nodeId)) },
  { row: 11, when: (o, rc) => rc === Ss.twoPrimaries && !o.twoPrimariesSeen,
    then: (step, operation) => {
      dropSem(step, operation);
      startTimer(step, operation.id, Math.max(1, maxPingTimeoutMs(step.view)));
      putOperation(step, { ...operation, twoPrimariesSeen: true, phase: 'twoPrimariesSleep', waiting: waitingFor('back-off') });
    } },
];

function react(step: Step, operation: RoleOperation, { rc, reason }: Verdict): void {
  if (rc === Ss.nothingToDo) return endOperation(step, operation, rc, null);
  if (rc >= Ss.success) {
    awaitWork(step, operation.id);
    return putOperation(step, { ...operation, phase: 'work', waiting: waitingFor('after-state-change') });
  }
  const row = rows.find((candidate) => candidate.when(operation, rc));
  if (row === undefined) return endOperation(step, operation, rc, reason);
  row.then(step, operation);
}

/** Row 5, second half, and row 6: perhaps a peer that nobody knows of can be fenced. */
function afterSettling(step: Step, operation: RoleOperation): void {
  if (countUpToDate(step.view) > operation.upToDateBefore) return again(step, operation, 0);
  if (!has(operation, Cs.fpLocalUpToDate)) {
    const unknown = step.view.connections.filter((_, c) => highestPdsk(step.view, c) === Disk.unknown
      && step.view.devices.some((device) => device.disk === Disk.consistent)).map((c) => c.nodeId);
    if (unknown.length > 0) return fence(step, operation, unknown);
  }
  endOperation(step, operation, operation.rc, operation.reason);
}

function fence(step: Step, operation: RoleOperation, nodeIds: readonly number[]): void {
  dropSem(step, operation);
  putOperation(step, { ...operation, phase: 'fence', fencing: nodeIds, fencedCount: 0, fenceFailed: false,
    waiting: waitingFor('fence-peer') });
  for (const nodeId of nodeIds) tryOutdatePeer(step, nodeId, operation.id);
}

function afterFencing(step: Step, operation: RoleOperation): void {
  if (operation.rc === Ss.primaryNop) {
    if (operation.fenceFailed && operation.force) {
      step.effects.push(logLine('Forced into split brain situation!', LEVEL.warning));
      return again(step, { ...operation, fenced: operation.fencedCount > 0 }, Cs.fpLocalUpToDate);
    }
    return again(step, { ...operation, fenced: operation.fencedCount > 0 }, 0);
  }
  if (operation.fencedCount > 0 && !operation.fenceFailed) return again(step, { ...operation, fenced: true }, Cs.fpLocalUpToDate);
  endOperation(step, operation, operation.rc, operation.reason);
}

/**
 * 7.1, "Success". Forced: each volume's new generation is on disk before the peers hear of the new state, and before
 * the answer, so the worker does the telling. Not a volume that was good by itself at last: a peer that saw it so does not
 * compare, and would not have the new label.
 */
function succeed(step: Step, operation: RoleOperation): void {
  const primary = operation.role === Role.primary;
  const raised = primary && has(operation, Cs.fpLocalUpToDate) ? operation.raised : [];
  const forced = raised.length > 0;
  const out = forced ? step.work : step.effects;
  if (operation.force && forced) step.effects.push(logLine('Forced to consider local data as UpToDate!', LEVEL.warning));
  if (operation.force && has(operation, Cs.fpOutdatePeers)) {
    step.effects.push(logLine('Forced to consider peers as Outdated!', LEVEL.warning));
  }
  for (const { vnr, md } of step.view.devices) {
    if (!primary && md !== null) out.push({ kind: 'setPrimaryBit', vnr, on: false });
    if (raised.includes(vnr)) out.push({ kind: 'newCurrentUuid', vnr, forced: true });
  }
  if (primary) for (const { nodeId } of step.view.connections) step.view = replaceConnection(step.view, nodeId, { discardMyData: false });
  tellPeers(step, raised, out);
  for (const { vnr, md } of step.view.devices) {
    if (md !== null) out.push({ kind: 'syncMd', vnr });
    if (primary && !step.view.resource.options.autoPromote) out.push({ kind: 'uevent', vnr });
  }
  if (!primary && step.view.resource.explicitPrimary) {
    step.view = replaceResource(step.view, { explicitPrimary: false });
    step.effects.push({ kind: 'sticky', fact: { kind: 'role', role: operation.role, explicitPrimary: false } });
  }
  if (!forced) return endOperation(step, operation, Ss.success, null);
  awaitWork(step, operation.id);
  putOperation(step, { ...operation, phase: 'telling', waiting: waitingFor('after-state-change') });
}

function tellPeers(step: Step, raised: readonly number[], out: Effect[]): void {
  step.view.connections.forEach(({ cstate, nodeId }, c) => {
    if (cstate !== Cstate.connected) return;
    step.view.devices.forEach(({ vnr }, d) => {
      if (step.view.peerDevices[peerDeviceIndex(step.view, d, c)] === undefined) return;
      if (raised.includes(vnr)) {
        out.push({ kind: 'raise', event: { kind: 'peerDeviceFacts', vnr, nodeId, facts: { considerResync: true } } },
          { kind: 'sendUuids', nodeId, vnr, flags: 0 });
      }
      out.push({ kind: 'sendState', nodeId, vnr, word: stateWordOf(step.view, d, c) });
    });
  });
}
