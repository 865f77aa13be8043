// SPDX-License-Identifier: GPL-2.0-or-later
import type { Random } from '../host/random.ts';

/** xoshiro128**: small, fast, the same everywhere. */
export class SimRandom implements Random {
  readonly #s = new Uint32Array(4);
  /** Probability of rare(); 0 takes no rare branch. */
  rareness = 0;

  constructor(seed: number) {
    let x = seed >>> 0;
    for (let i = 0; i < 4; i++) { // splitmix32
      x = (x + 0x9e3779b9) >>> 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#s[i] = z ^ (z >>> 16);
    }
  }

  u32(): number {
    const s = this.#s;
    const result = Math.imul(rotl(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!; s[3]! ^= s[1]!; s[1]! ^= s[2]!; s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = rotl(s[3]!, 11);
    return result;
  }

  /** Uniform in [0, 1). */
  fraction(): number { return this.u32() / 2 ** 32; }
  below(bound: number): number { return Math.floor(this.fraction() * bound); }
  between(low: number, high: number): number { return low + this.fraction() * (high - low); }
  chance(probability: number): boolean { return this.fraction() < probability; }
  u64(): bigint { return (BigInt(this.u32()) << 32n) | BigInt(this.u32()); }
  fill(out: Uint8Array): void { for (let i = 0; i < out.length; i++) out[i] = this.u32() & 0xff; }
  rare(_place: string): boolean { return this.rareness > 0 && this.chance(this.rareness); }
}

const rotl = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
