// SPDX-License-Identifier: GPL-2.0-or-later
/** Two nodes under load and trouble: nothing acknowledged is lost, and both end UpToDate and equal. */
import { describe, expect, it } from 'vitest';
import { Stress } from '../../src/sim/stress.ts';
import type { Trouble } from '../../src/sim/stress.ts';

const EVERY: readonly Trouble[] = ['disconnect', 'cut', 'reset', 'killPrimaryEngine', 'killSecondaryEngine', 'crashSecondary',
  'failOver'];
const SEEDS = Number(process.env.SIM_SEEDS ?? 10);

async function survives(seed: number, troubles: readonly Trouble[], wireProtocol = 3): Promise<Stress> {
  const stress = new Stress({ seed, writes: 300, troubles, wireProtocol });
  try {
    await stress.run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}; ${stress.history.slice(-6).join('; ')}`, { cause: error });
  }
  return stress;
}

describe('two nodes under trouble', () => {
  for (const trouble of EVERY) {
    it(`${trouble} alone`, async () => { for (let seed = 1; seed <= 3; seed++) await survives(seed, [trouble]); });
  }
  it(`everything mixed, ${SEEDS} seeds`, async () => {
    for (let seed = 100; seed < 100 + SEEDS; seed++) await survives(seed, EVERY);
  });
  for (const [name, protocol] of [['A', 1], ['B', 2]] as const) {
    it(`protocol ${name}, without fail-over`, async () => {
      for (let seed = 1; seed <= 3; seed++) await survives(seed, EVERY.filter((t) => t !== 'failOver'), protocol);
    });
  }
  it('the same seed gives the same run', async () => {
    const [one, two] = [await survives(7, EVERY), await survives(7, EVERY)];
    expect(one.cluster.world.digest).toBe(two.cluster.world.digest);
  });
});
