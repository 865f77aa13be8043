// SPDX-License-Identifier: GPL-2.0-or-later
/** P_TWOPC_*: bytes to events. The last 16 bytes mean what the transaction under way says. @spec wire.md 11 */
import { PacketHandlers, TAKEN } from '../conn/handlers.ts';
import type { Verdict } from '../conn/handlers.ts';
import { deviceSectorsMax } from '../state/size-agreement.ts';
import type { TwopcEnd, TwopcHead, TwopcPacket, TwopcReply } from '../state/twopc-types.ts';
import {
  PTwopcAbort, PTwopcCommit, PTwopcNo, PTwopcPrepare, PTwopcPrepRsz, PTwopcRetry, PTwopcYes, TwopcFlag,
} from '../wire/packets/twopc.ts';
import type { PTwopcReply } from '../wire/packets/twopc.ts';
import type { Connection } from './connection.ts';

export function registerTwopc(connection: Connection, handlers: PacketHandlers): void {
  const { resource, nodeId } = connection;
  const take = (packet: TwopcPacket): Verdict => {
    if (packet.tid === 0 || packet.initiator < 0) return `two-phase commit ${packet.tid} of node ${packet.initiator}`;
    resource.dispatch({ kind: 'twopc', from: nodeId, packet });
    return TAKEN;
  };
  handlers
    .on(PTwopcPrepare, (vnr, p) => take({ kind: 'prepare', ...headOf(vnr, p), mask: p.mask, val: p.val,
      hasReachable: has(p.flags, TwopcFlag.hasReachable) }))
    .on(PTwopcPrepRsz, (vnr, p) => take({ kind: 'prepareResize', ...headOf(vnr, p), userSizeSectors: p.userSize, ddsFlags: p.ddsFlags }))
    .on(PTwopcCommit, (vnr, p) => take(endOf(connection, 'commit', vnr, p)))
    .on(PTwopcAbort, (vnr, p) => take(endOf(connection, 'abort', vnr, p)));
  const answer = (kind: TwopcReply['kind']) => (vnr: number, p: PTwopcReply): Verdict => {
    resource.dispatch({ kind: 'twopcReply', from: nodeId, packet: replyOf(connection, kind, vnr, p) });
    return TAKEN;
  };
  handlers.on(PTwopcYes, answer('yes')).on(PTwopcNo, answer('no')).on(PTwopcRetry, answer('retry'));
}

/** Bits above 30 need no bitwise operators. */
const has = (flags: number, flag: number): boolean => Math.floor(flags / flag) % 2 === 1;

interface Request { readonly tid: number; readonly flags: number; readonly initiatorNodeId: number; readonly targetNodeId: number;
  readonly nodesToReach: bigint }

const headOf = (vnr: number, p: Request): TwopcHead =>
  ({ tid: p.tid, vnr, initiator: p.initiatorNodeId, target: p.targetNodeId, nodesToReach: p.nodesToReach });

const isResize = ({ resource }: Connection, tid: number): boolean => {
  const ongoing = resource.view.twopc?.packet;
  return ongoing?.kind === 'prepareResize' && ongoing.tid === tid;
};

function endOf(connection: Connection, kind: TwopcEnd['kind'], vnr: number,
  p: Request & { readonly primaryNodes: bigint; readonly reachableNodes: bigint }): TwopcEnd {
  const head = headOf(vnr, p);
  const resize = isResize(connection, p.tid);
  const hasReachable = !resize && has(p.flags, TwopcFlag.hasReachable);
  return {
    kind, ...head, hasReachable, priIncapable: !resize && has(p.flags, TwopcFlag.priIncapable),
    primaryNodes: resize ? 0n : p.primaryNodes, reachableNodes: hasReachable ? p.reachableNodes : 0n,
    diskfulPrimaryNodes: resize ? p.primaryNodes : 0n, newSizeSectors: resize ? sectors(p.reachableNodes) : 0,
  };
}

function replyOf(connection: Connection, kind: TwopcReply['kind'], vnr: number, p: PTwopcReply): TwopcReply {
  const { tid, initiatorNodeId: initiator, reachableNodes, primaryNodes, weakNodes } = p;
  const resize = isResize(connection, tid);
  const max = sectors(weakNodes);
  return {
    kind, tid, vnr, initiator, reachableNodes, primaryNodes: resize ? 0n : primaryNodes, weakNodes: resize ? 0n : weakNodes,
    diskfulPrimaryNodes: resize ? primaryNodes : 0n,
    maxPossibleSize: resize && max < deviceSectorsMax ? max : Infinity,
  };
}

/** Larger than any device is the same as the largest. */
const sectors = (value: bigint): number => (value > BigInt(deviceSectorsMax) ? deviceSectorsMax : Number(value));
