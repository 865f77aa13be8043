// SPDX-License-Identifier: GPL-2.0-or-later
/** Seeds of the N-node stress that failed once, and why: each stays as it was found. */
import type { Wanted } from './plan.ts';

export interface ClusterRegression extends Wanted {
  readonly lost: string;
}

export const clusterRegressions: readonly ClusterRegression[] = [
  { seed: 1, nodes: 3, minutes: 1, lost: 'quorum back after I/O errors: the generation that was due was not made before the next peer synced' },
  { seed: 2, nodes: 3, minutes: 0.5, lost: 'a new generation was made while a peer was Negotiating: it stayed UpToDate without the writes' },
  { seed: 2, nodes: 5, minutes: 0.3, lost: 'the target of two sources stayed Inconsistent for one of them' },
  { seed: 27, nodes: 5, minutes: 0.3, lost: 'a resync target lost power: its own bits had never been on its disk' },
  { seed: 21, nodes: 5, minutes: 0.3, lost: 'the first word of a refused Primary ended a resync' },
  { seed: 9, nodes: 3, minutes: 0.5, lost: 'a Primary that had data again wrote on in the generation of a peer it had lost meanwhile' },
  { seed: 7, nodes: 3, minutes: 0.5, lost: 'a bitmap that came while the attach waited for a third node was dropped: WFBitMapT for ever' },
  { seed: 12, nodes: 3, minutes: 0.5, lost: 'a target that is a source: bits cleared by acks of old data; invalidate from an Outdated peer; '
    + 'bits that P_PEERS_IN_SYNC left' },
  { seed: 16, nodes: 3, minutes: 0.5, lost: 'split brain between two targets of a third node' },
  { seed: 25, nodes: 3, minutes: 0.5, lost: 'an attach raised the dagtag of a Primary: resync reads waited for a dagtag that was never announced' },
  { seed: 34, nodes: 3, minutes: 0.5, lost: 'Consistent for ever beside an attached equal; bits left between UpToDate disks' },
  { seed: 44, nodes: 3, minutes: 0.5, lost: 'a connect that its target refused at the commit: one end was Connected, the other was not' },
  { seed: 45, nodes: 3, minutes: 0.5, lost: 'bits left between UpToDate disks' },
  { seed: 62, nodes: 3, minutes: 0.5, lost: 'two ends with different ping-timeouts never connected' },
  { seed: 1, nodes: 3, minutes: 0.5, lost: 'a crashed Primary of protocol A and the present one have one label: bits between them were cleared by it' },
  { seed: 4, nodes: 3, minutes: 0.5, lost: 'WFBitMapS for ever after a Primary was lost; an attach made a Primary UpToDate with older data than it had shown' },
  { seed: 37, nodes: 3, minutes: 0.5, lost: 'split brain: a target of a third node counted as equal at the end of a resync' },
  { seed: 40, nodes: 3, minutes: 0.5, lost: 'WFBitMapT for ever: an attach as target and source skipped the exchange of bitmaps' },
  { seed: 43, nodes: 3, minutes: 0.5, lost: 'as seed 1, with protocol B' },
  { seed: 48, nodes: 3, minutes: 0.5, lost: 'a diskless Secondary showed an equal peer as Consistent for ever' },
  { seed: 63, nodes: 3, minutes: 0.5, lost: 'a target that waited for the bitmap took over a new generation: old data came back as equal' },
  { seed: 65, nodes: 3, minutes: 0.5, lost: 'bits of equal generations were judged by old counts: WFBitMapS for ever' },
  { seed: 79, nodes: 3, minutes: 0.5, lost: 'a crashed, Inconsistent Primary of protocol A never met its peers' },
  { seed: 82, nodes: 3, minutes: 0.5, lost: 'split brain: the own former generation was not in the history after a resync' },
  { seed: 84, nodes: 3, minutes: 0.5, lost: 'a retried invalidate made a connection to nobody' },
  { seed: 175, nodes: 3, minutes: 0.5, lost: 'a discard that the own disk failed: old data were read from it' },
  { seed: 223, nodes: 3, minutes: 0.5, lost: 'a write under way to the lost sync source of a Primary was called good, and overwritten by the resync' },
  { seed: 199, nodes: 3, minutes: 0.5, lost: 'bits were cleared where a missed end was skipped, since its source was Outdated' },
  { seed: 86, nodes: 3, minutes: 0.5, lost: 'an Inconsistent node became UpToDate by its label beside a diskless Primary' },
  { seed: 191, nodes: 3, minutes: 0.5, lost: 'a Primary without good data of its own took older ones than it had shown' },
  { seed: 31, nodes: 5, minutes: 0.3, lost: 'the own bits of a target were cleared where its source had the better base' },
  { seed: 13, nodes: 5, minutes: 0.3, lost: 'P_PEERS_IN_SYNC cleared bits that its sender did not know of' },
  { seed: 15, nodes: 3, minutes: 0.5, lost: 'a resync from an Outdated source stood still and kept another one away' },
  { seed: 33, nodes: 3, minutes: 0.5, lost: 'Inconsistent beside UpToDate nodes after a resync from an unstable source' },
  { seed: 42, nodes: 3, minutes: 0.5, lost: 'an invalidate by bitmap out of PausedSyncS began on one end alone' },
  { seed: 167, nodes: 3, minutes: 0.5, lost: 'a resync target lost power: its bits for third nodes had never been on its disk' },
  { seed: 227, nodes: 3, minutes: 0.5, lost: 'a source never heard that its target was UpToDate' },
  { seed: 253, nodes: 3, minutes: 0.5, lost: 'a neighbour of a Primary became target of a crashed one' },
  { seed: 297, nodes: 3, minutes: 0.5, lost: 'an attach: WFBitMapS on both ends' },
  { seed: 339, nodes: 3, minutes: 0.5, lost: 'a bitmap came while the target still set its slot: WFBitMapT for ever' },
  { seed: 121, nodes: 3, minutes: 0.5, lost: 'P_PEERS_IN_SYNC named a neighbour that had got other blocks meanwhile' },
  { seed: 98, nodes: 3, minutes: 0.5, lost: 'as seed 121' },
  { seed: 370, nodes: 3, minutes: 0.5, lost: 'a resync without bits waited for a neighbour that the Primary had not told: it met it later' },
  { seed: 387, nodes: 3, minutes: 0.5, lost: 'a frozen Primary needed for its quorum a resync that waited for what was frozen' },
  { seed: 336, nodes: 3, minutes: 0.5, lost: 'an Outdated crashed Primary was source for an UpToDate disk: all Outdated' },
  { seed: 174, nodes: 3, minutes: 0.5, lost: 'a target ended in the former generation while its source got a new one' },
  { seed: 61, nodes: 3, minutes: 0.5, lost: 'bits left between three equals went round in a circle' },
];
