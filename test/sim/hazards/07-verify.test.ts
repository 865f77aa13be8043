// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 7: online verify against application I/O. */
import { expect } from 'vitest';
import { Repl } from '../../../src/state/states.ts';
import type { Story } from '../../../src/sim/story/story.ts';
import { hazard } from './hazard.ts';

const verify = { net: { verifyAlg: 'sha1' } };

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
