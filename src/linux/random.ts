// SPDX-License-Identifier: GPL-2.0-or-later
import { openSync, readSync } from 'node:fs';
import { assert } from '../assert.ts';
import type { Random } from '../host/random.ts';

const bufferWords = 1024;

/** The system's randomness, fetched in blocks. From the device: node:crypto costs a fifth of the engine's start. */
export class LinuxRandom implements Random {
  private readonly words = new Uint32Array(bufferWords);
  private readonly fd = openSync('/dev/urandom', 'r');
  private next = bufferWords;

  below(bound: number): number {
    // What lies above the largest multiple of bound would favour small numbers.
    const limit = 4294967296 - 4294967296 % bound;
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % bound;
  }

  u64(): bigint { return BigInt(this.word()) << 32n | BigInt(this.word()); }

  fill(out: Uint8Array): void {
    for (let at = 0; at < out.byteLength;) {
      const count = readSync(this.fd, out, at, out.byteLength - at, null);
      assert(count > 0, 'the random device has no end');
      at += count;
    }
  }

  rare(_place: string): boolean { return false; }

  private word(): number {
    if (this.next === bufferWords) {
      this.fill(new Uint8Array(this.words.buffer));
      this.next = 0;
    }
    return this.words[this.next++]!;
  }
}
