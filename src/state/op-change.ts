// SPDX-License-Identifier: GPL-2.0-or-later
/** One cluster-wide change, then the answer; and the empty two-phase commit. @spec state.md 2.6, 6.9 */
import {
  addOperation, awaitWork, endOperation, interrupted, putOperation, runChange, takeId, waitingFor, workDone,
} from './op-common.ts';
import type { Signal } from './op-common.ts';
import type { ChangeOperation, EmptyOperation } from './operation-types.ts';
import type { ClusterChange } from './events.ts';
import { Ss } from './ss.ts';
import { Cs } from './states.ts';
import type { Step } from './transaction.ts';
import { releaseSem, stillTransient } from './initiator.ts';
import { replaceResource } from './view.ts';

export function startChange(step: Step, request: number, tag: string, flags: number, transient: boolean, change: ClusterChange): void {
  addOperation(step, { kind: 'change', id: takeId(step), request, tag, run: null, waiting: null, flags, transient, change, phase: 'try' });
}

/** At most one is pending. */
export function startEmpty(step: Step): void {
  if (step.view.operations.some((o) => o.kind === 'empty')) return;
  addOperation(step, { kind: 'empty', id: takeId(step), request: 0, tag: 'lost-peer', run: null, waiting: null, phase: 'try' });
}

export function driveChange(step: Step, operation: ChangeOperation | EmptyOperation, signal: Signal): void {
  if (operation.kind === 'empty') return driveEmpty(step, operation, signal);
  if (interrupted(step, operation, signal)) return;
  if (operation.phase === 'work') {
    if (workDone(signal, operation.id)) endOperation(step, operation, Ss.success, null);
    return;
  }
  if (operation.phase === 'transient' && stillTransient(step, operation.change, operation.flags)) return;
  const { operation: next, verdict } = runChange(step, { ...operation, phase: 'try' }, operation.change, operation.flags, signal);
  if (verdict === null) return putOperation(step, next.run === operation.run ? operation : next);
  if (verdict.rc === Ss.inTransientState && operation.transient) {
    releaseSem(step, operation.id); // not serialized while it waits
    return putOperation(step, { ...next, phase: 'transient', waiting: waitingFor('transient state') });
  }
  const waits = (operation.flags & Cs.waitComplete) !== 0 && verdict.rc >= Ss.success;
  if (!waits) return endOperation(step, next, verdict.rc, verdict.reason);
  putOperation(step, { ...next, phase: 'work', waiting: waitingFor('after-state-change') });
  awaitWork(step, operation.id);
}

function driveEmpty(step: Step, operation: EmptyOperation, signal: Signal): void {
  const recalc = step.view.resource.options.quorum !== 0 ? Cs.forceRecalc : 0;
  const { operation: next, verdict } = runChange(step, operation, { what: 'empty' }, Cs.verbose | recalc, signal);
  if (verdict === null) return putOperation(step, next);
  step.view = replaceResource(step.view, { tryBecomeUpToDatePending: false });
  endOperation(step, next, verdict.rc, verdict.reason);
}
