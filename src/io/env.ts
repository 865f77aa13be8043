// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * What the I/O engine needs from above (facts, pushed by the control layer after each state change) and from its
 * neighbours, and what it tells them. Facts are plain numbers so that the hot path reads fields and calls nothing.
 */
import type { Arena } from '../host/arena.ts';
import type { BlockDevice } from '../host/block.ts';
import type { Clock } from '../host/clock.ts';
import type { Crypto } from '../host/crypto.ts';
import type { LogLevel } from '../host/log.ts';
import type { LowerDevice } from '../host/lower.ts';
import type { Stream } from '../host/net.ts';

/** States as numbers. @spec state.md 1.2 to 1.5 */
export const Role = { Unknown: 0, Primary: 1, Secondary: 2 } as const;
export const Disk = {
  Diskless: 0, Attaching: 1, Detaching: 2, Failed: 3, Negotiating: 4, Inconsistent: 5, Outdated: 6, Unknown: 7,
  Consistent: 8, UpToDate: 9,
} as const;
export const Repl = {
  Off: 9, Established: 10, StartingSyncS: 11, StartingSyncT: 12, WFBitMapS: 13, WFBitMapT: 14, WFSyncUUID: 15,
  SyncSource: 16, SyncTarget: 17, VerifyS: 18, VerifyT: 19, PausedSyncS: 20, PausedSyncT: 21, Ahead: 22, Behind: 23,
} as const;

/** Methods of write ordering, res_stat_write_ordering. @spec io.md 3.6 */
export const Ordering = { none: 0, drain: 1, flush: 2, barrier: 3 } as const;

/** Disk option on-io-error does not matter here: the env decides. */
export const ErrorKind = { read: 0, write: 1, meta: 2 } as const;
export type ErrorKind = (typeof ErrorKind)[keyof typeof ErrorKind];

/** Facts of a resource; written inside ResourceIo.update(). */
export interface ResourceFacts {
  role: number;
  /** cached_susp: any of the suspension flags (io.md 13.1). */
  suspended: boolean;
  /** cached_all_devices_have_quorum or on-no-quorum is not io-error: completions may be good. */
  completionQuorum: boolean;
  /** Resource options nr-requests, peer-ack-window (sectors), peer-ack-delay (ms). */
  nrRequests: number;
  peerAckWindow: number;
  peerAckDelayMs: number;
}

export interface DeviceFacts {
  disk: number;
  /** cached_err_io, cached_state_unstable. */
  errIo: boolean;
  unstable: boolean;
  /** NEW_CUR_UUID: a new generation must be made before the next I/O. */
  newCurUuid: boolean;
  /** suspend_cnt + pending_bitmap_work.n: new I/O waits while above 0. */
  blocked: number;
  /** Opened at least once for writing and not closed since; opens now. Only logged. */
  openCount: number;
  /** Disk option read-balancing, 0 to 10. */
  readBalancing: number;
  /** AL_DISABLED in the meta-data, AL_SUSPENDED. */
  alDisabled: boolean;
  alSuspended: boolean;
  /** Disk options disk-barrier, disk-flushes, disk-drain, discard-zeroes-if-aligned. */
  diskFlushes: boolean;
  diskDrain: boolean;
  discardZeroesIfAligned: boolean;
}

export interface ConnectionFacts {
  /** cstate is Connected (9) or above. */
  connected: boolean;
  /** Protocol.A, B or C as configured now. */
  protocol: number;
  peerRole: number;
  twoPrimaries: boolean;
  /** Net options max-epoch-size, max-buffers (pages), timeout (0.1 s), ko-count, use-rle. */
  maxEpochSize: number;
  maxBuffers: number;
  timeout: number;
  koCount: number;
  useRle: boolean;
}

export interface PeerDeviceFacts {
  /** Replication state, Repl.Off when not connected. */
  repl: number;
  /** Peer disk state. */
  pdisk: number;
  /** Slot in the bitmap, -1 none. */
  bitmapIndex: number;
  allowRemoteRead: boolean;
  /** Resync options, units as configured: KiB/s, 0.1 s, sectors. */
  resyncRate: number;
  cPlanAhead: number;
  cDelayTarget: number;
  cFillTarget: number;
  cMaxRate: number;
  cMinRate: number;
}

/** An activity log as the submitter uses it; references are counted per extent of 4 MiB. @spec io.md 8.2 */
export interface IoActivityLog {
  /** Slots, and slots with a reference. */
  readonly size: number;
  readonly used: number;
  /** Extents that a commit would bring in. */
  readonly pendingChanges: number;
  /** A transaction is being written. */
  readonly writing: boolean;
  /** Takes a reference if the extent is active now; never changes the set. */
  getIfActive(extent: number): boolean;
  /** Takes a reference, bringing the extent in with the next commit if need be; false: wait (starving, full, writing). */
  get(extent: number): boolean;
  /** Drops a reference; true when it was the last one. */
  put(extent: number): boolean;
  /** Is the extent referenced now? */
  isActive(extent: number): boolean;
  /** Writes the pending changes (the bitmap pages of what is evicted first); committed(ok) follows later, or at once without changes. */
  commit(): void;
}

/** The bitmap of a device. Slots are Int32 >= 0, bits Float64; ranges inclusive. Every call is cheap or sliced by its caller. */
export interface IoBitmap {
  readonly slots: number;
  readonly bits: number;
  /** Bits newly set, newly cleared, set now. */
  setRange(slot: number, first: number, last: number): number;
  clearRange(slot: number, first: number, last: number): number;
  countRange(slot: number, first: number, last: number): number;
  /** Set bits of a slot. */
  weight(slot: number): number;
  /** First set bit at or after `from`; -1 none. */
  nextSet(slot: number, from: number): number;
  /** 32-bit words of a slot, little endian in bit order: bit i is bit i % 32 of word i / 32. */
  getWord(slot: number, word: number): number;
  /** ORs a word in; bits newly set. Bits beyond the end are refused by an assertion. */
  orWord(slot: number, word: number, value: number): number;
  /** Writes pages marked by cleared bits, without waiting. */
  writeLazy(slot: number): void;
}

/** What comes with a disk. */
export interface IoDisk {
  readonly lower: LowerDevice;
  readonly al: IoActivityLog;
  readonly bitmap: IoBitmap;
}

/** The two streams of a connection as I/O uses them. Ends with ConnectionIo.disconnected(). */
export interface PeerLink {
  /** Agreed protocol version and features (wire.md 3). */
  readonly version: number;
  readonly features: number;
  readonly data: Stream;
  readonly control: Stream;
  /** data-integrity-alg of what we send, of what we receive; '' none. */
  readonly integrityAlg: string;
  readonly peerIntegrityAlg: string;
  /** We are the end with RESOLVE_CONFLICTS (wire.md 1.4). */
  readonly resolveConflicts: boolean;
}

/** Why a connection must go. */
export type LinkFailure = 'ProtocolError' | 'NetworkFailure' | 'Timeout';

/** Events up. They may come from any call into this folder, also from inside update(); the receiver may defer its work. */
export interface IoEnv {
  readonly clock: Clock;
  readonly crypto: Crypto;
  log(level: LogLevel, text: string): void;
  /** Per on-io-error; the disk facts should have changed when this returns, so that a retry avoids the disk. */
  ioError(vnr: number, kind: ErrorKind): void;
  /** The first I/O after NEW_CUR_UUID: make the generation, clear the fact by update(). Called once per set fact. */
  needNewCurrentUuid(vnr: number): void;
  /** Nothing of this device is on its disk any more while its disk is Failed or Detaching. */
  diskIdle(vnr: number): void;
  /** No application write is in flight any more (ap_bio_cnt[write] = 0); only while facts.blocked > 0. */
  writesDrained(vnr: number): void;
  /** Connection must be dropped; the text is for the log. Called at most once per link. */
  linkFailed(nodeId: number, failure: LinkFailure, text: string): void;
  /** A write error or missing disk at the peer was reported while its disk counted as UpToDate (GOT_NEG_ACK). */
  gotNegAck(vnr: number, nodeId: number): void;
  /** P_BITMAP exchange is over on this side: start the resync (uuid.md 6.1 last row). */
  bitmapExchanged(vnr: number, nodeId: number, side: 'source' | 'target'): void;
  /** Target: nothing left (bits <= failed) and no flush outstanding (RS_DONE). */
  resyncDone(vnr: number, nodeId: number): void;
  /** Target: the source went Ahead (P_RS_CANCEL_AHEAD). Source, Ahead: all is acked (AHEAD_TO_SYNC_SOURCE). */
  syncTargetToBehind(vnr: number, nodeId: number): void;
  aheadDrained(nodeId: number): void;
  /** Statistics of the peer device moved on (at most every 3 s in a resync). */
  resyncProgress(vnr: number, nodeId: number): void;
  /** Every connection's barriers are acked and nothing is in flight (the last close waits for it). */
  drained(): void;
}

/** Everything that a device is made of below the disk. */
export interface DeviceParts {
  readonly vnr: number;
  readonly block: BlockDevice;
  /** Arena of bios and of payload from peers: block.data. */
  readonly arena: Arena;
}

export const resourceFacts = (): ResourceFacts => ({
  role: Role.Secondary, suspended: false, completionQuorum: true, nrRequests: 8000, peerAckWindow: 4096,
  peerAckDelayMs: 100,
});

export const deviceFacts = (): DeviceFacts => ({
  disk: Disk.Diskless, errIo: false, unstable: false, newCurUuid: false, blocked: 0, openCount: 0, readBalancing: 0,
  alDisabled: false, alSuspended: false, diskFlushes: true, diskDrain: true, discardZeroesIfAligned: true,
});

export const connectionFacts = (): ConnectionFacts => ({
  connected: false, protocol: 3, peerRole: Role.Unknown, twoPrimaries: false, maxEpochSize: 2048, maxBuffers: 2048,
  timeout: 60, koCount: 7, useRle: true,
});

export const peerDeviceFacts = (): PeerDeviceFacts => ({
  repl: Repl.Off, pdisk: Disk.Unknown, bitmapIndex: -1, allowRemoteRead: true, resyncRate: 250, cPlanAhead: 20,
  cDelayTarget: 10, cFillTarget: 100, cMaxRate: 102400, cMinRate: 250,
});
