// SPDX-License-Identifier: GPL-2.0-or-later
/** Child of sim-mutations.ts: runs the seeds named (pair:3 cluster:5 …) and says which is the first to fail. */
import { mutantSeed } from '../src/sim/mutant-seeds.ts';

for (const name of process.argv.slice(2)) {
  const wrong = await mutantSeed(name);
  if (wrong === '') continue;
  console.log(JSON.stringify({ name, wrong }));
  process.exit(0);
}
console.log('null');
