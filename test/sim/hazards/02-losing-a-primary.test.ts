// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 2: losing a Primary: reconciliation, Consistent, weak nodes, outdating. */
import { expect } from 'vitest';
import { hazard } from './hazard.ts';

const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('H-046', 'what was heard of a lost Primary is told only when nothing of it comes any more', 'A B C(P)', {}, async (s) => {
  const late = s.hold('C>A', 'P_DATA', 2);
  for (let i = 0; i < 6; i++) s.wStar('C');
  await s.caught(late);
  await s.until('B has them', () => s.arrived('C>B', 'P_DATA') >= 6);
  s.crash('C');
  await s.noticed('B-C');
  late.release();
  await s.noticed('A-C');
  await s.reach('A:UpToDate', 'B:UpToDate', 'A-B:Established');
  await s.until('no bits', () => s.bits('A-B') + s.bits('B-A') === 0);
  s.expectSame('A', 'B');
});

hazard('H-047', 'no work waits for the teardown of a connection that waits for that work', 'A B C(P)', slow, async (s) => {
  await s.isolate('A');
  for (let block = 0; block < 1000; block++) s.wStar('C', block);
  await s.con('A-B');
  await s.reach('A>B:SyncTarget');
  await s.joining('A-C');
  await s.reach('A-C:Connected');
  const reply = s.hold('B>A', 'P_RS_DATA_REPLY');
  await s.caught(reply);
  for (let block = 0; block < 100; block += 5) s.wStar('C', block);
  await s.pass(20);
  s.crash('C');
  await s.pass(3_000);
  reply.release();
  await s.noticed('A-C');
  await s.noticed('B-C');
  await s.until('A and B are the same', () => s.is('A-B:Established') && s.is('A:UpToDate') && s.is('B:UpToDate'));
});

hazard('H-048', "the peer's P_PEER_DAGTAG waits until the own loss is dealt with", 'A B C(P)', {}, async (s) => {
  for (let i = 0; i < 10; i++) s.wStar('C');
  await s.pass(0.6);
  s.crash('C');
  s.sever('A-C');
  await s.noticed('B-C');
  await s.noticed('A-C');
  await s.reach('A:UpToDate', 'B:UpToDate', 'A-B:Established');
  await s.until('no bits', () => s.bits('A-B') + s.bits('B-A') === 0);
  s.expectSame('A', 'B');
});

hazard('H-049', 'P_PEER_DAGTAG means nothing to who is not Consistent or UpToDate', 'A B C', {}, async (s) => {
  await s.cut('A-C');
  await s.promote('C');
  s.crash('C');
  await s.noticed('B-C');
  await s.until('they agree', () => s.is('A-B:Established') && s.is('B:UpToDate') && s.is('A:UpToDate'));
});

hazard('H-050', 'a reconciliation that cannot start leaves no mark: promotion goes on', 'A B(d) C(P)', {}, async (s) => {
  await s.w('C');
  s.crash('C');
  await s.noticed('A-C');
  await s.noticed('B-C');
  await s.reach('A:UpToDate');
  await s.promote('A');
  await s.w('A');
  await s.demote('A');
});

hazard('H-051', 'a promotion waits until a reconciliation has ended', 'A B C(P)', slow, async (s) => {
  const late = s.hold('C>A', 'P_DATA', 1);
  for (let i = 0; i < 20; i++) s.wStar('C');
  await s.caught(late);
  await s.until('B has them', () => s.arrived('C>B', 'P_DATA') >= 20);
  s.crash('C');
  await s.noticed('B-C');
  await s.noticed('A-C');
  late.release();
  const code = await s.mayPromote('A');
  if (code > 0) {
    s.expectSame('A', 'B');
    await s.openFor('A');
    await s.w('A');
    await s.demote('A');
  } else await s.until('A is as B', () => s.is('A:UpToDate'));
});

hazard('H-052', 'a promotion waits for the own disk to leave Consistent; P_STATE and votes are not ordered', 'A(P) B C', {}, async (s) => {
  await s.w('A');
  await s.idle();
  const state = s.hold('C>B', 'P_STATE');
  s.sever('A-B', 'A-C');
  await s.noticed('A-B');
  const promoted = s.mayPromote('B');
  await s.pass(300);
  state.release();
  const code = await promoted;
  await s.noticed('A-C');
  await s.pass(2_000);
  expect(s.cstate('B-C')).toBe('Connected');
  if (code > 0) {
    await s.openFor('B');
    await s.w('B', undefined, { doomed: true });
    await s.demote('B');
  }
  await s.demote('A');
});

hazard('H-053', 'who hears of a new generation by a third node only, outdates itself', 'A(P) B C(d)', {}, async (s) => {
  s.sever('A>B');
  s.sever('B>A');
  await s.until('A misses B', () => !s.is('A>B:Connected'));
  await s.w('A');
  await s.demote('A');
  await s.noticed('A-B');
  await s.pass(2_000);
  expect(s.disk('B')).not.toBe('UpToDate');
  expect(await s.mayPromote('B')).toBeLessThan(0);
});

hazard('H-054', 'a Primary without usable data outdates nobody', 'A B C(d)', {}, async (s) => {
  await s.cut('A-C');
  await s.detach('B');
  s.replaceDisk('B');
  const data = s.hold('A>B', 'P_RS_DATA_REPLY', 2);
  await s.attach('B');
  await s.caught(data);
  const code = await s.mayPromote('C');
  expect(s.disk('A')).toBe('UpToDate');
  data.release();
  if (code > 0) await s.demote('C');
});

hazard('H-055', 'a resync from a node that has become weak is given up', 'A(P) B C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('B-C');
  await s.reach('C>B:SyncTarget');
  await s.con('A-C');
  await s.cut('A-B');
  for (let block = 0; block < 60; block += 2) s.wStar('A', block);
});

hazard('H-056', 'writes that come by the neighbour while it is the source are in no gap', 'A(P) B C', { ...slow, links: 'A-B' }, async (s) => {
  for (let block = 0; block < 40; block++) await s.w('A', block);
  await s.con('B-C');
  for (let i = 0; i < 60; i++) {
    s.wStar('A', (i * 7) % 40);
    await s.pass(40);
  }
  await s.until('B and C are in step', () => s.is('B-C:Established') && s.pending === 0);
});

hazard('H-057', 'a source that becomes Inconsistent feeds nobody', 'A(P) B C', slow, async (s) => {
  await s.isolate('A');
  for (let block = 0; block < 200; block++) s.wStar('A', block);
  await s.cut('B-C');
  const data = s.hold('A>B', 'P_RS_DATA_REPLY', 5);
  await s.joining('A-B');
  await s.caught(data);
  await s.con('B-C');
  await s.drop('A-B');
  data.release();
  await s.pass(2_000);
  expect(s.disk('B')).toBe('Inconsistent');
  expect(s.repl('B>C')).toBe('PausedSyncS');
  const fed = s.arrived('B>C', 'P_RS_DATA_REPLY');
  await s.pass(5_000);
  expect(s.arrived('B>C', 'P_RS_DATA_REPLY')).toBe(fed);
});

hazard('H-058', 'cut during the exchange of bitmaps: who got no block is UpToDate again', 'A(P) B C', {}, async (s) => {
  await s.cut('A-B');
  await s.w('A');
  const bitmap = s.hold('A>B', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.caught(bitmap);
  await s.cut('A-B');
  bitmap.release();
  await s.pass(1_000);
  expect(s.disk('B')).not.toBe('Inconsistent');
});

hazard('H-059', 'who ends its own resync says so itself: nobody is shown as Outdated for ever', 'A B C', { start: 'created' }, async (s) => {
  await s.promote('A', true);
  await s.until('all are in sync', () => s.is('A>B:UpToDate') && s.is('A>C:UpToDate') && s.is('B>C:UpToDate') && s.is('C>B:UpToDate'));
});

hazard('H-060', 'a connect that is refused still says that the own data are old', 'A(P) B C', { resource: { quorum: 1024, onSuspPrimaryOutdated: 1 }, net: { rrConflict: 11 } }, async (s) => {
  s.sever('A-B', 'A-C');
  const w = s.wStar('A', undefined, { doomed: true });
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen', 'B:UpToDate', 'C:UpToDate');
  await s.promote('B');
  await s.w('B');
  await s.joining('A-B');
  await s.until('they met', () => s.logged('A', 'uuid_compare()=target') > 0);
  await s.until('A knows', () => !s.is('A:UpToDate'), 5_000);
  await s.ended(w);
  expect(w.errno).not.toBe(0);
  await s.closeFor('A');
});

hazard('H-061', 'a promotion by way of others remembers whom it has outdated', 'A B(d) C', { resource: { quorum: 1024 } }, async (s) => {
  await s.disc('A-C');
  await s.promote('A');
  await s.w('A');
  await s.until('C knows', () => !s.is('C:UpToDate'));
  expect(s.pdsk('A>C')).toBe('Outdated');
  await s.down('B');
  await s.pass(1_000);
  expect(s.quorate('A')).toBe(true);
  await s.up('B');
});

hazard('H-062', 'the empty transaction ends when a link of its own is lost meanwhile', 'A(P) B C', {}, async (s) => {
  const yes = s.hold('B-C', 'P_TWOPC_YES');
  s.crash('A');
  await s.caught(yes);
  const from = s.cluster.world.nowMs;
  s.sever('B-C');
  yes.release();
  await s.noticed('B-C');
  await s.until('no transaction is open', () => ['B', 'C'].every((x) => s.resource(x).view.twopc === null));
  expect(s.cluster.world.nowMs - from).toBeLessThan(25_000);
});

hazard('H-067', 'of two that look unstable the better disk is right; no split brain', 'A(P) B C', { links: 'A-B B-C' }, async (s) => {
  await s.w('A');
  await s.disc('A-B');
  await s.w('A');
  await s.con('A-C');
  await s.demote('A');
  await s.until('B and C agree', () => s.is('B-C:Connected'));
});

hazard('H-069', 'a disconnect of a link that is down outdates nobody', 'A B', {}, async (s) => {
  await s.cut('A-B');
  await s.disc('A-B');
  expect(s.pdsk('A>B')).not.toBe('Outdated');
  expect(s.disk('B')).not.toBe('Outdated');
});

hazard('H-063', 'a survivor stays Consistent until it is known who has the last writes', 'A(d,P) B C', {}, async (s) => {
  const late = s.hold('A>C', 'P_DATA');
  const w = s.wStar('A', 5);
  await s.caught(late);
  await s.until('B has it', () => s.onDisk('B', 5) === w.tag);
  const word = s.hold('B>C', 'P_PEER_DAGTAG');
  s.crash('A');
  await s.noticed('A-B');
  await s.noticed('A-C');
  late.release();
  await s.pass(2_000);
  expect(s.disk('C')).toBe('Consistent');
  word.release();
  await s.reach('C:UpToDate', 'B:UpToDate');
  await s.promote('C');
  expect(await s.r('C', 5)).toBe(w.tag);
});

for (const [who, links] of [['the peer leaves too', 'B-C'], ['there is nobody else', 'A-C B-C']] as const) {
  hazard('H-064', `a survivor is not Consistent for ever: ${who}`, 'A(P) B C', {}, async (s) => {
    await s.w('A');
    if (links !== 'B-C') await s.cut('A-C', 'B-C');
    const word = s.hold('C>B', 'P_PEER_DAGTAG');
    s.crash('A');
    await s.noticed('A-B');
    if (links === 'B-C') await s.cut('B-C');
    word.release();
    await s.reach('B:UpToDate');
    await s.promote('B');
    await s.w('B');
    await s.demote('B');
  });
}

hazard('H-065', 'survivors that lose the Primary and each other find what only one of them has', 'A B C(P)', {}, async (s) => {
  const late = s.hold('C>A', 'P_DATA', 1);
  s.wStar('C', 1);
  s.wStar('C', 2);
  await s.caught(late);
  await s.until('B has both', () => s.onDisk('B', 2) !== s.onDisk('A', 2) && s.onDisk('A', 1) === s.onDisk('B', 1));
  const links = s.drop('A-B', 'A-C', 'B-C');
  s.crash('C');
  await links;
  s.heal('A-B');
  await s.reach('A-B:Established', 'A:UpToDate', 'B:UpToDate');
  await s.until('no bits', () => s.bits('A-B') + s.bits('B-A') === 0);
  s.expectSame('A', 'B');
});
