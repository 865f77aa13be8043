// SPDX-License-Identifier: GPL-2.0-or-later
#include "bitmap.h"

#include <bit>

// The instruction where there is one: asked once, when the addon is loaded. Other processors have theirs always.
#if defined(__x86_64__)
#define COUNTS_BITS __attribute__((target_clones("popcnt", "default")))
#else
#define COUNTS_BITS
#endif

namespace drbdd {

static_assert(std::endian::native == std::endian::little, "bitmap words are used in place");

COUNTS_BITS uint64_t bitmap_fill(Words words, uint32_t value) {
  uint64_t changed = 0;
  for (size_t i = 0; i < words.count; i++, words.at += words.stride) {
    changed += static_cast<uint64_t>(std::popcount(*words.at ^ value));
    *words.at = value;
  }
  return changed;
}

COUNTS_BITS uint64_t bitmap_count(Words words) {
  uint64_t bits = 0;
  for (size_t i = 0; i < words.count; i++, words.at += words.stride) bits += static_cast<uint64_t>(std::popcount(*words.at));
  return bits;
}

int64_t bitmap_find_not(Words words, uint32_t skip) {
  for (size_t i = 0; i < words.count; i++, words.at += words.stride) {
    if (*words.at != skip) return static_cast<int64_t>(i);
  }
  return -1;
}

COUNTS_BITS uint64_t bitmap_merge(Words words, Words source) {
  uint64_t changed = 0;
  for (size_t i = 0; i < words.count; i++, words.at += words.stride, source.at += source.stride) {
    changed += static_cast<uint64_t>(std::popcount(*source.at & ~*words.at));
    *words.at |= *source.at;
  }
  return changed;
}

COUNTS_BITS int64_t bitmap_copy(Words words, Words source) {
  int64_t difference = 0;
  for (size_t i = 0; i < words.count; i++, words.at += words.stride, source.at += source.stride) {
    difference += std::popcount(*source.at) - std::popcount(*words.at);
    *words.at = *source.at;
  }
  return difference;
}

}  // namespace drbdd
