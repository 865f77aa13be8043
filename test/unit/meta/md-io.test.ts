// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { LowerFlag, LowerOp } from '../../../src/host/lower.ts';
import { MdIo } from '../../../src/meta/md-io.ts';
import { FakeArena, FakeDisk } from './fakes.ts';

const EIO = 5;

/** Meta-data on a disk of their own beside that of the data; `told` gets the errors of jobs in order. */
function setup() {
  const arena = new FakeArena(4096);
  const meta = new FakeDisk(arena, 64);
  const data = new FakeDisk(arena, 64);
  const io = new MdIo(meta, arena, 100, data);
  meta.done = data.done = (cookie, errno) => { expect(io.lowerDone(cookie, errno)).toBe(true); };
  const told: number[] = [];
  return { io, meta, data, told, job: { done: (errno: number) => { told.push(errno); } } };
}

describe('meta-data on a disk of their own', () => {
  it('a write with preflush goes out when the data are stable, as it was given', () => {
    const { io, meta, data, told, job } = setup();
    const flags = LowerFlag.preflush | LowerFlag.fua;
    io.write(flags, 8, 4096, 0, job);
    expect(meta.pending).toEqual([]);
    expect(data.pending).toMatchObject([{ op: LowerOp.flush, sector: 0, sizeBytes: 0 }]);
    data.complete();
    expect(meta.pending).toMatchObject([{ op: LowerOp.write, flags, sector: 8, sizeBytes: 4096, offset: 0 }]);
    expect(told).toEqual([]);
    meta.complete();
    expect(told).toEqual([0]);
    expect(io.inFlight).toBe(0);
  });

  it('a flush that fails is the write\'s error, and nothing is written', () => {
    const { io, meta, data, told, job } = setup();
    io.write(LowerFlag.preflush, 8, 4096, 0, job);
    data.complete(0, EIO);
    expect(told).toEqual([EIO]);
    expect(meta.pending).toEqual([]);
    io.read(8, 4096, 0, job);
    meta.complete();
    expect(told).toEqual([EIO, 0]);
  });

  it('other writes, and reads, wait for nothing', () => {
    const { io, meta, data, job } = setup();
    io.write(LowerFlag.meta, 8, 4096, 0, job);
    io.read(16, 4096, 0, job);
    expect(meta.pending).toHaveLength(2);
    expect(data.pending).toEqual([]);
  });
});
