// SPDX-License-Identifier: GPL-2.0-or-later
import type { VersionOffer } from '../wire/versions.ts';

/** net options of one connection, in the units that they are used in. Replaced as a whole by ConnConnection.configure. */
export interface NetConf {
  /** Registered name of the transport class. */
  readonly transport: string;
  /** 1 A, 2 B, 3 C. */
  readonly wireProtocol: number;
  /** Numbers of wire.md 5.3. */
  readonly afterSb0p: number;
  readonly afterSb1p: number;
  readonly afterSb2p: number;
  readonly twoPrimaries: boolean;
  /** Kernel names of algorithms; '' for none. */
  readonly integrityAlg: string;
  readonly cramHmacAlg: string;
  readonly sharedSecret: string;
  readonly connectIntMs: number;
  readonly pingIntMs: number;
  readonly pingTimeoutMs: number;
  /** Send time-out of both streams. */
  readonly timeoutMs: number;
  /** 0: send time-outs on the data stream are never fatal. */
  readonly koCount: number;
  /** 0: pingTimeoutMs is used. */
  readonly socketCheckTimeoutMs: number;
  readonly sndbufBytes: number;
  readonly rcvbufBytes: number;
}

/** What stays for the life of a connection object. */
export interface ConnIdentity {
  readonly ownNodeId: number;
  readonly peerNodeId: number;
  readonly offer: VersionOffer;
}

/** Set by `connect`, cleared when the connection goes down (dryRun) or was used (discardMyData). */
export interface ConnectFlags {
  readonly discardMyData: boolean;
  readonly dryRun: boolean;
}
