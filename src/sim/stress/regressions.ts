// SPDX-License-Identifier: GPL-2.0-or-later
/** Seeds of the N-node stress that failed once, and why: each stays as it was found. */
import type { Wanted } from './plan.ts';

export interface ClusterRegression extends Wanted {
  readonly lost: string;
}

export const clusterRegressions: readonly ClusterRegression[] = [
  { seed: 1, nodes: 3, minutes: 1, lost: 'quorum back after I/O errors: the generation that was due was not made before the next peer synced' },
];
