// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { ActivityLog, alExtentsLimit } from '../../../src/meta/activity-log.ts';
import { AlSlots } from '../../../src/meta/al-slots.ts';
import { replayActivityLog } from '../../../src/meta/al-replay.ts';
import { crc32c } from '../../../src/meta/crc32c.ts';
import { LowerFlag } from '../../../src/host/lower.ts';
import { region, settle, setup } from './md-setup.ts';
import type { Setup } from './md-setup.ts';

const device = { sectors: 2 * 1024 * 1024 * 2, slots: 2 };

function make(options = {}): { s: Setup; active: number[]; errors: number[] } {
  const active: number[] = [];
  const errors: number[] = [];
  const s = setup({ ...device, ...options }, {
    alActive: (token, errno) => active.push(errno === 0 ? token : -token),
    alError: (errno) => errors.push(errno),
  });
  return { s, active, errors };
}

function extentsOnDisk(s: Setup, image: Uint8Array): Set<number> {
  const replay = replayActivityLog(region(s, image, s.layout.alOffset, s.layout.alSize4k * 4096), crc32c);
  return new Set(replay.kind === 'active' ? replay.extents : []);
}

describe('activity log (io.md 8)', () => {
  it('cold extents wait for a transaction, hot ones do not', () => {
    const { s, active } = make();
    expect(s.log.begin(5, 6, 1)).toBe(false);
    expect(active).toEqual([]);
    s.clock.endTurn();
    const [write] = s.disk.pending;
    expect(write.flags & (LowerFlag.preflush | LowerFlag.fua)).toBe(LowerFlag.preflush | LowerFlag.fua);
    s.disk.complete();
    expect(active).toEqual([1]);
    expect(s.log.begin(5, 5, 2)).toBe(true);
    expect(extentsOnDisk(s, s.disk.durable)).toEqual(new Set([5, 6]));
    expect(s.log.used).toBe(2);
    s.log.complete(5, 6);
    expect(s.log.used).toBe(1);
    s.log.complete(5, 5);
    expect(s.log.idle).toBe(true);
    expect(s.log.begin(6, 6, 3)).toBe(true);
  });

  it('takes the requests of one turn, and all that come meanwhile, into one transaction each', () => {
    const { s, active } = make();
    for (let i = 0; i < 10; i++) s.log.begin(i, i, i);
    s.clock.endTurn();
    for (let i = 10; i < 20; i++) s.log.begin(i, i, i);
    s.clock.endTurn();
    expect(s.disk.pending).toHaveLength(1);
    s.disk.complete();
    expect(active).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    settle(s);
    expect(active).toHaveLength(20);
    expect(s.log.writCnt).toBe(2);
    expect(s.log.histogram[10]).toBe(2);
  });

  it('at most 64 changes a transaction, a 33-extent discard fits', () => {
    const { s, active } = make({ extents: 200 });
    s.log.begin(0, 32, 1);
    s.log.begin(100, 132, 2);
    s.clock.endTurn();
    s.disk.complete();
    expect(active).toEqual([1]);
    expect(s.log.histogram[64]).toBe(1);
    settle(s);
    expect(active).toEqual([1, 2]);
  });

  it('when all are referenced everybody waits until one is idle', () => {
    const { s, active } = make();
    for (let i = 0; i < 67; i++) {
      s.log.begin(i, i, 0);
      settle(s);
    }
    expect(s.log.begin(100, 100, 7)).toBe(false);
    settle(s);
    expect(active).toHaveLength(67);
    // Starving: not even a hit gets in before.
    expect(s.log.begin(3, 3, 8)).toBe(false);
    s.log.complete(50, 50);
    settle(s);
    expect(active.slice(67)).toEqual([7, 8]);
    expect(extentsOnDisk(s, s.disk.durable).has(50)).toBe(false);
    expect(extentsOnDisk(s, s.disk.durable).has(100)).toBe(true);
  });

  it('evicts the least recently used', () => {
    const { s } = make();
    for (let i = 0; i < 67; i++) {
      s.log.begin(i, i, 0);
      settle(s);
      s.log.complete(i, i);
    }
    s.log.begin(0, 0, 0);
    s.log.complete(0, 0);
    s.log.begin(200, 200, 0);
    settle(s);
    expect(s.log.slots.find(0)).toBeGreaterThanOrEqual(0);
    expect(s.log.slots.find(1)).toBe(-1);
  });

  it('bits of an evicted extent reach the disk before the transaction', () => {
    const { s } = make();
    for (let i = 0; i < 67; i++) {
      s.log.begin(i, i, 0);
      settle(s);
      s.bitmap.set(1, i * 1024, i * 1024);
      s.log.complete(i, i);
    }
    const before = s.log.writCnt;
    s.log.begin(300, 300, 0);
    s.clock.endTurn();
    expect(s.disk.pending.map((o) => o.flags & LowerFlag.preflush)).toEqual([0]);
    expect(s.log.writCnt).toBe(before);
    s.disk.complete();
    expect(s.disk.pending.map((o) => o.flags & LowerFlag.preflush)).toEqual([LowerFlag.preflush]);
    s.disk.complete();
    const bytes = region(s, s.disk.durable, s.layout.bmOffset, 4096);
    expect(new Uint32Array(bytes.buffer)[1]).toBe(1);
  });

  it('cancel gives back what is held', () => {
    const { s, active } = make();
    s.log.begin(1, 1, 1);
    s.clock.endTurn();
    s.log.begin(2, 2, 2);
    expect(s.log.cancel(1)).toBe(true);
    expect(s.log.cancel(2)).toBe(true);
    expect(s.log.cancel(3)).toBe(false);
    settle(s);
    expect(active).toEqual([]);
    expect(s.log.idle).toBe(true);
    expect(s.log.begin(1, 1, 4)).toBe(true);
  });

  it('a failed transaction is told, the set goes on in memory', () => {
    const { s, active, errors } = make();
    s.log.begin(1, 1, 9);
    s.clock.endTurn();
    s.disk.complete(0, 5);
    expect(errors).toEqual([5]);
    expect(active).toEqual([-9]);
    expect(s.log.used).toBe(1);
  });

  it('writes nothing with al-updates off', () => {
    const { s, active } = make();
    s.log.setUpdates(false);
    s.log.begin(1, 1, 1);
    s.clock.endTurn();
    expect(s.disk.pending).toHaveLength(0);
    expect(active).toEqual([1]);
  });

  it('frozen: what is active stays so on the disk, whoever comes and goes', () => {
    const { s, active } = make({ extents: 67 });
    s.log.begin(1, 1, 1);
    settle(s);
    s.log.freeze();
    s.log.complete(1, 1);
    for (let extent = 2; extent < 90; extent++) {
      s.log.begin(extent, extent, extent);
      settle(s);
      s.log.complete(extent, extent);
    }
    expect(active).toHaveLength(89);
    expect(extentsOnDisk(s, s.disk.durable)).toEqual(new Set([1]));
  });

  it('on again: what became active meanwhile is in the log before the next write goes on', () => {
    for (const held of [false, true]) {
      const { s, active } = make({ extents: 1237 });
      s.log.setUpdates(false);
      s.log.begin(7, 8, 1);
      s.clock.endTurn();
      if (!held) s.log.complete(7, 8);
      s.log.setUpdates(true);
      expect(s.log.begin(7, 7, 2)).toBe(false);
      settle(s);
      expect(active).toEqual([1, 2]);
      expect(extentsOnDisk(s, s.disk.durable)).toEqual(new Set([7, 8]));
      expect(s.log.begin(8, 8, 3)).toBe(true);
    }
  });

  it('rewrites the whole ring, also striped', () => {
    const { s } = make({ alStripes: 2, alStripeSize4k: 8, extents: 1237 });
    s.log.begin(3, 3, 1);
    settle(s);
    let done = -1;
    s.log.rewriteRing({ done: (errno) => { done = errno; } });
    s.log.begin(4, 4, 2);
    settle(s);
    expect(done).toBe(0);
    expect(s.log.writCnt).toBe(18);
    expect(extentsOnDisk(s, s.disk.durable)).toEqual(new Set([3, 4]));
  });

  it('another engine takes over extents and numbers', () => {
    const memory = new Int32Array(AlSlots.memoryWords(67));
    const first = make({ memory });
    for (let i = 0; i < 5; i++) {
      first.s.log.begin(i, i, i);
      settle(first.s);
    }
    const second = make({ memory, adopt: true, content: first.s.disk.content });
    for (let i = 0; i < 5; i++) expect(second.s.log.begin(i, i, i)).toBe(true);
    expect(second.s.log.slots.trNumber).toBe(5);
    second.s.log.begin(9, 9, 9);
    settle(second.s);
    expect(extentsOnDisk(second.s, second.s.disk.durable)).toEqual(new Set([0, 1, 2, 3, 4, 9]));
  });

  it('an attach starts empty, whatever the memory holds', () => {
    const memory = new Int32Array(AlSlots.memoryWords(67));
    const first = make({ memory });
    first.s.log.begin(3, 3, 3);
    settle(first.s);
    const second = make({ memory });
    expect(second.s.log.slots.find(3)).toBe(-1);
    expect(second.s.log.slots.trNumber).toBe(0);
  });

  it('limits al-extents by the ring', () => {
    expect(alExtentsLimit(8)).toBe(7 * 919);
    expect(alExtentsLimit(100)).toBe(65534);
    expect(() => make({ extents: 66 })).toThrow(/al-extents/);
    expect(ActivityLog).toBeDefined();
  });
});

describe('a crash at any moment (metadata.md 7, io.md 8.10)', () => {
  /** Steps: begin a write, let it end with its block in sync or not, complete an I/O, a bulk write-out, a turn. */
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('begin' as const), at: fc.nat(400), n: fc.constantFrom(1, 1, 1, 2, 33) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('end' as const), at: fc.nat(), n: fc.nat(1) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('io' as const), at: fc.nat(), n: fc.constant(0) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('turn' as const), at: fc.constant(0), n: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('bulk' as const), at: fc.constant(0), n: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), at: fc.nat(), n: fc.constant(0) }) },
  );

  it('every extent with an unfinished write is in the log, every bit of a finished one in log or bitmap', () => {
    fc.assert(fc.property(fc.array(step, { minLength: 50, maxLength: 400 }), fc.infiniteStream(fc.boolean()),
      (steps, luck) => {
        const ranges = new Map<number, [number, number]>();
        const running = new Set<number>();
        const marked = new Set<number>();
        const s = setup(device, { alActive: (token) => running.add(token), alError: () => { throw new Error('I/O'); } });
        let token = 0;
        for (const { kind, at, n } of steps) {
          if (kind === 'begin' && ranges.size < 60) {
            const first = Math.min(at, 500 - n);
            ranges.set(++token, [first, first + n - 1]);
            if (s.log.begin(first, first + n - 1, token)) running.add(token);
          } else if (kind === 'end' && running.size > 0) {
            const ended = [...running][at % running.size];
            const [first, last] = ranges.get(ended) as [number, number];
            if (n === 1) {
              s.bitmap.set(0, first * 1024 + 5, first * 1024 + 5);
              marked.add(first);
            }
            running.delete(ended);
            ranges.delete(ended);
            s.log.complete(first, last);
          } else if (kind === 'cancel' && ranges.size > running.size) {
            const waiting = [...ranges.keys()].filter((t) => !running.has(t));
            const gone = waiting[at % waiting.length];
            expect(s.log.cancel(gone)).toBe(true);
            ranges.delete(gone);
          } else if (kind === 'io' && s.disk.pending.length > 0) {
            s.disk.complete(at % s.disk.pending.length);
          } else if (kind === 'bulk' && !s.writer.busy) {
            s.writer.write('changed', { done: () => {} });
          } else {
            s.clock.endTurn();
          }
        }
        const image = s.disk.crash(() => luck.next().value as boolean);
        const active = extentsOnDisk(s, image);
        const bytes = region(s, image, s.layout.bmOffset, s.layout.bmSect * 512);
        const words = new Uint32Array(bytes.buffer);
        for (const t of running) {
          const [first, last] = ranges.get(t) as [number, number];
          for (let extent = first; extent <= last; extent++) expect(active.has(extent)).toBe(true);
        }
        for (const extent of marked) {
          const bit = extent * 1024 + 5;
          const onDisk = (words[Math.floor(bit / 32) * 2] >>> (bit % 32)) & 1;
          expect(onDisk === 1 || active.has(extent)).toBe(true);
        }
        // Nothing waits for ever.
        for (let i = 0; i < 1000 && !s.log.idle; i++) {
          settle(s);
          for (const t of [...running]) {
            s.log.complete(...(ranges.get(t) as [number, number]));
            running.delete(t);
          }
        }
        expect(s.log.idle).toBe(true);
      }), { numRuns: 150 });
  }, 60_000);
});
