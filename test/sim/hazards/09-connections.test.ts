// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 9: connecting, disconnecting, transport. */
import { expect } from 'vitest';
import { sockaddr } from '../../../src/sim/drbdsetup.ts';
import { hazard } from './hazard.ts';

hazard('H-210', 'nothing of a dead connection is sent into the next', 'A(P) B', {}, async (s) => {
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 10; i++) s.wStar('A', i, { blocks: 8 });
    await s.pass(0.2);
    await s.reset('A-B');
    await s.con('A-B');
  }
  for (const name of ['A', 'B']) expect(s.logged(name, 'Wrong magic')).toBe(0);
});

hazard('H-212', 'an error of a dead incarnation fails no later one', 'A(P) B', {}, async (s) => {
  for (let i = 0; i < 50; i++) s.wStar('A', i);
  await s.pass(0.3);
  await s.reset('A-B');
  for (let i = 0; i < 50; i++) s.wStar('A', i);
  const failures = s.logged('A', '-> NetworkFailure') + s.logged('A', '-> BrokenPipe');
  await s.con('A-B');
  expect(s.logged('A', '-> NetworkFailure') + s.logged('A', '-> BrokenPipe')).toBe(failures);
});

hazard('H-214', 'a link that dies between features and transaction is tried again', 'A B', {}, async (s) => {
  await s.cut('A-B');
  const sizes = s.hold('A-B', 'P_SIZES');
  await s.joining('A-B');
  await s.caught(sizes);
  await s.reset('A-B').catch(() => {});
  sizes.release();
  await s.pass(2_000);
  expect(s.is('A>B:StandAlone') || s.is('B>A:StandAlone')).toBe(false);
});

hazard('H-215', 'a lost connection is never StandAlone', 'A(P) B C', {}, async (s) => {
  for (let i = 0; i < 6; i++) {
    await s.reset(i % 2 ? 'A-B' : 'A-C');
    await s.pass(50 * i);
  }
  for (const link of s.pairs()) expect(s.is(`${link.replace('-', '>')}:StandAlone`)).toBe(false);
});

hazard('H-217', 'two paths that cannot be told apart are refused', 'A B C', {}, async (s) => {
  const code = await s.code(s.setup('A').newPath('r0', s.player('C').id, sockaddr(s.member('A').node.address, 7000),
    sockaddr(s.member('B').node.address, 7123)));
  expect(code).not.toBe(101);
});

hazard('H-218', 'both dial at the same time: one connection', 'A B', { start: 'down' }, async (s) => {
  await s.up('A', { connect: false });
  await s.up('B', { connect: false });
  await Promise.all(['A', 'B'].map((name) => s.ok(s.setup(name).connect('r0', s.player(name === 'A' ? 'B' : 'A').id))));
  await s.con('A-B');
  await s.promote('A', true);
  await s.demote('A');
});

hazard('H-219', 'pings of transactions are not taken for those of the idle timer', 'A B', { net: { pingInt: 1 } }, async (s) => {
  for (let i = 0; i < 20; i++) {
    await s.promote('A');
    await s.pass(90);
    await s.demote('A');
  }
  await s.pass(20_000);
  for (const name of ['A', 'B']) expect(s.logged(name, 'PingAck did not arrive')).toBe(0);
});

hazard('H-222', 'the end of the control stream before the COMMIT is no failure', 'A(P) B', {}, async (s) => {
  const commit = s.hold('A>B', 'P_TWOPC_COMMIT');
  const gone = s.disc('A-B');
  await s.caught(commit);
  await s.pass(100);
  commit.release();
  await gone;
  await s.until('B knows', () => s.is('B>A:StandAlone') || s.is('B>A:Connecting') || s.is('B>A:TearDown'));
  expect(s.logged('B', 'NetworkFailure')).toBe(0);
});

hazard('H-223', 'a volume that is added to connected nodes one after the other comes up', 'A B(P) C', {}, async (s) => {
  const { members } = s.cluster;
  for (const m of members) {
    await s.ok(m.setup.newMinor('r0', s.cluster.minor(m.id, 1), 1));
    await s.pass(300);
  }
  await s.until('it is there on all links', () => s.cast.every((a) => s.cast.every((b) =>
    a.name === b.name || s.repl(`${a.name}>${b.name}`, 1) === 'Established')));
});

hazard('H-224', 'one connection a node id, however it is asked for', 'A B', {}, async (s) => {
  const [one, two] = await Promise.all([1, 2].map(() => s.code(s.setup('A').newPeer('r0', s.player('B').id, { name: 'x' }))));
  expect([one, two].every((code) => code !== 101)).toBe(true);
});

hazard('H-228', 'all packets vanish: a forced disconnect does not wait for the socket', 'A(P) B', {}, async (s) => {
  s.sever('A-B');
  for (let i = 0; i < 100; i++) s.wStar('A', i, { blocks: 4 });
  await s.pass(100);
  const from = s.cluster.world.nowMs;
  await s.disc('A-B', true);
  expect(s.cluster.world.nowMs - from).toBeLessThan(10_000);
});
