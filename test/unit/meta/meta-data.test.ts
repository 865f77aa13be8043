// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { MDF, MDF_PEER } from '../../../src/meta/flags.ts';
import { mdLayout } from '../../../src/meta/layout.ts';
import { MdIo } from '../../../src/meta/md-io.ts';
import { MetaData } from '../../../src/meta/meta-data.ts';
import { decodeSuperBlock } from '../../../src/meta/super-block.ts';
import { FakeArena, FakeClock, FakeDisk } from './fakes.ts';
import { image } from './images.ts';

function make() {
  const img = image('v09-int-7peer-primary-written-applied');
  const sb = decodeSuperBlock(img.superBlock);
  const layout = mdLayout({ ...sb, metaDevIdx: -3, mdCapacity: img.capacity });
  const clock = new FakeClock();
  const arena = new FakeArena(4096);
  const disk = new FakeDisk(arena, img.capacity, img.areaSector, img.area.slice());
  const io = new MdIo(disk, arena, 0);
  disk.done = (cookie, errno) => io.lowerDone(cookie, errno);
  const events: string[] = [];
  const md = new MetaData(sb, layout, io, 0, clock, {
    mdError: (errno) => events.push(`error ${errno}`), mdSyncTimerExpired: () => events.push('expired'),
  });
  const onDisk = () => decodeSuperBlock(disk.durable.subarray((layout.superBlockSector - img.areaSector) * 512));
  const sync = (name: string): void => md.sync({ done: (errno) => events.push(`${name} ${errno}`) });
  return { md, disk, clock, events, onDisk, sync, layout };
}

describe('super block on its way to the disk (uuid.md 1.2)', () => {
  it('sync of nothing is done at once', () => {
    const { sync, events, disk } = make();
    sync('a');
    expect(events).toEqual(['a 0']);
    expect(disk.pending).toHaveLength(0);
  });

  it('a change is durable when sync says so, a later one needs another write', () => {
    const { md, sync, events, disk, onDisk } = make();
    md.setFlag(MDF.alClean, false);
    sync('a');
    md.setPeerFlag(3, MDF_PEER.outdated, true);
    sync('b');
    expect(disk.pending).toHaveLength(1);
    disk.complete();
    expect(events).toEqual(['a 0']);
    expect(onDisk().flags & MDF.alClean).toBe(0);
    disk.complete();
    expect(events).toEqual(['a 0', 'b 0']);
    expect(onDisk().peers[3].flags & MDF_PEER.outdated).toBe(MDF_PEER.outdated);
    expect(md.dirty).toBe(false);
  });

  it('is written after 5 seconds when nobody syncs', () => {
    const { md, clock, events, disk } = make();
    md.setFlag(MDF.alDisabled, true);
    clock.advance(4999);
    expect(disk.pending).toHaveLength(0);
    clock.advance(1);
    expect(events).toEqual(['expired']);
    disk.complete();
    expect(md.dirty).toBe(false);
  });

  it('stays dirty after an error, and tries again', () => {
    const { md, clock, sync, events, disk } = make();
    md.markDirty();
    sync('a');
    disk.complete(0, 5);
    expect(events).toEqual(['error 5', 'a 5']);
    expect(md.dirty).toBe(true);
    for (let i = 0; i < 3; i++) {
      clock.advance(5000);
      disk.complete(0, i < 2 ? 5 : 0);
    }
    expect(md.dirty).toBe(false);
  });

  it('takes UUIDs over and is dirty only when they differ', () => {
    const { md, sync, disk, onDisk } = make();
    const { currentUuid, peers, historyUuids } = md.superBlock;
    md.setUuids({ currentUuid, peers: peers.map((peer) => ({ ...peer })), historyUuids: [...historyUuids] });
    expect(md.dirty).toBe(false);
    md.setUuids({ currentUuid: 0x123n, historyUuids: [5n, ...historyUuids.slice(1)], peers: peers.map((peer, n) => (
      n === 9 ? { ...peer, bitmapUuid: 0x77n, bitmapDagtag: 8n, bitmapIndex: 4, flags: MDF_PEER.haveBitmap } : { ...peer })) });
    expect(md.dirty).toBe(true);
    sync('a');
    disk.complete();
    expect(onDisk().currentUuid).toBe(0x123n);
    expect(onDisk().peers[9]).toEqual({ bitmapUuid: 0x77n, bitmapDagtag: 8n, bitmapIndex: 4, flags: 0 });
    expect(onDisk().historyUuids[0]).toBe(5n);
    expect(md.nodesWithBitmap()).toContain(9);
  });
});
