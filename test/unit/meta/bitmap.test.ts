// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { BitScan, Bitmap } from '../../../src/meta/bitmap.ts';
import { PageMark, bitmapMemoryBytes, bitmapMemoryIn, chunkWords } from '../../../src/meta/bitmap-memory.ts';
import { bitmapPrimitives, popcount } from '../../../src/meta/bitmap-primitives.ts';
import { bitsOf, pageOfBit, pagesOf, wordIndex } from '../../../src/meta/bitmap-layout.ts';
import { BitmapTask } from '../../../src/meta/bitmap-task.ts';
import { FakeClock } from './fakes.ts';

const bits = 4000;
const sectors = bits * 8 - 3;

type Model = Set<number>[];

function check(bitmap: Bitmap, model: Model): void {
  model.forEach((set, slot) => {
    expect(bitmap.weight[slot]).toBe(set.size);
    const found: number[] = [];
    for (let bit = bitmap.next(slot, 0, 1, 1e9); bit >= 0; bit = bitmap.next(slot, bit + 1, 1, 1e9)) found.push(bit);
    expect(found).toEqual([...set].sort((a, b) => a - b));
  });
}

function change(set: Set<number>, first: number, last: number, on: boolean): number {
  let changed = 0;
  for (let bit = first; bit <= Math.min(last, bits - 1); bit++) {
    if (set.has(bit) === on) continue;
    changed++;
    if (on) set.add(bit); else set.delete(bit);
  }
  return changed;
}

/** One command: what it does to both, comparing the answers. */
type Command = (bitmap: Bitmap, model: Model) => void;

function commands(slots: number): fc.Arbitrary<Command> {
  const slot = fc.nat(slots - 1);
  const range = fc.tuple(fc.nat(bits + 100), fc.nat(200)).map(([first, n]) => [first, first + n] as const);
  const bytes = fc.tuple(fc.nat(sectors + 50), fc.integer({ min: 1, max: 400 }));
  return fc.oneof(
    fc.tuple(slot, range, fc.boolean()).map(([s, [first, last], on]): Command => (bitmap, model) => {
      const done = on ? bitmap.set(s, first, last) : bitmap.clear(s, first, last);
      expect(done).toBe(change(model[s], first, last, on));
    }),
    fc.tuple(slot, bytes, fc.boolean()).map(([s, [sector, n], on]): Command => (bitmap, model) => {
      const end = Math.min(sector + n, sectors);
      const first = on ? Math.floor(sector / 8) : Math.ceil(sector / 8);
      const last = on ? Math.floor((end - 1) / 8) : (end === sectors ? bits : Math.floor(end / 8)) - 1;
      const done = on ? bitmap.setOutOfSync(s, sector, n * 512) : bitmap.setInSync(s, sector, n * 512);
      expect(done).toBe(sector < end && first <= last ? change(model[s], first, last, on) : 0);
    }),
    fc.tuple(slot, range).map(([s, [first, last]]): Command => (bitmap, model) => {
      expect(bitmap.count(s, first, last)).toBe([...model[s]].filter((bit) => bit >= first && bit <= last).length);
    }),
    fc.tuple(slot, fc.nat(bits - 1)).map(([s, bit]): Command => (bitmap, model) => {
      expect(bitmap.test(s, bit)).toBe(model[s].has(bit));
    }),
    fc.tuple(slot, slot).map(([to, from]): Command => (bitmap, model) => {
      if (to === from) return;
      bitmap.copySlot(to, from);
      model[to] = new Set(model[from]);
    }),
    fc.tuple(slot, fc.boolean()).map(([s, on]): Command => (bitmap, model) => {
      if (on) bitmap.setAll(s); else bitmap.clearAll(s);
      model[s] = new Set(on ? Array.from({ length: bits }, (_, bit) => bit) : []);
    }),
    fc.tuple(slot, fc.nat(130), fc.array(fc.nat(0xffffffff), { maxLength: 8 })).map(([s, word, words]): Command =>
      (bitmap, model) => {
        let added = 0;
        words.forEach((w, i) => {
          for (let k = 0; k < 32; k++) {
            const bit = (word + i) * 32 + k;
            if ((w >>> k) & 1 && bit < bits) added += change(model[s], bit, bit, true);
          }
        });
        expect(bitmap.mergeWords(s, word, Uint32Array.from(words))).toBe(added);
      }),
    fc.tuple(slot, fc.nat(bits - 1), fc.integer({ min: 1, max: 5 })).map(([s, from, budget]): Command =>
      (bitmap, model) => {
        let at = bitmap.next(s, from, 0, budget);
        while (at === BitScan.more) at = bitmap.next(s, bitmap.scanNext, 0, budget);
        let expected = from;
        while (expected < bits && model[s].has(expected)) expected++;
        expect(at).toBe(expected < bits ? expected : BitScan.end);
      }),
  );
}

describe('bitmap against a set (io.md 9.2)', () => {
  it.each([1, 2, 3, 7, 31])('with %i slots', (slots) => {
    fc.assert(fc.property(fc.array(commands(slots), { maxLength: 30 }), (run) => {
      const bitmap = new Bitmap(sectors, slots);
      const model: Model = Array.from({ length: slots }, () => new Set());
      for (const command of run) command(bitmap, model);
      check(bitmap, model);
    }), { numRuns: 60 });
  });

  it('popcount', () => {
    fc.assert(fc.property(fc.nat(0xffffffff), (word) => {
      expect(popcount(word)).toBe(word.toString(2).replaceAll('0', '').length);
    }));
  });

  it.each([3, 7])('works across chunks with %i slots', (slots) => {
    const boundary = Math.floor(chunkWords / slots) * 32;
    const bitmap = new Bitmap((boundary + 10000) * 8, slots);
    for (let slot = 0; slot < slots; slot++) {
      expect(bitmap.set(slot, boundary - 3000, boundary + 3000)).toBe(6001);
      expect(bitmap.next(slot, 0, 1, 1e9)).toBe(boundary - 3000);
      expect(bitmap.next(slot, boundary - 3000, 0, 1e9)).toBe(boundary + 3001);
      expect(bitmap.count(slot, 0, bitmap.bits - 1)).toBe(6001);
      expect(bitmap.clear(slot, boundary - 1, boundary)).toBe(2);
    }
    for (let to = 1; to < slots; to++) {
      bitmap.clearAll(to);
      bitmap.set(to, 5, 9);
      bitmap.copySlot(to, 0);
      expect(bitmap.weight[to]).toBe(5999);
      expect(bitmap.test(to, 5)).toBe(false);
      expect(bitmap.count(to, boundary - 3000, boundary + 3000)).toBe(5999);
    }
    bitmap.copySlot(0, slots - 1);
    expect(bitmap.count(0, 0, bitmap.bits - 1)).toBe(5999);
  });

  it('holds bits where the disk has them', () => {
    const bitmap = new Bitmap(sectors, 3);
    bitmap.set(2, 1000, 1000);
    expect(bitmap.memory.chunks[0][wordIndex(1000, 3, 2)]).toBe(1 << (1000 % 32));
  });

  it('marks the pages that changed, and only those', () => {
    const slots = 7;
    const bitmap = new Bitmap(2 ** 20, slots);
    const { marks } = bitmap.memory;
    bitmap.set(3, 100000, 100000);
    expect([...marks.entries()].filter(([, mark]) => mark !== 0)).toEqual([[pageOfBit(100000, slots), PageMark.need]]);
    marks.fill(0);
    expect(bitmap.set(3, 100000, 100000)).toBe(0);
    expect(marks.some((mark) => mark !== 0)).toBe(false);
    bitmap.clear(3, 100000, 100000);
    expect(marks[pageOfBit(100000, slots)]).toBe(PageMark.lazy);
  });

  it('lies in given memory, so that another engine finds it', () => {
    const pages = pagesOf(bitsOf(sectors), 2);
    const bytes = new Uint8Array(bitmapMemoryBytes(pages));
    const first = new Bitmap(sectors, 2, bitmapMemoryIn(bytes, pages));
    first.set(1, 7, 70);
    const second = new Bitmap(sectors, 2, bitmapMemoryIn(bytes, pages));
    second.recount();
    expect([...second.weight]).toEqual([0, 64]);
    expect(second.memory.marks[0]).toBe(PageMark.need);
  });

  it('grows and shrinks', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 300000 }), fc.integer({ min: 1, max: 300000 }), fc.boolean(),
      (from, to, setNew) => {
        const bitmap = new Bitmap(from, 3);
        bitmap.setAll(1);
        bitmap.set(0, 0, 0);
        bitmap.resize(to, setNew);
        const [oldBits, newBits] = [Math.ceil(from / 8), Math.ceil(to / 8)];
        const added = setNew ? Math.max(0, newBits - oldBits) : 0;
        expect([...bitmap.weight]).toEqual([1 + added, Math.min(oldBits, newBits) + added, added]);
        // Nothing stale appears when it grows again.
        bitmap.resize(400000, false);
        expect(bitmap.weight[1]).toBe(Math.min(oldBits, newBits) + added);
      }), { numRuns: 60 });
  });

  it('asserts on what is no slot or no range', () => {
    const bitmap = new Bitmap(sectors, 2);
    expect(() => bitmap.set(2, 0, 0)).toThrow(/slot/);
    expect(() => bitmap.set(0, 5, 4)).toThrow(/range/);
  });

  it('primitives: findNot and merge agree with plain loops', () => {
    const words = Uint32Array.from([0, 0xffffffff, 0, 1, 0, 0x80000000]);
    expect(bitmapPrimitives.findNot(words, 0, 2, 3, 0)).toBe(-1);
    expect(bitmapPrimitives.findNot(words, 1, 2, 3, 0xffffffff)).toBe(1);
    expect(bitmapPrimitives.merge(words, 0, 1, 2, Uint32Array.of(3, 7), 0, 1)).toBe(2);
  });
});

describe('whole-slot work in slices', () => {
  it('does the same as at once, in many turns', () => {
    const clock = new FakeClock();
    const bitmap = new Bitmap(2 ** 22, 3);
    const task = new BitmapTask(bitmap, clock, 1000);
    let done = 0;
    task.start({ kind: 'set', slots: [0, 2] }, () => done++);
    expect(task.running).toBe(true);
    clock.endTurn();
    expect([...bitmap.weight]).toEqual([2 ** 19, 0, 2 ** 19]);
    task.start({ kind: 'copy', slots: [1], from: 2 }, () => done++);
    clock.endTurn();
    task.start({ kind: 'clear', slots: [0] }, () => done++);
    clock.endTurn();
    bitmap.weight.fill(7);
    task.start({ kind: 'recount' }, () => done++);
    clock.endTurn();
    expect(done).toBe(4);
    expect([...bitmap.weight]).toEqual([0, 2 ** 19, 2 ** 19]);
  });

  it('joins another slot and keeps what is set', () => {
    const clock = new FakeClock();
    const bitmap = new Bitmap(2 ** 22, 3);
    bitmap.set(0, 5, 9);
    bitmap.set(1, 8, 12);
    bitmap.set(1, 2 ** 18, 2 ** 18);
    let done = 0;
    new BitmapTask(bitmap, clock, 1000).start({ kind: 'join', slots: [0], from: 1 }, () => done++);
    clock.endTurn();
    expect(done).toBe(1);
    expect([...bitmap.weight]).toEqual([9, 6, 0]);
    expect(bitmap.count(0, 5, 12)).toBe(8);
    expect(bitmap.test(0, 2 ** 18)).toBe(true);
  });
});
