// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 7: online verify against application I/O. */
import { expect } from 'vitest';
import { Cmd } from '../../../src/genl/ops.ts';
import { Repl } from '../../../src/state/states.ts';
import type { Story } from '../../../src/sim/story/story.ts';
import { hazard } from './hazard.ts';

const verify = { net: { verifyAlg: 'sha1' } };
/** 40 blocks a second. */
const slow = { ...verify, peerDevice: { cPlanAhead: 0, resyncRate: 160, cMaxRate: 160 } };

const io = (s: Story, link: string) => s.resource(link[0]!).peerDevice(0, s.player(link[2]!).id).io;

/** Both ends have left it, and hold nothing of it. */
async function ends(s: Story, link: string): Promise<void> {
  const both = [link, [...link].reverse().join('')].map((l) => l.replace('-', '>'));
  await s.until('verify ends', () => both.every((l) => s.peer(l).repl !== Repl.verifyS && s.peer(l).repl !== Repl.verifyT));
  await s.until('nothing is left of it', () => both.every((l) => io(s, l).rsPending === 0 && io(s, l).unacked === 0));
}

hazard('H-172', 'all replies that wait for a lost node are given up, each once', 'A B C(P)', verify, async (s) => {
  const late = s.hold('C>A', 'P_DATA');
  for (let block = 0; block < 8; block++) s.wStar('C', block);
  await s.caught(late);
  await s.pass(20);
  await s.verify('A-B');
  await s.until('replies wait', () => io(s, 'A-B').verifySource.waiting > 5);
  await s.drop('A-C');
  late.release();
  await ends(s, 'A-B');
  expect(s.device('A').io.intervals.count).toBe(0);
});

/** The Primary A comes back to C, which missed writes, while B verifies C. */
async function resyncInto(s: Story): Promise<void> {
  await s.drop('A-C');
  for (let block = 0; block < 100; block++) await s.w('A', block);
  await s.verify('B-C');
  await s.until('it runs', () => s.arrived('C>B', 'P_OV_DAGTAG_REPLY') > 2);
  await s.con('A-C');
}

hazard('H-177', 'a verify target whose disk becomes Inconsistent answers what it was asked', 'A(P) B C', slow, async (s) => {
  await resyncInto(s);
  await ends(s, 'B-C');
  expect(s.arrived('C>B', 'P_RS_CANCEL')).toBeGreaterThan(0);
});

hazard('H-178', 'each block of a verify counts once, also under writes', 'A(P) B', verify, async (s) => {
  for (let i = 0; i < 600; i++) s.cluster.world.at(i / 4, 'write', () => s.wStar('A', i * 37 % 1270));
  await s.verify('A-B');
  await ends(s, 'A-B');
  expect([io(s, 'A-B').verify.left, io(s, 'B-A').verify.left]).toEqual([0, 0]);
  expect(io(s, 'A-B').verify.skipped).toBeGreaterThan(0);
  await s.idle();
  expect([s.bits('A>B'), s.bits('B>A')]).toEqual([0, 0]);
});

for (const stop of [4_000, 4_008]) {
  hazard('H-179', `a verify to sector ${stop} asks for nothing behind it, and both ends leave it`, 'A(P) B', verify, async (s) => {
    await s.verify('A-B', { ovStartSector: 4_000, ovStopSector: stop });
    await ends(s, 'A-B');
    expect(s.arrived('A>B', 'P_OV_DAGTAG_REQ')).toBe(1);
    expect(s.logged('B', 'Online Verify start sector: 4000')).toBe(1);
  });
}

hazard('H-180', 'a verify leaves the disk states alone, and ends with its target', 'A(P) B C', slow, async (s) => {
  await resyncInto(s);
  await s.reach('C>A:SyncTarget', 'C:Inconsistent', 'B>C:Inconsistent', 'C>B:VerifyT');
  await s.detach('C');
  await ends(s, 'B-C');
  await s.attach('C');
});

hazard('Z-11', 'what a verify found is still known after a reconnect', 'A(P) B', verify, async (s) => {
  await s.w('A', 3);
  await s.idle();
  s.scribble('B', 3);
  await s.verify('A-B');
  await ends(s, 'A-B');
  expect(s.bits('A>B')).toBe(1);
  await s.disc('A-B');
  await s.con('A-B');
  await s.until('it is repaired', () => s.onDisk('B', 3) === s.onDisk('A', 3) && s.bits('A>B') === 0, 60_000);
});

hazard('Z-03', 'one of two Outdated disks is forced to be good: the other gets what it has', 'A(P) B', verify, async (s) => {
  await s.w('A', 3);
  await s.idle();
  s.scribble('B', 3);
  await s.verify('A-B');
  await ends(s, 'A-B');
  await s.demote('A');
  // Words of the Primary wait behind the helper of the verify: with them it could not be outdated.
  await s.pass(6_000);
  for (const name of ['A', 'B']) await s.ok(s.setup(name).plain(Cmd.OUTDATE, {}, s.minor(name)));
  expect([s.disk('A'), s.disk('B'), s.bits('A>B')]).toEqual(['Outdated', 'Outdated', 1]);
  await s.pass(100);
  // B is good by the promotion itself; A makes its generation before it hears so.
  const good = s.hold('B>A', 'P_STATE');
  await s.promote('A', true);
  good.release();
  await s.until('B has it', () => s.onDisk('B', 3) === s.onDisk('A', 3) && s.bits('A>B') === 0, 5_000);
});
