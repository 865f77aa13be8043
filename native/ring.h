// SPDX-License-Identifier: GPL-2.0-or-later
// The io_uring that everything of a turn goes through.
#pragma once
#include <liburing.h>

namespace drbdd {

/// One operation that can be in flight on the ring. Its owner outlives it: nothing is freed while `busy`.
class RingOp {
 public:
  virtual ~RingOp() = default;
  /// `res` as of the CQE: count or -errno.
  virtual void complete(int res, unsigned flags) = 0;
  bool busy = false;
};

class Ring {
 public:
  /// 0 or -errno.
  int init(unsigned entries);
  void exit();
  /// A cleared SQE bound to `op`, which is marked busy. Never null: submits when the queue is full.
  io_uring_sqe *sqe(RingOp *op);
  /// After io_uring_prep_…, some of which clear it.
  static void bind(io_uring_sqe *sqe, RingOp *op) { io_uring_sqe_set_data(sqe, op); }
  /// Hands over what is queued and waits until something completes or `timeout_ms` passed (< 0: no limit, 0: no wait).
  void enter(double timeout_ms);
  /// Runs complete() of all that is done. Returns how many.
  unsigned reap();
  /// Ends `op` with ECANCELED if it still can be; its completion is there when this returns.
  void cancel_now(RingOp *op);
  /// Queued and not handed over.
  unsigned unsubmitted() { return io_uring_sq_ready(&ring_); }
  bool has_completions() { return io_uring_cq_ready(&ring_) != 0; }

 private:
  struct io_uring ring_ {};
  bool ready_ = false;
};

}  // namespace drbdd
