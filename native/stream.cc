// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "turn.h"

namespace drbdd {

Stream::Stream(Turn &turn, int slot, int fd, const StreamBuffers &buffers)
    : turn_(turn), slot_(slot), fd_(fd), buffers_(buffers), send_ranges_(new iovec[kRangesMax]) {
  receive_.stream = send_.stream = this;
  memset(buffers_.queue, 0, kQueueSegments * sizeof(int32_t));
  queue_f64()[kQueueReceivedMsF64] = turn_.now_ms();
}

Stream::~Stream() {
  if (fd_ >= 0) ::close(fd_);
}

int32_t *Stream::segment(uint32_t index) const {
  return buffers_.queue + kQueueSegments + (index % kSegmentsMax) * kSegmentWords;
}

// ---- for JavaScript

void Stream::start(const Framing &framing) {
  started_ = true;
  set_framing(framing);
}

void Stream::set_framing(const Framing &framing) {
  framing_ = framing;
  control_ = std::all_of(framing.fixed, framing.fixed + 256, [](int32_t fixed) { return fixed < 0; });
  uncut_open_packet();
  turn_.attend_later(this);
}

void Stream::bind_volume(uint32_t volume, int32_t arena) {
  std::erase_if(volumes_, [volume](const auto &entry) { return entry.first == volume; });
  if (arena >= 0) volumes_.emplace_back(volume, arena);
  uncut_open_packet();
  if (arena < 0 && open_.active && open_.volume == volume) skip_payload();
  stalled_ = false;
  turn_.attend_later(this);
}

void Stream::pause(bool paused) {
  paused_ = paused;
  if (!paused) turn_.attend_later(this);
}

void Stream::recut(uint32_t first) {
  bool found = false;
  turn_.each_event_of(slot_, first, [&](int32_t *record, uint32_t start, int64_t index) {
    auto kind = static_cast<EventKind>(record[0]);
    if (kind == EventKind::closed) end_reported_ = false;
    else if (kind != EventKind::packet) return;
    record[0] = static_cast<int32_t>(EventKind::none);
    if (kind == EventKind::closed) return;
    if (!found) {
      found = true;
      uncut_open_packet();
      if (index == carried_event_) {
        // Part of it went to the arena directly: it stays whole, and is delivered again.
        open_ = carried_;
        head_ = carried_end_;
        return;
      }
      head_ = start;
    }
    give_back(record);
  });
  if (ended_ == Ended::protocol) ended_ = Ended::no;
  turn_.attend_later(this);
}

/// The room of an undelivered packet.
void Stream::give_back(const int32_t *record) {
  int32_t arena = arena_of(static_cast<uint32_t>(record[3]));
  if (record[6] >= 0 && arena >= 0) turn_.free_pages(arena, record[6], static_cast<uint32_t>(record[7]));
}

int Stream::unacked_bytes() const {
  int bytes = 0;
  if (fd_ < 0 || ioctl(fd_, SIOCOUTQ, &bytes) < 0) return 0;
  return bytes;
}

// ---- receiving

int32_t Stream::arena_of(uint32_t volume) const {
  for (const auto &[bound, arena] : volumes_) {
    if (bound == volume) return arena;
  }
  return -1;
}

void Stream::received(int res, unsigned flags) {
  turn_.attend_later(this);
  if (closing_) {
    if (res == 0 || (res < 0 && res != -ECANCELED && res != -EINTR && res != -EAGAIN)) finish();
    return;
  }
  if (res <= 0) {
    if (res == 0) end(send_error_ ? Ended::error : Ended::eof, send_error_);
    else if (res != -ECANCELED && res != -EINTR && res != -EAGAIN) end(Ended::error, -res);
    return;
  }
  poll_first_ = !(flags & IORING_CQE_F_SOCK_NONEMPTY);
  uint32_t direct = std::min(static_cast<uint32_t>(res), armed_payload_);
  armed_payload_ = 0;
  open_.filled += direct;
  tail_ += static_cast<uint32_t>(res) - direct;
  queue_f64()[kQueueReceivedMsF64] = turn_.now_ms();
}

void Stream::end(Ended cause, int error) {
  if (ended_ != Ended::no) return;
  ended_ = cause;
  error_ = error;
}

void Stream::attend() {
  if (closing_) {
    continue_closing();
    return;
  }
  carried_event_ = -1;
  if (started_ && !paused_) {
    while (!stalled_ && turn_.packet_room() && next_packet()) {
    }
    if (!stalled_ && !turn_.packet_room()) turn_.attend_later(this);
    else report();
  }
  if (progress_) turn_.emit_f64(EventKind::sent, slot_, queue_f64()[kQueueSentF64]);
  progress_ = false;
  if (buffers_.queue[kQueueWanted] && ended_ == Ended::no) {
    uint32_t queued = static_cast<uint32_t>(buffers_.queue[kQueueTail] - buffers_.queue[kQueueHead]);
    if (queued <= kSegmentsMax / 2) {
      buffers_.queue[kQueueWanted] = 0;
      turn_.emit(EventKind::writable, slot_);
    }
  }
}

/// The end is told after every packet that came before it.
void Stream::report() {
  if (ended_ == Ended::no || end_reported_ || stalled_) return;
  end_reported_ = true;
  turn_.emit(EventKind::closed, slot_, static_cast<int32_t>(ended_), error_);
}

/// Cuts one packet; false when more bytes, room or another framing are needed.
bool Stream::next_packet() {
  if (!open_.active) {
    const uint8_t *data = buffers_.input + head_;
    Header header;
    uint32_t fixed, payload;
    Cut cut = cut_header(data, tail_ - head_, framing_.format, &header);
    if (cut == Cut::more) return false;
    if (cut == Cut::broken || !split_length(framing_, header, &fixed, &payload)) {
      end(Ended::protocol, 0);
      return false;
    }
    if (tail_ - head_ < header.bytes + fixed) return false;
    int32_t arena = payload ? arena_of(header.volume) : -1;
    int64_t at = -1;
    if (arena >= 0) {
      at = turn_.alloc_pages(arena, payload);
      if (at < 0) {
        stalled_ = true;
        return false;
      }
    }
    open_ = {true, head_, head_ + header.bytes, fixed, header.command, header.volume,
             arena, at, payload, 0, turn_.batch()};
    head_ += header.bytes + fixed;
    bulk_ = payload >= kBulkPayloadBytes;
  }
  if (!fill_payload()) return false;
  emit_packet();
  return true;
}

/// Moves what has come of the open packet's payload to its place; true when it is complete.
bool Stream::fill_payload() {
  uint32_t bytes = std::min(tail_ - head_, open_.payload - open_.filled);
  if (bytes && open_.arena >= 0) {
    memcpy(turn_.arena(open_.arena)->base + open_.payload_at + open_.filled, buffers_.input + head_, bytes);
  }
  head_ += bytes;
  open_.filled += bytes;
  return open_.filled == open_.payload;
}

void Stream::emit_packet() {
  int64_t index = turn_.emit_packet(slot_, open_.start, open_.command, open_.volume, open_.fixed_at, open_.fixed,
                                    static_cast<int32_t>(open_.payload_at), open_.payload);
  if (open_.batch != turn_.batch()) {
    carried_ = open_;
    carried_event_ = index;
    carried_end_ = head_;
  }
  open_.active = false;
}

/// A packet begun in this batch has all its bytes in the input still: it can be cut again by other rules.
void Stream::uncut_open_packet() {
  if (!open_.active || open_.batch != turn_.batch()) return;
  free_payload(open_);
  head_ = open_.start;
  open_.active = false;
}

void Stream::free_payload(Packet &packet) {
  if (packet.arena >= 0) turn_.free_pages(packet.arena, packet.payload_at, packet.payload);
  packet.arena = -1;
  packet.payload_at = -1;
}

/// The open packet's payload has no place any more: the kernel must not write there from now on.
void Stream::skip_payload() {
  turn_.ring().cancel_now(&receive_);
  free_payload(open_);
}

/// Moves what is not delivered to the front of the input.
void Stream::compact() {
  uint32_t kept = 0;
  if (open_.active) {
    kept = open_.fixed_at + open_.fixed - open_.start;
    memmove(buffers_.input, buffers_.input + open_.start, kept);
    open_.fixed_at -= open_.start;
    open_.start = 0;
  }
  memmove(buffers_.input + kept, buffers_.input + head_, tail_ - head_);
  tail_ = kept + tail_ - head_;
  head_ = kept;
}

bool Stream::arm_receive() {
  if (receive_.busy || fd_ < 0 || ended_ != Ended::no) return false;
  if (!closing_ && (!started_ || paused_ || stalled_)) return false;
  if (closing_) head_ = tail_ = 0;
  else compact();
  unsigned ranges = 0;
  armed_payload_ = 0;
  if (!closing_ && open_.active && open_.arena >= 0 && head_ == tail_ && open_.filled < open_.payload) {
    armed_payload_ = open_.payload - open_.filled;
    receive_ranges_[ranges++] = {turn_.arena(open_.arena)->base + open_.payload_at + open_.filled, armed_payload_};
  }
  uint32_t room = std::min(kInputBytes - tail_, bulk_ ? kBulkInputBytes : kInputBytes);
  if (room) receive_ranges_[ranges++] = {buffers_.input + tail_, room};
  if (!ranges) return false;
  receive_header_.msg_iov = receive_ranges_;
  receive_header_.msg_iovlen = ranges;
  io_uring_sqe *sqe = turn_.ring().sqe(&receive_);
  io_uring_prep_recvmsg(sqe, fd_, &receive_header_, 0);
  Ring::bind(sqe, &receive_);
  if (poll_first_) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  return true;
}

// ---- sending

bool Stream::arm() {
  if (fd_ < 0) return false;
  arm_send();
  return arm_receive();
}

bool Stream::add_range(uint8_t *data, uint32_t bytes, uint32_t *skip, unsigned *count) {
  uint32_t skipped = std::min(*skip, bytes);
  *skip -= skipped;
  data += skipped;
  bytes -= skipped;
  if (!bytes) return true;
  if (*count) {
    iovec &last = send_ranges_[*count - 1];
    if (static_cast<uint8_t *>(last.iov_base) + last.iov_len == data) {
      last.iov_len += bytes;
      return true;
    }
  }
  if (*count == kRangesMax) return false;
  send_ranges_[(*count)++] = {data, bytes};
  return true;
}

/// Adds the segment without its first `skip` bytes; false when there is no room for all of it, or its payload goes by the
/// page: then `pages` is what is left of it. Without `pages` nothing goes that way.
bool Stream::gather_segment(const int32_t *segment, uint32_t skip, unsigned *count, iovec *pages) {
  auto out = static_cast<uint32_t>(segment[0]), bytes = static_cast<uint32_t>(segment[1]);
  auto payload_at = static_cast<uint32_t>(segment[3]), payload = static_cast<uint32_t>(segment[4]);
  if (out > kOutputBytes || bytes > kOutputBytes - out) turn_.fatal("a segment lies outside its output");
  if (!add_range(buffers_.output + out, bytes, &skip, count)) return false;
  if (segment[2] < 0) return true;
  Arena *arena = turn_.arena(segment[2]);
  if (!arena || !arena->holds(payload_at, payload)) turn_.fatal("a segment's payload lies outside its arena");
  if (pages && segment[5] && payload >= kSpliceBytesMin && arena->splice && skip < payload) {
    *pages = {arena->base + payload_at + skip, payload - skip};
    return false;
  }
  return add_range(arena->base + payload_at, payload, &skip, count);
}

/// The front of the queue, up to the first payload that goes by the page.
unsigned Stream::gather(iovec *pages) {
  unsigned count = 0;
  uint32_t total = 0, skip = segment_done_;
  auto tail = static_cast<uint32_t>(buffers_.queue[kQueueTail]);
  for (auto index = static_cast<uint32_t>(buffers_.queue[kQueueHead]); index != tail; index++) {
    const int32_t *entry = segment(index);
    if (!gather_segment(entry, skip, &count, splices_ ? pages : nullptr) || total > kSendBytesMax) break;
    skip = 0;
    total += static_cast<uint32_t>(entry[1]) + static_cast<uint32_t>(entry[4]);
  }
  return count;
}

void Stream::arm_send() {
  if (send_.busy || fd_ < 0 || shut_) return;
  if (closing_) {
    if (rest_done_ == rest_.size()) return;
    send_ranges_[0] = {rest_.data() + rest_done_, rest_.size() - rest_done_};
    send_by_ring(1);
  } else if (ended_ != Ended::error && !send_error_) {
    const double start = queue_f64()[kQueueSentF64];
    while (send_pages()) {
      if (queue_f64()[kQueueSentF64] - start > kSendBytesMax) return;
    }
  }
}

/// One step: bytes ahead of pages are sent at once, pages by way of the pipe, what no pages follow by the ring. True: there
/// may be another one.
bool Stream::send_pages() {
  if (pipe_.bytes()) {
    bool more = buffers_.queue[kQueueTail] - buffers_.queue[kQueueHead] > 1;
    return sent_at_once(pipe_.move(fd_, more));
  }
  iovec pages = {};
  unsigned count = gather(&pages);
  if (!pages.iov_len) {
    if (count) send_by_ring(count);
    return false;
  }
  if (count) {
    msghdr header = {};
    header.msg_iov = send_ranges_.get();
    header.msg_iovlen = count;
    ssize_t result = sendmsg(fd_, &header, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
    return sent_at_once(result < 0 ? -errno : result);
  }
  // Without a pipe everything is copied.
  if (pipe_.put(static_cast<uint8_t *>(pages.iov_base), static_cast<uint32_t>(pages.iov_len)) <= 0) splices_ = false;
  return true;
}

/// Bytes or -errno. False: not now.
bool Stream::sent_at_once(ssize_t result) {
  if (result == -EINTR) return true;
  if (result == -EAGAIN) {
    io_uring_sqe *sqe = turn_.ring().sqe(&send_);
    io_uring_prep_poll_add(sqe, fd_, POLLOUT);
    Ring::bind(sqe, &send_);
    polls_ = true;
    return false;
  }
  progressed_ = true;
  if (result < 0) fail_send(static_cast<int>(-result));
  else advance(static_cast<uint32_t>(result));
  return result > 0;
}

void Stream::send_by_ring(unsigned count) {
  send_header_.msg_iov = send_ranges_.get();
  send_header_.msg_iovlen = count;
  io_uring_sqe *sqe = turn_.ring().sqe(&send_);
  io_uring_prep_sendmsg(sqe, fd_, &send_header_, MSG_NOSIGNAL);
  Ring::bind(sqe, &send_);
}

void Stream::sent(int res) {
  turn_.attend_later(this);
  if (std::exchange(polls_, false)) return;
  if (res >= 0) {
    if (closing_) rest_done_ += static_cast<size_t>(res);
    else advance(static_cast<uint32_t>(res));
    return;
  }
  if (res == -ECANCELED || res == -EINTR || res == -EAGAIN) return;
  if (closing_) finish();
  else fail_send(-res);
}

/// What the peer sent before still counts: the receiving side comes to its end by itself, if it reads.
void Stream::fail_send(int error) {
  if (send_error_) return;
  send_error_ = error;
  ::shutdown(fd_, SHUT_RDWR);
  if (!receive_.busy && (paused_ || stalled_ || !started_)) end(Ended::error, error);
}

void Stream::advance(uint32_t bytes) {
  queue_f64()[kQueueSentF64] += bytes;
  progress_ = true;
  segment_done_ += bytes;
  while (buffers_.queue[kQueueHead] != buffers_.queue[kQueueTail]) {
    const int32_t *entry = segment(static_cast<uint32_t>(buffers_.queue[kQueueHead]));
    uint32_t size = static_cast<uint32_t>(entry[1]) + static_cast<uint32_t>(entry[4]);
    if (segment_done_ < size) break;
    segment_done_ -= size;
    buffers_.queue[kQueueRead] = entry[0] + entry[1];
    buffers_.queue[kQueueHead]++;
  }
}

// ---- the end

void Stream::close(double linger_ms) {
  if (closing_ || fd_ < 0) return;
  turn_.each_event_of(slot_, 0, [this](int32_t *record, uint32_t, int64_t) {
    if (record[0] == static_cast<int32_t>(EventKind::packet)) give_back(record);
    record[0] = static_cast<int32_t>(EventKind::none);
  });
  turn_.forget_spilled(slot_);
  turn_.ring().cancel_now(&receive_);
  turn_.ring().cancel_now(&send_);
  if (open_.active) free_payload(open_);
  open_.active = false;
  armed_payload_ = 0;
  if (linger_ms > 0 && ended_ == Ended::no) take_queue_along();
  closing_ = true;
  linger_until_ = turn_.now_ms() + std::max(linger_ms, 0.0);
  if (linger_ms > 0 && ended_ == Ended::no) turn_.attend_later(this);
  else finish();
}

/// What is queued, copied: its owners may use the memory for something else from now on.
void Stream::take_queue_along() {
  auto tail = static_cast<uint32_t>(buffers_.queue[kQueueTail]);
  for (auto index = static_cast<uint32_t>(buffers_.queue[kQueueHead]); index != tail; index++) {
    unsigned count = 0;
    if (!gather_segment(segment(index), 0, &count, nullptr)) return;
    for (unsigned i = 0; i < count; i++) {
      auto *data = static_cast<uint8_t *>(send_ranges_[i].iov_base);
      rest_.insert(rest_.end(), data, data + send_ranges_[i].iov_len);
    }
  }
  rest_done_ = segment_done_;
}

void Stream::continue_closing() {
  if (fd_ < 0 || send_.busy || shut_ || rest_done_ < rest_.size()) return;
  // The peer reads all of it and then the end; a close with unread input would reset the connection.
  ::shutdown(fd_, SHUT_WR);
  shut_ = true;
}

void Stream::finish() {
  if (fd_ < 0) return;
  if (pipe_.used() && unacked_bytes()) {
    // A socket that goes on by itself, for minutes where the peer is cut off, would hold the pages that were given to it.
    const linger now = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  } else {
    ::shutdown(fd_, SHUT_RDWR);
  }
  ::close(fd_);
  pipe_.close();
  fd_ = -1;
  closing_ = true;
  rest_.clear();
  rest_done_ = 0;
  turn_.ring().cancel_now(&receive_);
  turn_.ring().cancel_now(&send_);
}

void Stream::forget_arena(int32_t arena) {
  if (open_.active && open_.arena == arena) {
    turn_.ring().cancel_now(&receive_);
    open_.arena = -1;
    open_.payload_at = -1;
  }
  std::erase_if(volumes_, [arena](const auto &entry) { return entry.second == arena; });
  bool used = false;
  auto tail = static_cast<uint32_t>(buffers_.queue[kQueueTail]);
  for (auto index = static_cast<uint32_t>(buffers_.queue[kQueueHead]); index != tail; index++) {
    used = used || segment(index)[2] == arena;
  }
  if (!used || closing_) return;
  turn_.ring().cancel_now(&send_);
  end(Ended::error, ECANCELED);
  turn_.attend_later(this);
}

}  // namespace drbdd
