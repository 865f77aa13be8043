// SPDX-License-Identifier: GPL-2.0-or-later
/** Rules whose loss no hazard shows: stories in which nothing else covers for them. Mutations run them too. */
import { expect } from 'vitest';
import { invalidateParms } from '../../src/genl/command-attrs.ts';
import { Cmd } from '../../src/genl/ops.ts';
import { BioOp } from '../../src/host/block.ts';
import { LowerOp } from '../../src/host/lower.ts';
import { applyActivityLog } from '../../src/sim/apply-al.ts';
import { differencesAreKnown } from '../../src/sim/story/checks.ts';
import { uuidEq } from '../../src/state/uuid-types.ts';
import { hazard } from './hazards/hazard.ts';

const BLOCKS_PER_EXTENT = 1024;
/** Every node has to be there. */
const ALL = 1025;
const MAJORITY = 1024;
const SUSPEND = 1;
/** In the second extent, which nobody has used: no activity log names it. */
const COLD = BLOCKS_PER_EXTENT + 76;
const PASS_ON = 0;
/** What a slow resync of a whole disk takes. */
const LONG_MS = 200_000;
const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };

for (const protocol of ['A', 'B', 'C'] as const) {
  hazard('R-01', `protocol ${protocol}: only the Primary knows of a write whose disk has failed as a whole`, 'A(P) B', { protocol }, async (s) => {
    s.backing('B').faults.each = () => 'fail';
    await s.w('A', COLD);
    await s.reach('B:Diskless');
    s.flow('B');
    await s.attach('B');
    await s.reach('B:UpToDate');
  });
}

hazard('R-02', 'a bitmap that is sent while I/O is frozen has the writes that are frozen', 'A(P) B C', { end: 'as told' }, async (s) => {
  await s.cut('A-B');
  await s.w('A', 1);
  s.sever('A-C');
  const frozen = s.wStar('A', 2);
  await s.pass(20);
  await s.ok(s.setQuorum('A', ALL));
  await s.reach('A:frozen');
  await s.noticed('A-C');
  await s.con('A-B');
  await s.reach('B:UpToDate');
  // Not only since it is sent what it missed then.
  s.expectSame('A', 'B');
  await s.con('A-C');
  await s.ended(frozen);
  s.expectSame('A', 'B');
});

hazard('R-03', 'a source does not read what is being written', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 40; block++) s.wStar('A', block);
  await s.pass(100);
  const request = s.hold('B>A', 'P_RS_DAGTAG_REQ', 1);
  await s.joining('A-B');
  await s.caught(request);
  s.stall('A');
  const writes = Array.from({ length: 40 }, (_, block) => s.wStar('A', block));
  await s.pass(100);
  request.release();
  await s.pass(100);
  s.flow('A');
  await s.ended(...writes);
});

hazard('R-04', 'who has only outdated data is refused as a Primary', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  await s.w('A');
  await s.reach('B:Outdated');
  s.crash('A');
  expect(await s.mayPromote('B')).toBeLessThan(0);
});

hazard('R-05', 'who has no quorum is refused as a Primary', 'A B C', { resource: { quorum: 1024 } }, async (s) => {
  s.crash('A');
  await s.noticed('C-A');
  s.crash('B');
  await s.noticed('C-B');
  expect(await s.mayPromote('C')).toBeLessThan(0);
});

hazard('R-06', 'an Inconsistent target is told of writes that come while it waits for the bitmap', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 100; block++) s.wStar('A', block);
  await s.pass(100);
  await s.joining('A-B');
  await s.reach('B>A:SyncTarget');
  await s.cut('A-B');
  const bitmap = s.hold('A>B', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.caught(bitmap);
  const writes = [200, 201, 202].map((block) => s.wStar('A', block));
  await s.ended(...writes);
  bitmap.release();
});

hazard('R-07', 'a Primary whose own disk is a target reads elsewhere what is not in sync', 'A(P) B', slow, async (s) => {
  await s.detach('A');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.attach('A');
  await s.reach('A>B:SyncTarget');
  for (let block = 59; block >= 0; block -= 3) await s.r('A', block);
});

hazard('R-08', 'a new engine waits for what a dead one has given to the disk', 'A(P) B', {}, async (s) => {
  let held = 0;
  s.backing('A').faults.each = (op, sector) => (op === LowerOp.write && sector === 0 && held++ === 0 ? 'hold' : null);
  const old = s.wStar('A', 0);
  await s.pass(20);
  s.killEngine('A');
  await s.pass(10_000);
  const young = s.wStar('A', 0);
  await s.pass(10_000);
  s.flow('A');
  await s.ended(old, young);
  await s.pass(100);
});

hazard('R-09', 'while a peer is Primary nobody else becomes one', 'A(P) B', {}, async (s) => {
  expect(await s.mayPromote('B')).toBeLessThan(0);
});

hazard('R-10', 'a block that a target could not write is out of sync until it is written', 'A(P) B', { disk: { onIoError: PASS_ON } }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  let failed = 0;
  s.backing('B').faults.each = (op, sector) => (op === LowerOp.write && sector < 160 && failed++ < 1 ? 'fail' : null);
  await s.joining('A-B');
  await s.until('a write has failed', () => failed > 0);
  await s.pass(10_000);
  await s.reset('A-B');
  await s.con('A-B');
});

hazard('R-11', 'what a barrier ack calls stable is flushed after its writes', 'A(P) B', { net: { maxEpochSize: 20 } }, async (s) => {
  const epoch = Array.from({ length: 20 }, (_, i) => COLD + i);
  const next = COLD + epoch.length;
  const acks = s.arrived('B>A', 'P_BARRIER_ACK');
  s.stall('B');
  const writes = epoch.map((block) => s.wStar('A', block, { fua: false }));
  s.wStar('A', next, { fua: false });
  await s.pass(50);
  s.backing('B').faults.each = (op, sector) => (op === LowerOp.write && sector === next * 8 ? 'hold' : null);
  s.backing('B').resume();
  await s.ended(...writes);
  await s.until('the barrier is acknowledged', () => s.arrived('B>A', 'P_BARRIER_ACK') > acks);
  await s.pass(5);
  await s.reboot('B');
  await s.con('A-B');
});

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

hazard('R-13', 'protocol C: a write is answered when the peer has it on the disk', 'A(P) B', {}, async (s) => {
  s.stall('B');
  const write = s.wStar('A', 0);
  await s.pass(200);
  expect(write.errno).toBe(-1);
  s.flow('B');
  await s.ended(write);
});

hazard('R-14', 'half of a block that is written does not make the block in sync', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 60; block++) await s.w('A', block);
  const { block, tag } = await s.w('A', 200);
  await s.joining('A-B');
  await s.reach('A>B:SyncSource', 'B>A:SyncTarget');
  let errno = -1;
  s.kernel('A').submit({ op: BioOp.write, flags: 0, sector: block * 8, sizeBytes: 2048, tags: new Float64Array(4).fill(tag), done: (e) => { errno = e; } });
  await s.until('half of it is written', () => errno === 0);
});

/** More extents than the activity log has slots. */
const wide = { diskSectors: 90 * 8192, disk: { alExtents: 67 } };

hazard('R-15', 'an extent stays in the activity log while a peer may miss a write to it', 'A(P) B', wide, async (s) => {
  const missing = BLOCKS_PER_EXTENT;
  await s.w('A', missing + 1);
  s.backing('B').faults.each = (op, sector) => (op === LowerOp.write && sector === missing * 8 ? 'hold' : null);
  s.wStar('A', missing);
  for (let extent = 2; extent < 85; extent++) s.wStar('A', extent * BLOCKS_PER_EXTENT);
  await s.pass(2_000);
  s.crash('B');
  s.crash('A');
  await s.up('A');
  await s.up('B');
  await s.con('A-B');
});

hazard('R-16', 'the bits of an extent are on the disk before it leaves the activity log', 'A(P) B', wide, async (s) => {
  await s.disc('A-B');
  for (let extent = 1; extent < 80; extent++) s.wStar('A', extent * BLOCKS_PER_EXTENT);
  await s.until('all are written', () => s.pending === 0);
  await s.reboot('A');
  await s.con('A-B');
});

for (const op of [BioOp.writeZeroes, BioOp.discard] as const) {
  hazard('R-17', `zeroes that the own disk could not write (${op}) are not read from it as what was there before`, 'A(P) B', {}, async (s) => {
    await s.w('A', 8);
    s.backing('A').faults.each = (lower, sector) => (lower === LowerOp.writeZeroes || lower === LowerOp.discard) && sector === 64 ? 'fail' : null;
    await s.w('A', 8, { op });
    expect(await s.r('A', 8)).toBe(0);
    s.flow('A');
    await s.reach('A:Diskless');
    await s.attach('A');
  });
}

hazard('R-18', 'a write that was on its way when a Primary lost its only data is sent again, for it becomes their target', 'A(P) B',
  { ...slow, resource: { onNoData: 1 } }, async (s) => {
    await s.detach('A');
    for (let block = 0; block < 60; block++) await s.w('A', block);
    await s.attach('A');
    await s.until('half of it is synced', () => s.is('A>B:SyncTarget') && s.bits('A>B') < 40);
    s.sever('A>B');
    const lost = s.wStar('A', 0);
    await s.noticed('A-B');
    expect(lost.errno).toBe(-1);
    await s.con('A-B');
    await s.ended(lost);
  });

hazard('R-19', 'who missed the end of a resync as its source, and is Outdated since, gets what differs', 'A(P) B C', {}, async (s) => {
  await s.cut('A-B', 'B-C');
  await s.w('A', 1);
  s.sever('A-C');
  s.wStar('A', 2);
  await s.pass(20);
  s.crash('A');
  await s.noticed('C-A');
  await s.con('B-C');
  await s.reach('B:UpToDate');
  await s.up('A', { connect: false });
  await s.ok(s.setup('A').plain(Cmd.OUTDATE, {}, s.minor('A')));
  await s.joining('A-B');
  await s.until('A and B are connected', () => s.joined('A-B'));
  await s.pass(2_000);
  s.expectSame('A', 'B');
});

hazard('R-20', 'the label of a disk whose resync was interrupted does not make it UpToDate beside a diskless Primary', 'A(d,P) B C', slow, async (s) => {
  for (let block = 0; block < 60; block++) await s.w('A', block);
  await s.idle();
  expect(await s.patient(() => s.setup('C').with(Cmd.INVALIDATE, {}, invalidateParms, { syncFromPeerNodeId: s.player('B').id }, s.minor('C')))).toBe(1);
  await s.reach('C>B:SyncTarget');
  await s.cut('B-C');
  await s.reset('A-C');
  await s.con('A-C');
  await s.stays(2_000, 'C:Inconsistent');
});

hazard('R-21', 'a Primary without good data of its own takes none that are older than what it has shown', 'A(P) B C',
  { ...slow, resource: { onNoData: 1 } }, async (s) => {
    await s.cut('A-C', 'B-C');
    await s.detach('A');
    for (let block = 0; block < 60; block++) await s.w('A', block);
    await s.attach('A');
    await s.reach('A>B:SyncTarget');
    await s.w('A', 100);
    await s.cut('A-B');
    await s.joining('A-C');
    await s.stays(5_000, 'A:frozen');
    await s.con('A-B');
    await s.reach('A:UpToDate');
  });

hazard('R-22', 'a target that could not write a block is not promoted', 'A(P) B', { disk: { onIoError: PASS_ON } }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  let failed = 0;
  s.backing('B').faults.each = (op, sector) => (op === LowerOp.write && sector < 160 && failed++ < 1 ? 'fail' : null);
  await s.joining('A-B');
  await s.until('a write has failed', () => failed > 0);
  await s.reach('B>A:Established');
  s.crash('A');
  await s.noticed('B-A');
  expect(await s.mayPromote('B')).toBeLessThan(0);
});

hazard('R-23', 'a target that did not hear of all writes is not UpToDate', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 100; block++) s.wStar('A', block);
  await s.pass(100);
  await s.joining('A-B');
  await s.reach('B>A:SyncTarget');
  await s.cut('A-B');
  const bitmap = s.hold('A>B', 'P_COMPRESSED_BITMAP');
  await s.joining('A-B');
  await s.caught(bitmap);
  await s.ended(...[200, 201, 202].map((block) => s.wStar('A', block)));
  bitmap.release();
  await s.reach('B:UpToDate');
  s.expectSame('A', 'B');
});

hazard('R-24', 'what a crashed Primary had in its activity log is compared when it attaches beside its peer', 'A(P) B', {}, async (s) => {
  await s.w('A', 1);
  s.sever('A-B');
  s.wStar('A', 1);
  await s.pass(20);
  s.crash('A');
  await s.noticed('B-A');
  await s.up('A', { attach: false });
  await s.con('A-B');
  await s.attach('A');
});

hazard('R-25', 'a crashed Primary is compared with a peer that has crashed as well', 'A(P) B', { likeGenuine: true }, async (s) => {
  await s.w('A', 1);
  s.sever('A-B');
  s.wStar('A', 1);
  await s.pass(20);
  s.crash('A');
  s.crash('B');
  await s.up('A');
  await s.up('B');
  await s.con('A-B');
});

hazard('R-26', 'a target whose base only the slot of another node has still tells what it lacks itself', 'A(P) B C', slow, async (s) => {
  await s.w('A', 500);
  await s.idle();
  await s.cut('A-B');
  await s.w('A', 1);
  await s.cut('A-C');
  await s.until('B has the generation from C', () => s.is('B-C:Established') && s.uuid('B') === s.uuid('C'));
  await s.w('A', 2);
  expect(await s.patient(() => s.setup('B').with(Cmd.INVALIDATE, {}, invalidateParms, { syncFromPeerNodeId: s.player('C').id }, s.minor('B')))).toBe(1);
  await s.reach('B>C:SyncTarget');
  await s.cut('B-C');
  s.scribble('B', 500);
  await s.con('A-B');
  await s.until('B is UpToDate', () => s.is('B:UpToDate'), LONG_MS);
  s.expectSame('A', 'B');
});

hazard('R-27', 'after a power failure a target knows which blocks it had got, and others have not', 'A(P) B C', slow, async (s) => {
  await s.cut('A-B', 'A-C');
  const writes = Array.from({ length: 100 }, (_, n) => s.wStar('A', COLD + n));
  await s.ended(...writes);
  await s.joining('A-B');
  await s.reach('B>A:SyncTarget');
  await s.until('a part of it is done', () => s.bits('A>B') < 70);
  s.sever('A-B');
  await s.reboot('B');
  await s.con('B-C');
  await s.until('B has what C has', () => s.is('B-C:Established') && s.disk('B') !== 'Inconsistent');
  s.expectSame('B', 'C');
});

hazard('R-260', 'a target that hears of a write as it starts marks for others what it asks for', 'A(P) B C', slow, async (s) => {
  await s.cut('A-B', 'A-C');
  const writes = Array.from({ length: 100 }, (_, n) => s.wStar('A', COLD + n));
  await s.ended(...writes);
  await s.joining('A-B');
  const word = s.hold('A>B', 'P_OUT_OF_SYNC');
  await s.reach('A>B:WFBitMapS');
  await s.w('A', COLD - 1);
  await s.caught(word);
  await s.reach('B>A:SyncTarget');
  s.stall('A', LowerOp.read);
  word.release();
  await s.pass(1_000);
  expect(s.bits('B>C')).toBe(101);
});

hazard('R-28', 'a Primary without data does not outdate the only good disk when it meets a third node', 'A(P) B C(d)', slow, async (s) => {
  await s.detach('A');
  const writes = Array.from({ length: 100 }, (_, n) => s.wStar('A', COLD + n));
  await s.ended(...writes);
  await s.attach('A');
  await s.reach('A>B:SyncTarget');
  s.crash('B');
  await s.noticed('A-B');
  s.sever('A-B');
  await s.up('B');
  await s.con('B-C');
  await s.stays(1_000, 'B:UpToDate');
});

hazard('R-29', 'who got blocks from elsewhere is not equal to its neighbour, by whose word bits would be cleared', 'A B C(P)', {}, async (s) => {
  await s.w('C', 1);
  await s.idle();
  await s.demote('C');
  await s.cut('A-C');
  s.scribble('C', 1);
  const later = { resourceName: 'r0', peerNodeId: s.player('A').id, volume: 0 };
  await s.ok(s.setup('B').plain(Cmd.PAUSE_SYNC, later));
  expect(await s.patient(() => s.setup('B').with(Cmd.INVALIDATE, {}, invalidateParms, { syncFromPeerNodeId: s.player('C').id }, s.minor('B')))).toBe(1);
  await s.reach('B:Inconsistent');
  await s.reach('B:UpToDate');
  s.crash('C');
  await s.up('C', { connect: false });
  await s.ok(s.setup('C').plain(Cmd.OUTDATE, {}, s.minor('C')));
  await s.con('A-C');
  await s.reach('C:UpToDate');
  await s.con('B-C');
  differencesAreKnown(s, 'B-C');
  await s.ok(s.setup('B').plain(Cmd.RESUME_SYNC, later));
});

hazard('R-116', 'a source whose target ended by another source does not know what the two have in common', 'A B C(P)', { ...slow, end: 'as told' }, async (s) => {
  await s.w('C', 1);
  await s.idle();
  await s.demote('C');
  await s.cut('A-C', 'B-C');
  s.scribble('C', 1);
  const fromA = { resourceName: 'r0', peerNodeId: s.player('A').id, volume: 0 };
  expect(await s.patient(() => s.setup('B').with(Cmd.INVALIDATE, {}, invalidateParms, {}, s.minor('B')))).toBe(1);
  await s.until('the first extent is there', () => s.is('A>B:SyncSource') && s.bits('A>B') < s.bits('B>C') - BLOCKS_PER_EXTENT, LONG_MS);
  await s.ok(s.setup('B').plain(Cmd.PAUSE_SYNC, fromA));
  await s.con('B-C');
  await s.until('C is the nearer source', () => s.bits('B>C') < s.bits('B>A'), LONG_MS);
  await s.ok(s.setup('B').plain(Cmd.RESUME_SYNC, fromA));
  await s.until('B is good by C', () => s.is('B:UpToDate') && s.is('A>B:Established'), LONG_MS);
  expect(s.bits('B>A')).toBeGreaterThan(s.bits('A>B'));
  s.crash('C');
  await s.up('C', { connect: false });
  await s.ok(s.setup('C').plain(Cmd.OUTDATE, {}, s.minor('C')));
  await s.ok(s.setup('C').peerDeviceOptions('r0', s.player('A').id, 0, { resyncRate: 8_000, cMaxRate: 8_000 }));
  await s.con('A-C');
  await s.reach('C:UpToDate', 'A>C:Established');
  await s.pass(100);
  expect(s.bits('C>B')).toBeGreaterThanOrEqual(BLOCKS_PER_EXTENT);
});

hazard('R-30', 'a target gets good though I/O is frozen for want of it, and the ack of an older write goes out late', 'A(P) B C',
  { resource: { quorum: MAJORITY, quorumMinRedundancy: MAJORITY, onNoQuorum: SUSPEND, peerAckDelay: 10_000 } }, async (s) => {
    await s.drop('A-C', 'B-C');
    await s.w('A', 1);
    await s.pass(50);
    s.stall('B');
    const frozen = s.wStar('A', 2);
    await s.pass(20);
    await s.drop('A-B');
    s.crash('B');
    s.flow('B');
    await s.up('B');
    await s.con('A-B');
    await s.reach('B:UpToDate');
    await s.ended(frozen);
  });

hazard('R-31', 'a diskless Primary goes on with what it has shown, whatever a diskless Secondary has seen', 'A(d,P) B C', { resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.drop('B-C');
  await s.detach('B');
  await s.w('A', 1);
  await s.idle();
  const shown = s.uuid('A');
  s.crash('C');
  await s.noticed('A-C');
  await s.reset('A-B');
  await s.con('A-B');
  await s.attach('B');
  await s.pass(2_000);
  expect(s.uuid('A')).toBe(shown);
  expect(s.pdsk('A>B')).not.toBe('UpToDate');
  await s.up('C');
  await s.con('A-C', 'B-C');
  await s.reach('A>B:UpToDate');
});

hazard('R-32', 'a generation that got lost on its way is told again to a peer that attaches while connected', 'A(d,P) B C', { resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.cut('A-C');
  const told = s.hold('A>B', 'P_CURRENT_UUID');
  const w = s.wStar('A', 1);
  await s.lose(told, 'A-B');
  await s.detach('B');
  await s.con('A-B');
  await s.attach('B');
  await s.reach('A>B:UpToDate', 'B:UpToDate');
  await s.ended(w);
  await s.w('A', 2);
  expect(s.uuid('B')).toBe(s.uuid('A'));
});

hazard('R-33', 'a generation that is not on disk yet when quorum is lost does not come to be', 'A(P) B C',
  { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    const before = s.uuid('A');
    await s.drop('A-C');
    const { faults } = s.backing('A');
    faults.stopped = true;
    s.wStar('A', 2);
    await s.until('a generation is on its way to the disk', () => s.uuid('A') !== before);
    await s.drop('A-B');
    s.flow('A');
    await s.until('the generation is withdrawn', () => s.uuid('A') === before);
    await s.promote('B');
    await s.w('B', 3);
    await s.reboot('A');
    await s.con('A-B', 'A-C');
    await s.reach('A:UpToDate');
    expect(s.uuid('A')).toBe(s.uuid('B'));
  });

hazard('R-71', 'a generation that is not on disk yet when its engine dies does not come to be', 'A(P) B C',
  { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    const before = s.uuid('A');
    await s.drop('A-C');
    await s.pass(1_000);
    s.backing('A').faults.stopped = true;
    s.wStar('A', 2);
    await s.until('a generation is on its way to the disk', () => s.uuid('A') !== before);
    await s.pass(10);
    s.killEngine('A');
    s.sever('A-B');
    await s.noticed('B-A');
    await s.promote('B');
    await s.w('B', 3);
    s.flow('A');
    await s.until('the generation is withdrawn', () => s.alive('A') && s.disk('A') === 'UpToDate' && s.uuid('A') === before);
    await s.pass(1_000);
    await s.reboot('A');
    await s.con('A-B', 'A-C');
    await s.reach('A:UpToDate');
    expect(s.uuid('A')).toBe(s.uuid('B'));
  });

hazard('R-35', 'a diskless Secondary that meets newer data trusts a peer with older ones no longer, and tells it', 'A(d) B C(P)', {}, async (s) => {
  await s.w('C', 1);
  await s.idle();
  await s.cut('A-B', 'B-C');
  await s.w('C', 1);
  await s.demote('C');
  s.crash('C');
  await s.noticed('A-C');
  await s.reboot('A');
  await s.detach('B');
  await s.con('A-B');
  await s.attach('B');
  await s.reach('A>B:UpToDate');
  await s.up('C');
  await s.con('A-C');
  expect(s.pdsk('A>B')).not.toBe('UpToDate');
  await s.reach('B:Outdated');
});

hazard('R-34', 'what a peer acknowledged is written again when it lost power before anybody was told', 'A(d,P) B C',
  { resource: { onNoData: 1 } }, async (s) => {
    await s.w('A', COLD);
    await s.idle();
    s.stall('C');
    const acks = s.arrived('B>A', 'P_WRITE_ACK');
    const w = s.wStar('A', COLD, { fua: false });
  await s.until('B has it', () => s.arrived('B>A', 'P_WRITE_ACK') > acks);
    s.sever('A-B', 'A-C', 'B-C');
    s.crash('B');
    await s.noticed('A-B');
    await s.noticed('A-C');
    s.crash('C');
    s.flow('C');
    await s.up('B');
    await s.con('A-B');
    await s.ended(w);
    expect(s.onDisk('B', COLD)).toBe(w.tag);
  });

hazard('R-36', 'who has lost its Primary lets nobody be promoted on its data before it is settled what they are', 'A(d) B(P) C', {}, async (s) => {
  await s.w('B', 1);
  await s.idle();
  s.crash('B');
  await s.noticed('A-B');
  const told = s.hold('C>A', 'P_STATE');
  await s.noticed('B-C');
  expect([s.disk('C'), s.pdsk('A>C')]).toEqual(['Consistent', 'UpToDate']);
  const promotion = s.setup('A').primary('r0');
  await s.pass(200);
  expect(s.role('A')).toBe('Secondary');
  told.release();
  await s.ok(promotion);
  expect(s.disk('C')).toBe('UpToDate');
  await s.w('A', 1);
  await s.up('B');
  await s.con('A-B', 'B-C');
});

for (const first of ['the link', 'the engine']) {
  hazard('R-45', `a new engine of a diskless Primary knows that nobody has its generation (lost first: ${first})`, 'A(d,P) B C', { resource: { onNoData: 1 } }, async (s) => {
    await s.w('A', 1);
    await s.cut('A-C');
    const told = s.hold('A>B', 'P_CURRENT_UUID');
    const w = s.wStar('A', 1);
    if (first === 'the link') await s.lose(told, 'A-B');
    else await s.caught(told);
    s.killEngine('A');
    s.crash('B');
    told.release();
    await s.up('B');
    expect(s.uuid('B')).not.toBe(s.uuid('A'));
    await s.con('A-B');
    await s.reach('A>B:UpToDate');
    await s.ended(w);
    await s.w('A', 2);
    expect(s.uuid('B')).toBe(s.uuid('A'));
  });
}

hazard('R-46', 'a new engine of a diskless Primary lets nobody follow while another peer may have more', 'A(d,P) B C', { resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.cut('A-C');
  const told = s.hold('A>B', 'P_CURRENT_UUID');
  const w = s.wStar('A', 1);
  await s.lose(told, 'A-B');
  s.sever('A-B');
  s.killEngine('A');
  await s.cut('B-C');
  await s.con('A-C');
  await s.pass(2_000);
  expect(s.pdsk('A>C')).toBe('Outdated');
  await s.con('A-B');
  await s.ended(w);
  await s.con('B-C');
  await s.reach('A>C:UpToDate');
});

hazard('R-48', 'a new engine of a diskless Primary lets nobody follow who missed a write', 'A(d,P) B C D', { resource: { onNoData: 1 } }, async (s) => {
  await s.w('A', 1);
  await s.cut('B-C', 'B-D', 'A-D');
  const told = s.hold('A>B', 'P_CURRENT_UUID');
  const w = s.wStar('A', 1);
  await s.lose(told, 'A-B');
  s.sever('A-B');
  await s.ended(w);
  expect(s.uuid('B')).not.toBe(s.uuid('A'));
  s.sever('A-C');
  s.killEngine('A');
  s.heal('A-B');
  await s.pass(10_000);
  expect(s.pdsk('A>B')).not.toBe('UpToDate');
  await s.con('A-C');
  expect(await s.r('A', 1)).toBe(w.tag);
});

hazard('R-47', 'a crashed Primary among Outdated nodes of its generation is synced once, not by turns for ever', 'A(P) B C', {}, async (s) => {
  const outdate = (name: string): Promise<void> => s.ok(s.setup(name).plain(Cmd.OUTDATE, {}, s.minor(name)));
  await s.w('A', 1);
  await s.idle();
  s.crash('A');
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('B:UpToDate', 'C:UpToDate');
  await s.cut('B-C');
  await outdate('B');
  await outdate('C');
  await s.up('A', { connect: false });
  await outdate('A');
  await s.con('A-B', 'A-C', 'B-C');
  await s.pass(20_000);
  expect(s.logged('A', 'Began resync as SyncTarget')).toBeGreaterThan(0);
  expect(s.logged('A', 'Began resync as SyncTarget')).toBeLessThan(4);
  await s.promote('B', true);
});

hazard('R-38', 'who has not noticed that a node lost power does not say that it is in sync', 'A B C(P)',
  { net: { pingInt: 120 } }, async (s) => {
    await s.w('C', 1);
    await s.idle();
    await s.drop('A-B', 'A-C');
    for (let block = 1; block <= 16; block++) await s.w('C', block, { fua: false });
    const acks = s.arrived('C>B', 'P_PEER_ACK');
    await s.until('B knows who has it', () => s.arrived('C>B', 'P_PEER_ACK') > acks);
    s.sever('B-C');
    s.crash('C');
    await s.up('C');
    await s.con('A-C');
    await s.reach('A:UpToDate');
    await s.con('A-B');
    await s.pass(1_000);
    differencesAreKnown(s, 'A-C');
    differencesAreKnown(s, 'B-C');
  });

hazard('R-80', 'connections that are lost while an attach reads the bitmap come back', 'A(P) B C',
  { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    const { superBlockSector, bmOffset, bmSect } = s.device('A').disk!.meta.layout;
    const from = superBlockSector + bmOffset;
    await s.detach('A');
    applyActivityLog(s.backing('A'));
    s.backing('A').faults.each = (op, sector) => (op === LowerOp.read && sector >= from && sector < from + bmSect ? 'hold' : null);
    const attached = s.code(s.setup('A').attach(s.minor('A'), '/dev/disk0'));
    await s.reach('A:Attaching');
    await s.pass(100);
    await s.drop('A-B', 'A-C');
    s.flow('A');
    await attached;
    await s.con('A-B', 'A-C');
  });

hazard('R-81', 'a target gets good though I/O is frozen for want of it, beside a node that has what is frozen', 'A(P) B C D E',
  { resource: { quorum: MAJORITY, quorumMinRedundancy: MAJORITY, onNoQuorum: SUSPEND } }, async (s) => {
    await s.isolate('D');
    await s.isolate('E');
    await s.w('A', 1);
    s.stall('B');
    const frozen = s.wStar('A', 2);
    await s.pass(20);
    await s.drop('A-B', 'B-C');
    s.crash('B');
    s.flow('B');
    await s.up('B');
    await s.con('A-B', 'B-C');
    await s.reach('B:UpToDate');
    await s.ended(frozen);
  });

hazard('R-65', 'what a peer had before I/O was frozen does not count as there: it may have been overwritten', 'A(d,P) B C',
  { resource: { onNoData: 1 } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    const held = s.hold('A>B', 'P_DATA', 1);
    const barriers = s.arrived('C>A', 'P_BARRIER_ACK');
    const before = s.wStar('A', 2, { fua: false });
    const writing = s.wStar('A', 1, { fua: false });
    await s.caught(held);
    await s.ended(before);
    await s.until('C has it for good', () => s.arrived('C>A', 'P_BARRIER_ACK') > barriers);
    s.sever('A-B', 'A-C', 'B-C');
    await s.noticed('A-B');
    await s.noticed('A-C');
    s.crash('B');
    s.crash('C');
    await s.up('B');
    await s.up('C');
    await s.con('B-C');
    await s.until('C is synced from B', () => s.bits('B>C') === 0 && s.onDisk('C', 1) !== writing.tag);
    await s.con('A-C', 'A-B');
    await s.ended(writing);
  });

hazard('R-111', 'what a target had of a frozen Primary does not count when that meets the source', 'A(d,P) B C',
  { resource: { onNoData: 1 }, peerDevice: { cPlanAhead: 0, resyncRate: 200, cMaxRate: 200 } }, async (s) => {
    await s.w('A', 1);
    await s.isolate('C');
    for (let block = 0; block < 100; block++) await s.w('A', block, { fua: false });
    await s.idle();
    await s.joining('A-C');
    await s.joining('B-C');
    await s.reach('C>B:SyncTarget', 'A-C:Connected');
    const held = s.hold('A>B', 'P_DATA');
    const writing = [s.wStar('A', 90), s.wStar('A', 95)];
    await s.caught(held);
    await s.until('C has them', () => writing.every(({ block, tag }) => s.onDisk('C', block) === tag));
    s.crash('B');
    s.sever('A-B');
    await s.up('B');
    await s.con('B-C');
    await s.reach('C>B:SyncTarget', 'A:frozen');
    await s.until('the resync was there', () => s.bits('B>C') === 0);
    await s.con('A-B');
    await s.ended(...writing);
    await s.reach('C:UpToDate');
    await s.r('A', 90);
    await s.r('A', 95);
  });

hazard('R-114', 'two that have lost a Primary, and have the same of it, keep what differed between them before', 'A(P) B C', { net: { verifyAlg: 'sha1' }, end: 'as told' }, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.scribble('C', 1);
  await s.verify('B-C');
  await s.until('it is known', () => s.bits('B>C') > 0 && s.is('B-C:Established'));
  await s.w('A', 2);
  s.crash('A');
  await s.noticed('B-A');
  await s.noticed('C-A');
  await s.reach('B:UpToDate', 'C:UpToDate');
  expect(s.logged('B', 'No reconciliation resync') + s.logged('C', 'No reconciliation resync')).toBeGreaterThan(0);
  differencesAreKnown(s, 'B-C');
});

hazard('R-66', 'who was told a generation by a Primary without good data, and is the last of it, makes one of its own', 'A B(P) C', slow, async (s) => {
  await s.w('B', 1);
  await s.isolate('A');
  for (let block = 0; block < 200; block++) await s.w('B', block, { fua: false });
  await s.idle();
  await s.demote('B');
  await s.drop('B-C');
  await s.joining('A-B');
  await s.reach('A>B:SyncTarget');
  await s.joining('A-C');
  await s.reach('A-C:Connected');
  await s.promote('A');
  await s.w('A', 1);
  await s.idle();
  const before = s.current('B');
  s.crash('A');
  s.crash('C');
  await s.noticed('B-A');
  await s.promote('B');
  await s.w('B', 1);
  expect(uuidEq(s.current('B'), before)).toBe(false);
  await s.up('A');
  await s.up('C');
});

for (const [name, resource] of [['', {}], [', with quorum', { quorum: MAJORITY, onNoQuorum: SUSPEND }]] as const) {
  hazard('R-67', `of two equals that have lost their Primary, the one that lost power is not the source${name}`, 'A(d,P) B C',
    { resource: { onNoData: 1, ...resource } }, async (s) => {
      for (let block = 0; block < 20; block++) await s.w('A', block);
      await s.idle();
      await s.ended(...Array.from({ length: 20 }, (_, block) => s.wStar('A', block, { fua: false })));
      s.sever('A-B', 'A-C', 'B-C');
      s.crash('B');
      for (const link of s.pairs()) await s.noticed(link);
      await s.up('B');
      await s.con('B-C');
      await s.con('A-B');
      await s.con('A-C');
    });
}

hazard('R-68', 'a peer that got its data from an old disk of a Primary is not good, and its users wait for who has theirs', 'A(P) B C',
  { resource: { onNoData: 1 }, peerDevice: { cPlanAhead: 0, resyncRate: 500, cMaxRate: 500 } }, async (s) => {
    await s.w('A', 0);
    await s.isolate('C');
    for (let block = 0; block < 20; block++) await s.w('A', block, { fua: false });
    await s.idle();
    await s.joining('A-C');
    await s.joining('B-C');
    await s.reach('C>A:SyncTarget', 'B-C:Connected');
    await s.detach('A');
    await s.w('A', 1);
    await s.idle();
    s.sever('A-B');
    await s.attach('A');
    await s.reach('C>A:SyncTarget');
    await s.reach('C>A:Established');
    await s.stays(30_000, 'A:frozen', 'C:Outdated');
    await s.con('A-B');
    await s.reach('A:UpToDate');
  });

hazard('R-82', 'a target that was down is not overwritten with what its source still has, while newer writes are on their way there', 'A(P) B C',
  { protocol: 'A' }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    const late = s.hold('A>B', 'P_DATA');
    const writing = s.wStar('A', 1);
    await s.caught(late);
    await s.until('C has it', () => s.onDisk('C', 1) !== s.onDisk('B', 1));
    await s.pass(100);
    s.sever('A-C');
    s.crash('C');
    await s.noticed('A-C');
    await s.up('C');
    await s.joining('B-C');
    await s.reach('C>B:SyncTarget');
    await s.pass(500);
    late.release();
    await s.ended(writing);
    await s.reach('B-C:Established');
    await s.pass(2_000);
    s.expectSame('B', 'C');
  });

hazard('R-183', 'a generation counts nobody who was lost before it could be told', 'A(P) B C', {}, async (s) => {
  await s.w('A', 1);
  await s.cut('B-C', 'A-C');
  const before = s.current('A');
  s.backing('A').faults.each = () => 'hold';
  const write = s.wStar('A', 2);
  await s.pass(20);
  s.sever('A-B');
  await s.noticed('A-B');
  s.flow('A');
  await s.ended(write);
  expect(uuidEq(s.bmUuid('A>B'), before)).toBe(true);
  await s.con('A-B');
  await s.con('A-C', 'B-C');
});

hazard('R-184', 'a write that waited for the activity log when its Primary was lost counts as never heard of', 'A(P) B C', {}, async (s) => {
  await s.w('A', 1);
  await s.idle();
  s.backing('B').faults.each = () => 'hold';
  const writing = s.wStar('A', COLD);
  await s.until('C has it', () => s.onDisk('C', COLD) === writing.tag);
  s.crash('A');
  await s.noticed('B-A');
  await s.noticed('C-A');
  await s.pass(1_000);
  s.flow('B');
  await s.reach('B:UpToDate', 'C:UpToDate');
  await s.until('B has it', () => s.joined('B-C') && s.onDisk('B', COLD) === writing.tag);
  await s.up('A');
});

hazard('R-188', 'a frozen Primary knows that a peer which lost power may lack what no barrier ack covers', 'A(P) B C(d)',
  { slots: 1, net: { fencingPolicy: 2 } }, async (s) => {
    s.helperSays('A', 'fence-peer', 1);
    await s.reboot('B');
    await s.reach('B:UpToDate', 'A>B:UpToDate');
    s.stall('B', LowerOp.flush);
    await s.ended(...Array.from({ length: 20 }, (_, block) => s.wStar('A', block, { fua: false })));
    s.crash('B');
    await s.noticed('A-B');
    s.sever('A-B');
    await s.up('B');
    await s.reach('B>C:Connected', 'B:Outdated', 'A:frozen');
    s.heal('A-B');
    await s.reach('B:UpToDate', 'A>B:UpToDate');
    await s.idle();
    s.expectSame('A', 'B');
  });

hazard('R-202', 'a target does not end before its source has got what was frozen for it', 'A(d,P) B C',
  { resource: { quorum: MAJORITY, onNoQuorum: SUSPEND, onNoData: 1 } }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    await s.drop('A-B', 'B-C');
    for (let block = 1; block < 5; block++) await s.w('A', block);
    await s.idle();
    s.stall('B');
    await s.joining('B-C');
    await s.reach('B>C:SyncTarget');
    await s.drop('B-C');
    s.flow('B');
    s.sever('A-C');
    const w = s.wStar('A', 0);
    await s.noticed('A-C');
    await s.con('A-B');
    await s.con('B-C');
    await s.pass(2_000);
    await s.con('A-C');
    await s.ended(w);
  });

hazard('R-341', 'a target that is told of a block after it has said that nothing is left gets that block before it is good', 'A(P) B', slow, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  await s.joining('A-B');
  await s.reach('B>A:SyncTarget');
  const answer = s.hold('A>B', 'P_PING_ACK');
  await s.caught(answer);
  s.scribble('B', 19);
  const { io } = s.resource('A').peerDevice(0, s.player('B').id);
  s.member('A').node.life!.turn(() => {
    io.device.bits.set(io, 19 * 8, 4096);
    io.connection.queueOutOfSync(io, 19 * 8, 4096);
    io.device.resource.wakeSenders();
  });
  await s.until('B knows', () => s.bits('B>A') > 0);
  answer.release();
  await s.reach('B:UpToDate');
  s.expectSame('A', 'B');
});

hazard('R-342', 'blocks that differ since the peer was told that there are none are not cleared as the two meet as equals', 'A(P) B',
  { resource: { quorum: ALL, onNoQuorum: 0 }, end: 'as told' }, async (s) => {
    await s.w('A', 1);
    await s.idle();
    s.stall('A');
    s.sever('A-B');
    const write = s.wStar('A', 1);
    await s.noticed('A-B');
    const word = s.hold('B>A', 'P_STATE');
    await s.joining('A-B');
    await s.caught(word);
    s.flow('A');
    await s.ended(write);
    expect(s.bits('A>B')).toBe(1);
    word.release();
    await s.reach('A-B:Established', 'B:UpToDate');
    differencesAreKnown(s, 'A-B');
    await s.until('it is synced', () => s.bits('A>B') === 0);
    s.expectSame('A', 'B');
  });
