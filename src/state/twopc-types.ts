// SPDX-License-Identifier: GPL-2.0-or-later
import type { Ss } from './ss.ts';
import type { NodeMask } from './types.ts';

/** P_TWOPC_PREPARE, PREP_RSZ, COMMIT, ABORT as values. mask and val: P_STATE layout, sender's view. @spec wire.md 11.1 */
export type TwopcPacket = TwopcPrepare | TwopcPrepareResize | TwopcEnd;

export interface TwopcHead {
  readonly tid: number;
  /** Volume, or -1 (0xffff in the header) for resource and connection changes. */
  readonly vnr: number;
  readonly initiator: number;
  /** -1: everybody. */
  readonly target: number;
  readonly nodesToReach: NodeMask;
}
export interface TwopcPrepare extends TwopcHead {
  readonly kind: 'prepare';
  readonly mask: number;
  readonly val: number;
  /** Flag HAS_REACHABLE: the COMMIT will carry reachable_nodes. */
  readonly hasReachable: boolean;
}
export interface TwopcPrepareResize extends TwopcHead {
  readonly kind: 'prepareResize';
  readonly userSizeSectors: number;
  readonly ddsFlags: number;
}
export interface TwopcEnd extends TwopcHead {
  readonly kind: 'commit' | 'abort';
  /** State change. */
  readonly primaryNodes: NodeMask;
  readonly reachableNodes: NodeMask;
  readonly hasReachable: boolean;
  readonly priIncapable: boolean;
  /** Resize (the receiver knows by its PREPARE which of both it is). */
  readonly diskfulPrimaryNodes: NodeMask;
  readonly newSizeSectors: number;
}

/** P_TWOPC_YES, NO, RETRY. @spec wire.md 11.2 */
export interface TwopcReply {
  readonly kind: 'yes' | 'no' | 'retry';
  readonly tid: number;
  readonly vnr: number;
  readonly initiator: number;
  readonly reachableNodes: NodeMask;
  readonly primaryNodes: NodeMask;
  readonly weakNodes: NodeMask;
  readonly diskfulPrimaryNodes: NodeMask;
  /** Sectors; Infinity: a diskless node sets no limit. */
  readonly maxPossibleSize: number;
}

/** What is known of the ongoing two-phase commit (remote_state_change). @spec state.md 6 */
export interface Twopc {
  readonly side: 'initiator' | 'participant';
  readonly packet: TwopcPrepare | TwopcPrepareResize;
  /** Initiator: the operation whose change this is. Participant: 0. */
  readonly operation: number;
  readonly startedBy: number;
  /** Neighbours from which the PREPARE came. */
  readonly parents: NodeMask;
  /** What was answered to the parents. */
  readonly answered: 'yes' | 'no' | 'retry' | null;
  /** Neighbours asked by this node, and their answers. */
  readonly prepared: NodeMask;
  readonly yes: NodeMask;
  readonly no: NodeMask;
  readonly retry: NodeMask;
  readonly isConnect: boolean;
  readonly isDisconnect: boolean;
  readonly reachableNodes: NodeMask;
  readonly targetReachableNodes: NodeMask;
  readonly primaryNodes: NodeMask;
  readonly weakNodes: NodeMask;
  readonly diskfulPrimaryNodes: NodeMask;
  readonly maxPossibleSize: number;
  /** Own check refused. */
  readonly ownResult: Ss;
  /** Sizes of the handshake do not fit (TWOPC_RECV_SIZES_ERR). */
  readonly sizesError: boolean;
  /** A lower initiator wants this own change to end (TWOPC_ABORT_LOCAL). */
  readonly abortLocal: boolean;
  /** COMMIT or ABORT was executed. */
  readonly executed: boolean;
  /** primary_nodes != 0 and weak_nodes = 0: the Primary has no data access. */
  readonly priIncapable: boolean;
}

export interface WaitingPrepare {
  readonly from: number;
  readonly packet: TwopcPrepare | TwopcPrepareResize;
  /** abortLocal: my own change gives way; parentEnd: the previous transaction ends over another connection. */
  readonly why: 'abortLocal' | 'parentEnd' | 'retryOpener';
}
