// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 12: sizes. */
import { expect } from 'vitest';
import { Err } from '../../../src/genl/codes.ts';
import { inSync } from '../../../src/sim/story/checks.ts';
import type { Story } from '../../../src/sim/story/story.ts';
import { hazard } from './hazard.ts';

const LARGER = 20_480;
const BLOCK = 8;

/** All that are there have the same size, and it can be written to its end. */
async function sameSize(s: Story, writer: string): Promise<number> {
  const size = s.capacity(writer);
  await s.until('all have one size', () => s.cast.every(({ name }) => !s.alive(name) || s.capacity(name) === size));
  await s.w(writer, Math.floor(size / BLOCK) - 1);
  return size;
}

/** Fresh disks; only those of `large` are larger. */
async function create(s: Story, large: readonly string[]): Promise<void> {
  s.enlarge(LARGER, ...large);
  for (const name of large) s.createMd(name);
  for (const { name } of s.cast) await s.up(name, { connect: false });
}

async function link(s: Story, text: string): Promise<void> {
  for (const from of [text, [...text].reverse().join('')]) await s.ok(s.setup(from[0]!).connect('r0', s.player(from[2]!).id));
  await s.until(`${text} joined`, () => s.joined(text));
}

for (const [first, then] of [['A-B', 'B-C'], ['B-C', 'A-B']] as const) {
  hazard('H-265', `the smallest disk of a chain counts on all of it, with ${first} connected first`, 'A B C', { start: 'down' }, async (s) => {
    await create(s, ['B', 'C']);
    await link(s, first);
    if (first === 'A-B') await s.promote('A', true);
    await link(s, then);
    if (first !== 'A-B') await s.promote('A', true);
    const size = await sameSize(s, 'A');
    expect(size).toBeLessThan(10_240);
    expect(s.is('A-B:Connected') && s.is('B-C:Connected')).toBe(true);
    await link(s, 'A-C');
    expect(await sameSize(s, 'A')).toBe(size);
  });
}

hazard('H-266', 'a disk that is too small is refused on both ends, and nobody else is bothered', 'A B(P) C', { start: 'down' }, async (s) => {
  await create(s, ['B', 'C']);
  await link(s, 'B-C');
  await s.promote('B', true);
  await s.until('in sync', () => s.is('C:UpToDate'));
  await s.joining('A-B');
  await s.reach('A-B:StandAlone');
  await s.w('B');
  expect(s.is('B-C:Connected')).toBe(true);
  await s.detach('A');
  s.enlarge(LARGER, 'A');
  s.replaceDisk('A');
  await s.attach('A');
});

hazard('H-267', 'a resize while a smaller one is absent grows nothing', 'A B C', {}, async (s) => {
  const before = s.capacity('A');
  await s.down('C');
  s.enlarge(LARGER, 'A', 'B');
  await s.resize('A');
  await s.promote('A');
  expect(await sameSize(s, 'A')).toBe(before);
  await s.demote('A');
  await s.up('C');
  await s.until('C joins', () => s.joined('A-C') && s.joined('B-C'));
});

for (const room of [false, true]) {
  hazard('H-267', `a disk that is reached by way of another one counts, ${room ? 'with room' : 'without room'}`, 'A B C', { links: 'A-B B-C' }, async (s) => {
    const before = s.capacity('A');
    s.enlarge(LARGER, 'A', 'B', ...room ? ['C'] : []);
    await s.resize('A');
    await s.promote('A');
    const size = await sameSize(s, 'A');
    if (room) expect(size).toBeGreaterThan(before);
    else expect(size).toBe(before);
  });
}

hazard('H-269', 'after a demotion the one that is asked is the source of what is new', 'A(P) B C', {}, async (s) => {
  await s.w('A');
  await s.demote('A');
  s.enlarge(LARGER, 'A', 'B', 'C');
  const syncs = (): number[] => ['B', 'C'].map((name) => s.logged(name, 'Began resync as SyncTarget'));
  const before = syncs();
  await s.resize('A');
  await s.until('both are synced', () => syncs().every((n, i) => n === before[i]! + 1));
  await s.until('in sync', () => inSync(s));
  await s.promote('A');
  await sameSize(s, 'A');
});

hazard('H-268', 'a diskless node grows only if all disks can', 'A B C(d)', {}, async (s) => {
  const before = s.capacity('C');
  await s.down('A');
  s.enlarge(LARGER, 'A');
  s.replaceDisk('A');
  s.sever('A-B');
  await s.up('A');
  await s.until('A joins C', () => s.joined('A-C'));
  expect(s.capacity('C')).toBe(before);
  await s.con('A-B');
  await s.promote('C');
  expect(await sameSize(s, 'C')).toBe(before);
});

hazard('H-271', 'meta-data that move are whole, also of who logs no activity', 'A(P) B', {}, async (s) => {
  s.enlarge(LARGER, 'A', 'B');
  await s.resize('A');
  await sameSize(s, 'A');
  for (const name of ['B', 'A']) {
    await s.until('in sync', () => inSync(s));
    await s.reboot(name);
  }
  await s.until('in sync', () => inSync(s));
  expect(s.capacity('A')).toBeGreaterThan(LARGER - 200);
});

for (const asked of ['A', 'B'] as const) {
  hazard('H-272', `a resize and cold extents do not wait for each other, asked at ${asked}`, 'A(P) B C', { diskSectors: 200_000 }, async (s) => {
    const extentBlocks = 1024;
    s.enlarge(210_000, 'A', 'B', 'C');
    for (const { name } of s.cast) s.backing(name).faults.maxMs = 10;
    for (let i = 0; i < 60; i++) s.cluster.world.at(i, 'write', () => s.wStar('A', i % 24 * extentBlocks + i));
    await s.until('extents become active', () => ['A', 'B', 'C'].every((name) => s.device(name).disk!.al.transactionInFlight));
    expect(await s.resize(asked)).toBe(Err.NO_ERROR);
    await s.until('all are written', () => s.pending === 0, 10_000);
    await sameSize(s, 'A');
  });
}

hazard('R-40', 'a device that grew with an attach starts no resync on one end alone at a later one', 'A(P) B', { disk: { diskSize: 8192 } }, async (s) => {
  await s.w('A');
  await s.detach('A');
  await s.w('A');
  await s.attach('A', 0, { diskSize: 9216 });
  await s.until('in sync', () => s.is('A:UpToDate') && s.joined('A-B'));
  expect(await sameSize(s, 'A')).toBe(9216);
  await s.detach('A');
  await s.attach('A', 0, { diskSize: 9216 });
  await s.reach('A:UpToDate', 'A-B:Established');
  await s.stays(20_000, 'A-B:Established');
});
