// SPDX-License-Identifier: GPL-2.0-or-later
// Raw disk, Debian's in-tree 8.4.11 and ours, one after the other in one deterministic guest. JSON goes to bench.json.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Cluster } from '../vm/lib/cluster.ts';
import { installed } from '../vm/lib/drbd.ts';
import { engineDisk } from '../vm/lib/engine-disk.ts';

const SCRIPT = join(import.meta.dirname, 'guest.sh');
/** The kernel's own defaults, which the runner leaves out elsewhere to save time. */
const KERNEL_DEFAULTS = 'mitigations=auto init_on_alloc=1';
const MEMORY_MIB = 2304;
const STEP_MS = 30 * 60_000;

/** Figures where less is better, so that a ratio above 1 always means "ours is better". */
const isTime = (name: string): boolean => name.endsWith('_ms') || name.startsWith('instructions_');
/** Ratios to the in-tree driver that are asked for. */
const WANTED: Record<string, number> = {
  randwrite_4k_qd1: 0.8,
  randwrite_4k_qd32: 0.8,
  write_128k_qd16: 0.8,
  write_1m_qd4: 0.8,
  randread_4k_qd1: 1.0,
};

/** What guest.sh does for each implementation. */
const STEPS: Record<string, string[]> = { raw: ['io'], 'in-tree': ['io', 'sync', 'profile'], ours: ['io', 'sync', 'profile'] };

type Figures = Record<string, number>;

function parse(output: string): Figures {
  const rows = output.trim().split('\n').map((line) => line.split(' '));
  return Object.fromEntries(rows.map(([name, value]) => [name!, Number(value)]));
}

function ratios(ours: Figures, base: Figures): Figures {
  const names = Object.keys(ours).filter((name) => base[name]);
  return Object.fromEntries(names.map((name) => {
    const ratio = isTime(name) ? base[name]! / ours[name]! : ours[name]! / base[name]!;
    return [name, Number(ratio.toFixed(3))];
  }));
}

function table(results: Record<string, Figures>, ratio: Figures): string {
  const columns = Object.keys(results);
  const names = [...new Set(columns.flatMap((column) => Object.keys(results[column]!)))];
  const row = (cells: string[]) => cells.map((cell, i) => (i ? cell.padStart(11) : cell.padEnd(40))).join('');
  const lines = names.map((name) => {
    const wanted = WANTED[name] === undefined ? '' : `${WANTED[name]}`;
    return row([name, ...columns.map((column) => `${results[column]![name] ?? '-'}`), `${ratio[name] ?? '-'}`, wanted]);
  });
  return [row(['', ...columns, 'ratio', 'wanted']), ...lines].join('\n');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: 'string', default: 'raw,in-tree,ours' }, json: { type: 'string', default: 'bench.json' } },
  });
  const wanted = values.only.split(',');
  if (wanted.includes('ours') && !installed) throw new Error('nothing is installed for the guest: run `make bench`');
  const cluster = await Cluster.boot(1, {
    deterministic: true,
    memoryMiB: MEMORY_MIB,
    append: KERNEL_DEFAULTS,
    // As a disk: the guest's clock runs on while it waits for files of the host.
    layer: installed ? { image: engineDisk() } : undefined,
    bootTimeoutMs: 600_000,
  });
  const results: Record<string, Figures> = {};
  try {
    const guest = cluster.guests[0]!;
    await guest.startOfTest('bench');
    for (const implementation of wanted) {
      results[implementation] = {};
      for (const what of STEPS[implementation] ?? []) {
        process.stderr.write(`${implementation}: ${what} …\n`);
        const output = await guest.run(['bash', SCRIPT, implementation, what], { timeoutMs: STEP_MS });
        process.stderr.write(output);
        Object.assign(results[implementation], parse(output));
      }
    }
    await guest.expectCleanKernelLog();
  } finally {
    await cluster.destroy();
  }
  const ratio = results.ours && results['in-tree'] ? ratios(results.ours, results['in-tree']) : {};
  process.stdout.write(`${table(results, ratio)}\n(ratio: ours to in-tree 8.4.11; above 1 is better than it)\n`);
  writeFileSync(values.json, `${JSON.stringify({ results, ratio, wanted: WANTED }, null, 2)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
