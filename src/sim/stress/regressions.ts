// SPDX-License-Identifier: GPL-2.0-or-later
/** Seeds of the N-node stress that failed once, and why: each stays as it was found. */
import type { Wanted } from './plan.ts';

export interface ClusterRegression extends Wanted {
  readonly lost: string;
}

export const clusterRegressions: readonly ClusterRegression[] = [
  { seed: 1, nodes: 3, minutes: 1, lost: 'quorum back after I/O errors: the generation that was due was not made before the next peer synced' },
  { seed: 7, nodes: 3, minutes: 0.5, lost: 'a bitmap that came while the attach waited for a third node was dropped: WFBitMapT for ever' },
  { seed: 12, nodes: 3, minutes: 0.5, lost: 'a target that is a source: bits cleared by acks of old data; invalidate from an Outdated peer; '
    + 'bits that P_PEERS_IN_SYNC left' },
  { seed: 16, nodes: 3, minutes: 0.5, lost: 'split brain between two targets of a third node' },
  { seed: 25, nodes: 3, minutes: 0.5, lost: 'an attach raised the dagtag of a Primary: resync reads waited for a dagtag that was never announced' },
];
