// SPDX-License-Identifier: GPL-2.0-or-later
import type { PeerLink } from '../host/link.ts';
import type { Path } from './transport-class.ts';

/** One incarnation of a connection. */
export interface ConnLink extends PeerLink {
  readonly path: Path;
  /** While on, no packet of the data stream is taken; every true needs its false. */
  wait(on: boolean): void;
}
