// SPDX-License-Identifier: GPL-2.0-or-later
/** The meta-data of one disk, wired: buffers, super block, activity log, bitmap. Attach reads, checks, then builds. */
import { assert } from '../assert.ts';
import type { MetaArena } from '../host/arena.ts';
import type { Clock } from '../host/clock.ts';
import type { LowerDevice } from '../host/lower.ts';
import { ActivityLog } from './activity-log.ts';
import type { ActivityLogHandler } from './activity-log.ts';
import type { AlMemory } from './al-slots.ts';
import { MdError, locateSuperBlock, readSuperBlock } from './attach-checks.ts';
import type { ReadSuperBlock, RefusedSuperBlock } from './attach-checks.ts';
import { Bitmap } from './bitmap.ts';
import type { BitmapMemory } from './bitmap-memory.ts';
import type { BitmapPrimitives } from '../host/bitmap.ts';
import { BitmapTask } from './bitmap-task.ts';
import { BitmapWriter } from './bitmap-writer.ts';
import { blockBytes } from './limits.ts';
import type { Crc32c } from './crc32c.ts';
import { MdIo } from './md-io.ts';
import { MetaData } from './meta-data.ts';
import type { MetaDataHandler } from './meta-data.ts';

export interface MdAreaOptions {
  /** The claim that holds the meta-data. */
  readonly lower: LowerDevice;
  /** The claim that holds the data, null: the same one. */
  readonly data: LowerDevice | null;
  readonly arena: MetaArena;
  readonly clock: Clock;
  readonly crc32c: Crc32c;
  /** First of MdIo.cookies cookies; their lowerDone goes to `io.lowerDone`. */
  readonly cookieBase: number;
}

export interface MdBuildOptions {
  /** Sectors that the bitmap covers: min of effective_size and usable size, not 0. */
  readonly sectors: number;
  /** al-extents, limited by alExtentsLimit. */
  readonly extents: number;
  readonly waitersMax: number;
  readonly mdHandler: MetaDataHandler;
  readonly alHandler: ActivityLogHandler;
  readonly alMemory?: AlMemory;
  readonly adopt?: boolean;
  readonly bitmapMemory?: BitmapMemory;
  readonly primitives: BitmapPrimitives;
}

export interface MdParts {
  readonly md: MetaData;
  readonly log: ActivityLog;
  readonly bitmap: Bitmap;
  readonly writer: BitmapWriter;
  readonly task: BitmapTask;
}

const superBlockPage = 0;
const logPage = blockBytes;
const bitmapPages = 2 * blockBytes;
const areaBytes = bitmapPages + BitmapWriter.bufferBytes;

export class MdArea {
  readonly io: MdIo;
  /** The writer's buffers, free until `build` and for AlRecoveryOptions before. */
  readonly bufferOffset: number;
  readonly bufferBytes = BitmapWriter.bufferBytes;
  readonly #o: MdAreaOptions;
  readonly #base: number;

  /** null: the arena has no room now. */
  static open(o: MdAreaOptions): MdArea | null {
    const base = o.arena.alloc(areaBytes);
    return base < 0 ? null : new MdArea(o, base);
  }

  private constructor(o: MdAreaOptions, base: number) {
    this.#o = o;
    this.#base = base;
    this.io = new MdIo(o.lower, o.arena, o.cookieBase, o.data);
    this.bufferOffset = base + bitmapPages;
  }

  get crc32c(): Crc32c { return this.#o.crc32c; }

  /** Steps 1 to 7 of the attach checks (metadata.md 8). `adopt`: see SuperBlockInput. */
  readSuperBlock(metaDevIdx: number, backingCapacity: number, nodeId: number,
    done: (result: ReadSuperBlock | RefusedSuperBlock) => void, adopt = false): void {
    const mdCapacity = this.#o.lower.limits.sectors;
    const sector = locateSuperBlock(metaDevIdx, mdCapacity);
    if (typeof sector !== 'number') {
      done({ kind: 'refused', ...sector });
      return;
    }
    const at = this.#base + superBlockPage;
    this.io.read(sector, blockBytes, at, {
      done: (errno) => {
        if (errno !== 0) {
          const text = `Error while reading metadata (errno ${errno}).`;
          done({ kind: 'refused', code: MdError.ioMdDisk, text });
          return;
        }
        const block = this.#o.arena.bytes.subarray(at, at + blockBytes);
        done(readSuperBlock(block, { metaDevIdx, mdCapacity, backingCapacity, nodeId, adopt }));
      },
    });
  }

  /** The bitmap is empty: `writer.read(job)` reads it in, unless its memory was adopted (then `bitmap.recount()`). */
  build({ superBlock, layout }: ReadSuperBlock, b: MdBuildOptions): MdParts {
    const { clock, crc32c } = this.#o;
    const md = new MetaData(superBlock, layout, this.io, this.#base + superBlockPage, clock, b.mdHandler);
    const bitmap = new Bitmap(b.sectors, superBlock.bmMaxPeers, b.bitmapMemory, b.primitives);
    const writer = new BitmapWriter(bitmap, this.io, layout, this.bufferOffset);
    const log = new ActivityLog({
      io: this.io, layout, bufferOffset: this.#base + logPage, clock, crc32c, bitmap: writer, handler: b.alHandler,
      extents: b.extents, waitersMax: b.waitersMax, memory: b.alMemory, adopt: b.adopt,
    });
    return { md, log, bitmap, writer, task: new BitmapTask(bitmap, clock) };
  }

  /** Gives the buffers back. Nothing may be in flight. */
  close(): void {
    assert(this.io.inFlight === 0, 'meta-data closed with I/O in flight');
    this.#o.arena.free(this.#base, areaBytes);
  }
}
