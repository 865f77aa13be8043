// SPDX-License-Identifier: GPL-2.0-or-later
#include "pages.h"

#include <algorithm>
#include <bit>

namespace drbdd {

bool Pages::attach(int32_t *words, uint32_t word_count) {
  if (word_count < kPagesBits || words[kPagesCount] < 0) return false;
  uint32_t count = static_cast<uint32_t>(words[kPagesCount]);
  if ((count + 31) / 32 > word_count - kPagesBits) return false;
  words_ = words;
  count_ = count;
  return true;
}

int32_t Pages::find(uint32_t count, uint32_t from, uint32_t to) const {
  uint32_t run = 0;
  for (uint32_t page = from; page < to;) {
    uint32_t left = 32 - (page & 31);
    uint32_t word = bits()[page >> 5] >> (page & 31);
    if (word & 1) {
      run = 0;
      page += std::min<uint32_t>(std::countr_one(word), left);
      continue;
    }
    uint32_t zeros = std::min<uint32_t>(word ? std::countr_zero(word) : left, to - page);
    if (run + zeros >= count) return static_cast<int32_t>(page - run);
    run += zeros;
    page += zeros;
  }
  return -1;
}

int32_t Pages::alloc(uint32_t count) {
  if (!words_ || count == 0 || static_cast<int64_t>(count) > words_[kPagesFree]) return -1;
  uint32_t cursor = static_cast<uint32_t>(words_[kPagesCursor]) % count_;
  int32_t first = find(count, cursor, count_);
  if (first < 0) first = find(count, 0, std::min(count_, cursor + count));
  if (first < 0) return -1;
  mark(static_cast<uint32_t>(first), count, true);
  words_[kPagesCursor] = first + static_cast<int32_t>(count);
  words_[kPagesFree] -= static_cast<int32_t>(count);
  return first;
}

bool Pages::free(uint32_t first, uint32_t count) {
  if (!words_ || first > count_ || count > count_ - first || !all_taken(first, count)) return false;
  mark(first, count, false);
  words_[kPagesFree] += static_cast<int32_t>(count);
  return true;
}

bool Pages::all_taken(uint32_t first, uint32_t count) const {
  for (uint32_t page = first; page < first + count; page++) {
    if (!(bits()[page >> 5] >> (page & 31) & 1)) return false;
  }
  return true;
}

void Pages::mark(uint32_t first, uint32_t count, bool taken) {
  for (uint32_t page = first; page < first + count;) {
    uint32_t shift = page & 31;
    uint32_t n = std::min<uint32_t>(32 - shift, first + count - page);
    uint32_t mask = (n == 32 ? ~0u : (1u << n) - 1) << shift;
    if (taken) bits()[page >> 5] |= mask;
    else bits()[page >> 5] &= ~mask;
    page += n;
  }
}

}  // namespace drbdd
