// SPDX-License-Identifier: GPL-2.0-or-later
/** Masks, replies and the end of a two-phase commit, for initiator and participant. @spec state.md 6 */
import { abortConnect, handshakeReady } from './handshake.ts';
import { Ss } from './ss.ts';
import { Cstate, Disk } from './states.ts';
import type { Step } from './transaction.ts';
import type { Twopc, TwopcEnd, TwopcPrepare, TwopcPrepareResize } from './twopc-types.ts';
import type { NodeMask, View } from './types.ts';
import { bit, complement, connectedMask, findConnection, hasNode } from './view.ts';

export const TWOPC_TIMER = 'twopc';

export const setTwopc = (step: Step, patch: Partial<Twopc>): void => {
  if (step.view.twopc !== null) step.view = { ...step.view, twopc: { ...step.view.twopc, ...patch } };
};

export const newTwopc = (side: Twopc['side'], packet: TwopcPrepare | TwopcPrepareResize, operation: number): Twopc => ({
  side, packet, operation, startedBy: packet.initiator, parents: 0n, answered: null, prepared: 0n, yes: 0n, no: 0n, retry: 0n,
  isConnect: false, isDisconnect: false, reachableNodes: 0n, targetReachableNodes: 0n, primaryNodes: 0n, weakNodes: 0n,
  diskfulPrimaryNodes: 0n, maxPossibleSize: Infinity, ownResult: Ss.success, sizesError: false, abortLocal: false, executed: false,
  priIncapable: false,
});

/** What the others have done fails here. */
export const refusedCommit = (tid: number): string => `FATAL: cluster-wide state change ${tid} is committed, but refused here`;

/** Connected peers, plus the target of a connect while it is still there. */
export function reachImmediately(view: View, target: number, isConnect: boolean): NodeMask {
  const mask = connectedMask(view);
  const cstate = target < 0 ? undefined : findConnection(view, target)?.cstate;
  return isConnect && cstate === Cstate.connecting ? mask | bit(target) : mask;
}

/** The node at the other end of this connect, if it is one between it and me; else -1. */
export function connectPeer(view: View, twopc: Twopc): number {
  if (!twopc.isConnect) return -1;
  const { initiator, target } = twopc.packet;
  const own = view.resource.nodeId;
  if (initiator === own) return target;
  return target === own ? initiator : -1;
}

/** @spec state.md 6.6 */
export function repliesReady(view: View, twopc: Twopc): boolean {
  if (twopc.abortLocal || (twopc.retry & twopc.prepared) !== 0n) return true;
  const peer = connectPeer(view, twopc);
  if (peer >= 0 && view.devices.length > 0 && !handshakeReady(view, peer)) return false;
  return twopc.ownResult < Ss.success || (twopc.no & twopc.prepared) !== 0n || (twopc.prepared & ~twopc.yes) === 0n;
}

/** First match counts. @spec state.md 6.6 */
export function replyValue(view: View, twopc: Twopc): Ss {
  if (twopc.abortLocal || (twopc.retry & twopc.prepared) !== 0n) return Ss.concurrentStChg;
  const peer = connectPeer(view, twopc);
  const handshake = peer < 0 ? 'none' : findConnection(view, peer)?.handshake ?? 'none';
  if (handshake === 'retry') return Ss.handshakeRetry;
  if (handshake === 'disconnect') return Ss.handshakeDisconnect;
  if (twopc.ownResult < Ss.success || (twopc.no & twopc.prepared) !== 0n) return Ss.cwFailedByPeer;
  if (twopc.sizesError) return Ss.handshakeDisconnect;
  return Ss.cwSuccess;
}

/** Lowest node id that said no; -1. */
export function whoDeclined(twopc: Twopc): number {
  for (let n = 0; n < 32; n++) if (hasNode(twopc.no & twopc.prepared, n)) return n;
  return -1;
}

/** PREPARE to neighbours; each goes with a ping. */
export function sendPrepare(step: Step, packet: TwopcPrepare | TwopcPrepareResize, reach: NodeMask): void {
  for (const { nodeId } of step.view.connections) {
    if (hasNode(reach, nodeId)) step.effects.push({ kind: 'sendTwopc', nodeId, packet });
  }
}

export function sendEnd(step: Step, packet: TwopcEnd, reach: NodeMask): void {
  for (const { nodeId } of step.view.connections) {
    if (hasNode(reach, nodeId)) step.effects.push({ kind: 'sendTwopc', nodeId, packet });
  }
}

export function endPacket(kind: 'commit' | 'abort', twopc: Twopc, nodesToReach: NodeMask, patch: Partial<TwopcEnd> = {}): TwopcEnd {
  const { tid, vnr, initiator, target } = twopc.packet;
  return { kind, tid, vnr, initiator, target, nodesToReach, primaryNodes: 0n, reachableNodes: 0n, hasReachable: false,
    priIncapable: false, diskfulPrimaryNodes: 0n, newSizeSectors: 0, ...patch };
}

/** ABORT to everybody that this node reaches directly. */
export function abortAll(step: Step, twopc: Twopc): void {
  const reach = reachImmediately(step.view, twopc.packet.target, twopc.isConnect);
  sendEnd(step, endPacket('abort', twopc, complement(reach | bit(step.view.resource.nodeId))), reach);
}

/** __clear_remote_state_change. @spec state.md 6.10 */
export function clearTwopc(step: Step): void {
  const { twopc } = step.view;
  if (twopc === null) return;
  step.effects.push({ kind: 'timerStop', name: TWOPC_TIMER });
  let view: View = { ...step.view, twopc: null };
  if (twopc.isConnect && twopc.side === 'participant' && twopc.answered === null) view = abortConnect(view, twopc.packet.initiator);
  for (const device of view.devices) {
    if (device.nextExposedUuid === 0n) continue;
    const exposes = device.disk < Disk.inconsistent;
    if (exposes) {
      step.effects.push({ kind: 'sticky', fact: { kind: 'exposedUuid', vnr: device.vnr, uuid: device.nextExposedUuid } },
        { kind: 'setExposedUuid', vnr: device.vnr, uuid: device.nextExposedUuid });
    }
    view = { ...view, devices: view.devices.map((row) => row !== device ? row
      : { ...row, nextExposedUuid: 0n, exposedUuid: exposes ? row.nextExposedUuid : row.exposedUuid }) };
  }
  step.view = view;
}
