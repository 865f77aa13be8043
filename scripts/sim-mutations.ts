// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * npm run sim:mutations [-- --only text] [-- --draw N --by commit] [-- --parallel P]: switches off one safety rule after the other and
 * prints how many runs it takes until the checker notices. Exit code 1 if one is not noticed.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { mutations } from '../src/sim/mutations.ts';
import type { Mutation } from '../src/sim/mutations.ts';
import { SimRandom } from '../src/sim/random.ts';

/** A run that takes longer never ends. */
const RUN_LIMIT_MS = 240_000;
const { values } = parseArgs({ options: {
  only: { type: 'string' }, draw: { type: 'string' }, by: { type: 'string', default: '' }, parallel: { type: 'string', default: '2' },
} });

function chosen(): readonly Mutation[] {
  const some = mutations.filter(({ name }) => !values.only || name.includes(values.only));
  if (!values.draw) return some;
  const random = new SimRandom([...values.by].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, 7));
  const left = [...some];
  return Array.from({ length: Math.min(Number(values.draw), left.length) }, () => left.splice(random.below(left.length), 1)[0]!);
}

/** The run that failed, or the last one; wrong: '' where all passed. */
interface Verdict { readonly at: number; readonly name: string; readonly wrong: string }

function child(mutation: string, which: string | number): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const args = ['--import', new URL('./mutate.ts', import.meta.url).href, new URL('./sim-mutant.ts', import.meta.url).pathname, String(which)];
    // Stories are told without vitest there, whoever started this.
    const env = { ...process.env, MUTATION: mutation, VITEST: '' };
    const runner = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [at, name, errors] = [-1, '', ''];
    let wrong: string | null = null;
    const watch = setTimeout(() => { wrong ??= 'never ends'; runner.kill('SIGKILL'); }, RUN_LIMIT_MS);
    createInterface({ input: runner.stdout }).on('line', (line) => {
      watch.refresh();
      const said = JSON.parse(line) as Partial<Verdict>;
      ({ at = at, name = name, wrong = wrong } = said);
    });
    runner.stderr.on('data', (text) => { errors += text; });
    runner.on('close', (code) => {
      clearTimeout(watch);
      // A run that dies is noticed as well; an edit that does not fit is not.
      if (at < 0) reject(new Error(errors));
      else resolve({ at, name, wrong: wrong ?? `died: ${/Error: .*/.exec(errors)?.[0] ?? code}` });
    });
  });
}

const sound = new Map<string, Promise<boolean>>();
/** Does this run pass with all rules on? */
function isSound(name: string): Promise<boolean> {
  const known = sound.get(name) ?? child('', name).then(({ wrong }) => wrong === '');
  sound.set(name, known);
  return known;
}

async function hunt({ name }: Mutation): Promise<Verdict> {
  for (let at = 0;;) {
    const verdict = await child(name, at);
    if (verdict.wrong === '' || await isSound(verdict.name)) return verdict;
    at = verdict.at + 1;
  }
}

const waiting = [...chosen()];
const missed: string[] = [];
console.log('| rule switched off | runs until noticed | by | what was seen | seconds |\n|---|---|---|---|---|');
async function worker(): Promise<void> {
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const began = performance.now();
    const { at, name, wrong } = await hunt(next);
    if (wrong === '') missed.push(next.name);
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    const seen = wrong === '' ? `| not in ${at + 1} | | ` : `| ${at + 1} | ${name} | ${wrong.slice(0, 110).replaceAll('|', '/')} `;
    console.log(`| ${next.name} ${seen}| ${seconds} |`);
  }
}
await Promise.all(Array.from({ length: Number(values.parallel) }, () => worker()));
console.log(missed.length === 0 ? 'all noticed' : `not noticed: ${missed.join('; ')}`);
process.exitCode = missed.length > 0 ? 1 : 0;
