// SPDX-License-Identifier: GPL-2.0-or-later
/** conn_try_disconnect. @spec state.md 7.6 */
import { readOnlyOpeners } from './facts.ts';
import {
  addOperation, endOperation, interrupted, putOperation, runChange, startTimer, stopTimer, takeId, timerFired, waitingFor,
} from './op-common.ts';
import type { Signal } from './op-common.ts';
import type { DisconnectOperation } from './operation-types.ts';
import type { Verdict } from './guards.ts';
import { Ss } from './ss.ts';
import { Cs, Cstate, Role } from './states.ts';
import type { Step } from './transaction.ts';
import { findConnection } from './view.ts';

/** Longest waits for read-only openers, and for StandAlone after success. */
const WAIT_MS = 1_000;

export function startDisconnect(step: Step, request: number, tag: string, nodeId: number, force: boolean): void {
  addOperation(step, { kind: 'disconnect', id: takeId(step), request, tag, run: null, waiting: null, nodeId, force,
    flags: Cs.verbose | (force ? Cs.hard : Cs.serialize), phase: 'try' });
}

export function driveDisconnect(step: Step, operation: DisconnectOperation, signal: Signal): void {
  if (interrupted(step, operation, signal)) return;
  const connection = findConnection(step.view, operation.nodeId);
  if (connection === undefined) return endOperation(step, operation, Ss.success, null);
  switch (operation.phase) {
    case 'try': return attempt(step, operation, signal);
    case 'readers':
      if (timerFired(signal, operation.id)) return endOperation(step, operation, Ss.noUpToDateDisk, null);
      if (readOnlyOpeners(step.view)) return;
      stopTimer(step, operation.id);
      return attempt(step, { ...operation, phase: 'try' }, { kind: 'look' });
    case 'standAlone':
      if (connection.cstate !== Cstate.standAlone && !timerFired(signal, operation.id)) return;
      stopTimer(step, operation.id);
      return endOperation(step, operation, Ss.success, null);
  }
}

function attempt(step: Step, operation: DisconnectOperation, signal: Signal): void {
  const change = { what: 'cstate', nodeId: operation.nodeId, cstate: Cstate.disconnecting } as const;
  const { operation: next, verdict } = runChange(step, operation, change, operation.flags, signal);
  if (verdict === null) return putOperation(step, next);
  if (step.view.semHolder === operation.id) step.view = { ...step.view, semHolder: 0 };
  judge(step, next, verdict);
}

function judge(step: Step, operation: DisconnectOperation, { rc, reason }: Verdict): void {
  if (rc >= Ss.success) {
    startTimer(step, operation.id, WAIT_MS);
    return putOperation(step, { ...operation, run: null, phase: 'standAlone', waiting: waitingFor('disconnect', operation.nodeId) });
  }
  const cstate = findConnection(step.view, operation.nodeId)?.cstate ?? Cstate.standAlone;
  switch (rc) {
    case Ss.alreadyStandAlone: return endOperation(step, operation, Ss.success, null);
    case Ss.cwFailedByPeer: case Ss.needConnection:
      if (cstate < Cstate.connected) return attempt(step, { ...operation, run: null }, { kind: 'look' });
      return endOperation(step, operation, rc, reason);
    case Ss.noUpToDateDisk:
      if (step.view.resource.role === Role.primary || !readOnlyOpeners(step.view)) return endOperation(step, operation, rc, reason);
      startTimer(step, operation.id, WAIT_MS);
      return putOperation(step, { ...operation, run: null, phase: 'readers', waiting: waitingFor('read-only opener') });
    case Ss.isDiskless: case Ss.lowerThanOutdated:
      if ((operation.flags & Cs.hard) !== 0) return endOperation(step, operation, rc, reason);
      return attempt(step, { ...operation, run: null, flags: Cs.hard | Cs.verbose }, { kind: 'look' });
    default: return endOperation(step, operation, rc, reason);
  }
}
