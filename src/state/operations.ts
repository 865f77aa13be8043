// SPDX-License-Identifier: GPL-2.0-or-later
/** Own multi-step changes: kept in the view, looked at again whenever something has changed. @spec state.md 7 */
import { assert, unreachable } from '../assert.ts';
import { driveChange } from './op-change.ts';
import { driveConnect } from './op-connect.ts';
import { driveDisconnect } from './op-disconnect.ts';
import { driveFence } from './op-fence.ts';
import { driveResize } from './op-resize.ts';
import { driveRole } from './op-role.ts';
import type { Operation } from './operation-types.ts';
import type { Signal } from './op-common.ts';
import type { Step } from './transaction.ts';

/** Bounds the looking again: each round must change the view. */
const ROUNDS_MAX = 1_000;

function drive(step: Step, operation: Operation, signal: Signal): void {
  switch (operation.kind) {
    case 'change': case 'empty': return driveChange(step, operation, signal);
    case 'role': return driveRole(step, operation, signal);
    case 'connect': return driveConnect(step, operation, signal);
    case 'disconnect': return driveDisconnect(step, operation, signal);
    case 'fence': return driveFence(step, operation, signal);
    case 'resize': return driveResize(step, operation, signal);
    default: return unreachable(operation);
  }
}

const look: Signal = { kind: 'look' };

/** Gives every operation the signal once. */
export function signalOperations(step: Step, signal: Signal): void {
  for (const { id } of step.view.operations) {
    const operation = step.view.operations.find((o) => o.id === id);
    if (operation !== undefined) drive(step, operation, signal);
  }
}

/** Lets every operation look until nothing moves. */
export function pollOperations(step: Step): void {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const before = step.view;
    signalOperations(step, look);
    if (step.view === before) return;
  }
  assert(false, 'operations come to rest');
}
