// SPDX-License-Identifier: GPL-2.0-or-later
/** Another size for a volume, agreed by all nodes. @spec state.md 6.11 */
import { assert } from '../assert.ts';
import type { Event } from './events.ts';
import { backOffMs, backOffTimer } from './initiator.ts';
import { LEVEL, logLine } from './log-lines.ts';
import type { ResizeOperation } from './operation-types.ts';
import { addOperation, endOperation, putOperation, takeId, waitingFor } from './op-common.ts';
import type { Signal } from './op-common.ts';
import { isBehind, ownSize } from './participant.ts';
import { Ss, ssText } from './ss.ts';
import type { Step } from './transaction.ts';
import {
  TWOPC_TIMER, abortAll, clearTwopc, endPacket, newTwopc, repliesReady, replyValue, sendEnd, sendPrepare,
} from './twopc-common.ts';
import type { Twopc, TwopcPrepareResize } from './twopc-types.ts';
import { bit, complement, connectedMask } from './view.ts';

export function startResize(step: Step, { request, vnr, userSizeSectors, ddsFlags }: Event & { kind: 'resize' }): void {
  addOperation(step, { kind: 'resize', id: takeId(step), request, tag: 'resize', run: null, waiting: null, vnr, userSizeSectors,
    ddsFlags, retries: 0, phase: 'free' });
}

/** It can not be interrupted: who has died gets no answer, the nodes agree all the same. */
export function driveResize(step: Step, operation: ResizeOperation, signal: Signal): void {
  const fired = signal.kind === 'timer' ? signal.name : '';
  switch (operation.phase) {
    case 'free': return ask(step, operation);
    case 'replies': return decide(step, operation, fired === TWOPC_TIMER);
    case 'backOff': return fired === backOffTimer(operation.id) ? ask(step, { ...operation, phase: 'free' }) : undefined;
  }
}

const kib = (sectors: number): number => Math.floor(Math.min(sectors, 2 ** 41) / 2);

function ask(step: Step, operation: ResizeOperation): void {
  if (step.view.twopc !== null) {
    const waits = operation.waiting?.kind === 'waiting' && operation.waiting.for === 'other two-phase commit';
    return putOperation(step, waits ? operation : { ...operation, waiting: waitingFor('other two-phase commit') });
  }
  // What is new would be synced from here, and with it the generation of a disk that is behind.
  if (isBehind(step.view, operation.vnr)) return endOperation(step, operation, Ss.noUpToDateDisk, null);
  const { nodeId, options } = step.view.resource;
  const reach = connectedMask(step.view);
  const packet: TwopcPrepareResize = {
    kind: 'prepareResize', tid: 1 + step.live.below(0x7fffffff), vnr: operation.vnr, initiator: nodeId, target: -1,
    nodesToReach: complement(reach | bit(nodeId)), userSizeSectors: operation.userSizeSectors, ddsFlags: operation.ddsFlags,
  };
  const own = ownSize(step, packet);
  const twopc = newTwopc('initiator', packet, operation.id);
  step.view = { ...step.view, twopc: { ...twopc, prepared: reach, reachableNodes: reach | bit(nodeId), ...own } };
  step.effects.push(logLine(`Preparing cluster-wide size change ${packet.tid} (local_max_size = ${kib(own.maxPossibleSize)} KB, `
    + `user_cap = ${kib(operation.userSizeSectors)} KB)`));
  putOperation(step, { ...operation, phase: 'replies', waiting: waitingFor('replies') });
  sendPrepare(step, packet, reach);
  step.effects.push({ kind: 'timerStart', name: TWOPC_TIMER, delayMs: options.twopcTimeoutMs });
}

function decide(step: Step, operation: ResizeOperation, timedOut: boolean): void {
  const { twopc } = step.view;
  assert(twopc !== null && twopc.operation === operation.id, 'the change is this operation\'s');
  if (!timedOut && !repliesReady(step.view, twopc)) return;
  step.effects.push({ kind: 'timerStop', name: TWOPC_TIMER });
  const rc = timedOut ? Ss.timeout : replyValue(step.view, twopc);
  if (rc === Ss.cwSuccess) return agreed(step, operation, twopc);
  abort(step, twopc, `${ssText(rc)} (${rc})`);
  if (rc !== Ss.timeout && rc !== Ss.concurrentStChg) {
    return endOperation(step, operation, rc === Ss.cwFailedByPeer ? rc : Ss.interrupted, null);
  }
  const retries = operation.retries + 1;
  step.effects.push({ kind: 'timerStart', name: backOffTimer(operation.id), delayMs: backOffMs(step, retries) });
  putOperation(step, { ...operation, phase: 'backOff', retries, waiting: waitingFor('back-off') });
}

function abort(step: Step, twopc: Twopc, why: string): void {
  step.effects.push(logLine(`Aborting cluster-wide size change ${twopc.packet.tid}: ${why}`, LEVEL.info));
  abortAll(step, twopc);
  clearTwopc(step);
}

function agreed(step: Step, operation: ResizeOperation, twopc: Twopc): void {
  const { vnr, userSizeSectors, ddsFlags } = operation;
  const size = step.live.sizeAfterResize(vnr, userSizeSectors, ddsFlags, twopc.maxPossibleSize, twopc.reachableNodes);
  if (size === 0 || size === step.live.capacity(vnr)) {
    abort(step, twopc, 'size unchanged');
    return endOperation(step, operation, Ss.nothingToDo, null);
  }
  const reach = connectedMask(step.view);
  const { diskfulPrimaryNodes } = twopc;
  step.effects.push(logLine(`Committing cluster-wide size change ${twopc.packet.tid} (new size = ${kib(size)} KB)`));
  const rest = complement(reach | bit(step.view.resource.nodeId));
  sendEnd(step, endPacket('commit', twopc, rest, { diskfulPrimaryNodes, newSizeSectors: size }), reach);
  step.effects.push({ kind: 'commitSize', vnr, newSizeSectors: size, userSizeSectors, ddsFlags, diskfulPrimaryNodes, parents: 0n,
    children: twopc.prepared });
  clearTwopc(step);
  endOperation(step, operation, Ss.success, null);
}
