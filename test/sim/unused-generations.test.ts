// SPDX-License-Identifier: GPL-2.0-or-later
/** Generations that somebody has stored, and in which nothing was written: others go on without them, and that is no split brain. */
import { expect } from 'vitest';
import { LowerOp } from '../../src/host/lower.ts';
import { hazard } from './hazards/hazard.ts';
import type { Story } from '../../src/sim/story/story.ts';

const MAJORITY = 1024;
const SUSPEND = 1;
const FORCE_SECONDARY = 1;
const RETRY_CONNECT = 11;
const quorum = { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND } };

/** A has lost C and makes a generation for its next write; the other peer is lost before it hears of that. */
async function tellsNobody(s: Story, other: 'B' | 'D'): Promise<void> {
  await s.drop('A-C');
  const told = s.hold(`A>${other}`, 'P_UUIDS110');
  s.wStar('A', 2);
  await s.caught(told);
  await s.lose(told, `A-${other}`);
}

/** C is away, A makes a generation for that, and B does not get it. */
async function onlyOnA(s: Story): Promise<void> {
  await s.w('A', 1);
  await s.idle();
  const before = s.uuid('A');
  await tellsNobody(s, 'B');
  await s.noticed('A-B');
  expect(s.uuid('A')).not.toBe(before);
}

async function othersGoOn(s: Story): Promise<void> {
  await s.promote('B');
  await s.w('B', 3);
}

async function comesBack(s: Story): Promise<void> {
  await s.reach('A:UpToDate');
  expect(s.uuid('A')).toBe(s.uuid('B'));
}

hazard('R-130', 'a generation that only a Primary has got: it loses power, the others go on', 'A(P) B C', quorum, async (s) => {
  await onlyOnA(s);
  s.crash('A');
  await othersGoOn(s);
  await s.up('A');
  await s.con('A-B', 'A-C');
  await comesBack(s);
});

hazard('R-131', 'the same, and its engine dies before', 'A(P) B C', quorum, async (s) => {
  await onlyOnA(s);
  s.sever('A-B');
  s.killEngine('A');
  await othersGoOn(s);
  await s.until('A has a new engine', () => s.alive('A') && s.disk('A') === 'UpToDate');
  await s.pass(2_000);
  await s.reboot('A');
  await s.con('A-B', 'A-C');
  await comesBack(s);
});

hazard('R-132', 'the same, and it lives on, frozen', 'A(P) B C',
  { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND, onSuspPrimaryOutdated: FORCE_SECONDARY }, net: { rrConflict: RETRY_CONNECT } }, async (s) => {
    await onlyOnA(s);
    s.sever('A-B');
    await othersGoOn(s);
    await s.con('A-B', 'A-C');
    await comesBack(s);
  });

hazard('R-133', 'the same, and it attaches beside the others', 'A(P) B C', quorum, async (s) => {
  await onlyOnA(s);
  s.crash('A');
  await othersGoOn(s);
  await s.up('A', { attach: false });
  await s.con('A-B', 'A-C');
  await s.attach('A');
  await comesBack(s);
});

hazard('R-134', 'a generation that a Primary and one of its peers have got: both lose power, the others go on', 'A(P) B C D E', quorum, async (s) => {
  await s.w('A', 1);
  await s.idle();
  const before = s.uuid('A');
  await s.drop('A-D', 'B-D', 'C-D', 'A-E', 'B-E', 'C-E');
  const told = s.hold('A>C', 'P_UUIDS110');
  const data = s.hold('A>B', 'P_DATA');
  s.wStar('A', 2);
  await s.caught(told);
  await s.until('B has it', () => s.uuid('B') !== before);
  await s.pass(100);
  s.crash('A');
  s.crash('B');
  await s.noticed('C-A');
  told.release();
  data.release();
  await s.con('C-D', 'C-E');
  await s.reach('C:UpToDate', 'D:UpToDate', 'E:UpToDate');
  expect(s.uuid('C')).toBe(before);
  await s.promote('C');
  await s.w('C', 3);
  await s.up('B');
  s.heal('A-B');
  await s.con('B-C', 'B-D', 'B-E');
  await s.reach('B:UpToDate');
  await s.up('A');
  await s.con('A-B', 'A-C', 'A-D', 'A-E');
  await s.reach('A:UpToDate');
  expect([s.uuid('A'), s.uuid('B')]).toEqual([s.uuid('C'), s.uuid('C')]);
});

hazard('R-320', 'a generation that only a Primary has got: its peer is slow, then lost, and the others go on', 'A(P) B C', quorum, async (s) => {
  await s.w('A', 1);
  await s.idle();
  await s.drop('A-C');
  const told = s.hold('A>B', 'P_UUIDS110');
  s.wStar('A', 2);
  await s.caught(told);
  await s.pass(5_000);
  await s.lose(told, 'A-B');
  s.crash('A');
  await othersGoOn(s);
  await s.up('A');
  await s.con('A-B', 'A-C');
  await comesBack(s);
});

hazard('R-321', 'who does not take a generation is given up as who does not finish a write', 'A(P) B C', { net: { koCount: 2, timeout: 30 } }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  await s.drop('A-C', 'B-C');
  const told = s.hold('A>B', 'P_UUIDS110');
  const writing = s.wStar('A', 2);
  await s.caught(told);
  s.sever('A-B');
  await s.stays(4_000, 'A>B:Connected');
  expect(writing.errno).toBe(-1);
  await s.ended(writing);
  expect(s.logged('A', 'Remote failed to take a new current UUID')).toBe(1);
  told.release();
  await s.con('A-B', 'A-C', 'B-C');
});

hazard('R-322', 'a generation is confirmed during a verify', 'A(P) B C', { net: { verifyAlg: 'crc32c' } }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.stall('B', LowerOp.read);
  await s.verify('A-B');
  await s.drop('A-C');
  const writing = s.wStar('A', 2);
  await s.pass(500);
  expect(writing.errno).toBe(0);
  expect(s.repl('A>B')).toBe('VerifyS');
  s.flow('B');
});

hazard('R-135', 'a generation in which a write was answered is not left', 'A(P) B C', { end: 'as told' }, async (s) => {
  await s.drop('A-B', 'A-C');
  await s.w('A', 2);
  s.crash('A');
  await othersGoOn(s);
  await s.up('A');
  s.heal('A-B');
  await s.reach('A>B:StandAlone');
});

hazard('R-136', 'nor one in which a peer has acknowledged a write', 'A(P) B C', { end: 'as told' }, async (s) => {
  await s.drop('A-C', 'B-C');
  await s.w('A', 2);
  await s.pass(1_000);
  s.crash('A');
  s.crash('B');
  await s.promote('C', true);
  await s.w('C', 3);
  await s.up('B');
  s.heal('B-C');
  await s.reach('B>C:StandAlone');
});

hazard('R-250', 'a generation that only a Primary has got, and who was synced from it since: others have gone on', 'A(P) B C D', {}, async (s) => {
  await s.drop('A-B', 'B-C', 'B-D');
  await s.w('A', 1);
  await s.idle();
  const before = s.uuid('A');
  await tellsNobody(s, 'D');
  s.crash('A');
  expect(s.uuid('C')).toBe(before);
  await s.up('A', { connect: false });
  expect(s.uuid('A')).not.toBe(before);
  await s.con('A-B');
  await s.reach('B:UpToDate');
  expect(s.uuid('B')).toBe(s.uuid('A'));
  await s.promote('C');
  await s.w('C', 3);
  await s.con('A-C', 'A-D', 'B-C', 'B-D');
  await s.reach('A:UpToDate', 'B:UpToDate');
  expect([s.uuid('A'), s.uuid('B')]).toEqual([s.uuid('C'), s.uuid('C')]);
});

hazard('R-251', 'a generation that two have got that are connected: both go back', 'A(P) B C', {}, async (s) => {
  await s.w('A', 1);
  await s.idle();
  const before = s.uuid('A');
  await s.drop('A-B', 'B-C');
  const confirmed = s.hold('C>A', 'P_UUIDS110');
  s.wStar('A', 2);
  await s.caught(confirmed);
  s.crash('A');
  expect(s.uuid('C')).not.toBe(before);
  await s.noticed('C-A');
  confirmed.release();
  await s.up('A', { connect: false });
  await s.con('A-C');
  expect(s.uuid('A')).toBe(s.uuid('C'));
  await s.promote('B');
  await s.w('B', 3);
  await s.con('A-B', 'B-C');
  await s.reach('A:UpToDate', 'C:UpToDate');
  expect([s.uuid('A'), s.uuid('C')]).toEqual([s.uuid('B'), s.uuid('B')]);
});

hazard('R-252', 'as R-250, but the first write comes while the other one is synced: neither goes back', 'A(P) B C D', { end: 'as told' }, async (s) => {
  await s.drop('A-B', 'B-C', 'B-D');
  for (let block = 0; block < 10; block++) await s.w('A', block, { fua: false });
  await s.idle();
  await tellsNobody(s, 'D');
  s.crash('A');
  await s.up('A', { connect: false });
  s.stall('A', LowerOp.read);
  await s.joining('A-B');
  await s.reach('B>A:SyncTarget');
  await s.pass(1_000);
  const before = s.uuid('A');
  await s.promote('A');
  await s.w('A', 50);
  expect(s.uuid('A')).toBe(before);
  s.flow('A');
  await s.reach('B:UpToDate');
  s.crash('A');
  await s.promote('C');
  await s.w('C', 3);
  s.heal('B-C');
  await s.reach('B>C:StandAlone');
});

hazard('R-140', 'a target that is Primary ends its resync in the generation that it told its source, whatever that one had said before', 'A B(P) C', {}, async (s) => {
  await s.w('B', 1);
  await s.isolate('A');
  for (let block = 0; block < 10; block++) await s.w('B', block, { fua: false });
  await s.idle();
  await s.demote('B');
  await s.drop('B-C');
  s.stall('B', LowerOp.read);
  await s.joining('A-B');
  await s.reach('A>B:SyncTarget');
  await s.pass(1_000);
  const words = s.hold('B>A', 'P_UUIDS110');
  await s.promote('A');
  await s.caught(words);
  s.flow('B');
  await s.pass(1_000);
  const before = s.uuid('B');
  await s.w('A', 50);
  await s.until('B has the new generation', () => s.uuid('B') !== before);
  await s.pass(100);
  const answer = s.hold('B>A', 'P_UUIDS110', 2);
  words.release();
  await s.reach('A:UpToDate');
  expect(answer.caught).toBe(true);
  expect(s.uuid('A')).toBe(s.uuid('B'));
  answer.release();
  await s.cut('A-B');
  await s.w('A', 2);
  await s.con('A-B');
});

hazard('R-200', 'a target that tells its source a generation gives up nothing for it: the source had its own', 'A(P) B C', quorum, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.crash('A');
  await s.up('A', { connect: false });
  const bitmap = s.hold('B>A', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.reach('A>B:WFBitMapT');
  await s.promote('A');
  await s.lose(bitmap, 'A-B');
  s.sever('A-B');
  await s.noticed('A-B');
  const told = s.hold('A>C', 'P_CURRENT_UUID');
  await s.joining('A-C');
  await s.caught(told);
  await s.reach('A>C:SyncTarget');
  s.crash('C');
  await s.noticed('A-C');
  expect(s.uuid('A')).toBe(s.uuid('B'));
  told.release();
  await s.demote('A');
  await s.con('A-B');
  await s.reach('A:UpToDate');
  await s.up('C');
});

hazard('R-201', 'nor when another node tells both, and the source does not hear of it', 'A B C(P)', { slots: 4 }, async (s) => {
  await s.w('C', 1);
  await s.idle();
  s.crash('A');
  await s.up('A', { connect: false });
  s.stall('A');
  s.sever('A-C');
  const bitmap = s.hold('B>A', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.reach('A>B:WFBitMapT');
  await s.con('A-C');
  const before = s.uuid('A');
  expect(s.uuid('B')).toBe(before);
  const told = s.hold('C>B', 'P_UUIDS110');
  s.wStar('C', 2);
  await s.caught(told);
  await s.pass(1_000);
  expect([s.uuid('B'), s.peer('A>B').peerCurrentUuid & ~1n]).toEqual([before, s.uuid('C')]);
  bitmap.release();
  await s.until('the resync has started', () => s.repl('A>B') !== 'WFBitMapT');
  s.crash('B');
  s.crash('C');
  told.release();
  s.flow('A');
  await s.noticed('A-B');
  await s.noticed('A-C');
  expect(s.uuid('A')).toBe(before);
  await s.up('B');
  await s.con('A-B');
  await s.reach('A:UpToDate');
  await s.up('C');
});
