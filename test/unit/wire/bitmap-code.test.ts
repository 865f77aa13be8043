// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BitmapDecoder, BitmapEncoder, type DecodeResult } from '../../../src/wire/bitmap-code.ts';
import { PBitmap, PCompressedBitmap } from '../../../src/wire/packets/bitmap.ts';
import { PSizes } from '../../../src/wire/packets/sizes.ts';
import { BitReader, BitWriter, VLI_ROWS, vliBits } from '../../../src/wire/vli.ts';
import { Bits } from './bits.ts';
import { type Captured, captureNames, readCapture, RELEASES } from './captures.ts';

interface Packet { readonly command: number; readonly hex: string }

const hexOf = (view: DataView, at: number, bytes: number): string => Buffer.from(view.buffer, view.byteOffset + at, bytes).toString('hex');

function encode(bits: Bits, useRle = true, budgetWords = 1000): Packet[] {
  const encoder = new BitmapEncoder(bits, 16, useRle);
  const view = new DataView(new ArrayBuffer(5000));
  const packets: Packet[] = [];
  for (;;) {
    const result = encoder.next(view, 7, budgetWords);
    if (result === 'done') return packets;
    if (result === 'packet') packets.push({ command: encoder.command, hex: hexOf(view, 7, encoder.bodyBytes) });
  }
}

function decode(bits: number, packets: readonly Packet[], budgetWords = 1000): { bits: Bits; last: DecodeResult } {
  const into = new Bits(bits);
  const decoder = new BitmapDecoder(into, 16);
  let last: DecodeResult = 'packet';
  for (const { command, hex } of packets) {
    if (last !== 'packet') return { bits: into, last: { error: 'packet after the end' } };
    const bytes = Buffer.from(hex, 'hex');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    last = command === PBitmap.command ? decoder.plain(view, 0, bytes.length)
      : decoder.compressed(view, 0, bytes.length, budgetWords);
    while (last === 'more') last = decoder.work(budgetWords);
    if (typeof last === 'object') break;
  }
  return { bits: into, last };
}

const compressed = (hex: string): Packet => ({ command: PCompressedBitmap.command, hex });
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('worked examples of wire.md 9.3', () => {
  it.each([
    ['all clear', [], '323fc506'],
    ['all set', range(0, 2037), 'b23fc506'],
    ['single bits and a range', [0, 10, 256, 260, 390, ...range(512, 543), 768, 1536], 'c21cf88809' + '1f141fd27bdf2b3fce811f6200'],
    ['two ranges', [...range(16, 19), 32, 33], '02f7defc1935'],
  ])('%s', (_name, set, hex) => {
    const bits = new Bits(2038, set);
    expect(encode(bits)).toEqual([compressed(hex)]);
    expect(decode(2038, [compressed(hex)])).toEqual({ bits: new Bits(2038, set), last: 'done' });
  });

  it('plain: 32 words, then an empty packet', () => {
    const packets = encode(new Bits(2038, [0, 2037]), false);
    expect(packets.map(({ command, hex }) => [command, hex.length / 2])).toEqual([[4, 256], [4, 0]]);
    expect(decode(2038, packets)).toEqual({ bits: new Bits(2038, [0, 2037]), last: 'done' });
  });
});

describe('round trips', () => {
  /** Runs of all orders of magnitude, so that plain and compressed packets mix. */
  const runs = fc.array(fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 60_000 })),
    { minLength: 1, maxLength: 60 });
  const dense = fc.tuple(fc.nat(5000), fc.nat(70_000)).map(([from, length]) => ({ from, length }));

  it('any bitmap arrives, whatever the budget and the encoding', () => {
    fc.assert(fc.property(runs, dense, fc.boolean(), fc.integer({ min: 1, max: 200 }), (lengths, alternating, useRle, budget) => {
      const total = lengths.reduce((sum, length) => sum + length, 0) + alternating.length;
      const bits = new Bits(total);
      let at = 0;
      lengths.forEach((length, i) => {
        if (i % 2 === 1) bits.at.fill(1, at, at + length);
        at += length;
      });
      for (let i = alternating.from; i < Math.min(total, alternating.from + alternating.length); i += 2) bits.at[i] ^= 1;
      const packets = encode(bits, useRle, budget);
      const { bits: arrived, last } = decode(total, packets, budget);
      expect(last).toBe('done');
      expect(Buffer.compare(arrived.at, bits.at)).toBe(0);
      for (const { hex } of packets) expect(hex.length / 2).toBeLessThanOrEqual(4080);
    }), { numRuns: 60 });
  });

  it('a bitmap of no bits is one empty packet', () => {
    expect(encode(new Bits(0))).toEqual([{ command: PBitmap.command, hex: '' }]);
  });

  it('a bitmap that changes while it is read still gives whole packets', () => {
    const bits = new Bits(4000, range(100, 200));
    const encoder = new BitmapEncoder(bits, 16, true);
    const view = new DataView(new ArrayBuffer(5000));
    const packets: Packet[] = [];
    for (let step = 0; ; step++) {
      const result = encoder.next(view, 0, 1);
      if (result === 'done') break;
      if (result === 'packet') packets.push({ command: encoder.command, hex: hexOf(view, 0, encoder.bodyBytes) });
      bits.at[(step * 37) % 4000] ^= 1;
      bits.at[100] ^= 1;
    }
    expect(decode(4000, packets).last).toBe('done');
  });
});

describe('captured bitmaps', () => {
  const isBitmap = ({ command }: Captured): boolean => command === PBitmap.command || command === PCompressedBitmap.command;

  /** Transfers of one stream: what follows each other, volume by volume, and is complete for one of the sizes seen. */
  function transfers(packets: readonly Captured[], sizes: ReadonlySet<number>): Array<{ bits: Bits; packets: Packet[] }> {
    const found: Array<{ bits: Bits; packets: Packet[] }> = [];
    let open: Packet[] = [];
    let volume = -1;
    for (const captured of packets.filter(isBitmap)) {
      if (captured.volume !== volume) open = [];
      volume = captured.volume;
      open.push({ command: captured.command, hex: hexOf(captured.body, 0, captured.bodyBytes) });
      for (const size of sizes) {
        const { bits, last } = decode(size, open);
        if (last !== 'done') continue;
        found.push({ bits, packets: open });
        open = [];
        break;
      }
    }
    expect(open).toEqual([]);
    return found;
  }

  it.each(RELEASES.flatMap(([release, agreed]) => captureNames(release).map((name) => [release, name, agreed] as const)))(
    '%s %s: decodes to the end, and the encoder makes the same bytes', (release, name, agreed) => {
      const streams = readCapture(release, name);
      const sizes = new Set<number>();
      for (const { packets } of streams) {
        for (const { command, body, bodyBytes, format } of packets) {
          if (command !== PSizes.command || format === 'h80') continue;
          const { cSize, dSize } = PSizes.decode(body, 0, bodyBytes, agreed);
          if (cSize > 0) sizes.add(Math.ceil(cSize / 8));
          if (dSize > 0) sizes.add(Math.ceil(dSize / 8));
        }
      }
      for (const { packets } of streams) {
        for (const { bits, packets: original } of transfers(packets, sizes)) {
          const useRle = original.some(({ command }) => command === PCompressedBitmap.command);
          expect(encode(bits, useRle)).toEqual(original);
        }
      }
    });
});

describe('hostile packets', () => {
  it.each([
    ['unknown encoding', '333fc506', 'unknown encoding'],
    ['too short', '32', 'of 1 bytes'],
    ['a run beyond the end', '323fcd06', 'run of'],
    ['a cut code word', '023f', 'no run length'],
    ['an endless run', '02ffffffffffffffff', 'no run length'],
  ])('%s', (_name, hex, text) => {
    const { last } = decode(2038, [compressed(hex)]);
    expect((last as { error: string }).error).toContain(text);
  });

  it.each([255, 264, 0])('plain of %i bytes', (bytes) => {
    const { last } = decode(2038, [{ command: PBitmap.command, hex: '00'.repeat(bytes) }]);
    expect(last).toEqual({ error: `P_BITMAP of ${bytes} bytes, not 256` });
  });

  it('bits beyond the end are dropped', () => {
    const { bits } = decode(2038, [{ command: PBitmap.command, hex: 'ff'.repeat(256) }]);
    expect(bits.at.every((bit) => bit === 1)).toBe(true);
  });

  it('any bytes give a result', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
      bytes[0] = (bytes[0] & 0xf0) | 2;
      decode(5000, [compressed(Buffer.from(bytes).toString('hex'))], 3);
    }));
  });
});

describe('run lengths', () => {
  it('have the rows of wire.md 9.2', () => {
    expect(VLI_ROWS.map(({ first }) => first)).toEqual(
      [1, 3, 5, 9, 17, 49, 305, 8497, 2105649, 17181974833]);
    expect([1, 3, 5, 9, 17, 49, 305, 8497, 2105649, 17181974833].map(vliBits)).toEqual([2, 3, 5, 7, 10, 14, 21, 29, 42, 64]);
  });

  it('are read back at every limit and between', () => {
    const limits = VLI_ROWS.flatMap(({ first, last }) => [first, last]).filter((run) => run <= Number.MAX_SAFE_INTEGER);
    fc.assert(fc.property(fc.array(fc.oneof(fc.constantFrom(...limits), fc.maxSafeNat().map((n) => n + 1).filter(Number.isSafeInteger)),
      { minLength: 1, maxLength: 100 }), (values) => {
      const view = new DataView(new ArrayBuffer(1000));
      const writer = new BitWriter(view, 3, 990);
      for (const run of values) expect(writer.putRun(run)).toBe(true);
      const reader = new BitReader(1000);
      reader.load(view, 3, writer.bytes, writer.bytes * 8 - writer.bits);
      expect(values.map(() => reader.takeRun())).toEqual(values);
      expect(reader.left).toBe(0);
      expect(reader.takeRun()).toBe(0);
    }));
  });
});
