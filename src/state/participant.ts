// SPDX-License-Identifier: GPL-2.0-or-later
/** A node that is asked about somebody's cluster-wide change. @spec state.md 6.3, 6.4 */
import { promotes } from './cluster-change.ts';
import { participantChange } from './participant-change.ts';
import { resourceDataAccessible } from './facts.ts';
import { abortConnect, initConnectState } from './handshake.ts';
import { LEVEL, logLine } from './log-lines.ts';
import { Ss, ssText } from './ss.ts';
import { Mask, connOf } from './state-word.ts';
import { Cs, Cstate, Disk, Repl, Role } from './states.ts';
import { transact } from './transaction.ts';
import type { Step } from './transaction.ts';
import {
  TWOPC_TIMER, abortAll, clearTwopc, connectPeer, newTwopc, refusedCommit, repliesReady, replyValue, sendEnd, sendPrepare, setTwopc,
} from './twopc-common.ts';
import type { Twopc, TwopcEnd, TwopcPacket, TwopcPrepare, TwopcPrepareResize, TwopcReply, WaitingPrepare } from './twopc-types.ts';
import type { View } from './types.ts';
import { bit, complement, connectedMask, findConnection, findDevice, hasNode, patched } from './view.ts';

export const waitTimer = (from: number): string => `twopc from ${from}`;
export const retryOpenerTimer = 'twopc opener';

type Comparison = 'clear' | 'abortLocal' | 'reject' | 'tidMiss' | 'match';

/** @spec state.md 6.3 */
export function compare(step: Step, packet: { readonly initiator: number; readonly tid: number }): Comparison {
  const { twopc, resource } = step.view;
  if (twopc === null) return 'clear';
  if (packet.initiator === twopc.packet.initiator) return packet.tid === twopc.packet.tid ? 'match' : 'tidMiss';
  return packet.initiator < twopc.packet.initiator && twopc.packet.initiator === resource.nodeId ? 'abortLocal' : 'reject';
}

type Prepare = TwopcPrepare | TwopcPrepareResize;
const isEnd = (packet: TwopcPacket): packet is TwopcEnd => packet.kind === 'commit' || packet.kind === 'abort';

/** Rows 1 to 9 of 6.3, as a table: the first match counts. */
const rows: readonly {
  readonly row: number;
  readonly compared: (c: Comparison) => boolean;
  readonly packet: 'prepare' | 'commit' | 'abort' | 'end' | 'notAbort';
  readonly act: (step: Step, from: number, packet: TwopcPacket) => void;
}[] = [
  { row: 1, compared: (c) => c === 'clear', packet: 'commit', act: missedConnect },
  { row: 2, compared: (c) => c === 'clear', packet: 'prepare', act: (step, from, packet) => accept(step, from, packet as Prepare, true) },
  { row: 3, compared: (c) => c === 'match', packet: 'end',
    act: (step, from, packet) => { if (!isLeft(step, from, packet as TwopcEnd)) conclude(step, from, packet as TwopcEnd); } },
  { row: 4, compared: (c) => c === 'abortLocal', packet: 'prepare', act: giveWay },
  { row: 5, compared: (c) => c !== 'match', packet: 'abort', act: forwardAbort },
  { row: 6, compared: (c) => c === 'tidMiss', packet: 'prepare', act: awaitEnd },
  { row: 7, compared: (c) => c === 'reject', packet: 'notAbort',
    act: (step, from, packet) => { if (!isEnd(packet)) replyRetry(step, from, packet); } },
  { row: 8, compared: (c) => c === 'match', packet: 'prepare', act: anotherWay },
];

const fits = (wanted: string, { kind }: TwopcPacket): boolean =>
  wanted === 'prepare' ? kind === 'prepare' || kind === 'prepareResize'
  : wanted === 'end' ? kind === 'commit' || kind === 'abort'
  : wanted === 'notAbort' ? kind !== 'abort' : kind === wanted;

/** A P_TWOPC_ packet came from a neighbour. */
export function receiveTwopc(step: Step, from: number, packet: TwopcPacket): void {
  if (findConnection(step.view, from) === undefined || packet.initiator === step.view.resource.nodeId) return;
  if (isEnd(packet)) dropWaiting(step, (w) => w.packet.tid === packet.tid && w.packet.initiator === packet.initiator);
  const compared = compare(step, packet);
  if (compared !== 'match' && packet.kind === 'prepare' && tooEarly(step, packet)) return replyRetry(step, from, packet);
  const row = rows.find((candidate) => candidate.compared(compared) && fits(candidate.packet, packet));
  if (row !== undefined) row.act(step, from, packet);
}

/**
 * A promotion that counts on data that are not settled here: the other end waits for that as well, but our P_STATE may still be
 * on its way. docs/differences.md
 */
function tooEarly({ view }: Step, { mask, val }: TwopcPrepare): boolean {
  return promotes(mask, val) && view.resource.tryBecomeUpToDatePending && view.devices.some(({ disk }) => disk === Disk.consistent);
}

function dropWaiting(step: Step, drop: (w: WaitingPrepare) => boolean): void {
  if (step.view.waiting.some(drop)) step.view = { ...step.view, waiting: step.view.waiting.filter((w) => !drop(w)) };
}

function wait(step: Step, from: number, packet: Prepare, why: WaitingPrepare['why'], delayMs: number): void {
  dropWaiting(step, (w) => w.from === from);
  step.view = { ...step.view, waiting: [...step.view.waiting, { from, packet, why }] };
  step.effects.push({ kind: 'timerStart', name: waitTimer(from), delayMs });
}

/** Row 4: my own change ends for the lower initiator's. */
function giveWay(step: Step, from: number, packet: TwopcPacket): void {
  setTwopc(step, { abortLocal: true });
  const pingTimeoutMs = findConnection(step.view, from)?.options.pingTimeoutMs ?? 500;
  wait(step, from, packet as Prepare, 'abortLocal', pingTimeoutMs * 1.5);
}

/** Row 6. */
function awaitEnd(step: Step, from: number, packet: TwopcPacket): void {
  if (hasNode(step.view.twopc!.parents, from)) return replyRetry(step, from, packet as Prepare);
  wait(step, from, packet as Prepare, 'parentEnd', step.view.resource.options.twopcTimeoutMs / 20);
}

/** What waited may go on, or has waited too long. */
export function pollWaiting(step: Step, timedOutFrom: number): void {
  for (const waiting of step.view.waiting) {
    const compared = compare(step, waiting.packet);
    const late = waiting.from === timedOutFrom;
    if (!late && compared !== 'clear' && compared !== 'match') continue;
    dropWaiting(step, (w) => w === waiting);
    step.effects.push({ kind: 'timerStop', name: waitTimer(waiting.from) });
    if (compared === 'clear') accept(step, waiting.from, waiting.packet, waiting.why !== 'abortLocal');
    else if (compared === 'match') anotherWay(step, waiting.from, waiting.packet);
    else replyRetry(step, waiting.from, waiting.packet);
  }
}

function replyOf(kind: TwopcReply['kind'], packet: Prepare, twopc: Twopc | null): TwopcReply {
  return { kind, tid: packet.tid, vnr: packet.vnr, initiator: packet.initiator, reachableNodes: twopc?.reachableNodes ?? 0n,
    primaryNodes: twopc?.primaryNodes ?? 0n, weakNodes: twopc?.weakNodes ?? 0n, diskfulPrimaryNodes: twopc?.diskfulPrimaryNodes ?? 0n,
    maxPossibleSize: twopc?.maxPossibleSize ?? Infinity };
}

const replyRetry = (step: Step, from: number, packet: Prepare): void => {
  step.effects.push({ kind: 'sendTwopcReply', nodeId: from, packet: replyOf('retry', packet, null) });
};

/** Row 5: nodes behind this one may hold it. */
function forwardAbort(step: Step, _from: number, packet: TwopcPacket): void {
  const reach = connectedMask(step.view) & packet.nodesToReach;
  if (reach === 0n) return;
  const rest = packet.nodesToReach & ~(reach | bit(step.view.resource.nodeId));
  sendEnd(step, { ...(packet as TwopcEnd), nodesToReach: rest }, reach);
}

/** Row 8: the same PREPARE by another way. */
function anotherWay(step: Step, from: number, packet: TwopcPacket): void {
  const twopc = step.view.twopc!;
  if (twopc.side === 'initiator') return;
  const known = hasNode(twopc.parents, from);
  setTwopc(step, { parents: twopc.parents | bit(from), yes: twopc.yes | bit(from) });
  if (twopc.answered !== null && !known) {
    step.effects.push({ kind: 'sendTwopcReply', nodeId: from, packet: replyOf(twopc.answered, packet as Prepare, twopc) });
  }
}

/** Row 2 and 6.4: check, forward, answer when everybody behind has answered. */
function accept(step: Step, from: number, packet: Prepare, clearOutdate: boolean): void {
  const { view } = step;
  const own = bit(view.resource.nodeId);
  if (clearOutdate) step.view = { ...view, devices: view.devices.map((d) => patched(d, { outdateOn2pcCommit: false })) };
  step.effects.push(logLine(`Preparing remote state change ${packet.tid}`, 6, -1, from));
  let reachableNodes = connectedMask(view) | own;
  const conn = packet.kind === 'prepare' && (packet.mask & Mask.conn) !== 0 ? connOf(packet.val) : -1;
  if (conn === Cstate.connected) reachableNodes |= bit(packet.initiator);
  if (conn === Cstate.disconnecting) reachableNodes &= ~bit(packet.initiator);
  const primary = view.resource.role === Role.primary;
  step.view = { ...step.view, twopc: { ...newTwopc('participant', packet, 0), parents: bit(from), reachableNodes,
    isConnect: conn === Cstate.connected && packet.vnr < 0, isDisconnect: conn === Cstate.disconnecting,
    primaryNodes: primary ? own : 0n, weakNodes: primary && resourceDataAccessible(view) ? complement(reachableNodes) : 0n,
    ...ownSize(step, packet) } };
  if (connectPeer(step.view, step.view.twopc!) >= 0) {
    step.view = initConnectState(step.view, packet.initiator);
    step.effects.push({ kind: 'sendInitialPackets', nodeId: packet.initiator });
  }
  step.effects.push({ kind: 'timerStart', name: TWOPC_TIMER, delayMs: view.resource.options.twopcTimeoutMs });
  checkOwn(step, from);
}

/** What this node says about a size: how much it can take, and whether its data are the ones that count. */
export function ownSize({ view, live }: Step, packet: Prepare): Pick<Twopc, 'diskfulPrimaryNodes' | 'maxPossibleSize'> {
  if (packet.kind !== 'prepareResize') return { diskfulPrimaryNodes: 0n, maxPossibleSize: Infinity };
  const { role, nodeId } = view.resource;
  const attached = findDevice(view, packet.vnr)?.md !== null && findDevice(view, packet.vnr) !== undefined;
  const counts = role === Role.primary && attached && !isBehind(view, packet.vnr);
  return { diskfulPrimaryNodes: counts ? bit(nodeId) : 0n, maxPossibleSize: live.localMaxSize(packet.vnr) };
}

/** Somebody here has a good disk, but this node has not. */
export const isBehind = (view: View, vnr: number): boolean => findDevice(view, vnr)?.disk !== Disk.upToDate
  && view.peerDevices.some((pd) => pd.vnr === vnr && pd.repl >= Repl.established && pd.pdsk === Disk.upToDate);

/** The own check; a read-only opener may be a short probe, so it is waited for. */
export function checkOwn(step: Step, from: number): void {
  const twopc = step.view.twopc!;
  const rc = packetResult(step, twopc, from);
  if (rc === Ss.inTransientState) {
    setTwopc(step, { answered: 'retry' });
    return replyRetry(step, from, twopc.packet);
  }
  const probe = rc === Ss.primaryReader || (rc === Ss.noUpToDateDisk && step.view.resource.role !== Role.primary);
  if (probe && step.view.devices.some((d) => d.openCount > 0) && !step.view.waiting.some((w) => w.why === 'retryOpener')) {
    step.view = { ...step.view, waiting: [...step.view.waiting, { from, packet: twopc.packet, why: 'retryOpener' }] };
    step.effects.push({ kind: 'timerStart', name: retryOpenerTimer, delayMs: step.view.resource.options.autoPromoteTimeoutMs });
    setTwopc(step, { ownResult: rc });
    return;
  }
  setTwopc(step, { ownResult: rc });
  forward(step);
}

function packetResult(step: Step, twopc: Twopc, from: number): Ss {
  if (twopc.packet.kind === 'prepareResize') return Ss.success;
  return participantChange(step, twopc.packet, twopc, from, 'prepare').rc;
}

function forward(step: Step): void {
  const twopc = step.view.twopc!;
  const reach = connectedMask(step.view) & twopc.packet.nodesToReach & ~twopc.parents;
  const rest = twopc.packet.nodesToReach & ~(connectedMask(step.view) | bit(step.view.resource.nodeId));
  setTwopc(step, { prepared: reach });
  sendPrepare(step, { ...twopc.packet, nodesToReach: rest }, reach);
}

const openerWaits = (step: Step): boolean => step.view.waiting.some((w) => w.why === 'retryOpener');

/** Timer or a close: look again at a check that an opener stood in the way of. */
export function retryOpener(step: Step, timedOut: boolean): void {
  const waiting = step.view.waiting.find((w) => w.why === 'retryOpener');
  const { twopc } = step.view;
  if (waiting === undefined) return;
  if (twopc === null || twopc.packet.tid !== waiting.packet.tid) return dropWaiting(step, (w) => w === waiting);
  if (!timedOut && step.view.devices.some((d) => d.openCount > 0 && !d.writable)) return;
  step.effects.push({ kind: 'timerStop', name: retryOpenerTimer });
  dropWaiting(step, (w) => w === waiting);
  setTwopc(step, { ownResult: packetResult(step, twopc, waiting.from) });
  forward(step);
}

/** Answers the parents once the answer is known. */
export function pollReply(step: Step): void {
  const { twopc } = step.view;
  if (twopc === null || twopc.side !== 'participant' || twopc.answered !== null || openerWaits(step)) return;
  if (!repliesReady(step.view, twopc)) return;
  const rc = replyValue(step.view, twopc);
  const kind = rc >= Ss.success ? 'yes' : rc === Ss.concurrentStChg || rc === Ss.handshakeRetry ? 'retry' : 'no';
  setTwopc(step, { answered: kind });
  for (const { nodeId } of step.view.connections) {
    if (!hasNode(twopc.parents, nodeId)) continue;
    step.effects.push({ kind: 'sendTwopcReply', nodeId, packet: replyOf(kind, twopc.packet, twopc) });
  }
  if (!twopc.isDisconnect) return;
  step.view = { ...step.view, connections: step.view.connections.map((c) =>
    hasNode(twopc.parents, c.nodeId) ? { ...c, disconnectExpected: true } : c) };
}

/** Row 1, which genuine DRBD ignores: over a connection that is not there yet, its other end has just made one of it. */
function missedConnect(step: Step, nodeId: number): void {
  const connection = findConnection(step.view, nodeId)!;
  if (connection.cstate !== Cstate.connecting) return;
  fail(step, nodeId, 'missed-connect');
}

/** Somebody on the way gives up, perhaps since it lost the initiator: a parent by another way may go on. */
function isLeft(step: Step, from: number, { kind, initiator }: TwopcEnd): boolean {
  const { parents } = step.view.twopc!;
  const others = parents & ~bit(from);
  if (kind !== 'abort' || from === initiator || others === 0n) return false;
  setTwopc(step, { parents: others });
  return true;
}

/** Row 3: COMMIT or ABORT. */
function conclude(step: Step, from: number, packet: TwopcEnd): void {
  const twopc = step.view.twopc!;
  if (twopc.side === 'initiator' || twopc.executed) return;
  dropWaiting(step, (w) => w.why === 'retryOpener');
  const commits = packet.kind === 'commit';
  const primaries = packet.primaryNodes.toString(16).toUpperCase();
  step.effects.push(logLine(commits ? `Committing remote state change ${packet.tid} (primary_nodes=${primaries})`
    : `Aborting remote state change ${packet.tid}`, 6, -1, from));
  setTwopc(step, { executed: true, ...(commits ? { primaryNodes: packet.primaryNodes, reachableNodes: packet.reachableNodes,
    priIncapable: packet.priIncapable } : {}) });
  if (commits && twopc.packet.kind === 'prepare') {
    const result = participantChange(step, twopc.packet, step.view.twopc!, from, 'commit', packet);
    if (result.rc < Ss.success) commitRefused(step, twopc, from, packet.tid, result.rc);
  } else if (commits) commitSize(step, twopc, packet);
  else if (connectPeer(step.view, twopc) >= 0) step.view = abortConnect(step.view, twopc.packet.initiator);
  const reach = connectedMask(step.view) & packet.nodesToReach;
  const rest = packet.nodesToReach & ~(reach | bit(step.view.resource.nodeId));
  sendEnd(step, { ...packet, nodesToReach: rest }, reach & twopc.prepared);
  clearTwopc(step);
}

/** What the handshake found out comes after the own check. The other end is Connected: it must learn that we are not. */
function commitRefused(step: Step, twopc: Twopc, from: number, tid: number, rc: Ss): void {
  step.effects.push(logLine(refusedCommit(tid), LEVEL.err, -1, from));
  const nodeId = connectPeer(step.view, twopc);
  if (nodeId < 0) return;
  step.effects.push(logLine(`Failure to connect: ${ssText(rc)} (${rc}); retrying`, LEVEL.err, -1, nodeId));
  fail(step, nodeId, 'connect-failed');
}

const fail = (step: Step, nodeId: number, tag: string): void => {
  transact(step, { flags: Cs.hard, tag }, (draft) => draft.apply([{ set: 'cstate', nodeId, cstate: Cstate.networkFailure }]));
};

function commitSize(step: Step, { packet: asked, parents }: Twopc, packet: TwopcEnd): void {
  if (asked.kind !== 'prepareResize' || findDevice(step.view, asked.vnr) === undefined || packet.newSizeSectors <= 0) return;
  step.effects.push({ kind: 'commitSize', vnr: asked.vnr, newSizeSectors: packet.newSizeSectors,
    userSizeSectors: asked.userSizeSectors, ddsFlags: asked.ddsFlags, diskfulPrimaryNodes: packet.diskfulPrimaryNodes, parents,
    children: 0n });
}

/** P_TWOPC_YES, NO, RETRY. */
export function receiveReply(step: Step, from: number, reply: TwopcReply): void {
  const { twopc } = step.view;
  if (twopc === null || reply.tid !== twopc.packet.tid || reply.initiator !== twopc.packet.initiator) return;
  if (!hasNode(twopc.prepared, from)) return;
  const fromTarget = twopc.side === 'initiator' && from === twopc.packet.target;
  const answered = { [reply.kind]: twopc[reply.kind] | bit(from) };
  if (reply.kind !== 'yes') return setTwopc(step, answered);
  setTwopc(step, { ...answered,
    ...(fromTarget ? { targetReachableNodes: twopc.targetReachableNodes | reply.reachableNodes }
      : { reachableNodes: twopc.reachableNodes | reply.reachableNodes }),
    primaryNodes: twopc.primaryNodes | reply.primaryNodes, weakNodes: twopc.weakNodes | reply.weakNodes,
    diskfulPrimaryNodes: twopc.diskfulPrimaryNodes | reply.diskfulPrimaryNodes,
    maxPossibleSize: Math.min(twopc.maxPossibleSize, reply.maxPossibleSize) });
}

/** The participant's own time-out, or no parent is left. @spec state.md 6.5, 6.10 */
export function dropForeign(step: Step, why: 'timeout' | 'parents'): void {
  const { twopc } = step.view;
  if (twopc === null || twopc.side !== 'participant') return;
  if (why === 'timeout') step.effects.push(logLine(`Two-phase commit ${twopc.packet.tid} timeout`, 4));
  else abortAll(step, twopc);
  dropWaiting(step, (w) => w.why === 'retryOpener');
  if (connectPeer(step.view, twopc) >= 0) step.view = abortConnect(step.view, twopc.packet.initiator);
  clearTwopc(step);
}

