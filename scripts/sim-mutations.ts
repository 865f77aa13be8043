// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * npm run sim:mutations [-- --only text] [-- --noticed] [-- --draw N --by commit] [-- --parallel P]: switches off one safety rule after
 * the other and prints how many runs it takes until the checker notices. Exit code 1 if one is not noticed.
 */
import { execFile } from 'node:child_process';
import { parseArgs } from 'node:util';
import { mutantSeeds } from '../src/sim/mutant-seeds.ts';
import { mutations, noticed } from '../src/sim/mutations.ts';
import type { Mutation } from '../src/sim/mutations.ts';
import { SimRandom } from '../src/sim/random.ts';

const LIMIT_MS = 900_000;
const { values } = parseArgs({ options: {
  only: { type: 'string' }, noticed: { type: 'boolean' }, draw: { type: 'string' }, by: { type: 'string', default: '' }, parallel: { type: 'string', default: '2' },
} });

function chosen(): readonly Mutation[] {
  const some = mutations.filter(({ name }) => (!values.only || name.includes(values.only)) && (!values.noticed || noticed.has(name)));
  if (!values.draw) return some;
  const random = new SimRandom([...values.by].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, 7));
  const left = [...some];
  return Array.from({ length: Math.min(Number(values.draw), left.length) }, () => left.splice(random.below(left.length), 1)[0]!);
}

interface Verdict { readonly name: string; readonly wrong: string }

function child(mutation: string, seeds: readonly string[]): Promise<Verdict | null> {
  return new Promise((resolve) => {
    const args = ['--import', new URL('./mutate.ts', import.meta.url).href, new URL('./sim-mutant.ts', import.meta.url).pathname, ...seeds];
    execFile(process.execPath, args, { env: { ...process.env, MUTATION: mutation }, timeout: LIMIT_MS }, (error, stdout, stderr) => {
      const line = stdout.trim().split('\n').at(-1) ?? '';
      // A run that dies or never ends is noticed as well; an edit that does not fit is not.
      if (/its text stands|no such mutation/.test(stderr)) throw new Error(stderr.match(/Error: (.*)/)?.[1] ?? stderr);
      resolve(line !== '' ? JSON.parse(line) as Verdict | null : { name: seeds[0]!, wrong: `died: ${error?.message.split('\n')[0] ?? ''}` });
    });
  });
}

const sound = new Map<string, Promise<boolean>>();
/** Does this run pass with all rules on? */
function isSound(name: string): Promise<boolean> {
  const known = sound.get(name) ?? child('', [name]).then((verdict) => verdict === null);
  sound.set(name, known);
  return known;
}

async function hunt(mutation: Mutation): Promise<{ runs: number; verdict: Verdict | null }> {
  let at = 0;
  while (at < mutantSeeds.length) {
    const verdict = await child(mutation.name, mutantSeeds.slice(at));
    if (verdict === null) break;
    at = mutantSeeds.indexOf(verdict.name) + 1;
    if (await isSound(verdict.name)) return { runs: at, verdict };
  }
  return { runs: mutantSeeds.length, verdict: null };
}

const waiting = [...chosen()];
const missed: string[] = [];
console.log('| rule switched off | runs until noticed | by | what was seen |\n|---|---|---|---|');
async function worker(): Promise<void> {
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { runs, verdict } = await hunt(next);
    if (verdict === null) missed.push(next.name);
    const seen = verdict?.wrong.split('\n')[0]!.slice(0, 110).replaceAll('|', '/') ?? '';
    console.log(`| ${next.name} | ${verdict ? runs : `not in ${runs}`} | ${verdict?.name ?? ''} | ${seen} |`);
  }
}
await Promise.all(Array.from({ length: Number(values.parallel) }, () => worker()));
console.log(`${missed.length === 0 ? 'all noticed' : `not noticed: ${missed.join('; ')}`}`);
process.exitCode = missed.length > 0 ? 1 : 0;
