// SPDX-License-Identifier: GPL-2.0-or-later
/** Clients without a disk on two and three servers. @spec state.md 9.5, io.md 13.1, 15.3 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Cmd } from '../../../src/genl/ops.ts';
import type { ClusterOptions } from '../../../src/sim/cluster.ts';
import { Disk, Repl, Role } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

vi.setConfig({ testTimeout: 60_000 });
const IO_ERROR = 0;
const SUSPEND = 1;
const EIO = 5;
const CLIENT = 2;

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env['DUMP']) console.log(n.log(150)); });

/** n0 makes the first data, then the client is Primary. */
async function client(seed: number, resource: ClusterOptions['resource'] = {}, nodes = 3): Promise<void> {
  n = new Nodes(seed, { nodes, diskless: [CLIENT], resource });
  await n.upToDate();
  await n.ok(n.at(0).setup.secondary('r0'));
  expect(await n.open(CLIENT)).toBe(0);
  for (let i = 0; i < 5; i++) expect(await n.write(CLIENT, i, 10 + i)).toBe(0);
  expect(n.role(CLIENT)).toBe(Role.primary);
}

describe('a client as Primary', () => {
  it('writes to both servers and reads from them', async () => {
    await client(1);
    for (const id of [0, 1]) for (let i = 0; i < 5; i++) expect(n.tag(id, i)).toBe(10 + i);
    for (let i = 0; i < 5; i++) expect(await n.read(CLIENT, i)).toBe(10 + i);
    await n.close(CLIENT);
    await n.settled();
    n.expectSameDisks();
  });

  it.each([1, 2, 3])('a server that goes and comes back gets what it missed (seed %i)', async (seed) => {
    await client(10 + seed);
    n.at(0).node.crash();
    await n.until('loss', () => n.repl(CLIENT, 0) === Repl.off, 120_000);
    for (let i = 0; i < 10; i++) expect(await n.write(CLIENT, 20 + i, 200 + i)).toBe(0);
    expect(await n.read(CLIENT, 25)).toBe(205);
    await n.cluster.up(0);
    await n.settled();
    n.expectSameDisks();
    n.at(1).node.crash();
    await n.until('loss', () => n.repl(CLIENT, 1) === Repl.off, 120_000);
    expect(await n.read(CLIENT, 25)).toBe(205);
    expect(await n.write(CLIENT, 40, 400)).toBe(0);
    await n.cluster.up(1);
    await n.settled();
    n.expectSameDisks();
  });

  it('without any server it waits, and goes on with the last one that comes back', async () => {
    await client(20, { onNoData: SUSPEND });
    n.at(0).node.crash();
    await n.until('loss', () => n.repl(CLIENT, 0) === Repl.off, 120_000);
    expect(await n.write(CLIENT, 20, 200)).toBe(0);
    n.at(1).node.crash();
    await n.until('suspended', () => n.suspended(CLIENT), 120_000);
    const write = n.pending(CLIENT, 21, 210);
    await n.pass(2_000);
    expect(write.errno).toBe(-1);
    await n.cluster.up(0);
    await n.pass(3_000);
    expect([write.errno, n.suspended(CLIENT)]).toEqual([-1, true]);
    await n.cluster.up(1);
    await n.until('the write', () => write.errno >= 0, 120_000);
    expect(write.errno).toBe(0);
    await n.settled();
    n.expectSameDisks();
  });

  it('resumed by hand while there are no data its I/O fails, and the generation that was due is made when they are back', async () => {
    await client(23, { onNoData: SUSPEND });
    const before = n.at(CLIENT).resource.deviceRow(0).exposedUuid;
    n.isolate(CLIENT);
    await n.until('suspended', () => n.suspended(CLIENT), 120_000);
    const write = n.pending(CLIENT, 21, 210);
    await n.pass(2_000);
    expect([write.errno, n.at(CLIENT).resource.deviceRow(0).newCurUuid]).toEqual([-1, true]);
    await n.ok(n.at(CLIENT).setup.plain(Cmd.RESUME_IO, {}, n.cluster.minor(CLIENT, 0)));
    expect(write.errno).toBe(EIO);
    expect(await n.write(CLIENT, 22, 220)).toBe(EIO);
    n.cut(CLIENT, 1, false);
    await n.until('data', () => n.peer(CLIENT, 1).pdsk === Disk.upToDate, 120_000);
    expect(await n.write(CLIENT, 23, 230)).toBe(0);
    expect(n.at(CLIENT).resource.deviceRow(0).exposedUuid).not.toBe(before);
    n.isolate(CLIENT, false);
    await n.settled();
    n.expectSameDisks();
  });

  it('without any server its I/O fails where that is wanted', async () => {
    await client(21, { onNoData: IO_ERROR });
    n.isolate(CLIENT);
    await n.until('no data', () => [0, 1].every((id) => n.repl(CLIENT, id) === Repl.off), 120_000);
    expect(await n.write(CLIENT, 20, 200)).toBe(EIO);
    n.isolate(CLIENT, false);
    await n.until('data', () => [0, 1].every((id) => n.peer(CLIENT, id).pdsk === Disk.upToDate), 120_000);
    expect(await n.write(CLIENT, 22, 220)).toBe(0);
    await n.settled();
    n.expectSameDisks();
  });

  it('a server whose link to the client is cut follows over the other one', async () => {
    await client(22, {}, 4);
    n.cut(CLIENT, 0);
    await n.until('loss', () => n.repl(CLIENT, 0) === Repl.off && n.repl(0, CLIENT) === Repl.off, 120_000);
    for (let i = 0; i < 10; i++) expect(await n.write(CLIENT, 20 + i, 200 + i)).toBe(0);
    n.cut(CLIENT, 0, false);
    await n.settled();
    n.expectSameDisks();
  });
});

it('a server that has lost its Primary is not taken for good before that is settled: reads would come back', async () => {
  n = new Nodes(40, { nodes: 3, diskless: [CLIENT] });
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
  expect(await n.write(0, 5, 50)).toBe(0);
  n.at(0).node.crash();
  n.cluster.fabric.resetBetween(n.at(0).node.address, n.at(1).node.address);
  await n.until('the server knows', () => n.disk(1) === Disk.consistent);
  await n.until('the client knows', () => n.repl(CLIENT, 0) === Repl.off, 120_000);
  expect(await n.open(CLIENT)).toBe(0);
  expect(await n.read(CLIENT, 5)).toBe(50);
  expect([n.disk(1), await n.write(CLIENT, 6, 60)]).toEqual([Disk.upToDate, 0]);
  expect(n.logged(1, 'Can not satisfy')).toBe(0);
  await n.cluster.up(0);
  await n.settled();
  n.expectSameDisks();
});
