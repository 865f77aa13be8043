// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The view of one resource: an immutable value. Rows that a step does not change are the same objects as before.
 * Only `commit` (transaction.ts) and `replace*` (view.ts) make new ones.
 * @spec state.md 1
 */
import type { Operation } from './operation-types.ts';
import type { Cstate, Disk, Fencing, Repl, Role } from './states.ts';
import type { Twopc, WaitingPrepare } from './twopc-types.ts';

/** Bit n = node id n. As on the wire, so bits above 31 may be set in complements. */
export type NodeMask = bigint;

export interface View {
  readonly resource: ResourceRow;
  /** Ascending node id. */
  readonly connections: readonly ConnectionRow[];
  /** Ascending volume number. */
  readonly devices: readonly DeviceRow[];
  /** Dense: index = device index * connections.length + connection index. */
  readonly peerDevices: readonly PeerDeviceRow[];
  /** The one two-phase commit that is on, own or foreign (remote_state_change). */
  readonly twopc: Twopc | null;
  /** Foreign PREPAREs that wait for the current one to end (at most one a neighbour). @spec state.md 6.3 rows 4, 6 */
  readonly waiting: readonly WaitingPrepare[];
  /** Own multi-step changes under way: admin commands, connects, the empty transaction. Ascending id. */
  readonly operations: readonly Operation[];
  /** Id of the operation that holds state_sem; 0: free. */
  readonly semHolder: number;
  /** Id for the next operation or token. */
  readonly nextId: number;
}

export interface ResourceOptions {
  readonly onNoQuorum: 'suspend-io' | 'io-error';
  readonly onNoDataAccessible: 'suspend-io' | 'io-error';
  readonly onSuspendedPrimaryOutdated: 'disconnect' | 'force-secondary';
  /** 0 off, 1024 majority, 1025 all, 1..32 nodes. */
  readonly quorum: number;
  readonly quorumMinimumRedundancy: number;
  readonly autoPromote: boolean;
  readonly autoPromoteTimeoutMs: number;
  readonly twopcTimeoutMs: number;
  readonly twopcRetryTimeoutMs: number;
}

export interface ResourceRow {
  readonly name: string;
  readonly nodeId: number;
  readonly options: ResourceOptions;
  // State variables.
  readonly role: Role;
  readonly suspUser: boolean;
  readonly suspNod: boolean;
  readonly suspQuorum: boolean;
  readonly suspUuid: boolean;
  readonly failIo: boolean;
  // Facts.
  readonly members: NodeMask;
  readonly explicitPrimary: boolean;
  readonly downInProgress: boolean;
  readonly tryBecomeUpToDatePending: boolean;
  /** An ungraceful loss asks for the empty two-phase commit. */
  readonly emptyTwopcScheduled: boolean;
  // Recomputed by every commit: cheap to read on the hot path.
  /** Any suspension: new bios wait, completions are held. */
  readonly suspended: boolean;
  readonly minAgreedVersion: number;
  readonly allDevicesHaveQuorum: boolean;
}

export interface ConnectionOptions {
  readonly fencing: Fencing;
  readonly allowTwoPrimaries: boolean;
  readonly allowRemoteRead: boolean;
  /** verify-alg is not empty. */
  readonly verifyAlg: boolean;
  readonly pingTimeoutMs: number;
  readonly rrConflict: 'disconnect' | 'violently' | 'call-pri-lost' | 'retry-connect' | 'auto-discard';
}

export interface ConnectionRow {
  readonly nodeId: number;
  readonly name: string;
  readonly options: ConnectionOptions;
  // State variables.
  readonly cstate: Cstate;
  readonly peerRole: Role;
  readonly suspFen: boolean;
  // Facts.
  /** 0 until agreed. */
  readonly agreedVersion: number;
  readonly agreedFeatures: number;
  /** A path (destination address) is configured. */
  readonly hasPath: boolean;
  /** End of stream is no surprise: a disconnect was agreed or told. */
  readonly disconnectExpected: boolean;
  /** Was connected before and lost it; told in P_UUIDS110. */
  readonly reconnect: boolean;
  /** How the running handshake must end, if not well (CONN_HANDSHAKE_DISCONNECT, _RETRY). */
  readonly handshake: 'none' | 'disconnect' | 'retry';
  readonly dryRun: boolean;
  readonly discardMyData: boolean;
  /** When the connection's teardown is done the other peers hear of the lost Primary. */
  readonly notifyPeersLostPrimary: boolean;
  /** They have heard, and are to say what they have of its last writes; until it is here again itself. */
  readonly lossTold: boolean;
  /** Counts Connecting -> Connected; a fence-peer result from before is dropped. */
  readonly connects: number;
  /** A fence-peer helper runs for this connection. */
  readonly fencingRuns: boolean;
}

export interface DeviceOptions {
  readonly onIoError: 'pass_on' | 'call-local-io-error' | 'detach';
  readonly alUpdates: boolean;
}

/** What the rules need of a peer slot of the super block. */
export interface SlotFacts {
  /** PeerFlag bits. */
  readonly flags: number;
  /** -1: no bitmap (MDF_HAVE_BITMAP clear). */
  readonly bitmapIndex: number;
  readonly bitmapUuid: bigint;
}

/** What the rules need of the super block while a backing device is there. */
export interface MdFacts {
  /** MdFlag bits. */
  readonly flags: number;
  readonly members: NodeMask;
  /** Peer slots that the meta-data has room for. */
  readonly maxPeers: number;
  /** Indexed by node id, 32 of them. */
  readonly slots: readonly SlotFacts[];
}

export interface DeviceRow {
  readonly vnr: number;
  readonly minor: number;
  readonly options: DeviceOptions;
  /** device_conf.intentional_diskless */
  readonly intentionalDiskless: boolean;
  // State variables.
  readonly disk: Disk;
  readonly haveQuorum: boolean;
  // Facts.
  /** null: no backing device. */
  readonly md: MdFacts | null;
  /** Own current UUID; 0 without a backing device. */
  readonly currentUuid: bigint;
  readonly exposedUuid: bigint;
  /** An update of it that waits for the end of a two-phase commit; 0: none. */
  readonly nextExposedUuid: bigint;
  /** A new current UUID must be made before the next request. */
  readonly newCurUuid: boolean;
  readonly crashedPrimary: boolean;
  readonly primaryLostQuorum: boolean;
  readonly restoreQuorum: boolean;
  readonly restoringQuorum: boolean;
  readonly tiebreakerQuorum: boolean;
  readonly tryToGetResync: boolean;
  readonly outdateOn2pcCommit: boolean;
  readonly forceDetach: boolean;
  /** The disk was lost while others had good data of a Primary: it is Outdated, also if its super block could not be told so. */
  readonly outgrown: boolean;
  /** The disk was good as this Primary detached it, and what was answered since is on it. */
  readonly keptAll: boolean;
  readonly unregistered: boolean;
  /** A resync of the device has ended stable. */
  readonly stableResync: boolean;
  readonly openCount: number;
  /** Opened for writing since openCount was 0: then all openers count as writers. */
  readonly writable: boolean;
  // Recomputed by every commit.
  /** New bios wait (state_is_stable is false). */
  readonly unstable: boolean;
  /** All I/O fails with EIO instead of waiting (cached_err_io). */
  readonly errIo: boolean;
  /** Int32 bit sets of node ids: who gets the data of a write, and who only the fact that it happened. */
  readonly mirrorMask: number;
  readonly outOfSyncMask: number;
  /** Node ids that reads may go to. */
  readonly remoteReadMask: number;
  /** The local disk may serve reads. */
  readonly localReadable: boolean;
}

/** What a handshake decided, applied when the connect transaction commits. */
export interface ConnectState {
  /** off: the connection goes to Disconnecting instead. */
  readonly conn: Repl;
  readonly peerRole: Role;
  readonly pdsk: Disk;
  /** Disk.mask: unchanged. */
  readonly disk: Disk;
  readonly peerIsp: boolean;
}

export interface PeerDeviceRow {
  readonly vnr: number;
  readonly nodeId: number;
  /** Peer-device option `bitmap`: false marks an intentional diskless peer. */
  readonly wantBitmap: boolean;
  // State variables.
  readonly repl: Repl;
  readonly pdsk: Disk;
  readonly suspUser: boolean;
  readonly suspPeer: boolean;
  readonly suspDependency: boolean;
  readonly suspOtherC: boolean;
  readonly resyncActive: boolean;
  // Facts.
  readonly uuidsReceived: boolean;
  readonly currentUuidReceived: boolean;
  readonly initialStateSent: boolean;
  readonly initialStateReceived: boolean;
  readonly haveSizes: boolean;
  /** UUIDs are frozen between the initial packets and the end of the connect transaction. */
  readonly holdingUuidLock: boolean;
  /** Told in this handshake that it may keep the label that it has: it gets our newer one as soon as it is connected. */
  readonly follows: boolean;
  readonly peerQuorate: boolean;
  readonly considerResync: boolean;
  readonly unstableResync: boolean;
  readonly reconciliationResync: boolean;
  /** Told this peer of a lost Primary; until it has said how far it had heard that one, who has more is open. */
  readonly reconcilePending: boolean;
  readonly beforeResyncDone: boolean;
  readonly aheadToSyncSource: boolean;
  readonly syncSrcCrashedPrimary: boolean;
  /** "Resync again" that waits for the running resync to end: 0 or the Repl to go to. */
  readonly resyncAgain: number;
  /** What the peer sent last. */
  readonly peerCurrentUuid: bigint;
  /** UuidFlag bits. */
  readonly uuidFlags: number;
  readonly uuidNodeMask: NodeMask;
  /** Current UUID that was last sent to this peer. */
  readonly commCurrentUuid: bigint;
  /** Repl, or Negotiation.* */
  readonly negotiationResult: number;
  readonly connectState: ConnectState;
  /** repl state of the peer as in its last P_STATE. */
  readonly lastRepl: number;
}

/** What the rules must ask of the running engine; everything else is in the view. Must not change during a step. */
export interface Live {
  /** Bits set in this peer's slot. */
  outOfSyncBits(vnr: number, nodeId: number): number;
  /** Writes of this peer are being written or not yet confirmed by it. */
  peerRequestsInFlight(nodeId: number): boolean;
  /** Uniform integer in [0, bound). */
  below(bound: number): number;
  /** Sectors of a volume now; the most that its disk could serve, Infinity without one. */
  capacity(vnr: number): number;
  localMaxSize(vnr: number): number;
  /** Size of a volume that these nodes have agreed to. @spec uuid.md 5.2 */
  sizeAfterResize(vnr: number, userSizeSectors: number, ddsFlags: number, maxPossibleSize: number, reached: NodeMask): number;
}
