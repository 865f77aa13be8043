// SPDX-License-Identifier: GPL-2.0-or-later
/** node scripts/sim-two-primaries.ts --seeds 1..100 [--minutes M] [--troubles cut,reset] [--trace sector]; one seed with --log: all that was said */
import { parseArgs } from 'node:util';
import { everyTrouble } from '../src/sim/primaries/troubles.ts';
import type { Trouble } from '../src/sim/primaries/troubles.ts';
import { TwoPrimaries } from '../src/sim/primaries/two-primaries.ts';
import { traceBlock } from '../src/sim/trace.ts';

const { values } = parseArgs({ options: {
  seeds: { type: 'string', default: '1..100' }, minutes: { type: 'string' }, troubles: { type: 'string' },
  trace: { type: 'string' }, log: { type: 'boolean' },
} });
const [first = 1, last = first] = values.seeds.split('..').map(Number);
const chosen = values.troubles?.split(',') as Trouble[] | undefined;
const unknown = chosen?.filter((name) => !everyTrouble.includes(name)) ?? [];
if (unknown.length > 0 || !(first <= last)) throw new Error(`unknown: ${unknown.join(' ') || values.seeds}`);

async function run(seed: number): Promise<TwoPrimaries | null> {
  const stress = new TwoPrimaries({ seed, ...values.minutes && { minutes: Number(values.minutes) }, ...chosen && { troubles: chosen } });
  const traced: string[] = [];
  if (values.log) for (const m of stress.cluster.members) m.node.log.keep = Infinity;
  if (values.trace) traceBlock(stress.cluster, Math.floor(Number(values.trace) / 8), (line) => traced.push(line));
  let error: Error | null = null;
  try { await stress.run(); } catch (e) { error = e as Error; }
  if (values.log || values.trace) {
    const lines = [...traced, ...stress.history, ...values.log ? stress.cluster.members.flatMap((m) => m.node.log.lines) : []];
    console.log(lines.sort((x, y) => parseFloat(x) - parseFloat(y)).join('\n'));
  }
  if (error === null) return stress;
  console.log(`\nseed ${seed}${stress.plan.fenced ? ' (fenced)' : ''} at ${stress.cluster.world.nowMs.toFixed(3)}: ${error.message.slice(0, 1500)}`
    + `\n  at ${error.stack?.split('\n').slice(1, 5).map((l) => l.trim()).join(' ')}\n  ${stress.history.slice(-10).join('\n  ')}`);
  return null;
}

const failed: number[] = [];
const sum = { hours: 0, writes: 0, reads: 0 };
for (let seed = first; seed <= last; seed++) {
  const done = await run(seed);
  if (done === null) { failed.push(seed); continue; }
  sum.hours += done.cluster.world.nowMs / 3_600_000;
  sum.writes += done.pair.writes;
  sum.reads += done.pair.reads;
}
console.log(`\n${last - first + 1} seeds, ${sum.hours.toFixed(1)} virtual hours, ${sum.writes} writes, ${sum.reads} reads; failed: ${failed.join(' ') || 'none'}`);
process.exitCode = failed.length > 0 ? 1 : 0;
