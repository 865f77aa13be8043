// SPDX-License-Identifier: GPL-2.0-or-later
// Digests by the kernel's names, from the runtime's own OpenSSL and crc32c.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace drbdd {

/// Handle of an algorithm ("sha1", "crc32c"), -1 when unknown.
int digest_find(const std::string &name);
/// Bytes of its result.
int digest_bytes(int algorithm);
/// Writes digest_bytes() bytes; false when the algorithm fails.
bool digest(int algorithm, const uint8_t *data, size_t bytes, uint8_t *out);
/// HMAC; false for unkeyed algorithms.
bool hmac(int algorithm, const uint8_t *key, size_t key_bytes, const uint8_t *data, size_t bytes, uint8_t *out);

}  // namespace drbdd
