// SPDX-License-Identifier: GPL-2.0-or-later
import { randomFillSync } from 'node:crypto';
import type { Random } from '../host/random.ts';

const bufferWords = 1024;

/** The system's randomness, fetched in blocks. */
export class LinuxRandom implements Random {
  private readonly words = new Uint32Array(bufferWords);
  private next = bufferWords;

  below(bound: number): number {
    // What lies above the largest multiple of bound would favour small numbers.
    const limit = 4294967296 - 4294967296 % bound;
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % bound;
  }

  u64(): bigint { return BigInt(this.word()) << 32n | BigInt(this.word()); }

  fill(out: Uint8Array): void { randomFillSync(out); }

  rare(_place: string): boolean { return false; }

  private word(): number {
    if (this.next === bufferWords) {
      randomFillSync(this.words);
      this.next = 0;
    }
    return this.words[this.next++]!;
  }
}
