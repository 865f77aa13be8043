// SPDX-License-Identifier: GPL-2.0-or-later
/** Seeds that failed once, and why: each stays as it was found. */
import type { PairOptions } from './pair.ts';

export interface Regression extends PairOptions {
  readonly lost: string;
}

export const regressions: readonly Regression[] = [
  { seed: 10, lost: 'writes of protocol A, complete before the loss of the peer was noticed: no new generation was made' },
  { seed: 19, lost: 'extents that became active while a Secondary logged nothing were not in its log as a Primary' },
  { seed: 21, lost: 'the same, read back after its engine had died' },
  { seed: 66, lost: 'new-current-uuid --clear-bitmap left the super blocks just created: never a resync again' },
  { seed: 95, lost: 'the same, seen after a fail-over' },
  { seed: 135, lost: 'the same, seen after a power failure of the Primary' },
  { seed: 176, lost: 'UUIDs sent before a diskless Primary made a generation decided the attach of its old disk' },
  { seed: 229, lost: 'a write of protocol A refused by a detached peer: its P_NEG_ACK came after the bitmap had been sent' },
  { seed: 237, lost: 'the link broke between the UUIDs and the disk state at the end of a resync: no new generation' },
  { seed: 1248, lost: 'a bitmap page with cleared bits was stable before the resynced data that they stand for' },
];
