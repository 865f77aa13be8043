// SPDX-License-Identifier: GPL-2.0-or-later
/** Hazards 14: congestion, discards. */
import { expect } from 'vitest';
import { BioOp } from '../../../src/host/block.ts';
import { hazard } from './hazard.ts';

hazard('H-281', 'a discard ends with the same content on all disks', 'A(P) B', {}, async (s) => {
  for (let block = 0; block < 40; block++) await s.w('A', block);
  for (const [block, blocks] of [[1, 3], [7, 20], [30, 1]] as const) await s.w('A', block, { blocks, op: BioOp.discard });
  await s.idle();
  s.expectSame('A', 'B');
});

hazard('H-282', 'zeroes read as zero', 'A(P) B', {}, async (s) => {
  for (let block = 0; block < 10; block++) await s.w('A', block);
  await s.w('A', 2, { blocks: 5, op: BioOp.writeZeroes });
  for (let block = 2; block < 7; block++) expect(await s.r('A', block)).toBe(0);
  await s.idle();
  s.expectSame('A', 'B');
});

hazard('H-283', 'a discard of the whole device', 'A(P) B', {}, async (s) => {
  for (let block = 0; block < 1000; block += 100) await s.w('A', block);
  await s.w('A', 0, { blocks: s.dataSectors / 8, op: BioOp.discard });
  expect(s.is('A-B:Connected')).toBe(true);
  for (let block = 0; block < 1000; block += 100) expect(await s.r('A', block)).toBe(0);
});

hazard('H-287', 'discards of a resync that wait for a neighbour are sent all the same', 'A(P) B', { disk: { rsDiscardGranularity: 65_536 } }, async (s) => {
  await s.disc('A-B');
  for (let block = 0; block < 640; block += 32) await s.w('A', block, { blocks: 16, op: BioOp.discard });
  await s.con('A-B');
});
