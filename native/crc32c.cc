// SPDX-License-Identifier: GPL-2.0-or-later
#include "crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace drbdd {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr auto kTable = make_table();

#if defined(__x86_64__)
bool has_instruction() { return __builtin_cpu_supports("sse4.2"); }

__attribute__((target("sse4.2"))) uint32_t crc32c_hardware(uint32_t seed, const uint8_t *data, size_t bytes) {
  uint64_t crc = seed;
  for (; bytes >= 8; data += 8, bytes -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  auto small = static_cast<uint32_t>(crc);
  for (; bytes; data++, bytes--) small = _mm_crc32_u8(small, *data);
  return small;
}
#elif defined(__aarch64__)
bool has_instruction() { return getauxval(AT_HWCAP) & HWCAP_CRC32; }

__attribute__((target("+crc"))) uint32_t crc32c_hardware(uint32_t seed, const uint8_t *data, size_t bytes) {
  for (; bytes >= 8; data += 8, bytes -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    seed = __crc32cd(seed, word);
  }
  for (; bytes; data++, bytes--) seed = __crc32cb(seed, *data);
  return seed;
}
#else
bool has_instruction() { return false; }
uint32_t crc32c_hardware(uint32_t seed, const uint8_t *data, size_t bytes) { return crc32c_table(seed, data, bytes); }
#endif

}  // namespace

uint32_t crc32c_table(uint32_t seed, const uint8_t *data, size_t bytes) {
  for (; bytes; data++, bytes--) seed = kTable[(seed ^ *data) & 255] ^ seed >> 8;
  return seed;
}

uint32_t crc32c(uint32_t seed, const uint8_t *data, size_t bytes) {
  static const bool hardware = has_instruction();
  return hardware ? crc32c_hardware(seed, data, bytes) : crc32c_table(seed, data, bytes);
}

}  // namespace drbdd
