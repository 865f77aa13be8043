// SPDX-License-Identifier: GPL-2.0-or-later
export interface Random {
  /** Uniform integer in [0, bound), bound at most 2^32. */
  below(bound: number): number;
  /** 64 random bits, for UUIDs. */
  u64(): bigint;
  /** Fills `out` with random bytes fit for challenges. */
  fill(out: Uint8Array): void;
  /** True now and then in the simulator where a rare branch may be taken on purpose; always false in the daemon. */
  rare(place: string): boolean;
}
