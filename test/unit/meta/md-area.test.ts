// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../src/meta/crc32c.ts';
import { bitmapPrimitives } from '../../../src/meta/bitmap-primitives.ts';
import { MdArea } from '../../../src/meta/md-area.ts';
import type { ReadSuperBlock, RefusedSuperBlock } from '../../../src/meta/attach-checks.ts';
import { FakeArena, FakeClock, FakeDisk } from './fakes.ts';
import { image } from './images.ts';

function open(name: string) {
  const img = image(name);
  const arena = new FakeArena(1 << 20);
  const disk = new FakeDisk(arena, img.capacity, img.areaSector, img.area.slice());
  const clock = new FakeClock();
  const area = MdArea.open({ lower: disk, data: null, arena, clock, crc32c, cookieBase: 0 });
  if (area === null) throw new Error('no room');
  disk.done = (cookie, errno) => area.io.lowerDone(cookie, errno);
  let result: ReadSuperBlock | RefusedSuperBlock | undefined;
  area.readSuperBlock(-3, img.capacity, 1, (read) => { result = read; });
  return { area, disk, clock, read: () => result };
}

const handlers = {
  primitives: bitmapPrimitives,
  mdHandler: { mdError: () => {}, mdSyncTimerExpired: () => {} }, alHandler: { alActive: () => {}, alError: () => {} },
};

describe('attaching genuine meta-data', () => {
  it('reads, checks, builds, and counts the bits', () => {
    const { area, disk, read } = open('v09-int-7peer-primary-written-applied');
    disk.complete();
    const result = read();
    if (result?.kind !== 'ok') throw new Error(JSON.stringify(result));
    const parts = area.build(result, { sectors: result.usable, extents: 1237, waitersMax: 64, ...handlers });
    let errno = -1;
    parts.writer.read({ done: (e) => { errno = e; } });
    while (disk.pending.length > 0) disk.complete();
    expect(errno).toBe(0);
    // Extents 0 and 7 were active: 2 * 1024 bits, of the last one only what the device has.
    expect(parts.bitmap.weight[0]).toBe(parts.bitmap.count(0, 0, parts.bitmap.bits - 1));
    expect(parts.bitmap.weight[1]).toBe(16371);
    expect(parts.bitmap.test(0, 20) && parts.bitmap.test(0, 8191)).toBe(true);
    area.close();
  });

  it('an unclean one is refused, a read error is 118', () => {
    const unclean = open('v09-int-1peer-crashed');
    unclean.disk.complete();
    expect(unclean.read()).toMatchObject({ kind: 'refused', code: 165 });
    const broken = open('v09-int-1peer-fresh');
    broken.disk.complete(0, 5);
    expect(broken.read()).toMatchObject({ kind: 'refused', code: 118 });
  });

  it('says when the arena is full', () => {
    const arena = new FakeArena(4096);
    const disk = new FakeDisk(arena, 100);
    expect(MdArea.open({ lower: disk, data: null, arena, clock: new FakeClock(), crc32c, cookieBase: 0 })).toBeNull();
  });
});
