// SPDX-License-Identifier: GPL-2.0-or-later
/** What kept a healed cluster from becoming UpToDate: the stories of drawn runs. */
import { expect } from 'vitest';
import { invalidateParms, invalPeerParams } from '../../src/genl/command-attrs.ts';
import { Cmd } from '../../src/genl/ops.ts';
import type { Story } from '../../src/sim/story/story.ts';
import { hazard } from './hazards/hazard.ts';

const MAJORITY = 1024;
const SUSPEND = 1;
/** A slow resync of all blocks. */
const LONG_MS = 200_000;
const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('R-50', 'a node that is invalidated is Inconsistent for third nodes as well', 'A(P) B C', slow, async (s) => {
  await s.w('A', 1);
  const { id } = s.player('A');
  await s.ok(s.setup('C').with(Cmd.INVALIDATE, {}, invalidateParms, { syncFromPeerNodeId: id }, s.minor('C')));
  await s.reach('C:Inconsistent', 'B>C:Inconsistent');
  await s.stays(1_000, 'B>C:Inconsistent');
});

hazard('R-52', 'a diskless Primary has no more quorum than its last peer, whose quorum goes; and its lost link comes back', 'A(P) B C',
  { resource: { quorum: MAJORITY, quorumMinRedundancy: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    await s.w('A', 1);
    await s.detach('A');
    await s.w('A', 2);
    const told = s.hold('C>A', 'P_STATE');
    s.sever('A-B');
    await s.noticed('A-B');
    await s.caught(told);
    expect(s.quorate('A')).toBe(false);
    told.release();
    await s.reach('C:quorumless', 'A:quorumless', 'A:frozen');
    await s.con('A-B');
    await s.reach('A:quorate', 'A:flowing');
    await s.attach('A');
  });

hazard('R-53', 'a diskless Secondary sees a peer as UpToDate that has got newer data from a node it is not connected with', 'A(d) B C(P)', {}, async (s) => {
  await s.w('C', 1);
  await s.cut('A-C');
  await s.cut('B-C');
  await s.w('C', 2);
  await s.con('B-C');
  await s.reach('B:UpToDate', 'A>B:UpToDate');
  await s.until('A shows what B has', () => s.uuid('A') === s.uuid('B'));
});

hazard('R-54', 'a generation that is not on the disk yet is told to nobody', 'A(d) B(P) C', {}, async (s) => {
  await s.w('B', 1);
  await s.cut('A-B');
  const before = s.uuid('A');
  s.backing('B').faults.each = () => 'hold';
  s.sever('B-C');
  await s.noticed('B-C');
  s.wStar('B', 2);
  await s.joining('A-B');
  await s.pass(12_000);
  s.crash('B');
  s.flow('B');
  await s.pass(10_000);
  expect(s.uuid('A')).toBe(before);
  await s.up('B');
  await s.con('A-B');
  await s.reach('A>B:UpToDate');
});

hazard('R-55', 'a survivor does not wait for the word of one that has lost the Primary long before', 'A B C(P)', {}, async (s) => {
  await s.w('C', 1);
  await s.idle();
  await s.ok(s.suspendIo('C'));
  await s.cut('B-C');
  await s.reach('B:Outdated');
  await s.pass(10_000);
  const { id } = s.player('A');
  await s.ok(s.setup('B').with(Cmd.INVALIDATE, {}, invalidateParms, { syncFromPeerNodeId: id }, s.minor('B')));
  await s.reach('A>B:SyncSource');
  await s.reach('A-B:Established', 'B:Inconsistent');
  s.crash('C');
  await s.noticed('A-C');
  await s.reach('A:UpToDate');
  await s.promote('A');
  await s.w('A', 3);
  await s.up('C');
  await s.con('A-C', 'B-C');
});

hazard('R-56', 'a disk that attaches beside a diskless Primary which has shown its data is UpToDate', 'A B(P)', slow, async (s) => {
  await s.cut('A-B');
  for (let i = 0; i < 40; i++) await s.w('B', i);
  await s.demote('B');
  await s.con('A-B');
  await s.reach('A>B:SyncTarget');
  await s.promote('A');
  await s.cut('A-B');
  await s.detach('B');
  await s.con('A-B');
  await s.detach('A');
  await s.attach('B');
  await s.reach('B:UpToDate', 'A>B:UpToDate');
  await s.attach('A');
  await s.reach('A:UpToDate');
});

hazard('R-57', 'the next engine knows who may be behind, though the disk was still on its way out', 'A B(P) C',
  { ...slow, resource: { onNoData: SUSPEND } }, async (s) => {
    await s.isolate('A');
    for (let i = 0; i < 40; i++) await s.w('B', i);
    await s.demote('B');
    await s.con('A-B');
    await s.reach('A>B:SyncTarget');
    s.stall('A');
    await s.con('A-C');
    await s.promote('A');
    void s.letGo('A', false).catch(() => {});
    await s.reach('A:Detaching');
    await s.drop('A-C');
    const told = s.hold('A>B', 'P_CURRENT_UUID');
    const w = s.wStar('A', 100);
    await s.until('a generation is on its way', () => s.logged('A', 'sending new current UUID') > 0);
    await s.lose(told, 'A-B');
    expect(s.disk('A')).toBe('Detaching');
    s.killEngine('A');
    s.flow('A');
    await s.pass(2_000);
    await s.until('A and B are connected', () => s.joined('A-B'));
    await s.reach('A>B:UpToDate', 'A:flowing');
    await s.ended(w);
    await s.attach('A');
  });

hazard('R-58', 'an attach takes the word of a peer that never came to the generation that it was told', 'A(P) B C', slow, async (s) => {
  await s.w('A', 1);
  await s.detach('A');
  const told = s.hold('A>B', 'P_CURRENT_UUID');
  const w = s.wStar('A', 2);
  await s.caught(told);
  await s.letGo('B');
  told.release();
  await s.ended(w);
  for (let i = 10; i < 50; i++) await s.w('A', i);
  await s.attach('B');
  await s.reach('B>C:SyncTarget');
  await s.drop('B-C');
  await s.attach('A');
  await s.reach('A:UpToDate');
});

hazard('R-59', 'a peer compares with who was made Primary by force, though neither has what the other has', 'A B C(P)',
  { ...slow, net: { fencingPolicy: 1 }, end: 'as told' }, async (s) => {
    await s.w('C', 1);
    await s.cut('B-C');
    for (let i = 10; i < 50; i++) await s.w('C', i);
    await s.disc('A>C');
    await s.reach('A:Outdated');
    await s.con('B-C');
    await s.reach('B>C:SyncTarget');
    s.crash('C');
    await s.noticed('B-C');
    await s.reach('B:Inconsistent', 'A-B:Established');
    await s.promote('A', true);
    const link = { resourceName: 'r0', peerNodeId: s.player('A').id, volume: 0 };
    for (const cmd of [Cmd.PAUSE_SYNC, Cmd.RESUME_SYNC]) await s.ok(s.setup('B').plain(cmd, link));
    await s.until('both take part', () => s.is('B>A:WFBitMapT') && s.is('A>B:WFBitMapS'), 2_000);
    await s.reach('A:UpToDate', 'B:UpToDate');
  });

hazard('R-181', 'the initial packets behind a PREPARE that has to wait are not taken before it', 'A B C', {}, async (s) => {
  await s.disc('A-C');
  const held = s.hold('B>C', 'P_TWOPC_COMMIT');
  await s.promote('A');
  await s.caught(held);
  const states = s.arrived('A>C', 'P_STATE');
  await s.joining('A-C');
  await s.until('C has heard all that A has to say', () => s.arrived('A>C', 'P_STATE') > states);
  await s.pass(100);
  held.release();
  await s.until('A and C are connected', () => s.joined('A-C'), 5_000);
});

hazard('R-150', 'a Primary that waits for a source without good data shows what it has shown', 'A B C(P)',
  { peerDevice: { cPlanAhead: 0, resyncRate: 8, cMaxRate: 8 }, resource: { onNoData: SUSPEND } }, async (s) => {
    const fromC = { resourceName: 'r0', peerNodeId: s.player('C').id, volume: 0 };
    await s.isolate('A');
    for (let i = 0; i < 40; i++) await s.w('C', i);
    await s.demote('C');
    await s.con('A-C');
    await s.reach('A>C:SyncTarget');
    await s.ok(s.setup('A').plain(Cmd.PAUSE_SYNC, fromC));
    await s.promote('A');
    await s.cut('B-C');
    for (let i = 0; i < 40; i++) await s.w('A', i);
    await s.cut('A-C');
    await s.con('B-C');
    await s.reach('B>C:SyncTarget');
    await s.con('A-B');
    await s.reach('A>B:PausedSyncT');
    await s.con('A-C');
    await s.ok(s.setup('A').plain(Cmd.RESUME_SYNC, fromC));
    const fast = { cPlanAhead: 0, resyncRate: 4_000, cMaxRate: 4_000 };
    for (const link of ['A>C', 'B>C', 'B>A']) {
      const [name, peer] = link.split('>');
      await s.ok(s.setup(name).peerDeviceOptions('r0', s.player(peer).id, 0, fast));
    }
    await s.reach('A:UpToDate');
  });

hazard('R-228', 'a diskless Secondary beside a diskless Primary shows a peer that got what that Primary shows', 'A(d,P) B C(d) D', {}, async (s) => {
  await s.w('A', 1);
  await s.idle();
  await s.drop('C-D', 'B-D', 'A-B', 'A-C');
  await s.w('A', 2);
  await s.idle();
  s.heal('A-C');
  await s.pass(5_000);
  s.heal('A-B', 'B-D');
  await s.reach('A>B:UpToDate', 'C>B:UpToDate');
});

/** The diskless Primary A makes a generation as it loses C; B, which it is told, is lost before it hears of it. */
async function madeForNobody(s: Story): Promise<void> {
  await s.isolate('C');
  const made = s.hold('A>B', 'P_CURRENT_UUID');
  s.wStar('A', 1, { doomed: true });
  await s.caught(made);
  await s.lose(made, 'A-B');
  s.sever('A-B');
}

/** C, which has not got that either, is Outdated at A. */
async function meetsOlder(s: Story): Promise<void> {
  await madeForNobody(s);
  s.heal('A-C', 'B-C');
  await s.reach('A>C:Connected', 'C>B:Established', 'C:UpToDate');
  expect(s.pdsk('A>C')).toBe('Outdated');
  await s.demote('A');
}

hazard('R-240', 'a diskless Secondary that has given up what it had shown counts nobody as older for it', 'A(d,P) B C', {}, async (s) => {
  await meetsOlder(s);
  s.heal('A-B');
  await s.reach('A>B:UpToDate', 'A>C:UpToDate');
});

hazard('R-241', 'a diskless Secondary follows a Primary that has not got what it had shown', 'A(d,P) B C', {}, async (s) => {
  await meetsOlder(s);
  await s.promote('C');
  s.crash('B');
  await s.w('C', 1);
  await s.reach('A>C:UpToDate');
  await s.demote('C');
  await s.promote('A');
  await s.w('A', 2);
  await s.up('B');
  s.heal('A-B');
  await s.reach('A>B:UpToDate', 'A>C:UpToDate');
});

hazard('R-242', 'a diskless Secondary follows who was made Primary by force', 'A(d,P) B C', {}, async (s) => {
  await madeForNobody(s);
  s.heal('A-C');
  await s.reach('A>C:Connected', 'C:Outdated');
  await s.demote('A');
  await s.promote('C', true);
  await s.reach('A>C:UpToDate');
  s.heal('A-B', 'B-C');
  await s.reach('A>B:UpToDate', 'A>C:UpToDate');
});

/** A is a Secondary again, and C goes on with what B had: as a Primary, without B. */
async function othersGoOn(s: Story): Promise<void> {
  await madeForNobody(s);
  s.heal('B-C');
  await s.demote('A');
  await s.reach('C>B:Established', 'C:UpToDate');
  await s.promote('C');
  s.crash('B');
}

hazard('R-243', 'a diskless Secondary follows a Primary that it meets, though it has not got what it had shown', 'A(d,P) B C', {}, async (s) => {
  await othersGoOn(s);
  s.heal('A-C');
  await s.reach('A>C:UpToDate');
});

hazard('R-350', 'a diskless Secondary follows who has gone on from what the only peer had that was told its generation', 'A(d,P) B C', {}, async (s) => {
  await othersGoOn(s);
  await s.w('C', 1);
  await s.demote('C');
  s.heal('A-C');
  await s.reach('A>C:UpToDate');
  await s.up('B');
  s.heal('A-B');
  await s.reach('A>B:UpToDate');
});

hazard('R-229', 'an Outdated source that had to pause is good again beside its target, which has become so by another one', 'A B C', { ...slow, end: 'as told' },
  async (s) => {
    await s.drop('A-B', 'B-C', 'A-C');
    await s.ok(s.setup('B').plain(Cmd.OUTDATE, {}, s.minor('B')));
    await s.down('C');
    s.replaceDisk('C');
    await s.up('C');
    s.heal('A-C');
    await s.reach('C>A:SyncTarget');
    s.heal('B-C');
    await s.reach('C>B:PausedSyncT');
    await s.until('C is good', () => s.is('C:UpToDate'), LONG_MS);
    await s.until('B is good', () => s.is('B:UpToDate'), LONG_MS);
  });

hazard('R-210', 'an attach that waits for the end of what is written goes on when that is frozen', 'A(P) B C',
  { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    await s.w('A', 1);
    await s.detach('A');
    await s.w('A', 1);
    s.sever('A-B', 'A-C');
    const frozen = s.wStar('A', 2);
    let answered = false;
    const attaching = s.attach('A').finally(() => { answered = true; });
    await s.reach('A:frozen');
    await s.until('the attach ends', () => answered);
    await attaching;
    await s.con('A-B', 'A-C');
    await s.ended(frozen);
  });

hazard('R-212', 'a resync that waits for its turn is forgotten when another one has been there meanwhile', 'A(P) B', { disk: { diskSize: 8192 } }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  await s.pass(2_000);
  const hold = { each: () => 'hold' as const };
  Object.assign(s.backing('A').faults, hold);
  Object.assign(s.backing('B').faults, hold);
  const resizing = s.resize('B', { resizeSize: 9216 });
  await s.until('both know the new size', () => ['A', 'B'].every((name) => s.logged(name, 'New u_size') === 1));
  const peer = { resourceName: 'r0', peerNodeId: s.player('B').id, volume: 0 };
  const syncing = s.setup('A').with(Cmd.INVAL_PEER, peer, invalPeerParams, { pResetBitmap: false });
  await s.pass(100);
  s.flow('A');
  await s.pass(1_000);
  s.flow('B');
  await s.ok(syncing);
  await resizing;
  await s.pass(1_000);
});

for (const fencingPolicy of [1, 2]) {
  hazard('R-224', `the next engine of a diskless Primary meets a peer that waits for this Primary alone (fencing ${fencingPolicy})`, 'A(d,P) B C',
    { ...slow, net: { fencingPolicy }, resource: { onNoData: SUSPEND } }, async (s) => {
      for (const name of ['A', 'B', 'C']) s.helperSays(name, 'fence-peer', 1);
      await s.w('A', 1);
      await s.idle();
      await s.drop('A-C');
      await s.down('C');
      s.replaceDisk('C');
      await s.up('C');
      await s.reach('B>C:SyncSource');
      s.sever('A-B');
      s.killEngine('A');
      await s.noticed('B-A');
      await s.reach('B:Consistent');
      s.heal('A-B');
      await s.reach('A>B:UpToDate', 'A:flowing');
      await s.r('A', 1);
    });
}

hazard('R-331', 'a disk that attaches beside a diskless Primary which has shown its data is UpToDate, with fencing too', 'A(P) B', { resource: { onNoData: SUSPEND }, net: { fencingPolicy: 1 } }, async (s) => {
  await s.detach('A');
  await s.w('A');
  await s.idle();
  await s.drop('A-B');
  await s.detach('B');
  await s.con('A-B');
  await s.attach('B');
  await s.reach('B:UpToDate', 'A>B:UpToDate', 'A:flowing');
  await s.attach('A');
  await s.reach('A:UpToDate');
});

for (const [ids, behind] of [['R-332', true], ['R-333', false]] as const) {
  hazard(ids, `a Primary is met while a disk attaches that is ${behind ? 'behind' : 'equal'}, and goes on before the others have answered`, 'A(P) B C', {}, async (s) => {
    await s.drop('A-C');
    await s.detach('C');
    if (behind) await s.w('A');
    await s.idle();
    const answer = s.hold('B>C', 'P_STATE');
    const attached = s.attach('C');
    await s.caught(answer);
    await s.joining('A-C');
    await s.reach('A-C:Connected');
    await s.pass(1_000);
    answer.release();
    await attached;
    await s.reach('C:UpToDate');
  });
}

hazard('R-335', 'a peer has begun a resync by its answer to an attach, and is Outdated before the others have answered', 'A(P) B C D', {}, async (s) => {
  await s.detach('C');
  const answer = s.hold('D>C', 'P_STATE');
  const attached = s.attach('C');
  await s.caught(answer);
  await s.reach('B>C:WFBitMapS');
  await s.disc('A-B');
  await s.reach('B:Outdated');
  await s.pass(1_000);
  answer.release();
  await attached;
  await s.con('A-B');
  await s.reach('B:UpToDate', 'C:UpToDate');
});
