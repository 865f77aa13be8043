// SPDX-License-Identifier: GPL-2.0-or-later
/** Engines die under a running application: it sees no error, and both disks end equal. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Err } from '../../../src/genl/codes.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { Cstate, Disk, Role } from '../../../src/state/states.ts';
import { applyActivityLog } from '../../../src/sim/apply-al.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';
import { Pair, Writers } from './pair.ts';

let pair: Pair;
beforeEach(() => { pair = new Pair(1); });
afterEach(({ task }) => { if (task.result?.state === 'fail') console.log(pair.log()); });

async function settle(writers: Writers): Promise<void> {
  writers.stopped = true;
  await pair.until('the last write', () => writers.idle);
  await pair.until('in sync again', () => pair.inSync());
  expect(writers.errors).toEqual([]);
  expect(pair.difference()).toBe(-1);
}

/** The last close comes while no engine is there. */
async function closedMeanwhile({ node, engine }: SimMember): Promise<void> {
  node.admin.pinned = false;
  node.killEngine();
  pair.kernel(pair.a).close();
  node.admin.pinned = true;
  node.start();
  await pair.until('the next engine', () => pair.a.engine !== engine
    && pair.a.engine!.resources.get('r0')?.view.connections[0]?.cstate === Cstate.connected);
}

describe('an engine that dies under I/O', { timeout: 30_000 }, () => {
  it('on the Primary without a peer', async () => {
    await pair.upToDate();
    const { a } = pair;
    await pair.ok(a.setup.disconnect('r0', 1));
    expect(await pair.open(a, true)).toBe(0);
    const writers = new Writers(pair, a, 4);
    for (let i = 0; i < 5; i++) {
      const before = writers.done;
      await pair.until('writes go on', () => writers.done > before + 20);
      a.node.killEngine();
    }
    await pair.until('the role is back', () => a.engine!.resources.get('r0')?.view.resource.role === Role.primary);
    await pair.ok(a.setup.connect('r0', 1));
    await settle(writers);
  });

  it('on the Primary with a peer', async () => {
    await pair.upToDate();
    const { a } = pair;
    expect(await pair.open(a, true)).toBe(0);
    const writers = new Writers(pair, a, 4);
    for (let i = 0; i < 5; i++) {
      const before = writers.done;
      await pair.until('writes go on', () => writers.done > before + 20);
      a.node.killEngine();
    }
    await settle(writers);
  });

  it('on the Secondary', async () => {
    await pair.upToDate();
    const { a, b } = pair;
    expect(await pair.open(a, true)).toBe(0);
    const writers = new Writers(pair, a, 4);
    for (let i = 0; i < 5; i++) {
      const before = writers.done;
      await pair.until('writes go on', () => writers.done > before + 20);
      b.node.killEngine();
    }
    await settle(writers);
  });

  it.each(['io-error', 'suspend-io'] as const)('on a Primary without a disk, on-no-data-accessible %s', async (policy) => {
    pair = new Pair(1, 1, 20_480, { onNoData: policy === 'io-error' ? 0 : 1 });
    await pair.upToDate();
    const { a } = pair;
    expect(await pair.open(a, true)).toBe(0);
    await pair.ok(a.setup.plain(Cmd.DETACH, {}, pair.cluster.minor(0, 0)));
    const writers = new Writers(pair, a, 4);
    for (let i = 0; i < 3; i++) {
      const before = writers.done;
      await pair.until('writes go on', () => writers.done > before + 20);
      a.node.killEngine();
    }
    const before = writers.done;
    await pair.until('writes go on', () => writers.done > before + 20);
    writers.stopped = true;
    await pair.until('the last write', () => writers.idle);
    expect(writers.errors).toEqual([]);
  });

  it.each([[7, false], [1, true]])('on a Primary with resource-and-stonith, whose peer dies with it: fence-peer says %i', async (exit, stays) => {
    pair = new Pair(1, 1, 20_480, {}, { fencingPolicy: 2 });
    await pair.upToDate();
    const { a, b } = pair;
    expect(await pair.open(a, true)).toBe(0);
    b.node.crash();
    a.node.killEngine();
    a.node.helper!.exitCodes.set('fence-peer', exit);
    const written = pair.submit(a, 1, 1);
    await pair.pause(5_000);
    expect(a.resource.view.connections[0]!.suspFen).toBe(true);
    expect(written.errno).toBe(-1);
    await pair.pause(10_000);
    expect(a.node.helper!.calls.filter(({ argv }) => argv[1] === 'fence-peer')).toHaveLength(1);
    expect(written.errno).toBe(stays ? -1 : 0);
  });

  it('is closed while no engine is there: what was promoted for it is demoted', async () => {
    await pair.upToDate();
    const { a } = pair;
    await pair.ok(a.setup.secondary('r0'));
    expect(await pair.open(a, true)).toBe(0);
    await closedMeanwhile(a);
    await pair.until('demoted', () => a.resource.view.resource.role === Role.secondary);
    expect(await pair.open(pair.b, true)).toBe(0);
  });

  it('is closed while no engine is there, after a forced demotion: I/O does not fail any longer', async () => {
    await pair.upToDate();
    const { a } = pair;
    expect(await pair.open(a, true)).toBe(0);
    await pair.ok(a.setup.secondary('r0', true));
    expect(a.resource.view.resource.failIo).toBe(true);
    await closedMeanwhile(a);
    expect(await pair.open(a, true)).toBe(0);
  });

  it('on both, in the middle of a resync', async () => {
    await pair.upToDate();
    const { a, b } = pair;
    await pair.ok(a.setup.disconnect('r0', 1));
    expect(await pair.open(a, true)).toBe(0);
    const writers = new Writers(pair, a, 4);
    await pair.until('many blocks', () => writers.done > 600);
    await pair.ok(a.setup.connect('r0', 1));
    await pair.until('the resync', () => b.resource.view.peerDevices[0]!.repl === 17);
    b.node.killEngine();
    await pair.pause(50);
    a.node.killEngine();
    await settle(writers);
  });
});

describe('an engine that dies', { timeout: 30_000 }, () => {
  it('while a disk that an I/O error took away negotiates its return', async () => {
    await pair.upToDate();
    const { b } = pair;
    b.node.life!.turn(() => { b.resource.dispatch({ kind: 'ioError', vnr: 0, error: 'write' }); });
    await pair.until('Diskless', () => b.resource.view.devices[0]!.disk === Disk.diskless && b.resource.devices.get(0)!.disk === null);
    applyActivityLog(b.node.disks.get('/dev/disk0')!);
    const attached = b.setup.attach(pair.cluster.minor(1, 0), '/dev/disk0');
    await pair.until('Negotiating', () => b.resource.view.devices[0]!.disk === Disk.negotiating);
    b.node.killEngine();
    // The disk is free again, and as after a crash.
    expect(await pair.answer(attached)).toBe(Err.MD_UNCLEAN);
    applyActivityLog(b.node.disks.get('/dev/disk0')!);
    await pair.ok(b.setup.attach(pair.cluster.minor(1, 0), '/dev/disk0'));
    await pair.until('in sync', () => pair.inSync());
  });
});
