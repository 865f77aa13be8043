// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageMap } from '../../../src/linux/pages.ts';

describe('runs of pages', () => {
  it('never overlap, are found while one fits, and all come back', () => {
    const step = fc.record({ pages: fc.integer({ min: 1, max: 40 }), free: fc.boolean(), which: fc.nat() });
    fc.assert(fc.property(fc.integer({ min: 1, max: 300 }), fc.array(step, { maxLength: 100 }), (count, steps) => {
      const map = new PageMap(count);
      const owner = new Int32Array(count);
      const held: { first: number; pages: number }[] = [];
      for (const { pages, free, which } of steps) {
        if (free && held.length > 0) {
          const [run] = held.splice(which % held.length, 1);
          map.release(run!.first, run!.pages);
          owner.fill(0, run!.first, run!.first + run!.pages);
          continue;
        }
        const first = map.alloc(pages);
        const fits = longestGap(owner) >= pages;
        expect(first >= 0).toBe(fits);
        if (first < 0) continue;
        expect(owner.subarray(first, first + pages).every((taken) => taken === 0)).toBe(true);
        expect(first + pages).toBeLessThanOrEqual(count);
        owner.fill(1, first, first + pages);
        held.push({ first, pages });
      }
      for (const { first, pages } of held) map.release(first, pages);
      expect(map.free).toBe(count);
      expect(map.alloc(count)).toBe(0);
    }), { numRuns: 300 });
  });

  it('are given back once', () => {
    const map = new PageMap(8);
    const first = map.alloc(3);
    map.release(first, 3);
    expect(() => map.release(first, 3)).toThrow('once');
    expect(() => map.release(6, 3)).toThrow('lies in its arena');
  });
});

/** Runs do not wrap around the end. */
function longestGap(owner: Int32Array): number {
  let best = 0, run = 0;
  for (const taken of owner) {
    run = taken === 0 ? run + 1 : 0;
    best = Math.max(best, run);
  }
  return best;
}
