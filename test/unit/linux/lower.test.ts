// SPDX-License-Identifier: GPL-2.0-or-later
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LowerFlag, LowerOp } from '../../../src/host/lower.ts';
import { LinuxArena } from '../../../src/linux/arena.ts';
import { LinuxBacking } from '../../../src/linux/backing.ts';
import { native } from '../../../src/linux/native.ts';
import { LinuxTurn } from '../../../src/linux/turn.ts';
import { UringLowerDevice } from '../../../src/linux/uring-lower.ts';

const bytes = 8 << 20;
let folder: string, path: string;
let turn: LinuxTurn, arena: LinuxArena, device: UringLowerDevice;
const done = new Map<number, number>();
let wake: () => void = () => undefined;

beforeAll(() => {
  // tmpfs has no O_DIRECT: the folder of the sources lies on a disk.
  folder = mkdtempSync(join(import.meta.dirname, '../../../build/lower-'));
  path = join(folder, 'disk');
  const fd = openSync(path, 'w');
  ftruncateSync(fd, bytes);
  closeSync(fd);
  turn = new LinuxTurn();
  turn.start(20_000);
  arena = new LinuxArena(turn, new Uint8Array(native.pageMemory(4096 * 512)), 0);
  const backing = LinuxBacking.open(path, 0, true);
  if (typeof backing === 'number') throw new Error(`errno ${backing}`);
  device = new UringLowerDevice(turn, backing, {
    lowerDone: (cookie, errno) => { done.set(cookie, errno); wake(); },
  });
});
afterAll(() => {
  turn.stop();
  rmSync(folder, { recursive: true, force: true });
});

function run(cookie: number, op: number, flags: number, sector: number, size: number, offset: number): Promise<number> {
  device.submit(op as 0, flags, sector, size, offset < 0 ? null : arena, Math.max(offset, 0), cookie, -1);
  return new Promise((resolve) => {
    const previous = wake;
    wake = () => { previous(); if (done.has(cookie)) resolve(done.get(cookie)!); };
  });
}

describe('a backing file by io_uring', () => {
  it('writes, reads, flushes, discards and writes zeroes', async () => {
    expect(device.limits.sectors).toBe(bytes / 512);
    const at = arena.alloc(1 << 20);
    arena.bytes.fill(0xa5, at, at + (1 << 20));
    expect(await run(1, LowerOp.write, LowerFlag.preflush | LowerFlag.fua, 8, 1 << 20, at)).toBe(0);
    expect(readFileSync(path).subarray(4096, 4096 + (1 << 20)).every((byte) => byte === 0xa5)).toBe(true);
    const back = arena.alloc(8192);
    expect(await run(2, LowerOp.read, 0, 8, 8192, back)).toBe(0);
    expect(arena.bytes.subarray(back, back + 8192).every((byte) => byte === 0xa5)).toBe(true);
    expect(await run(3, LowerOp.discard, 0, 8, 4096, -1)).toBe(0);
    expect(await run(4, LowerOp.writeZeroes, 0, 16, 4096, -1)).toBe(0);
    expect(await run(5, LowerOp.flush, 0, 0, 0, -1)).toBe(0);
    const disk = readFileSync(path);
    expect(disk.subarray(4096, 12288).every((byte) => byte === 0)).toBe(true);
    expect(disk[12288]).toBe(0xa5);
    expect(device.inFlight()).toBe(0);
  });

  it('has hundreds in flight at once', async () => {
    const at = arena.alloc(4096);
    arena.bytes.fill(0x3c, at, at + 4096);
    const all = Array.from({ length: 1000 }, (_, i) => run(100 + i, LowerOp.write, 0, 4096 + i * 8, 4096, at));
    expect((await Promise.all(all)).every((errno) => errno === 0)).toBe(true);
    expect(readFileSync(path).subarray(4096 * 512, 4096 * 1512).every((byte) => byte === 0x3c)).toBe(true);
  });

  it('refuses what lies outside of the device', () => {
    expect(() => device.submit(LowerOp.write, 0, bytes / 512, 512, arena, 0, 1, -1)).toThrow('lies on its device');
  });

  it('says why a path is no backing device', () => {
    expect(LinuxBacking.open(join(folder, 'none'), 0, false)).toBe(2);
    expect(LinuxBacking.open(path, 0, false)).toBe(15);
    expect(LinuxBacking.open('/', 0, false)).toBe(21);
  });
});
