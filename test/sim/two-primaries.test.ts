// SPDX-License-Identifier: GPL-2.0-or-later
/** Two nodes that are both Primary, fenced or split now and then. More: scripts/sim-two-primaries.ts; docs/simulation.md. */
import { describe, expect, it } from 'vitest';
import type { Wanted } from '../../src/sim/primaries/plan.ts';
import { regressions } from '../../src/sim/primaries/regressions.ts';
import { TwoPrimaries } from '../../src/sim/primaries/two-primaries.ts';

const TIME = 120_000;

async function survives(wanted: Wanted): Promise<TwoPrimaries> {
  const stress = new TwoPrimaries(wanted);
  try {
    await stress.run();
  } catch (error) {
    throw new Error(`seed ${wanted.seed}: ${(error as Error).message}; ${stress.history.slice(-8).join('; ')}`, { cause: error });
  }
  return stress;
}

describe('two Primaries', () => {
  it('20 seeds, fenced and split', async () => {
    const runs: TwoPrimaries[] = [];
    for (let seed = 1; seed <= 20; seed++) runs.push(await survives({ seed, minutes: 0.5 }));
    expect(new Set(runs.map(({ plan }) => plan.fenced))).toEqual(new Set([true, false]));
    expect(runs.filter(({ split }) => split !== '').length).toBeGreaterThan(0);
  }, TIME);
  it('the same seed gives the same run', async () => {
    const [one, two] = [await survives({ seed: 3, minutes: 0.3 }), await survives({ seed: 3, minutes: 0.3 })];
    expect(one.cluster.world.digest).toBe(two.cluster.world.digest);
  }, TIME);
});

describe('seeds that failed once', () => {
  it.each(regressions)('$seed: $lost', async ({ lost: _, ...wanted }) => { await survives(wanted); }, TIME);
});
