// SPDX-License-Identifier: GPL-2.0-or-later
import { assert } from '../assert.ts';
import type { Arena } from '../host/arena.ts';
import type { Crypto } from '../host/crypto.ts';
import type { LinuxArena } from './arena.ts';
import { native } from './native.ts';

/** Digests of the runtime's OpenSSL and the processor's crc32c, by the kernel's names. */
export class LinuxCrypto implements Crypto {
  private readonly handles = new Map<string, number>();

  digestBytes(algorithm: string): number { return native.digestBytes(this.handle(algorithm)); }

  hmac(algorithm: string, key: Uint8Array, data: Uint8Array): Uint8Array {
    const out = new Uint8Array(this.digestBytes(algorithm));
    native.hmac(this.handle(algorithm), key, data, out);
    return out;
  }

  digest(algorithm: string, arena: Arena, offset: number, sizeBytes: number, out: Uint8Array, at: number): void {
    native.digest(this.handle(algorithm), (arena as LinuxArena).bytes, offset, sizeBytes, out, at);
  }

  crc32c(seed: number, bytes: Uint8Array, from: number, to: number): number {
    assert(seed >= 0, 'a seed is unsigned');
    return native.crc32c(seed, bytes, from, to);
  }

  /** "hmac(sha1)" has no digest of its own; an unknown name is -1, of which digestBytes is 0. */
  private handle(algorithm: string): number {
    let handle = this.handles.get(algorithm);
    if (handle === undefined) {
      handle = native.digestFind(algorithm);
      this.handles.set(algorithm, handle);
    }
    return handle;
  }
}
