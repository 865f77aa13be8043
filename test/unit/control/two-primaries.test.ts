// SPDX-License-Identifier: GPL-2.0-or-later
/** Two Primaries at once, and what is done after they have been apart. @spec io.md 5.1, uuid.md 3.4, 3.5 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ClusterOptions } from '../../../src/sim/cluster.ts';
import { Cstate, Fencing, Repl, Role } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

vi.setConfig({ testTimeout: 60_000 });

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env['DUMP']) console.log(n.log(150)); });

async function both(seed: number, net: ClusterOptions['net'] = {}): Promise<void> {
  n = new Nodes(seed, { net: { twoPrimaries: true, ...net } });
  await n.upToDate();
  await n.ok(n.at(1).setup.primary('r0'));
  for (const id of [0, 1]) expect(await n.open(id)).toBe(0);
  expect([n.role(0), n.role(1)]).toEqual([Role.primary, Role.primary]);
}

/** Both write while the link is cut; then it heals. */
async function apart(): Promise<void> {
  n.cut(0, 1);
  await n.until('loss', () => n.repl(0, 1) === Repl.off && n.repl(1, 0) === Repl.off, 120_000);
  for (let i = 0; i < 5; i++) expect(await n.write(0, i, 10 + i)).toBe(0);
  for (let i = 0; i < 3; i++) expect(await n.write(1, 100 + i, 20 + i)).toBe(0);
  n.cut(0, 1, false);
}

describe('two Primaries', () => {
  it.each([1, 2, 3])('write in different places, both ways (seed %i)', async (seed) => {
    await both(seed);
    let left = 0;
    let errors = 0;
    for (let i = 0; i < 1200; i++) {
      const id = i % 2;
      n.cluster.world.at(i / 4, 'write', () => {
        left++;
        n.submit(id, id * 1200 + (i * 37) % 1100, 1000 + i, (e) => { errors += e; left--; }, 1 + i % 3);
      });
    }
    n.cluster.world.runFor(320);
    await n.until('all written', () => left === 0);
    expect(errors).toBe(0);
    await n.settled();
    n.expectSameDisks();
    for (const id of [0, 1]) expect(n.logged(id, 'Concurrent writes detected')).toBe(0);
  });

  it('in the same place one after the other', async () => {
    await both(10);
    for (let i = 0; i < 40; i++) {
      expect(await n.write(i % 2, 7, 500 + i)).toBe(0);
      await n.until('both have it', () => n.tag(0, 7) === 500 + i && n.tag(1, 7) === 500 + i);
    }
    await n.settled();
    n.expectSameDisks();
  });

  it('in the same place at once: the conflict is noticed, nothing is resolved silently', async () => {
    await both(11);
    const ends = Array.from({ length: 40 }, (_, i) => n.pending(i % 2, 7, 1 + i));
    await n.until('noticed', () => n.logged(0, 'Concurrent writes detected') + n.logged(1, 'Concurrent writes detected') > 0);
    await n.until('both end', () => ends.every(({ errno }) => errno >= 0), 120_000);
    await n.until('split brain', () => [0, 1].every((id) => n.cstate(id, 1 - id) === Cstate.standAlone), 120_000);
    expect(n.logged(0, 'Split-Brain detected but unresolved, dropping connection!')).toBeGreaterThan(0);
  });
});

it('no generation is made while the peer is to be fenced: it may be us who are shot', async () => {
  await both(30, { fencingPolicy: Fencing.resourceAndStonith });
  const { node } = n.at(1);
  node.helper!.exitCodes.set('fence-peer', 1);
  // The first write after the promotion asks for a generation, and that waits for the answer to a ping.
  n.cluster.fabric.cut(n.at(0).node.address, node.address, true);
  const write = n.pending(1, 1, 77);
  await n.until('frozen', () => n.suspended(1), 120_000);
  await n.pass(5_000);
  expect(write.errno).toBe(-1);
  expect(n.logged(1, 'new current UUID')).toBe(0);
});

describe('after-sb-2pri', () => {
  it('disconnect: both stay StandAlone with their own data', async () => {
    await both(20);
    await apart();
    await n.until('StandAlone', () => [0, 1].every((id) => n.cstate(id, 1 - id) === Cstate.standAlone), 120_000);
    expect([n.tag(0, 0), n.tag(1, 100)]).toEqual([10, 20]);
    expect([n.role(0), n.role(1)]).toEqual([Role.primary, Role.primary]);
  });
});
