// SPDX-License-Identifier: GPL-2.0-or-later
#include "uring_lower.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <unistd.h>

#include <cerrno>

#include "turn.h"

namespace drbdd {

UringLower::~UringLower() { close(fd_); }

void UringLower::submit(LowerOp op, uint32_t flags, uint64_t offset, uint32_t bytes, uint8_t *data, int32_t cookie) {
  if (idle_.empty()) {
    pool_.push_back(std::make_unique<Io>());
    idle_.push_back(pool_.back().get());
  }
  Io *io = idle_.back();
  idle_.pop_back();
  in_flight_++;
  io->lower = this;
  io->op = op;
  io->flags = flags;
  io->offset = offset;
  io->bytes = bytes;
  io->data = data;
  io->done = 0;
  io->cookie = cookie;
  io->flushing = op == LowerOp::flush || (op == LowerOp::write && flags & kLowerPreflush);
  issue(io);
}

void UringLower::issue(Io *io) {
  io_uring_sqe *sqe = turn_.ring().sqe(io);
  if (io->flushing) {
    io_uring_prep_fsync(sqe, fd_, 0);
  } else if (io->op == LowerOp::read) {
    io_uring_prep_read(sqe, fd_, io->data + io->done, io->bytes - io->done, io->offset + io->done);
  } else if (io->op == LowerOp::write) {
    io_uring_prep_write(sqe, fd_, io->data + io->done, io->bytes - io->done, io->offset + io->done);
    if (io->flags & kLowerFua) sqe->rw_flags = RWF_DSYNC;
  } else {
    // A file's hole reads as zeroes: both operations are the same there.
    bool punch = io->op == LowerOp::discard || !block_;
    int mode = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    io_uring_prep_fallocate(sqe, fd_, mode, static_cast<off_t>(io->offset), io->bytes);
  }
  Ring::bind(sqe, io);
}

void UringLower::completed(Io *io, int res) {
  if (res == -EINTR || res == -EAGAIN) return issue(io);
  if (res < 0) return finish(io, -res);
  if (io->flushing) {
    io->flushing = false;
    return io->op == LowerOp::flush ? finish(io, 0) : issue(io);
  }
  if (io->op == LowerOp::read || io->op == LowerOp::write) {
    if (res == 0) return finish(io, EIO);
    io->done += static_cast<uint32_t>(res);
    if (io->done < io->bytes) return issue(io);
  }
  finish(io, 0);
}

void UringLower::finish(Io *io, int error) {
  in_flight_--;
  idle_.push_back(io);
  turn_.emit(EventKind::lowerDone, id_, io->cookie, error);
}

}  // namespace drbdd
