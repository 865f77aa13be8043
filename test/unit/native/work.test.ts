// SPDX-License-Identifier: GPL-2.0-or-later
import fc from 'fast-check';
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { BitmapPrimitives } from '../../../src/host/bitmap.ts';
import { EventKind, OpKind, Sizes } from '../../../src/linux/abi.ts';
import { native } from '../../../src/linux/native.ts';
import { LinuxCrypto } from '../../../src/linux/crypto.ts';
import { bitmapPrimitives } from '../../../src/meta/bitmap-primitives.ts';

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

describe('bitmap loops', () => {
  const word = fc.oneof(fc.constantFrom(0, 0xffffffff), fc.nat({ max: 0xffffffff }));
  const wordsOf = (length: number) => fc.array(word, { minLength: length, maxLength: length }).map((values) => Uint32Array.from(values));
  const length = 60;
  /** A start, a stride and a count that fit. */
  const range = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.nat({ max: length }), fc.nat({ max: length })).map(([stride, index, count]) =>
    [index, stride, Math.min(count, Math.ceil((length - index) / stride))] as const);

  it('do what the reference does, and nothing else', () => {
    fc.assert(fc.property(wordsOf(length), wordsOf(length), range, range, word, (mine, other, [index, stride, most], [from, by, available], value) => {
      const count = Math.min(most, available);
      const calls: ((loops: BitmapPrimitives, words: Uint32Array) => number)[] = [
        (loops, words) => loops.fill(words, index, stride, most, value),
        (loops, words) => loops.count(words, index, stride, most),
        (loops, words) => loops.findNot(words, index, stride, most, value),
        (loops, words) => loops.merge(words, index, stride, count, other, from, by),
        (loops, words) => loops.copy(words, index, stride, count, other, from, by),
      ];
      for (const call of calls) {
        const [ours, wanted] = [mine.slice(), mine.slice()];
        expect(call(native.bitmap, ours)).toBe(call(bitmapPrimitives, wanted));
        expect(ours).toEqual(wanted);
      }
    }));
  });

  it('refuse what lies outside', () => {
    const words = new Uint32Array(8);
    expect(() => native.bitmap.fill(words, 0, 1, 9, 0)).toThrow(RangeError);
    expect(() => native.bitmap.count(words, 7, 2, 2)).toThrow(RangeError);
    expect(() => native.bitmap.count(words, -1, 1, 1)).toThrow(RangeError);
    expect(() => native.bitmap.findNot(words, 0, 0, 1, 0)).toThrow(RangeError);
    expect(() => native.bitmap.findNot(words, NaN, 1, 1, 0)).toThrow(RangeError);
    expect(() => native.bitmap.merge(words, 0, 1, 4, new Uint32Array(3), 0, 1)).toThrow(RangeError);
    expect(() => native.bitmap.copy(words, 0, 2, 5, new Uint32Array(8), 0, 1)).toThrow(RangeError);
    expect(native.bitmap.count(words, 8, 1, 0)).toBe(0);
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
