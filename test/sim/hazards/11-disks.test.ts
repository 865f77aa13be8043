// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 11: attach, detach, I/O errors. */
import { expect } from 'vitest';
import { LowerOp } from '../../../src/host/lower.ts';
import { hazard } from './hazard.ts';

hazard('H-252', 'an attach asks any connected peer, not the first connection', 'A B C', {}, async (s) => {
  await s.detach('A');
  await s.cut('A-B');
  const prepare = s.hold('A-B', 'P_CONNECTION_FEATURES');
  await s.joining('A-B');
  await s.caught(prepare);
  await s.attach('A');
  await s.reach('A:UpToDate');
  prepare.release();
});

hazard('H-253', 'an attach waits for nobody who is not there', 'A B C', {}, async (s) => {
  await s.detach('A');
  await s.down('C');
  await s.down('B');
  await s.attach('A');
  await s.until('it is attached', () => !s.is('A:Negotiating') && !s.is('A:Attaching'), 10_000);
});

hazard('H-256', 'a diverged disk that is attached while connected is a split brain as at a connect', 'A B', { end: 'as told', expected: ['Split-Brain'] }, async (s) => {
  await s.down('A');
  await s.promote('B');
  await s.w('B', 4);
  await s.demote('B');
  await s.up('A', { attach: false });
  await s.con('A-B');
  s.editMd('A', (sb) => ({ ...sb, currentUuid: 0xaaaa_0000n, peers: sb.peers.map((p, n) => (n === s.player('B').id ? { ...p, bitmapUuid: sb.currentUuid } : p)) }));
  s.scribble('A', 7);
  await s.code(s.setup('A').attach(s.minor('A'), '/dev/disk0', {}));
  await s.pass(2_000);
  for (const name of ['A', 'B']) expect(s.logged(name, 'uuid_compare()=split-brain')).toBe(1);
  await s.reach('A:Diskless', 'B:UpToDate');
  expect(s.onDisk('A', 7)).toBeNaN();
});

hazard('H-257', 'attach answers when the disk state has settled', 'A(P) B', {}, async (s) => {
  await s.detach('B');
  await s.w('A');
  await s.attach('B');
  expect(s.disk('B')).not.toBe('Negotiating');
});

hazard('H-259', 'a disk that answers nothing is let go by force', 'A(P) B', {}, async (s) => {
  s.backing('A').faults.stopped = true;
  const writes = [1, 2, 3].map((block) => s.wStar('A', block));
  await s.pass(100);
  await s.letGo('A');
  await s.ended(...writes);
  expect(writes.map(({ errno }) => errno)).toEqual([0, 0, 0]);
  await s.r('A', 2);
  s.flow('A');
  await s.reach('A:Diskless');
  await s.attach('A');
});

hazard('H-261', 'meta-data that could not be written are not called written', 'A(P) B', {}, async (s) => {
  const { faults } = s.backing('B');
  const data = s.dataSectors;
  faults.each = (op, sector) => (op === LowerOp.write && sector >= data ? 'fail' : null);
  await s.disc('A-B');
  await s.w('A', 9);
  await s.joining('A-B');
  await s.pass(3_000);
  faults.each = null;
  if (s.is('B:Diskless')) await s.attach('B');
});

hazard('H-262', 'two Outdated nodes: detach and attach are allowed', 'A B C', {}, async (s) => {
  await s.cut('A-C', 'B-C');
  await s.promote('C', true);
  await s.w('C');
  await s.demote('C');
  await s.detach('A');
  await s.attach('A');
});

hazard('H-264', 'reads that fail at the own disk are answered by the peer', 'A(P) B', { disk: { onIoError: 0 } }, async (s) => {
  const { tag } = await s.w('A', 4);
  s.fail('A', LowerOp.read);
  for (let i = 0; i < 5; i++) expect(await s.r('A', 4)).toBe(tag);
  s.flow('A');
  if (s.is('A:Diskless')) await s.attach('A');
  else if (!s.is('A:UpToDate')) {
    await s.demote('A');
    await s.disc('A-B');
  }
});
