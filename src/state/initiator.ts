// SPDX-License-Identifier: GPL-2.0-or-later
/** The node that wants a cluster-wide change. @spec state.md 6.2, 6.7 */
import { assert } from '../assert.ts';
import { applyChange, describe, promotes } from './cluster-change.ts';
import type { Description, Phase } from './cluster-change.ts';
import type { ClusterChange } from './events.ts';
import { readOnlyOpeners, resourceDataAccessible } from './facts.ts';
import type { Verdict } from './guards.ts';
import { abortConnect, handshakeReady, initConnectState } from './handshake.ts';
import { LEVEL, logLine } from './log-lines.ts';
import type { ChangeRun } from './operation-types.ts';
import type { Reason } from './reason.ts';
import { Ss, ssText } from './ss.ts';
import { Mask } from './state-word.ts';
import { Cs, Cstate, Disk, Role } from './states.ts';
import { begin, end, judge, logRefusal, transact } from './transaction.ts';
import type { Step } from './transaction.ts';
import {
  TWOPC_TIMER, abortAll, clearTwopc, endPacket, newTwopc, reachImmediately, refusedCommit, repliesReady, replyValue, sendEnd, sendPrepare,
  setTwopc, whoDeclined,
} from './twopc-common.ts';
import type { Twopc, TwopcPrepare } from './twopc-types.ts';
import { bit, complement, connectedMask, findConnection, hasNode } from './view.ts';

export interface Progress {
  readonly run: ChangeRun;
  /** null: not over yet. */
  readonly verdict: Verdict | null;
}

const over = (run: ChangeRun, rc: Ss, reason: Reason | null = null): Progress => ({ run, verdict: { rc, reason } });
const waits = (run: ChangeRun): Progress => ({ run, verdict: null });

export const newRun = (change: ClusterChange, flags: number, tag: string): ChangeRun =>
  ({ change, flags, tag, phase: 'sem', retries: 0, rc: Ss.success, heldSem: false });

export const backOffTimer = (operation: number): string => `back-off ${operation}`;
export const settleTimer = (operation: number): string => `settle ${operation}`;

/** Uniform in [0, twopc-retry-timeout × connections × 2^min(n, 5)). @spec state.md 6.5 */
export function backOffMs(step: Step, retries: number): number {
  const connections = step.view.connections.filter((c) => c.cstate >= Cstate.connecting).length;
  const bound = Math.floor(step.view.resource.options.twopcRetryTimeoutMs * connections * 2 ** Math.min(retries, 5));
  return bound < 1 ? 0 : step.live.below(bound);
}

/** Goes as far as it can; called again whenever something has changed. */
export function driveRun(step: Step, operation: number, run: ChangeRun, timerFired: string | null): Progress {
  switch (run.phase) {
    case 'sem': return takeSem(step, operation, run);
    case 'free': return attempt(step, operation, run);
    case 'replies': return checkReplies(step, operation, run, timerFired === TWOPC_TIMER);
    case 'settle': return settle(step, operation, run, timerFired === settleTimer(operation));
    case 'backOff': return timerFired === backOffTimer(operation) ? attempt(step, operation, { ...run, phase: 'free' }) : waits(run);
  }
}

/** The requester is gone: who was asked is told that it is off. @spec state.md 6.2 step 12 */
export function interruptRun(step: Step, operation: number, run: ChangeRun): void {
  if (run.phase === 'replies' || run.phase === 'settle') finish(step, operation, run, Ss.interrupted);
  if (run.phase === 'settle') step.effects.push({ kind: 'timerStop', name: settleTimer(operation) });
  if (run.phase === 'backOff') step.effects.push({ kind: 'timerStop', name: backOffTimer(operation) });
}

/** Gives state_sem back if this operation holds it. */
export function releaseSem(step: Step, operation: number): void {
  if (step.view.semHolder === operation) step.view = { ...step.view, semHolder: 0 };
}

function takeSem(step: Step, operation: number, run: ChangeRun): Progress {
  if ((run.flags & Cs.serialize) !== 0) {
    if (step.view.semHolder !== 0 && step.view.semHolder !== operation) return waits(run);
    step.view = { ...step.view, semHolder: operation };
  }
  return attempt(step, operation, { ...run, phase: 'free' });
}

/** 6.2 steps 1 to 10; the local check is repeated after every wait. */
function attempt(step: Step, operation: number, run: ChangeRun): Progress {
  const { change, flags, tag } = run;
  const local = (flags & (Cs.hard | Cs.localOnly)) !== 0;
  const draft = begin(step, flags);
  applyChange(draft, change, local ? 'local' : 'prepare', null);
  const what = describe(step.view, draft, change, flags);
  if (local || !what.clusterWide) {
    const verdict = end(step, draft, { flags, tag });
    return { run, verdict };
  }
  const verdict = judge(draft);
  if (verdict.rc !== Ss.success) {
    if (verdict.rc < Ss.success && (flags & Cs.verbose) !== 0) logRefusal(step, verdict, tag);
    return { run, verdict };
  }
  if (step.view.twopc !== null) return waits(run);
  return send(step, operation, run, what);
}

/** Would an attempt still meet a transient state? Changes nothing. @spec state.md 2.6 */
export function stillTransient(step: Step, change: ClusterChange, flags: number): boolean {
  const draft = begin(step, flags);
  applyChange(draft, change, 'prepare', null);
  return judge(draft).rc === Ss.inTransientState;
}

function send(step: Step, operation: number, run: ChangeRun, what: Description): Progress {
  const own = bit(step.view.resource.nodeId);
  const connected = connectedMask(step.view);
  const targetCstate = what.target < 0 ? Cstate.connected : findConnection(step.view, what.target)?.cstate;
  const reachable = targetCstate === Cstate.connected || (targetCstate === Cstate.connecting && what.isConnect);
  if (!reachable) return over(run, Ss.needConnection);
  if (what.isConnect) step.view = initConnectState(step.view, what.target);
  const reach = what.target < 0 ? connected : connected | bit(what.target);
  const packet: TwopcPrepare = {
    kind: 'prepare', tid: 1 + step.live.below(0x7fffffff), vnr: what.vnr, initiator: step.view.resource.nodeId, target: what.target,
    nodesToReach: complement(reach | own), mask: what.mask, val: what.val, hasReachable: true,
  };
  let reachableNodes = connected | own;
  let targetReachableNodes = reachableNodes;
  if (what.isConnect) targetReachableNodes = reachableNodes |= bit(what.target);
  if (what.isDisconnect) {
    targetReachableNodes = bit(what.target);
    reachableNodes &= ~bit(what.target);
  }
  step.view = { ...step.view, twopc: { ...newTwopc('initiator', packet, operation), prepared: reach, isConnect: what.isConnect,
    isDisconnect: what.isDisconnect, reachableNodes, targetReachableNodes } };
  if (reach === 0n) return finish(step, operation, run, Ss.cwSuccess);
  step.effects.push(logLine(`Preparing cluster-wide state change ${packet.tid}: ${packet.initiator}->`
    + `${what.target < 0 ? 'all' : what.target} (${what.mask}/${what.val})`));
  sendPrepare(step, packet, reach);
  step.effects.push({ kind: 'timerStart', name: TWOPC_TIMER, delayMs: step.view.resource.options.twopcTimeoutMs });
  if (what.isConnect) step.effects.push({ kind: 'sendInitialPackets', nodeId: what.target });
  return waits({ ...run, phase: 'replies' });
}

function ownTwopc(step: Step, operation: number): Twopc {
  const { twopc } = step.view;
  assert(twopc !== null && twopc.side === 'initiator' && twopc.operation === operation, 'the change is this operation\'s');
  return twopc;
}

/** 6.2 step 12. */
function checkReplies(step: Step, operation: number, run: ChangeRun, timedOut: boolean): Progress {
  const twopc = ownTwopc(step, operation);
  if (!timedOut && !repliesReady(step.view, twopc)) return waits(run);
  const rc = timedOut ? Ss.timeout : replyValue(step.view, twopc);
  const decided = rc === Ss.cwSuccess ? agree(step, operation, run) : { rc, reason: refusal(step, twopc, rc) };
  if (twopc.isConnect && !handshakeReady(step.view, twopc.packet.target)) {
    const pingTimeoutMs = findConnection(step.view, twopc.packet.target)?.options.pingTimeoutMs ?? 0;
    step.effects.push({ kind: 'timerStart', name: settleTimer(operation), delayMs: pingTimeoutMs });
    return settle(step, operation, { ...run, phase: 'settle', rc: decided.rc }, false);
  }
  return finish(step, operation, run, decided.rc, decided.reason);
}

function refusal(step: Step, twopc: Twopc, rc: Ss): Reason | null {
  if (rc !== Ss.cwFailedByPeer) return { kind: 'refused', code: rc, text: ssText(rc) };
  const nodeId = whoDeclined(twopc);
  const name = findConnection(step.view, nodeId)?.name ?? '?';
  return { kind: 'declined', nodeId, text: `Declined by peer ${name} (id: ${nodeId}), see the kernel log there` };
}

/** 6.2 step 15: the peer's states of this attempt must be in before the end is told. */
function settle(step: Step, operation: number, run: ChangeRun, timedOut: boolean): Progress {
  const twopc = ownTwopc(step, operation);
  const connection = findConnection(step.view, twopc.packet.target);
  const gone = connection === undefined || connection.cstate < Cstate.connecting;
  if (!timedOut && !gone && !handshakeReady(step.view, twopc.packet.target)) return waits(run);
  step.effects.push({ kind: 'timerStop', name: settleTimer(operation) });
  const rc = run.rc >= Ss.success && twopc.sizesError ? Ss.handshakeDisconnect : run.rc;
  return finish(step, operation, run, rc, rc < Ss.success ? refusal(step, twopc, rc) : null);
}

/** 6.2 step 14: everybody said yes; are the Primaries content with each other? */
function agree(step: Step, operation: number, run: ChangeRun): Verdict {
  const { view } = step;
  const twopc = ownTwopc(step, operation);
  const { packet } = twopc;
  assert(packet.kind === 'prepare', 'a state change');
  const own = bit(view.resource.nodeId);
  const reach = reachImmediately(view, packet.target, twopc.isConnect);
  const direct = (reach | own) & (twopc.isDisconnect ? ~bit(packet.target) : ~0n);
  let { primaryNodes, weakNodes, reachableNodes, targetReachableNodes } = twopc;
  const promoting = promotes(packet.mask, packet.val);
  if (promoting || ((packet.mask & Mask.role) === 0 && view.resource.role === Role.primary)) {
    primaryNodes |= own;
    if (resourceDataAccessible(view)) weakNodes |= complement(direct);
  }
  const split = twopc.isDisconnect && (reachableNodes & targetReachableNodes) === 0n;
  if (split) step.effects.push(logLine('Cluster is now split'));
  else reachableNodes = targetReachableNodes = reachableNodes | targetReachableNodes;
  setTwopc(step, { primaryNodes, weakNodes, reachableNodes, targetReachableNodes, priIncapable: primaryNodes !== 0n && weakNodes === 0n });
  let rc: Ss = Ss.success;
  if (run.change.what === 'role' ? promoting : twopc.isConnect) rc = primariesDistance(step, primaryNodes, weakNodes);
  if (rc === Ss.success && twopc.isConnect) rc = readersAndPrimaries(step, primaryNodes);
  return { rc, reason: rc === Ss.success ? null : { kind: 'refused', code: rc, text: ssText(rc) } };
}

/** check_primaries_distances. @spec state.md 6.7 */
function primariesDistance(step: Step, primaryNodes: bigint, weakNodes: bigint): Ss {
  const { view } = step;
  if ((primaryNodes & (primaryNodes - 1n)) === 0n) return Ss.success;
  if (!view.connections.some((c) => c.options.allowTwoPrimaries)) return Ss.twoPrimaries;
  if ((primaryNodes & weakNodes) === 0n) return Ss.success;
  const common = complement(weakNodes);
  if (common === 0n) return Ss.weaklyConnected;
  if (hasNode(primaryNodes, view.resource.nodeId) && view.devices.some((d) => d.disk > Disk.diskless)) return Ss.weaklyConnected;
  return view.connections.some((c) => hasNode(common, c.nodeId) && !c.options.allowTwoPrimaries) ? Ss.twoPrimaries : Ss.success;
}

/** check_ro_cnt_and_primary. @spec state.md 6.7 */
function readersAndPrimaries(step: Step, primaryNodes: bigint): Ss {
  if (!readOnlyOpeners(step.view)) return Ss.success;
  return step.view.connections.some((c) => !c.options.allowTwoPrimaries && hasNode(primaryNodes, c.nodeId))
    ? Ss.primaryReader : Ss.success;
}

/** 6.2 steps 16 to 21. */
function finish(step: Step, operation: number, run: ChangeRun, rc: Ss, reason: Reason | null = null): Progress {
  const twopc = ownTwopc(step, operation);
  const { target } = twopc.packet;
  step.effects.push({ kind: 'timerStop', name: TWOPC_TIMER });
  if (rc >= Ss.success) return commitRun(step, operation, run);
  if (target >= 0 && twopc.isConnect) step.view = abortConnect(step.view, target);
  if (twopc.prepared !== 0n) {
    step.effects.push(logLine(`Aborting cluster-wide state change ${twopc.packet.tid}: ${ssText(rc)} (${rc})`, LEVEL.info));
    abortAll(step, twopc);
  }
  clearTwopc(step);
  const retries = (rc === Ss.timeout || rc === Ss.concurrentStChg) && (run.flags & Cs.dontRetry) === 0;
  if (!retries) return over(run, rc, reason);
  const next = run.retries + 1;
  step.effects.push({ kind: 'timerStart', name: backOffTimer(operation), delayMs: backOffMs(step, next) });
  return waits({ ...run, phase: 'backOff', retries: next });
}

function commitRun(step: Step, operation: number, run: ChangeRun): Progress {
  const twopc = ownTwopc(step, operation);
  const before = begin(step, run.flags);
  applyChange(before, run.change, 'prepare', null);
  const { applyAfter } = describe(step.view, before, run.change, run.flags);
  const reach = reachImmediately(step.view, twopc.packet.target, twopc.isConnect);
  const packet = endPacket('commit', twopc, complement(reach | bit(step.view.resource.nodeId)), {
    primaryNodes: twopc.primaryNodes, reachableNodes: twopc.reachableNodes, hasReachable: true, priIncapable: twopc.priIncapable });
  // They differ only when a disconnect splits the cluster: each side learns its own members.
  const forTarget = { ...packet, reachableNodes: twopc.targetReachableNodes };
  const target = twopc.packet.target < 0 ? 0n : bit(twopc.packet.target);
  const sendCommit = (): void => {
    sendEnd(step, packet, reach & ~target);
    sendEnd(step, forTarget, reach & target);
  };
  if (twopc.prepared !== 0n) {
    step.effects.push(logLine(`State change ${packet.tid}: primary_nodes=${hex(twopc.primaryNodes)}, weak_nodes=${hex(twopc.weakNodes)}`),
      logLine(`Committing cluster-wide state change ${packet.tid}`));
  }
  if (twopc.prepared !== 0n && applyAfter) sendCommit();
  const flags = (run.flags | Cs.twopc) & ~Cs.serialize;
  const phase: Phase = 'commit';
  const verdict = transact(step, { flags, tag: run.tag, members: twopc.reachableNodes },
    (draft) => applyChange(draft, run.change, phase, ownTwopc(step, operation)));
  if (verdict.rc < Ss.success) step.effects.push(logLine(refusedCommit(packet.tid), LEVEL.err));
  clearTwopc(step);
  if (twopc.prepared !== 0n && !applyAfter) sendCommit();
  return over(run, verdict.rc < Ss.success ? verdict.rc : Ss.success, verdict.reason);
}

const hex = (mask: bigint): string => mask.toString(16).toUpperCase();
