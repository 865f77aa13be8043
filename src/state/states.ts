// SPDX-License-Identifier: GPL-2.0-or-later
/** Enumerations with the numbers and words of DRBD. @spec state.md 1 */

export const Role = { unknown: 0, primary: 1, secondary: 2 } as const;
export type Role = (typeof Role)[keyof typeof Role];

/** Connection state. 3..7 say why a connection was lost. */
export const Cstate = {
  standAlone: 0, disconnecting: 1, unconnected: 2, timeout: 3, brokenPipe: 4, networkFailure: 5,
  protocolError: 6, tearDown: 7, connecting: 8, connected: 9,
} as const;
export type Cstate = (typeof Cstate)[keyof typeof Cstate];

/** Replication state; one number space with Cstate (off = connected). */
export const Repl = {
  off: 9, established: 10, startingSyncS: 11, startingSyncT: 12, wfBitMapS: 13, wfBitMapT: 14, wfSyncUuid: 15,
  syncSource: 16, syncTarget: 17, verifyS: 18, verifyT: 19, pausedSyncS: 20, pausedSyncT: 21, ahead: 22, behind: 23,
} as const;
export type Repl = (typeof Repl)[keyof typeof Repl];

/** Special values of PeerDeviceRow.negotiationResult; anything else is a Repl. */
export const Negotiation = { negotiating: 9, noResult: 23 } as const;

export const Disk = {
  diskless: 0, attaching: 1, detaching: 2, failed: 3, negotiating: 4, inconsistent: 5, outdated: 6, unknown: 7,
  consistent: 8, upToDate: 9, mask: 15,
} as const;
export type Disk = (typeof Disk)[keyof typeof Disk];

export const roleNames: readonly string[] = ['Unknown', 'Primary', 'Secondary'];
export const cstateNames: readonly string[] = ['StandAlone', 'Disconnecting', 'Unconnected', 'Timeout', 'BrokenPipe',
  'NetworkFailure', 'ProtocolError', 'TearDown', 'Connecting', 'Connected'];
/** Indexed by Repl; below `off` empty. */
export const replNames: readonly string[] = ['', '', '', '', '', '', '', '', '', 'Off', 'Established', 'StartingSyncS',
  'StartingSyncT', 'WFBitMapS', 'WFBitMapT', 'WFSyncUUID', 'SyncSource', 'SyncTarget', 'VerifyS', 'VerifyT',
  'PausedSyncS', 'PausedSyncT', 'Ahead', 'Behind'];
export const diskNames: readonly string[] = ['Diskless', 'Attaching', 'Detaching', 'Failed', 'Negotiating',
  'Inconsistent', 'Outdated', 'DUnknown', 'Consistent', 'UpToDate'];

export const isSyncSource = (r: Repl): boolean => r === Repl.syncSource || r === Repl.pausedSyncS;
export const isSyncTarget = (r: Repl): boolean => r === Repl.syncTarget || r === Repl.pausedSyncT;
export const isSync = (r: Repl): boolean => isSyncSource(r) || isSyncTarget(r);
export const isVerify = (r: Repl): boolean => r === Repl.verifyS || r === Repl.verifyT;
/** SyncSource..PausedSyncT, which includes the verify states. */
export const isSyncOrVerify = (r: Repl): boolean => r >= Repl.syncSource && r <= Repl.pausedSyncT;
/** Loss reasons 3..7. */
export const isLost = (c: Cstate): boolean => c >= Cstate.timeout && c <= Cstate.tearDown;

/** Fencing policy of a connection. */
export const Fencing = { dontCare: 0, resourceOnly: 1, resourceAndStonith: 2 } as const;
export type Fencing = (typeof Fencing)[keyof typeof Fencing];

/** Settings of quorum and quorum-minimum-redundancy; 1..32 are plain numbers of nodes. */
export const Quorum = { off: 0, majority: 1024, all: 1025 } as const;

/** What the peer said in the flags word of P_UUIDS110. @spec wire.md 5.7 */
export const UuidFlag = {
  discardMyData: 1, crashedPrimary: 2, inconsistent: 4, skipInitialSync: 8, newDatagen: 16, stable: 32,
  gotStable: 64, resync: 128, reconnect: 256, disklessPrimary: 512, primaryLostQuorum: 1024, syncTarget: 2048,
  hasUnalloc: 4096,
  /** Between two drbdd only: nothing was written in the current generation. */
  unused: 0x10_0000,
  /** Likewise: it is in sync with a node that was up as the two lost each other. Bits 22 to 26 say with which. */
  vouched: 0x20_0000,
} as const;
export const WITNESS_SHIFT = 22;

/** Flags of the super block, as on disk. @spec metadata.md 4 */
export const MdFlag = {
  consistent: 0x001, primaryInd: 0x002, wasUpToDate: 0x010, crashedPrimary: 0x040, alClean: 0x080,
  alDisabled: 0x100, primaryLostQuorum: 0x200, haveQuorum: 0x400,
} as const;
/** Flags of a peer slot, as on disk. */
export const PeerFlag = {
  connected: 0x01, outdated: 0x02, fencing: 0x04, fullSync: 0x08, deviceSeen: 0x10, nodeExists: 0x10000,
} as const;

/** Flags of a transaction. @spec state.md 2.2 */
export const Cs = {
  hard: 1, verbose: 2, waitComplete: 4, serialize: 8, alreadySerialized: 16, localOnly: 32, prepare: 64,
  prepared: 128, abort: 256, twopc: 512, ignOutdFail: 1024, dontRetry: 2048, forceRecalc: 8192,
  clusterWide: 16384, fpLocalUpToDate: 32768, fpOutdatePeers: 65536, fsIgnOpeners: 131072,
} as const;
