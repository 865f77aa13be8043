// SPDX-License-Identifier: GPL-2.0-or-later
#include "bitmap.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace drbdd {
namespace {

static_assert(std::endian::native == std::endian::little, "bitmap words are used in place");

/// Bits of word number `index` that lie in [from, to).
uint32_t mask_of(uint64_t index, uint64_t from, uint64_t to) {
  uint64_t start = index * 32;
  uint32_t mask = ~0u;
  if (from > start) mask &= ~0u << (from - start);
  if (to < start + 32) mask &= ~0u >> (start + 32 - to);
  return mask;
}

uint32_t &word_at(const BitSlot &slot, uint64_t index) { return slot.words[index * slot.stride + slot.slot]; }

}  // namespace

uint64_t bitmap_write(const BitSlot &slot, uint64_t from, uint64_t to, bool value) {
  uint64_t changed = 0;
  for (uint64_t index = from / 32; index * 32 < to; index++) {
    uint32_t mask = mask_of(index, from, to);
    uint32_t &word = word_at(slot, index);
    uint32_t next = value ? word | mask : word & ~mask;
    changed += std::popcount(word ^ next);
    word = next;
  }
  return changed;
}

uint64_t bitmap_count(const BitSlot &slot, uint64_t from, uint64_t to) {
  uint64_t count = 0;
  for (uint64_t index = from / 32; index * 32 < to; index++) {
    count += std::popcount(word_at(slot, index) & mask_of(index, from, to));
  }
  return count;
}

uint64_t bitmap_next(const BitSlot &slot, uint64_t from, uint64_t to, bool value) {
  for (uint64_t index = from / 32; index * 32 < to; index++) {
    uint32_t word = word_at(slot, index);
    uint32_t found = (value ? word : ~word) & mask_of(index, from, to);
    if (found) return index * 32 + std::countr_zero(found);
  }
  return to;
}

uint64_t bitmap_merge(const BitSlot &slot, uint64_t from, uint64_t to, const uint8_t *source) {
  uint64_t changed = 0;
  for (uint64_t index = from / 32; index * 32 < to; index++, source += 4) {
    uint32_t incoming;
    memcpy(&incoming, source, 4);
    uint32_t &word = word_at(slot, index);
    uint32_t next = word | (incoming & mask_of(index, from, to));
    changed += std::popcount(word ^ next);
    word = next;
  }
  return changed;
}

void bitmap_extract(const BitSlot &slot, uint64_t from, uint64_t to, uint8_t *target) {
  for (uint64_t index = from / 32; index * 32 < to; index++, target += 4) {
    uint32_t word = word_at(slot, index) & mask_of(index, from, to);
    memcpy(target, &word, 4);
  }
}

}  // namespace drbdd
