// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 14, and what else belongs to it: a congested connection pulls ahead. */
import { expect } from 'vitest';
import { LowerOp } from '../../../src/host/lower.ts';
import { OnCongestion } from '../../../src/io/congestion.ts';
import type { Story } from '../../../src/sim/story/story.ts';
import { hazard } from './hazard.ts';

/** Eight blocks under way are too many. A ping may wait. */
const pullAhead = { protocol: 'A', net: { onCongestion: OnCongestion.pullAhead, congFill: 64, pingTimeo: 300 } } as const;
const slow = { cPlanAhead: 0, resyncRate: 80, cMaxRate: 80 };

/** B's disk stands still until A has pulled ahead. */
async function congest(s: Story, from = 0): Promise<void> {
  s.stall('B');
  for (let block = from; block < from + 12; block++) {
    s.wStar('A', block);
    await s.pass(2);
  }
  await s.reach('A>B:Ahead');
}

/** B has missed these blocks and is being synced. */
async function behind(s: Story, blocks: number): Promise<void> {
  await s.disc('A-B');
  for (let block = 0; block < blocks; block++) await s.w('A', block);
  await s.con('A-B');
  await s.reach('B>A:SyncTarget');
}

hazard('H-277', 'Ahead ends when all is acknowledged, though the own disk is the last', 'A(P) B', pullAhead, async (s) => {
  s.stall('B');
  s.backing('A').faults.each = (op, sector) => (op === LowerOp.write && sector >= 64 && sector < 128 ? 'hold' : null);
  for (let block = 0; block < 8; block++) await s.w('A', block);
  const late = s.wStar('A', 8);
  await s.reach('A>B:Ahead');
  for (let block = 0; block < 3; block++) await s.w('A', block);
  s.flow('B');
  await s.until('A is the source again', () => s.logged('A', 'Began resync as SyncSource') > 0);
  expect(late.errno).toBe(-1);
  s.flow('A');
  await s.ended(late);
});

hazard('H-278', 'a target asks for nothing while its source is Ahead', 'A(P) B', { ...pullAhead, peerDevice: slow }, async (s) => {
  await behind(s, 60);
  await s.until('the first blocks are there', () => s.arrived('B>A', 'P_RS_WRITE_ACK') > 0);
  const state = s.hold('A>B', 'P_STATE');
  await congest(s, 100);
  s.flow('B');
  await s.until('B hears of it', () => s.arrived('A>B', 'P_RS_CANCEL_AHEAD') > 0);
  const asked = s.arrived('B>A', 'P_RS_DAGTAG_REQ');
  await s.pass(700);
  expect(s.arrived('B>A', 'P_RS_DAGTAG_REQ') - asked).toBeLessThan(3);
  state.release();
});

hazard('H-279', 'a target that comes back from Behind ends what it had asked for before', 'A(P) B', { ...pullAhead, peerDevice: slow }, async (s) => {
  await behind(s, 60);
  for (let times = 0; times < 3; times++) {
    const request = s.hold('B>A', 'P_RS_DAGTAG_REQ');
    await s.caught(request);
    await congest(s, 100 + 20 * times);
    s.flow('B');
    await s.reach('B>A:Behind');
    await s.reach('B>A:SyncTarget');
    await s.pass(150);
    request.release();
    await s.pass(150);
    expect(s.is('A-B:Connected')).toBe(true);
  }
  await s.until('in sync', () => s.is('B:UpToDate'));
  expect(s.resource('B').peerDevice(0, s.player('A').id).io.rsPending).toBe(0);
});

hazard('H-280', 'a demotion does not wait for acks of what was only told', 'A(P) B', pullAhead, async (s) => {
  await congest(s);
  s.flow('B');
  await s.reach('B>A:Behind');
  await s.idle();
  for (let block = 20; block < 25; block++) await s.w('A', block);
  await s.demote('A');
  expect(s.is('A>B:Ahead')).toBe(true);
  expect(s.bits('A>B')).toBeGreaterThanOrEqual(5);
});

hazard('H-095', 'who is Behind does not become UpToDate by a resync that ends just then', 'A(P) B', { ...pullAhead, peerDevice: slow }, async (s) => {
  await behind(s, 60);
  const ping = s.hold('A>B', 'P_PING_ACK');
  await s.caught(ping);
  expect(s.bits('B>A')).toBe(0);
  await congest(s, 100);
  s.flow('B');
  await s.reach('B>A:Behind');
  ping.release();
  await s.stays(300, 'B>A:Behind', 'B:Inconsistent');
});

