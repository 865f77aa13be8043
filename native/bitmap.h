// SPDX-License-Identifier: GPL-2.0-or-later
// Inner loops over 32-bit words of a bitmap: src/meta/bitmap-primitives.ts is the reference.
#pragma once
#include <cstddef>
#include <cstdint>

namespace drbdd {

/// Every stride-th word from `at` on: one slot of an interleaved bitmap; stride 1 is a plain one.
struct Words {
  uint32_t *at;
  size_t stride;
  size_t count;
};

/// All become `value`; returns how many bits changed.
uint64_t bitmap_fill(Words words, uint32_t value);
/// Bits set.
uint64_t bitmap_count(Words words);
/// Number of the first word that is not `skip`; -1 when all are.
int64_t bitmap_find_not(Words words, uint32_t skip);
/// ORs as many words of `source` in; returns how many bits became set.
uint64_t bitmap_merge(Words words, Words source);
/// Copies as many words of `source`; returns bits set after minus bits set before.
int64_t bitmap_copy(Words words, Words source);

}  // namespace drbdd
