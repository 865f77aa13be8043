// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 13: meta-data, the activity log, starvation. */
import { expect } from 'vitest';
import { hazard } from './hazard.ts';

const wide = { diskSectors: 90 * 8192 };

hazard('H-273', 'a Secondary that logs no activity marks what was under way for a node that joins', 'A(P) B C', { slots: 3 }, async (s) => {
  await s.down('C');
  for (let i = 0; i < 30; i++) s.wStar('A', i);
  await s.pass(0.6);
  await s.reboot('B');
  await s.reach('B:UpToDate', 'A-B:Established');
  await s.up('C');
});

hazard('H-274', 'an epoch over more extents than the log of the peer holds ends', 'A(d,P) B', { ...wide, disk: { alExtents: 67 } }, async (s) => {
  const writes = Array.from({ length: 85 }, (_, i) => s.wStar('A', i * 1024, { fua: false }));
  await s.ended(...writes);
  expect(s.arrived('B>A', 'P_CONFIRM_STABLE')).toBeGreaterThan(0);
});

hazard('H-275', 'a full activity log is waited for: no write goes without its entry', 'A(P) B', { ...wide, disk: { alExtents: 67 } }, async (s) => {
  await s.disc('A-B');
  const writes = Array.from({ length: 84 }, (_, i) => s.wStar('A', i * 1024));
  await s.ended(...writes);
  s.crash('A');
  await s.up('A');
  await s.con('A-B');
});
