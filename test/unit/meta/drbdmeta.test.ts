// SPDX-License-Identifier: GPL-2.0-or-later
/** What we write is read by genuine drbdmeta, and the other way round. Plain files: no root, no module. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MDF } from '../../../src/meta/flags.ts';
import { markExtents, readActivityLog, recoverActivityLog } from '../../../src/meta/al-recovery.ts';
import type { AlReplay } from '../../../src/meta/al-replay.ts';
import { crc32c } from '../../../src/meta/crc32c.ts';
import { readSuperBlock } from '../../../src/meta/attach-checks.ts';
import { MetaData } from '../../../src/meta/meta-data.ts';
import { decodeSuperBlock } from '../../../src/meta/super-block.ts';
import { settle, setup } from './md-setup.ts';
import type { Setup } from './md-setup.ts';

const found = spawnSync('drbdmeta', ['--version']).error === undefined;
if (!found) console.warn('SKIPPED: drbdmeta is not installed (package drbd-utils)');

const sectors = 512 * 2048;
/** In the own slot, src/state/uuid-unused.ts. */
const UNUSED_GENERATION = 0xfedcba9876543210n;
let folder = '';
let file = '';

function drbdmeta(...command: string[]): string {
  return execFileSync('drbdmeta', ['--force', '-', 'v09', file, 'internal', ...command], { encoding: 'utf8', stdio: 'pipe' });
}

function area(s: Setup): Uint8Array {
  const bytes = new Uint8Array((sectors - s.layout.areaSector) * 512);
  const fd = openSync(file, 'r');
  readSync(fd, bytes, 0, bytes.length, s.layout.areaSector * 512);
  closeSync(fd);
  return bytes;
}

function store(s: Setup): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, s.disk.content, 0, s.disk.content.length, s.layout.areaSector * 512);
  closeSync(fd);
}

function make(content?: Uint8Array): Setup {
  const handler = { alActive: () => {}, alError: () => { throw new Error('I/O error'); } };
  return setup({ sectors, slots: 3, alStripes: 2, alStripeSize4k: 16, content }, handler);
}

function superBlockOf(s: Setup, bytes: Uint8Array) {
  return bytes.subarray((s.layout.superBlockSector - s.layout.areaSector) * 512);
}

describe.skipIf(!found)('together with genuine drbdmeta', () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'drbdd-md-'));
    file = join(folder, 'disk');
    const fd = openSync(file, 'w');
    ftruncateSync(fd, sectors * 512);
    closeSync(fd);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('takes what create-md made', () => {
    drbdmeta('create-md', '--al-stripes=2', '--al-stripe-size-kB=64', '3');
    const s = make();
    const result = readSuperBlock(superBlockOf(s, area(s)), {
      metaDevIdx: -3, mdCapacity: sectors, backingCapacity: sectors, nodeId: 1,
    });
    expect(result).toMatchObject({ kind: 'ok', layout: s.layout, usable: 1048216 });
  });

  it('apply-al marks after our crash what our own replay marks', () => {
    const s = make(area(make()));
    const sb = decodeSuperBlock(superBlockOf(s, s.disk.content));
    // The super block goes through the log's page of the meta arena, while the log is idle.
    const md = new MetaData(sb, s.layout, s.io, 0, s.clock, { mdError: () => {}, mdSyncTimerExpired: () => {} });
    for (const flag of [MDF.primaryInd, MDF.consistent, MDF.wasUpToDate, MDF.crashedPrimary]) md.setFlag(flag, true);
    md.setFlag(MDF.alClean, false);
    sb.currentUuid = 0x1234567890abcdefn;
    sb.effectiveSize = s.bitmap.sectors;
    sb.nodeId = 1;
    sb.peers[1].bitmapDagtag = UNUSED_GENERATION;
    md.sync({ done: (errno) => expect(errno).toBe(0) });
    settle(s);
    for (let extent = 0; extent < 127; extent++) {
      s.log.begin(extent, extent, 1);
      settle(s);
      if (extent % 3 === 0) s.bitmap.set(extent % 2, extent * 1024 + 7, extent * 1024 + 9);
      s.log.complete(extent, extent);
    }
    store(s);

    const ours = make(s.disk.content.slice());
    ours.writer.read({ done: (errno) => expect(errno).toBe(0) });
    settle(ours);
    const buffer = { io: ours.io, layout: ours.layout, bufferOffset: 4096, bufferBytes: 8 * 4096, crc32c };
    const outcome: { errno: number; replay: AlReplay }[] = [];
    readActivityLog(buffer, (errno, replay) => outcome.push({ errno, replay }));
    settle(ours);
    const [{ replay }] = outcome;
    if (replay.kind !== 'active') throw new Error(replay.kind);
    expect(replay.extents).toEqual(Array.from({ length: 67 }, (_, i) => 60 + i));
    markExtents(ours.bitmap, replay.extents);

    drbdmeta('apply-al');
    const theirs = make(area(s));
    expect(decodeSuperBlock(superBlockOf(s, theirs.disk.content)).peers[1]).toMatchObject({ bitmapUuid: 0n, bitmapDagtag: UNUSED_GENERATION });
    theirs.writer.read({ done: (errno) => expect(errno).toBe(0) });
    settle(theirs);
    expect([...theirs.bitmap.weight]).toEqual([...ours.bitmap.weight]);
    expect(theirs.bitmap.memory.chunks).toEqual(ours.bitmap.memory.chunks);
  });

  it('dump-md reads our super block and bitmap', () => {
    const dump = drbdmeta('dump-md');
    expect(dump).toContain('current-uuid 0x1234567890ABCDEF;');
    expect(dump).toContain('node-id 1;');
    expect(dump).toContain('la-size-sect 1048216;');
    expect(drbdmeta('dstate').trim()).toMatch(/^Consistent/);
  });

  it('our own recovery leaves what drbdmeta calls clean', () => {
    const s = make(area(make()));
    for (let extent = 5; extent < 9; extent++) {
      s.log.begin(extent, extent, 1);
      settle(s);
    }
    const again = make(s.disk.content);
    again.writer.read({ done: () => {} });
    settle(again);
    const before = again.bitmap.weight[2];
    let result: unknown;
    const buffer = { io: again.io, layout: again.layout, bufferOffset: 0, bufferBytes: 4096, crc32c };
    recoverActivityLog(buffer, again.bitmap, again.writer, (errno, replay, marked) => { result = [errno, replay.kind, marked]; });
    settle(again);
    expect(result).toEqual([0, 'active', expect.any(Number)]);
    expect(again.bitmap.weight[2]).toBeGreaterThanOrEqual(before);
    expect(again.bitmap.count(2, 5 * 1024, 9 * 1024 - 1)).toBe(4096);
    store(again);
    drbdmeta('apply-al');
    const theirs = make(area(s));
    theirs.writer.read({ done: () => {} });
    settle(theirs);
    expect([...theirs.bitmap.weight]).toEqual([...again.bitmap.weight]);
  });
});
