// SPDX-License-Identifier: GPL-2.0-or-later
// A backing file or device by io_uring and O_DIRECT: for development without the kernel module.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "ring.h"

namespace drbdd {

class Turn;

/// Operations and flags as in src/host/lower.ts.
enum class LowerOp : uint32_t { read = 0, write = 1, flush = 2, discard = 3, write_zeroes = 4 };
constexpr uint32_t kLowerPreflush = 1, kLowerFua = 2;

class UringLower {
 public:
  UringLower(Turn &turn, int id, int fd, bool block_device) : turn_(turn), id_(id), fd_(fd), block_(block_device) {}
  ~UringLower();
  /// `data` may be null for operations without data. The outcome comes as an event.
  void submit(LowerOp op, uint32_t flags, uint64_t offset, uint32_t bytes, uint8_t *data, int32_t cookie);
  unsigned in_flight() const { return in_flight_; }

 private:
  struct Io : RingOp {
    UringLower *lower = nullptr;
    LowerOp op{};
    uint32_t flags = 0, bytes = 0, done = 0;
    uint64_t offset = 0;
    uint8_t *data = nullptr;
    int32_t cookie = 0;
    bool flushing = false;
    void complete(int res, unsigned) override { lower->completed(this, res); }
  };
  void issue(Io *io);
  void completed(Io *io, int res);
  void finish(Io *io, int error);

  Turn &turn_;
  const int id_, fd_;
  const bool block_;
  unsigned in_flight_ = 0;
  std::vector<std::unique_ptr<Io>> pool_;
  std::vector<Io *> idle_;
};

}  // namespace drbdd
