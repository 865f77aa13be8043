// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stamp } from '../../../src/control/admin/openers.ts';

describe('time of an open', () => {
  it('is the UTC date of any second until 2200', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 7_258_118_399 }), (seconds) => {
      expect(stamp(seconds)).toBe(new Date(seconds * 1000).toISOString().replace('T', ' ').replace('Z', ''));
    }));
  });
});
