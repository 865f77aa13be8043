// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 10: quorum, fencing, suspended I/O. */
import { expect } from 'vitest';
import { hazard } from './hazard.ts';

const majority = { quorum: 1024 };

hazard('H-230', 'a partition keeps its quorum when the others cannot have it', 'A B C(d)', { resource: majority }, async (s) => {
  await s.promote('B');
  await s.w('B');
  s.crash('A');
  await s.noticed('A-B');
  await s.reach('B:quorate');
  await s.pass(1_000);
  await s.down('C');
  await s.stays(1_000, 'B:quorate');
});

hazard('H-231', 'two that each had the tiebreaker: both lose quorum with it', 'A(P) B C(d)', { resource: majority }, async (s) => {
  await s.cut('A-B');
  await s.pass(500);
  s.crash('C');
  await s.noticed('A-C');
  await s.noticed('B-C');
  await s.pass(1_000);
  expect([s.quorate('A'), s.quorate('B')]).not.toEqual([true, true]);
});

hazard('H-232', 'quorumless is not outdated: the last of a partition does not stay alone with quorum', 'A(P) B C D', { resource: majority }, async (s) => {
  await s.isolate('A');
  await s.demote('A');
  await s.reach('B:UpToDate', 'C:UpToDate', 'D:UpToDate', 'C:quorate');
  await s.promote('C');
  await s.down('B');
  await s.demote('C');
  await s.promote('D');
  const left = await s.code(s.setup('C').disconnect('r0', s.player('D').id));
  await s.pass(500);
  if (left > 0) expect(s.quorate('D')).toBe(false);
  await s.up('B');
});

hazard('H-234', 'a fresh diskless peer that never connected takes no quorum away', 'A B C(d)', { resource: majority }, async (s) => {
  await s.down('C');
  await s.delPeer('A', 'C');
  await s.newPeer('A', 'C');
  await s.stays(500, 'A:quorate');
  await s.ok(s.setup('A').connect('r0', s.player('C').id));
});

hazard('H-235', 'a diskless node takes the verdict of the disks beside it', 'A B C D(d)', { resource: majority }, async (s) => {
  await s.isolate('C');
  await s.pass(500);
  expect([s.quorate('D'), s.quorate('A'), s.quorate('B')]).toEqual([true, true, true]);
  expect(s.quorate('C')).toBe(false);
});

hazard('H-236', 'a connected node whose disk is detached is no voter', 'A(P) B C D', { resource: majority }, async (s) => {
  await s.detach('B');
  await s.cut('A-C', 'A-D', 'B-C', 'B-D');
  await s.pass(500);
  expect(s.quorate('A')).toBe(false);
  await s.con('A-C', 'A-D');
  await s.attach('B');
});

hazard('H-237', 'a reboot does not lose the quorum that nobody else can have', 'A B C(d)', { resource: majority }, async (s) => {
  await s.promote('A');
  await s.w('A');
  s.crash('B');
  await s.noticed('A-B');
  await s.reach('A:quorate');
  await s.pass(500);
  await s.down('C');
  await s.demote('A');
  await s.down('A');
  await s.up('A');
  await s.reach('A:quorate');
});

hazard('H-238', 'a tiebreaker keeps a quorum, it makes none', 'A B C(d)', { resource: majority }, async (s) => {
  s.sever('A-B', 'B-C');
  await s.noticed('A-B');
  await s.noticed('B-C');
  await s.reach('A:quorate', 'B:quorumless');
  await s.cut('A-C');
  await s.con('B-C');
  await s.pass(1_000);
  expect(s.quorate('B')).toBe(false);
});

hazard('H-239', 'the tiebreaker is remembered by the real quorum, not by the one that an option grants', 'A B C(d)', {}, async (s) => {
  await s.isolate('B');
  await s.cut('A-C');
  await s.con('B-C');
  await s.pass(500);
  await s.ok(s.setQuorum('A', 1024));
  await s.ok(s.setQuorum('B', 1024));
  await s.pass(500);
  expect([s.quorate('A'), s.quorate('B')]).not.toEqual([true, true]);
});

hazard('H-241', 'what an isolated Primary wrote to its own disk alone does not stay there', 'A(P) B C', { resource: { ...majority, onNoQuorum: 0 } }, async (s) => {
  s.sever('A-B', 'A-C');
  const w = s.wStar('A', 5);
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.ended(w);
  expect(w.errno).not.toBe(0);
  await s.demote('A');
  await s.con('A-B', 'A-C');
});

hazard('H-242', 'two Primaries after one another lose quorum: the quorate side wins, no split brain', 'A B(P) C', { resource: { ...majority, onNoQuorum: 0 } }, async (s) => {
  await s.isolate('A');
  await s.idle();
  s.sever('B-C');
  const w = s.wStar('B', 5);
  await s.noticed('B-C');
  await s.ended(w);
  await s.con('A-C');
  await s.reach('A:quorate');
  await s.promote('A');
  await s.w('A');
  await s.demote('B');
  await s.con('A-B', 'B-C');
});

hazard('H-243', 'a frozen Primary that is outdated becomes Secondary and joins again', 'A(P) B C', { resource: { ...majority, onSuspPrimaryOutdated: 1 }, net: { rrConflict: 11 } }, async (s) => {
  s.sever('A-B', 'A-C');
  const w = s.wStar('A', 6);
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen', 'B:UpToDate', 'C:UpToDate');
  await s.promote('B');
  await s.w('B');
  await s.joining('A-B');
  await s.joining('A-C');
  await s.reach('A:Secondary');
  await s.ended(w);
  expect(w.errno).not.toBe(0);
  await s.closeFor('A');
});

hazard('H-245', 'a promotion needs all unreachable peers fenced', 'A B C', { net: { fencingPolicy: 1 } }, async (s) => {
  s.helperSays('A', 'fence-peer', 1);
  s.sever(...s.linksOf('A'));
  await s.noticed('A-B');
  await s.noticed('A-C');
  expect(await s.mayPromote('A')).toBeLessThan(0);
});

hazard('H-246', 'a fence-peer that comes too late does not mark a peer that is back', 'A(P) B', { net: { fencingPolicy: 1 } }, async (s) => {
  s.helperSays('A', 'fence-peer', 4);
  await s.reset('A-B');
  await s.con('A-B');
  await s.pass(1_000);
  expect(s.pdsk('A>B')).toBe('UpToDate');
});

hazard('H-247', 'unfence-peer is called also when there was nothing to resync', 'A(P) B', { net: { fencingPolicy: 1 } }, async (s) => {
  s.helperSays('A', 'fence-peer', 4);
  await s.cut('A-B');
  await s.pass(1_000);
  await s.con('A-B');
  await s.until('unfenced', () => s.helpers('A').includes('unfence-peer'));
});

hazard('H-248', 'a peer that is known to be outdated is so too when the disk is attached before it is configured', 'A(P) B', { net: { fencingPolicy: 1 } }, async (s) => {
  await s.disc('A-B');
  await s.reach('A>B:Outdated');
  await s.demote('A');
  await s.down('A');
  s.sever('A-B');
  const { id } = s.player('A');
  await s.ok(s.setup('A').newResource('r0', id));
  await s.ok(s.setup('A').newMinor('r0', s.minor('A'), 0));
  await s.attach('A');
  await s.newPeer('A', 'B');
  expect(s.pdsk('A>B')).toBe('Outdated');
  await s.ok(s.setup('A').connect('r0', s.player('B').id));
  await s.promote('A');
});

hazard('H-249', 'on-no-quorum changed to io-error thaws', 'A(P) B C', { resource: majority }, async (s) => {
  s.sever('A-B', 'A-C');
  const w = s.wStar('A', 7);
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen');
  await s.ok(s.resourceOptions('A', { onNoQuorum: 0 }));
  await s.ended(w);
  await s.demote('A');
});

hazard('H-250', 'no two partitions write while one of them has not noticed yet', 'A(P) B C', { resource: { ...majority, onNoQuorum: 0 }, net: { pingTimeo: 30 } }, async (s) => {
  s.sever('A-B', 'A-C');
  await s.reset('B-C');
  s.sever('B-C');
  const w = s.wStar('A', 8);
  await s.ended(w);
  expect(w.errno).not.toBe(0);
  await s.demote('A');
});
