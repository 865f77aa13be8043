// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * Child of sim-mutations.ts: sim-mutant.ts FIRST, or the name of one run. Runs one after the other, says which one it begins, and what was
 * wrong with the first that fails.
 */
import { mutantRuns } from '../src/sim/mutant-runs.ts';
import { hazards } from '../test/sim/hazards/hazard.ts';
import '../test/sim/rules.test.ts';

/** What is told in several ways has one id: the second one is story:R-01/2. */
const stories = hazards.map(({ id, run }, i) => {
  const before = hazards.slice(0, i).filter((other) => other.id === id).length;
  return { name: `story:${id}${before > 0 ? `/${before + 1}` : ''}`, run };
});
const runs = mutantRuns(stories);

const say = (what: object): void => { console.log(JSON.stringify(what)); };
const [wanted = '0'] = process.argv.slice(2);
const named = runs.findIndex(({ name }) => name === wanted);
const first = named < 0 ? Number(wanted) : named;

for (const [i, { name, run }] of runs.slice(first, named < 0 ? undefined : first + 1).entries()) {
  say({ at: first + i, name });
  try { await run(); } catch (error) {
    say({ wrong: (error as Error).message.split('\n')[0] });
    process.exit(0);
  }
}
say({ wrong: '' });
