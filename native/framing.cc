// SPDX-License-Identifier: GPL-2.0-or-later
#include "framing.h"

namespace drbdd {
namespace {

constexpr uint32_t kMagic80 = 0x83740267, kMagic95 = 0x835a, kMagic100 = 0x8620ec20;

uint32_t be16(const uint8_t *p) { return static_cast<uint32_t>(p[0]) << 8 | p[1]; }
uint32_t be32(const uint8_t *p) { return be16(p) << 16 | be16(p + 2); }

/// h95 is never agreed on alone: its sender uses h80 for small packets.
bool permitted(HeaderFormat agreed, HeaderFormat found) {
  if (agreed == HeaderFormat::any || agreed == found) return true;
  return agreed == HeaderFormat::h95 && found == HeaderFormat::h80;
}

}  // namespace

Cut cut_header(const uint8_t *data, size_t bytes, HeaderFormat format, Header *out) {
  if (bytes < 4) return bytes && data[0] != 0x83 && data[0] != 0x86 ? Cut::broken : Cut::more;
  uint32_t magic = be32(data);
  HeaderFormat found;
  if (magic == kMagic100) found = HeaderFormat::h100;
  else if (magic == kMagic80) found = HeaderFormat::h80;
  else if (magic >> 16 == kMagic95) found = HeaderFormat::h95;
  else return Cut::broken;
  if (!permitted(format, found)) return Cut::broken;
  uint32_t size = found == HeaderFormat::h100 ? 16 : 8;
  if (bytes < size) return Cut::more;
  switch (found) {
    case HeaderFormat::h100:
      if (be32(data + 12) != 0) return Cut::broken;
      *out = {size, be16(data + 6), be16(data + 4), be32(data + 8)};
      break;
    case HeaderFormat::h95:
      *out = {size, be16(data + 2), 0, be32(data + 4)};
      break;
    default:
      *out = {size, be16(data + 4), 0, be16(data + 6)};
  }
  return Cut::packet;
}

bool split_length(const Framing &framing, const Header &header, uint32_t *fixed, uint32_t *payload) {
  int32_t known = header.command < 256 ? framing.fixed[header.command] : -1;
  if (known < 0) {
    *fixed = header.length;
    *payload = 0;
    return header.length <= framing.max_fixed;
  }
  *fixed = static_cast<uint32_t>(known);
  if (header.length < *fixed || *fixed > framing.max_fixed) return false;
  *payload = header.length - *fixed;
  return *payload <= framing.max_payload;
}

}  // namespace drbdd
