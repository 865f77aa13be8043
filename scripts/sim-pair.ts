// SPDX-License-Identifier: GPL-2.0-or-later
/** npm run sim -- --seeds 1..100 [--troubles cut,reset] [--writes n] [--protocol A] [--wide] [--trace sector] */
import { parseArgs } from 'node:util';
import { PairStress } from '../src/sim/pair/pair.ts';
import { traceBlock } from '../src/sim/trace.ts';
import { WireProtocol } from '../src/sim/pair/profile.ts';
import type { Trouble } from '../src/sim/pair/troubles.ts';
import { everyTrouble } from '../src/sim/pair/troubles.ts';

const { values } = parseArgs({ options: {
  seeds: { type: 'string', default: '1..100' }, troubles: { type: 'string' }, writes: { type: 'string' },
  protocol: { type: 'string' }, wide: { type: 'boolean' }, trace: { type: 'string' },
} });
const [first = 1, last = first] = values.seeds.split('..').map(Number);
const chosen = values.troubles?.split(',') as Trouble[] | undefined;
const unknown = chosen?.filter((name) => !everyTrouble.includes(name)) ?? [];
if (unknown.length > 0 || !(first <= last)) throw new Error(`unknown: ${unknown.join(' ') || values.seeds}`);

function stressOf(seed: number): PairStress {
  return new PairStress({
    seed, ...chosen && { troubles: chosen }, ...values.writes && { writes: Number(values.writes) },
    ...values.protocol && { wireProtocol: WireProtocol[values.protocol as keyof typeof WireProtocol] },
    ...values.wide !== undefined && { wide: values.wide },
  });
}

async function run(seed: number): Promise<boolean> {
  const stress = stressOf(seed);
  const traced: string[] = [];
  if (values.trace) traceBlock(stress.cluster, Math.floor(Number(values.trace) / 8), (line) => traced.push(line));
  let error: Error | null = null;
  try { await stress.run(); } catch (e) { error = e as Error; }
  if (values.trace) print(stress, traced);
  if (error === null) return true;
  const again = process.argv.slice(2).map((arg, i, all) => (all[i - 1] === '--seeds' ? String(seed) : arg)).join(' ');
  console.log(`\nseed ${seed}: ${error.message.slice(0, 500)}\n  at ${error.stack?.split('\n').slice(2, 5).map((l) => l.trim()).join(' ')}` +
    `\n  ${stress.history.slice(-6).join('; ')}\n  again: npm run sim -- ${again.includes('--seeds') ? again : `--seeds ${seed} ${again}`}`);
  return false;
}

function print(stress: PairStress, traced: string[]): void {
  const lines = [...traced, ...stress.history.map((h) => h.replace(' ', ' == ')),
    ...stress.cluster.members.flatMap((m) => m.node.log.lines)];
  console.log(lines.sort((x, y) => parseFloat(x) - parseFloat(y)).join('\n'));
}

const failed: number[] = [];
for (let seed = first; seed <= last; seed++) {
  if (!await run(seed)) failed.push(seed);
  if (process.stdout.isTTY || (seed - first) % 50 === 49) process.stdout.write(`\r${seed - first + 1} of ${last - first + 1}, failed: ${failed.length} `);
}
console.log(`\n${last - first + 1} seeds, failed: ${failed.join(' ') || 'none'}`);
process.exitCode = failed.length > 0 ? 1 : 0;
