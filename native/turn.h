// SPDX-License-Identifier: GPL-2.0-or-later
// The engine's turn: one blocking call on the ring, then one call of JavaScript with everything that has come.
#pragma once
#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "abi.h"
#include "pages.h"
#include "ring.h"
#include "socket.h"
#include "stream.h"
#include "uring_lower.h"
#include "watchdog.h"

namespace drbdd {

class Shim;

/// A record that found no room in the array.
struct SpilledEvent {
  int32_t words[kEventWords];
};

class Turn {
 public:
  /// Memory that JavaScript made and keeps: head (Float64), events and operations (Int32).
  struct Shared {
    double *head;
    int32_t *events;
    int32_t *ops;
  };

  Turn(Napi::Env env, const Shared &shared);
  ~Turn();
  /// 0 or -errno.
  int start(Napi::Function script, double watchdog_ms);
  /// Gives the event loop back; the object can't be started again.
  void stop();
  /// Takes the operations that JavaScript has written so far: its array is full.
  void work_off_ops();
  [[noreturn]] void fatal(const char *reason);

  // Events. A full array spills over into the next turn.
  void emit(EventKind kind, int32_t a = 0, int32_t b = 0, int32_t c = 0, int32_t d = 0, int32_t e = 0, int32_t f = 0,
            int32_t g = 0);
  void emit_f64(EventKind kind, int32_t a, double value);
  /// Index of the record. Only while packet_room().
  int64_t emit_packet(int32_t slot, uint32_t start, uint32_t command, uint32_t volume, uint32_t fixed_at,
                      uint32_t fixed, int32_t payload_at, uint32_t payload);
  bool packet_room() const { return event_count_ < kPacketsMax && spill_.empty(); }
  /// The undelivered records of a stream from index `first` on; `start` is where a packet began in the input.
  using EventVisitor = std::function<void(int32_t *record, uint32_t start, int64_t index)>;
  void each_event_of(int32_t slot, uint32_t first, const EventVisitor &visit);
  void forget_spilled(int32_t slot);

  // Arenas.
  int add_arena(const Arena &arena, int32_t *map, uint32_t map_words);
  void remove_arena(int32_t id);
  Arena *arena(int32_t id);
  int64_t alloc_pages(int32_t arena, uint32_t bytes);
  void free_pages(int32_t arena, int64_t offset, uint32_t bytes);

  // Streams and sockets.
  /// Slot of a new stream over `fd`, which it owns; -1 (fd closed) when there are too many.
  int add_stream(int fd);
  Stream *stream(int32_t slot);
  void attend_later(Stream *stream);
  void close_stream(int32_t slot, double linger_ms);
  /// Id, or -errno. The outcome comes as an event `connected`.
  int connect(int netns_fd, const SocketAddress &local, const SocketAddress &remote, const Tuning &tuning);
  void cancel_connect(int id);
  int listen(int netns_fd, const SocketAddress &local, const Tuning &tuning);
  void close_listener(int id);
  StreamBuffers *buffers(int slot) { return &buffers_[static_cast<size_t>(slot)]; }
  /// Called when a slot is used for the first time, to make the memory that JavaScript shares.
  std::function<bool(int slot, StreamBuffers *out)> make_buffers;

  // Backing files without the module.
  int add_lower(int fd, bool block_device);
  bool remove_lower(int id);
  UringLower *lower(int id);

  Shim *shim() { return shim_.get(); }
  void set_shim(std::unique_ptr<Shim> shim);
  Ring &ring() { return ring_; }
  double &head(HeadWord word) { return shared_.head[word]; }
  double now_ms() const { return shared_.head[kHeadNowMs]; }
  uint64_t batch() const { return batch_; }
  Napi::Env env() const { return env_; }

  static constexpr int kStreamsMax = 1024;

 private:
  struct LoopPoll : RingOp {
    bool ready = false;
    void complete(int, unsigned) override { ready = true; }
  };
  struct Connector;
  struct Listener;

  void run();
  void flush();
  double wait_ms();
  void collect();
  void wake_stalled();
  void sweep_closing();
  void sweep_finished();
  bool pass();
  void unspill();
  bool script_wanted() const;
  void call_script();
  bool loop_has_work();
  int32_t *record(uint32_t index) { return shared_.events + index * kEventWords; }
  static double clock_ms();

  Napi::Env env_;
  Shared shared_;
  Ring ring_;
  Napi::FunctionReference script_;
  std::unique_ptr<Napi::AsyncContext> context_;
  uv_loop_t *loop_ = nullptr;
  uv_prepare_t *prepare_ = nullptr;
  uv_idle_t *idle_ = nullptr;
  LoopPoll loop_poll_;
  Watchdog watchdog_;
  bool running_ = false, inside_ = false;
  /// The last turn went without the ring; receives that this one has queued there.
  bool stayed_ = false;
  unsigned receives_ = 0;

  uint32_t event_count_ = 0;
  std::vector<uint32_t> starts_;
  std::vector<SpilledEvent> spill_;
  uint64_t batch_ = 0;
  double room_seen_ = 0;

  std::vector<Arena> arenas_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<StreamBuffers> buffers_;
  std::vector<Stream *> attend_, attending_, touched_;
  std::vector<int> closing_;
  int next_id_ = 1;
  std::vector<std::unique_ptr<Connector>> connectors_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<UringLower>> lowers_;
  std::unique_ptr<Shim> shim_;
};

}  // namespace drbdd
