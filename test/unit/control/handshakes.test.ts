// SPDX-License-Identifier: GPL-2.0-or-later
/** What two nodes decide when they meet: split brain and its policies, attach, diskless, hot-added volumes, invalidate. */
import { afterEach, describe, expect, it } from 'vitest';
import { connectParms, detachParms, invalidateParms, invalPeerParams } from '../../../src/genl/command-attrs.ts';
import { AfterSb } from '../../../src/genl/enums.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { createSuperBlock } from '../../../src/sim/create-md.ts';
import type { ClusterOptions } from '../../../src/sim/cluster.ts';
import { resyncBecause } from '../../../src/control/reevaluate.ts';
import type { Change } from '../../../src/state/events.ts';
import { Cs, Cstate, Disk, Repl } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

const SEED = Number(process.env.SEED ?? 1);

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env.DUMP) console.log(n.log()); });

/** Both have written alone. `changes`: blocks each. */
async function splitBrain(options: Partial<ClusterOptions>, changes: readonly [number, number] = [3, 3]): Promise<void> {
  n = new Nodes(SEED, options);
  await n.upToDate();
  await n.ok(n.at(0).setup.disconnect('r0', 1));
  await n.ok(n.at(1).setup.disconnect('r0', 0, true));
  expect(await n.open(0)).toBe(0);
  for (let i = 0; i < changes[0]; i++) expect(await n.write(0, i, 10 + i)).toBe(0);
  await n.close(0);
  await n.ok(n.at(0).setup.secondary('r0'));
  await n.ok(n.at(1).setup.primary('r0', true));
  expect(await n.open(1)).toBe(0);
  for (let i = 0; i < changes[1]; i++) expect(await n.write(1, 100 + i, 20 + i)).toBe(0);
  await n.close(1);
  await n.ok(n.at(1).setup.secondary('r0'));
}

async function meet(discard = -1): Promise<void> {
  for (const id of [0, 1]) await n.ok(n.at(id).setup.connect('r0', 1 - id, discard === id));
}

describe('split brain', () => {
  it('ends the connection on both nodes, and tells the helpers', async () => {
    await splitBrain({});
    await meet();
    await n.until('both are StandAlone', () => n.cstate(0, 1) === Cstate.standAlone && n.cstate(1, 0) === Cstate.standAlone);
    for (const id of [0, 1]) {
      expect(n.logged(id, 'Split-Brain detected but unresolved, dropping connection!')).toBe(1);
      const names = n.at(id).node.helper!.calls.map(({ argv }) => argv[1]);
      expect(names).toContain('initial-split-brain');
      expect(names).toContain('split-brain');
    }
    expect([n.tag(0, 0), n.tag(1, 100)]).toEqual([10, 20]);
  });

  it('is solved by who discards his data', async () => {
    await splitBrain({});
    await meet(1);
    await n.settled();
    n.expectSameDisks();
    expect([n.tag(1, 0), n.tag(1, 100)]).toEqual([10, 0]);
  });

  it.each([
    ['discard-least-changes', AfterSb.discardLeastChanges, [5, 2], 0],
    ['discard-least-changes the other way', AfterSb.discardLeastChanges, [2, 5], 1],
    ['discard-younger-primary', AfterSb.discardYoungerPrimary, [3, 3], 0],
    ['discard-zero-changes', AfterSb.discardZeroChanges, [0, 4], 1],
  ] as const)('is solved by %s', async (_name, policy, changes, source) => {
    await splitBrain({ net: { afterSb0p: policy } }, changes);
    await meet();
    await n.settled();
    n.expectSameDisks();
    expect(n.tag(1 - source, source * 100)).toBe(source === 0 ? 10 : 20);
  });

  it('with one Primary is solved by discard-secondary', async () => {
    await splitBrain({ net: { afterSb1p: AfterSb.discardSecondary } });
    await n.ok(n.at(1).setup.primary('r0'));
    await meet();
    await n.settled();
    n.expectSameDisks();
    expect(n.tag(0, 100)).toBe(20);
  });

  it('is only described by a tentative connect', async () => {
    await splitBrain({});
    await n.ok(n.at(0).setup.connect('r0', 1));
    await n.ok(n.at(1).setup.with(Cmd.CONNECT, { resourceName: 'r0', peerNodeId: 0 }, connectParms, { discardMyData: true, tentative: true }));
    await n.until('both are StandAlone', () => n.cstate(0, 1) === Cstate.standAlone && n.cstate(1, 0) === Cstate.standAlone);
    expect(n.logged(1, 'dry-run connect: Would become SyncTarget')).toBe(1);
    expect([n.tag(0, 0), n.tag(1, 100)]).toEqual([10, 20]);
    await meet(1);
    await n.settled();
  });
});

describe('a disk', () => {
  const detach = (id: number) => n.at(id).setup.with(Cmd.DETACH, {}, detachParms, {}, n.cluster.minor(id, 0));

  it('detached and attached at the Secondary gets what it has missed', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await n.ok(detach(1));
    await n.until('known', () => n.peer(0, 1).pdsk === Disk.diskless);
    for (const block of [1, 50, 51]) expect(await n.write(0, block, block)).toBe(0);
    expect(n.bits(0, 1)).toBe(3);
    await n.attach(1);
    await n.settled();
    n.expectSameDisks();
  });

  it('detached under a write gets that write when it comes back', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    for (let round = 0; round < 5; round++) {
      const written: number[] = [];
      for (let i = 0; i < 10; i++) n.submit(0, round * 1000 / 4 + i, round * 100 + i + 1, (errno) => written.push(errno));
      await n.ok(detach(1));
      await n.until('written', () => written.length === 10);
      expect(written).toEqual(Array.from({ length: 10 }, () => 0));
      await n.attach(1);
      await n.settled();
      n.expectSameDisks();
    }
  });

  it('detached at the Primary leaves it working on the peer\'s data', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    expect(await n.write(0, 1, 11)).toBe(0);
    await n.ok(detach(0));
    await n.until('Diskless', () => n.disk(0) === Disk.diskless);
    expect(await n.write(0, 2, 12)).toBe(0);
    expect(await n.read(0, 1)).toBe(11);
    expect(await n.read(0, 2)).toBe(12);
    expect(n.tag(0, 2)).toBe(0);
    await n.attach(0);
    await n.settled();
    n.expectSameDisks();
    expect(await n.read(0, 2)).toBe(12);
  });

  it('that fails at the Primary does not hurt the application', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    n.at(0).node.disks.get('/dev/disk0')!.faults.writeErrorChance = 1;
    expect(await n.write(0, 7, 70)).toBe(0);
    await n.until('Diskless', () => n.disk(0) === Disk.diskless);
    expect(await n.read(0, 7)).toBe(70);
    n.at(0).node.disks.get('/dev/disk0')!.faults.writeErrorChance = 0;
  });

  it('of the whole node is replaced by a fresh one', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    for (const block of [1, 50, 51]) expect(await n.write(0, block, block)).toBe(0);
    await n.ok(n.at(1).setup.down('r0'));
    createSuperBlock(n.at(1).node.disks.get('/dev/disk0')!, 1);
    await n.cluster.up(1);
    await n.settled();
    n.expectSameDisks();
  });
});

describe('invalidate', () => {
  it.each([true, false])('makes a node a target, with reset-bitmap %s', async (resetBitmap) => {
    n = new Nodes(SEED);
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    expect(await n.write(0, 5, 55)).toBe(0);
    await n.ok(n.at(1).setup.with(Cmd.INVALIDATE, {}, invalidateParms, { resetBitmap }, n.cluster.minor(1, 0)));
    await n.settled();
    n.expectSameDisks();
  });

  it('of the peer makes it a target', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    const { io } = n.at(0).resource.peerDevice(0, 1);
    const before = io.sent;
    await n.ok(n.at(0).setup.with(Cmd.INVAL_PEER, { resourceName: 'r0', peerNodeId: 1, volume: 0 }, invalPeerParams, { pResetBitmap: true }));
    await n.settled();
    expect(io.sent - before).toBe(n.kernel(0).capacity);
    n.expectSameDisks();
  });
});

describe('a volume', () => {
  it('that is added on a connected resource becomes Established', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    for (const { id, node, setup } of n.members) {
      createSuperBlock(node.addDisk('/dev/disk1', 20_480), 1);
      await n.ok(setup.newMinor('r0', n.cluster.minor(id, 1), 1));
      if (id === 0) await n.until('the other does not know it', () => n.logged(1, 'P_STATE packet received for volume 1, which is not configured locally') === 1);
    }
    await n.until('Established', () => n.repl(0, 1, 1) === Repl.established && n.repl(1, 0, 1) === Repl.established);
    for (const { id } of n.members) await n.attach(id, 1);
    await n.until('both have it', () => [0, 1].every((id) => n.disk(id, 1) === Disk.inconsistent && n.peer(id, 1 - id, 1).pdsk === Disk.inconsistent));
    await n.ok(n.at(0).setup.secondary('r0'));
    await n.ok(n.at(0).setup.primary('r0', true));
    await n.settled();
    expect(await n.open(0, 1)).toBe(0);
    expect(await n.write(0, 4, 44, 1, 1)).toBe(0);
    expect(n.tag(1, 4, 1)).toBe(44);
  });
});

describe('generations are compared again while connected', () => {
  it('a target that was good before its source began counts as good', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    const { resource, node } = n.at(0);
    const pd = resource.peerDevice(0, 1);
    const changes: Change[] = [{ set: 'pdsk', vnr: 0, nodeId: 1, pdsk: Disk.inconsistent }, { set: 'repl', vnr: 0, nodeId: 1, repl: Repl.wfBitMapS }];
    node.life!.turn(() => {
      resource.dispatch({ kind: 'change', request: 0, tag: 'test', flags: Cs.hard, changes });
      pd.peerFinishedEarly = true;
      resyncBecause(pd, 'after-unstable');
    });
    await n.until('both are good', () => n.repl(0, 1) === Repl.established && n.peer(0, 1).pdsk === Disk.upToDate);
    expect(pd.peerFinishedEarly).toBe(false);
  });
});

describe('bits that come up between two good disks', () => {
  it('are synced, though no state changes with them', async () => {
    n = new Nodes(SEED);
    await n.upToDate();
    await n.pass(30_000);
    const { resource, node } = n.at(0);
    node.life!.turn(() => { resource.io.devices[0]!.bits.set(resource.peerDevice(0, 1).io, 80, 4096); });
    expect(n.bits(0, 1)).toBe(1);
    await n.until('they are synced', () => n.bits(0, 1) === 0);
  });
});
