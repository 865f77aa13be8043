// SPDX-License-Identifier: GPL-2.0-or-later
import type { ClusterChange } from './events.ts';
import type { Ss } from './ss.ts';
import type { Reason } from './reason.ts';

/**
 * How far one own cluster-wide change has got. @spec state.md 6.2
 * - sem: waits for state_sem; free: waits until no other two-phase commit is on
 * - replies: PREPAREs are out; settle: a connect waits for the peer's states (at most ping-timeout)
 * - backOff: sleeps before the next attempt
 */
export interface ChangeRun {
  readonly change: ClusterChange;
  readonly flags: number;
  readonly tag: string;
  readonly phase: 'sem' | 'free' | 'replies' | 'settle' | 'backOff';
  readonly retries: number;
  /** Result of the replies while settling. */
  readonly rc: Ss;
  readonly heldSem: boolean;
}

interface OperationBase {
  readonly id: number;
  /** Who waits for `done`; 0: nobody. */
  readonly request: number;
  readonly tag: string;
  readonly run: ChangeRun | null;
  readonly waiting: Reason | null;
}

/** One change, then `done`. */
export interface ChangeOperation extends OperationBase {
  readonly kind: 'change';
  readonly flags: number;
  readonly transient: boolean;
  readonly change: ClusterChange;
  readonly phase: 'try' | 'transient' | 'work';
}

/** drbd_set_role. @spec state.md 7.1 */
export interface RoleOperation extends OperationBase {
  readonly kind: 'role';
  readonly role: 1 | 2;
  readonly force: boolean;
  readonly flags: number;
  readonly tries: number;
  readonly phase: 'ping' | 'settle' | 'try' | 'transient' | 'backOff' | 'settleAgain' | 'fence' | 'twoPrimariesSleep' | 'work'
    | 'telling';
  readonly upToDateBefore: number;
  readonly fenced: boolean;
  /** Volumes whose disk the promotion has declared UpToDate. */
  readonly raised: readonly number[];
  readonly primaryNopSeen: boolean;
  readonly twoPrimariesSeen: boolean;
  /** Connections whose fence-peer result is still due; what came so far. */
  readonly fencing: readonly number[];
  readonly fencedCount: number;
  readonly fenceFailed: boolean;
  readonly rc: Ss;
  readonly reason: Reason | null;
}

/** conn_try_disconnect. @spec state.md 7.6 */
export interface DisconnectOperation extends OperationBase {
  readonly kind: 'disconnect';
  readonly nodeId: number;
  readonly flags: number;
  readonly force: boolean;
  readonly phase: 'try' | 'readers' | 'standAlone';
}

/** connect_work. @spec state.md 7.7 */
export interface ConnectOperation extends OperationBase {
  readonly kind: 'connect';
  readonly nodeId: number;
  readonly phase: 'try' | 'readers' | 'again';
  readonly readersLeftMs: number;
}

/** The empty two-phase commit. @spec state.md 6.9 */
export interface EmptyOperation extends OperationBase {
  readonly kind: 'empty';
  readonly phase: 'try';
}

/** conn_try_outdate_peer. @spec state.md 8.5 */
export interface FenceOperation extends OperationBase {
  readonly kind: 'fence';
  readonly nodeId: number;
  readonly connects: number;
  readonly phase: 'helper';
  /** Role operation that waits; 0: none. */
  readonly forOperation: number;
}

/** change_cluster_wide_device_size. @spec state.md 6.11 */
export interface ResizeOperation extends OperationBase {
  readonly kind: 'resize';
  readonly vnr: number;
  readonly userSizeSectors: number;
  readonly ddsFlags: number;
  readonly retries: number;
  readonly phase: 'free' | 'replies' | 'backOff';
}

export type Operation =
  | ChangeOperation | RoleOperation | DisconnectOperation | ConnectOperation | EmptyOperation | FenceOperation
  | ResizeOperation;
