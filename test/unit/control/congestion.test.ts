// SPDX-License-Identifier: GPL-2.0-or-later
/** on-congestion: Ahead and Behind, or a disconnect. @spec io.md 11.1, 11.2 */
import { afterEach, expect, it, vi } from 'vitest';
import { OnCongestion } from '../../../src/io/congestion.ts';
import { Cstate, Disk, Repl } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

// Whole clusters on a machine that does other things too.
vi.setConfig({ testTimeout: 60_000 });

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env['DUMP']) console.log(n.log(150)); });

async function congest(seed: number, onCongestion: number): Promise<void> {
  n = new Nodes(seed, { wireProtocol: 1, net: { onCongestion, congFill: 64 } });
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
  n.at(1).node.disks.get('/dev/disk0')!.faults.stopped = true;
  for (let i = 0; i < 12; i++) expect(await n.write(0, i, 100 + i)).toBe(0);
}

it.each([1, 2, 3])('pull-ahead: the peer is left behind and catches up by its bitmap (%i)', async (seed) => {
  await congest(seed, OnCongestion.pullAhead);
  await n.until('Ahead', () => n.repl(0, 1) === Repl.ahead);
  expect(n.logged(0, 'Congestion-fill threshold reached (64 >= 64)')).toBeGreaterThan(0);
  for (let i = 20; i < 60; i++) expect(await n.write(0, i, 200 + i)).toBe(0);
  expect(n.bits(0, 1)).toBeGreaterThanOrEqual(40);
  n.at(1).node.disks.get('/dev/disk0')!.resume();
  await n.until('Behind', () => n.repl(1, 0) === Repl.behind);
  expect(n.disk(1)).toBe(Disk.outdated);
  await n.until('the bits are there', () => n.bits(1, 0) >= 40);
  await n.until('resync', () => n.repl(0, 1) === Repl.syncSource || n.repl(1, 0) === Repl.syncTarget);
  for (let i = 60; i < 80; i++) expect(await n.write(0, i, 300 + i)).toBe(0);
  await n.settled();
  n.expectSameDisks();
});

it('pull-ahead again and again, under writes that never stop', async () => {
  n = new Nodes(7, { wireProtocol: 1, net: { onCongestion: OnCongestion.pullAhead, congFill: 64 } });
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
  n.at(1).node.disks.get('/dev/disk0')!.faults.maxMs = 40;
  let errors = 0;
  let left = 3000;
  for (let i = 0; i < 3000; i++) {
    n.cluster.world.at(i * 2, 'write', () => n.submit(0, (i * 37) % 1200, i + 1, (e) => { errors += e; left--; }));
  }
  await n.until('Ahead', () => n.repl(0, 1) === Repl.ahead);
  await n.until('all written', () => left === 0);
  expect(errors).toBe(0);
  await n.settled();
  n.expectSameDisks();
});

it('disconnect: the connection goes', async () => {
  await congest(4, OnCongestion.disconnect);
  await n.until('StandAlone', () => n.cstate(0, 1) === Cstate.standAlone);
});
