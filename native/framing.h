// SPDX-License-Identifier: GPL-2.0-or-later
// Headers of DRBD packets on a byte stream (docs/reference/wire.md, 2).
#pragma once
#include <cstddef>
#include <cstdint>

namespace drbdd {

enum class HeaderFormat : int32_t { h80 = 0, h95 = 1, h100 = 2, any = 3 };

constexpr uint32_t kHeaderBytesMax = 16;
constexpr uint32_t kFixedBytesLimit = 131072;

struct Header {
  uint32_t bytes;
  uint32_t command;
  uint32_t volume;
  uint32_t length;
};

enum class Cut { packet, more, broken };

/// How a stream is cut; `fixed` by command: bytes before the payload, -1: all of it is fixed part.
struct Framing {
  HeaderFormat format = HeaderFormat::h80;
  int32_t fixed[256];
  uint32_t max_fixed = 0;
  uint32_t max_payload = 0;
};

/// Decodes the header at `data`. 80 also takes 95, whose sender picks one by size.
Cut cut_header(const uint8_t *data, size_t bytes, HeaderFormat format, Header *out);
/// Splits a packet's length into fixed part and payload; false when one is over its limit.
bool split_length(const Framing &framing, const Header &header, uint32_t *fixed, uint32_t *payload);

}  // namespace drbdd
