// SPDX-License-Identifier: GPL-2.0-or-later
/** CRC-32C (Castagnoli, reflected) without initial value or final inversion, as the activity log wants it. */
export type Crc32c = (seed: number, bytes: Uint8Array, from: number, to: number) => number;

const table = new Uint32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  table[n] = c >>> 0;
}

/** Reference; `native/` and `host/crypto.ts` have faster ones of the same signature. */
export const crc32c: Crc32c = (seed, bytes, from, to) => {
  let c = seed;
  for (let i = from; i < to; i++) c = table[(c ^ bytes[i]) & 0xff] ^ (c >>> 8);
  return c >>> 0;
};
