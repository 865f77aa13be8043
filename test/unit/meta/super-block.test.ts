// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import {
  MdMagic, decodeSuperBlock, decodeSuperBlock08, encodeSuperBlock, encodeSuperBlock08, freshSuperBlock, superBlockMagic,
} from '../../../src/meta/super-block.ts';
import { MDF, MDF_PEER } from '../../../src/meta/flags.ts';
import { mdLayout, superBlockSector, usableSectors } from '../../../src/meta/layout.ts';
import { image, imageNames, names08, names09 } from './images.ts';

describe('super block of genuine images (metadata.md 2, 3)', () => {
  it('has images of both versions', () => {
    expect(names09.length).toBeGreaterThan(20);
    expect(names08.length).toBeGreaterThan(8);
  });

  it.each(names09)('%s decodes and encodes to the same bytes', (name) => {
    const img = image(name);
    const sb = decodeSuperBlock(img.superBlock);
    expect(sb.magic).toBe(MdMagic.v09);
    expect(sb.flags).toBe(Number(img.json.flags));
    expect(sb.alNrExtents).toBe(img.json.al_nr_extents);
    const bytes = new Uint8Array(4096).fill(0xaa);
    encodeSuperBlock(sb, bytes);
    expect(bytes).toEqual(img.superBlock);
  });

  it.each(names08)('%s decodes and encodes to the same bytes', (name) => {
    const img = image(name);
    expect(superBlockMagic(img.superBlock)).toBe(Number(img.json.magic));
    const sb = decodeSuperBlock08(img.superBlock);
    const bytes = new Uint8Array(4096);
    encodeSuperBlock08(sb, bytes);
    expect(bytes).toEqual(img.superBlock);
  });

  it('reads what the README of the vectors says', () => {
    const sb = decodeSuperBlock(image('v09-int-1peer-connected-primary').superBlock);
    expect(sb.flags).toBe(MDF.haveQuorum | MDF.crashedPrimary | MDF.wasUpToDate | MDF.primaryInd | MDF.consistent);
    expect(sb.nodeId).toBe(0);
    expect(sb.effectiveSize).toBe(130968);
    const invalidated = decodeSuperBlock(image('v09-int-1peer-down-invalidate').superBlock);
    expect(invalidated.flags).toBe(0x400);
    expect(invalidated.peers.every((peer) => (peer.flags & MDF_PEER.fullSync) !== 0)).toBe(true);
  });

  it('fresh super block is create-md\'s', () => {
    const img = image('v09-int-7peer-fresh');
    const sb = { ...freshSuperBlock(7), alOffset: -64, bmOffset: -96, mdSizeSect: 104 };
    const genuine = decodeSuperBlock(img.superBlock);
    expect({ ...sb, deviceUuid: genuine.deviceUuid }).toEqual(genuine);
  });

  it('never writes the in-core flag', () => {
    const sb = freshSuperBlock(1);
    sb.peers[3].flags = MDF_PEER.haveBitmap | MDF_PEER.deviceSeen;
    const bytes = new Uint8Array(4096);
    encodeSuperBlock(sb, bytes);
    expect(decodeSuperBlock(bytes).peers[3].flags).toBe(MDF_PEER.deviceSeen);
  });

  it('keeps every field through encode and decode', () => {
    const u32 = fc.nat(0xffffffff);
    const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const peer = fc.record({ bitmapUuid: u64, bitmapDagtag: u64, flags: fc.nat(0x7fffffff), bitmapIndex: i32 });
    fc.assert(fc.property(fc.record({
      effectiveSize: fc.nat(Number.MAX_SAFE_INTEGER), currentUuid: u64, members: u64, deviceUuid: u64, flags: u32,
      magic: u32, mdSizeSect: u32, alOffset: i32, alNrExtents: u32, bmOffset: i32, bmBytesPerBit: u32,
      laPeerMaxBioSize: u32, bmMaxPeers: u32, nodeId: i32, alStripes: u32, alStripeSize4k: u32,
      peers: fc.array(peer, { minLength: 32, maxLength: 32 }),
      historyUuids: fc.array(u64, { minLength: 32, maxLength: 32 }),
    }), (sb) => {
      const bytes = new Uint8Array(4096);
      encodeSuperBlock(sb, bytes);
      expect(decodeSuperBlock(bytes)).toEqual(sb);
    }), { numRuns: 50 });
  });

  it('refuses a short block', () => {
    expect(() => decodeSuperBlock(new Uint8Array(4095))).toThrow(RangeError);
  });
});

describe('layout (metadata.md 1)', () => {
  it.each(imageNames)('%s lies where we compute', (name) => {
    const img = image(name);
    const sb = decodeSuperBlock(img.superBlock);
    const v08 = name.startsWith('v08') ? decodeSuperBlock08(img.superBlock) : null;
    const layout = mdLayout({
      metaDevIdx: img.metaDevIdx, mdCapacity: img.capacity, bmMaxPeers: v08 ? 1 : sb.bmMaxPeers,
      alStripes: v08?.alStripes ?? sb.alStripes, alStripeSize4k: v08?.alStripeSize4k ?? sb.alStripeSize4k,
    });
    expect(layout.superBlockSector).toBe(img.superBlockSector);
    expect(layout.areaSector).toBe(img.areaSector);
    expect(layout.alOffset).toBe(img.json.al_offset);
    expect(layout.bmOffset).toBe(img.json.bm_offset);
    expect(layout.mdSizeSect).toBe(img.json.md_size_sect);
  });

  it.each([
    ['v09-int-1peer-fresh', 130992], ['v09-int-7peer-fresh', 130968], ['v09-int-3peer-alstripes-fresh', 130792],
    ['v09-int-3peer-alstripes-down', 1048216], ['v09-int-oddsize-fresh', 20400],
  ])('%s has %i usable sectors', (name, usable) => {
    const img = image(name);
    const sb = decodeSuperBlock(img.superBlock);
    const layout = mdLayout({ ...sb, metaDevIdx: img.metaDevIdx, mdCapacity: img.capacity });
    expect(usableSectors(layout, img.capacity)).toBe(usable);
  });

  it('a flexible bitmap limits the device', () => {
    const layout = mdLayout({ metaDevIdx: -2, mdCapacity: 128, bmMaxPeers: 1, alStripes: 1, alStripeSize4k: 8 });
    // 56 sectors of room, 7 blocks: 229376 bits.
    expect(usableSectors(layout, 2 ** 40)).toBe(7 * 4096 * 8 * 8);
    expect(usableSectors(layout, 1000)).toBe(1000);
  });

  it('finds no place on a device that is too small', () => {
    expect(superBlockSector(-3, 7)).toBe(-1);
    expect(superBlockSector(-3, 15)).toBe(0);
    expect(superBlockSector(1, 262144)).toBe(-1);
  });
});
