// SPDX-License-Identifier: GPL-2.0-or-later
#include "page_pipe.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace drbdd {
namespace {

/// The largest write of a device; where it is not granted, several rounds do it.
constexpr int kPipeBytes = 1 << 20;

}  // namespace

ssize_t PagePipe::put(uint8_t *data, uint32_t bytes) {
  if (in_ < 0) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
    out_ = ends[0];
    in_ = ends[1];
    fcntl(in_, F_SETPIPE_SZ, kPipeBytes);
  }
  const iovec range = {data, bytes};
  ssize_t taken = vmsplice(in_, &range, 1, SPLICE_F_NONBLOCK);
  if (taken < 0) return -errno;
  bytes_ += static_cast<uint32_t>(taken);
  return taken;
}

ssize_t PagePipe::move(int socket, bool more) {
  ssize_t moved = splice(out_, nullptr, socket, nullptr, bytes_, SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0u));
  if (moved < 0) return -errno;
  bytes_ -= static_cast<uint32_t>(moved);
  return moved;
}

void PagePipe::close() {
  if (in_ < 0) return;
  ::close(in_);
  ::close(out_);
  in_ = out_ = -1;
  bytes_ = 0;
}

}  // namespace drbdd
