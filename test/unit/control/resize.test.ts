// SPDX-License-Identifier: GPL-2.0-or-later
/** resize: sizes that all nodes agree on, meta-data that move, resync of what is new. @spec uuid.md 5, metadata.md 9 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Err } from '../../../src/genl/codes.ts';
import { resizeParms } from '../../../src/genl/command-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import type { InferPartial } from '../../../src/genl/schema.ts';
import { Repl } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

const BEFORE = 20_400;
const LARGER = 40_960;

// Whole clusters on a machine that does other things too.
vi.setConfig({ testTimeout: 60_000 });

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env['DUMP']) console.log(n.log(100)); });

const resize = (id: number, body: InferPartial<typeof resizeParms> = {}) =>
  n.code(n.at(id).setup.with(Cmd.RESIZE, {}, resizeParms, body, n.cluster.minor(id, 0)));
const grow = (...ids: number[]) => { for (const id of ids) n.at(id).node.disks.get('/dev/disk0')!.grow(LARGER); };
const capacity = (id: number) => n.kernel(id).capacity;
const capacities = () => n.members.map(({ id }) => capacity(id));
const everywhere = (sectors: number) => n.until(`${sectors} sectors`, () => capacities().every((c) => c === sectors));

async function upToDate(seed: number, nodes = 2): Promise<void> {
  n = new Nodes(seed, { nodes });
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
  for (let i = 0; i < 20; i++) expect(await n.write(0, i * 100, 100 + i)).toBe(0);
  expect(capacities()).toEqual(Array(nodes).fill(n.kernel(0).capacity));
}

/** Down and up again: what is on the disks is what is in memory. */
async function restart(id: number): Promise<void> {
  await n.ok(n.at(id).setup.down('r0'));
  await n.cluster.up(id);
}

describe('two nodes', () => {
  it.each([[0], [1]])('grow, asked on n%i: the Primary syncs what is new', async (id) => {
    await upToDate(1);
    expect(capacity(0)).toBe(BEFORE);
    grow(0, 1);
    expect(await resize(id)).toBe(Err.NO_ERROR);
    await everywhere(capacity(id));
    expect(capacity(0)).toBeGreaterThan(40_000);
    await n.until('resync', () => n.repl(0, 1) === Repl.syncSource || n.logged(0, 'Began resync as SyncSource') === 2);
    await n.settled();
    expect(n.logged(1, 'Began resync as SyncTarget (will sync 10240 KB')).toBe(1);
    for (let i = 0; i < 20; i++) expect(await n.write(0, 2500 + i * 100, 300 + i)).toBe(0);
    n.expectSameDisks();
    await restart(1);
    await n.settled();
    await n.ok(n.at(0).setup.disconnect('r0', 1));
    expect(await n.write(0, 4000, 7)).toBe(0);
    expect(await n.read(0, 4000)).toBe(7);
    await n.ok(n.at(0).setup.connect('r0', 1));
    await n.settled();
    expect(capacities()).toEqual([capacity(0), capacity(0)]);
    n.expectSameDisks();
  });

  it('--assume-clean: nothing is synced', async () => {
    await upToDate(2);
    grow(0, 1);
    expect(await resize(0, { noResync: true })).toBe(Err.NO_ERROR);
    await everywhere(capacity(0));
    expect(capacity(0)).toBeGreaterThan(40_000);
    await n.settled();
    expect(n.logged(1, 'Began resync')).toBe(1);
  });

  it('as far as all can', async () => {
    await upToDate(3);
    grow(0);
    expect(await resize(0)).toBe(Err.NO_ERROR);
    expect(capacities()).toEqual([BEFORE, BEFORE]);
    expect(n.logged(0, 'size unchanged')).toBe(1);
    // The meta-data have followed the end of the backing device.
    await n.close(0);
    await restart(0);
    await n.settled();
    grow(1);
    expect(await resize(1)).toBe(Err.NO_ERROR);
    await everywhere(capacity(1));
    expect(capacity(0)).toBeGreaterThan(40_000);
    await n.settled();
    n.expectSameDisks();
  });

  it('to a given size, and smaller again', async () => {
    await upToDate(4);
    grow(0, 1);
    expect(await resize(0, { resizeSize: 30_000 })).toBe(Err.NO_ERROR);
    await everywhere(30_000);
    await n.settled();
    expect(await n.write(0, 3700, 5)).toBe(0);
    expect(await resize(0, { resizeSize: 16_000 })).toBe(Err.NO_ERROR);
    await everywhere(16_000);
    await n.settled();
    expect(await n.write(0, 1900, 6)).toBe(0);
    n.expectSameDisks();
    await n.close(0);
    for (const id of [1, 0]) await restart(id);
    // Without a size in the configuration they grow again, together.
    await n.settled();
    expect(capacities()).toEqual([40_880, 40_880]);
    n.expectSameDisks();
  });

  it('under writes', async () => {
    await upToDate(5);
    let errors = 0;
    let left = 0;
    for (let i = 0; i < 1500; i++) {
      n.cluster.world.at(i / 5, 'write', () => { left++; n.submit(0, (i * 37) % 2500, 1000 + i, (e) => { errors += e; left--; }); });
    }
    grow(0, 1);
    n.cluster.world.runFor(20);
    expect(await resize(0)).toBe(Err.NO_ERROR);
    await n.until('writes are over', () => left === 0);
    expect(errors).toBe(0);
    await n.settled();
    expect(capacity(1)).toBeGreaterThan(40_000);
    n.expectSameDisks();
  });

  it('refusals', async () => {
    await upToDate(6);
    expect(await resize(0, { resizeSize: 30_000 })).toBe(Err.DISK_TOO_SMALL);
    expect(await resize(0, { alStripes: 1024, alStripeSize: 16_777_216 })).toBe(Err.MD_LAYOUT_TOO_BIG);
    expect(await resize(0, { alStripes: 1, alStripeSize: 4 })).toBe(Err.MD_LAYOUT_TOO_SMALL);
    expect(await resize(0, { alStripes: 2, alStripeSize: 64 })).toBe(Err.IMPLICIT_SHRINK);
    await n.ok(n.at(0).setup.with(Cmd.RESIZE, {}, resizeParms, {}, n.cluster.minor(0, 0)));
    await n.ok(n.at(0).setup.disconnect('r0', 1));
    grow(0, 1);
    expect(await resize(0)).toBe(Err.NO_ERROR);
    expect(capacity(0)).toBe(BEFORE);
    expect(await resize(0, { resizeForce: true })).toBe(Err.NO_ERROR);
    expect(capacity(0)).toBeGreaterThan(40_000);
  });

  it('another layout of the activity log', async () => {
    await upToDate(7);
    grow(0, 1);
    expect(await resize(0, { alStripes: 4, alStripeSize: 64 })).toBe(Err.NO_ERROR);
    expect(n.logged(0, 'Changed AL layout to al-stripes = 4, al-stripe-size-kB = 64')).toBe(1);
    await n.settled();
    for (let i = 0; i < 20; i++) expect(await n.write(0, i * 200, 300 + i)).toBe(0);
    n.at(0).node.crash();
    await n.until('lost', () => n.repl(1, 0) === Repl.off);
    await n.cluster.up(0);
    await n.settled();
    n.expectSameDisks();
  });
});

describe('crashes', () => {
  it('before the new super block is written the old meta-data are whole', async () => {
    await upToDate(20);
    const disk = n.at(1).node.disks.get('/dev/disk0')!;
    const old = disk.readBytes(BEFORE, disk.limits.sectors - BEFORE);
    grow(0, 1);
    disk.faults.minMs = disk.faults.maxMs = 3;
    void n.at(0).setup.with(Cmd.RESIZE, {}, resizeParms, {}, n.cluster.minor(0, 0));
    await n.until('grown', () => capacity(1) > 40_000);
    n.cluster.world.runFor(20);
    expect(disk.readBytes(LARGER - 8, 8).every((byte) => byte === 0)).toBe(true);
    expect(disk.readBytes(BEFORE, old.length / 512)).toEqual(old);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('of a node in the middle (seed %i)', async (seed) => {
    await upToDate(20 + seed);
    grow(0, 1);
    const disk = n.at(1).node.disks.get('/dev/disk0')!;
    disk.faults.minMs = disk.faults.maxMs = 3;
    let done = false;
    void n.at(0).setup.with(Cmd.RESIZE, {}, resizeParms, { resizeSize: 30_000 }, n.cluster.minor(0, 0)).then(() => { done = true; });
    await n.until('grown', () => capacity(1) === 30_000);
    await n.until('the new super block', () => disk.readBytes(LARGER - 8, 8).some((byte) => byte !== 0));
    n.cluster.world.runFor(seed * 2);
    n.at(1).node.crash();
    await n.until('answered', () => done);
    expect(await n.write(0, 3000, 9)).toBe(0);
    await n.cluster.up(1);
    await n.settled();
    expect(capacities()).toEqual([30_000, 30_000]);
    n.expectSameDisks();
  });
});

describe('three nodes', () => {
  it.each([[0], [1], [2]])('grow, asked on n%i', async (id) => {
    await upToDate(30 + id, 3);
    grow(0, 1, 2);
    expect(await resize(id)).toBe(Err.NO_ERROR);
    await everywhere(capacity(id));
    await n.settled();
    expect(capacity(0)).toBeGreaterThan(40_000);
    for (let i = 0; i < 20; i++) expect(await n.write(0, 2500 + i * 100, 300 + i)).toBe(0);
    n.expectSameDisks();
  });

  it('an absent one that has had a disk keeps the size', async () => {
    await upToDate(34, 3);
    await n.ok(n.at(2).setup.down('r0'));
    grow(0, 1);
    expect(await resize(0)).toBe(Err.NO_ERROR);
    expect(n.members.slice(0, 2).map(({ id }) => capacity(id))).toEqual([BEFORE, BEFORE].map(() => n.kernel(0).capacity));
    expect(capacity(0)).toBeLessThan(21_000);
  });
});
