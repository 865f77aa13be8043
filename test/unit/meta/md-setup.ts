// SPDX-License-Identifier: GPL-2.0-or-later
/** A device with meta-data on a fake disk, all parts wired as the daemon does. */
import { ActivityLog } from '../../../src/meta/activity-log.ts';
import type { ActivityLogHandler } from '../../../src/meta/activity-log.ts';
import { encodeAlInitialized } from '../../../src/meta/al-transaction.ts';
import type { AlMemory } from '../../../src/meta/al-slots.ts';
import { Bitmap } from '../../../src/meta/bitmap.ts';
import { BitmapWriter } from '../../../src/meta/bitmap-writer.ts';
import { crc32c } from '../../../src/meta/crc32c.ts';
import { mdLayout, usableSectors } from '../../../src/meta/layout.ts';
import type { MdLayout } from '../../../src/meta/layout.ts';
import { MdIo } from '../../../src/meta/md-io.ts';
import { FakeArena, FakeClock, FakeDisk } from './fakes.ts';

export interface Setup {
  readonly clock: FakeClock;
  readonly arena: FakeArena;
  readonly disk: FakeDisk;
  readonly io: MdIo;
  readonly layout: MdLayout;
  readonly bitmap: Bitmap;
  readonly writer: BitmapWriter;
  readonly log: ActivityLog;
}

export interface SetupOptions {
  readonly sectors: number;
  readonly slots: number;
  readonly extents?: number;
  readonly memory?: AlMemory;
  readonly adopt?: boolean;
  readonly content?: Uint8Array;
  readonly alStripes?: number;
  readonly alStripeSize4k?: number;
}

export const bufferBytes = BitmapWriter.bufferBytes + 2 * 4096;

export function setup(o: SetupOptions, handler: ActivityLogHandler): Setup {
  const layout = mdLayout({
    metaDevIdx: -3, mdCapacity: o.sectors, bmMaxPeers: o.slots, alStripes: o.alStripes ?? 1,
    alStripeSize4k: o.alStripeSize4k ?? 8,
  });
  const clock = new FakeClock();
  const arena = new FakeArena(bufferBytes);
  const disk = new FakeDisk(arena, o.sectors, layout.areaSector, o.content);
  if (o.content === undefined) {
    for (let block = 0; block < layout.alSize4k; block++) {
      const at = (layout.superBlockSector + layout.alOffset - layout.areaSector) * 512 + block * 4096;
      const bytes = disk.content.subarray(at, at + 4096);
      encodeAlInitialized(new DataView(bytes.buffer, bytes.byteOffset, 4096), bytes, 0, crc32c);
      disk.durable.set(bytes, at);
    }
  }
  const io = new MdIo(disk, arena, 1000);
  disk.done = (cookie, errno) => { if (!io.lowerDone(cookie, errno)) throw new Error(`cookie ${cookie}`); };
  const bitmap = new Bitmap(usableSectors(layout, o.sectors), o.slots);
  const writer = new BitmapWriter(bitmap, io, layout, 4096);
  const log = new ActivityLog({
    io, layout, bufferOffset: 0, clock, crc32c, bitmap: writer, handler, extents: o.extents ?? 67, waitersMax: 64,
    memory: o.memory, adopt: o.adopt,
  });
  return { clock, arena, disk, io, layout, bitmap, writer, log };
}

/** Completes everything until nothing is left to do. */
export function settle({ clock, disk }: Setup): void {
  clock.endTurn();
  while (disk.pending.length > 0) {
    disk.complete();
    clock.endTurn();
  }
}

/** A part of the disk's content (or of a crash image of it). */
export function region(s: Setup, image: Uint8Array, offset: number, bytes: number): Uint8Array {
  const at = (s.layout.superBlockSector + offset - s.layout.areaSector) * 512;
  return image.slice(at, at + bytes);
}
