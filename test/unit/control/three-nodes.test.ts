// SPDX-License-Identifier: GPL-2.0-or-later
/** Three nodes: who has what when links and nodes come and go. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { detachParms } from '../../../src/genl/command-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

let n: Nodes;
beforeEach(() => { n = new Nodes(Number(process.env.SEED ?? 1), { nodes: 3 }); });
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env.DUMP) console.log(n.log(150)); });

const writes = async (id: number, from: number, count: number, tag: number): Promise<void> => {
  for (let i = 0; i < count; i++) expect(await n.write(id, from + i, tag + i)).toBe(0);
};
const disconnect = (id: number, peer: number) => n.ok(n.at(id).setup.disconnect('r0', peer));
const connect = (id: number, peer: number) => n.ok(n.at(id).setup.connect('r0', peer));
/** All that one sends to the other is lost, both ways. */
const cutOff = (a: number, b: number, cut: boolean): void => {
  for (const [from, to] of [[a, b], [b, a]] as const) n.cluster.fabric.cut(n.at(from).node.address, n.at(to).node.address, cut);
};
const current = (id: number) => n.at(id).resource.deviceRow(0).currentUuid | 1n;

describe('three nodes', { timeout: 30_000 }, () => {
  it('sync all from one, and agree on one generation', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await writes(0, 0, 20, 100);
    n.expectSameDisks();
    await n.until('quiet', () => n.members.every(({ resource }) => resource.worker.idle));
    expect(new Set([0, 1, 2].map(current)).size).toBe(1);
  });

  it('one that was away gets what it missed', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await n.ok(n.at(2).setup.down('r0'));
    await writes(0, 10, 5, 200);
    await n.until('both have marked it, one by peer acks', () => n.bits(0, 2) === 5 && n.bits(1, 2) === 5);
    await n.cluster.up(2);
    await n.settled();
    n.expectSameDisks();
  });

  it('a Primary without its link to one node marks what that one misses', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await disconnect(0, 2);
    await writes(0, 0, 7, 300);
    await connect(0, 2);
    await n.settled();
    n.expectSameDisks();
  });

  it('a node that is slow to notice the loss of a Primary, and is one itself by then, takes no older generation to the others', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await writes(0, 0, 3, 100);
    await n.ok(n.at(1).setup.down('r0'));
    await writes(0, 0, 3, 200);
    cutOff(1, 2, true);
    await n.cluster.up(1);
    await n.until('n1 is behind', () => n.repl(1, 0) >= Repl.syncTarget || n.disk(1) === Disk.inconsistent);
    await n.ok(n.at(1).setup.plain(Cmd.PAUSE_SYNC, { resourceName: 'r0', peerNodeId: 0, volume: 0 }));
    const label = current(2);
    expect([current(1) === label, n.disk(1)]).toEqual([false, Disk.inconsistent]);
    const disk = n.at(1).node.disks.get('/dev/disk0')!;
    disk.faults.stopped = true;
    n.at(0).node.crash();
    await n.until('the others have lost it', () => [1, 2].every((id) => n.repl(id, 0) === Repl.off), 120_000);
    await n.until('n2 is good', () => n.disk(2) === Disk.upToDate, 120_000);
    cutOff(1, 2, false);
    await n.until('n1 meets n2', () => n.repl(1, 2) > Repl.off, 120_000);
    const promoted = n.at(1).setup.primary('r0');
    await n.until('n1 is Primary, and others know it', () => n.role(1) === Role.primary && n.at(2).resource.connectionRow(1).peerRole === Role.primary);
    disk.resume();
    await n.ok(promoted);
    await n.until('n1 is good', () => n.disk(1) === Disk.upToDate, 120_000);
    expect(current(2)).toBe(label);
    expect(await n.read(1, 1)).toBe(201);
  });

  it('fail over to a node that has all, and the old Primary follows', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await writes(0, 0, 10, 400);
    n.at(0).node.crash();
    await n.until('loss is settled', () => [1, 2].every((id) => n.disk(id) === Disk.upToDate && n.cstate(id, 0) === Cstate.connecting
      && n.repl(id, 3 - id) === Repl.established), 120_000);
    expect(await n.open(1)).toBe(0);
    await writes(1, 5, 10, 500);
    await n.cluster.up(0);
    await n.settled();
    n.expectSameDisks();
    expect(n.tag(0, 5)).toBe(500);
  });

  it('an engine that dies on a Diskless Primary: what is written before all are back is another generation', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await n.ok(n.at(0).setup.with(Cmd.DETACH, {}, detachParms, {}, n.cluster.minor(0, 0)));
    await n.until('Diskless', () => n.disk(0) === Disk.diskless);
    await writes(0, 0, 3, 900);
    const before = current(1);
    cutOff(0, 2, true);
    n.at(0).node.killEngine();
    await writes(0, 3, 3, 910);
    expect(current(1)).not.toBe(before);
    cutOff(0, 2, false);
    await n.until('the other is back', () => n.peer(0, 2).pdsk === Disk.upToDate && n.repl(1, 2) === Repl.established);
    for (let i = 0; i < 3; i++) expect([n.tag(1, 3 + i), n.tag(2, 3 + i)]).toEqual([910 + i, 910 + i]);
  });

  it('an engine that dies on a Primary with quorum and io-error: an application sees no error', async () => {
    n = new Nodes(1, { nodes: 3, resource: { quorum: 1024, onNoQuorum: 0 } });
    const helpers = (): string[] => n.at(0).node.helper!.calls.map(({ argv }) => argv[1]!);
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    for (let i = 0; i < 3; i++) {
      n.at(0).node.killEngine();
      await writes(0, 10 * i, 3, 950 + i);
      expect(helpers()).not.toContain('quorum-lost');
    }
    for (const id of [1, 2]) n.at(id).node.crash();
    n.at(0).node.killEngine();
    expect(await n.write(0, 50, 960)).toBe(5);
    expect(helpers()).toContain('quorum-lost');
  });

  it('a Diskless Primary works on the others', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    await writes(0, 0, 3, 600);
    await n.ok(n.at(0).setup.with(Cmd.DETACH, {}, detachParms, {}, n.cluster.minor(0, 0)));
    await n.until('Diskless', () => n.disk(0) === Disk.diskless);
    await writes(0, 3, 3, 700);
    for (let i = 0; i < 3; i++) {
      expect([n.tag(1, 3 + i), n.tag(2, 3 + i)]).toEqual([700 + i, 700 + i]);
      expect(await n.read(0, 3 + i)).toBe(700 + i);
    }
    n.at(1).node.crash();
    await writes(0, 6, 3, 800);
    await n.cluster.up(1);
    await n.attach(0);
    await n.settled();
    n.expectSameDisks();
  });

  it('the Primary role walks around', async () => {
    await n.upToDate();
    await n.ok(n.at(0).setup.secondary('r0'));
    for (let round = 0; round < 6; round++) {
      const id = round % 3;
      expect(await n.open(id)).toBe(0);
      expect(await n.code(n.at((id + 1) % 3).setup.primary('r0'))).toBe(-1);
      await writes(id, round * 20, 5, round * 1000);
      await n.close(id);
      await n.until('demoted', () => n.at(id).resource.view.resource.role === Role.secondary);
    }
    await n.settled();
    n.expectSameDisks();
  });

  it('two that lost the same Primary come to the same data', async () => {
    await n.upToDate();
    expect(await n.open(0)).toBe(0);
    for (let i = 0; i < 200; i++) n.submit(0, i, 900 + i, () => {});
    n.cluster.world.runFor(0.9);
    n.at(0).node.crash();
    await n.until('settled', () => [1, 2].every((id) => n.disk(id) === Disk.upToDate && n.cstate(id, 0) === Cstate.connecting
      && n.repl(id, 3 - id) === Repl.established && n.bits(id, 3 - id) === 0), 120_000);
    for (let block = 0; block < 200; block++) expect(n.tag(1, block)).toBe(n.tag(2, block));
    await n.cluster.up(0);
    await n.settled();
    n.expectSameDisks();
  });
});
