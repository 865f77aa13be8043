// SPDX-License-Identifier: GPL-2.0-or-later
/** Online verify. @spec uuid.md 8, wire.md 10.5 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { peerDeviceStatistics } from '../../../src/control/statistics.ts';
import { detachParms, invalPeerParams, startOvParms } from '../../../src/genl/command-attrs.ts';
import { NO_MINOR } from '../../../src/genl/message.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import type { InferPartial } from '../../../src/genl/schema.ts';
import { Ss } from '../../../src/state/ss.ts';
import { Disk, Repl } from '../../../src/state/states.ts';
import { Nodes } from './nodes.ts';

// Whole clusters on a machine that does other things too.
vi.setConfig({ testTimeout: 60_000 });

let n: Nodes;
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env['DUMP']) console.log(n.log(100)); });

async function upToDate(seed: number, nodes = 2, verifyAlg = 'sha1'): Promise<void> {
  n = new Nodes(seed, { nodes, net: { verifyAlg } });
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
}

const context = (peer: number) => ({ resourceName: 'r0', peerNodeId: peer, volume: 0 });
const start = (id: number, peer: number, body: InferPartial<typeof startOvParms> = {}) =>
  n.code(n.at(id).setup.with(Cmd.START_OV, context(peer), startOvParms, body, NO_MINOR));
const ended = (id: number, peer: number) => n.until('the end of verify', () =>
  [n.peer(id, peer), n.peer(peer, id)].every(({ repl }) => repl === Repl.established)
  && [id, peer].every((each) => n.at(each).resource.worker.idle), 120_000);
async function verify(id: number, peer: number, body: InferPartial<typeof startOvParms> = {}): Promise<void> {
  expect(await start(id, peer, body)).toBe(Ss.success);
  await ended(id, peer);
}
/** Another content, which no node knows of. */
function corrupt(id: number, block: number): void {
  n.at(id).node.disks.get('/dev/disk0')!.writeBytes(block * 8 + 3, new Uint8Array(512).fill(0x5a));
}
function inOrder(id: number): void {
  const { faults } = n.at(id).node.disks.get('/dev/disk0')!;
  faults.minMs = faults.maxMs = 0.2;
}
const pd = (id: number, peer: number) => n.at(id).resource.peerDevice(0, peer);

describe('two nodes', () => {
  it.each(['sha1', 'crc32c', 'md5'])('%s: nothing is found where nothing is', async (alg) => {
    // With other latencies the peer's P_STATE comes first and ends the target's run, which then is not in the log.
    await upToDate(5, 2, alg);
    for (let i = 0; i < 40; i++) expect(await n.write(0, i * 7, 100 + i)).toBe(0);
    await verify(0, 1);
    expect([n.bits(0, 1), n.bits(1, 0)]).toEqual([0, 0]);
    expect(n.logged(0, 'Starting Online Verify from sector 0')).toBe(1);
    expect(n.logged(1, 'Online Verify start sector: 0')).toBe(1);
    for (const id of [0, 1]) {
      expect(n.logged(id, 'Online verify done (total ')).toBe(1);
      expect(n.logged(id, 'out-of-sync')).toBe(0);
      expect(pd(id, 1 - id).io.rsPending + pd(id, 1 - id).io.unacked).toBe(0);
      expect(pd(id, 1 - id).device.io.idle).toBe(true);
    }
  });

  it.each([[0, 1], [1, 0]])('n%i asks n%i: what differs is marked and told on both', async (id, peer) => {
    await upToDate(2);
    for (const block of [17, 18, 19, 300, 2549]) corrupt(1, block);
    for (const each of [0, 1]) inOrder(each);
    await verify(id, peer);
    expect([n.bits(0, 1), n.bits(1, 0)]).toEqual([5, 5]);
    for (const each of [0, 1]) {
      expect(n.logged(each, `drbd${n.cluster.minor(each, 0)} n${1 - each}: Out of sync: start=136, size=24 (sectors)`)).toBe(1);
      expect(n.logged(each, 'Out of sync: start=2400, size=8 (sectors)')).toBe(1);
      expect(n.logged(each, 'Out of sync: start=20392, size=8 (sectors)')).toBe(1);
      expect(n.logged(each, 'Online verify found 5 4k blocks out of sync!')).toBe(1);
      expect(n.logged(each, 'out-of-sync exit code')).toBe(1);
      expect(n.disk(each)).toBe(Disk.upToDate);
    }
    await n.pass(30_000);
    expect([n.bits(0, 1), n.bits(1, 0)]).toEqual([5, 5]);
    const body = { pResetBitmap: false };
    await n.ok(n.at(0).setup.with(Cmd.INVAL_PEER, context(1), invalPeerParams, body, NO_MINOR));
    await n.settled();
    n.expectSameDisks();
  });

  it('from a start sector to a stop sector', async () => {
    await upToDate(3);
    for (const block of [10, 100, 500, 501, 800]) corrupt(1, block);
    await verify(0, 1, { ovStartSector: 403, ovStopSector: 4008 });
    expect(n.bits(0, 1)).toBe(2);
    expect(n.logged(0, 'Starting Online Verify from sector 400')).toBe(1);
    expect(n.logged(0, 'Out of sync: start=800, size=8 (sectors)')).toBe(1);
    expect(n.logged(0, 'Out of sync: start=4000, size=8 (sectors)')).toBe(1);
    for (const id of [0, 1]) expect(n.logged(id, 'Online Verify reached sector 4008')).toBe(1);
    await verify(0, 1);
    expect(n.logged(0, 'Starting Online Verify from sector 4008')).toBe(1);
    expect(n.bits(0, 1)).toBe(4);
    expect(pd(0, 1).io.verify.startSector).toBe(0);
  });

  it('a start beyond the end compares the last block', async () => {
    await upToDate(4);
    corrupt(1, 2549);
    await verify(0, 1, { ovStartSector: 1 << 30 });
    expect(n.bits(0, 1)).toBe(1);
  });

  it('needs an algorithm and a connection', async () => {
    await upToDate(5, 2, '');
    expect(await start(0, 1)).toBe(Ss.noVerifyAlg);
    await upToDate(5);
    await n.ok(n.at(0).setup.disconnect('r0', 1));
    expect(await start(0, 1)).toBe(Ss.needConnection);
  });

  it('shows how far it is, and goes on there after a lost connection', async () => {
    await upToDate(6);
    await n.ok(n.at(0).setup.peerDeviceOptions('r0', 1, 0, { cPlanAhead: 0, resyncRate: 400 }));
    corrupt(1, 20);
    expect(await start(0, 1)).toBe(Ss.success);
    await n.until('half of it', () => pd(0, 1).io.verify.left < 700);
    const { peerDevOvLeft, peerDevOvPosition, peerDevRsTotal, peerDevOvStopSector } = peerDeviceStatistics(pd(0, 1));
    expect(peerDevOvLeft).toBeLessThan(5600);
    expect(peerDevOvPosition).toBeGreaterThan(4400);
    expect(peerDevRsTotal).toBeGreaterThanOrEqual(10_200);
    expect(peerDevOvStopSector).toBe(Infinity);
    await n.ok(n.at(1).setup.disconnect('r0', 0, true));
    await n.until('disconnected', () => n.repl(0, 1) === Repl.off);
    const reached = pd(0, 1).io.verify.startSector;
    expect(reached).toBeGreaterThan(4000);
    expect(n.logged(0, `Online Verify reached sector ${reached}`)).toBe(1);
    expect(pd(0, 1).io.rsPending).toBe(0);
    await n.ok(n.at(1).setup.connect('r0', 0));
    await n.until('what was found is resynced', () => n.disk(1) === Disk.upToDate && n.bits(0, 1) === 0
      && n.repl(0, 1) === Repl.established && n.repl(1, 0) === Repl.established);
    await verify(0, 1);
    expect(n.logged(0, `Starting Online Verify from sector ${reached}`)).toBe(1);
  });

  it('a target that loses its disk ends it', async () => {
    await upToDate(7);
    await n.ok(n.at(0).setup.peerDeviceOptions('r0', 1, 0, { cPlanAhead: 0, resyncRate: 400 }));
    expect(await start(0, 1)).toBe(Ss.success);
    await n.until('some of it', () => pd(0, 1).io.verify.left < 1000);
    await n.ok(n.at(1).setup.with(Cmd.DETACH, {}, detachParms, {}, n.cluster.minor(1, 0)));
    await n.until('Diskless', () => n.disk(1) === Disk.diskless && n.repl(0, 1) === Repl.established);
    await n.attach(1);
    await n.settled();
    await n.until('nothing is left', () => [0, 1].every((id) => pd(id, 1 - id).io.rsPending === 0 && pd(id, 1 - id).io.unacked === 0));
    await verify(0, 1);
    expect(n.bits(0, 1)).toBe(0);
  });

  it('a read error counts as a difference', async () => {
    n = new Nodes(8, { net: { verifyAlg: 'sha1' }, disk: { onIoError: 0 } });
    await n.upToDate();
    const disk = n.at(0).node.disks.get('/dev/disk0')!;
    await n.ok(n.at(0).setup.peerDeviceOptions('r0', 1, 0, { cPlanAhead: 0, resyncRate: 400 }));
    expect(await start(0, 1)).toBe(Ss.success);
    await n.until('some of it', () => pd(0, 1).io.verify.left < 2000);
    disk.faults.readErrorChance = 1;
    await n.until('an error', () => n.bits(0, 1) > 0);
    disk.faults.readErrorChance = 0;
    await n.until('the end', () => !pd(0, 1).io.verify.running && !pd(1, 0).io.verify.running, 120_000);
    expect(n.bits(0, 1)).toBeGreaterThan(0);
  });
});

describe('under writes', () => {
  it.each([[1, 0, 1], [2, 1, 0], [3, 0, 1], [4, 1, 0]])('never finds what is not there (seed %i, n%i asks n%i)', async (seed, id, peer) => {
    await upToDate(10 + seed);
    for (const each of [0, 1]) n.at(each).node.disks.get('/dev/disk0')!.faults.maxMs = 6;
    let left = 0;
    for (let i = 0; i < 1500; i++) {
      n.cluster.world.at(i / 4, 'write', () => { left++; n.submit(0, (i * 37) % 1270, 1000 + i, () => { left--; }, 1 + i % 4); });
    }
    await verify(id, peer);
    await n.until('writes are over', () => left === 0);
    expect([n.bits(0, 1), n.bits(1, 0)]).toEqual([0, 0]);
    const { skipped } = pd(id, peer).io.verify;
    expect(skipped).toBeGreaterThan(0);
    expect(n.logged(id, `but ${skipped} 4k blocks skipped`)).toBe(1);
    expect(pd(peer, id).io.verify.skipped).toBe(skipped);
    expect(n.logged(id, 'Skipped verify, too busy')).toBeGreaterThan(0);
  });

  it.each([1, 2, 3, 4, 5, 6])('of a third node (seed %i)', async (seed) => {
    await upToDate(20 + seed, 3);
    for (const each of [0, 1, 2]) n.at(each).node.disks.get('/dev/disk0')!.faults.maxMs = 4;
    let left = 0;
    for (let i = 0; i < 1500; i++) {
      n.cluster.world.at(i / 4, 'write', () => { left++; n.submit(0, (i * 37) % 1270, 1000 + i, () => { left--; }, 1 + i % 4); });
    }
    await verify(1, 2);
    await n.until('writes are over', () => left === 0);
    await n.settled();
    expect(n.logged(1, 'Out of sync')).toBe(0);
  });

  it('ends also when the link to a third node that writes breaks, whose writes replies wait for', async () => {
    await upToDate(30, 3);
    let left = 0;
    for (let i = 0; i < 1500; i++) {
      n.cluster.world.at(i / 4, 'write', () => { left++; n.submit(0, (i * 37) % 1270, 1000 + i, () => { left--; }); });
    }
    expect(await start(1, 2)).toBe(Ss.success);
    n.cluster.world.at(20, 'cut', () => { void n.at(0).setup.disconnect('r0', 1, true); });
    await ended(1, 2);
    await n.until('writes are over', () => left === 0, 120_000);
    await n.until('nothing is left of it', () => [[1, 2], [2, 1]].every(([a, b]) => pd(a!, b!).io.rsPending === 0
      && pd(a!, b!).io.unacked === 0 && pd(a!, b!).device.io.intervals.count === 0));
  });
});
