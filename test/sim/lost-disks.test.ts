// SPDX-License-Identifier: GPL-2.0-or-later
/** Disks that fail, are detached and attached again while a Primary writes: whose data are good, and whose are not any more? */
import { expect } from 'vitest';
import { invalidateParms } from '../../src/genl/command-attrs.ts';
import { Cmd } from '../../src/genl/ops.ts';
import { LowerOp } from '../../src/host/lower.ts';
import { differencesAreKnown } from '../../src/sim/story/checks.ts';
import type { Story } from '../../src/sim/story/story.ts';
import { hazard } from './hazards/hazard.ts';

/** In the second extent, which nobody has used: no activity log names it. */
const COLD = 1100;
/** Near the end of the disk: a resync comes there late. */
const LATE = 1200;
const MAJORITY = 1024;
const LARGER = 9216;
const SUSPEND = 1;
/** What a slow resync of a whole disk takes. */
const LONG_MS = 200_000;
const IO_ERROR = 0;
/** What a slow resync of a whole disk takes its time for. */
const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

hazard('R-60', 'a disk that is attached beside its peers, all of it out of sync, has an activity log', 'A(P) B C', {}, async (s) => {
  await s.w('A', 0);
  await s.w('A', COLD);
  await s.detach('A');
  await s.attach('A');
  await s.until('A has all', () => s.is('A:UpToDate') && s.bits('A>B') === 0);
  await s.disc('A-C');
  for (let block = 0; block < 20; block++) await s.w('A', block, { fua: false });
  await s.idle();
  s.crash('A');
  await s.noticed('B-A');
  await s.up('A');
});

hazard('R-61', 'a disk that lacks a write of its generation is not good for the users of this Primary', 'A(P) B C',
  { resource: { quorum: MAJORITY, quorumMinRedundancy: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    s.crash('C');
    await s.noticed('A-C');
    await s.w('A', 1);
    await s.idle();
    s.backing('A').faults.each = (op) => (op === LowerOp.write ? 'fail' : null);
    s.wStar('A', 2);
    await s.reach('A:Diskless', 'A:frozen');
    await s.cut('A-B', 'B-C');
    s.flow('A');
    await s.up('C');
    await s.con('A-C');
    await s.attach('A');
    await s.stays(20_000, 'A:frozen');
  });

hazard('R-62', 'a diskless Primary hears of the generation of a disk before it hears that it is good', 'A B C(d,P)', {}, async (s) => {
  await s.detach('A');
  await s.w('C', 1);
  await s.attach('A');
  await s.reach('A>B:SyncTarget');
  const { dataSectors } = s;
  await s.until('the resync has ended', () => {
    if (!s.is('A:UpToDate')) return false;
    s.backing('A').faults.each = (op, sector) => (op === LowerOp.write && sector >= dataSectors ? 'hold' : null);
    return true;
  });
  await s.pass(1_000);
  await s.w('C', 2);
  s.flow('A');
  await s.reach('A-B:Established', 'C>A:UpToDate');
  await s.pass(1_000);
  s.expectSame('A', 'B');
});

hazard('R-63', 'a write that only a sync target has is not called good', 'A(P) B', { ...slow, resource: { onNoData: 1 } }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 100; block++) await s.w('A', block);
  await s.joining('A-B');
  await s.reach('B>A:SyncTarget');
  s.fail('A');
  const lost = s.wStar('A', 200);
  await s.reach('A:Diskless');
  s.flow('A');
  await s.attach('A');
  await s.reach('A:UpToDate', 'B:UpToDate');
  await s.until('the write ends', () => lost.errno >= 0);
  expect(lost.errno).toBeGreaterThan(0);
  await s.r('A', 200);
});

hazard('R-187', 'protocol A: who has given up what it had shown without a disk counts nobody as older for it', 'A(P) B C', { protocol: 'A' }, async (s) => {
  await s.detach('A');
  await s.isolate('C');
  const made = s.hold('A>B', 'P_CURRENT_UUID');
  s.wStar('A', 1, { doomed: true });
  await s.caught(made);
  await s.lose(made, 'A-B');
  s.heal('A-C', 'B-C');
  await s.reach('A>C:Connected', 'C>B:Established', 'C:UpToDate');
  expect(s.pdsk('A>C')).toBe('Outdated');
  await s.demote('A');
  await s.attach('A');
  await s.reach('A:UpToDate', 'A>C:UpToDate');
  s.heal('A-B');
  await s.reach('A>B:UpToDate', 'B>C:UpToDate');
});

hazard('R-64', 'a Primary without good data of its own takes no older ones from a peer that attaches', 'A(P) B C', { ...slow, resource: { onNoData: 1 } }, async (s) => {
  await s.detach('C');
  await s.detach('A');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.attach('A');
  await s.reach('A>B:SyncTarget');
  await s.w('A', 100);
  await s.cut('A-B', 'B-C');
  await s.attach('C');
  await s.stays(5_000, 'A:frozen');
  await s.con('A-B');
  await s.reach('A:UpToDate');
});

hazard('R-70', 'who is to be synced with new storage stays good if the disk with it fails before that begins', 'A(P) B C',
  { disk: { diskSize: 8192 } }, async (s) => {
    await s.w('A', 1);
    const committed = 'Committing remote state change';
    const before = s.logged('A', committed);
    const resizing = s.resize('B', { resizeSize: LARGER });
    await s.until('A has the new size', () => s.capacity('A') === LARGER && s.logged('A', committed) > before);
    s.backing('A').faults.each = () => 'fail';
    await resizing;
    await s.reach('A:Diskless', 'B>A:Diskless', 'C>A:Diskless');
    await s.w('A', 2);
    await s.stays(5_000, 'B:UpToDate', 'C:UpToDate', 'A:flowing');
    s.flow('A');
    await s.attach('A');
  });

hazard('R-72', 'a disk whose generation got to nobody comes back to a Primary that has gone on without it', 'A(P) B C', { resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  const before = s.uuid('B');
  await s.cut('A-C');
  const told = s.hold('A>B', 'P_UUIDS110');
  const w = s.wStar('A', 2);
  await s.caught(told);
  const left = s.uuid('A');
  await s.pass(20);
  await s.letGo('A');
  await s.reach('A:Diskless');
  await s.pass(20);
  await s.lose(told, 'A-B');
  await s.con('A-B');
  await s.ended(w);
  await s.w('A', 3);
  expect(s.uuid('A')).toBe(s.uuid('B'));
  expect([before, left]).not.toContain(s.uuid('B'));
  await s.attach('A');
  await s.reach('A:UpToDate');
});

hazard('R-90', 'a Primary that attaches a disk does not count on an older one that it has met meanwhile', 'A(P) B C', slow, async (s) => {
  await s.isolate('C');
  await s.detach('A');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.down('C');
  await s.up('C', { connect: false });
  s.backing('A').faults.each = () => (s.is('A:Attaching') ? 'hold' : null);
  const attached = s.attach('A');
  await s.reach('A:Attaching');
  await s.con('A-C');
  await s.pass(100);
  s.flow('A');
  await attached;
  await s.reach('A>B:SyncTarget');
  for (let block = 59; block >= 0; block--) await s.r('A', block);
  await s.reach('A:UpToDate', 'C:UpToDate');
});

hazard('R-91', 'who lost power does not overwrite what a survivor of the Primary has', 'A(P) B C',
  { resource: { quorum: MAJORITY, quorumMinRedundancy: MAJORITY } }, async (s) => {
    s.backing('B').faults.each = (op) => (op === LowerOp.flush ? 'hold' : null);
    const writes = Array.from({ length: 40 }, (_, block) => s.wStar('A', block, { fua: false }));
    await s.ended(...writes);
    s.crash('B');
    s.flow('B');
    await s.up('B', { connect: false });
    await s.noticed('C-B');
    await s.cut('A-B', 'A-C');
    await s.con('B-C');
    await s.reach('B:UpToDate', 'C:UpToDate');
    expect(writes.filter(({ block, tag }) => s.onDisk('C', block) !== tag)).toEqual([]);
    await s.con('A-B', 'A-C');
  });

hazard('R-180', 'what was acknowledged while no disk was good is sent again: a resync that the Primary knows nothing of takes it back', 'A(d,P) B C',
  { ...slow, resource: { onNoData: 1 } }, async (s) => {
    await s.w('A', LATE);
    await s.idle();
    const held = [s.hold('A>B', 'P_DATA'), s.hold('A>C', 'P_DATA')];
    const writing = s.wStar('A', LATE, { fua: false });
    for (const each of held) await s.caught(each);
    s.sever('A-B', 'A-C');
    await s.noticed('A-B');
    await s.noticed('A-C');
    expect(await s.patient(() => s.setup('C').with(Cmd.INVALIDATE, {}, invalidateParms, { syncFromPeerNodeId: s.player('B').id }, s.minor('C')))).toBe(1);
    await s.joining('A-C');
    await s.until('C has it', () => s.onDisk('C', LATE) === writing.tag);
    await s.until('C has it no more', () => s.onDisk('C', LATE) !== writing.tag, LONG_MS);
    await s.ended(writing);
    await s.con('A-B');
  });
for (const late of ['P_STATE', 'P_PEER_ACK'] as const) {
  hazard('R-110', `a write that was sent as the activity log of the Primary failed is known to be missing there (${late} is late)`, 'A(P) B C',
    { resource: { quorum: MAJORITY, quorumMinRedundancy: MAJORITY, onNoQuorum: IO_ERROR } }, async (s) => {
      s.crash('C');
      await s.noticed('A-C');
      await s.w('A', 1);
      await s.idle();
      const { dataSectors } = s;
      s.backing('A').faults.each = (op, sector) => (op === LowerOp.write && sector >= dataSectors ? 'fail' : null);
      const held = s.hold('A>B', late);
      const writing = s.wStar('A', COLD, { fua: false });
      await s.reach('A:Diskless');
      await s.until('B has it', () => s.onDisk('B', COLD) === writing.tag);
      await s.pass(1_000);
      if (late === 'P_PEER_ACK') s.crash('A');
      held.release();
      s.flow('A');
      if (late === 'P_PEER_ACK') await s.up('A');
      else {
        await s.reach('B>A:Diskless');
        await s.attach('A');
      }
      await s.con('A-B');
      await s.reach('A:UpToDate');
      await s.pass(1_000);
      differencesAreKnown(s, 'A-B');
    });
}

hazard('R-112', 'protocol B: a crashed Primary is not the source for who has been up since, and has what was acknowledged', 'A(P) B', { protocol: 'B' }, async (s) => {
  await s.w('A', 0);
  await s.idle();
  s.backing('A').faults.each = (op) => (op === LowerOp.flush ? 'hold' : null);
  const writes = Array.from({ length: 20 }, (_, block) => s.wStar('A', block, { fua: false }));
  await s.ended(...writes);
  await s.pass(20);
  s.crash('A');
  await s.noticed('B-A');
  s.flow('A');
  await s.up('A');
  expect(writes.some(({ block, tag }) => s.onDisk('A', block) !== tag)).toBe(true);
  await s.con('A-B');
  await s.reach('A:UpToDate', 'B:UpToDate');
  expect(writes.filter(({ block, tag }) => s.onDisk('B', block) !== tag)).toEqual([]);
});

hazard('R-115', 'protocol B: a detach waits for writes that a peer was told are here', 'A(d,P) B C', { protocol: 'B', resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.crash('C');
  await s.noticed('A-C');
  await s.w('A', 1);
  await s.idle();
  const { dataSectors } = s;
  s.backing('B').faults.each = (op, sector) => (op === LowerOp.write && sector >= dataSectors ? 'hold' : null);
  const writing = await s.w('A', COLD);
  s.sever('A-B');
  await s.noticed('A-B');
  const detached = s.letGo('B', false);
  await s.pass(1_000);
  s.flow('B');
  await detached;
  await s.reach('B:Diskless');
  expect(s.onDisk('B', COLD)).toBe(writing.tag);
  await s.attach('B');
  await s.con('A-B');
});

/** Between two Primaries nothing is synced later: what is marked must be synced by the attach, and nothing be marked behind it. */
for (const [id, title, delay, diskless] of [
  ['R-185', 'what was on its disk before a detach, and marked as it had no peer ack', 1_000, false],
  ['R-186', 'what was written without a disk, and has its peer ack after the resync', 10_000, true],
] as const) {
  hazard(id, `a Primary attaches beside another one: ${title}`, 'A(P) B', { net: { twoPrimaries: true }, resource: { peerAckDelay: delay } }, async (s) => {
    await s.ok(s.allowTwoPrimaries('A', 'B'));
    await s.ok(s.allowTwoPrimaries('B', 'A'));
    await s.promote('B');
    await s.w('A');
    await s.w('B');
    await s.idle();
    if (!diskless) await s.w('B');
    await s.detach('B');
    if (diskless) await s.w('B');
    await s.attach('B');
    await s.reach('B:UpToDate', 'A>B:UpToDate');
    await s.pass(delay);
  });
}

for (const protocol of ['B', 'C'] as const) {
  hazard('R-141', `protocol ${protocol}: a diskless Primary counts the copies of its writes itself, its peer may not have noticed a loss yet`, 'A(P) B C',
    { protocol, resource: { quorum: MAJORITY, quorumMinRedundancy: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
      await s.w('A', 1);
      await s.idle();
      s.sever('A-C', 'B-C');
      s.fail('A');
      s.wStar('A', 1, { fua: false });
      await s.reach('A:Diskless');
      await s.noticed('A-C');
      await s.pass(100);
      s.flow('A');
      await s.cut('A-B');
      await s.demote('A');
      await s.attach('A');
      await s.con('A-C');
      await s.reach('A:UpToDate', 'C:quorate');
      await s.promote('C');
      await s.r('C', 1);
    });
}

hazard('R-211', 'an Outdated disk does not become the source of new storage for one that is good', 'A(d,P) B C', { disk: { diskSize: 8192 } }, async (s) => {
  await s.w('A', 1);
  await s.cut('A-B');
  await s.w('A', 1);
  await s.reach('B:Outdated', 'A>C:UpToDate');
  expect(await s.resize('B', { resizeSize: LARGER })).toBeLessThan(0);
  await s.stays(1_000, 'C:UpToDate', 'A:flowing');
  await s.r('A', 1);
  expect(await s.resize('C', { resizeSize: LARGER })).toBe(101);
  await s.con('A-B');
  await s.r('A', 1);
});

hazard('R-193', 'who attaches while it connects, and has shown no data there yet, is compared all the same', 'A(P) B', {}, async (s) => {
  await s.w('A', 1);
  s.crash('B');
  await s.noticed('A-B');
  await s.w('A', 1);
  s.sever('A-B');
  await s.up('B', { attach: false });
  s.backing('B').faults.each = () => (s.is('B:Attaching') ? 'hold' : null);
  const attached = s.attach('B');
  await s.reach('B:Attaching');
  const commit = s.hold('A-B', 'P_TWOPC_COMMIT');
  s.heal('A-B');
  await s.caught(commit);
  s.flow('B');
  await s.pass(100);
  commit.release();
  await attached;
  await s.reach('A>B:UpToDate', 'B:UpToDate');
  s.expectSame('A', 'B');
});

hazard('R-213', 'a disk that fails a flush has not got what it called written', 'A(P) B', {}, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.backing('B').faults.each = (op) => (op === LowerOp.flush ? 'fail' : null);
  await s.w('A', 1, { fua: false });
  await s.reach('B:Diskless', 'A>B:Diskless');
  s.flow('B');
  await s.attach('B');
  await s.reach('B:UpToDate');
  await s.w('A', 2);
});

/** B's power takes writes from it that were answered, and A detaches its own disk, which has them, before it knows. */
async function losesWhatThePrimaryHas(s: Story): Promise<void> {
  s.hold('A>B', 'P_BARRIER');
  await s.ended(...Array.from({ length: 20 }, (_, n) => s.wStar('A', COLD + n, { fua: false })));
  s.crash('B');
  await s.detach('A', true);
  await s.noticed('A-B');
  await s.until('the disk is free', () => s.device('A').disk === null);
}
const suspends = { resource: { onNoData: SUSPEND } };

hazard('R-261', 'the disk that a Primary has detached is good again as long as nothing was answered without it', 'A(P) B', suspends, async (s) => {
  await losesWhatThePrimaryHas(s);
  await s.attach('A');
  await s.reach('A:UpToDate', 'A:flowing');
  await s.up('B');
});

hazard('R-262', 'and until it is attached, a peer that may lack what it has is not let in', 'A(P) B', { ...suspends, expected: ['does not match my exposed UUID'] }, async (s) => {
  await losesWhatThePrimaryHas(s);
  await s.up('B');
  await s.stays(20_000, 'A:frozen');
  await s.attach('A');
  await s.reach('A:UpToDate', 'B:UpToDate');
});

hazard('R-263', 'it is not if it lacks what was under way as it was detached by force, and was answered', 'A(P) B', suspends, async (s) => {
  s.stall('A');
  const write = s.wStar('A', COLD);
  await s.pass(100);
  await s.letGo('A');
  await s.ended(write);
  s.crash('B');
  await s.noticed('A-B');
  s.flow('A');
  await s.until('the disk is free', () => s.device('A').disk === null);
  s.scribble('A', COLD);
  await s.attach('A');
  await s.stays(20_000, 'A:frozen', 'A:Outdated');
  await s.up('B');
});
