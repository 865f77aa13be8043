// SPDX-License-Identifier: GPL-2.0-or-later
/**
 * The device got another size, or its meta-data another place: activity log and bitmap are written anew. Where they overlap
 * the old ones, under a super block that calls everything out of sync until they are there. @spec uuid.md 5.3 step 4,
 * metadata.md 9
 */
import { LogLevel } from '../host/log.ts';
import type { WriteOut } from '../meta/bitmap-writer.ts';
import type { MdLayout } from '../meta/layout.ts';
import type { MetaData } from '../meta/meta-data.ts';
import { until } from './admin/steps.ts';
import type { Steps } from './admin/steps.ts';
import type { Device } from './device.ts';
import type { Disk } from './disk.ts';

const POLL_MS = 1;

/** Errors lead to a detach, as all errors of meta-data do. Application I/O and the activity log stand still meanwhile. */
export function* rewriteMetaData(device: Device, disk: Disk, layout: MdLayout, why: string): Steps<void> {
  const { meta, al, writer } = disk;
  const moves = layout !== meta.layout;
  disk.hold();
  // One after the other; the writes that are under way may still need the log.
  yield* quiet(device, () => !device.rewriting);
  device.rewriting = true;
  yield* until<void>((resume) => device.suspendIo(() => resume()));
  al.hold();
  disk.holdBitmap(true);
  yield* quiet(device, () => !al.transactionInFlight && !writer.busy && !meta.busy);
  device.log.line(LogLevel.info, `Writing the whole bitmap, ${why}`);
  const errno = moves && apart(meta.layout, layout) ? yield* moveApart(disk, layout) : yield* rewrite(disk, layout);
  if (errno !== 0) device.resource.dispatch({ kind: 'ioError', vnr: device.vnr, error: 'meta' });
  disk.holdBitmap(false);
  al.release();
  device.resumeIo();
  device.rewriting = false;
  disk.unhold();
}

/** The new place has nothing of the old one: the old meta-data are whole until the new super block is there. */
const apart = (old: MdLayout, now: MdLayout): boolean => now.areaSector >= old.areaSector + old.mdSizeSect;

function* moveApart(disk: Disk, layout: MdLayout): Steps<number> {
  const { meta, al, writer } = disk;
  al.relocate(layout);
  writer.relocate(layout);
  const errno = yield* written(disk, 'all');
  if (errno !== 0) return errno;
  meta.relocate(layout);
  disk.moved();
  return yield* synced(meta);
}

function* rewrite(disk: Disk, layout: MdLayout): Steps<number> {
  const { meta, al, writer } = disk;
  const moves = layout !== meta.layout;
  if (moves) {
    meta.relocate(layout);
    al.relocate(layout);
    writer.relocate(layout);
    disk.moved();
  }
  meta.guard(true);
  let errno = yield* synced(meta);
  if (errno === 0) errno = yield* written(disk, moves ? 'all' : 'changed');
  meta.guard(false);
  return errno === 0 ? yield* synced(meta) : errno;
}

const synced = (meta: MetaData): Steps<number> => until<number>((resume) => meta.sync({ done: resume }));

function* written({ al, writer }: Disk, pages: WriteOut): Steps<number> {
  const errno = yield* until<number>((resume) => al.rewriteRing({ done: resume }));
  return errno === 0 ? yield* until<number>((resume) => writer.write(pages, { done: resume })) : errno;
}

function* quiet(device: Device, holds: () => boolean): Steps<void> {
  const { clock } = device.resource.engine.host;
  while (!holds()) yield* until<void>((resume) => { clock.timer('meta-data to be quiet', POLL_MS, () => resume()); });
}
