// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 7: resync against application I/O. */
import { expect } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { hazard } from './hazard.ts';

const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('H-163', 'a source answers only when it has the writes that the target has seen', 'A(P) B C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('B-C');
  await s.joining('A-C');
  const late = s.hold('A>B', 'P_DATA');
  for (let block = 0; block < 60; block++) {
    s.wStar('A', block);
    await s.pass(20);
  }
  await s.pass(200);
  late.release();
  await s.con('A-C');
});

hazard('H-164', 'a resync write and an application write of one block exclude each other', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('B>A:SyncTarget');
  s.stall('B');
  for (let block = 0; block < 60; block++) {
    s.wStar('A', block);
    await s.pass(10);
  }
  s.flow('B');
});

hazard('H-165', 'a write to a block that was requested of its own sender does not wait for the answer', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('B>A:SyncTarget');
  for (let i = 0; i < 150; i++) {
    s.wStar('A', i % 60);
    await s.pass(12);
  }
  await s.until('nothing hangs', () => s.pending === 0, 30_000);
});

hazard('H-166', 'the end of an interval looks at all who wait for it', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 64; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('B>A:SyncTarget');
  const reply = s.hold('A>B', 'P_RS_DATA_REPLY', 1);
  await s.caught(reply);
  for (let i = 0; i < 6; i++) s.wStar('A', 0, { blocks: 32 });
  for (let i = 0; i < 6; i++) s.wStar('A', 16, { blocks: 32 });
  await s.pass(100);
  reply.release();
  await s.until('nothing hangs', () => s.pending === 0, 30_000);
});

for (const how of ['disconnect', 'detach', 'link loss'] as const) {
  hazard('H-167', `${how} while resync writes wait`, 'A(P) B C', slow, async (s) => {
    await s.isolate('C');
    for (let block = 0; block < 60; block++) await s.w('A', block);
    await s.con('B-C');
    await s.joining('A-C');
    await s.reach('C>B:SyncTarget');
    s.stall('C');
    for (let block = 0; block < 60; block++) s.wStar('A', block);
    await s.pass(300);
    if (how === 'disconnect') await s.disc('C-B', true);
    else if (how === 'detach') {
      s.flow('C');
      await s.detach('C');
      await s.attach('C');
    } else await s.reset('B-C');
    s.flow('C');
    if (how !== 'disconnect') return;
    // The clean-up waits for what was on the disk; only then it can be connected again.
    await s.pass(10_000);
    await s.con('C-B');
  });
}

hazard('H-168', 'two requests for one range are not under way at once', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 40; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('B>A:SyncTarget');
  const reply = s.hold('A>B', 'P_RS_DATA_REPLY');
  await s.caught(reply);
  await s.pass(2_000);
  for (let block = 0; block < 8; block++) s.wStar('A', block);
  await s.pass(500);
  reply.release();
});

hazard('H-169', 'acks of a resync are matched by id and volume', 'A(P) B', { ...slow, volumes: 2 }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 30; block++) for (const vnr of [0, 1]) await s.w('A', block, { vnr });
  const ack = s.hold('B>A', 'P_RS_WRITE_ACK', 2);
  await s.con('A-B');
  await s.caught(ack);
  for (let block = 0; block < 30; block++) for (const vnr of [0, 1]) s.wStar('A', block, { vnr });
  await s.pass(300);
  ack.release();
  await s.until('in sync', () => s.is('B:UpToDate'));
  expect(s.logged('A', 'Unexpected')).toBe(0);
  expect(s.is('A-B:Connected')).toBe(true);
});

hazard('H-170', 'an idle Primary tells its dagtag to who becomes a receiver', 'A(P) B C', {}, async (s) => {
  await s.cut('A-B', 'B-C');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  await s.idle();
  await s.detach('C');
  s.replaceDisk('C');
  await s.attach('C');
  await s.until('C has it', () => s.is('C:UpToDate'));
  s.sever('A-B');
  await s.con('B-C');
  await s.con('A-B');
});

hazard('H-171', 'a dagtag that cannot be reached is cancelled, the connection stays', 'A(d,P) B C', { ...slow, end: 'as told' }, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('B-C');
  await s.con('A-C');
  for (let block = 0; block < 30; block++) s.wStar('A', block);
  await s.drop('A-B');
  await s.pass(2_000);
  expect(s.is('B-C:Connected')).toBe(true);
  await s.con('A-B');
  await s.reach('B:UpToDate', 'C:UpToDate');
  // The writes that failed may be on one of them only: that is marked, and synced some seconds later.
  await s.until('no bits are left', () => s.bits('B>C') + s.bits('C>B') === 0);
  s.expectSame('B', 'C');
});

hazard('H-173', 'cancelled requests do not starve the writer', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 200; block++) s.wStar('A', block);
  await s.until('written', () => s.pending === 0);
  await s.con('A-B');
  const from = s.cluster.world.nowMs;
  for (let i = 0; i < 100; i++) await s.w('A', i % 8);
  expect(s.cluster.world.nowMs - from).toBeLessThan(5_000);
});

hazard('H-174', 'after the position went back nothing new is sent before all outstanding is in', 'A(P) B', { disk: { rsDiscardGranularity: 65_536 } }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 512; block += 16) await s.w('A', block, { blocks: 16, op: BioOp.discard });
  await s.joining('A-B');
  await s.until('it began', () => s.logged('B', 'Began resync') > 0);
  for (let i = 0; i < 40; i++) {
    s.wStar('A', (i * 16) % 512);
    await s.pass(2);
  }
});

hazard('H-175', 'a write over a postponed write is postponed too', 'A(P) B C', { resource: { quorum: 1024 } }, async (s) => {
  s.sever('A-B', 'A-C');
  const writes = [0, 0, 0, 1].map((block) => s.wStar('A', block));
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen');
  writes.push(s.wStar('A', 0, { blocks: 2 }));
  await s.con('A-B', 'A-C');
  await s.ended(...writes);
});

hazard('H-181', 'while out-of-sync grows the resync is not throttled to nothing', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 1000; block++) s.wStar('A', block);
  await s.until('written', () => s.pending === 0);
  await s.con('A-B');
  for (let i = 0; i < 300; i++) {
    s.wStar('A', (i * 37) % 1000);
    await s.pass(10);
  }
  await s.until('in sync', () => s.is('B:UpToDate'), 30_000);
});

hazard('H-182', 'a source tells a target that has lost its disk that nothing comes', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('B>A:SyncTarget');
  await s.detach('B', true);
  await s.attach('B');
});
