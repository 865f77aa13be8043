// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestRequestBlocks, type ControllerOptions, controllerRound, makePlan, mustThrottle } from '../../../src/io/controller.ts';

const defaults: ControllerOptions = {
  planAhead: 20, fillTarget: 100, delayTarget: 10, maxRate: 102400, resyncRate: 250, maxBuffers: 2048,
};

describe('fixed rate', () => {
  test.each([[250, 6], [10240, 256], [0, 0]])('resync-rate %i KiB/s gives %i blocks', (resyncRate, blocks) => {
    expect(controllerRound(makePlan(0), { ...defaults, planAhead: 0, resyncRate }, 0, 0, 100)).toBe(blocks);
  });
});

describe('planned', () => {
  test('slow start: resync-rate over the plan, one step of it now', () => {
    const plan = makePlan(20);
    // want 50 * 20 = 1000 sectors, 50 a step, 6 blocks
    expect(controllerRound(plan, defaults, 0, 0, 100)).toBe(6);
    expect(plan.total).toBe(950);
    expect(plan.ring[0]).toBe(0);
  });

  test.each([
    // came back, in flight, duration: what is asked (sectors that came back + correction)
    { sectorsIn: 100, inFlight: 0, duration: 100, blocks: 13 },
    { sectorsIn: 100, inFlight: 100, duration: 100, blocks: 12 },
    { sectorsIn: 100, inFlight: 2100, duration: 100, blocks: 0 },
    { sectorsIn: 100, inFlight: 100, duration: 50, blocks: 25 },
  ])('fill target: $sectorsIn in, $inFlight in flight, $duration ms', ({ sectorsIn, inFlight, duration, blocks }) => {
    expect(controllerRound(makePlan(20), defaults, sectorsIn, inFlight, duration)).toBe(blocks);
  });

  test('delay target', () => {
    // want = 800 * 10 / 1 = 8000; correction 8000 / 20 = 400; 1200 sectors = 150 blocks
    expect(controllerRound(makePlan(20), { ...defaults, fillTarget: 0 }, 800, 0, 100)).toBe(150);
  });

  test('c-max-rate and max-buffers are limits', () => {
    expect(controllerRound(makePlan(20), { ...defaults, maxRate: 400 }, 10000, 0, 100)).toBe(10);
    expect(controllerRound(makePlan(20), { ...defaults, maxBuffers: 32 }, 10000, 8 * 30, 100)).toBe(2);
  });

  test('never negative, never more than the limits, plan sums up', () => {
    fc.assert(fc.property(
      fc.array(fc.record({ sectorsIn: fc.nat(20000), inFlight: fc.nat(20000), ms: fc.nat(2000) }), { maxLength: 50 }),
      fc.nat(300), fc.nat(1000), (rounds, planAhead, fillTarget) => {
        const plan = makePlan(planAhead);
        for (const r of rounds) {
          const blocks = controllerRound(plan, { ...defaults, planAhead, fillTarget }, r.sectorsIn, r.inFlight, r.ms);
          expect(blocks).toBeGreaterThanOrEqual(0);
          expect(blocks).toBeLessThanOrEqual(2048);
          expect(plan.total).toBe(plan.ring.reduce((x, y) => x + y, 0));
        }
      }));
  });
});

test.each([
  [0, 1000, 256], [1, 1000, 1], [4, 1000, 4], [6, 1000, 2], [128, 1000, 128], [256, 3, 4], [256, 2.9, 2], [256, 5, 4], [256, 6, 8],
  [2 ** 40, 1000, 256], [2 ** 33 + 64, 1000, 64],
])('request at bit %d with %d blocks left: %d', (bit, left, blocks) => {
  expect(bestRequestBlocks(bit, left)).toBe(blocks);
});

test.each([[0, true, 1e9, false], [250, false, 1e9, false], [250, true, 251, true], [250, true, 250, false], [250, true, -5, false]])(
  'c-min-rate %d busy %s rate %d: throttle %s', (min, busy, rate, want) => { expect(mustThrottle(min, busy, rate)).toBe(want); });
