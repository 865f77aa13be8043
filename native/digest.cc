// SPDX-License-Identifier: GPL-2.0-or-later
#include "digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>
#include <vector>

#include "crc32c.h"

namespace drbdd {
namespace {

struct Algorithm {
  std::string name;
  const EVP_MD *md;  // null: crc32c
};

std::vector<Algorithm> &known() {
  static std::vector<Algorithm> list;
  return list;
}

constexpr int kCrcBytes = 4;

}  // namespace

int digest_find(const std::string &name) {
  auto &list = known();
  for (size_t i = 0; i < list.size(); i++) {
    if (list[i].name == name) return static_cast<int>(i);
  }
  const EVP_MD *md = name == "crc32c" ? nullptr : EVP_get_digestbyname(name.c_str());
  if (!md && name != "crc32c") return -1;
  list.push_back({name, md});
  return static_cast<int>(list.size() - 1);
}

int digest_bytes(int algorithm) {
  if (algorithm < 0 || static_cast<size_t>(algorithm) >= known().size()) return 0;
  const EVP_MD *md = known()[static_cast<size_t>(algorithm)].md;
  return md ? EVP_MD_get_size(md) : kCrcBytes;
}

bool digest(int algorithm, const uint8_t *data, size_t bytes, uint8_t *out) {
  if (!digest_bytes(algorithm)) return false;
  const EVP_MD *md = known()[static_cast<size_t>(algorithm)].md;
  if (!md) {
    uint32_t crc = ~crc32c(~0u, data, bytes);
    memcpy(out, &crc, sizeof(crc));
    return true;
  }
  static EVP_MD_CTX *context = EVP_MD_CTX_new();
  return EVP_DigestInit_ex(context, md, nullptr) && EVP_DigestUpdate(context, data, bytes) &&
         EVP_DigestFinal_ex(context, out, nullptr);
}

bool hmac(int algorithm, const uint8_t *key, size_t key_bytes, const uint8_t *data, size_t bytes, uint8_t *out) {
  if (!digest_bytes(algorithm)) return false;
  const EVP_MD *md = known()[static_cast<size_t>(algorithm)].md;
  return md && HMAC(md, key, static_cast<int>(key_bytes), data, bytes, out, nullptr);
}

}  // namespace drbdd
