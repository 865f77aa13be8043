// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 5: the write path: completion, acks, barriers, ordering. */
import { expect } from 'vitest';
import { differencesAreKnown } from '../../../src/sim/story/checks.ts';
import { hazard } from './hazard.ts';

const majority = { quorum: 1024 };
const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('H-121', 'an epoch is closed early only when all of it was seen by the sender', 'A(P) B', {}, async (s) => {
  for (let i = 0; i < 200; i++) {
    s.wStar('A', i % 50, { fua: false });
    await s.pass(i % 7 === 0 ? 1.3 : 0.05);
  }
  expect(s.logged('A', 'BAD!') + s.logged('B', 'BAD!')).toBe(0);
  expect(s.arrived('A>B', 'P_BARRIER')).toBe(s.arrived('B>A', 'P_BARRIER_ACK'));
});

hazard('H-122', 'a sender does not pass a request that is not queued yet', 'A(P) B C', { resource: { nrRequests: 8 } }, async (s) => {
  for (let i = 0; i < 150; i++) {
    s.wStar('A', i % 40, { fua: false });
    if (i % 5 === 0) await s.pass(0.4);
  }
  expect(s.logged('A', 'BAD!')).toBe(0);
});

hazard('H-123', 'a lost connection fails or repeats every request, also those added meanwhile', 'A(d,P) B C', {}, async (s) => {
  const ack = s.hold('B>A', 'P_WRITE_ACK', 3);
  const writes = Array.from({ length: 30 }, (_, i) => s.wStar('A', i));
  const reads = Array.from({ length: 20 }, (_, i) => s.readStar('A', i));
  await s.caught(ack);
  await s.reset('A-B');
  ack.release();
  for (let i = 30; i < 40; i++) writes.push(s.wStar('A', i));
  await s.ended(...writes);
  await s.until('the reads end', () => reads.every((r) => r.errno === 0));
});

hazard('H-124', 'protocol A: no completion before the local write was submitted', 'A(P) B', { protocol: 'A' }, async (s) => {
  s.stall('A');
  const w = s.wStar('A');
  await s.until('it is sent', () => s.arrived('A>B', 'P_DATA') > 0);
  await s.pass(200);
  expect(w.errno).toBe(-1);
  s.flow('A');
  await s.ended(w);
});

hazard('H-125', 'while suspended, acks of one peer complete nothing', 'A(P) B C', { resource: { quorum: 1025 } }, async (s) => {
  const ack = s.hold('C>A', 'P_WRITE_ACK');
  const slowAck = s.hold('B>A', 'P_WRITE_ACK');
  const w = s.wStar('A');
  await s.caught(ack);
  await s.caught(slowAck);
  s.crash('C');
  await s.reach('A:frozen');
  ack.release();
  slowAck.release();
  await s.pass(1_000);
  expect(w.errno).toBe(-1);
  await s.up('C');
  await s.ended(w);
});

hazard('H-126', 'frozen writes are sent again to who comes back with the quorum', 'A(P) B C', { resource: majority }, async (s) => {
  s.sever('A-B', 'A-C');
  const writes = [1, 2, 3].map((block) => s.wStar('A', block));
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen');
  await s.con('A-B');
  await s.ended(...writes);
  expect(s.frozen('A')).toBe(false);
});

hazard('H-126', 'frozen writes go on when the quorum is switched off', 'A(P) B C', { resource: majority }, async (s) => {
  s.sever('A-B', 'A-C');
  const writes = [1, 2, 3].map((block) => s.wStar('A', block));
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen');
  await s.ok(s.setQuorum('A', 0));
  await s.ended(...writes);
});

hazard('H-127', 'nothing is sent again to a peer without a disk', 'A(P) B C(d)', { net: { fencingPolicy: 2 } }, async (s) => {
  s.helperSays('A', 'fence-peer', 5);
  s.sever('A-B', 'A-C');
  const w = s.wStar('A');
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.con('A-C');
  await s.pass(1_000);
  await s.con('A-B');
  await s.ended(w);
});

hazard('H-128', 'after a send error all that is queued is cancelled', 'A(P) B', {}, async (s) => {
  for (let round = 0; round < 6; round++) {
    const writes = Array.from({ length: 20 }, (_, i) => s.wStar('A', round * 20 + i));
    await s.pass(0.1 * round);
    await s.reset('A-B');
    writes.push(s.wStar('A', 500 + round));
    await s.ended(...writes);
    await s.con('A-B');
  }
});

hazard('H-129', 'a write that is held behind a resync counts from its reception', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('B>A:SyncTarget');
  const reply = s.hold('A>B', 'P_RS_DATA_REPLY');
  await s.caught(reply);
  const acks = s.arrived('B>A', 'P_BARRIER_ACK');
  const w1 = s.wStar('A', 20, { fua: false });
  await s.pass(5);
  const w2 = s.wStar('A', 21, { fua: false });
  await s.pass(50);
  expect([w1.errno, w2.errno]).toEqual([-1, -1]);
  expect(s.arrived('B>A', 'P_BARRIER_ACK')).toBe(acks);
  reply.release();
  await s.ended(w1, w2);
});

hazard('H-130', 'what a barrier ack has called stable outlives a power failure', 'A(P) B', {}, async (s) => {
  const tags: number[] = [];
  for (let block = 0; block < 20; block++) tags.push((await s.w('A', block, { fua: false })).tag);
  await s.flush('A');
  await s.until('the epochs are acked', () => s.arrived('A>B', 'P_BARRIER') > 0 && s.arrived('A>B', 'P_BARRIER') === s.arrived('B>A', 'P_BARRIER_ACK'));
  await s.idle();
  s.crash('B');
  expect(Array.from({ length: 20 }, (_, block) => s.onDisk('B', block))).toEqual(tags);
});

hazard('H-132', 'a link that dies within a packet leaves the block untouched', 'A(P) B', {}, async (s) => {
  const before = s.onDisk('B', 5);
  const data = s.hold('A>B', 'P_DATA');
  s.wStar('A', 5);
  await s.caught(data);
  await s.reset('A-B');
  data.release();
  await s.pass(5);
  expect(s.onDisk('B', 5)).toBe(before);
});

hazard('H-134', 'disk and peer get the same bytes, also when the application changes its page meanwhile', 'A(P) B', {}, async (s) => {
  s.stall('A');
  const w = s.wStar('A', 9);
  await s.pass(0.02);
  s.changePage(w);
  await s.pass(5);
  s.flow('A');
  await s.ended(w);
  await s.idle();
  expect(s.onDisk('A', 9)).toBe(s.onDisk('B', 9));
});

hazard('H-135', 'two Primaries that write over each other: a connection may be lost, no difference may be kept', 'A(P) B',
  { net: { twoPrimaries: true }, end: 'as told', expected: ['Split-Brain'] }, async (s) => {
    await s.ok(s.allowTwoPrimaries('A', 'B'));
    await s.ok(s.allowTwoPrimaries('B', 'A'));
    await s.promote('B');
    for (let i = 0; i < 20; i++) {
      s.wStar('A', i % 4);
      s.wStar('B', i % 4);
      await s.pass(0.2);
    }
    await s.until('all writes end', () => s.pending === 0);
    if (s.is('A-B:Connected')) s.expectSame('A', 'B');
    else differencesAreKnown(s, 'A-B');
  });

hazard('H-136', 'no barrier of a dead connection is waited for: close and demote go on', 'A(P) B', {}, async (s) => {
  const ack = s.hold('B>A', 'P_BARRIER_ACK');
  for (let i = 0; i < 5; i++) await s.w('A', i, { fua: false });
  await s.flush('A');
  await s.caught(ack);
  await s.reset('A-B');
  ack.release();
  await s.demote('A');
});

hazard('H-138', 'protocol A: what was written before the last close is at the peer before another is Primary', 'A(P) B', { protocol: 'A' }, async (s) => {
  for (let i = 0; i < 30; i++) s.wStar('A', i, { fua: false });
  await s.until('written', () => s.pending === 0);
  await s.demote('A');
  s.expectSame('A', 'B');
  await s.promote('B');
  for (let i = 0; i < 30; i++) await s.r('B', i);
});

hazard('H-139', 'suspend-io returns when no write is pending', 'A(P) B C', {}, async (s) => {
  const ack = s.hold('B>A', 'P_WRITE_ACK');
  const w = s.wStar('A', 1);
  await s.caught(ack);
  let done = false;
  void s.suspendIo('A').then(() => { done = true; });
  await s.pass(500);
  expect(done).toBe(false);
  ack.release();
  await s.until('suspended', () => done);
  expect(w.errno).toBe(0);
  const late = s.wStar('A', 2);
  await s.pass(300);
  expect(late.errno).toBe(-1);
  await s.ok(s.resumeIo('A'));
  await s.ended(late);
});

hazard('H-140', 'a peer that hangs is noticed also after a long pause', 'A(P) B', {}, async (s) => {
  await s.pass(120_000);
  s.sever('A-B');
  const w = s.wStar('A');
  await s.ended(w);
  await s.noticed('A-B');
});
