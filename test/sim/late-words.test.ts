// SPDX-License-Identifier: GPL-2.0-or-later
/** A node is judged by what it has told last, and its next word is on its way. */
import { expect } from 'vitest';
import { LowerOp } from '../../src/host/lower.ts';
import { hazard } from './hazards/hazard.ts';
import type { Story } from '../../src/sim/story/story.ts';

/** Super block and bitmap of a node wait, and with them what it tells of a new generation. */
function holdMeta(s: Story, name: string): void {
  const disk = s.backing(name);
  disk.faults.each = (op, sector) => (op === LowerOp.write && sector >= s.dataSectors ? 'hold' : null);
}

hazard('R-323', 'who is behind a diskless Primary is not good by an equal whose next word is late', 'A B(d,P) C', {}, async (s) => {
  await s.w('B', 1);
  await s.idle();
  await s.drop('A-B');
  await s.reach('A:Outdated');
  holdMeta(s, 'C');
  const writing = s.wStar('B', 2);
  await s.until('C is told', () => s.logged('C', 'received new current UUID') > 0);
  expect(s.peer('A>C').peerCurrentUuid & ~1n).toBe(s.uuid('A'));
  await s.joining('A-B');
  await s.reach('A>B:Connected');
  await s.stays(100, 'A:Outdated');
  s.flow('C');
  await s.reach('A:UpToDate');
  await s.ended(writing);
  expect(s.uuid('A')).toBe(s.uuid('C'));
});

hazard('R-324', 'a Primary whose disk becomes target of an Outdated one has shown what it has shown', 'A B(P) C', {}, async (s) => {
  await s.w('B', 1);
  await s.idle();
  await s.detach('B');
  await s.w('B', 3);
  await s.idle();
  await s.drop('A-B');
  await s.reach('A:Outdated');
  await s.w('B', 2);
  await s.idle();
  await s.drop('A-C');
  await s.joining('A-B');
  await s.reach('A>B:Connected');
  const shown = s.resource('B').deviceRow(0).exposedUuid;
  const word = s.hold('C>B', 'P_UUIDS110');
  const attached = s.attach('B');
  await s.caught(word);
  s.crash('C');
  await attached;
  await s.reach('B>A:SyncTarget');
  await s.reach('B>A:Established', 'B:Outdated');
  expect(s.resource('B').deviceRow(0).exposedUuid).toBe(shown);
  expect(s.pdsk('B>A')).toBe('Outdated');
  await s.up('C');
  await s.con('A-B', 'A-C', 'B-C');
  await s.reach('A:UpToDate', 'B:UpToDate');
  await s.r('B', 2);
});
