// SPDX-License-Identifier: GPL-2.0-or-later
/** Two engines with an application on top: what is written arrives, and a resync moves exactly what differs. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { SimCluster } from '../../../src/sim/cluster.ts';
import type { SimMember } from '../../../src/sim/cluster.ts';
import { Cstate, Disk, Repl, Role } from '../../../src/state/states.ts';

const SECTORS_PER_BLOCK = 8;
const BLOCK_BYTES = 4096;

let cluster: SimCluster;
let a: SimMember;
let b: SimMember;

beforeEach(() => {
  cluster = new SimCluster(1, { nodes: 2, volumes: 1, diskSectors: 20_480, wireProtocol: 3 });
  [a, b] = cluster.members as [SimMember, SimMember];
});
afterEach(({ task }) => {
  if (task.result?.state !== 'fail' || !process.env.DUMP) return;
  const lines = cluster.members.flatMap((m) => m.node.log.lines.slice(-80));
  console.log(lines.sort((x, y) => parseFloat(x) - parseFloat(y)).join('\n'));
});

const repl = (m: SimMember): Repl => m.resource.view.peerDevices[0]!.repl;
const cstate = (m: SimMember): Cstate => m.resource.view.connections[0]!.cstate;
const disk = (m: SimMember): Disk => m.resource.view.devices[0]!.disk;
const pdsk = (m: SimMember): Disk => m.resource.view.peerDevices[0]!.pdsk;
const role = (m: SimMember): Role => m.resource.view.resource.role;
const bits = (m: SimMember): number => m.resource.devices.get(0)!.disk!.bitmap.weight[0]!;
const kernel = (m: SimMember) => m.node.devices.get(cluster.minor(m.id, 0))!;
const close = async (m: SimMember): Promise<void> => {
  let closed = false;
  kernel(m).close(() => { closed = true; });
  await cluster.until('close returns', () => closed);
};
const disk0 = (m: SimMember) => m.node.disks.get('/dev/disk0')!;
const ok = async (answer: Promise<{ code: number; text: string }>): Promise<void> => {
  const { code, text } = await cluster.admin(answer);
  expect([1, 2, 101], text).toContain(code);
};

async function open(m: SimMember): Promise<void> {
  let errno = -1;
  kernel(m).open(true, (e) => { errno = e; });
  await cluster.until('open', () => errno >= 0);
  expect(errno).toBe(0);
}

async function write(m: SimMember, block: number, tag: number, blocks = 1): Promise<number> {
  let errno = -1;
  const tags = new Float64Array(blocks * SECTORS_PER_BLOCK).fill(tag);
  kernel(m).submit({ op: BioOp.write, flags: 0, sector: block * SECTORS_PER_BLOCK, sizeBytes: blocks * BLOCK_BYTES, tags,
    done: (e) => { errno = e; } });
  await cluster.until(`write of block ${block}`, () => errno >= 0);
  return errno;
}

const settled = (): boolean => cluster.members.every((m) => cstate(m) === Cstate.connected && repl(m) === Repl.established
  && disk(m) === Disk.upToDate && pdsk(m) === Disk.upToDate);

async function upToDate(): Promise<void> {
  await cluster.up(0);
  await cluster.up(1);
  await cluster.until('connected', () => cluster.members.every((m) => repl(m) === Repl.established));
  await ok(a.setup.primary('r0', true));
  await cluster.until('first sync', settled);
}

const sameDisks = (): void => {
  for (let sector = 0; sector < kernel(a).capacity; sector++) expect(disk0(b).tag(sector)).toBe(disk0(a).tag(sector));
};

describe('two nodes with an application', () => {
  it('write under protocol C to both disks before the application hears of it', async () => {
    await upToDate();
    await open(a);
    for (let block = 0; block < 40; block++) {
      expect(await write(a, block * 7, 1000 + block)).toBe(0);
      expect(disk0(a).tag(block * 7 * SECTORS_PER_BLOCK)).toBe(1000 + block);
      expect(disk0(b).tag(block * 7 * SECTORS_PER_BLOCK)).toBe(1000 + block);
    }
    await cluster.until('peer acks', () => a.resource.io.requests.writes === 0);
    expect([bits(a), bits(b)]).toEqual([0, 0]);
  });

  it('resync exactly what was written while they were apart', async () => {
    await upToDate();
    await open(a);
    expect(await write(a, 3, 1)).toBe(0);
    await ok(a.setup.disconnect('r0', 1));
    await cluster.until('peer waits', () => cstate(b) === Cstate.connecting);
    for (const block of [0, 10, 256, 260, 390]) expect(await write(a, block, 2)).toBe(0);
    expect(await write(a, 512, 3, 32)).toBe(0);
    expect(bits(a)).toBe(5 + 32);
    await ok(a.setup.connect('r0', 1));
    const pd = a.resource.peerDevice(0, 1);
    const sentBefore = pd.io.sent;
    await cluster.until('resync', () => settled() && bits(a) === 0 && bits(b) === 0);
    expect(pd.io.sent - sentBefore).toBe((5 + 32) * SECTORS_PER_BLOCK);
    sameDisks();
    expect(await write(a, 700, 9)).toBe(0);
    expect(disk0(b).tag(700 * SECTORS_PER_BLOCK)).toBe(9);
  });

  it('resync writes that go on during it', async () => {
    await upToDate();
    await open(a);
    await ok(a.setup.disconnect('r0', 1));
    await cluster.until('peer waits', () => cstate(b) === Cstate.connecting);
    for (let block = 0; block < 200; block++) expect(await write(a, block * 3, block + 1)).toBe(0);
    await ok(a.setup.connect('r0', 1));
    for (let i = 0; !settled() || i < 20; i++) expect(await write(a, (i * 37) % 900, 5000 + i)).toBe(0);
    await cluster.until('bits are gone', () => bits(a) === 0 && bits(b) === 0);
    sameDisks();
  });

  it('change roles', async () => {
    await upToDate();
    expect([role(a), role(b)]).toEqual([Role.primary, Role.secondary]);
    expect((await cluster.admin(b.setup.primary('r0'))).code).toBe(-1);
    await ok(a.setup.secondary('r0'));
    await ok(b.setup.primary('r0'));
    await cluster.until('roles are known', () => a.resource.view.connections[0]!.peerRole === Role.primary);
    await open(b);
    expect(await write(b, 5, 77)).toBe(0);
    expect(disk0(a).tag(5 * SECTORS_PER_BLOCK)).toBe(77);
    expect((await cluster.admin(b.setup.secondary('r0'))).code).toBe(-12);
    await close(b);
    await ok(b.setup.secondary('r0'));
    expect(a.resource.view.devices[0]!.currentUuid | 1n).toBe(b.resource.view.devices[0]!.currentUuid | 1n);
  });

  it('promote at open and demote at the last close', async () => {
    await upToDate();
    await ok(a.setup.secondary('r0'));
    await open(b);
    expect(role(b)).toBe(Role.primary);
    expect(await write(b, 1, 5)).toBe(0);
    await close(b);
    await cluster.until('auto-demote', () => role(b) === Role.secondary);
    await open(a);
    expect(await write(a, 1, 6)).toBe(0);
    expect(disk0(b).tag(8)).toBe(6);
  });

  it('come back from a broken network without losing a write', async () => {
    await upToDate();
    await open(a);
    for (let round = 0; round < 5; round++) {
      for (const stream of cluster.fabric.streams) stream.fail('error', 104);
      for (let i = 0; i < 10; i++) expect(await write(a, round * 50 + i, round * 100 + i + 1)).toBe(0);
      await cluster.until('together again', () => settled() && bits(a) === 0 && bits(b) === 0);
      sameDisks();
    }
  });

  it('fail over when the Primary loses power', async () => {
    await upToDate();
    await open(a);
    for (let i = 0; i < 10; i++) expect(await write(a, i, i + 1)).toBe(0);
    a.node.crash();
    await cluster.until('loss is seen', () => cstate(b) === Cstate.connecting && disk(b) === Disk.upToDate, 120_000);
    await open(b);
    expect(await write(b, 100, 99)).toBe(0);
    await cluster.up(0);
    await cluster.until('together again', () => settled() && bits(a) === 0 && bits(b) === 0);
    sameDisks();
    expect(disk0(a).tag(800)).toBe(99);
  });
});
