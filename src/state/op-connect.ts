// SPDX-License-Identifier: GPL-2.0-or-later
/** connect_work: the node with the lower id makes two authenticated ends Connected. @spec state.md 7.7 */
import type { Change } from './events.ts';
import { isSuspended, pdAt, readOnlyOpeners } from './facts.ts';
import { LEVEL, logLine } from './log-lines.ts';
import {
  addOperation, endOperation, putOperation, runChange, startTimer, stopTimer, takeId, timerFired, waitingFor,
} from './op-common.ts';
import type { Signal } from './op-common.ts';
import type { ConnectOperation } from './operation-types.ts';
import { Ss, ssText } from './ss.ts';
import { Cs, Cstate, Disk, Repl, Role, isSyncTarget } from './states.ts';
import { transact } from './transaction.ts';
import type { Step } from './transaction.ts';
import { connectionIndex, findConnection } from './view.ts';

/** 50 on average: two connects that got in each other's way once must not do so for ever. */
const againSoonMs = (step: Step): number => 25 + step.live.below(51);
const AGAIN_LATER_MS = 1_000;

export function startConnect(step: Step, nodeId: number): void {
  if (step.view.operations.some((o) => o.kind === 'connect' && o.nodeId === nodeId)) return;
  addOperation(step, { kind: 'connect', id: takeId(step), request: 0, tag: 'connected', run: null, waiting: null, nodeId, phase: 'try',
    readersLeftMs: step.view.resource.options.autoPromoteTimeoutMs });
}

const FLAGS = Cs.serialize | Cs.verbose | Cs.dontRetry;

export function driveConnect(step: Step, operation: ConnectOperation, signal: Signal): void {
  const connection = findConnection(step.view, operation.nodeId);
  if (operation.run === null && (connection === undefined || connection.cstate !== Cstate.connecting)) {
    stopTimer(step, operation.id);
    return endOperation(step, operation, Ss.needConnection, null);
  }
  if (operation.phase === 'again') {
    if (!timerFired(signal, operation.id)) return;
    return driveTry(step, { ...operation, phase: 'try' }, { kind: 'look' });
  }
  if (operation.phase === 'readers') {
    if (timerFired(signal, operation.id)) return judgeResult(step, { ...operation, readersLeftMs: 0 }, Ss.primaryReader);
    if (readOnlyOpeners(step.view)) return;
    stopTimer(step, operation.id);
    return driveTry(step, { ...operation, phase: 'try', readersLeftMs: 0 }, { kind: 'look' });
  }
  driveTry(step, operation, signal);
}

function driveTry(step: Step, operation: ConnectOperation, signal: Signal): void {
  const busy = operation.run === null && step.view.semHolder !== 0 && step.view.semHolder !== operation.id;
  if (busy) return again(step, operation, againSoonMs(step));
  const change = { what: 'cstate', nodeId: operation.nodeId, cstate: Cstate.connected } as const;
  const { operation: next, verdict } = runChange(step, operation, change, FLAGS, signal);
  if (verdict === null) return putOperation(step, next);
  judgeResult(step, next, verdict.rc);
}

function again(step: Step, operation: ConnectOperation, delayMs: number): void {
  if (step.view.semHolder === operation.id) step.view = { ...step.view, semHolder: 0 };
  putOperation(step, { ...operation, run: null, phase: 'again', waiting: waitingFor('back-off', operation.nodeId) });
  startTimer(step, operation.id, delayMs);
}

const refusedByPrimaries = (rc: Ss): boolean => rc === Ss.cwFailedByPeer || rc === Ss.twoPrimaries;

function judgeResult(step: Step, operation: ConnectOperation, rc: Ss): void {
  const { nodeId } = operation;
  const connection = findConnection(step.view, nodeId);
  if (rc >= Ss.success || connection === undefined) return endOperation(step, operation, rc, null);
  const { resource } = step.view;
  const forceDemote = resource.role === Role.primary && resource.options.onSuspendedPrimaryOutdated === 'force-secondary';
  const retry = connection.options.rrConflict === 'retry-connect' || forceDemote;
  if (rc === Ss.primaryReader && operation.readersLeftMs > 0) {
    if (step.view.semHolder === operation.id) step.view = { ...step.view, semHolder: 0 };
    putOperation(step, { ...operation, run: null, phase: 'readers', waiting: waitingFor('read-only opener') });
    return startTimer(step, operation.id, operation.readersLeftMs);
  }
  if (rc === Ss.timeout || rc === Ss.concurrentStChg) return again(step, operation, againSoonMs(step));
  if (rc === Ss.handshakeRetry || (refusedByPrimaries(rc) && retry)) {
    again(step, operation, AGAIN_LATER_MS);
    return applyLocally(step, nodeId, false, forceDemote);
  }
  endOperation(step, operation, rc, null);
  if (rc === Ss.handshakeDisconnect || refusedByPrimaries(rc)) {
    step.effects.push({ kind: 'sendDisconnect', nodeId });
    return applyLocally(step, nodeId, true, forceDemote);
  }
  step.effects.push(logLine(`Failure to connect: ${ssText(rc)} (${rc}); retrying`, LEVEL.err, -1, nodeId));
  const lost: readonly Change[] = [{ set: 'cstate', nodeId, cstate: Cstate.networkFailure }];
  transact(step, { flags: Cs.hard, tag: 'connect-failed' }, (draft) => draft.apply(lost));
}

/** apply_local_state_change: who would have been sync target is outdated by knowing of newer data. @spec state.md 7.7 */
function applyLocally(step: Step, nodeId: number, disconnects: boolean, forceDemote: boolean): void {
  const { resource } = step.view;
  const { onNoDataAccessible, onSuspendedPrimaryOutdated } = resource.options;
  const outdates = resource.role === Role.secondary || (isSuspended(step.view)
    && (onNoDataAccessible === 'io-error' || onSuspendedPrimaryOutdated === 'force-secondary'));
  transact(step, { flags: Cs.hard | (forceDemote ? Cs.fsIgnOpeners : 0), tag: 'connect-failed' }, (draft) => {
    const c = connectionIndex(draft, nodeId);
    if (disconnects && c >= 0) draft.setCstate(c, Cstate.disconnecting);
    if (!outdates || c < 0) return;
    draft.devices.forEach((device, d) => {
      const { conn } = pdAt(draft.old, d, c).connectState;
      if ((conn === Repl.wfBitMapT || isSyncTarget(conn)) && device.disk > Disk.outdated) draft.setDevice(d, { disk: Disk.outdated });
    });
    if (forceDemote) {
      step.effects.push(logLine('Remote node has more recent data; force secondary!', LEVEL.warning));
      draft.setResource({ role: Role.secondary, failIo: draft.devices.some((device) => device.openCount > 0) });
    }
  });
}

