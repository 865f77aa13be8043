// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * A simulated disk. Fault model: what may happen, and what a cluster must survive.
 * - An operation takes a while, and operations in flight end in any order.
 * - A completed write without FUA is lost at a power failure unless a flush that started after it has completed;
 *   each sector of it for itself, so a write may be torn at sectors, never within one.
 * - A write in flight at a power failure may be there, in part or not at all, sector by sector; one with PREFLUSH only if that
 *   flush has completed.
 * - An engine's death alone loses nothing: what was submitted lands, perhaps late.
 * - Reads or writes may fail (EIO) for a time, or for ever from some moment on.
 * Out of scope: silent corruption, completed FUA writes that get lost.
 */
import { LowerFlag, LowerOp } from '../host/lower.ts';
import type { LowerLimits } from '../host/lower.ts';
import type { Arena } from '../host/arena.ts';
import { assert } from '../assert.ts';
import { ByteArena, SECTOR, TagArena } from './arena.ts';
import { Sectors, UnstableSectors } from './sectors.ts';
import type { Content } from './sectors.ts';
import type { World } from './world.ts';

const EIO = 5;

export interface DiskFaults {
  minMs: number;
  maxMs: number;
  readErrorChance: number;
  writeErrorChance: number;
  /** Nothing ends any more while true. */
  stopped: boolean;
  /** What happens to one operation that is due; null: what the other fields say. */
  each: ((op: LowerOp, sector: number, sizeBytes: number) => 'hold' | 'fail' | null) | null;
}

/** `flush`: what a PREFLUSH makes stable first, null without one. */
interface Writing { op: LowerOp; sector: number; count: number; arena: Arena | null; offset: number; flush: (() => void) | null }

export class SimDisk {
  readonly path: string;
  limits: LowerLimits;
  readonly faults: DiskFaults = { minMs: 0.05, maxMs: 0.5, readErrorChance: 0, writeErrorChance: 0, stopped: false,
    each: null };
  readonly #world: World;
  /** What a read returns. */
  readonly #cache = new Sectors();
  /** What a power failure may bring back: content before the writes that are not on stable storage yet. */
  readonly #unstable = new UnstableSectors();
  readonly #inFlight = new Set<Writing>();
  readonly #held: (() => void)[] = [];
  readonly #opNames: readonly string[];
  /** Counts flushes that begin and FUA writes that end. */
  #moment = 0;
  /** Counts power failures: an operation belongs to the time between two of them. */
  #power = 0;
  claimedBy: object | null = null;
  operations = 0;

  constructor(world: World, path: string, sectors: number, minor: number) {
    this.#world = world;
    this.path = path;
    this.#opNames = Object.keys(LowerOp).map((op) => `${path} ${op}`);
    this.limits = {
      sectors, logicalBlockBytes: 512, physicalBlockBytes: 512, maxIoBytes: 1 << 20, maxDiscardSectors: 0x7fffff,
      discardGranularityBytes: 4096, discardZeroesIfAligned: true, maxWriteZeroesSectors: 0x7fffff, rotational: false,
      name: path.slice(path.lastIndexOf('/') + 1), major: 254, minor,
    };
  }

  /** As lvextend does it, under whoever has it open. */
  grow(sectors: number): void {
    assert(sectors >= this.limits.sectors, 'a disk only grows');
    this.limits = { ...this.limits, sectors };
  }

  tag(sector: number): number {
    const content = this.#cache.get(sector);
    return typeof content === 'number' ? content : NaN;
  }

  readBytes(sector: number, count: number): Uint8Array {
    const out = new Uint8Array(count * SECTOR);
    for (let i = 0; i < count; i++) {
      const content = this.#cache.get(sector + i);
      if (content instanceof Uint8Array) out.set(content, i * SECTOR);
    }
    return out;
  }

  writeBytes(sector: number, bytes: Uint8Array): void {
    assert(bytes.length % SECTOR === 0, 'whole sectors');
    for (let i = 0; i < bytes.length / SECTOR; i++) {
      this.#cache.set(sector + i, bytes.slice(i * SECTOR, (i + 1) * SECTOR));
      this.#unstable.delete(sector + i);
    }
  }

  /** Another disk in its place: all zero. */
  wipe(): void { this.#cache.clear(); this.#unstable.clear(); }

  /** Starts an operation; `done` comes later, with what went wrong. The data of a write are taken when it ends. */
  submit(op: LowerOp, flags: number, sector: number, sizeBytes: number, arena: Arena | null, offset: number,
    done: (errno: number) => void): void {
    this.operations++;
    const flush = op === LowerOp.flush || flags & LowerFlag.preflush ? this.#flush() : null;
    const power = this.#power;
    const writing = op === LowerOp.read || op === LowerOp.flush ? null : { op, sector, count: sizeBytes / SECTOR, arena, offset, flush };
    if (writing) this.#inFlight.add(writing);
    const finish = (): void => {
      if (power !== this.#power) return;
      const fate = this.faults.each?.(op, sector, sizeBytes) ?? null;
      if (this.faults.stopped || fate === 'hold') { this.#held.push(finish); return; }
      if (writing) this.#inFlight.delete(writing);
      if (fate === 'fail') return done(EIO);
      const chance = op === LowerOp.read ? this.faults.readErrorChance : this.faults.writeErrorChance;
      if (chance > 0 && this.#world.random.chance(chance)) return done(EIO);
      flush?.();
      this.#apply(op, flags, sector, sizeBytes / SECTOR, arena, offset);
      done(0);
    };
    this.#world.at(this.#world.random.between(this.faults.minMs, this.faults.maxMs), this.#opNames[op]!, finish);
  }

  /** A flush starts; its end makes stable what is there now: sector, content, sector, content … */
  #flush(): () => void {
    const found: (number | Content)[] = [];
    this.#unstable.each((sector) => { found.push(sector, this.#cache.get(sector)); });
    const moment = ++this.#moment;
    return () => this.#flushed(found, moment);
  }

  #flushed(snapshot: readonly (number | Content)[], moment: number): void {
    for (let i = 0; i < snapshot.length; i += 2) {
      const sector = snapshot[i] as number;
      const content = snapshot[i + 1]!;
      if (!this.#unstable.stable(sector, moment) || !this.#unstable.has(sector)) continue;
      if (this.#cache.get(sector) === content) this.#unstable.delete(sector);
      else this.#unstable.set(sector, content);
    }
  }

  resume(): void {
    this.faults.stopped = false;
    for (const finish of this.#held.splice(0)) this.#world.at(0, `${this.path} resumes`, finish);
  }

  /** Power fails: unstable sectors may fall back to what they were. Operations in flight never end. */
  powerFailure(): void {
    this.#power++;
    const { random } = this.#world;
    for (const writing of this.#inFlight) {
      // Nothing of it is written before that flush has ended.
      if (writing.flush && random.chance(0.5)) writing.flush();
      else if (writing.flush) this.#inFlight.delete(writing);
    }
    this.#unstable.each((sector) => { if (random.chance(0.5)) this.#cache.set(sector, this.#unstable.before(sector)); });
    for (const { op, sector, count, arena, offset } of this.#inFlight) {
      const torn = random.fraction();
      for (let i = 0; i < count; i++) if (random.chance(torn)) this.#cache.set(sector + i, content(op, arena, offset + i * SECTOR));
    }
    this.#unstable.clear();
    this.#inFlight.clear();
    this.#held.length = 0;
    this.claimedBy = null;
  }

  #apply(op: LowerOp, flags: number, sector: number, count: number, arena: Arena | null, offset: number): void {
    if (op === LowerOp.flush) return;
    assert(sector >= 0 && sector + count <= this.limits.sectors, 'operation lies on the disk');
    if (op === LowerOp.read) return this.#read(sector, count, arena, offset);
    const tags = op === LowerOp.write && arena instanceof TagArena ? arena.at(offset, count * SECTOR) : null;
    const moment = ++this.#moment;
    for (let i = 0; i < count; i++) {
      const at = sector + i;
      if (flags & LowerFlag.fua) {
        this.#unstable.stable(at, moment);
        this.#unstable.delete(at);
      } else if (!this.#unstable.has(at)) this.#unstable.set(at, this.#cache.get(at));
      this.#cache.set(at, tags ? tags[i]! : content(op, arena, offset + i * SECTOR));
    }
  }

  #read(sector: number, count: number, arena: Arena | null, offset: number): void {
    if (arena instanceof TagArena) return this.#cache.copyTags(sector, arena.at(offset, count * SECTOR));
    for (let i = 0; i < count; i++) {
      const found = this.#cache.get(sector + i);
      const at = offset + i * SECTOR;
      if (arena instanceof ByteArena) {
        if (typeof found === 'number') arena.bytes.fill(0, at, at + SECTOR);
        else arena.bytes.set(found, at);
      }
    }
  }
}

function content(op: LowerOp, arena: Arena | null, offset: number): Content {
  if (op !== LowerOp.write) return 0;
  if (arena instanceof TagArena) return arena.at(offset, SECTOR)[0]!;
  assert(arena instanceof ByteArena, 'a write has data');
  return arena.bytes.slice(offset, offset + SECTOR);
}
