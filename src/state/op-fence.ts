// SPDX-License-Identifier: GPL-2.0-or-later
/** conn_try_outdate_peer, and when I/O may go on after it. @spec state.md 8.5 */
import type { Draft } from './draft.ts';
import { highestDisk, highestPdsk, pdAt } from './facts.ts';
import { LEVEL, logLine } from './log-lines.ts';
import { addOperation, endOperation, takeId, waitingFor } from './op-common.ts';
import type { Signal } from './op-common.ts';
import type { FenceOperation } from './operation-types.ts';
import { signalRole } from './op-role.ts';
import { Cs, Cstate, Disk, Fencing, Repl, Role } from './states.ts';
import { transact } from './transaction.ts';
import type { Step } from './transaction.ts';
import { connectionIndex, findConnection } from './view.ts';

/** What the exit codes of fence-peer say. */
type Verdict = { readonly pdsk: Disk } | { readonly own: Disk } | 'nothing' | 'broken';

function verdictOf(step: Step, exit: number): Verdict {
  switch (exit) {
    case 3: return { pdsk: Disk.inconsistent };
    case 4: case 7: return { pdsk: Disk.outdated };
    case 5: return highestDisk(step.view) === Disk.upToDate ? { pdsk: Disk.outdated } : 'nothing';
    case 6: return { own: Disk.outdated };
    default: return 'broken';
  }
}

/** From the teardown of a connection: a Primary asks what became of the peer. */
export function fenceLostPeer(step: Step, nodeId: number): void {
  const c = connectionIndex(step.view, nodeId);
  const connection = step.view.connections[c];
  if (connection === undefined || step.view.resource.role !== Role.primary) return;
  if (connection.options.fencing === Fencing.dontCare || highestPdsk(step.view, c) < Disk.unknown) return;
  tryOutdatePeer(step, nodeId, 0);
}

/** Calls the helper, or answers at once. The answer goes to the role operation `forOperation` (0: to nobody). */
export function tryOutdatePeer(step: Step, nodeId: number, forOperation: number): void {
  const c = connectionIndex(step.view, nodeId);
  const connection = step.view.connections[c];
  const answer = (fenced: boolean): void => {
    if (forOperation > 0) signalRole(step, { kind: 'fenced', operation: forOperation, nodeId, fenced });
  };
  if (connection === undefined || connection.cstate >= Cstate.connected) return answer(false);
  const allDiskless = highestDisk(step.view) === Disk.diskless && step.view.devices.every((device) => device.intentionalDiskless);
  if (highestDisk(step.view) < Disk.consistent && !allDiskless) {
    transact(step, { flags: Cs.hard, tag: 'fence-peer' }, (draft) => draft.setConnection(c, { suspFen: false }));
    return answer(false);
  }
  if (connection.options.fencing === Fencing.dontCare) return answer(true);
  const id = takeId(step);
  addOperation(step, { kind: 'fence', id, request: 0, tag: 'fence-peer', run: null, waiting: waitingFor('fence-peer', nodeId), nodeId,
    connects: connection.connects, phase: 'helper', forOperation });
  step.effects.push({ kind: 'helper', name: 'fence-peer', vnr: -1, nodeId, wait: false, token: id });
}

export function driveFence(step: Step, operation: FenceOperation, signal: Signal): void {
  if (signal.kind !== 'helper' || signal.token !== operation.id) return;
  const fenced = signal.exit === null || apply(step, operation, signal.exit);
  endOperation(step, operation, 1, null);
  if (operation.forOperation > 0) {
    signalRole(step, { kind: 'fenced', operation: operation.forOperation, nodeId: operation.nodeId, fenced });
  }
}

function apply(step: Step, operation: FenceOperation, exit: number): boolean {
  const { nodeId } = operation;
  const verdict = verdictOf(step, exit);
  const c = connectionIndex(step.view, nodeId);
  const connection = step.view.connections[c];
  if (verdict === 'broken' || connection === undefined) {
    step.effects.push(logLine(`fence-peer helper broken, returned ${exit}`, LEVEL.err, -1, nodeId));
    return false;
  }
  if (exit === 7 && connection.options.fencing !== Fencing.resourceAndStonith) {
    step.effects.push(logLine('fence-peer helper returned 7, but fencing is not resource-and-stonith', LEVEL.err, -1, nodeId));
  }
  const connecting = step.view.devices.some((_, d) => {
    const pd = pdAt(step.view, d, c);
    return pd.initialStateSent && pd.repl === Repl.off;
  });
  if (connection.cstate >= Cstate.connected || connecting || connection.connects !== operation.connects) {
    step.effects.push(logLine('Ignoring fence-peer exit code', LEVEL.info, -1, nodeId));
  } else if (verdict !== 'nothing') {
    transact(step, { flags: Cs.verbose, tag: 'fence-peer' }, (draft: Draft) => {
      if ('pdsk' in verdict) draft.pdsksDownTo(c, verdict.pdsk);
      else draft.disksDownTo(verdict.own);
    });
  }
  return highestPdsk(step.view, c) <= Disk.outdated;
}

/**
 * check_may_resume_io_after_fencing. made: the new generation was tried already. Of one that is due all the same when the peer is
 * back it is judged as I/O goes on (S43), by all that are there: it may be Outdated, and another one away.
 */
export function checkFencing(step: Step, nodeId: number, made: boolean): void {
  const connection = findConnection(step.view, nodeId);
  if (connection === undefined || !connection.suspFen) return;
  const c = connectionIndex(step.view, nodeId);
  const allOutdated = step.view.devices.every((_, d) => pdAt(step.view, d, c).pdsk <= Disk.outdated);
  const allBack = step.view.devices.every((_, d) => pdAt(step.view, d, c).repl >= Repl.established);
  if (!allOutdated && !allBack) return;
  const due = step.view.devices.filter((device) => device.newCurUuid);
  if (allOutdated && due.length > 0 && !made) {
    // I/O stays frozen until the new generation is on disk.
    for (const { vnr } of due) step.work.push({ kind: 'newCurrentUuid', vnr, forced: false });
    step.work.push({ kind: 'raise', event: { kind: 'checkFencing', nodeId, made: true } });
    return;
  }
  transact(step, { flags: Cs.verbose, tag: 'fencing' }, (draft) => draft.setConnection(c, { suspFen: false }));
}
