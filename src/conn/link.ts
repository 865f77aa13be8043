// SPDX-License-Identifier: GPL-2.0-or-later
import type { Stream } from '../host/net.ts';
import type { Path } from './transport-class.ts';

/** One incarnation of a connection: two streams and what was agreed on them. Fits IoEnv's PeerLink. */
export interface ConnLink {
  readonly path: Path;
  readonly version: number;
  readonly features: number;
  /** Streams for packets that are encoded in place; reserve() gives -1 while packets of ours wait before them. */
  readonly data: Stream;
  readonly control: Stream;
  /** data-integrity-alg of what we send, and of what we receive (from P_PROTOCOL on); '' none. */
  readonly integrityAlg: string;
  readonly peerIntegrityAlg: string;
  readonly resolveConflicts: boolean;
  /**
   * On: everything else on the data stream waits, while data.reserve() still works: bitmap packets follow each other.
   * May only be put on when data.reserve() works; false: not now, try again when writable.
   */
  exclusive(on: boolean): boolean;
  /** While on, no packet of the data stream is taken; every true needs its false. */
  wait(on: boolean): void;
}
