// SPDX-License-Identifier: GPL-2.0-or-later
import { describe, expect, it } from 'vitest';
import { alSectorOf, decodeAlTransaction, encodeAlInitialized, encodeAlTransaction } from '../../../src/meta/al-transaction.ts';
import { replayActivityLog } from '../../../src/meta/al-replay.ts';
import { wordIndex } from '../../../src/meta/bitmap-layout.ts';
import { crc32c } from '../../../src/meta/crc32c.ts';
import { mdLayout } from '../../../src/meta/layout.ts';
import { decodeSuperBlock } from '../../../src/meta/super-block.ts';
import { image, names09, part } from './images.ts';
import type { Image } from './images.ts';

function layoutOf(img: Image) {
  const sb = decodeSuperBlock(img.superBlock);
  return mdLayout({ ...sb, metaDevIdx: img.metaDevIdx, mdCapacity: img.capacity });
}

function ringOf(img: Image): Uint8Array {
  const layout = layoutOf(img);
  return part(img, layout.alOffset, layout.alSize4k * 4096).slice();
}

/** Bits of one slot, up to the end of the bitmap area. */
function bitsOfSlot(img: Image, slot: number, limit: number): number[] {
  const layout = layoutOf(img);
  const bytes = part(img, layout.bmOffset, layout.bmSect * 512).slice();
  const words = new Uint32Array(bytes.buffer, 0, bytes.length / 4);
  const bits: number[] = [];
  for (let bit = 0; bit < limit; bit++) {
    if ((words[wordIndex(bit, layout.bmMaxPeers, slot)] >>> (bit % 32)) & 1) bits.push(bit);
  }
  return bits;
}

describe('crc32c', () => {
  it('is the Castagnoli one, without inversions', () => {
    const bytes = new TextEncoder().encode('123456789');
    expect((crc32c(0xffffffff, bytes, 0, 9) ^ 0xffffffff) >>> 0).toBe(0xe3069283);
    const half = crc32c(0, bytes, 0, 4);
    expect(crc32c(half, bytes, 4, 9)).toBe(crc32c(0, bytes, 0, 9));
  });
});

describe('activity log of genuine images (metadata.md 7)', () => {
  it.each(names09)('%s: every block is valid and encodes to the same bytes', (name) => {
    const img = image(name);
    const layout = layoutOf(img);
    const ring = ringOf(img);
    for (let at = 0; at < ring.length; at += 4096) {
      const block = decodeAlTransaction(ring, at, crc32c);
      if (block === null) throw new Error(`block at ${at}`);
      const out = new Uint8Array(4096);
      const view = new DataView(out.buffer);
      if (block.type === 0xffff) {
        encodeAlInitialized(view, out, 0, crc32c);
      } else {
        const committed = new Int32Array(block.contextSize).fill(-1);
        block.context.forEach((extent, i) => { committed[block.contextStart + i] = extent; });
        const wanted = committed.slice();
        for (const { slot, extent } of block.updates) wanted[slot] = extent;
        encodeAlTransaction(view, out, 0, block.trNumber, Int32Array.from(block.updates, (u) => u.slot),
          block.updates.length, wanted, committed, block.contextStart, crc32c);
        expect((alSectorOf(layout, block.trNumber) - layout.superBlockSector - layout.alOffset) * 512).toBe(at);
      }
      expect(out).toEqual(ring.slice(at, at + 4096));
    }
  });

  it.each(['v09-int-1peer-crashed', 'v09-int-7peer-primary-written', 'v09-int-3peer-alstripes-crashed'])(
    'replay of %s is what drbdmeta apply-al made', (name) => {
      const before = image(name);
      const after = image(`${name}-applied`);
      const layout = layoutOf(before);
      const replay = replayActivityLog(ringOf(before), crc32c);
      if (replay.kind !== 'active') throw new Error(replay.kind);
      const bytes = part(before, layout.bmOffset, layout.bmSect * 512).slice();
      const words = new Uint32Array(bytes.buffer);
      for (const extent of replay.extents) {
        const from = extent * 32 * layout.bmMaxPeers;
        words.fill(0xffffffff, from, from + 32 * layout.bmMaxPeers);
      }
      expect(bytes).toEqual(part(after, layout.bmOffset, layout.bmSect * 512));
      expect(replayActivityLog(ringOf(after), crc32c)).toEqual({ kind: 'unused' });
    });

  it('tolerates one torn block, not two, and not an empty ring', () => {
    const ring = ringOf(image('v09-int-3peer-alstripes-crashed'));
    const whole = replayActivityLog(ring, crc32c);
    ring[100] ^= 1;
    expect(replayActivityLog(ring, crc32c).kind).toBe('active');
    ring[4096 * 2 + 100] ^= 1;
    expect(replayActivityLog(ring, crc32c).kind).toBe('invalid');
    expect(whole.kind).toBe('active');
    expect(replayActivityLog(new Uint8Array(8 * 4096), crc32c).kind).toBe('invalid');
  });

  it('survives transaction numbers that wrap', () => {
    const ring = new Uint8Array(8 * 4096);
    const view = new DataView(ring.buffer);
    const committed = new Int32Array(67).fill(-1);
    for (let i = 0; i < 8; i++) {
      const wanted = committed.slice();
      wanted[0] = i;
      encodeAlTransaction(view, ring, i * 4096, (0xfffffffc + i) >>> 0, Int32Array.of(0), 1, wanted, committed, 0, crc32c);
      committed.set(wanted);
    }
    expect(replayActivityLog(ring, crc32c)).toEqual({ kind: 'active', extents: [7], newest: 3 });
  });
});

describe('bitmaps of genuine images (metadata.md 6)', () => {
  const steps = (from: number, to: number): number[] =>
    Array.from({ length: Math.floor((to - from) / 1024) + 1 }, (_, i) => from + i * 1024);
  const written = [...steps(0, 60000), ...steps(61000, 129000)];
  it('counts the 126 blocks of the README', () => expect(written).toHaveLength(126));

  it.each<[string, number, number[]]>([
    ['v09-int-1peer-down', 0, [3, 1000, 1001, 1002, 1003, 2600, 16000]],
    ['v09-int-7peer-down', 0, [20, 21, 8191]],
    ['v09-int-3peer-alstripes-down', 0, written],
    ['v09-int-3peer-alstripes-down', 1, written],
    ['v09-int-3peer-alstripes-down', 2, written],
  ])('%s slot %i', (name, slot, bits) => {
    const limit = name.includes('alstripes') ? 131000 : 16371;
    expect(bitsOfSlot(image(name), slot, limit)).toEqual(bits);
  });

  it('v09-int-7peer-down: unassigned slots are completely set', () => {
    for (let slot = 1; slot < 7; slot++) expect(bitsOfSlot(image('v09-int-7peer-down'), slot, 16371)).toHaveLength(16371);
  });
});
