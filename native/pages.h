// SPDX-License-Identifier: GPL-2.0-or-later
// Runs of 4 KiB pages in an arena. The map lies in memory shared with JavaScript (src/linux/pages.ts works on it too).
#pragma once
#include <cstdint>

namespace drbdd {

constexpr uint32_t kPageBytes = 4096;

/// Words of the shared map; the bit words (1 = taken) follow at kPagesBits.
enum PagesWord { kPagesCount = 0, kPagesCursor = 1, kPagesFree = 2, kPagesNativeWaits = 3, kPagesScriptWaits = 4, kPagesBits = 8 };

class Pages {
 public:
  Pages() = default;
  /// `words`: the shared map of `word_count` words; false when it does not fit its own count.
  bool attach(int32_t *words, uint32_t word_count);
  /// Index of the first page of a free run of `count` pages, now taken; -1 when there is none.
  int32_t alloc(uint32_t count);
  /// Gives a run back; false when it was not taken (nothing is changed then).
  bool free(uint32_t first, uint32_t count);
  uint32_t count() const { return count_; }
  int32_t &word(PagesWord index) { return words_[index]; }

 private:
  int32_t find(uint32_t count, uint32_t from, uint32_t to) const;
  bool all_taken(uint32_t first, uint32_t count) const;
  void mark(uint32_t first, uint32_t count, bool taken);
  uint32_t *bits() const { return reinterpret_cast<uint32_t *>(words_ + kPagesBits); }
  int32_t *words_ = nullptr;
  uint32_t count_ = 0;
};

/// Memory that sockets and disks share. `base` is null for an id that is not in use.
struct Arena {
  uint8_t *base = nullptr;
  uint64_t size = 0;
  /// Where the engine's own part, governed by `pages`, starts.
  uint32_t pages_offset = 0;
  /// Pages may be given to sockets: they are not used anew before the last one has given them back.
  bool splice = false;
  Pages pages;
  bool holds(uint64_t offset, uint64_t bytes) const { return base && offset <= size && bytes <= size - offset; }
};

}  // namespace drbdd
