// SPDX-License-Identifier: GPL-2.0-or-later
/** Bits that others say are not needed any more (P_PEERS_IN_SYNC). */
import { hazard } from './hazards/hazard.ts';

hazard('R-226', 'who is named as equal may have missed a write by now, which overtook the word', 'A(d,P) B C D', { resource: { onNoData: 1, peerAckDelay: 1 } },
  async (s) => {
    await s.w('A', 1);
    await s.idle();
    await s.drop('A-D', 'B-D', 'C-D');
    await s.w('A', 1);
    await s.w('A', 2);
    await s.idle();
    const late = s.hold('B>C', 'P_PEERS_IN_SYNC');
    s.heal('B-D');
    await s.caught(late);
    await s.w('A', 1);
    await s.idle();
    await s.pass(20);
    late.release();
    await s.pass(20);
    s.crash('B');
    await s.con('C-D', 'A-D');
    await s.reach('A>D:UpToDate');
    for (let i = 0; i < 8; i++) await s.r('A', 1);
  });
