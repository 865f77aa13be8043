// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * apply-al by ourselves: a new engine that finds a device without the dead engine's state marks what was active, as
 * drbdmeta does after a crash of the node. Read the ring, mark, write the bitmap, initialise the ring. @spec io.md 8.10
 */
import { assert } from '../assert.ts';
import { LowerFlag } from '../host/lower.ts';
import { AlReplayer } from './al-replay.ts';
import type { AlReplay } from './al-replay.ts';
import { alSectorOf, encodeAlInitialized } from './al-transaction.ts';
import type { Bitmap } from './bitmap.ts';
import type { BitmapWriter } from './bitmap-writer.ts';
import { bitsPerExtent, blockBytes, sectorsPerBlock } from './limits.ts';
import type { Crc32c } from './crc32c.ts';
import type { MdLayout } from './layout.ts';
import type { MdIo } from './md-io.ts';

export interface AlRecoveryOptions {
  readonly io: MdIo;
  readonly layout: MdLayout;
  /** Part of the meta arena, whole pages. */
  readonly bufferOffset: number;
  readonly bufferBytes: number;
  readonly crc32c: Crc32c;
}

/** Reads the ring and tells what was active. errno ≠ 0: it could not be read. */
export function readActivityLog(o: AlRecoveryOptions, done: (errno: number, replay: AlReplay) => void): void {
  assert(o.bufferBytes >= blockBytes && o.bufferBytes % blockBytes === 0, 'bad activity log buffer');
  const replayer = new AlReplayer(o.crc32c);
  const walk = new RingWalk(o, (bytes) => replayer.add(bytes));
  walk.read((errno) => done(errno, replayer.result()));
}

/** All bits of all slots in these extents, cut at the device's end. Returns the bits that were clear before. */
export function markExtents(bitmap: Bitmap, extents: readonly number[]): number {
  let marked = 0;
  for (const extent of extents) {
    const first = extent * bitsPerExtent;
    if (first >= bitmap.bits) continue;
    for (let slot = 0; slot < bitmap.slots; slot++) marked += bitmap.set(slot, first, first + bitsPerExtent - 1);
  }
  return marked;
}

/**
 * Marks what the log says in all slots, writes the bitmap, then initialises the ring. `done` with errno 0: the log may
 * be used from transaction 0 on.
 */
export function recoverActivityLog(o: AlRecoveryOptions, bitmap: Bitmap, writer: BitmapWriter,
  done: (errno: number, replay: AlReplay, marked: number) => void): void {
  readActivityLog(o, (errno, replay) => {
    if (errno !== 0 || replay.kind === 'invalid') {
      done(errno, replay, 0);
      return;
    }
    const marked = markExtents(bitmap, replay.kind === 'active' ? replay.extents : []);
    writer.write('changed', {
      done: (failed) => {
        if (failed !== 0) done(failed, replay, marked);
        else initializeRing(o, replay.kind === 'active' ? replay.newest + 1 : 0, (last) => done(last, replay, marked));
      },
    });
  });
}

/**
 * Every block as create-md leaves it, on stable storage. One at a time, the oldest first: wherever power fails, one block is
 * torn at most, and the transactions that are left are consecutive. `oldest`: number of a transaction in that block.
 */
function initializeRing({ io, layout, bufferOffset, crc32c }: AlRecoveryOptions, oldest: number, done: (errno: number) => void): void {
  const flags = LowerFlag.preflush | LowerFlag.fua | LowerFlag.sync | LowerFlag.meta;
  encodeAlInitialized(io.arena.view, io.arena.bytes, bufferOffset, crc32c);
  const next = (n: number): void => {
    if (n === layout.alSize4k) return done(0);
    io.write(flags, alSectorOf(layout, oldest % layout.alSize4k + n), blockBytes, bufferOffset, { done: (errno) => (errno === 0 ? next(n + 1) : done(errno)) });
  };
  next(0);
}

/** One pass over the ring, a buffer at a time. */
class RingWalk {
  readonly #o: AlRecoveryOptions;
  readonly #visit: (bytes: Uint8Array) => void;
  #block = 0;

  constructor(options: AlRecoveryOptions, visit: (bytes: Uint8Array) => void) {
    this.#o = options;
    this.#visit = visit;
  }

  read(done: (errno: number) => void): void {
    const { layout, bufferOffset, bufferBytes, io } = this.#o;
    const blocks = Math.min(bufferBytes / blockBytes, layout.alSize4k - this.#block);
    if (blocks === 0) {
      done(0);
      return;
    }
    const sector = layout.superBlockSector + layout.alOffset + this.#block * sectorsPerBlock;
    this.#block += blocks;
    io.read(sector, blocks * blockBytes, bufferOffset, {
      done: (errno) => {
        if (errno !== 0) {
          done(errno);
          return;
        }
        this.#visit(io.arena.bytes.subarray(bufferOffset, bufferOffset + blocks * blockBytes));
        this.read(done);
      },
    });
  }
}
