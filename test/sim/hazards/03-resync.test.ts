// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 3: resync: its start, the choice of the source, its end. */
import { expect } from 'vitest';
import { diskConf } from '../../../src/genl/config-attrs.ts';
import { Cmd } from '../../../src/genl/ops.ts';
import { inSync } from '../../../src/sim/story/checks.ts';
import { hazard } from './hazard.ts';

const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('H-070', 'the bitmap is sent by who is WFBitMapS now, not by who will be', 'A(P) B', {}, async (s) => {
  for (let round = 0; round < 5; round++) {
    await s.disc('A-B');
    await s.w('A', round);
    await s.con('A-B');
    await s.until('the resync has ended', () => s.is('B:UpToDate') && s.is('A-B:Established'));
  }
});

hazard('H-071', 'requests that come before the source has started are told to come again', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  const bitmap = s.hold('B>A', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.caught(bitmap);
  await s.until('B has started', () => s.is('B>A:SyncTarget') || s.arrived('A>B', 'P_COMPRESSED_BITMAP') > 0);
  await s.pass(50);
  bitmap.release();
});

hazard('H-072', 'a start that was postponed happens once', 'A(P) B C', {}, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  await s.joining('A-C');
  await s.joining('B-C');
  await s.con('A-C', 'B-C');
});

hazard('H-073', 'a target changes its source only when nothing of the old one is under way', 'A(P) B C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('B-C');
  await s.reach('C>B:SyncTarget');
  const late = s.hold('B>C', 'P_RS_DATA_REPLY');
  await s.caught(late);
  await s.joining('A-C');
  await s.pass(1_000);
  late.release();
  await s.con('A-C');
});

hazard('H-076', 'an answer of any kind gives its sectors back: cancels do not stop a resync', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 400; block++) s.wStar('A', block);
  await s.pass(500);
  await s.joining('A-B');
  await s.reach('A>B:SyncSource');
  for (let block = 0; block < 400; block += 2) s.wStar('A', block);
});

hazard('H-077', 'requests to a source that has paused are cancelled, not failed', 'A(P) B C', slow, async (s) => {
  await s.isolate('A');
  for (let block = 0; block < 80; block++) await s.w('A', block);
  await s.detach('C');
  s.replaceDisk('C');
  await s.attach('C');
  await s.reach('C>B:SyncTarget');
  await s.con('A-B');
  await s.pass(2_000);
  expect(s.logged('C', 'failed blocks')).toBe(0);
});

hazard('H-079', 'a resync write that fails on the target leaves nothing pending', 'A(P) B', { protocol: 'A' }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  s.fail('B');
  await s.joining('A-B');
  await s.reach('B:Diskless');
  s.flow('B');
  await s.attach('B');
});

hazard('H-080', '"done" counts for the resync in which it was found', 'A B C(P)', slow, async (s) => {
  await s.isolate('A');
  for (let block = 0; block < 60; block++) await s.w('C', block);
  await s.con('A-B');
  await s.reach('A>B:SyncTarget');
  await s.joining('A-C');
  await s.reach('A-C:Connected');
});

hazard('H-081', 'an unstable resync is done again when the Primary itself is met', 'A(d,P) B C D', {}, async (s) => {
  await s.isolate('D');
  for (let block = 0; block < 10; block++) await s.w('A', block);
  await s.con('B-D');
  await s.con('C-D');
  await s.con('A-D');
  await s.reach('D:UpToDate');
});

hazard('H-082', 'the end that a target tells is believed whatever the own disk is', 'A B(P) C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 40; block++) await s.w('B', block);
  await s.con('A-C');
  await s.reach('A>C:SyncSource');
  await s.drop('A-B');
  await s.w('B', 200);
  await s.con('A-B');
});

hazard('H-083', 'two targets of a third meet: a missed end is seen by both or by none', 'A B C(P)', slow, async (s) => {
  await s.cut('A-B', 'A-C', 'B-C');
  for (let block = 0; block < 60; block++) s.wStar('C', block);
  await s.joining('A-C');
  await s.joining('B-C');
  await s.reach('A>C:SyncTarget', 'B>C:SyncTarget');
  await s.con('A-B');
  await s.stays(3_000);
  await s.until('both have ended', () => s.is('A:UpToDate') && s.is('B:UpToDate'));
});

hazard('H-084', 'a missed end without a bit is no reason to turn the resync round', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  await s.w('A');
  const end = s.hold('B>A', 'P_UUIDS110');
  await s.joining('A-B');
  await s.pass(600);
  end.release();
  const uuids = s.hold('B>A', 'P_STATE', 3);
  await s.pass(1_000);
  s.sever('A-B');
  uuids.release();
  await s.noticed('A-B');
  await s.demote('A');
  await s.con('A-B');
  await s.promote('B');
  await s.w('B');
});

hazard('H-085', 'a resync of nothing towards a Primary is allowed', 'A(P) B', { resource: { quorum: 1025 } }, async (s) => {
  for (let i = 0; i < 3; i++) {
    await s.cut('A-B');
    await s.con('A-B');
  }
  expect(s.logged('A', 'I shall become SyncTarget, but I am primary')).toBe(0);
});

hazard('H-086', 'a connect that was aborted leaves nothing of itself', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  await s.w('A');
  const prepare = s.hold('A-B', 'P_TWOPC_YES');
  await s.joining('A-B');
  await s.caught(prepare);
  s.sever('A-B');
  prepare.release();
  await s.pass(15_000);
  await s.con('A-B');
});

hazard('H-087', 'a chain of volumes that wait for each other ends, also with one that has nothing to do', 'A(P) B', { volumes: 3, ...slow }, async (s) => {
  for (const name of ['A', 'B']) for (const v of [0, 1]) {
    const wait = { resyncAfter: s.minor(name, v + 1) };
    await s.ok(s.setup(name).with(Cmd.CHG_DISK_OPTS, {}, diskConf, wait, s.minor(name, v)));
  }
  await s.disc('A-B');
  for (let block = 0; block < 60; block++) for (const vnr of [0, 2]) await s.w('A', block, { vnr });
  await s.con('A-B');
  await s.until('the last one runs', () => s.repl('B>A', 2) === 'SyncTarget');
  expect(s.repl('B>A', 0)).toBe('PausedSyncT');
  await s.until('in sync', () => inSync(s), 30_000);
});

hazard('H-088', 'a bit set behind the last request is found all the same', 'A(d,P) B C', { ...slow }, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 30; block++) await s.w('A', block);
  await s.con('B-C');
  await s.reach('C>B:SyncTarget');
  for (let i = 0; i < 60; i++) {
    s.wStar('A', i % 30);
    await s.pass(30);
  }
  await s.until('C ends', () => s.is('B-C:Established'));
});

hazard('H-089', 'a resync that was to follow is forgotten with its connection', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 40; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reset('A-B');
  await s.con('A-B');
  await s.until('in sync', () => s.is('B:UpToDate'));
  expect(s.logged('B', 'Began resync')).toBeLessThan(4);
});

hazard('H-090', 'bit first, then the position: nothing is marked behind the scan', 'A(d,P) B C', slow, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 40; block++) await s.w('A', block);
  const state = s.hold('C>A', 'P_STATE', 2);
  await s.joining('B-C');
  await s.joining('A-C');
  for (let i = 0; i < 40; i++) {
    s.wStar('A', i);
    await s.pass(60);
  }
  state.release();
});

hazard('H-091', 'nothing but the handshake is sent before the handshake', 'A B C(P)', slow, async (s) => {
  await s.isolate('A');
  for (let block = 0; block < 60; block++) await s.w('C', block);
  await s.con('A-C');
  await s.reach('A>C:SyncTarget');
  await s.cut('A-B');
  await s.con('A-B');
  for (const name of ['A', 'B', 'C']) expect(s.logged(name, 'Wrong magic')).toBe(0);
});

hazard('H-092', 'a meeting of two Inconsistent disks clears no bits', 'A(P) B C', slow, async (s) => {
  await s.cut('A-B', 'A-C', 'B-C');
  for (let block = 0; block < 80; block++) await s.w('A', block);
  await s.joining('A-B');
  await s.joining('A-C');
  await s.reach('B>A:SyncTarget', 'C>A:SyncTarget');
  await s.pass(1_000);
  await s.drop('A-B', 'A-C');
  await s.con('B-C');
  await s.con('A-B');
  await s.until('B is in sync', () => s.is('B:UpToDate'));
  await s.until('C follows', () => s.is('B-C:Established'));
});

hazard('H-093', 'cancelled work does not come back for ever', 'A(P) B', { ...slow, net: { csumsAlg: 'sha1' } }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('A>B:SyncSource');
  s.fail('B');
  await s.reset('A-B');
  s.flow('B');
  if (s.is('B:Diskless')) await s.attach('B');
});

hazard('H-094', 'third nodes hear of the last blocks too', 'A(P) B C', {}, async (s) => {
  await s.isolate('C');
  for (let block = 0; block < 40; block++) await s.w('A', block);
  await s.con('A-C');
  await s.until('C is in sync', () => s.is('C:UpToDate'));
  await s.until('B knows', () => s.bits('B>C') === 0);
  await s.con('B-C');
});

hazard('H-096', 'a Secondary feeds another only what it has for sure', 'A(P) B C', { ...slow, links: 'A-B' }, async (s) => {
  for (let block = 0; block < 40; block++) await s.w('A', block);
  await s.con('B-C');
  for (let block = 0; block < 40; block++) {
    s.wStar('A', block);
    await s.pass(50);
  }
});
