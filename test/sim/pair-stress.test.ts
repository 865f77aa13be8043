// SPDX-License-Identifier: GPL-2.0-or-later
/** Two nodes under load and trouble: nothing acknowledged is lost, and both end UpToDate and equal. More: `npm run sim`. */
import { describe, expect, it } from 'vitest';
import { regressions } from '../../src/sim/pair/regressions.ts';
import { PairStress } from '../../src/sim/pair/pair.ts';
import type { PairOptions } from '../../src/sim/pair/pair.ts';
import { everyTrouble } from '../../src/sim/pair/troubles.ts';

const SEEDS = Number(process.env.SIM_SEEDS ?? 10);

async function survives(options: PairOptions): Promise<PairStress> {
  const stress = new PairStress(options);
  try {
    await stress.run();
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${(error as Error).message}; ${stress.history.slice(-6).join('; ')}`, { cause: error });
  }
  return stress;
}

describe('two nodes under trouble', () => {
  for (const trouble of everyTrouble) {
    it(`${trouble} alone`, async () => {
      for (let seed = 1; seed <= 3; seed++) await survives({ seed, troubles: [trouble], writes: 300, wide: false });
    });
  }
  it(`everything mixed, ${SEEDS} seeds`, async () => {
    for (let seed = 100; seed < 100 + SEEDS; seed++) await survives({ seed, wide: false });
  });
  for (const [name, wireProtocol] of [['A', 1], ['B', 2]] as const) {
    it(`protocol ${name}`, async () => {
      for (let seed = 1; seed <= 3; seed++) await survives({ seed, wireProtocol, wide: false });
    });
  }
  it('the activity log evicts and starves', async () => { await survives({ seed: 1, wide: true, troubles: ['reset', 'slowDisk'], writes: 400 }); });
  it('the same seed gives the same run', async () => {
    const [one, two] = [await survives({ seed: 7, wide: false }), await survives({ seed: 7, wide: false })];
    expect(one.cluster.world.digest).toBe(two.cluster.world.digest);
  });
});

describe('seeds that failed once', () => {
  for (const regression of regressions) {
    it(`${regression.seed}: ${regression.lost}`, async () => { await survives(regression); });
  }
});
