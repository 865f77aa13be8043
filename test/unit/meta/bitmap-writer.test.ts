// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { LowerFlag } from '../../../src/host/lower.ts';
import { wordIndex } from '../../../src/meta/bitmap-layout.ts';
import { PageMark } from '../../../src/meta/bitmap-memory.ts';
import { region, settle, setup } from './md-setup.ts';

const handler = { alActive: () => {}, alError: () => {} };
const device = { sectors: 64 * 1024 * 1024 * 2, slots: 3 };

function bit(s: ReturnType<typeof setup>, image: Uint8Array, slot: number, at: number): number {
  const words = new Uint32Array(region(s, image, s.layout.bmOffset, s.layout.bmSect * 512).buffer);
  return (words[wordIndex(at, 3, slot)] >>> (at % 32)) & 1;
}

describe('bitmap write-out and read-in (io.md 9.7)', () => {
  it('writes changed pages, in runs, and reads them back', () => {
    const s = setup(device, handler);
    const { bits } = s.bitmap;
    s.bitmap.setAll(1);
    s.bitmap.set(0, 7, 7);
    s.bitmap.set(2, bits - 1, bits - 1);
    let done = -1;
    s.writer.write('changed', { done: (errno) => { done = errno; } });
    settle(s);
    expect(done).toBe(0);
    expect(s.writer.dirty).toBe(false);
    expect(s.writer.writCnt).toBe(s.bitmap.pages);

    const again = setup({ ...device, content: s.disk.content }, handler);
    again.writer.read({ done: (errno) => { done = errno + 100; } });
    settle(again);
    expect(done).toBe(100);
    expect([...again.bitmap.weight]).toEqual([1, bits, 1]);
    expect(again.bitmap.test(2, bits - 1)).toBe(true);
    expect(again.writer.dirty).toBe(false);
  });

  it('ignores meaningless bits behind the end of the device', () => {
    const s = setup({ sectors: 131072, slots: 1 }, handler);
    s.disk.content.fill(0xff);
    s.writer.read({ done: () => {} });
    settle(s);
    expect(s.bitmap.weight[0]).toBe(s.bitmap.bits);
  });

  it('nothing to write is told at once', () => {
    const s = setup(device, handler);
    let done = -1;
    s.writer.write('changed', { done: (errno) => { done = errno; } });
    expect(done).toBe(0);
  });

  it('lazy takes only pages with cleared bits', () => {
    const s = setup(device, handler);
    s.bitmap.set(0, 0, 0);
    s.writer.write('changed', { done: () => {} });
    settle(s);
    s.bitmap.set(0, 5_000_000, 5_000_000);
    s.bitmap.clear(0, 0, 0);
    s.writer.write('lazy', { done: () => {} });
    settle(s);
    expect(bit(s, s.disk.content, 0, 0)).toBe(0);
    expect(bit(s, s.disk.content, 0, 5_000_000)).toBe(0);
    expect(s.writer.dirty).toBe(true);
  });

  it('a bit set during the write marks the page again', () => {
    const s = setup(device, handler);
    s.bitmap.set(0, 0, 0);
    s.writer.write('changed', { done: () => {} });
    s.bitmap.set(0, 1, 1);
    settle(s);
    expect(bit(s, s.disk.content, 0, 1)).toBe(0);
    expect(s.bitmap.memory.marks[0]).toBe(PageMark.need);
  });

  it('the log waits for a page whose bulk write is in flight, and writes what came after it', () => {
    const s = setup(device, handler);
    s.bitmap.set(0, 0, 0);
    s.writer.write('changed', { done: () => {} });
    s.bitmap.set(0, 1, 1);
    let told = false;
    expect(s.writer.writeExtents(Int32Array.of(0), 1, { done: () => { told = true; } })).toBe(true);
    expect(s.disk.pending).toHaveLength(1);
    s.disk.complete();
    expect(told).toBe(false);
    settle(s);
    expect(told).toBe(true);
    expect(bit(s, s.disk.content, 0, 1)).toBe(1);
  });

  it('a page with cleared bits that could not be written is written behind a flush again', () => {
    const s = setup(device, handler);
    s.bitmap.set(0, 0, 0);
    s.writer.write('changed', { done: () => {} });
    settle(s);
    s.bitmap.clear(0, 0, 0);
    s.writer.write('lazy', { done: () => {} });
    s.disk.complete(0, 5);
    s.writer.write('changed', { done: () => {} });
    expect(s.disk.pending[0].flags & LowerFlag.preflush).toBe(LowerFlag.preflush);
  });

  it('an error is told, and the pages stay marked', () => {
    const s = setup(device, handler);
    s.bitmap.setAll(0);
    let done = -1;
    s.writer.write('changed', { done: (errno) => { done = errno; } });
    s.disk.complete(0, 5);
    while (s.disk.pending.length > 0) s.disk.complete();
    expect(done).toBe(5);
    expect(s.writer.dirty).toBe(true);
    s.writer.write('changed', { done: (errno) => { done = errno; } });
    settle(s);
    expect(done).toBe(0);
    expect(bit(s, s.disk.content, 0, 0)).toBe(1);
  });

  it('a read error is told', () => {
    const s = setup(device, handler);
    let done = -1;
    s.writer.read({ done: (errno) => { done = errno; } });
    s.disk.complete(2, 5);
    while (s.disk.pending.length > 0) s.disk.complete();
    expect(done).toBe(5);
  });
});
