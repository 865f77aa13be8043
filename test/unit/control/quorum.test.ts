// SPDX-License-Identifier: GPL-2.0-or-later
/** Quorum and what a Primary does without, in clusters of three to five. @spec state.md 8.3, 8.4 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { resourceOpts } from '../../../src/genl/config-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import type { ClusterOptions } from '../../../src/sim/cluster.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

const MAJORITY = 1024;
const IO_ERROR = 0;
const SUSPEND = 1;
const EIO = 5;
const RETRY_CONNECT = 11;

// Whole clusters on a machine that does other things too.
vi.setConfig({ testTimeout: 60_000 });

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env['DUMP']) console.log(n.log(150)); });

async function cluster(seed: number, nodes: number, resource: ClusterOptions['resource'], more: Partial<ClusterOptions> = {}): Promise<void> {
  n = new Nodes(seed, { nodes, resource: { quorum: MAJORITY, ...resource }, ...more });
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
  expect(await n.write(0, 0, 1)).toBe(0);
}
const alone = (id: number) => n.until(`n${id} has lost its peers`, () => n.members.every((m) => m.id === id || n.cstate(id, m.id) < Cstate.connected
  || n.repl(id, m.id) === Repl.off), 120_000);

describe('three nodes, majority', () => {
  it('suspend-io: an isolated Primary waits, and goes on when it is back', async () => {
    await cluster(1, 3, { onNoQuorum: SUSPEND });
    n.isolate(0);
    await alone(0);
    expect([n.hasQuorum(0), n.suspended(0)]).toEqual([false, true]);
    await n.until('the helper', () => n.helpers(0, 'quorum-lost') === 1);
    const write = n.pending(0, 5, 50);
    await n.pass(5_000);
    expect(write.errno).toBe(-1);
    n.isolate(0, false);
    await n.until('the write', () => write.errno >= 0, 120_000);
    expect(write.errno).toBe(0);
    await n.settled();
    n.expectSameDisks();
  });

  it('a lost connection is tried again, though something that was not noticed yet costs quorum by then', async () => {
    await cluster(31, 3, { onNoQuorum: SUSPEND });
    n.at(2).node.crash();
    await n.until('the connection is torn down', () => n.cstate(0, 2) === Cstate.unconnected, 120_000);
    const { resource, node } = n.at(0);
    // The lost one is back at a third node, and the connected one does not count any more.
    const options = { ...resource.connectionRow(1).options, allowRemoteRead: false };
    node.life!.turn(() => {
      resource.dispatch({ kind: 'resourceFacts', facts: { members: 7n } });
      resource.dispatch({ kind: 'connectionOptions', nodeId: 1, options });
    });
    expect(n.hasQuorum(0)).toBe(true);
    await n.until('it connects', () => n.cstate(0, 2) === Cstate.connecting);
    expect(n.hasQuorum(0)).toBe(false);
  });

  it.each<[string, number, boolean]>([['the peer', 1, false], ['the peer, which then loses power,', 1, true], ['the Primary', 0, false]])(
    'redundancy: a write that the disk of %s refused is not answered before there are enough good disks', async (_who, id, crash) => {
      await cluster(30, 3, { onNoQuorum: SUSPEND });
      for (const { setup } of n.members) await n.ok(setup.with(Cmd.RESOURCE_OPTS, { resourceName: 'r0' }, resourceOpts, { quorumMinRedundancy: MAJORITY }));
      n.at(2).node.crash();
      await n.until('loss', () => n.repl(0, 2) === Repl.off, 120_000);
      expect(await n.write(0, 4, 40)).toBe(0);
      const { faults } = n.at(id).node.disks.get('/dev/disk0')!;
      faults.writeErrorChance = 1;
      const write = n.pending(0, 5, 50);
      await n.until('no quorum', () => !n.hasQuorum(0), 120_000);
      await n.pass(5_000);
      expect([write.errno, n.suspended(0)]).toEqual([-1, true]);
      faults.writeErrorChance = 0;
      if (crash) n.at(id).node.crash();
      await n.cluster.up(2);
      await n.until('the write', () => write.errno >= 0, 240_000);
      expect([write.errno, n.tag(2, 5)]).toEqual([0, 50]);
    });

  it('io-error: its writes fail', async () => {
    await cluster(2, 3, { onNoQuorum: IO_ERROR });
    n.isolate(0);
    await alone(0);
    expect(await n.write(0, 5, 50)).toBe(EIO);
    n.isolate(0, false);
    await n.settled();
    expect(await n.write(0, 6, 60)).toBe(0);
    n.expectSameDisks();
  });

  it('one of three may go; of two left the second takes it with it', async () => {
    await cluster(3, 3, { onNoQuorum: IO_ERROR });
    n.at(2).node.crash();
    await n.until('loss', () => n.repl(0, 2) === Repl.off, 120_000);
    expect(await n.write(0, 5, 50)).toBe(0);
    n.at(1).node.crash();
    await alone(0);
    expect(n.hasQuorum(0)).toBe(false);
    expect(await n.write(0, 6, 60)).toBe(EIO);
    await n.cluster.up(1);
    await n.until('quorum', () => n.hasQuorum(0), 120_000);
    expect(await n.write(0, 7, 70)).toBe(0);
    await n.cluster.up(2);
    await n.settled();
    n.expectSameDisks();
  });

  it.each([['dies', true], ['is cut off', false]])('a source that %s at the end of a resync has no quorum beside its target', async (_how, dies) => {
    await cluster(31, 3, { onNoQuorum: IO_ERROR });
    for (const id of [1, 2]) await n.ok(n.at(id).setup.down('r0'));
    expect(await n.write(0, 5, 50)).toBe(0);
    await n.cluster.up(1);
    await n.until('n1 is behind', () => n.disk(1) === Disk.inconsistent, 120_000);
    await n.until('n1 is good', () => n.disk(1) === Disk.upToDate, 120_000);
    if (dies) n.at(0).node.crash();
    else n.isolate(0);
    await n.cluster.up(2);
    await n.until('the others go on', () => n.hasQuorum(1) && n.disk(2) === Disk.upToDate, 240_000);
    expect(await n.open(1)).toBe(0);
    expect(await n.write(1, 5, 51)).toBe(0);
    n.isolate(0);
    if (dies) await n.cluster.up(0);
    await n.pass(20_000);
    expect(n.hasQuorum(0)).toBe(false);
    if (!dies) {
      n.kernel(0).close();
      await n.ok(n.at(0).setup.secondary('r0'));
    }
    n.isolate(0, false);
    await n.settled();
    n.expectSameDisks();
  });

  it('an orderly departure does not count as missing', async () => {
    await cluster(4, 3, { onNoQuorum: IO_ERROR });
    await n.ok(n.at(2).setup.down('r0'));
    await n.ok(n.at(1).setup.down('r0'));
    expect(n.hasQuorum(0)).toBe(true);
    expect(await n.write(0, 5, 50)).toBe(0);
    await n.cluster.up(1);
    await n.cluster.up(2);
    await n.settled();
    n.expectSameDisks();
  });

  it.each([1, 2, 3])('the others go on; the old Primary, forced Secondary, follows (seed %i)', async (seed) => {
    await cluster(10 + seed, 3, { onNoQuorum: SUSPEND, onSuspPrimaryOutdated: 1 }, { net: { rrConflict: RETRY_CONNECT } });
    n.isolate(0);
    const lost = n.pending(0, 5, 50);
    await alone(0);
    await n.until('n1 and n2 have settled', () => [1, 2].every((id) => n.disk(id) === Disk.upToDate && n.cstate(id, 0) === Cstate.connecting
      && n.repl(id, 3 - id) === Repl.established), 120_000);
    expect(await n.open(1)).toBe(0);
    expect(await n.write(1, 6, 60)).toBe(0);
    n.isolate(0, false);
    await n.until('n0 is Secondary', () => n.role(0) === Role.secondary, 120_000);
    await n.until('the lost write ends', () => lost.errno >= 0);
    expect(lost.errno).toBe(EIO);
    n.kernel(0).close();
    await n.settled();
    expect(await n.read(1, 6)).toBe(60);
    n.expectSameDisks();
  });
});

describe('two nodes and a diskless tiebreaker', () => {
  const options = { diskless: [2] };

  it('keeps quorum with the tiebreaker; the node that is known to have none does not count', async () => {
    await cluster(20, 3, { onNoQuorum: IO_ERROR }, options);
    n.at(1).node.crash();
    await n.until('loss', () => n.repl(0, 1) === Repl.off, 120_000);
    expect(n.hasQuorum(0)).toBe(true);
    expect(n.logged(0, 'Would lose quorum, but using tiebreaker logic to keep')).toBe(1);
    expect(await n.write(0, 5, 50)).toBe(0);
    n.at(2).node.crash();
    await n.until('loss', () => n.repl(0, 2) === Repl.off, 120_000);
    expect(n.hasQuorum(0)).toBe(true);
    expect(await n.write(0, 6, 60)).toBe(0);
    await n.cluster.up(1);
    await n.cluster.up(2);
    await n.settled();
    n.expectSameDisks();
  });

  it('loses it when both go at once', async () => {
    await cluster(22, 3, { onNoQuorum: IO_ERROR }, options);
    n.isolate(0);
    await n.until('quorum is lost', () => !n.hasQuorum(0), 120_000);
    expect(await n.write(0, 6, 60)).toBe(EIO);
    await n.until('n1 may take over', () => n.at(1).resource.worker.idle && n.disk(1) === Disk.upToDate && n.hasQuorum(1));
    expect(await n.open(1)).toBe(0);
    expect(await n.write(1, 7, 70)).toBe(0);
    n.kernel(0).close();
    await n.pass(1000);
    await n.code(n.at(0).setup.secondary('r0'));
    n.isolate(0, false);
    await n.settled();
    n.expectSameDisks();
  });

  it('the other node takes over with it', async () => {
    await cluster(21, 3, { onNoQuorum: IO_ERROR }, options);
    n.at(0).node.crash();
    await n.until('loss', () => n.cstate(1, 0) === Cstate.connecting && n.cstate(2, 0) === Cstate.connecting, 120_000);
    await n.until('quiet', () => n.at(1).resource.worker.idle && n.disk(1) === Disk.upToDate);
    expect(await n.open(1)).toBe(0);
    expect(await n.write(1, 5, 50)).toBe(0);
    await n.cluster.up(0);
    await n.settled();
    n.expectSameDisks();
  });
});

describe('five nodes', () => {
  it.each([1, 2])('three are enough, two are not (seed %i)', async (seed) => {
    await cluster(30 + seed, 5, { onNoQuorum: SUSPEND });
    for (const id of [3, 4]) n.at(id).node.crash();
    await n.until('loss', () => [3, 4].every((id) => n.repl(0, id) === Repl.off), 120_000);
    for (let i = 0; i < 10; i++) expect(await n.write(0, i, 100 + i)).toBe(0);
    n.at(2).node.crash();
    await n.until('no quorum', () => n.suspended(0), 120_000);
    const write = n.pending(0, 20, 200);
    await n.pass(3_000);
    expect(write.errno).toBe(-1);
    await n.cluster.up(3);
    await n.until('the write', () => write.errno >= 0, 120_000);
    for (const id of [2, 4]) await n.cluster.up(id);
    await n.settled();
    n.expectSameDisks();
  });

  it('quorum-minimum-redundancy: enough nodes, too few good copies', async () => {
    await cluster(33, 3, { onNoQuorum: IO_ERROR });
    await n.ok(n.at(0).setup.with(Cmd.RESOURCE_OPTS, { resourceName: 'r0' }, resourceOpts, { quorumMinRedundancy: 3 }));
    expect(n.hasQuorum(0)).toBe(true);
    n.at(1).node.crash();
    await n.until('quorum is lost', () => !n.hasQuorum(0), 120_000);
    expect(await n.write(0, 6, 60)).toBe(EIO);
    await n.cluster.up(1);
    await n.settled();
    expect(await n.write(0, 6, 60)).toBe(0);
  });
});
