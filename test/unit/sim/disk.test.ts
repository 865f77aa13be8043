// SPDX-License-Identifier: GPL-2.0-or-later
/** What a power failure may take from a simulated disk. */
import { expect, it } from 'vitest';
import { LowerFlag, LowerOp } from '../../../src/host/lower.ts';
import { TagArena } from '../../../src/sim/arena.ts';
import { SimDisk } from '../../../src/sim/disk.ts';
import { EngineLife } from '../../../src/sim/clock.ts';
import { World } from '../../../src/sim/world.ts';

const SECTOR = 512;
const PAGE = 4096;

/** What writes hold is their number. */
class Bench {
  readonly disk: SimDisk;
  readonly #world: World;
  readonly #arena: TagArena;
  #writes = 0;

  constructor(seed: number) {
    this.#world = new World(seed);
    this.disk = new SimDisk(this.#world, '/dev/disk0', 64, 0);
    this.#arena = new TagArena(0, 16 * PAGE, new EngineLife(this.#world));
  }

  begin(flags: number, sector: number, ms: number): void {
    const offset = this.#writes++ * PAGE;
    this.#arena.at(offset, SECTOR).fill(this.#writes);
    this.#submit(LowerOp.write, flags, sector, offset, ms);
  }
  write(flags = 0): void {
    this.begin(flags, 0, 0.1);
    this.pass(0.2);
  }
  flush(ms: number): void { this.#submit(LowerOp.flush, 0, 0, 0, ms); }
  pass(ms: number): void {
    const end = this.#world.nowMs + ms;
    this.#world.at(ms, 'time passes', () => {});
    while (this.#world.nowMs < end) this.#world.step();
  }
  #submit(op: LowerOp, flags: number, sector: number, offset: number, ms: number): void {
    this.disk.faults.minMs = this.disk.faults.maxMs = ms;
    this.disk.submit(op, flags, sector, op === LowerOp.write ? SECTOR : 0, this.#arena, offset, () => {});
  }
}

function left(story: (bench: Bench) => void): Set<number> {
  return new Set(Array.from({ length: 40 }, (_, seed) => {
    const bench = new Bench(seed);
    story(bench);
    bench.disk.powerFailure();
    return bench.disk.tag(0);
  }));
}

const laterFlush = (b: Bench): void => {
  b.write();
  b.flush(0.1);
  b.pass(0.2);
};

it.each([['FUA write', (b: Bench) => b.write(LowerFlag.fua)], ['later flush', laterFlush]] as const)(
  'a flush that began before a %s does not bring back what was there then', (_, stable) => {
    expect(left((b) => {
      b.write();
      b.flush(5);
      stable(b);
      b.write();
      b.pass(10);
    })).toEqual(new Set([2, 3]));
  });

it('a write that waits for its PREFLUSH when the power fails is not there without what was to be flushed', () => {
  const seen = Array.from({ length: 40 }, (_, seed) => {
    const bench = new Bench(seed);
    bench.write();
    bench.begin(LowerFlag.preflush | LowerFlag.fua, 8, 5);
    bench.disk.powerFailure();
    return [bench.disk.tag(8), bench.disk.tag(0)].join();
  });
  expect(new Set(seen)).toEqual(new Set(['0,0', '0,1', '2,1']));
});
