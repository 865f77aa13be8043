// SPDX-License-Identifier: GPL-2.0-or-later
/** Bitmap exchange: the code itself is in ../bitmap-code.ts. @spec wire.md 9 */
import { u8 } from '../fields.ts';
import { BITMAP_PACKET_BYTES } from '../limits.ts';
import { packet, type ValueOf } from '../schema.ts';
import { bytesTail } from '../tails.ts';

/** With the smaller header of older versions the body is the larger. */
const BODY_BYTES_MAX = BITMAP_PACKET_BYTES - 8;

/** Words of 64 bits, little endian; empty as the end mark. */
export const PBitmap = packet({
  name: 'P_BITMAP',
  command: 0x04,
  stream: 'data',
  scope: 'volume',
  fields: {},
  tail: bytesTail('words', 0, BODY_BYTES_MAX, 8),
});
export type PBitmap = ValueOf<typeof PBitmap>;

/** encoding: bits 0-3 = 2, bits 4-6 padding bits at the end, bit 7 first run is of set bits. */
export const PCompressedBitmap = packet({
  name: 'P_COMPRESSED_BITMAP',
  command: 0x24,
  stream: 'data',
  scope: 'volume',
  versions: [90, 0xffff],
  fields: { encoding: u8({ hex: true }) },
  tail: bytesTail('code', 1, BODY_BYTES_MAX - 1),
});
export type PCompressedBitmap = ValueOf<typeof PCompressedBitmap>;
