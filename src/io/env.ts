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
import type { Bitmap } from '../meta/bitmap.ts';
import { Disk, Repl, Role } from '../state/states.ts';

/** Methods of write ordering, res_stat_write_ordering. @spec io.md 3.6 */
export const Ordering = { none: 0, drain: 1, flush: 2, barrier: 3 } as const;

/** Disk option on-io-error does not matter here: the env decides. */
export const ErrorKind = { read: 0, write: 1, meta: 2, forceDetach: 3 } as const;
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
  /** WRITING_NEW_CUR_UUID: one is on its way to stable storage. */
  makingUuid: boolean;
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
  /** Disk option disk-timeout, 0.1 s; 0 none. */
  diskTimeout: number;
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
  /** csums-alg, verify-alg; '' none. */
  csumsAlg: string;
  verifyAlg: string;
  /** Net options on-congestion (number), congestion-fill (sectors, 0 none), congestion-extents. */
  onCongestion: number;
  congestionFill: number;
  congestionExtents: number;
}

export interface PeerDeviceFacts {
  /** Replication state, Repl.off when not connected. */
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
  /** A resync that begins now compares digests first: csums-alg, unless csums-after-crash-only says no. */
  useCsums: boolean;
}

/** Of a disk that does not know the operation. */
export const EOPNOTSUPP = 95;
/** What one extent of an activity log covers. */
export const EXTENT_SECTORS = 8192;

/**
 * An activity log as writes use it (src/meta's ActivityLog). Its handler's alActive(token, errno) goes to
 * DeviceIo.alActive. It must take AL_WAITERS waiting requests. @spec io.md 8.2
 */
export interface IoActivityLog {
  /** Extents with a reference, and room for them. */
  readonly used: number;
  readonly slots: { readonly count: number };
  /** References first..last; true: active now; false: alActive(token) follows. */
  begin(first: number, last: number, token: number): boolean;
  complete(first: number, last: number): void;
  /** A waiting one gives up. */
  cancel(token: number): boolean;
  isActive(first: number, last: number): boolean;
  /** The disk is on its way out: what is active stays so on the disk. */
  freeze(): void;
  /** The disk goes: alActive() for everyone who waits, now; nothing is written any more. */
  abandon(): void;
}

/** Room for waiting requests that an activity log must have. */
export const AL_WAITERS = 65536;

/** What comes with a disk. Only while the device is attached: DeviceIo.attach, detach. */
export interface IoDisk {
  readonly lower: LowerDevice;
  readonly al: IoActivityLog;
  readonly bitmap: Bitmap;
  /** No write has come to it in its current generation: the first one waits for IoEnv.useGeneration. */
  readonly unused: boolean;
  /** A write has come since the last resync to this disk began, or was under way then. */
  written: boolean;
  /** Writes pages marked by cleared bits, without waiting; nothing if a write-out runs. */
  writeLazy(): void;
  /** Number of the oldest meta-data operation that is on the disk, 0: none is. */
  oldestMetaOperation(): number;
}

/** Why a connection must go. */
export type LinkFailure = 'ProtocolError' | 'NetworkFailure' | 'Timeout' | 'Disconnecting';

/** Events up. They may come from any call into this folder, also from inside update(); the receiver may defer its work. */
export interface IoEnv {
  readonly clock: Clock;
  readonly crypto: Crypto;
  log(level: LogLevel, text: string): void;
  /** About a volume of a peer; nodeId -1: about the volume. */
  logAbout(vnr: number, nodeId: number, level: LogLevel, text: string): void;
  /** Per on-io-error; the disk facts should have changed when this returns, so that a retry avoids the disk. */
  ioError(vnr: number, kind: ErrorKind): void;
  /** The first I/O after NEW_CUR_UUID: make the generation, clear the fact by update(). Called once per set fact. */
  needNewCurrentUuid(vnr: number): void;
  /** The first write of a generation; the activity log is held until it may go on. */
  useGeneration(vnr: number): void;
  /** A write was answered as good that the own disk has not got. */
  answeredElsewhere(vnr: number): void;
  /** Nothing of this device is on its disk any more while its disk is Failed or Detaching. */
  diskIdle(vnr: number): void;
  /** No application write is in flight any more (ap_bio_cnt[write] = 0); only while facts.blocked > 0. */
  writesDrained(vnr: number): void;
  /** Connection must be dropped; the text is for the log. Called at most once per link. */
  linkFailed(nodeId: number, failure: LinkFailure, text: string): void;
  /** done(true): the peer has answered a ping that was sent now; done(false): the connection is lost. */
  ping(nodeId: number, done: (alive: boolean) => void): void;
  /** The peer could not write what it was sent; its P_STATE is here already or on its way. */
  gotNegAck(vnr: number, nodeId: number): void;
  /** Have the two peers told that their data are of one generation? */
  sameGeneration(vnr: number, nodeId: number, otherId: number): boolean;
  /** P_BITMAP exchange is over on this side: start the resync (uuid.md 6.1 last row). */
  bitmapExchanged(vnr: number, nodeId: number, side: 'source' | 'target'): void;
  /** Target: nothing left (bits <= failed) and no flush outstanding (RS_DONE). */
  resyncDone(vnr: number, nodeId: number): void;
  /** The peer has all now, by the word of another one. */
  noBitsLeft(vnr: number, nodeId: number): void;
  /** A connected peer with a good disk lacks something by what has been found out now: nobody may look at it again. */
  bitsOfGoodPeer(): void;
  /** Every block of an online verify has its result, or the stop sector is reached (RS_DONE). */
  verifyDone(vnr: number, nodeId: number): void;
  /** A source that had to pause takes over, or bits were set since: done() when what its blocks need is on the disk. */
  keepBits(vnr: number, nodeId: number, done: () => void): void;
  /** A target that had to pause has nothing on its way any more: another one may take its place. */
  resyncIdle(vnr: number, nodeId: number): void;
  /** Target: the source went Ahead (P_RS_CANCEL_AHEAD). Source, Ahead: all is acked (AHEAD_TO_SYNC_SOURCE). */
  syncTargetToBehind(vnr: number, nodeId: number): void;
  aheadDrained(nodeId: number): void;
  /** A write met a congested connection: the policy is to be applied, then handlingCongestion to be cleared. */
  congested(vnr: number, nodeId: number): void;
  /** Statistics of the peer device moved on (at most every 3 s in a resync). */
  resyncProgress(vnr: number, nodeId: number): void;
  /** P_STATE with the current state, in the order of the data stream (before the first P_OUT_OF_SYNC, and after it). */
  sendState(vnr: number, nodeId: number): void;
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
  role: Role.secondary, suspended: false, completionQuorum: true, nrRequests: 8000, peerAckWindow: 4096,
  peerAckDelayMs: 100,
});

export const deviceFacts = (): DeviceFacts => ({
  disk: Disk.diskless, errIo: false, unstable: false, newCurUuid: false, makingUuid: false, blocked: 0, openCount: 0, readBalancing: 0,
  alDisabled: false, alSuspended: false, diskFlushes: true, diskDrain: true, discardZeroesIfAligned: true,
  diskTimeout: 0,
});

export const connectionFacts = (): ConnectionFacts => ({
  connected: false, protocol: 3, peerRole: Role.unknown, twoPrimaries: false, maxEpochSize: 2048, maxBuffers: 2048,
  timeout: 60, koCount: 7, useRle: true, csumsAlg: '', verifyAlg: '',
  onCongestion: 0, congestionFill: 0, congestionExtents: 1237,
});

export const peerDeviceFacts = (): PeerDeviceFacts => ({
  repl: Repl.off, pdisk: Disk.unknown, bitmapIndex: -1, allowRemoteRead: true, resyncRate: 250, cPlanAhead: 20,
  cDelayTarget: 10, cFillTarget: 100, cMaxRate: 102400, cMinRate: 250, useCsums: false,
});
