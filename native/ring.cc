// SPDX-License-Identifier: GPL-2.0-or-later
#include "ring.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace drbdd {

int Ring::init(unsigned entries) {
  struct io_uring_params params = {};
  // Completions are worked off only in our own enter calls: nothing interrupts the turn's computing.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = entries * 4;
  int rc = io_uring_queue_init_params(entries, &ring_, &params);
  if (rc < 0) return rc;
  ready_ = true;
  io_uring_ring_dontfork(&ring_);
  return 0;
}

void Ring::exit() {
  if (ready_) io_uring_queue_exit(&ring_);
  ready_ = false;
}

io_uring_sqe *Ring::sqe(RingOp *op) {
  io_uring_sqe *sqe = io_uring_get_sqe(&ring_);
  if (!sqe) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  if (!sqe) {
    fprintf(stderr, "drbdd: the io_uring accepts no operation\n");
    abort();
  }
  memset(sqe, 0, sizeof(*sqe));
  bind(sqe, op);
  if (op) op->busy = true;
  return sqe;
}

void Ring::enter(double timeout_ms) {
  if (timeout_ms == 0) {
    io_uring_submit_and_get_events(&ring_);
    return;
  }
  io_uring_cqe *cqe = nullptr;
  if (timeout_ms < 0) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  double ns = std::ceil(timeout_ms * 1e6);
  if (ns > 9e17) ns = 9e17;
  struct __kernel_timespec ts = {};
  ts.tv_sec = static_cast<long long>(ns / 1e9);
  ts.tv_nsec = static_cast<long long>(ns - static_cast<double>(ts.tv_sec) * 1e9);
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &ts, nullptr);
}

unsigned Ring::reap() {
  io_uring_cqe *cqe;
  unsigned head, count = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    count++;
    auto *op = static_cast<RingOp *>(io_uring_cqe_get_data(cqe));
    if (!op) continue;
    if (!(cqe->flags & IORING_CQE_F_MORE)) op->busy = false;
    op->complete(cqe->res, cqe->flags);
  }
  io_uring_cq_advance(&ring_, count);
  return count;
}

void Ring::cancel_now(RingOp *op) {
  if (!op->busy) return;
  io_uring_submit(&ring_);
  struct io_uring_sync_cancel_reg reg = {};
  reg.addr = reinterpret_cast<__u64>(op);
  reg.fd = -1;
  reg.timeout.tv_sec = -1;
  reg.timeout.tv_nsec = -1;
  io_uring_register_sync_cancel(&ring_, &reg);
}

}  // namespace drbdd
