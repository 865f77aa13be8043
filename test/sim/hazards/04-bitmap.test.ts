// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 4: bits lost, bits left, the exchange of bitmaps. */
import { expect } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { differencesAreKnown } from '../../../src/sim/story/checks.ts';
import { hazard } from './hazard.ts';

const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('H-098', 'writes under way when the bitmap is sent are in it', 'A(P) B', {}, async (s) => {
  await s.cut('A-B');
  for (let block = 0; block < 5; block++) await s.w('A', block);
  s.stall('A');
  const held = [10, 11, 12].map((block) => s.wStar('A', block));
  const bitmap = s.hold('A>B', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.until('the bitmap is sent, or waits', () => bitmap.caught || s.is('A>B:WFBitMapS'));
  await s.pass(100);
  s.flow('A');
  bitmap.release();
  await s.con('A-B');
  await s.ended(...held);
});

hazard('H-099', 'from WFBitMapS on each write is at least told', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  await s.w('A', 0);
  const bitmap = s.hold('A>B', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.caught(bitmap);
  const during = [1, 2, 3].map((block) => s.wStar('A', block));
  await s.pass(20);
  bitmap.release();
  await s.ended(...during);
});

hazard('H-100', 'a target ends only when what Primaries had sent before has met the bitmaps', 'A(d,P) B C', {}, async (s) => {
  await s.disc('B-C');
  await s.disc('A-C');
  await s.w('A', 1);
  const ack = s.hold('A>B', 'P_PEER_ACK');
  await s.con('A-C');
  await s.joining('B-C');
  s.wStar('A', 2);
  await s.pass(60);
  ack.release();
  await s.con('B-C');
  await s.until('C has all', () => s.is('C:UpToDate'));
  differencesAreKnown(s, 'B-C');
});

hazard('H-101', 'a peer that is new has nothing to answer for what was before it', 'A(P) B C', {}, async (s) => {
  await s.down('C');
  for (let block = 0; block < 10; block++) await s.w('A', block);
  await s.idle();
  s.replaceDisk('C');
  await s.up('C');
  await s.until('C is in sync', () => s.is('C:UpToDate'));
});

hazard('H-102', 'a connected peer that does not get the data is told of each write, whatever its disk state', 'A(P) B C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('B-C');
  await s.reach('C>B:SyncTarget');
  await s.joining('A-C');
  for (let block = 0; block < 60; block++) {
    s.wStar('A', block);
    await s.pass(30);
  }
  await s.con('A-C');
});

hazard('H-103', 'what a Primary writes without its disk is marked for it at the others', 'A(P) B', {}, async (s) => {
  await s.detach('A');
  await s.w('A', 500);
  await s.w('A', 1000);
  await s.attach('A');
  await s.reach('A:UpToDate');
  s.expectSame('A', 'B');
});

hazard('H-104', 'a disk that was replaced without a down has slots of its own', 'A(P) B C', {}, async (s) => {
  await s.detach('A');
  s.replaceDisk('A');
  await s.attach('A');
  await s.until('A is in sync', () => s.is('A:UpToDate'));
  await s.r('A', 0);
});

hazard('H-105', 'P_PEERS_IN_SYNC does not clear a mark for a write that is under way', 'A(P) B C', { ...slow, links: 'A-B' }, async (s) => {
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('B-C');
  const news = s.hold('B>A', 'P_PEERS_IN_SYNC');
  for (let i = 0; i < 90; i++) {
    s.wStar('A', i % 60);
    await s.pass(40);
    if (news.caught && i % 10 === 9) news.release();
  }
  await s.until('B and C are one', () => s.is('B-C:Established'));
});

hazard('H-106', 'resync data that come while the own bitmap is being sent reach the next target too', 'A(P) B C', slow, async (s) => {
  await s.cut('A-B', 'A-C', 'B-C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.joining('A-B');
  await s.reach('B>A:SyncTarget');
  const bitmap = s.hold('B>C', 'P_COMPRESSED_BITMAP');
  await s.joining('B-C');
  await s.pass(3_000);
  bitmap.release();
  await s.con('B-C');
  await s.until('B is in sync', () => s.is('B:UpToDate'));
});

hazard('H-107', 'deallocated blocks are kept in the books as data are', 'A(P) B C', { disk: { rsDiscardGranularity: 65_536 } }, async (s) => {
  await s.cut('A-B', 'A-C', 'B-C');
  for (let block = 0; block < 64; block++) await s.w('A', block);
  await s.w('A', 0, { blocks: 48, op: BioOp.discard });
  await s.con('A-B');
  await s.until('B is in sync', () => s.is('B:UpToDate'));
  await s.con('B-C');
  await s.until('C is as B', () => s.is('B-C:Established'));
});

hazard('H-108', 'a paused target allows a peer that is Inconsistent', 'A(P) B C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.joining('A-C');
  await s.joining('B-C');
  await s.pass(2_000);
  for (let block = 0; block < 30; block++) s.wStar('A', block);
});

hazard('H-109', 'a peer ack says nothing about its sender', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  await s.w('A');
  const ack = s.hold('A>B', 'P_PEER_ACK');
  await s.joining('A-B');
  for (let block = 0; block < 20; block++) {
    s.wStar('A', block);
    await s.pass(20);
  }
  ack.release();
  await s.until('in sync', () => s.is('B:UpToDate'));
});

hazard('H-110', 'a diskless Primary writes to a SyncTarget as well', 'A(d,P) B C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('B-C');
  await s.con('A-C');
  for (let block = 0; block < 60; block++) {
    s.wStar('A', block);
    await s.pass(20);
  }
  await s.until('C is in sync', () => s.is('C:UpToDate') && s.pending === 0);
  for (let block = 0; block < 60; block += 7) await s.r('A', block);
});

for (const protocol of ['A', 'B'] as const) {
  hazard('H-111', `protocol ${protocol}: a write that the peer's disk failed is marked`, 'A(P) B', { protocol }, async (s) => {
    s.fail('B');
    await s.w('A', 7);
    await s.reach('B:Diskless');
    s.flow('B');
    await s.attach('B');
    await s.reach('B:UpToDate');
    s.expectSame('A', 'B');
  });
}

hazard('H-112', 'an up-to-date disk without a known peer is not marked at attach', 'A B', { start: 'day-0' }, async (s) => {
  await s.detach('A');
  await s.attach('A');
  await s.pass(500);
  expect(s.bits('A>B') + s.bits('B>A')).toBe(0);
  expect(s.arrived('A-B', 'P_RS_DATA_REPLY')).toBe(0);
});

hazard('H-113', 'the slot for a peer without its disk is kept', 'A(P) B', {}, async (s) => {
  await s.detach('B');
  await s.w('A', 3);
  await s.reset('A-B');
  await s.con('A-B');
  expect(s.bits('A>B')).toBeGreaterThan(0);
  await s.attach('B');
});

hazard('H-116', 'the peer of a deleted connection does not keep the others from hearing', 'A(P) B C', { links: 'A-B B-C' }, async (s) => {
  for (let i = 0; i < 5; i++) s.wStar('A', i);
  await s.pass(0.5);
  await s.disc('B-C');
  await s.delPeer('B', 'C');
  for (let i = 5; i < 10; i++) await s.w('A', i);
  await s.newPeer('B', 'C');
  await s.ok(s.setup('B').connect('r0', s.player('C').id));
});

hazard('H-117', 'after a demotion what is out of sync is on the disks', 'A(P) B C', {}, async (s) => {
  await s.cut('A-C', 'B-C');
  for (let i = 0; i < 10; i++) await s.w('A', 100 * i);
  await s.demote('A');
  s.crash('A');
  s.crash('B');
  await s.up('A');
  expect(s.bits('A>C')).toBeGreaterThanOrEqual(10);
  await s.up('B');
});
