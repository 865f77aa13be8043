// SPDX-License-Identifier: GPL-2.0-or-later
// Hands pages to a socket as they are: a pipe that references them, and splice(2) out of it.
#pragma once
#include <sys/types.h>

#include <cstdint>

namespace drbdd {

class PagePipe {
 public:
  PagePipe() = default;
  ~PagePipe() { close(); }
  PagePipe(const PagePipe &) = delete;
  PagePipe &operator=(const PagePipe &) = delete;

  /// References the pages of `data`, as many as there is room for: bytes taken, or -errno.
  ssize_t put(uint8_t *data, uint32_t bytes);
  /// Moves what the socket takes just now: bytes, or -errno. `more`: others follow at once.
  ssize_t move(int socket, bool more);
  /// Put and not moved.
  uint32_t bytes() const { return bytes_; }
  bool used() const { return in_ >= 0; }
  /// Drops the references.
  void close();

 private:
  int out_ = -1, in_ = -1;
  uint32_t bytes_ = 0;
};

}  // namespace drbdd
