// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stamp } from '../../../src/control/admin/openers.ts';
import type { Device } from '../../../src/control/device.ts';
import { Openers } from '../../../src/control/openers.ts';
import { Role } from '../../../src/state/states.ts';

describe('time of an open', () => {
  it('is the UTC date of any second until 2200', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 7_258_118_399 }), (seconds) => {
      expect(stamp(seconds)).toBe(new Date(seconds * 1000).toISOString().replace('T', ' ').replace('Z', ''));
    }));
  });
});

describe('a last close that nobody waits for any more', () => {
  it('does not end the opens that came since', () => {
    const counts: (readonly [number, boolean])[] = [];
    const resource = {
      io: { drain() {} },
      view: { resource: { role: Role.primary, explicitPrimary: true, options: { autoPromote: false } }, devices: [] },
      dispatch: (event: { openCount: number; writable: boolean }) => counts.push([event.openCount, event.writable]),
    };
    const openers = new Openers({ resource, vnr: 0, block: { drained() {} } } as unknown as Device);
    openers.count(1, true);
    openers.lastClose();
    openers.count(1, true);
    openers.drained();
    expect(counts).toEqual([[1, true]]);
    openers.lastClose();
    openers.drained();
    expect(counts).toEqual([[1, true], [0, false]]);
  });
});
