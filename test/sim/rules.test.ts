// SPDX-License-Identifier: GPL-2.0-or-later
/** Rules whose loss no hazard shows: stories in which nothing else covers for them. */
import { hazard } from './hazards/hazard.ts';

const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('R-12', 'a slot that a resync is clearing does not replace the bits of another peer of that generation', 'A(P) B C D', slow, async (s) => {
  await s.cut('A-B');
  await s.cut('B-C');
  await s.w('A', 0);
  await s.cut('C-D');
  await s.cut('A-C');
  await s.cut('A-D');
  await s.until('B has the generation from D', () => s.is('B-D:Established') && s.uuid('B') === s.uuid('D'));
  await s.cut('B-D');
  for (let block = 100; block < 1_000; block += 9) s.wStar('A', block, { blocks: 9 });
  await s.pass(200);
  await s.joining('A-C');
  await s.reach('A>C:SyncSource');
  await s.until('a part of it is done', () => s.bits('A>C') < 800);
  await s.con('A-B');
  await s.reach('A>B:SyncSource');
});
