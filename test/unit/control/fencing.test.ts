// SPDX-License-Identifier: GPL-2.0-or-later
/** Fencing policies and their helpers. @spec state.md 8.5 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Cmd } from '../../../src/genl/ops.ts';
import { Ss } from '../../../src/state/ss.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

vi.setConfig({ testTimeout: 60_000 });
const RESOURCE_ONLY = 1;
const STONITH = 2;

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env['DUMP']) console.log(n.log(150)); });

/** What fence-peer answers on n0. */
async function pair(seed: number, fencingPolicy: number, exit: number, nodes = 2): Promise<void> {
  n = new Nodes(seed, { nodes, net: { fencingPolicy } });
  await n.upToDate();
  for (const { node } of n.members) node.helper!.exitCodes.set('fence-peer', exit);
  expect(await n.open(0)).toBe(0);
  expect(await n.write(0, 0, 1)).toBe(0);
}
const lost = (peer: number) => n.until(`n${peer} is lost`, () => n.cstate(0, peer) < Cstate.connected || n.repl(0, peer) === Repl.off, 120_000);

describe('resource-and-stonith', () => {
  it.each([[4, 'outdated'], [7, 'fenced'], [3, 'inconsistent']])('exit %i (%s): I/O goes on, with a new generation', async (exit) => {
    await pair(1, STONITH, exit);
    const before = n.at(0).resource.deviceRow(0).currentUuid;
    n.at(1).node.crash();
    await lost(1);
    expect(n.suspended(0)).toBe(true);
    const write = n.pending(0, 5, 50);
    await n.until('the write', () => write.errno >= 0);
    expect(write.errno).toBe(0);
    expect([n.helpers(0, 'fence-peer'), n.suspended(0)]).toEqual([1, false]);
    expect(n.peer(0, 1).pdsk).toBe(exit === 3 ? Disk.inconsistent : Disk.outdated);
    expect(n.at(0).resource.deviceRow(0).currentUuid).not.toBe(before);
    await n.cluster.up(1);
    await n.settled();
    await n.until('unfence-peer', () => n.helpers(0, 'unfence-peer') > 0);
    n.expectSameDisks();
  });

  it.each([0, 1, 20])('exit %i: broken; I/O stays frozen until an administrator or the peer comes', async (exit) => {
    await pair(2, STONITH, exit);
    n.at(1).node.crash();
    await lost(1);
    const write = n.pending(0, 5, 50);
    await n.pass(5_000);
    expect([write.errno, n.suspended(0)]).toEqual([-1, true]);
    expect(n.logged(0, `fence-peer helper broken, returned ${exit}`)).toBe(1);
    if (exit === 20) await n.cluster.up(1);
    else await n.ok(n.at(0).setup.plain(Cmd.RESUME_IO, {}, n.cluster.minor(0, 0)));
    await n.until('the write', () => write.errno >= 0, 120_000);
    expect(write.errno).toBe(0);
    if (exit !== 20) await n.cluster.up(1);
    await n.settled();
    n.expectSameDisks();
  });

  it('a write that was under way is not completed before the peer is fenced', async () => {
    await pair(3, STONITH, 4);
    n.at(1).node.disks.get('/dev/disk0')!.faults.stopped = true;
    const write = n.pending(0, 5, 50);
    n.cluster.world.runFor(5);
    n.cut(0, 1);
    n.at(0).node.helper!.exitCodes.set('fence-peer', 20);
    await lost(1);
    await n.pass(5_000);
    expect(write.errno).toBe(-1);
    await n.ok(n.at(0).setup.plain(Cmd.RESUME_IO, {}, n.cluster.minor(0, 0)));
    await n.until('the write', () => write.errno >= 0);
    n.at(1).node.disks.get('/dev/disk0')!.resume();
    n.cut(0, 1, false);
    await n.settled();
    n.expectSameDisks();
  });

  it('of three nodes: each lost one is fenced by itself', async () => {
    await pair(4, STONITH, 4, 3);
    n.at(1).node.crash();
    await lost(1);
    expect(await n.write(0, 5, 50)).toBe(0);
    n.at(2).node.crash();
    await lost(2);
    expect(await n.write(0, 6, 60)).toBe(0);
    expect(n.helpers(0, 'fence-peer')).toBe(2);
    for (const id of [1, 2]) await n.cluster.up(id);
    await n.settled();
    n.expectSameDisks();
  });
});

describe('resource-only', () => {
  it('I/O is not frozen, the peer is outdated all the same', async () => {
    await pair(10, RESOURCE_ONLY, 4);
    n.at(1).node.crash();
    await lost(1);
    expect(n.suspended(0)).toBe(false);
    expect(await n.write(0, 5, 50)).toBe(0);
    await n.until('outdated', () => n.peer(0, 1).pdsk === Disk.outdated);
  });

  it('nobody is promoted beside a peer that may be Primary', async () => {
    await pair(11, RESOURCE_ONLY, 20);
    n.at(0).node.crash();
    await n.until('loss', () => n.repl(1, 0) === Repl.off && n.cstate(1, 0) === Cstate.connecting, 120_000);
    const code = await n.code(n.at(1).setup.primary('r0'));
    expect(code).toBeLessThan(Ss.success);
    expect(n.role(1)).toBe(Role.secondary);
    expect(n.helpers(1, 'fence-peer')).toBeGreaterThan(0);
    n.at(1).node.helper!.exitCodes.set('fence-peer', 4);
    await n.ok(n.at(1).setup.primary('r0'));
    expect(n.role(1)).toBe(Role.primary);
  });
});
