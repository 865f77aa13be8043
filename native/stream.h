// SPDX-License-Identifier: GPL-2.0-or-later
// One TCP connection that carries packets: cut on receive, gathered on send.
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "framing.h"
#include "page_pipe.h"
#include "ring.h"

namespace drbdd {

class Turn;

enum class Ended : int32_t { eof = 0, error = 1, protocol = 2, no = 3 };

/// Memory of a stream that JavaScript shares; owned by the Turn per slot and used again by the slot's next stream.
struct StreamBuffers {
  uint8_t *input;
  uint8_t *output;
  int32_t *queue;
};

class Stream {
 public:
  Stream(Turn &turn, int slot, int fd, const StreamBuffers &buffers);
  ~Stream();

  // Called for JavaScript.
  void start(const Framing &framing);
  /// From the next packet callback on: what was cut ahead of it is taken back.
  void set_framing(const Framing &framing);
  void bind_volume(uint32_t volume, int32_t arena);
  void pause(bool paused);
  /// Takes the undelivered events from record `first` on back, to be cut anew.
  void recut(uint32_t first);
  void close(double linger_ms);
  int unacked_bytes() const;

  // Called by the turn.
  /// Cuts packets out of what has come, and reports progress and the end.
  void attend();
  /// Queues the next receive and send where possible; true: a receive.
  bool arm();
  /// Something was sent, or failed, at once in arm(): to be attended. Asked once.
  bool progressed() { return std::exchange(progressed_, false); }
  /// Closed by JavaScript; lingers at most until linger_until().
  bool closing() const { return closing_; }

  /// For an arena that goes away: nothing refers to it afterwards.
  void forget_arena(int32_t arena);
  /// Room was given back to an arena.
  void room() { stalled_ = false; }
  bool stalled() const { return stalled_; }
  /// Carries no payload: acknowledgements and pings, served first.
  bool control() const { return control_; }
  /// Closed and nothing in flight: may be deleted.
  bool finished() const { return fd_ < 0 && !receive_.busy && !send_.busy; }
  double linger_until() const { return linger_until_; }
  void linger_over() { finish(); }
  int fd() const { return fd_; }
  int slot() const { return slot_; }
  bool attending = false;

 private:
  struct Receive : RingOp {
    Stream *stream;
    void complete(int res, unsigned flags) override { stream->received(res, flags); }
  };
  struct Send : RingOp {
    Stream *stream;
    void complete(int res, unsigned) override { stream->sent(res); }
  };
  /// A packet whose payload is still coming, or that is complete and not delivered.
  struct Packet {
    bool active = false;
    uint32_t start = 0, fixed_at = 0, fixed = 0;
    uint32_t command = 0, volume = 0;
    int32_t arena = -1;
    int64_t payload_at = -1;
    uint32_t payload = 0, filled = 0;
    uint64_t batch = 0;
  };

  void received(int res, unsigned flags);
  void sent(int res);
  void fail_send(int error);
  void end(Ended cause, int error);
  bool next_packet();
  bool fill_payload();
  void emit_packet();
  void report();
  bool arm_receive();
  void arm_send();
  bool send_pages();
  bool sent_at_once(ssize_t result);
  void send_by_ring(unsigned count);
  unsigned gather(iovec *pages);
  bool gather_segment(const int32_t *segment, uint32_t skip, unsigned *count, iovec *pages);
  bool add_range(uint8_t *data, uint32_t bytes, uint32_t *skip, unsigned *count);
  void advance(uint32_t bytes);
  void compact();
  void uncut_open_packet();
  void free_payload(Packet &packet);
  void give_back(const int32_t *record);
  void skip_payload();
  void take_queue_along();
  void continue_closing();
  void finish();
  int32_t arena_of(uint32_t volume) const;
  double *queue_f64() const { return reinterpret_cast<double *>(buffers_.queue); }
  int32_t *segment(uint32_t index) const;

  static constexpr unsigned kRangesMax = 512;
  static constexpr uint32_t kSendBytesMax = 4 << 20;
  /// From here on two more calls cost less than the copy.
  static constexpr uint32_t kSpliceBytesMin = 16 << 10;
  static constexpr uint32_t kBulkPayloadBytes = 32 << 10, kBulkInputBytes = 1 << 10;

  Turn &turn_;
  const int slot_;
  int fd_;
  StreamBuffers buffers_;
  Framing framing_;
  bool started_ = false, paused_ = false, stalled_ = false, control_ = true, closing_ = false;
  /// The latest packet was large: the next one's payload shall not come by way of the input.
  bool bulk_ = false;
  bool end_reported_ = false, poll_first_ = false, progress_ = false, shut_ = false;
  Ended ended_ = Ended::no;
  int error_ = 0, send_error_ = 0;

  Receive receive_;
  msghdr receive_header_ = {};
  iovec receive_ranges_[2];
  uint32_t armed_payload_ = 0;
  uint32_t head_ = 0, tail_ = 0;
  Packet open_, carried_;
  int64_t carried_event_ = -1;
  uint32_t carried_end_ = 0;
  std::vector<std::pair<uint32_t, int32_t>> volumes_;

  Send send_;
  msghdr send_header_ = {};
  std::unique_ptr<iovec[]> send_ranges_;
  /// What is in it is the front of the queue, not counted as sent.
  PagePipe pipe_;
  bool splices_ = true, polls_ = false, progressed_ = false;
  uint32_t segment_done_ = 0;
  std::vector<uint8_t> rest_;
  size_t rest_done_ = 0;
  double linger_until_ = 0;
};

}  // namespace drbdd
