// SPDX-License-Identifier: GPL-2.0-or-later
/** npm run sim -- --seeds 1..100 [--nodes N] [--minutes M] [--parallel P]; --replay SEED prints what happens. docs/simulation.md */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { parseArgs } from 'node:util';
import { everyCommand } from '../src/sim/stress/commands.ts';
import { everyFeature } from '../src/sim/stress/features.ts';
import type { Wanted } from '../src/sim/stress/plan.ts';
import { replay, runSeed } from '../src/sim/stress/report.ts';
import type { SeedResult } from '../src/sim/stress/report.ts';
import { everyTrouble } from '../src/sim/stress/troubles.ts';

/** Of real time: a seed that takes longer runs in circles. */
const HANGS_MS = 600_000;
const { values } = parseArgs({ options: {
  seeds: { type: 'string', default: '1..100' }, nodes: { type: 'string' }, minutes: { type: 'string' }, writes: { type: 'string' },
  troubles: { type: 'string' }, commands: { type: 'string' }, features: { type: 'string' }, parallel: { type: 'string', default: '2' },
  replay: { type: 'string' }, trace: { type: 'string' }, digests: { type: 'boolean' },
} });

function listed<T extends string>(text: string | undefined, known: readonly T[]): readonly T[] | undefined {
  const names = text?.split(',').filter((name) => name !== '') as T[] | undefined;
  const unknown = names?.find((name) => !known.includes(name));
  if (unknown) throw new Error(`unknown: ${unknown}; there are ${known.join(' ')}`);
  return names;
}

const troubles = listed(values.troubles, everyTrouble);
const commands = listed(values.commands, everyCommand);
const features = listed(values.features, everyFeature);
const wanted = (seed: number): Wanted => ({
  seed, ...values.nodes && { nodes: Number(values.nodes) }, ...values.minutes && { minutes: Number(values.minutes) },
  ...values.writes && { writes: Number(values.writes) }, ...troubles && { troubles }, ...commands && { commands }, ...features && { features },
});

class Runs {
  readonly #waiting: number[];
  readonly #total: number;
  readonly #results: SeedResult[] = [];
  readonly #failed: number[] = [];
  readonly #startedMs = Date.now();

  constructor(first: number, last: number) {
    this.#waiting = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    this.#total = this.#waiting.length;
  }

  /** One child process takes seed after seed. */
  async worker(): Promise<void> {
    let child: ChildProcess | null = null;
    for (let seed = this.#waiting.shift(); seed !== undefined; seed = this.#waiting.shift()) {
      child ??= fork(new URL(import.meta.url).pathname, process.argv.slice(2));
      const result = await this.#ask(child, seed);
      if (typeof result === 'string') {
        child.kill('SIGKILL');
        child = null;
        this.#failed.push(seed);
        console.log(`\nseed ${seed}: ${result}`);
      } else this.#take(result);
      this.#progress();
    }
    child?.disconnect();
  }

  #ask(child: ChildProcess, seed: number): Promise<SeedResult | string> {
    return new Promise((resolve) => {
      const late = setTimeout(() => end('does not end'), HANGS_MS);
      const died = (): void => end('its process died');
      const told = (result: unknown): void => end(result as SeedResult);
      const end = (result: SeedResult | string): void => {
        clearTimeout(late);
        child.off('message', told).off('exit', died);
        resolve(result);
      };
      child.on('message', told).on('exit', died);
      child.send(seed);
    });
  }

  #take(result: SeedResult): void {
    this.#results.push(result);
    if (values.digests) console.log(`${result.seed} ${result.digest}`);
    if (result.failure === '') return;
    this.#failed.push(result.seed);
    console.log(`\n${result.failure}`);
  }

  #progress(): void {
    const done = this.#total - this.#waiting.length;
    if (!process.stdout.isTTY) return;
    const width = 30;
    const bar = '#'.repeat(Math.round(width * done / this.#total)).padEnd(width, '.');
    process.stdout.write(`\r[${bar}] ${done} of ${this.#total}, failed: ${this.#failed.length} `);
  }

  summary(): number {
    const sum = (of: (r: SeedResult) => number): number => this.#results.reduce((n, r) => n + of(r), 0);
    const least = (of: (r: SeedResult) => number): number => this.#results.reduce((n, r) => Math.min(n, of(r)), Infinity);
    const failed = this.#failed.sort((a, b) => a - b);
    console.log(`\n${this.#total} seeds, ${(sum((r) => r.virtualMs) / 3_600_000).toFixed(1)} virtual hours in `
      + `${((Date.now() - this.#startedMs) / 60_000).toFixed(1)} minutes; ${sum((r) => r.writes)} writes (least ${least((r) => r.writes)}), `
      + `${sum((r) => r.reads)} reads, ${sum((r) => r.events)} faults and commands (least ${least((r) => r.events)}), `
      + `${sum((r) => r.moves)} moves, ${sum((r) => r.failOvers)} fail-overs of a Primary that was alive\nfailed: ${failed.join(' ') || 'none'}`);
    return failed.length;
  }
}

if (process.send) {
  process.on('message', (seed) => { void runSeed(wanted(seed as number)).then((result) => process.send!(result)); });
} else if (values.replay) {
  const result = await replay(wanted(Number(values.replay)), values.trace ? Number(values.trace) : null, (line) => console.log(line));
  process.exitCode = result.failure ? 1 : 0;
} else {
  const [first = 1, last = first] = values.seeds.split('..').map(Number);
  if (!(first <= last)) throw new Error(`--seeds ${values.seeds}: from..to`);
  const runs = new Runs(first, last);
  await Promise.all(Array.from({ length: Number(values.parallel) }, () => runs.worker()));
  process.exitCode = runs.summary() > 0 ? 1 : 0;
}
