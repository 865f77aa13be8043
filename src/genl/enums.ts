// SPDX-License-Identifier: GPL-2.0-or-later
/** Values of option fields, by number (genetlink.md 4). Names are those of the configuration file. */
const numbers = <const T extends readonly string[]>(names: T) => names;

export const ON_IO_ERROR = numbers(['pass_on', 'call-local-io-error', 'detach']);
export const READ_BALANCING = numbers(['prefer-local', 'prefer-remote', 'round-robin', 'least-pending',
  'when-congested-remote', '32K-striping', '64K-striping', '128K-striping', '256K-striping', '512K-striping',
  '1M-striping']);
export const ON_NO_DATA = numbers(['io-error', 'suspend-io']);
export const ON_NO_QUORUM = numbers(['io-error', 'suspend-io']);
export const ON_SUSP_PRIMARY_OUTDATED = numbers(['disconnect', 'force-secondary']);
export const WIRE_PROTOCOL = numbers(['', 'A', 'B', 'C']);
export const AFTER_SB = numbers(['disconnect', 'discard-younger-primary', 'discard-older-primary',
  'discard-zero-changes', 'discard-least-changes', 'discard-local', 'discard-remote', 'consensus',
  'discard-secondary', 'call-pri-lost-after-sb', 'violently-as0p', 'retry-connect', 'auto-discard']);
export const ON_CONGESTION = numbers(['block', 'pull-ahead', 'disconnect']);
export const FENCING = numbers(['dont-care', 'resource-only', 'resource-and-stonith']);
export const WRITE_ORDERING = numbers(['none', 'drain', 'flush', 'barrier']);
export const ROLE = numbers(['Unknown', 'Primary', 'Secondary']);
export const TIMEOUT_TYPE = numbers(['default', 'degraded', 'peer outdated']);

/** Protocol numbers, compared with net_conf's wire_protocol. */
export const WireProtocol = { a: 1, b: 2, c: 3 } as const;
export const OnIoError = { passOn: 0, callLocalIoError: 1, detach: 2 } as const;
export const OnNoData = { ioError: 0, suspendIo: 1 } as const;
export const OnNoQuorum = { ioError: 0, suspendIo: 1 } as const;
export const OnSuspPrimaryOutdated = { disconnect: 0, forceSecondary: 1 } as const;
export const OnCongestion = { block: 0, pullAhead: 1, disconnect: 2 } as const;
export const Fencing = { dontCare: 0, resourceOnly: 1, resourceAndStonith: 2 } as const;
export const ReadBalancing = { preferLocal: 0, preferRemote: 1, roundRobin: 2, leastPending: 3,
  whenCongestedRemote: 4, striping32k: 5, striping64k: 6, striping128k: 7, striping256k: 8, striping512k: 9,
  striping1m: 10 } as const;
export const AfterSb = { disconnect: 0, discardYoungerPrimary: 1, discardOlderPrimary: 2, discardZeroChanges: 3,
  discardLeastChanges: 4, discardLocal: 5, discardRemote: 6, consensus: 7, discardSecondary: 8,
  callPriLostAfterSb: 9, violently: 10, retryConnect: 11, autoDiscard: 12 } as const;
/** Field quorum: 1..32 are numbers of nodes. */
export const Quorum = { off: 0, majority: 1024, all: 1025 } as const;
export const TimeoutType = { default: 0, degraded: 1, peerOutdated: 2 } as const;
