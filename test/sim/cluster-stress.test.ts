// SPDX-License-Identifier: GPL-2.0-or-later
/** N nodes under load, faults and commands. More: `npm run sim`; docs/simulation.md. */
import { describe, expect, it } from 'vitest';
import type { Wanted } from '../../src/sim/stress/plan.ts';
import { clusterRegressions } from '../../src/sim/stress/regressions.ts';
import { replay, runSeed } from '../../src/sim/stress/report.ts';

const TIME = 240_000;

async function survives(wanted: Wanted): Promise<string> {
  const { failure, digest } = await runSeed(wanted);
  expect(failure).toBe('');
  return digest;
}

describe('three nodes', () => {
  it.each([3, 5, 8])('seed %i', async (seed) => { await survives({ seed, nodes: 3, minutes: 0.5 }); }, TIME);
});

it('two nodes', async () => { await survives({ seed: 1, nodes: 2, minutes: 0.5 }); }, TIME);
it('five nodes', async () => { await survives({ seed: 7, nodes: 5, minutes: 0.3 }); }, TIME);

describe('the same seed', () => {
  it('gives the same run', async () => {
    const wanted: Wanted = { seed: 4, nodes: 3, minutes: 0.2 };
    expect(await survives(wanted)).toBe(await survives(wanted));
  }, TIME);
  it('is replayed byte for byte', async () => {
    const lines: string[][] = [[], []];
    for (const into of lines) await replay({ seed: 5, nodes: 3, minutes: 0.1 }, null, (line) => into.push(line));
    expect(lines[0]).toEqual(lines[1]);
    expect(lines[0]!.length).toBeGreaterThan(100);
  }, TIME);
});

describe('seeds that failed once', () => {
  it.each(clusterRegressions)('$seed: $lost', async ({ lost: _, drawn, ...wanted }) => { await survives(drawn ? wanted : { features: [], ...wanted }); }, TIME);
});
