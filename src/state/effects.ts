// SPDX-License-Identifier: GPL-2.0-or-later
import type { Event } from './events.ts';
import type { Reason } from './reason.ts';
import type { Ss } from './ss.ts';
import type { TwopcEnd, TwopcPrepare, TwopcPrepareResize, TwopcReply } from './twopc-types.ts';
import type { NodeMask } from './types.ts';
import type { ConnectionInfo, DeviceInfo, PeerDeviceInfo, ResourceInfo } from './info.ts';

/**
 * What must be done after a step: plain data, in order. A step returns two lists:
 * `effects` are done at once, in order, before anything else happens to the resource (they belong to the transaction);
 * `work` goes to the end of the resource's worker queue, one FIFO a resource, and a `helper` with `wait` stops the queue
 * until it has exited. Packets are queued on the connection's data stream unless said.
 */
export type Effect =
  // --- packets
  /** P_STATE. word: P_STATE layout; vnr -1: resource (only the role counts). @spec wire.md 5.10 */
  | { readonly kind: 'sendState'; readonly nodeId: number; readonly vnr: number; readonly word: number }
  /** P_UUIDS110 with these UuidFlag bits added; P_CURRENT_UUID(exposed, weak) without an attached disk. node_mask as in uuid.md 1.4. */
  | { readonly kind: 'sendUuids'; readonly nodeId: number; readonly vnr: number; readonly flags: number }
  | { readonly kind: 'sendSizes'; readonly nodeId: number; readonly vnr: number }
  /** The initial packets of all volumes: SYNC_PARAM, then SIZES, UUIDS110 and STATE each; facts initialStateSent, holdingUuidLock. */
  | { readonly kind: 'sendInitialPackets'; readonly nodeId: number }
  /** P_FLUSH_REQUESTS. */
  | { readonly kind: 'sendFlushRequests'; readonly nodeId: number }
  /** P_DAGTAG with the resource's dagtag, queued on the sender (F1). */
  | { readonly kind: 'sendDagtag'; readonly nodeId: number }
  | { readonly kind: 'sendDisconnect'; readonly nodeId: number }
  /** Control stream; both are flushed at once. PREPARE goes together with a P_PING. */
  | { readonly kind: 'sendTwopc'; readonly nodeId: number; readonly packet: TwopcPrepare | TwopcPrepareResize | TwopcEnd }
  | { readonly kind: 'sendTwopcReply'; readonly nodeId: number; readonly packet: TwopcReply }
  /** P_PING to each; when all have acknowledged or were lost: the event `pinged` with this token. A silent one is lost: NetworkFailure. */
  | { readonly kind: 'ping'; readonly nodeIds: readonly number[]; readonly token: number }
  /** P_CURRENT_UUID(own current) and P_PEER_DAGTAG about the lost Primary, to every other connected peer. @spec state.md 7.6 */
  | { readonly kind: 'tellLostPrimary'; readonly lostNodeId: number }
  // --- connections
  /** Start connecting (the event `change` to Connecting follows from there). */
  | { readonly kind: 'startConnecting'; readonly nodeId: number }
  /** The connection is lost or ended: run the teardown (conn_disconnect), then give the event `tornDown`. @spec state.md 7.6 */
  | { readonly kind: 'teardown'; readonly nodeId: number }
  // --- meta-data and UUIDs
  /** Flags of the super block and of peer slots have these new values: mark dirty (written within 5 s, or by `syncMd`). */
  | { readonly kind: 'mdFlags'; readonly vnr: number; readonly flags: number; readonly members: NodeMask }
  | { readonly kind: 'peerMdFlags'; readonly vnr: number; readonly nodeId: number; readonly flags: number }
  /** Write the super block now if dirty; the queue waits until it is on disk. */
  | { readonly kind: 'syncMd'; readonly vnr: number }
  /**
   * Make the new current UUID (uuid.md 1.6): writes, sends P_UUIDS110 with NEW_DATAGEN; weak nodes only when forced. Does nothing
   * if the row's newCurUuid is false and not forced. Always ends with deviceFacts newCurUuid false (and the new currentUuid, if
   * one was needed); in `work` the queue waits for that.
   */
  | { readonly kind: 'newCurrentUuid'; readonly vnr: number; readonly forced: boolean }
  /** Exposed data UUID, already with bit 0. Journal it: a diskless Primary must not forget it. */
  | { readonly kind: 'setExposedUuid'; readonly vnr: number; readonly uuid: bigint }
  /** This node reads at its peers, and one that has become Primary counts as Outdated here: by its own word, or as it is older? */
  | { readonly kind: 'olderIsPrimary'; readonly vnr: number; readonly nodeId: number }
  /** Bit 0 of the current UUID in memory := Primary or not (uuid.md 1.12 row 5). */
  | { readonly kind: 'setPrimaryBit'; readonly vnr: number; readonly on: boolean }
  /** Bitmap UUID := 0 with history, slot cleared and written (W5). */
  | { readonly kind: 'clearBitmapUuid'; readonly vnr: number; readonly nodeId: number }
  /** This disk becomes a target of that peer: its data may be given up with that. */
  | { readonly kind: 'becomesTarget'; readonly vnr: number; readonly nodeId: number }
  | { readonly kind: 'storeEffectiveSize'; readonly vnr: number }
  /** AL updates: off while the single peer is Primary (5.1.2); or resumed (F27). */
  | { readonly kind: 'alUpdates'; readonly vnr: number; readonly suspended: boolean }
  | { readonly kind: 'detachedSlots'; readonly vnr: number }
  // --- bitmap
  /** Write changed bitmap pages. */
  | { readonly kind: 'writeBitmap'; readonly vnr: number; readonly why: string }
  /** Set all bits (of all slots: nodeId -1) and write, then the event `startSync` with this repl. */
  | { readonly kind: 'setAllBits'; readonly vnr: number; readonly nodeId: number;
      readonly then: 'none' | 'startSyncSource' | 'startSyncTarget'; readonly startNodeId: number }
  /** Mark pending requests out of sync, then send the bitmap, if repl still is WFBitMapS when it is reached (W12). */
  | { readonly kind: 'sendBitmap'; readonly vnr: number; readonly nodeId: number }
  /** Not yet peer-acked writes of that Primary become bits towards the others (F52). */
  | { readonly kind: 'applyUnackedPeerRequests'; readonly nodeId: number }
  // --- resync and verify
  /** rs_total = bits, counters 0, start time now (F24). */
  | { readonly kind: 'initResync'; readonly vnr: number; readonly nodeId: number }
  /** Verify position per F23. */
  | { readonly kind: 'initVerify'; readonly vnr: number; readonly nodeId: number; readonly source: boolean }
  /** Keep the first unverified sector (F18). */
  | { readonly kind: 'verifyStopped'; readonly vnr: number; readonly nodeId: number }
  /** drbd_run_resync: log, UUIDs at start of a target, exposed UUID, then requests. @spec state.md 7.8 */
  | { readonly kind: 'runResync'; readonly vnr: number; readonly nodeId: number; readonly target: boolean }
  /** Resyncs from nodes that a Primary calls weak end. */
  | { readonly kind: 'checkResyncSource'; readonly vnr: number; readonly weak: NodeMask }
  | { readonly kind: 'lastResyncRequest'; readonly vnr: number; readonly nodeId: number }
  | { readonly kind: 'pauseResync'; readonly vnr: number; readonly nodeId: number }
  | { readonly kind: 'resumeResync'; readonly vnr: number; readonly nodeId: number }
  | { readonly kind: 'startVerify'; readonly vnr: number; readonly nodeId: number }
  /** resync-after: dependents of all resources are looked at again. pause: may have to stop; resume: may go on. */
  | { readonly kind: 'resyncAfter'; readonly what: 'pause' | 'resume'; readonly vnr: number }
  /** Resync of the new part after an online grow (W20). */
  | { readonly kind: 'resyncAfterGrow'; readonly vnr: number; readonly nodeId: number }
  /** drbd_try_to_get_resynced (9.5): choose a source by UUIDs; the answer is an event `change`. */
  | { readonly kind: 'tryToGetResynced'; readonly vnr: number }
  // --- application I/O
  | { readonly kind: 'startNewEpoch' }
  /** Cached values of devices or the suspension changed: re-read the view, wake who waits. Always after every commit that changed them. */
  | { readonly kind: 'ioChanged' }
  /** Walk this connection's transfer log with the event. */
  | { readonly kind: 'walkTransferLog'; readonly nodeId: number; readonly event: 'cancelSuspendedIo' | 'resend' }
  /** Walk the whole transfer log with COMPLETION_RESUMED; restart: also the requests that were put back. */
  | { readonly kind: 'completionResumed'; readonly restart: boolean }
  | { readonly kind: 'clearGotNegAck'; readonly vnr: number; readonly nodeId: number }
  | { readonly kind: 'flushPending'; readonly sequence: boolean }
  | { readonly kind: 'sendPeerAck' }
  /** Take (acquire) or give back the extra reference on the backing device; at the last one the disk goes to Diskless (7.5). */
  | { readonly kind: 'ldevReference'; readonly vnr: number; readonly acquire: boolean }
  | { readonly kind: 'abortLocalIo'; readonly vnr: number }
  /** Stop application I/O to this volume and wait until none is in flight (or all is suspended): event `ioQuiet` with token. */
  | { readonly kind: 'suspendIo'; readonly vnr: number; readonly token: number }
  | { readonly kind: 'resumeIo'; readonly vnr: number }
  | { readonly kind: 'congestionOver'; readonly nodeId: number }
  // --- helpers, notifications, log
  /**
   * Runs the usermode helper. wait: the queue stands still until it exits. token > 0: the event `helperDone` follows.
   * vnr -1 or nodeId -1: not part of its arguments. @spec genetlink.md 8
   */
  | { readonly kind: 'helper'; readonly name: string; readonly vnr: number; readonly nodeId: number;
      readonly wait: boolean; readonly token: number }
  /** One multicast; `more`: NOTIFY_CONTINUES. Info is NEW of that change, statistics are live. */
  | { readonly kind: 'notify'; readonly object: Notified; readonly more: boolean }
  /** One log line without prefix. vnr/nodeId choose the prefix; -1: none. level as LogLevel. */
  | { readonly kind: 'log'; readonly level: number; readonly vnr: number; readonly nodeId: number; readonly text: string }
  // --- time, answers, persistence
  /** Replaces a timer of the same name. Fires the event `timer`. */
  | { readonly kind: 'timerStart'; readonly name: string; readonly delayMs: number }
  | { readonly kind: 'timerStop'; readonly name: string }
  /** Give this event back to step() when the effect is reached. */
  | { readonly kind: 'raise'; readonly event: Event }
  /** A request (admin command, attach step …) ended. rc: Ss or, where genuine answers so, an ERR_ number. */
  | { readonly kind: 'done'; readonly request: number; readonly rc: number; readonly reason: Reason | null }
  /** A sticky fact for the journal; it must be there before any later effect of this step. */
  | { readonly kind: 'sticky'; readonly fact: Sticky }
  /** uevent "change" of the block device. */
  | { readonly kind: 'uevent'; readonly vnr: number }
  /** Capacity or queue limits must be determined again. */
  | { readonly kind: 'limits'; readonly vnr: number }
  /** All nodes have agreed on this size; parents: SyncTarget of these. @spec state.md 6.11 */
  | { readonly kind: 'commitSize'; readonly vnr: number; readonly newSizeSectors: number; readonly userSizeSectors: number;
      readonly ddsFlags: number; readonly diskfulPrimaryNodes: NodeMask; readonly parents: NodeMask; readonly children: NodeMask };

export type Notified =
  | { readonly object: 'resource'; readonly info: ResourceInfo }
  | { readonly object: 'connection'; readonly nodeId: number; readonly info: ConnectionInfo }
  | { readonly object: 'device'; readonly vnr: number; readonly info: DeviceInfo }
  | { readonly object: 'peerDevice'; readonly vnr: number; readonly nodeId: number; readonly info: PeerDeviceInfo };

/** Facts that a new engine must have (design, decision 8). Each replaces the earlier one of its kind and object. */
export type Sticky =
  | { readonly kind: 'role'; readonly role: number; readonly explicitPrimary: boolean }
  | { readonly kind: 'suspended'; readonly user: boolean; readonly nod: boolean; readonly quorum: boolean; readonly uuid: boolean;
      readonly failIo: boolean }
  | { readonly kind: 'members'; readonly members: NodeMask }
  | { readonly kind: 'standAlone'; readonly nodeId: number; readonly standAlone: boolean }
  | { readonly kind: 'fencing'; readonly nodeId: number; readonly suspFen: boolean; readonly pdsk: readonly number[] }
  | { readonly kind: 'exposedUuid'; readonly vnr: number; readonly uuid: bigint }
  | { readonly kind: 'disk'; readonly vnr: number; readonly disk: number; readonly newCurUuid: boolean }
  | { readonly kind: 'outgrown'; readonly vnr: number; readonly outgrown: boolean }
  /** Generations that a diskless node has replaced up to the one that it exposes, newest first; the peer that may be behind, or -1. */
  | { readonly kind: 'replaced'; readonly vnr: number; readonly exposed: bigint; readonly nodeId: number; readonly overtaken: bigint;
      readonly uuids: readonly bigint[] }
  | { readonly kind: 'pauseSync'; readonly vnr: number; readonly nodeId: number; readonly user: boolean };

export interface Result {
  readonly rc: Ss;
  readonly reason: Reason | null;
}
