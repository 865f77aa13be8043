// SPDX-License-Identifier: GPL-2.0-or-later
/** One seed run, and what a person is told of it. */
import { traceBlock } from '../trace.ts';
import { describe } from './look.ts';
import type { Wanted } from './plan.ts';
import { Stress, Violation } from './stress.ts';

const LAST_EVENTS = 12;
const LAST_LINES = 6;
const SECTORS_PER_BLOCK = 8;

export interface SeedResult {
  readonly seed: number;
  readonly digest: string;
  readonly virtualMs: number;
  readonly nodes: number;
  readonly writes: number;
  readonly reads: number;
  readonly events: number;
  readonly moves: number;
  readonly failOvers: number;
  /** '' when all is well. */
  readonly rule: string;
  readonly failure: string;
}

export async function runSeed(wanted: Wanted): Promise<SeedResult> {
  return resultOf(new Stress(wanted), wanted);
}

async function resultOf(stress: Stress, wanted: Wanted): Promise<SeedResult> {
  let error: Error | null = null;
  try { await stress.run(); } catch (e) { error = e as Error; }
  const rule = error === null ? '' : error instanceof Violation ? error.rule : "the engine's own assertions";
  return {
    seed: wanted.seed, digest: stress.digest, virtualMs: stress.cluster.world.nowMs, nodes: stress.plan.nodes,
    writes: stress.load.writes, reads: stress.load.reads, events: stress.happened,
    moves: stress.manager.moves, failOvers: stress.manager.failOvers, rule,
    failure: error === null ? '' : failureText(stress, wanted, rule, error),
  };
}

function failureText(stress: Stress, wanted: Wanted, rule: string, error: Error): string {
  const where = error instanceof Violation ? '' : `\n  at ${(error.stack ?? '').split('\n').slice(1, 6).map((l) => l.trim()).join('\n     ')}`;
  const { plan, cluster } = stress;
  return [
    `seed ${wanted.seed} (${plan.nodes} nodes${plan.diskless.length ? `, diskless ${plan.diskless.map((id) => `n${id}`).join(' ')}` : ''}, `
      + `protocol ${'?ABC'[plan.wireProtocol]}, ${plan.blind ? 'quorum with redundancy' : plan.quorum ? 'quorum' : 'no quorum'}, ${[plan.workload, ...plan.features].join(', ')}) at ${cluster.world.nowMs.toFixed(3)} ms`,
    `  violated: ${rule}`, `    ${error.message.slice(0, 4_000)}${where}`,
    '  from outside:', ...stress.events.slice(-LAST_EVENTS).map((line) => `    ${line}`),
    ...cluster.members.flatMap((m) => [`  ${describe(cluster, m)}`, ...m.node.log.lines.slice(-LAST_LINES).map((line) => `    ${line}`)]),
    `  again: npm run sim -- ${argumentsOf(wanted)}`,
  ].join('\n');
}

function argumentsOf(wanted: Wanted): string {
  const more = (['nodes', 'minutes', 'writes'] as const).filter((name) => wanted[name] !== undefined).map((name) => ` --${name} ${wanted[name]}`);
  const lists = (['troubles', 'commands', 'features'] as const).filter((name) => wanted[name]).map((name) => ` --${name} '${wanted[name]!.join(',')}'`);
  return `--replay ${wanted.seed}${more.join('')}${lists.join('')}`;
}

/** The same run with a readable trace: the same lines, byte for byte, each time. `sector`: the life of its block as well. */
export async function replay(wanted: Wanted, sector: number | null, out: (line: string) => void): Promise<SeedResult> {
  const stress = new Stress(wanted);
  const traced: string[] = [];
  for (const { node } of stress.cluster.members) node.log.keep = Number.POSITIVE_INFINITY;
  if (sector !== null) traceBlock(stress.cluster, Math.floor(sector / SECTORS_PER_BLOCK), (line) => traced.push(line));
  const result = await resultOf(stress, wanted);
  const lines = [...traced, ...stress.events, ...stress.cluster.members.flatMap((m) => m.node.log.lines)];
  const ordered = lines.map((line, i) => ({ line, i, at: parseFloat(line) })).sort((x, y) => x.at - y.at || x.i - y.i);
  for (const { line } of ordered) out(line);
  out(result.failure || 'all is well');
  out(`digest ${result.digest}`);
  return result;
}
