// SPDX-License-Identifier: GPL-2.0-or-later
import { createHash, createHmac } from 'node:crypto';
import type { Arena } from '../host/arena.ts';
import type { Crypto } from '../host/crypto.ts';
import { crc32c } from '../meta/crc32c.ts';
import { ByteArena, TagArena } from './arena.ts';

const BYTES: Readonly<Record<string, number>> = { md5: 16, sha1: 20, sha256: 32, sha512: 64, crc32c: 4 };

/** Real algorithms; a tag arena's digest is that of its tags. */
export class SimCrypto implements Crypto {
  digestBytes(algorithm: string): number { return BYTES[algorithm] ?? 0; }

  hmac(algorithm: string, key: Uint8Array, data: Uint8Array): Uint8Array {
    return createHmac(algorithm, key).update(data).digest();
  }

  digest(algorithm: string, arena: Arena, offset: number, sizeBytes: number, out: Uint8Array, at: number): void {
    const tags = arena instanceof TagArena ? arena.at(offset, sizeBytes) : null;
    const bytes = tags ? new Uint8Array(tags.buffer, tags.byteOffset, tags.byteLength)
      : (arena as ByteArena).bytes.subarray(offset, offset + sizeBytes);
    if (algorithm === 'crc32c') new DataView(out.buffer, out.byteOffset).setUint32(at, this.crc32c(~0, bytes, 0, bytes.length));
    else out.set(createHash(algorithm).update(bytes).digest(), at);
  }

  crc32c(seed: number, bytes: Uint8Array, from: number, to: number): number { return crc32c(seed, bytes, from, to); }
}
