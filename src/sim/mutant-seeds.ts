// SPDX-License-Identifier: GPL-2.0-or-later
/** The runs that a mutation has to survive: the pair's stress first, since it is quick, with a small and with a wide disk, then clusters of three. */
import { PairStress } from './pair/pair.ts';
import type { PairOptions } from './pair/pair.ts';
import { runSeed } from './stress/report.ts';

const PAIR_SEEDS = 16;
const WIDE_SEEDS = 4;
const CLUSTER_SEEDS = 8;

/** With more extents than the activity log has slots. */
const CRASHES = ['crashSecondary', 'restartPrimary', 'crashBoth', 'killPrimaryEngine', 'killSecondaryEngine'] as const;

export const mutantSeeds: readonly string[] = [
  ...Array.from({ length: PAIR_SEEDS }, (_, i) => `pair:${i + 1}`),
  ...Array.from({ length: WIDE_SEEDS }, (_, i) => `wide:${i + 1}`),
  ...Array.from({ length: CLUSTER_SEEDS }, (_, i) => `cluster:${i + 1}`),
];

/** What is wrong with a run, '' when nothing is. */
export async function mutantSeed(name: string): Promise<string> {
  const [kind, number] = name.split(':');
  const seed = Number(number);
  if (kind === 'cluster') {
    const { rule, failure } = await runSeed({ seed, nodes: 3, minutes: 0.5 });
    return rule && `${rule}: ${failure.split('\n')[2]!.trim()}`;
  }
  const options: PairOptions = kind === 'wide' ? { seed, wide: true, writes: 400, troubles: CRASHES } : { seed, wide: false };
  try { await new PairStress(options).run(); } catch (error) { return (error as Error).message; }
  return '';
}
