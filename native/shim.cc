// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "turn.h"

namespace drbdd {

int Shim::open(const char *path) {
  const char *given = getenv("DRBDD_CONTROL_FD");
  fd_ = given ? fcntl(atoi(given), F_DUPFD_CLOEXEC, 3) : ::open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) return -errno;
  if (given) ::close(atoi(given));
  unsetenv("DRBDD_CONTROL_FD");
  return 0;
}

int Shim::map_rings() {
  void *memory = mmap(nullptr, DRBD_SHIM_RINGS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (memory == MAP_FAILED) return -errno;
  rings_ = static_cast<drbd_shim_rings *>(memory);
  return 0;
}

void Shim::close() {
  if (fd_ < 0) return;
  flush();
  turn_.ring().cancel_now(&poll_);
  // The kernel drops the poll's reference to the file when it works off the cancellation.
  turn_.ring().enter(0);
  if (rings_) munmap(rings_, DRBD_SHIM_RINGS_BYTES);
  rings_ = nullptr;
  ::close(fd_);
  fd_ = -1;
}

void Shim::flush() {
  if (!rings_) return;
  __atomic_store_n(&rings_->event_head, events_seen_, __ATOMIC_RELEASE);
  auto tail = static_cast<uint32_t>(static_cast<uint64_t>(turn_.head(kHeadShimOps)));
  __atomic_store_n(&rings_->op_tail, tail, __ATOMIC_RELEASE);
  ops_published_ = tail;
  // Not by way of the ring: what ends at once, as on a disk in memory, is seen before the turn decides whether to wait.
  if (taken() != tail) ring_doorbell();
}

void Shim::doorbell_now() {
  if (!rings_) return;
  auto tail = static_cast<uint32_t>(static_cast<uint64_t>(turn_.head(kHeadShimOps)));
  __atomic_store_n(&rings_->op_tail, tail, __ATOMIC_RELEASE);
  ops_published_ = tail;
  ring_doorbell();
  turn_.head(kHeadShimTaken) = taken();
}

void Shim::ring_doorbell() {
  while (write(fd_, &doorbell_bytes_, sizeof(doorbell_bytes_)) < 0 && errno == EINTR) {
  }
}

bool Shim::may_sleep() {
  if (!rings_) return true;
  if (has_events()) return false;
  if (!poll_.busy) {
    io_uring_sqe *sqe = turn_.ring().sqe(&poll_);
    io_uring_prep_poll_add(sqe, fd_, POLLIN);
    Ring::bind(sqe, &poll_);
  }
  __atomic_store_n(&rings_->sleeping, 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (event_tail() == events_seen_ && !requests()) return true;
  awake();
  return false;
}

void Shim::awake() {
  if (rings_) __atomic_store_n(&rings_->sleeping, 0, __ATOMIC_RELAXED);
}

bool Shim::collect() {
  if (!rings_) return false;
  uint32_t tail = event_tail();
  uint32_t count = tail - events_seen_;
  if (count > DRBD_SHIM_EVENTS) turn_.fatal("the shim's event ring is out of step");
  turn_.head(kHeadShimFrom) = events_seen_;
  turn_.head(kHeadShimTo) = static_cast<double>(events_seen_) + count;
  turn_.head(kHeadShimTaken) = taken();
  turn_.head(kHeadShimRequests) = requests();
  events_seen_ = tail;
  return count || requests();
}

}  // namespace drbdd
