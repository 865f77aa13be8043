// SPDX-License-Identifier: GPL-2.0-or-later
/** Three nodes under writes while links break, nodes lose power and engines die: no write is refused, all disks end equal. */
import { expect, it } from 'vitest';
import { Cstate, Disk, Repl } from '../../src/state/states.ts';
import { Nodes } from '../unit/control/nodes.ts';

const STEPS = 40;
const WRITES = 10;
const BLOCKS = 1200;
const LIMIT_MS = 120_000;
const first = Number(process.env.SEED ?? 1);
const seeds = Array.from({ length: Number(process.env.SEEDS ?? 6) }, (_, i) => first + i);

async function reconnect(n: Nodes, id: number, peer: number): Promise<void> {
  if (n.cstate(id, peer) !== Cstate.connected) return;
  await n.code(n.at(id).setup.disconnect('r0', peer));
  await n.code(n.at(id).setup.connect('r0', peer));
}

/** Never the Primary: who loses power there loses its application. */
async function trouble(n: Nodes): Promise<void> {
  const { random } = n.cluster.world;
  const peer = 1 + random.below(2);
  switch (random.below(6)) {
    case 0: return [...n.cluster.fabric.streams][random.below(6)]?.fail('error', 104);
    case 1: return reconnect(n, 0, peer);
    case 2:
      n.at(peer).node.crash();
      n.cluster.world.runFor(random.below(100));
      return n.cluster.up(peer);
    case 3: return n.cluster.world.runFor(random.below(2000));
    case 4: return reconnect(n, 1, 2);
    default: return n.at(peer).node.killEngine();
  }
}

it.each(seeds)('seed %i', async (seed) => {
  const n = new Nodes(seed, { nodes: 3, wireProtocol: 1 + seed % 3 });
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
  const errors: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    for (let i = 0; i < WRITES; i++) {
      n.submit(0, n.cluster.world.random.below(BLOCKS), step * WRITES + i + 1, (errno) => errors.push(errno));
    }
    n.cluster.world.runFor(n.cluster.world.random.below(30) / 10);
    await trouble(n);
  }
  await n.until('all writes are answered', () => errors.length === STEPS * WRITES, LIMIT_MS);
  expect(errors.filter((errno) => errno !== 0)).toEqual([]);
  await n.until('all are in sync', () => n.everyPair((id, peer) => n.disk(id) === Disk.upToDate
    && n.repl(id, peer) === Repl.established && n.peer(id, peer).pdsk === Disk.upToDate), LIMIT_MS);
  await n.until('no write is under way', () => n.at(0).resource.io.requests.writes === 0, LIMIT_MS);
  n.expectSameDisks();
});
