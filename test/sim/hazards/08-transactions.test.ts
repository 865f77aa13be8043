// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 8: two-phase commit, roles, the state engine. */
import { expect } from 'vitest';
import type { Story } from '../../../src/sim/story/story.ts';
import { hazard } from './hazard.ts';

const noTransaction = (s: Story, ...names: readonly string[]): boolean => names.every((name) => !s.alive(name) || s.resource(name).view.twopc === null);

hazard('H-184', 'a connect whose PREPARE did not go out on that connection fails', 'A(P) B', {}, async (s) => {
  await s.disc('A-B');
  await s.w('A');
  const prepare = s.hold('A-B', 'P_TWOPC_PREPARE');
  await s.joining('A-B');
  await s.caught(prepare);
  await s.reset('A-B');
  prepare.release();
  expect(s.repl('A-B')).toBe('Off');
  expect(s.disk('A')).toBe('UpToDate');
  expect((await s.w('A')).errno).toBe(0);
});

hazard('H-185', 'who took part in a transaction that its owner gave up hears of the end', 'A B C(d)', {}, async (s) => {
  s.sever('A-B');
  let down = false;
  void s.setup('A').down('r0').then(() => { down = true; });
  await s.until('down', () => down, 60_000);
  await s.until('nobody holds a transaction', () => noTransaction(s, 'B', 'C'), 35_000);
  const from = s.cluster.world.nowMs;
  await s.promote('B');
  expect(s.cluster.world.nowMs - from).toBeLessThan(5_000);
  await s.demote('B');
});

hazard('H-186', 'a link that dies between the phases: others carry the abort', 'A B C', {}, async (s) => {
  await s.cut('A-B');
  const yes = s.hold('A-B', 'P_TWOPC_YES');
  await s.joining('A-B');
  await s.caught(yes);
  s.sever('A-B');
  yes.release();
  await s.until('no transaction is left', () => noTransaction(s, 'A', 'B', 'C'), 35_000);
  await s.promote('C');
  await s.w('C');
  await s.demote('C');
});

hazard('H-187', 'a peer that died silently holds a transaction no longer than its ping', 'A B C', {}, async (s) => {
  s.crash('C');
  const from = s.cluster.world.nowMs;
  await s.promote('A');
  expect(s.cluster.world.nowMs - from).toBeLessThan(5_000);
  await s.w('A');
});

hazard('H-189', 'a ring: a transaction that comes on two ways is answered once each', 'A B C', {}, async (s) => {
  for (const name of ['A', 'B', 'C']) {
    await s.promote(name);
    await s.w(name);
    await s.demote(name);
  }
  expect(noTransaction(s, 'A', 'B', 'C')).toBe(true);
});

hazard('H-190', 'a second transaction waits for the end of the first one', 'A B C', {}, async (s) => {
  await s.disc('A-B');
  await s.disc('A-C');
  const commit = s.hold('A>C', 'P_TWOPC_COMMIT');
  await s.joining('A-B');
  await s.joining('A-C');
  await s.pass(2_000);
  commit.release();
  await s.con('A-B', 'A-C');
});

hazard('H-191', 'the initiator of a connect dies: the other one is free again', 'A B C', {}, async (s) => {
  await s.cut('A-B');
  const commit = s.hold('A-B', 'P_TWOPC_COMMIT');
  await s.joining('A-B');
  await s.caught(commit);
  s.crash('A');
  commit.release();
  await s.noticed('A-C');
  await s.until('no transaction is left', () => noTransaction(s, 'B', 'C'), 35_000);
  await s.promote('B');
  await s.w('B');
  await s.demote('B');
});

hazard('H-192', 'P_STATE after an aborted connect connects nothing', 'A B', {}, async (s) => {
  await s.cut('A-B');
  const state = s.hold('B>A', 'P_STATE');
  await s.joining('A-B');
  await s.caught(state);
  await s.pass(12_000);
  state.release();
  await s.con('A-B');
  expect(s.is('A-B:Connected')).toBe(true);
});

hazard('H-193', 'a second set of UUIDs in a hurry does not change the result of the handshake', 'A(P) B C', {}, async (s) => {
  await s.cut('A-B', 'B-C');
  await s.w('A');
  const commit = s.hold('A-B', 'P_TWOPC_COMMIT');
  await s.joining('A-B');
  await s.joining('B-C');
  await s.pass(3_000);
  commit.release();
  await s.con('A-B', 'B-C');
});

hazard('H-194', 'what is left of a first attempt does not complete the second', 'A B C', {}, async (s) => {
  await s.cut('A-B', 'A-C');
  const no = s.hold('A-B', 'P_TWOPC_YES');
  await s.joining('A-B');
  await s.joining('A-C');
  await s.caught(no);
  await s.reset('A-B');
  no.release();
  await s.con('A-B', 'A-C');
  expect(s.repl('A-B')).toBe('Established');
});

hazard('H-195', 'two disks that are attached at the same moment: both ends agree', 'A B', { end: 'as told' }, async (s) => {
  await s.promote('A');
  await s.w('A');
  await s.demote('A');
  await s.detach('A');
  await s.detach('B');
  const both = [s.attach('A'), s.attach('B')];
  await Promise.all(both);
  await s.reach('A:UpToDate', 'B:UpToDate', 'A-B:Established');
  s.expectSame('A', 'B');
});

hazard('H-198', 'three race to promote, one reads for a moment: one wins, nobody waits two minutes', 'A B C', {}, async (s) => {
  const from = s.cluster.world.nowMs;
  const codes = await Promise.all(['A', 'B', 'C'].map((name) => s.setup(name).primary('r0')).map((a) => s.code(a)));
  expect(codes.filter((code) => code > 0)).toHaveLength(1);
  expect(s.cluster.world.nowMs - from).toBeLessThan(40_000);
  for (const name of ['A', 'B', 'C']) if (s.isPrimary(name)) await s.demote(name);
});

hazard('H-199', 'a volume that only one node has keeps nobody from anything', 'A B', {}, async (s) => {
  await s.ok(s.setup('A').newMinor('r0', 900, 5));
  await s.pass(500);
  await s.promote('B');
  await s.w('B');
  await s.demote('B');
  await s.detach('B');
  await s.attach('B');
});

hazard('H-204', 'two promotions in different corners: one of them', 'A B C', { links: 'A-B B-C' }, async (s) => {
  const codes = await Promise.all(['A', 'C'].map((name) => s.code(s.setup(name).primary('r0'))));
  expect(codes.filter((code) => code > 0).length).toBeLessThan(2);
  const primary = ['A', 'C'].find((name) => s.isPrimary(name));
  if (primary) {
    expect(await s.mayPromote(primary === 'A' ? 'C' : 'A')).toBeLessThan(0);
    await s.demote(primary);
  }
});

hazard('H-205', 'both ends of a split brain know it', 'A B', { end: 'as told', expected: ['Split-Brain'] }, async (s) => {
  await s.cut('A-B');
  for (const name of ['A', 'B']) {
    await s.promote(name, true);
    await s.w(name, 3, { doomed: true });
    await s.demote(name);
  }
  await s.joining('A-B');
  await s.reach('A-B:StandAlone');
  for (const name of ['A', 'B']) expect(s.helpers(name)).toContain('split-brain');
});

hazard('H-206', 'two Primaries that are split: handled as split brain, not refused for ever', 'A B', { end: 'as told', expected: ['Split-Brain'] }, async (s) => {
  await s.cut('A-B');
  for (const name of ['A', 'B']) {
    await s.promote(name, true);
    await s.w(name, 3, { doomed: true });
  }
  await s.joining('A-B');
  await s.reach('A-B:StandAlone');
});

hazard('H-208', 'a forwarder that loses the initiator aborts what it has forwarded', 'A B C', { links: 'A-B B-C' }, async (s) => {
  const prepare = s.hold('B>C', 'P_TWOPC_PREPARE');
  void s.setup('A').primary('r0');
  await s.caught(prepare);
  s.crash('A');
  prepare.release();
  await s.noticed('A-B');
  await s.until('no transaction is left', () => noTransaction(s, 'B', 'C'), 35_000);
});

hazard('H-209', 'a long empty transaction holds up nothing else', 'A(P) B C', {}, async (s) => {
  const yes = s.hold('B-C', 'P_TWOPC_YES');
  s.crash('A');
  await s.caught(yes);
  await s.pass(200);
  for (const x of ['B', 'C']) expect(s.resource(x).worker.idle).toBe(true);
  yes.release();
});
