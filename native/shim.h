// SPDX-License-Identifier: GPL-2.0-or-later
// The channel to the kernel module: /dev/drbd-control with its rings, as kmod/uapi/drbd_shim.h says.
#pragma once
#include <cstddef>
#include <cstdint>

#include "drbd_shim.h"
#include "ring.h"

namespace drbdd {

class Turn;

class Shim {
 public:
  explicit Shim(Turn &turn) : turn_(turn) {}
  ~Shim() { close(); }
  /// Takes the file that the launcher opened (DRBDD_CONTROL_FD), else opens `path`; 0 or -errno. map_rings() follows after HELLO.
  int open(const char *path);
  int map_rings();
  /// Gives up the channel: afterwards nothing of this process holds the module, except arenas.
  void close();

  /// Publishes consumed events and new ops, and rings the doorbell where there is something to take.
  void flush();
  /// Rings the doorbell now, outside of the turn's batch: the op ring is full.
  void doorbell_now();
  /// Tells the shim that we wait; false when there is something to do already.
  bool may_sleep();
  void awake();
  /// There are events that collect() has not taken.
  bool has_events() const { return rings_ && event_tail() != events_seen_; }
  /// Copies the shim's indices into the turn's head. True when there is something for JavaScript.
  bool collect();
  /// The shim could not take all ops just now.
  bool ops_left() const { return rings_ && taken() != ops_published_; }

  int fd() const { return fd_; }
  uint8_t *rings() const { return reinterpret_cast<uint8_t *>(rings_); }

 private:
  struct Poll : RingOp {
    void complete(int, unsigned) override {}
  };
  void ring_doorbell();
  uint32_t taken() const { return __atomic_load_n(&rings_->op_head, __ATOMIC_ACQUIRE); }
  uint32_t event_tail() const { return __atomic_load_n(&rings_->event_tail, __ATOMIC_ACQUIRE); }
  uint32_t requests() const { return __atomic_load_n(&rings_->requests, __ATOMIC_ACQUIRE); }

  Turn &turn_;
  int fd_ = -1;
  drbd_shim_rings *rings_ = nullptr;
  uint32_t events_seen_ = 0, ops_published_ = 0;
  Poll poll_;
  uint64_t doorbell_bytes_ = 1;
};

}  // namespace drbdd
