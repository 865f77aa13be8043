// SPDX-License-Identifier: GPL-2.0-or-later
/** What a mutation has to survive: the first pairs notice most for the least, stories of single rules the rest. */
import { PairStress } from './pair/pair.ts';

/** Throws what is wrong. */
export interface MutantRun {
  readonly name: string;
  readonly run: () => Promise<void>;
}

const PAIRS = 16;
const FIRST = 4;

const pairs = Array.from({ length: PAIRS }, (_, i): MutantRun => ({ name: `pair:${i + 1}`, run: () => new PairStress({ seed: i + 1, wide: false }).run() }));

export const mutantRuns = (stories: readonly MutantRun[]): readonly MutantRun[] => [...pairs.slice(0, FIRST), ...stories, ...pairs.slice(FIRST)];
