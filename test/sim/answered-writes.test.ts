// SPDX-License-Identifier: GPL-2.0-or-later
/** Writes that were answered before a peer had them: who lacks them is not good for the users who have seen them. */
import { expect } from 'vitest';
import { LowerOp } from '../../src/host/lower.ts';
import type { Story } from '../../src/sim/story/story.ts';
import { hazard } from './hazards/hazard.ts';

const MAJORITY = 1024;
const SUSPEND = 1;
/** In the second extent, which nobody has used: no activity log names it. */
const COLD = 1100;
const redundant = { quorum: MAJORITY, quorumMinRedundancy: MAJORITY, onNoQuorum: SUSPEND };

/** Who has all goes as well, and the one that lacks something comes back; then all of them. */
async function meetAgain(s: Story): Promise<void> {
  await s.pass(1000);
  await s.cut('A-C');
  s.heal('A-B');
  await s.pass(10_000);
  if (s.is('A>B:UpToDate')) await s.attach('A');
  await s.pass(20_000);
  if (s.is('A:quorate')) await s.r('A', 1);
  await s.con('A-C');
  if (s.is('A:Diskless')) await s.attach('A');
  await s.reach('A:quorate');
  await s.r('A', 1);
}

hazard('R-220', 'protocol A: a peer that was lost with the redundancy, and lacks what was answered, is not what a diskless Primary goes on with', 'A(P) B C',
  { protocol: 'A', resource: redundant }, async (s) => {
    s.fail('A');
    await s.w('A', 1);
    await s.reach('A:Diskless');
    await s.idle();
    s.flow('A');
    s.sever('A-B', 'B-C');
    await s.w('A', 1, { fua: false });
    await s.noticed('A-B');
    await meetAgain(s);
  });

hazard('R-221', 'the same, where its disk fails before it notices the loss', 'A(P) B C', { protocol: 'A', resource: redundant }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.sever('A-B', 'B-C');
  await s.w('A', 1, { fua: false });
  s.fail('A');
  s.wStar('A', 2);
  await s.reach('A:Diskless');
  s.flow('A');
  await s.noticed('A-B');
  await meetAgain(s);
});

/** B's power takes a write from it that was answered, as A's engine dies; C has it. */
async function losesAnswered(s: Story): Promise<void> {
  s.hold('A>B', 'P_BARRIER');
  await s.w('A', 1, { fua: false });
  await s.drop('B-C');
  s.sever('A-C', 'A-B');
  s.killEngine('A');
  await s.reboot('B');
}

for (const first of ['B', 'both'] as const) {
  hazard('R-222', `the next engine of a diskless Primary does not count on a disk that was down meanwhile (it meets ${first} first)`, 'A(d,P) B C',
    { resource: { onNoData: 1 } }, async (s) => {
      await losesAnswered(s);
      await s.reach('B:UpToDate', 'C:UpToDate');
      if (first === 'both') s.heal('A-C');
      s.heal('A-B');
      await s.pass(20_000);
      if (!s.frozen('A')) for (let i = 0; i < 8; i++) await s.r('A', 1);
      s.heal('A-C', 'B-C');
    });
}

hazard('R-223', 'the same with redundancy: it is synced from the witness, and then counts', 'A(d,P) B C', { resource: { quorum: MAJORITY, quorumMinRedundancy: 2, onNoQuorum: SUSPEND } },
  async (s) => {
    s.hold('A>B', 'P_BARRIER');
    await s.w('A', 1, { fua: false });
    await s.drop('B-C');
    s.sever('A-B');
    s.killEngine('A');
    await s.reboot('B');
    s.heal('A-B');
    await s.con('A-C');
    await s.pass(20_000);
    if (!s.frozen('A')) for (let i = 0; i < 8; i++) await s.r('A', 1);
    s.heal('B-C');
    await s.reach('A:flowing');
    for (let i = 0; i < 8; i++) await s.r('A', 1);
  });

hazard('R-222', 'where all were down nobody knows better', 'A(d,P) B C', { resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.sever('A-C', 'A-B');
  s.killEngine('A');
  await s.reboot('B');
  await s.reboot('C');
  s.heal('A-B');
  await s.pass(20_000);
  s.heal('A-C');
  await s.reach('A:flowing', 'A>B:UpToDate');
  await s.r('A', 1);
});

hazard('R-225', 'nor does it sync its old disk from there', 'A(P) B C', { resource: { onNoData: 1 } }, async (s) => {
  s.fail('A');
  s.wStar('A', 0);
  await s.reach('A:Diskless');
  s.flow('A');
  await s.pass(1_000);
  await losesAnswered(s);
  s.heal('A-B');
  await s.pass(10_000);
  if (s.is('A>B:UpToDate')) await s.attach('A');
  await s.pass(10_000);
  if (!s.frozen('A')) for (let i = 0; i < 8; i++) await s.r('A', 1);
  s.heal('A-C', 'B-C');
  await s.reach('A:flowing');
  await s.attach('A');
});

for (const protocol of ['A', 'C'] as const) {
  hazard('R-227', `protocol ${protocol}: the same while an administrator has suspended I/O`, 'A(d,P) B C', { protocol, resource: { onNoData: 1 } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    if (protocol === 'C') s.hold('A>B', 'P_BARRIER');
    else s.sever('A>B');
    await s.w('A', 1, { fua: false });
    await s.ok(s.suspendIo('A'));
    await s.drop('A-B', 'B-C');
    await s.reboot('B');
    await s.drop('A-C');
    s.heal('A-B');
    await s.pass(10_000);
    expect(s.pdsk('A>B')).not.toBe('UpToDate');
    await s.con('A-C');
    await s.ok(s.resumeIo('A'));
    for (let i = 0; i < 8; i++) await s.r('A', 1);
  });
}

for (const protocol of ['A', 'C'] as const) {
  hazard('R-222', `protocol ${protocol}: nor does the same engine, where it was isolated meanwhile`, 'A(d,P) B C', { protocol, resource: { onNoData: 1 } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    if (protocol === 'C') s.stall('B', LowerOp.flush);
    else s.sever('A>B');
    const { tag } = await s.w('A', 1, { fua: false });
    await s.until('C has it', () => s.onDisk('C', 1) === tag);
    await s.pass(100);
    s.sever('A-B', 'A-C', 'B-C');
    if (protocol === 'C') s.crash('B');
    await s.noticed('A-B');
    await s.noticed('A-C');
    if (protocol === 'C') await s.up('B');
    s.heal('A-B');
    await s.pass(20_000);
    if (!s.frozen('A')) for (let i = 0; i < 8; i++) await s.r('A', 1);
    s.heal('A-C', 'B-C');
    await s.reach('A:flowing');
    for (let i = 0; i < 8; i++) await s.r('A', 1);
  });
}

hazard('R-222', 'nor where fencing was under way, and no generation could be made', 'A(d,P) B C', { resource: { onNoData: 1 }, net: { fencingPolicy: 2 } }, async (s) => {
  s.helperSays('A', 'fence-peer', 1);
  await s.w('A', 1);
  await s.idle();
  await s.drop('B-C');
  s.stall('B', LowerOp.flush);
  await s.w('A', 1, { fua: false });
  s.crash('B');
  s.sever('A-B');
  await s.noticed('A-B');
  await s.up('B');
  await s.con('A-B');
  await s.reach('A:flowing');
  for (let i = 0; i < 8; i++) await s.r('A', 1);
});

hazard('R-230', 'what a Primary wrote before it attached its disk, and sends again, is missing there', 'A(P) B C', { resource: { onNoData: SUSPEND } }, async (s) => {
  s.fail('A');
  s.wStar('A', 1);
  await s.reach('A:Diskless');
  s.flow('A');
  await s.pass(1_000);
  await s.drop('A-C');
  const held = s.hold('A>B', 'P_DATA');
  const frozen = s.wStar('A', COLD, { fua: false });
  await s.caught(held);
  const attaching = s.attach('A').catch(() => {});
  s.sever('A-B');
  await s.noticed('A-B');
  held.release();
  await attaching;
  await s.pass(2_000);
  s.heal('A-B');
  await s.ended(frozen);
  await s.reach('A:UpToDate');
  await s.pass(100);
  await s.r('A', COLD);
});

hazard('R-270', 'a peer that connects as Consistent gets no writes until it says that it is good, so the generation that is made then is not for it', 'A(d,P) B C',
  { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND, onNoData: SUSPEND } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    s.sever('A-B', 'A-C', 'B-C');
    await s.noticed('A-B');
    await s.reach('C:Consistent');
    s.killEngine('C');
    await s.reach('A:frozen');
    const frozen = s.wStar('A', 1);
    await s.con('A-B');
    const good = s.hold('C>A', 'P_STATE', 1);
    s.heal('A-C');
    await s.caught(good);
    await s.ended(frozen);
    good.release();
    await s.pass(1_000);
    for (let i = 0; i < 8; i++) await s.r('A', 1);
  });

hazard('R-271', 'protocol A: an engine that takes over a Secondary still knows that it was a Primary without quorum', 'A B(P) C',
  { protocol: 'A', resource: { quorum: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    await s.w('B', 1);
    await s.isolate('C');
    await s.w('B', 1);
    await s.idle();
    s.sever('A-B');
    await s.w('B', 1);
    s.crash('A');
    await s.reach('B:quorumless');
    await s.demote('B');
    s.killEngine('B');
    await s.up('A');
    s.heal('A-B');
    await s.reach('A-B:Established');
    await s.promote('B');
    await s.r('B', 1);
  });

hazard('R-340', 'the writes of a lost Primary are in the bitmap though its connection is not cleaned up yet', 'A(d,P) B C',
  { resource: { onNoData: 1, peerAckDelay: 10_000 } }, async (s) => {
    await s.w('A', 1);
    await s.drop('A-C', 'B-C');
    await s.w('A', 2);
    await s.joining('B-C');
    await s.reach('C>B:SyncTarget');
    await s.reach('C>B:Established', 'C:Inconsistent');
    for (let block = 10; block < 20; block++) await s.w('A', block);
    s.stall('B');
    s.wStar('A', 20);
    await s.pass(20);
    s.crash('A');
    await s.reach('B>C:SyncSource');
    s.flow('B');
    await s.reach('B:UpToDate', 'C:UpToDate');
    expect(s.bits('B>C')).toBe(0);
    s.expectSame('B', 'C');
  });
