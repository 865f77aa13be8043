// SPDX-License-Identifier: GPL-2.0-or-later
// Work over ranges of bits, in the layout of DRBD's on-disk bitmap: little-endian 32-bit words, the slots of
// the peers interleaved word by word.
#pragma once
#include <cstdint>

namespace drbdd {

/// One peer's bits in interleaved memory. stride 1, slot 0 is a plain bitmap.
struct BitSlot {
  uint32_t *words;
  uint64_t bits;
  uint32_t stride;
  uint32_t slot;
};

/// Sets or clears [from, to); returns how many bits changed.
uint64_t bitmap_write(const BitSlot &slot, uint64_t from, uint64_t to, bool value);
/// Bits set in [from, to).
uint64_t bitmap_count(const BitSlot &slot, uint64_t from, uint64_t to);
/// First bit of `value` in [from, to); `to` when there is none. The length of a run is next(…, !value) - from.
uint64_t bitmap_next(const BitSlot &slot, uint64_t from, uint64_t to, bool value);
/// ORs `words` (little-endian 32-bit, plain, as received) into the slot from bit `from` (multiple of 32); bits past `to` are ignored. Returns how many became set.
uint64_t bitmap_merge(const BitSlot &slot, uint64_t from, uint64_t to, const uint8_t *source);
/// Copies [from, to) (from a multiple of 32) out to plain little-endian words; bits past `to` are 0.
void bitmap_extract(const BitSlot &slot, uint64_t from, uint64_t to, uint8_t *target);

}  // namespace drbdd
