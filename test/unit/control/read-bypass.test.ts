// SPDX-License-Identifier: GPL-2.0-or-later
/** Reads that go down without the engine, and the disk that they are on. @spec shim-abi.md */
import { expect, it, vi } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { LowerOp } from '../../../src/host/lower.ts';
import { detachParms } from '../../../src/genl/command-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { Disk } from '../../../src/state/states.ts';
import { BLOCK_SECTORS, Nodes } from './nodes.ts';

vi.setConfig({ testTimeout: 60_000 });
const BLOCK = 5;
const READS = 3;

async function primary(seed: number): Promise<Nodes> {
  const n = new Nodes(seed);
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
  expect(await n.write(0, BLOCK, 50)).toBe(0);
  await n.until('reads bypass the engine', () => n.kernel(0).bypass);
  return n;
}

const diskOf = (n: Nodes) => n.at(0).node.disks.get('/dev/disk0')!;

/** Reads under way past the engine: `fails` of them end so, the disk keeps the others. */
function startReads(n: Nodes, fails = 0): void {
  const sector = BLOCK * BLOCK_SECTORS;
  let ended = 0;
  const { faults } = diskOf(n);
  faults.minMs = faults.maxMs;
  faults.each = (op, at) => {
    if (op !== LowerOp.read || at !== sector || ended === READS) return null;
    return ended++ < fails ? 'fail' : 'hold';
  };
  for (let i = 0; i < READS; i++) {
    n.kernel(0).submit({ op: BioOp.read, flags: 0, sector, sizeBytes: 4096, tags: new Float64Array(BLOCK_SECTORS), done: () => {} });
  }
}

/** The disk stays claimed as long as the reads last, and is as good as before. */
async function comesBack(n: Nodes): Promise<void> {
  await n.until('no disk', () => n.disk(0) === Disk.diskless);
  await n.pass(1_000);
  expect([n.kernel(0).bypassInFlight > 0, diskOf(n).claimedBy === null]).toEqual([true, false]);
  diskOf(n).faults.each = null;
  diskOf(n).resume();
  await n.until('given back', () => diskOf(n).claimedBy === null);
  expect(n.kernel(0).bypassInFlight).toBe(0);
  await n.attach(0);
  await n.settled();
  expect(await n.read(0, BLOCK)).toBe(50);
  n.expectSameDisks();
}

const detach = (n: Nodes): Promise<void> => n.ok(n.at(0).setup.with(Cmd.DETACH, {}, detachParms, { forceDetach: true }, n.cluster.minor(0, 0)));

it('a disk is given back only when no read is under way past the engine', async () => {
  const n = await primary(1);
  startReads(n);
  await detach(n);
  await comesBack(n);
});

it('nor while one is from the time of an engine before', async () => {
  const n = await primary(2);
  startReads(n);
  n.at(0).node.killEngine();
  await n.until('the next engine', () => n.at(0).engine?.resources.has('r0') === true && n.disk(0) === Disk.upToDate);
  await detach(n);
  await comesBack(n);
});

it('nor while others are under way when one has failed', async () => {
  const n = await primary(3);
  startReads(n, 1);
  await n.until('the failure', () => !n.kernel(0).bypass);
  await detach(n);
  await comesBack(n);
});
