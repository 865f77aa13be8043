// SPDX-License-Identifier: GPL-2.0-or-later
import type { Stream } from './net.ts';

/** The two streams of a connection, and what was agreed on them. Ends with the connection's incarnation. */
export interface PeerLink {
  /** Agreed protocol version and features (wire.md 3). */
  readonly version: number;
  readonly features: number;
  /** Streams for packets that are encoded in place; reserve() gives -1 while packets of ours wait before them. */
  readonly data: Stream;
  readonly control: Stream;
  /** data-integrity-alg of what we send, and of what we receive (from P_PROTOCOL on); '' none. */
  readonly integrityAlg: string;
  readonly peerIntegrityAlg: string;
  /** We are the end with RESOLVE_CONFLICTS (wire.md 1.4). */
  readonly resolveConflicts: boolean;
  /** When the last P_PING came, in ms of the clock: what the peer sent after it, it has decided later than that. 0: none yet. */
  readonly pingedMs: number;
  /**
   * On: everything else on the data stream waits, while data.reserve() still works: bitmap packets follow each other.
   * May only be put on when data.reserve() works; false: not now, try again when writable.
   */
  exclusive(on: boolean): boolean;
}
