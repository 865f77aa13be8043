// SPDX-License-Identifier: GPL-2.0-or-later
/** Two engines with an application on top: what is written arrives, and a resync moves exactly what differs. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Cmd } from '../../../src/genl/ops.ts';
import { Cstate, Disk, Role } from '../../../src/state/states.ts';
import { BLOCK_SECTORS, Nodes } from './nodes.ts';

const SEED = Number(process.env.SEED ?? 1);

let n: Nodes;

beforeEach(() => { n = new Nodes(SEED); });
afterEach(({ task }) => { if (task.result?.state === 'fail' && process.env.DUMP) console.log(n.log()); });

const role = (id: number): Role => n.at(id).resource.view.resource.role;

async function primaryOpen(): Promise<void> {
  await n.upToDate();
  expect(await n.open(0)).toBe(0);
}

async function apart(): Promise<void> {
  await n.ok(n.at(0).setup.disconnect('r0', 1));
  await n.until('peer waits', () => n.cstate(1, 0) === Cstate.connecting);
}

describe('two nodes with an application', () => {
  it('write under protocol C to both disks before the application hears of it', async () => {
    await primaryOpen();
    for (let i = 0; i < 40; i++) {
      expect(await n.write(0, i * 7, 1000 + i)).toBe(0);
      expect([n.tag(0, i * 7), n.tag(1, i * 7)]).toEqual([1000 + i, 1000 + i]);
    }
    await n.until('peer acks', () => n.at(0).resource.io.requests.writes === 0);
    expect([n.bits(0, 1), n.bits(1, 0)]).toEqual([0, 0]);
  });

  it('resync exactly what was written while they were apart', async () => {
    await primaryOpen();
    expect(await n.write(0, 3, 1)).toBe(0);
    await n.until('its barrier ack', () => n.at(0).resource.io.requests.writes === 0);
    await apart();
    for (const block of [0, 10, 256, 260, 390]) expect(await n.write(0, block, 2)).toBe(0);
    expect(await n.write(0, 512, 3, 32)).toBe(0);
    expect(n.bits(0, 1)).toBe(5 + 32);
    await n.ok(n.at(0).setup.connect('r0', 1));
    const { io } = n.at(0).resource.peerDevice(0, 1);
    const before = io.sent;
    await n.settled();
    expect(io.sent - before).toBe((5 + 32) * BLOCK_SECTORS);
    n.expectSameDisks();
    expect(await n.write(0, 700, 9)).toBe(0);
    expect(n.tag(1, 700)).toBe(9);
  });

  it.each([0, 1])('sync bits that are left between UpToDate disks from the Primary: seen by n%i', async (id) => {
    await primaryOpen();
    expect(await n.write(0, 3, 1)).toBe(0);
    n.at(1).node.disks.get('/dev/disk0')!.writeBytes(45 * BLOCK_SECTORS + 3, new Uint8Array(512).fill(0x5a));
    const { bitmap } = n.at(id).resource.devices.get(0)!.disk!;
    n.at(id).node.life!.turn(() => { bitmap.set(0, 40, 49); });
    const peerDevice = { resourceName: 'r0', peerNodeId: 1 - id, volume: 0 };
    await n.ok(n.at(id).setup.plain(Cmd.PAUSE_SYNC, peerDevice));
    await n.pass(30_000);
    expect(n.bits(id, 1 - id)).toBe(10);
    await n.ok(n.at(id).setup.plain(Cmd.RESUME_SYNC, peerDevice));
    await n.until('the resync', () => n.bits(id, 1 - id) === 0 && n.inSync());
    n.expectSameDisks();
    expect(n.disk(0)).toBe(Disk.upToDate);
  });

  it('resync while writes go on', async () => {
    await primaryOpen();
    await apart();
    for (let i = 0; i < 200; i++) expect(await n.write(0, i * 3, i + 1)).toBe(0);
    await n.ok(n.at(0).setup.connect('r0', 1));
    for (let i = 0; !n.inSync() || i < 20; i++) expect(await n.write(0, (i * 37) % 900, 5000 + i)).toBe(0);
    await n.settled();
    n.expectSameDisks();
  });

  it('change roles', async () => {
    await n.upToDate();
    expect([role(0), role(1)]).toEqual([Role.primary, Role.secondary]);
    expect(await n.code(n.at(1).setup.primary('r0'))).toBe(-1);
    await n.ok(n.at(0).setup.secondary('r0'));
    await n.ok(n.at(1).setup.primary('r0'));
    await n.until('the role is known', () => n.at(0).resource.connectionRow(1).peerRole === Role.primary);
    expect(await n.open(1)).toBe(0);
    expect(await n.write(1, 5, 77)).toBe(0);
    expect(n.tag(0, 5)).toBe(77);
    expect(await n.code(n.at(1).setup.secondary('r0'))).toBe(-12);
    await n.close(1);
    await n.ok(n.at(1).setup.secondary('r0'));
    const current = n.members.map(({ resource }) => resource.deviceRow(0).currentUuid | 1n);
    expect(current[0]).toBe(current[1]);
  });

  it('promote at open and demote at the last close', async () => {
    await n.upToDate();
    await n.ok(n.at(0).setup.secondary('r0'));
    expect(await n.open(1)).toBe(0);
    expect(role(1)).toBe(Role.primary);
    expect(await n.write(1, 1, 5)).toBe(0);
    await n.close(1);
    await n.until('auto-demote', () => role(1) === Role.secondary);
    expect(await n.open(0)).toBe(0);
    expect(await n.write(0, 1, 6)).toBe(0);
    expect(n.tag(1, 1)).toBe(6);
  });

  it('come back from a broken network without losing a write', async () => {
    await primaryOpen();
    for (let round = 0; round < 5; round++) {
      for (const stream of n.cluster.fabric.streams) stream.fail('error', 104);
      for (let i = 0; i < 10; i++) expect(await n.write(0, round * 50 + i, round * 100 + i + 1)).toBe(0);
      await n.settled();
      n.expectSameDisks();
    }
  });

  it('fail over when the Primary loses power', async () => {
    await primaryOpen();
    for (let i = 0; i < 10; i++) expect(await n.write(0, i, i + 1)).toBe(0);
    n.at(0).node.crash();
    await n.until('loss is seen', () => n.cstate(1, 0) === Cstate.connecting && n.disk(1) === Disk.upToDate, 120_000);
    expect(await n.open(1)).toBe(0);
    expect(await n.write(1, 100, 99)).toBe(0);
    await n.cluster.up(0);
    await n.settled();
    n.expectSameDisks();
    expect(n.tag(0, 100)).toBe(99);
  });
});
