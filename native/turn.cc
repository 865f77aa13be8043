// SPDX-License-Identifier: GPL-2.0-or-later
#include "turn.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "shim.h"

namespace drbdd {
namespace {

constexpr unsigned kRingEntries = 1024;
constexpr double kAcceptPauseMs = 100, kDoorbellPauseMs = 1;

void close_handle(uv_handle_t *handle) {
  uv_close(handle, [](uv_handle_t *closed) { free(closed); });
}

}  // namespace

struct Turn::Connector : RingOp {
  Turn *turn;
  int id, fd;
  bool cancelled = false;
  SocketAddress remote;
  ~Connector() override {
    if (fd >= 0) ::close(fd);
  }
  void complete(int res, unsigned) override {
    if (cancelled) return;
    int slot = -1;
    if (res == 0) {
      tune_connection(fd);
      slot = turn->add_stream(fd);
      fd = -1;
      if (slot < 0) res = -EMFILE;
    }
    turn->emit(EventKind::connected, id, slot, -res);
    cancelled = true;
  }
};

struct Turn::Listener : RingOp {
  Turn *turn;
  int id, fd;
  double again_ms = 0;
  bool closed = false;
  ~Listener() override {
    if (fd >= 0) ::close(fd);
  }
  void arm() {
    if (busy || closed || again_ms > turn->now_ms()) return;
    io_uring_sqe *sqe = turn->ring().sqe(this);
    io_uring_prep_accept(sqe, fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    Ring::bind(sqe, this);
  }
  void complete(int res, unsigned) override {
    if (res < 0) {
      // Out of descriptors or memory: later. The connection stays in the backlog.
      if (res != -ECANCELED && res != -ECONNABORTED && res != -EINTR) again_ms = turn->now_ms() + kAcceptPauseMs;
      return;
    }
    if (closed) {
      ::close(res);
      return;
    }
    tune_connection(res);
    int slot = turn->add_stream(res);
    if (slot >= 0) turn->emit(EventKind::accepted, id, slot);
  }
};

Turn::Turn(Napi::Env env, const Shared &shared) : env_(env), shared_(shared), starts_(kEventsMax) {
  shared_.head[kHeadNowMs] = clock_ms();
}

Turn::~Turn() { stop(); }

double Turn::clock_ms() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

int Turn::start(Napi::Function script, double watchdog_ms) {
  int rc = ring_.init(kRingEntries);
  if (rc < 0) return rc;
  napi_get_uv_event_loop(env_, &loop_);
  script_ = Napi::Persistent(script);
  context_ = std::make_unique<Napi::AsyncContext>(env_, "drbdd:turn");
  prepare_ = static_cast<uv_prepare_t *>(malloc(sizeof(*prepare_)));
  idle_ = static_cast<uv_idle_t *>(malloc(sizeof(*idle_)));
  uv_prepare_init(loop_, prepare_);
  uv_idle_init(loop_, idle_);
  prepare_->data = this;
  uv_prepare_start(prepare_, [](uv_prepare_t *handle) { static_cast<Turn *>(handle->data)->run(); });
  if (watchdog_ms > 0) watchdog_.start(watchdog_ms);
  running_ = true;
  return 0;
}

void Turn::stop() {
  if (!running_) return;
  running_ = false;
  watchdog_.stop();
  shim_.reset();
  for (auto &stream : streams_) {
    if (stream) stream->close(0);
  }
  for (auto &listener : listeners_) {
    ring_.cancel_now(listener.get());
  }
  for (auto &connector : connectors_) {
    ring_.cancel_now(connector.get());
  }
  // Everything in flight ends with the ring: afterwards the objects may go.
  ring_.exit();
  streams_.clear();
  listeners_.clear();
  connectors_.clear();
  lowers_.clear();
  close_handle(reinterpret_cast<uv_handle_t *>(prepare_));
  close_handle(reinterpret_cast<uv_handle_t *>(idle_));
  script_.Reset();
}

void Turn::fatal(const char *reason) {
  fprintf(stderr, "drbdd: %s\n", reason);
  abort();
}

// ---- the loop

/// Turns follow each other in here as long as only the ring has work; libuv gets its turn when something of its own is due.
void Turn::run() {
  if (inside_) return;
  inside_ = true;
  uv_idle_stop(idle_);
  while (running_ && pass()) {
  }
  inside_ = false;
  // libuv only looks at its descriptors now, it does not wait.
  if (running_) uv_idle_start(idle_, [](uv_idle_t *) {});
}

/// One turn; false when libuv must come next.
bool Turn::pass() {
  flush();
  bool leave = loop_has_work();
  double wait = leave ? 0 : wait_ms();
  bool sleeps = wait != 0 && (!shim_ || shim_->may_sleep());
  // What the doorbell brought first, if nothing is kept waiting by it but receives: they are not left behind twice.
  stayed_ = !stayed_ && shim_ && shim_->has_events() && ring_.unsubmitted() == receives_;
  if (!stayed_) ring_.enter(sleeps ? wait : 0);
  if (sleeps && shim_) shim_->awake();
  collect();
  if (script_wanted()) call_script();
  return !leave;
}

/// A descriptor of libuv is ready, a timer is due, or it has descriptors that the kernel does not know of yet.
bool Turn::loop_has_work() {
  bool ready = loop_poll_.ready || loop_->watcher_queue.next != &loop_->watcher_queue;
  loop_poll_.ready = false;
  uv_update_time(loop_);
  return ready || uv_backend_timeout(loop_) == 0;
}

double Turn::wait_ms() {
  if (!loop_poll_.busy) {
    io_uring_sqe *sqe = ring_.sqe(&loop_poll_);
    io_uring_prep_poll_add(sqe, uv_backend_fd(loop_), POLLIN);
    Ring::bind(sqe, &loop_poll_);
  }
  if (!attend_.empty() || !spill_.empty() || ring_.has_completions()) return 0;
  if (shared_.head[kHeadRoom] != room_seen_) return 0;
  double now = clock_ms(), wait = shared_.head[kHeadDeadlineMs] - now;
  int loop_wait = uv_backend_timeout(loop_);
  if (loop_wait >= 0) wait = std::min<double>(wait, loop_wait);
  for (int slot : closing_) {
    if (streams_[slot]->fd() >= 0) wait = std::min(wait, streams_[slot]->linger_until() - now);
  }
  for (auto &listener : listeners_) {
    if (!listener->busy && !listener->closed) wait = std::min(wait, listener->again_ms - now);
  }
  if (shim_ && shim_->ops_left()) wait = std::min(wait, kDoorbellPauseMs);
  if (std::isinf(wait)) return -1;
  return std::max(wait, 0.0);
}

/// Hands over what JavaScript has ordered: control streams before the others.
void Turn::flush() {
  work_off_ops();
  if (shim_) shim_->flush();
  receives_ = 0;
  for (bool control : {true, false}) {
    for (Stream *stream : touched_) {
      if (stream->control() == control) receives_ += stream->arm();
    }
  }
  attending_.swap(touched_);
  touched_ = attend_;
  for (Stream *stream : attending_) {
    if (stream->progressed()) attend_later(stream);
  }
  attending_.clear();
  sweep_finished();
  for (auto &listener : listeners_) {
    listener->arm();
  }
}

void Turn::work_off_ops() {
  auto count = static_cast<uint32_t>(shared_.head[kHeadOps]);
  if (count > kOpsMax) fatal("more operations than the array holds");
  for (uint32_t i = 0; i < count; i++) {
    const int32_t *op = shared_.ops + i * kOpWords;
    if (op[0] == static_cast<int32_t>(OpKind::send)) {
      Stream *sender = stream(op[1]);
      if (sender) touched_.push_back(sender);
      continue;
    }
    UringLower *target = lower(op[1]);
    double sector;
    memcpy(&sector, op + 4, sizeof(sector));
    uint8_t *data = nullptr;
    auto bytes = static_cast<uint32_t>(op[6]), offset = static_cast<uint32_t>(op[7]);
    if (op[3] >= 0) {
      Arena *from = arena(op[3]);
      if (!from || !from->holds(offset, bytes)) fatal("an operation's data lie outside its arena");
      data = from->base + offset;
    }
    if (!target || sector < 0) fatal("an operation for a backing device that is not there");
    target->submit(static_cast<LowerOp>(op[2] & 0xff), static_cast<uint32_t>(op[2]) >> 8,
                   static_cast<uint64_t>(sector) * 512, bytes, data, op[8]);
  }
  shared_.head[kHeadOps] = 0;
  shared_.head[kHeadFlushes]++;
}

void Turn::collect() {
  batch_++;
  event_count_ = 0;
  shared_.head[kHeadNowMs] = clock_ms();
  unspill();
  ring_.reap();
  wake_stalled();
  attending_.swap(attend_);
  for (Stream *stream : attending_) stream->attending = false;
  for (bool control : {true, false}) {
    for (Stream *stream : attending_) {
      if (stream->control() == control) stream->attend();
    }
  }
  attending_.clear();
  sweep_closing();
  if (shim_) shim_->collect();
  shared_.head[kHeadEvents] = event_count_;
}

void Turn::wake_stalled() {
  if (room_seen_ == shared_.head[kHeadRoom]) return;
  room_seen_ = shared_.head[kHeadRoom];
  for (auto &stream : streams_) {
    if (!stream || !stream->stalled()) continue;
    stream->room();
    attend_later(stream.get());
  }
}

void Turn::sweep_closing() {
  for (int slot : closing_) {
    Stream *stream = streams_[slot].get();
    if (stream->fd() >= 0 && stream->linger_until() <= now_ms()) stream->linger_over();
  }
}

/// Slots are free again only between turns, so no event of an old stream can be taken for one of a new one.
void Turn::sweep_finished() {
  std::erase_if(closing_, [this](int slot) {
    Stream *stream = streams_[slot].get();
    if (!stream->finished()) return false;
    std::erase(touched_, stream);
    std::erase(attend_, stream);
    streams_[slot].reset();
    return true;
  });
  std::erase_if(connectors_, [](auto &connector) { return connector->cancelled && !connector->busy; });
  for (auto &listener : listeners_) {
    if (listener->closed && !listener->busy) listener.reset();
  }
  std::erase(listeners_, nullptr);
}

bool Turn::script_wanted() const {
  if (event_count_ || shared_.head[kHeadShimFrom] != shared_.head[kHeadShimTo]) return true;
  return shared_.head[kHeadShimRequests] > 0 || shared_.head[kHeadDeadlineMs] <= now_ms();
}

void Turn::call_script() {
  Napi::HandleScope scope(env_);
  shared_.head[kHeadTurns]++;
  watchdog_.turn_begins();
  script_.MakeCallback(env_.Global(), std::initializer_list<napi_value>{}, *context_);
  watchdog_.turn_ends();
  double busy = clock_ms() - now_ms();
  shared_.head[kHeadBusyMs] = busy;
  shared_.head[kHeadBusyMaxMs] = std::max(shared_.head[kHeadBusyMaxMs], busy);
  if (!env_.IsExceptionPending()) return;
  Napi::Value error = env_.GetAndClearPendingException().Value();
  napi_fatal_exception(env_, error);
}

// ---- events

void Turn::emit(EventKind kind, int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g) {
  const SpilledEvent event = {{static_cast<int32_t>(kind), a, b, c, d, e, f, g}};
  if (event_count_ == kEventsMax || !spill_.empty()) spill_.push_back(event);
  else memcpy(record(event_count_++), event.words, sizeof(event.words));
}

void Turn::emit_f64(EventKind kind, int32_t a, double value) {
  int32_t words[2];
  memcpy(words, &value, sizeof(value));
  emit(kind, a, 0, 0, words[0], words[1]);
}

int64_t Turn::emit_packet(int32_t slot, uint32_t start, uint32_t command, uint32_t volume, uint32_t fixed_at,
                          uint32_t fixed, int32_t payload_at, uint32_t payload) {
  starts_[event_count_] = start;
  emit(EventKind::packet, slot, static_cast<int32_t>(command), static_cast<int32_t>(volume),
       static_cast<int32_t>(fixed_at), static_cast<int32_t>(fixed), payload_at, static_cast<int32_t>(payload));
  return event_count_ - 1;
}

void Turn::unspill() {
  std::vector<SpilledEvent> old;
  old.swap(spill_);
  for (const SpilledEvent &event : old) {
    const int32_t *w = event.words;
    emit(static_cast<EventKind>(w[0]), w[1], w[2], w[3], w[4], w[5], w[6], w[7]);
  }
}

static bool of_stream(const int32_t *record, int32_t slot) {
  auto kind = static_cast<EventKind>(record[0]);
  bool streams = kind == EventKind::packet || kind == EventKind::sent || kind == EventKind::writable ||
                 kind == EventKind::closed;
  return streams && record[1] == slot;
}

void Turn::each_event_of(int32_t slot, uint32_t first, const EventVisitor &visit) {
  for (uint32_t i = first; i < event_count_; i++) {
    if (of_stream(record(i), slot)) visit(record(i), starts_[i], i);
  }
}

void Turn::forget_spilled(int32_t slot) {
  std::erase_if(spill_, [slot](const SpilledEvent &event) { return of_stream(event.words, slot); });
}

// ---- arenas

int Turn::add_arena(const Arena &wanted, int32_t *map, uint32_t map_words) {
  Arena arena = wanted;
  if (!arena.pages.attach(map, map_words)) return -EINVAL;
  if (arena.pages_offset + uint64_t{arena.pages.count()} * kPageBytes > arena.size) return -EINVAL;
  for (size_t id = 0; id < arenas_.size(); id++) {
    if (arenas_[id].base) continue;
    arenas_[id] = arena;
    return static_cast<int>(id);
  }
  arenas_.push_back(arena);
  return static_cast<int>(arenas_.size() - 1);
}

void Turn::remove_arena(int32_t id) {
  if (!arena(id)) return;
  for (auto &stream : streams_) {
    if (stream) stream->forget_arena(id);
  }
  arenas_[id] = {};
}

Arena *Turn::arena(int32_t id) {
  if (id < 0 || static_cast<size_t>(id) >= arenas_.size() || !arenas_[id].base) return nullptr;
  return &arenas_[id];
}

int64_t Turn::alloc_pages(int32_t id, uint32_t bytes) {
  Arena *from = arena(id);
  if (!from) fatal("payload for an arena that is not there");
  int32_t first = from->pages.alloc((bytes + kPageBytes - 1) / kPageBytes);
  if (first < 0) {
    from->pages.word(kPagesNativeWaits) = 1;
    return -1;
  }
  return from->pages_offset + int64_t{first} * kPageBytes;
}

void Turn::free_pages(int32_t id, int64_t offset, uint32_t bytes) {
  Arena *to = arena(id);
  if (!to || offset < to->pages_offset) return;
  auto first = static_cast<uint32_t>((offset - to->pages_offset) / kPageBytes);
  if (!to->pages.free(first, (bytes + kPageBytes - 1) / kPageBytes)) fatal("a payload's room was given back twice");
  if (!to->pages.word(kPagesScriptWaits)) return;
  to->pages.word(kPagesScriptWaits) = 0;
  emit(EventKind::room, id);
}

// ---- streams and sockets

int Turn::add_stream(int fd) {
  size_t slot = 0;
  while (slot < streams_.size() && streams_[slot]) slot++;
  if (slot == streams_.size() && slot < kStreamsMax) {
    StreamBuffers made;
    if (make_buffers(static_cast<int>(slot), &made)) {
      streams_.emplace_back();
      buffers_.push_back(made);
    }
  }
  if (slot >= streams_.size()) {
    ::close(fd);
    return -1;
  }
  streams_[slot] = std::make_unique<Stream>(*this, static_cast<int>(slot), fd, buffers_[slot]);
  return static_cast<int>(slot);
}

Stream *Turn::stream(int32_t slot) {
  if (slot < 0 || static_cast<size_t>(slot) >= streams_.size()) return nullptr;
  return streams_[slot].get();
}

void Turn::attend_later(Stream *stream) {
  if (stream->attending) return;
  stream->attending = true;
  attend_.push_back(stream);
  touched_.push_back(stream);
}

void Turn::close_stream(int32_t slot, double linger_ms) {
  Stream *closed = stream(slot);
  if (!closed || closed->closing()) return;
  closed->close(linger_ms);
  // Also one without a socket any more: its slot is free once nothing of it is in flight.
  closing_.push_back(slot);
}

int Turn::connect(int netns_fd, const SocketAddress &local, const SocketAddress &remote, const Tuning &tuning) {
  int fd = open_connector(netns_fd, local, tuning);
  if (fd < 0) return fd;
  auto connector = std::make_unique<Connector>();
  connector->turn = this;
  connector->id = next_id_++;
  connector->fd = fd;
  connector->remote = remote;
  io_uring_sqe *sqe = ring_.sqe(connector.get());
  io_uring_prep_connect(sqe, fd, reinterpret_cast<const sockaddr *>(&connector->remote.storage), remote.bytes);
  Ring::bind(sqe, connector.get());
  connectors_.push_back(std::move(connector));
  return connectors_.back()->id;
}

void Turn::cancel_connect(int id) {
  for (auto &connector : connectors_) {
    if (connector->id != id || connector->cancelled) continue;
    ring_.cancel_now(connector.get());
    connector->cancelled = true;
  }
}

int Turn::listen(int netns_fd, const SocketAddress &local, const Tuning &tuning) {
  int fd = open_listener(netns_fd, local, tuning);
  if (fd < 0) return fd;
  auto listener = std::make_unique<Listener>();
  listener->turn = this;
  listener->id = next_id_++;
  listener->fd = fd;
  listeners_.push_back(std::move(listener));
  return listeners_.back()->id;
}

/// The port is free when this returns.
void Turn::close_listener(int id) {
  for (auto &listener : listeners_) {
    if (listener->id != id || listener->closed) continue;
    listener->closed = true;
    ring_.cancel_now(listener.get());
    ::shutdown(listener->fd, SHUT_RDWR);
    ::close(listener->fd);
    listener->fd = -1;
    ring_.enter(0);
  }
}

// ---- backing files

int Turn::add_lower(int fd, bool block_device) {
  size_t id = 0;
  while (id < lowers_.size() && lowers_[id]) id++;
  if (id == lowers_.size()) lowers_.emplace_back();
  lowers_[id] = std::make_unique<UringLower>(*this, static_cast<int>(id), fd, block_device);
  return static_cast<int>(id);
}

bool Turn::remove_lower(int id) {
  UringLower *gone = lower(id);
  if (!gone || gone->in_flight()) return false;
  lowers_[id].reset();
  return true;
}

UringLower *Turn::lower(int id) {
  if (id < 0 || static_cast<size_t>(id) >= lowers_.size()) return nullptr;
  return lowers_[id].get();
}

void Turn::set_shim(std::unique_ptr<Shim> shim) { shim_ = std::move(shim); }

}  // namespace drbdd
