// SPDX-License-Identifier: GPL-2.0-or-later
// CRC-32C (Castagnoli) of bytes, by the processor's instruction where it has one.
#pragma once
#include <cstddef>
#include <cstdint>

namespace drbdd {

/// Continues from `seed`, without any inversion: crc32c(~0u, …) ^ ~0u is the standard value.
uint32_t crc32c(uint32_t seed, const uint8_t *data, size_t bytes);
/// The table-driven form, for processors without the instruction and for tests.
uint32_t crc32c_table(uint32_t seed, const uint8_t *data, size_t bytes);

}  // namespace drbdd
