// SPDX-License-Identifier: GPL-2.0-or-later
import type { Arena } from './arena.ts';

/** Algorithms by the kernel's names: sha1, sha256, sha512, md5, crc32c… */
export interface Crypto {
  /** Bytes of its digest, 0 when unknown. */
  digestBytes(algorithm: string): number;
  /** hmac(algorithm) as CRAM-HMAC uses it (wire.md 4). Cold. */
  hmac(algorithm: string, key: Uint8Array, data: Uint8Array): Uint8Array;
  /** Digest of an arena's range into out at `at`. */
  digest(algorithm: string, arena: Arena, offset: number, sizeBytes: number, out: Uint8Array, at: number): void;
  /** CRC-32C of bytes, continued from `seed`. */
  crc32c(seed: number, bytes: Uint8Array, from: number, to: number): number;
}
