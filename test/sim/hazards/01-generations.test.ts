// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 1: generation identifiers, their creation, rotation, history and comparison. */
import { expect } from 'vitest';
import { hazard } from './hazard.ts';

const quorum = { quorum: 1025 };
/** Twenty blocks a second. */
const slow = { peerDevice: { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 } };
const majority = { quorum: 1024 };

hazard('H-001', 'the new current UUID is stable before the first write of its generation', 'A(P) B', {}, async (s) => {
  const x0 = s.uuid('A');
  await s.cut('A-B');
  await s.w('A');
  await s.reboot('A');
  expect(s.uuid('A')).not.toBe(x0);
  await s.con('A-B');
});

hazard('H-002', 'a generation that could not be written is none', 'A(P) B', {}, async (s) => {
  const data = s.dataSectors;
  const old = s.uuid('A');
  s.backing('A').faults.each = (op, sector) => (op !== 0 && sector >= data ? 'fail' : null);
  await s.cut('A-B');
  const w = s.wStar('A');
  await s.reach('A:Diskless');
  await s.ended(w);
  s.flow('A');
  expect(w.errno).not.toBe(0);
  expect(s.uuid('A')).toBe(old);
  await s.pass(100);
  await s.attach('A');
});

hazard('H-003', 'a new generation is made only after all connected peers have answered a ping', 'A(P) B C',
  { resource: { ...majority, onNoQuorum: 0 } }, async (s) => {
    const x0 = s.uuid('A');
    await s.reset('A-C');
    s.sever('A-B', 'A-C');
    const w = s.wStar('A');
    await s.noticed('A-B');
    await s.ended(w);
    expect(w.errno).not.toBe(0);
    expect(s.uuid('A')).toBe(x0);
    await s.reach('B:UpToDate', 'C:UpToDate');
    await s.promote('B');
    await s.w('B');
    await s.demote('A');
    await s.con('A-B', 'A-C');
  });

hazard('H-004', 'a second loss during the ping of the first one is not forgotten', 'A(P) B C', { resource: majority }, async (s) => {
  const x0 = s.uuid('A');
  await s.cut('A-B');
  const pong = s.hold('C>A', 'P_PING_ACK');
  const w = s.wStar('A');
  await s.caught(pong);
  await s.cut('A-C');
  await s.reach('A:frozen');
  pong.release();
  expect(s.uuid('A')).toBe(x0);
  await s.con('A-B');
  await s.ended(w);
  expect(s.uuid('A')).not.toBe(s.uuid('C'));
  expect(s.uuid('B')).toBe(s.uuid('A'));
  await s.con('A-C');
});

hazard('H-005', 'a write that comes while I/O is frozen makes no generation', 'A(P) B', { resource: quorum }, async (s) => {
  const x0 = s.uuid('A');
  await s.cut('A-B');
  await s.reach('A:frozen');
  const w = s.wStar('A');
  await s.pass(5_000);
  expect(s.uuid('A')).toBe(x0);
  expect(w.errno).toBe(-1);
  await s.con('A-B');
  await s.ended(w);
});

hazard('H-006', 'writes that were frozen without quorum resume in a new generation', 'A(P) B C', { resource: majority }, async (s) => {
  s.sever('A-B', 'A-C');
  const w = s.wStar('A');
  await s.noticed('A-B');
  await s.noticed('A-C');
  await s.reach('A:frozen');
  const x0 = s.uuid('C');
  await s.con('A-B');
  await s.ended(w);
  expect(s.uuid('A')).not.toBe(x0);
  expect(s.uuid('B')).toBe(s.uuid('A'));
  await s.con('A-C');
});

hazard('H-007', 'quorum by option, and another loss before the thaw is done: the freeze ends', 'A(P) B C', { resource: quorum }, async (s) => {
  await s.cut('A-B');
  await s.reach('A:frozen');
  const w = s.wStar('A');
  s.sever('A-C');
  await s.ok(s.setQuorum('A', 1));
  await s.ended(w);
  await s.noticed('A-C');
  await s.w('A');
  expect(s.frozen('A')).toBe(false);
});

hazard('H-008', 'a demotion forgets that a generation was due', 'A(P) B', {}, async (s) => {
  const x0 = s.uuid('A');
  await s.cut('A-B');
  await s.demote('A');
  await s.pass(2_000);
  expect(s.uuid('A')).toBe(x0);
  await s.promote('B');
  await s.w('B');
});

hazard('H-009', 'a peer whose disk failed a write is left behind at once, without a further write', 'A(P) B', {}, async (s) => {
  const x0 = s.uuid('A');
  s.fail('B');
  const w = s.wStar('A');
  await s.reach('B:Diskless');
  await s.ended(w);
  await s.until('a new generation', () => s.uuid('A') !== x0);
  s.flow('B');
  s.crash('A');
  await s.attach('B');
  await s.up('A');
});

hazard('H-010', 'no generation without access to good data', 'A(P) B', { net: { allowRemoteRead: false }, resource: { onNoData: 1 } }, async (s) => {
  await s.w('A');
  await s.idle();
  const old = s.uuid('B');
  await s.detach('A', true);
  const w = s.wStar('A');
  await s.pass(1_000);
  expect(w.errno).toBe(-1);
  expect([s.uuid('A'), s.uuid('B')]).toEqual([old, old]);
  await s.attach('A');
});

hazard('H-011', 'a diskless node makes one generation for an absent peer, not one at each promotion', 'A(d) B C', {}, async (s) => {
  await s.down('C');
  const x0 = s.uuid('B');
  await s.promote('A');
  await s.w('A');
  const x1 = s.uuid('B');
  expect(x1).not.toBe(x0);
  await s.demote('A');
  for (let i = 0; i < 3; i++) {
    await s.promote('A');
    await s.w('A');
    await s.demote('A');
  }
  expect(s.uuid('B')).toBe(x1);
  await s.up('C');
});

hazard('H-012', 'a new generation is the base of all who got it together', 'A(d) B C', {}, async (s) => {
  await s.cut('B-C');
  await s.promote('A');
  await s.w('A');
  await s.isolate('B');
  await s.w('A');
  await s.demote('A');
  await s.con('B-C');
});

hazard('H-013', 'the oldest of three finds its ancestor in the middle one, which has caught up', 'A(P) B C', {}, async (s) => {
  await s.down('C');
  await s.w('A');
  await s.down('B');
  await s.w('A');
  await s.up('B');
  await s.until('B has caught up', () => s.is('B:UpToDate') && s.bits('A>B') === 0);
  s.sever('A-C');
  await s.up('C');
  await s.until('C has got what B has', () => s.is('B-C:Established') && s.onDisk('C', 2) === s.onDisk('B', 2));
});

hazard('H-014', 'a new generation without weak nodes leaves the old one in the history', 'A B(P) C', { net: { fencingPolicy: 1 } }, async (s) => {
  const x0 = s.uuid('A');
  s.helperSays('B', 'fence-peer', 3);
  await s.cut('A-C');
  await s.cut('B-C');
  await s.w('B');
  await s.until('A follows', () => s.uuid('A') !== x0);
  await s.con('A-C');
  await s.con('B-C');
});

hazard('H-015', "a peer's slot for me is not my ancestor", 'A(P) B C', { resource: majority }, async (s) => {
  await s.isolate('A');
  await s.reach('B:UpToDate', 'C:UpToDate');
  await s.demote('A');
  await s.promote('B');
  await s.w('B');
  await s.cut('B-C');
  const w = s.wStar('B');
  await s.pass(200);
  await s.con('B-C');
  await s.ended(w);
  await s.con('A-C');
});

hazard('H-016', 'a slot that a peer keeps for a third node does not enter the own history', 'A B C D(d)', {}, async (s) => {
  await s.cut('A-B', 'A-D');
  await s.promote('D');
  await s.w('D');
  await s.cut('B-C');
  await s.demote('D');
  await s.until('A has caught up', () => s.is('A:UpToDate') && s.uuid('A') === s.uuid('C'));
  await s.cut('A-C');
  await s.promote('D');
  await s.w('D');
  await s.demote('D');
  await s.con('A-B');
});

hazard('H-017', 'who is resynced takes over the history of its source', 'A B C', {}, async (s) => {
  await s.down('B');
  await s.detach('A');
  s.replaceDisk('A');
  await s.promote('C');
  await s.w('C');
  await s.attach('A');
  await s.until('A is resynced', () => s.is('A:UpToDate'));
  await s.demote('C');
  await s.down('C');
  await s.up('B');
  await s.con('A-B');
  await s.until('B is resynced', () => s.is('B:UpToDate') && s.is('A>B:Established'));
});

hazard('H-018', 'two disks that were never related share no ancestor', 'A B', { start: 'down', end: 'as told', expected: ['Unrelated data'] }, async (s) => {
  for (const name of ['A', 'B']) {
    await s.up(name, { connect: false });
    await s.promote(name, true);
    await s.w(name, 1);
    await s.demote(name);
  }
  const before = [s.onDisk('A', 1), s.onDisk('B', 1)];
  await s.joining('A-B');
  await s.reach('A-B:StandAlone');
  expect(s.logged('A', 'Unrelated data') + s.logged('B', 'Unrelated data')).toBeGreaterThan(0);
  expect([s.onDisk('A', 1), s.onDisk('B', 1)]).toEqual(before);
});

hazard('H-019', 'each in the history of the other: no resync, rather than two targets', 'A B', { end: 'as told', expected: ['Unrelated data'] }, async (s) => {
  await s.down('A');
  await s.down('B');
  const [a, b] = [0xaaaa_0000n, 0xbbbb_0000n];
  s.editMd('A', (sb) => ({ ...sb, currentUuid: a, historyUuids: [b, ...sb.historyUuids.slice(1)], peers: sb.peers.map((p) => ({ ...p, bitmapUuid: 0n })) }));
  s.editMd('B', (sb) => ({ ...sb, currentUuid: b, historyUuids: [a, ...sb.historyUuids.slice(1)], peers: sb.peers.map((p) => ({ ...p, bitmapUuid: 0n })) }));
  await s.up('A');
  await s.up('B');
  await s.reach('A-B:StandAlone');

  for (const name of ['A', 'B']) expect(s.logged(name, 'uuid_compare()=target') + s.logged(name, 'uuid_compare()=source')).toBe(0);
});

hazard('H-020', 'a split brain with an ancestor in the histories alone is solved by a full sync', 'A B', { expected: ['Split-Brain'] }, async (s) => {
  await s.down('A');
  await s.down('B');
  const x0 = 0xcccc_0000n;
  for (const [name, current] of [['A', 0xaaaa_0000n], ['B', 0xbbbb_0000n]] as const) {
    s.editMd(name, (sb) => ({ ...sb, currentUuid: current, historyUuids: [x0, ...sb.historyUuids.slice(1)], peers: sb.peers.map((p) => ({ ...p, bitmapUuid: 0n })) }));
  }
  s.scribble('B', 0);
  await s.up('A');
  await s.up('B');
  await s.reach('A-B:StandAlone');
  await s.ok(s.setup('A').connect('r0', s.player('B').id));
  await s.joining('A-B', 'B');
  await s.con('A-B');
});

hazard('H-021', 'who is being resynced shows the generation that it will have', 'A(P) B C', {}, async (s) => {
  await s.isolate('A');
  for (let block = 0; block < 40; block++) await s.w('A', block);
  await s.cut('B-C');
  const data = s.hold('A>B', 'P_RS_DATA_REPLY');
  await s.joining('A-B');
  await s.caught(data);
  await s.con('B-C');
  await s.pass(2_000);
  expect(s.is('B>C:SyncTarget')).toBe(false);
  expect(s.is('B:UpToDate')).toBe(false);
  data.release();
  await s.con('A-C');
});

hazard('H-022', 'finished resyncs are looked for with the resolved UUID', 'A(P) B C', {}, async (s) => {
  await s.detach('B');
  await s.detach('C');
  await s.w('A');
  const data = s.hold('A>B', 'P_RS_DATA_REPLY');
  await s.attach('B');
  await s.caught(data);
  await s.attach('C');
  await s.pass(1_000);
  data.release();
});

hazard('H-023', 'where disk states decide, the bitmap is chosen by the UUID that the target presents', 'A(P) B C', { start: 'day-0', slots: 3 }, async (s) => {
  const x0 = s.uuid('A');
  await s.w('A', 1);
  await s.down('C');
  await s.w('A', 2);
  s.recreateAt('C', x0);
  s.sever('A-C');
  const data = s.hold('B>C', 'P_RS_DATA_REPLY');
  await s.up('C');
  await s.caught(data);
  await s.con('A-C');
  await s.pass(1_000);
  data.release();
});

hazard('H-024', 'a resync that starts paused rotates the current UUID too, and UUID 0 matches no slot', 'A(P) B C', {}, async (s) => {
  await s.isolate('A');
  await s.cut('B-C');
  for (let block = 0; block < 20; block++) await s.w('A', block);
  const data = s.hold('A>B', 'P_RS_DATA_REPLY');
  await s.joining('A-B');
  await s.caught(data);
  await s.con('B-C');
  data.release();
  await s.until('B is resynced', () => s.is('B:UpToDate'));
  await s.con('A-C');
});

hazard('H-029', 'a full sync that is cut goes on where it was', 'A B', { ...slow, start: 'created' }, async (s) => {
  await s.promote('A', true);
  let left = Infinity;
  for (let cuts = 0; cuts < 4; cuts++) {
    await s.reach('B>A:SyncTarget');
    await s.pass(300);
    const now = s.bits('B>A');
    expect(now).toBeLessThan(left);
    left = now;
    await s.reset('A-B');
    await s.until('again', () => s.joined('A-B'));
  }
});

hazard('H-032', 'the first write of a day-0 volume always makes a generation', 'A(P) B C', { start: 'day-0' }, async (s) => {
  const x0 = s.uuid('A');
  await s.w('A');
  expect(s.uuid('A')).not.toBe(x0);
  await s.down('B');
  s.recreateAt('B', x0);
  await s.up('B');
  await s.con('A-B');
});

hazard('H-033', 'new-current-uuid --clear-bitmap forgets the bases of all nodes, also of those that are not configured', 'A B', { end: 'as told', expected: ['Unrelated data'] }, async (s) => {
  const x0 = s.uuid('B');
  await s.down('B');
  await s.promote('A');
  await s.w('A', 3);
  await s.demote('A');
  expect(s.bmUuid('A>B') & ~1n).toBe(x0);
  await s.delPeer('A', 'B');
  await s.newCurrentUuid('A', { clearBm: true });
  await s.newPeer('A', 'B');
  expect(s.bmUuid('A>B') & ~1n).not.toBe(x0);
  await s.up('B');
  await s.ok(s.setup('A').connect('r0', s.player('B').id));
  await s.pass(5_000);
  if (s.is('B:UpToDate') && s.is('A-B:Connected')) expect(s.onDisk('B', 3)).toBe(s.onDisk('A', 3));
});

hazard('H-034', 'a hint about day 0 is not taken into the history: the second try decides as the first', 'A(P) B', { start: 'day-0', slots: 1 }, async (s) => {
  const x0 = s.uuid('A');
  await s.w('A');
  await s.down('B');
  s.recreateAt('B', x0);
  const uuids = s.hold('A>B', 'P_STATE');
  await s.up('B');
  await s.lose(uuids, 'A-B');
  await s.con('A-B');
});

hazard('H-035', 'protocol A: the crashed Primary is the source, what it acknowledged is not rolled back', 'A(P) B', { protocol: 'A' }, async (s) => {
  const data = s.hold('A>B', 'P_DATA');
  await s.w('A');
  await s.caught(data);
  s.crash('A');
  await s.noticed('A-B');
  data.release();
  await s.up('A');
  await s.con('A-B');
});

hazard('H-036', 'who only applied its activity log is not a crashed Primary', 'A(P) B', {}, async (s) => {
  s.crash('A');
  await s.noticed('A-B');
  s.crash('B');
  await s.up('A');
  await s.promote('A');
  await s.w('A');
  await s.up('B');
});

hazard('H-037', 'a crashed Primary that returns while its survivor exchanges bitmaps with another', 'A(P) B C', {}, async (s) => {
  s.crash('A');
  await s.reach('B:UpToDate', 'C:UpToDate');
  await s.cut('B-C');
  await s.promote('C');
  await s.w('C');
  const bitmap = s.hold('C>B', 'P_COMPRESSED_BITMAP');
  await s.joining('B-C');
  await s.caught(bitmap);
  expect(s.is('B>C:WFBitMapT')).toBe(true);
  s.sever('A-C');
  await s.up('A');
  await s.pass(3_000);
  bitmap.release();
});

hazard('H-039', 'lost quorum without a write: no resync', 'A(P) B', { resource: quorum }, async (s) => {
  await s.cut('A-B');
  await s.reach('A:frozen');
  const before = s.arrived('A-B', 'P_RS_DATA_REPLY');
  await s.con('A-B');
  await s.pass(2_000);
  expect(s.arrived('A-B', 'P_RS_DATA_REPLY')).toBe(before);
});

hazard('H-041', 'two targets meet while each ends its resync: both decide on what was sent', 'A(P) B C', slow, async (s) => {
  await s.cut('A-B', 'A-C', 'B-C');
  for (let block = 0; block < 100; block++) s.wStar('A', block);
  await s.joining('A-B');
  await s.joining('A-C');
  await s.reach('B>A:SyncTarget', 'C>A:SyncTarget');
  const state = s.hold('B>C', 'P_STATE');
  await s.joining('B-C');
  await s.caught(state);
  await s.until('both have ended', () => !s.is('B>A:SyncTarget') && !s.is('C>A:SyncTarget'));
  state.release();
  await s.con('B-C');
});

for (const cast of ['A(P) B', 'B A(P)']) {
  hazard('H-042', `no generation is made between the exchange of UUIDs and the commit of the connect (${cast})`, cast, {}, async (s) => {
    await s.cut('A-B');
    const commit = s.hold('A-B', 'P_TWOPC_COMMIT');
    await s.joining('A-B');
    await s.caught(commit);
    const x = s.uuid('A');
    const w = s.wStar('A');
    await s.pass(50);
    expect(s.uuid('A')).toBe(x);
    commit.release();
    await s.con('A-B');
    await s.ended(w);
  });
}

hazard('H-044', 'a promotion that waited for a demotion and two disconnects makes no generation of its own', 'A(P) B C', {}, async (s) => {
  let code = 0;
  const asked = s.patient(() => s.setup('C').primary('r0')).then((c) => { code = c; });
  await s.demote('A');
  await s.disc('A-B');
  await s.disc('A-C');
  await s.until('the promotion is answered', () => code !== 0);
  await asked;
  if (code < 0) await s.promote('C');
  else await s.openFor('C');
  await s.w('C');
  await s.until('B follows', () => s.uuid('B') === s.uuid('C'));
  await s.con('A-B', 'A-C');
});

hazard('H-045', 'after a skipped initial sync the peer counts as being of that generation', 'A B', { start: 'day-0' }, async (s) => {
  await s.detach('A');
  await s.stays(1_000, 'A>B:UpToDate', 'B:UpToDate');
  await s.attach('A');
});
