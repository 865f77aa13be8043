// SPDX-License-Identifier: GPL-2.0-or-later
import type { Cstate, Disk, Repl, Role } from './states.ts';
import type { TwopcPacket, TwopcReply } from './twopc-types.ts';
import type {
  ConnectionOptions, ConnectionRow, ConnectState, DeviceOptions, DeviceRow, PeerDeviceRow, ResourceOptions, ResourceRow,
} from './types.ts';

/** One assignment within a transaction; applied in order. @spec state.md 2.1 */
export type Change =
  | { readonly set: 'role'; readonly role: Role }
  | { readonly set: 'suspUser' | 'suspNod' | 'suspQuorum' | 'suspUuid' | 'failIo'; readonly value: boolean }
  | { readonly set: 'cstate'; readonly nodeId: number; readonly cstate: Cstate }
  | { readonly set: 'peerRole'; readonly nodeId: number; readonly role: Role }
  | { readonly set: 'suspFen'; readonly nodeId: number; readonly value: boolean }
  | { readonly set: 'disk'; readonly vnr: number; readonly disk: Disk }
  /** Every disk above `disk` gets it. */
  | { readonly set: 'disksDownTo'; readonly disk: Disk }
  | { readonly set: 'repl'; readonly vnr: number; readonly nodeId: number; readonly repl: Repl }
  | { readonly set: 'pdsk'; readonly vnr: number; readonly nodeId: number; readonly pdsk: Disk }
  /** Every pdsk of the connection above `pdsk` gets it. */
  | { readonly set: 'pdsksDownTo'; readonly nodeId: number; readonly pdsk: Disk }
  | { readonly set: 'resyncSuspUser' | 'resyncSuspPeer' | 'resyncSuspDependency' | 'resyncActive'; readonly vnr: number;
      readonly nodeId: number; readonly value: boolean };

/** A change that may have to be agreed with other nodes. @spec state.md 6.1 */
export type ClusterChange =
  | { readonly what: 'role'; readonly role: Role }
  | { readonly what: 'empty' }
  | { readonly what: 'disk'; readonly vnr: number; readonly disk: Disk }
  | { readonly what: 'cstate'; readonly nodeId: number; readonly cstate: Cstate }
  | { readonly what: 'repl'; readonly nodeId: number; readonly vnr: number; readonly repl: Repl };

type Facts<Row, Keys extends keyof Row> = Partial<Pick<Row, Keys>>;

export type ResourceFacts = Facts<ResourceRow, 'name' | 'members' | 'explicitPrimary' | 'downInProgress'>;
export type ConnectionFacts = Facts<ConnectionRow, 'name' | 'agreedVersion' | 'agreedFeatures' | 'hasPath'
  | 'disconnectExpected' | 'reconnect' | 'dryRun' | 'discardMyData'>;
export type DeviceFacts = Facts<DeviceRow, 'intentionalDiskless' | 'md' | 'currentUuid' | 'exposedUuid' | 'nextExposedUuid'
  | 'newCurUuid' | 'crashedPrimary' | 'primaryLostQuorum' | 'restoreQuorum' | 'forceDetach' | 'unregistered' | 'stableResync'
  | 'openCount' | 'writable' | 'tryToGetResync' | 'outdateOn2pcCommit' | 'keptAll'>;
export type PeerDeviceFacts = Facts<PeerDeviceRow, 'uuidsReceived' | 'currentUuidReceived' | 'initialStateSent' | 'haveSizes'
  | 'holdingUuidLock' | 'follows' | 'peerQuorate' | 'considerResync' | 'unstableResync' | 'reconciliationResync' | 'reconcilePending' | 'beforeResyncDone'
  | 'aheadToSyncSource' | 'syncSrcCrashedPrimary' | 'resyncAgain' | 'peerCurrentUuid' | 'uuidFlags' | 'uuidNodeMask'
  | 'commCurrentUuid' | 'negotiationResult' | 'lastRepl' | 'connectState'>;

/**
 * Everything that changes a view. `request` names who waits for the effect `done` (0: nobody). `tag` is the word in
 * brackets of the log lines.
 */
export type Event =
  // --- objects and options
  | { readonly kind: 'addDevice'; readonly vnr: number; readonly minor: number; readonly options: DeviceOptions;
      readonly intentionalDiskless: boolean; readonly wantBitmap: readonly { nodeId: number; wantBitmap: boolean }[] }
  | { readonly kind: 'removeDevice'; readonly vnr: number }
  | { readonly kind: 'addConnection'; readonly nodeId: number; readonly name: string; readonly options: ConnectionOptions;
      readonly wantBitmap: readonly { vnr: number; wantBitmap: boolean }[] }
  | { readonly kind: 'removeConnection'; readonly nodeId: number }
  /** recalc: quorum or on-no-quorum changed. */
  | { readonly kind: 'resourceOptions'; readonly request: number; readonly options: ResourceOptions }
  | { readonly kind: 'connectionOptions'; readonly nodeId: number; readonly options: ConnectionOptions }
  | { readonly kind: 'deviceOptions'; readonly vnr: number; readonly options: DeviceOptions }
  | { readonly kind: 'wantBitmap'; readonly vnr: number; readonly nodeId: number; readonly wantBitmap: boolean }
  // --- facts: no transaction, no notification
  | { readonly kind: 'resourceFacts'; readonly facts: ResourceFacts }
  | { readonly kind: 'connectionFacts'; readonly nodeId: number; readonly facts: ConnectionFacts }
  | { readonly kind: 'deviceFacts'; readonly vnr: number; readonly facts: DeviceFacts }
  | { readonly kind: 'peerDeviceFacts'; readonly vnr: number; readonly nodeId: number; readonly facts: PeerDeviceFacts }
  // --- local transactions
  /** Applied at once or refused. flags: Cs.hard, verbose, forceRecalc … request > 0: `done` after its after-state-change work. */
  | { readonly kind: 'change'; readonly request: number; readonly tag: string; readonly flags: number;
      readonly changes: readonly Change[] }
  // --- own cluster-wide changes
  /**
   * Ends with `done`. transient: wait while the result is SS_IN_TRANSIENT_STATE (stable_state_change). Used for attach
   * (Attaching, then Negotiating), detach, outdate, invalidate, verify.
   */
  | { readonly kind: 'clusterChange'; readonly request: number; readonly tag: string; readonly flags: number;
      readonly transient: boolean; readonly change: ClusterChange }
  /** resize: `done` with success (agreed, the effect commitSize precedes it), nothingToDo, or why not. @spec state.md 6.11 */
  | { readonly kind: 'resize'; readonly request: number; readonly vnr: number; readonly userSizeSectors: number;
      readonly ddsFlags: number }
  /** primary, secondary, auto-promote, auto-demote, first step of down. @spec state.md 7.1 */
  | { readonly kind: 'setRole'; readonly request: number; readonly tag: string; readonly role: Role; readonly force: boolean }
  /** connect: StandAlone -> Unconnected; `done` at once. The checks 125, 162, 123 are the caller's. */
  | { readonly kind: 'connect'; readonly request: number; readonly nodeId: number; readonly discardMyData: boolean;
      readonly tentative: boolean }
  /** disconnect, del-peer, down. Ends when StandAlone, or 1 s after it was agreed. */
  | { readonly kind: 'disconnect'; readonly request: number; readonly tag: string; readonly nodeId: number; readonly force: boolean }
  /** The requester of that request has died or got a signal: stop waiting (SS_INTERRUPTED). */
  | { readonly kind: 'cancel'; readonly request: number }
  // --- connection life
  /** Features, authentication and P_PROTOCOL are done: the node with the lower id starts the connect transaction. */
  | { readonly kind: 'handshakeStart'; readonly nodeId: number }
  /** The handshake of one volume was decided (receive_state steps 5 to 16). */
  | { readonly kind: 'handshakeState'; readonly vnr: number; readonly nodeId: number; readonly state: ConnectState }
  /** The handshake must end so, at the end of the connect transaction. */
  | { readonly kind: 'handshakeFailed'; readonly nodeId: number; readonly how: 'disconnect' | 'retry' }
  /** Sizes do not fit while a connect transaction runs. */
  | { readonly kind: 'handshakeSizesError'; readonly nodeId: number }
  /** Lost: hard change to one of timeout … tearDown, or disconnecting; `why` is a warning in the log. */
  | { readonly kind: 'lost'; readonly nodeId: number; readonly cstate: Cstate; readonly tag: string; readonly why?: string;
    /** Volumes whose sync target may be through: nothing is left to sync, it just has not been heard. */ readonly through?: readonly number[] }
  /** The teardown is over: Unconnected, or StandAlone from Disconnecting. */
  | { readonly kind: 'tornDown'; readonly nodeId: number }
  // --- two-phase commit
  | { readonly kind: 'twopc'; readonly from: number; readonly packet: TwopcPacket }
  | { readonly kind: 'twopcReply'; readonly from: number; readonly packet: TwopcReply }
  // --- disks
  /** An I/O error of the backing device, by on-io-error. @spec state.md 7.5 */
  | { readonly kind: 'ioError'; readonly vnr: number; readonly error: 'read' | 'write' | 'meta' | 'forceDetach' }
  /** The last reference on the backing device is gone while Failed or Detaching, bitmap and meta-data are written. */
  | { readonly kind: 'goDiskless'; readonly vnr: number }
  /** openCount, writable after an open or close. */
  | { readonly kind: 'openCount'; readonly vnr: number; readonly openCount: number; readonly writable: boolean }
  // --- after-state-change
  /** From the worker queue: the new current UUID was made before I/O resumes (W46). */
  | { readonly kind: 'suspUuidDone' }
  /** From the worker queue: may I/O resume after fencing? (W44) */
  | { readonly kind: 'checkFencing'; readonly nodeId: number; readonly made?: boolean }
  /** This peer has said how far it had heard a lost Primary (-1: nothing is owed to anybody). */
  | { readonly kind: 'reconciled'; readonly nodeId: number }
  /** Run the empty two-phase commit. */
  | { readonly kind: 'emptyTwopc' }
  /** Ask the fence-peer handler about this connection. @spec state.md 8.5 */
  | { readonly kind: 'fencePeer'; readonly nodeId: number }
  // --- answers to effects
  | { readonly kind: 'timer'; readonly name: string }
  /** exit code; negative: could not start; null: "disabled". */
  | { readonly kind: 'helperDone'; readonly token: number; readonly exit: number | null }
  | { readonly kind: 'pinged'; readonly token: number }
  | { readonly kind: 'ioQuiet'; readonly token: number }
  | { readonly kind: 'workDone'; readonly token: number }
  /** Answer to newCurrentUuid's check etc.: nothing else changed, look again at what waits. */
  | { readonly kind: 'poke' };
