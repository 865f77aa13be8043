// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EventKind, OpKind, Sizes } from '../../../src/linux/abi.ts';
import { native } from '../../../src/linux/native.ts';
import { LinuxCrypto } from '../../../src/linux/crypto.ts';

describe('numbers on both sides of the border', () => {
  it('are the same', () => {
    const { events, ops, ...sizes } = native.constants;
    expect(events).toEqual(EventKind);
    expect(ops).toEqual(OpKind);
    expect(sizes).toEqual(Sizes);
  });
});

describe('crc32c', () => {
  const standard = (bytes: Uint8Array) => (~native.crc32c(0xffffffff, bytes, 0, bytes.length)) >>> 0;

  it('gives the values of RFC 3720', () => {
    expect(standard(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(standard(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(standard(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(standard(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  it('is the same by instruction and by table, whole and continued', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), fc.nat({ max: 0xffffffff }), (bytes, cut, seed) => {
      const at = cut % (bytes.length + 1);
      const whole = native.crc32c(seed, bytes, 0, bytes.length);
      expect(native.crc32cTable(seed, bytes, 0, bytes.length)).toBe(whole);
      expect(native.crc32c(native.crc32c(seed, bytes, 0, at), bytes, at, bytes.length)).toBe(whole);
    }));
  });

  it('refuses a range outside the bytes', () => {
    const bytes = new Uint8Array(8);
    for (const [from, to] of [[0, 9], [-1, 4], [5, 4], [NaN, 4]]) {
      expect(() => native.crc32c(0, bytes, from!, to!)).toThrow(RangeError);
    }
  });
});

/** Bits in the plainest way: the reference. */
class Reference {
  readonly sets: Set<number>[];
  constructor(slots: number) { this.sets = Array.from({ length: slots }, () => new Set<number>()); }
  write(slot: number, from: number, to: number, value: boolean): number {
    let changed = 0;
    for (let bit = from; bit < to; bit++) {
      if (this.sets[slot]!.has(bit) === value) continue;
      changed++;
      if (value) this.sets[slot]!.add(bit);
      else this.sets[slot]!.delete(bit);
    }
    return changed;
  }
  count(slot: number, from: number, to: number): number {
    return [...this.sets[slot]!].filter((bit) => bit >= from && bit < to).length;
  }
  next(slot: number, from: number, to: number, value: boolean): number {
    for (let bit = from; bit < to; bit++) if (this.sets[slot]!.has(bit) === value) return bit;
    return to;
  }
}

describe('bitmap work', () => {
  const bits = 500;
  const range = fc.tuple(fc.nat({ max: bits }), fc.nat({ max: bits })).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);

  it('does what the reference does, and leaves the other slots alone', () => {
    const step = fc.record({ slot: fc.nat({ max: 6 }), range, value: fc.boolean() });
    fc.assert(fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 30 }), (stride, steps) => {
      const memory = new Uint8Array(Math.ceil(bits / 32) * 4 * stride);
      const reference = new Reference(stride);
      for (const { slot: wanted, range: [from, to], value } of steps) {
        const slot = wanted % stride;
        expect(native.bitmapWrite(memory, stride, slot, from, to, value)).toBe(reference.write(slot, from, to, value));
        for (let s = 0; s < stride; s++) {
          expect(native.bitmapCount(memory, stride, s, 0, bits)).toBe(reference.sets[s]!.size);
        }
        expect(native.bitmapCount(memory, stride, slot, from, to)).toBe(reference.count(slot, from, to));
        expect(native.bitmapNext(memory, stride, slot, from, bits, true)).toBe(reference.next(slot, from, bits, true));
        expect(native.bitmapNext(memory, stride, slot, from, bits, false)).toBe(reference.next(slot, from, bits, false));
      }
    }), { numRuns: 60 });
  });

  it('merges and extracts plain words, as they come over the wire', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.uint8Array({ minLength: 64, maxLength: 64 }),
      fc.integer({ min: 0, max: 512 }), (mine, theirs, to) => {
        const memory = new Uint8Array(64 * 3);
        native.bitmapMerge(memory, 3, 1, 0, 512, mine, 0);
        const before = native.bitmapCount(memory, 3, 1, 0, 512);
        const added = native.bitmapMerge(memory, 3, 1, 0, to, theirs, 0);
        expect(native.bitmapCount(memory, 3, 1, 0, 512)).toBe(before + added);
        const out = new Uint8Array(64);
        native.bitmapExtract(memory, 3, 1, 0, 512, out, 0);
        const expected = mine.map((byte, i) => {
          const kept = Math.max(0, Math.min(8, to - i * 8));
          return byte | (theirs[i]! & (kept === 8 ? 255 : (1 << kept) - 1));
        });
        expect(out).toEqual(expected);
        expect(native.bitmapCount(memory, 3, 0, 0, 512) + native.bitmapCount(memory, 3, 2, 0, 512)).toBe(0);
      }));
  });

  it('has the on-disk layout: little-endian words, slots interleaved', () => {
    const memory = new Uint8Array(16);
    native.bitmapWrite(memory, 2, 1, 33, 34, true);
    expect([...memory]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
  });

  it('refuses what lies outside', () => {
    const memory = new Uint8Array(8);
    expect(() => native.bitmapWrite(memory, 1, 0, 0, 65, true)).toThrow(RangeError);
    expect(() => native.bitmapWrite(memory, 2, 1, 0, 33, true)).toThrow(RangeError);
    expect(() => native.bitmapWrite(memory, 1, 1, 0, 1, true)).toThrow(RangeError);
    expect(() => native.bitmapMerge(memory, 1, 0, 1, 64, new Uint8Array(8), 0)).toThrow(RangeError);
    expect(() => native.bitmapExtract(memory, 1, 0, 0, 64, new Uint8Array(7), 0)).toThrow(RangeError);
  });
});

describe('digests', () => {
  const crypto = new LinuxCrypto();
  const data = Buffer.from('some data of a block');

  it.each(['md5', 'sha1', 'sha256', 'sha512'])('%s is that of node:crypto, keyed and not', (name) => {
    const out = new Uint8Array(80);
    crypto.digest(name, { bytes: data } as never, 5, 10, out, 3);
    const bytes = crypto.digestBytes(name);
    expect(Buffer.from(out.subarray(3, 3 + bytes))).toEqual(createHash(name).update(data.subarray(5, 15)).digest());
    expect(Buffer.from(crypto.hmac(name, Buffer.from('key'), data))).toEqual(createHmac(name, 'key').update(data).digest());
  });

  it('knows crc32c as the kernel has it, and says 0 for what it does not know', () => {
    const out = new Uint8Array(4);
    crypto.digest('crc32c', { bytes: Buffer.from('123456789') } as never, 0, 9, out, 0);
    expect([...out]).toEqual([0x83, 0x92, 0x06, 0xe3]);
    expect(crypto.digestBytes('no-such')).toBe(0);
    expect(() => crypto.digest('no-such', { bytes: data } as never, 0, 1, out, 0)).toThrow(RangeError);
  });
});
