// SPDX-License-Identifier: GPL-2.0-or-later
/** What all operations share. */
import type { Reason, WaitingFor } from './reason.ts';
import type { ChangeRun, Operation } from './operation-types.ts';
import { driveRun, interruptRun, newRun, releaseSem } from './initiator.ts';
import { Ss } from './ss.ts';
import type { ClusterChange } from './events.ts';
import type { Verdict } from './guards.ts';
import type { Step } from './transaction.ts';

/** Why an operation is looked at: something changed; or exactly this happened. */
export type Signal =
  | { readonly kind: 'look' }
  | { readonly kind: 'timer'; readonly name: string }
  | { readonly kind: 'token'; readonly token: number }
  | { readonly kind: 'helper'; readonly token: number; readonly exit: number | null }
  | { readonly kind: 'fenced'; readonly operation: number; readonly nodeId: number; readonly fenced: boolean }
  | { readonly kind: 'cancel'; readonly request: number };

export const takeId = (step: Step): number => {
  const { nextId } = step.view;
  step.view = { ...step.view, nextId: nextId + 1 };
  return nextId;
};

export const addOperation = (step: Step, operation: Operation): void => {
  step.view = { ...step.view, operations: [...step.view.operations, operation] };
};

/** Replaces the operation of the same id; the view stays the same object if nothing differs. */
export function putOperation(step: Step, operation: Operation): void {
  const at = step.view.operations.findIndex((o) => o.id === operation.id);
  if (at < 0 || step.view.operations[at] === operation) return;
  step.view = { ...step.view, operations: step.view.operations.with(at, operation) };
}

/** The operation is over: gives back what it holds, answers its requester. */
export function endOperation(step: Step, operation: Operation, rc: number, reason: Reason | null): void {
  releaseSem(step, operation.id);
  step.view = { ...step.view, operations: step.view.operations.filter((o) => o.id !== operation.id) };
  if (operation.request > 0) step.effects.push({ kind: 'done', request: operation.request, rc, reason });
}

/**
 * The requester has died: what is not agreed yet ends, with SS_INTERRUPTED. What is agreed goes on without it.
 * True if the operation is over.
 */
export function interrupted(step: Step, operation: Operation, signal: Signal): boolean {
  if (signal.kind !== 'cancel' || operation.request === 0 || signal.request !== operation.request) return false;
  const agreed = operation.phase === 'work' || operation.phase === 'telling' || operation.phase === 'standAlone';
  if (agreed) return false;
  if (operation.run !== null) interruptRun(step, operation.id, operation.run);
  stopTimer(step, operation.id);
  endOperation(step, operation, Ss.interrupted, null);
  return true;
}

export const waitingFor = (what: WaitingFor, nodeId = -1): Reason => ({ kind: 'waiting', for: what, nodeId });

export const phaseTimer = (id: number): string => `operation ${id}`;
export const startTimer = (step: Step, id: number, delayMs: number): void => {
  step.effects.push({ kind: 'timerStart', name: phaseTimer(id), delayMs });
};
export const stopTimer = (step: Step, id: number): void => {
  step.effects.push({ kind: 'timerStop', name: phaseTimer(id) });
};
export const timerFired = (signal: Signal, id: number): boolean => signal.kind === 'timer' && signal.name === phaseTimer(id);

const runWaits: Record<ChangeRun['phase'], WaitingFor> = { sem: 'serialization', free: 'other two-phase commit', replies: 'replies',
  settle: 'initial states', backOff: 'back-off' };

/** Starts or goes on with the operation's change; null while it is not over. */
export function runChange<Op extends Operation>(step: Step, operation: Op, change: ClusterChange, flags: number,
  signal: Signal): { readonly operation: Op; readonly verdict: Verdict | null } {
  const run = operation.run ?? newRun(change, flags, operation.tag);
  const progress = driveRun(step, operation.id, run, signal.kind === 'timer' ? signal.name : null);
  if (progress.verdict !== null) {
    return { operation: operation.run === null ? operation : { ...operation, run: null }, verdict: progress.verdict };
  }
  if (operation.run === progress.run) return { operation, verdict: null };
  return { operation: { ...operation, run: progress.run, waiting: waitingFor(runWaits[progress.run.phase]) }, verdict: null };
}

/** Token of the work that a change has caused; the operation goes on when the queue has done it. */
export const awaitWork = (step: Step, id: number): void => {
  step.work.push({ kind: 'raise', event: { kind: 'workDone', token: id } });
};
export const workDone = (signal: Signal, id: number): boolean => signal.kind === 'token' && signal.token === id;
