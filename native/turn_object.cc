// SPDX-License-Identifier: GPL-2.0-or-later
#include "turn_object.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bytes.h"

namespace drbdd {
namespace {

Napi::Reference<Napi::Value> keep(const Napi::Value &value) { return Napi::Reference<Napi::Value>::New(value, 1); }

Tuning tuning_of(const Napi::CallbackInfo &info, size_t first) {
  return {int_of(info[first]), int_of(info[first + 1]), int_of(info[first + 2])};
}

}  // namespace

void TurnObject::init(Napi::Env env, Napi::Object exports) {
  exports.Set("Turn", DefineClass(env, "Turn", {
      InstanceMethod<&TurnObject::start>("start"),
      InstanceMethod<&TurnObject::stop>("stop"),
      InstanceMethod<&TurnObject::flush_ops>("flushOps"),
      InstanceMethod<&TurnObject::add_arena>("addArena"),
      InstanceMethod<&TurnObject::remove_arena>("removeArena"),
      InstanceMethod<&TurnObject::stream_info>("streamInfo"),
      InstanceMethod<&TurnObject::stream_framing>("streamFraming"),
      InstanceMethod<&TurnObject::stream_bind>("streamBind"),
      InstanceMethod<&TurnObject::stream_pause>("streamPause"),
      InstanceMethod<&TurnObject::stream_recut>("streamRecut"),
      InstanceMethod<&TurnObject::stream_close>("streamClose"),
      InstanceMethod<&TurnObject::stream_unacked>("streamUnacked"),
      InstanceMethod<&TurnObject::connect>("connect"),
      InstanceMethod<&TurnObject::cancel_connect>("cancelConnect"),
      InstanceMethod<&TurnObject::listen>("listen"),
      InstanceMethod<&TurnObject::close_listener>("closeListener"),
      InstanceMethod<&TurnObject::add_lower>("addLower"),
      InstanceMethod<&TurnObject::remove_lower>("removeLower"),
      InstanceMethod<&TurnObject::shim_open>("shimOpen"),
      InstanceMethod<&TurnObject::shim_map_rings>("shimMapRings"),
      InstanceMethod<&TurnObject::shim_map>("shimMap"),
      InstanceMethod<&TurnObject::shim_ioctl>("shimIoctl"),
      InstanceMethod<&TurnObject::shim_read>("shimRead"),
      InstanceMethod<&TurnObject::shim_doorbell>("shimDoorbell"),
      InstanceMethod<&TurnObject::shim_close>("shimClose"),
      InstanceMethod<&TurnObject::unmap>("unmap"),
  }));
}

/// (head: Float64Array, events: Int32Array, ops: Int32Array)
TurnObject::TurnObject(const Info &info) : Napi::ObjectWrap<TurnObject>(info) {
  Bytes head = bytes_of(info[0]), events = bytes_of(info[1]), ops = bytes_of(info[2]);
  if (head.size != kHeadWords * 8 || events.size != kEventsMax * kEventWords * 4 || ops.size != kOpsMax * kOpWords * 4) {
    range_error(info.Env(), "Turn: arrays of another size");
    return;
  }
  head_ = keep(info[0]);
  events_ = keep(info[1]);
  ops_ = keep(info[2]);
  turn_ = std::make_unique<Turn>(info.Env(), Turn::Shared{reinterpret_cast<double *>(head.data),
                                                          reinterpret_cast<int32_t *>(events.data),
                                                          reinterpret_cast<int32_t *>(ops.data)});
  turn_->make_buffers = [this](int slot, StreamBuffers *out) { return make_buffers(slot, out); };
}

/// (script, watchdogMs) → 0 or -errno
Napi::Value TurnObject::start(const Info &info) {
  return number(info.Env(), turn_->start(info[0].As<Napi::Function>(), double_of(info[1])));
}

Napi::Value TurnObject::stop(const Info &info) {
  turn_->stop();
  return info.Env().Undefined();
}

Napi::Value TurnObject::flush_ops(const Info &info) {
  turn_->work_off_ops();
  return info.Env().Undefined();
}

// ---- arenas

/// (bytes, pagesOffset, map, splice) → id or -errno
Napi::Value TurnObject::add_arena(const Info &info) {
  Bytes bytes = bytes_of(info[0]), map = bytes_of(info[2]);
  Arena arena;
  arena.base = bytes.data;
  arena.size = bytes.size;
  arena.pages_offset = static_cast<uint32_t>(int_of(info[1]));
  arena.splice = info[3].ToBoolean();
  int id = turn_->add_arena(arena, reinterpret_cast<int32_t *>(map.data), static_cast<uint32_t>(map.size / 4));
  if (id >= 0) {
    arenas_[id].bytes = keep(info[0]);
    arenas_[id].map = keep(info[2]);
  }
  return number(info.Env(), id);
}

Napi::Value TurnObject::remove_arena(const Info &info) {
  turn_->remove_arena(int_of(info[0]));
  arenas_.erase(int_of(info[0]));
  return info.Env().Undefined();
}

// ---- streams

bool TurnObject::make_buffers(int slot, StreamBuffers *out) {
  Napi::HandleScope scope(Env());
  auto make = [this](size_t bytes) {
    return Napi::Reference<Napi::ArrayBuffer>::New(Napi::ArrayBuffer::New(Env(), bytes), 1);
  };
  slots_.resize(std::max(slots_.size(), static_cast<size_t>(slot) + 1));
  SlotBuffers &made = slots_[static_cast<size_t>(slot)];
  made.input = make(kInputBytes);
  made.output = make(kOutputBytes);
  made.queue = make((kQueueSegments + kSegmentsMax * kSegmentWords) * sizeof(int32_t));
  *out = {static_cast<uint8_t *>(made.input.Value().Data()), static_cast<uint8_t *>(made.output.Value().Data()),
          static_cast<int32_t *>(made.queue.Value().Data())};
  return true;
}

Napi::Object TurnObject::address(const SocketAddress &address) {
  int port = 0;
  bool ipv6 = false;
  auto result = Napi::Object::New(Env());
  std::string text = format_address(address, &port, &ipv6);
  result.Set("family", ipv6 ? "ipv6" : "ipv4");
  result.Set("address", text);
  result.Set("port", port);
  return result;
}

/// (slot) → { input, output, queue, local, remote }
Napi::Value TurnObject::stream_info(const Info &info) {
  Stream *stream = turn_->stream(int_of(info[0]));
  if (!stream) return range_error(info.Env(), "no such stream");
  SlotBuffers &slot = slots_[static_cast<size_t>(stream->slot())];
  SocketAddress local, remote;
  local.bytes = remote.bytes = sizeof(sockaddr_storage);
  getsockname(stream->fd(), reinterpret_cast<sockaddr *>(&local.storage), &local.bytes);
  getpeername(stream->fd(), reinterpret_cast<sockaddr *>(&remote.storage), &remote.bytes);
  auto result = Napi::Object::New(info.Env());
  result.Set("input", slot.input.Value());
  result.Set("output", slot.output.Value());
  result.Set("queue", slot.queue.Value());
  result.Set("local", address(local));
  result.Set("remote", address(remote));
  return result;
}

/// (slot, format, fixedBytes, maxFixedBytes, maxPayloadBytes, start)
Napi::Value TurnObject::stream_framing(const Info &info) {
  Stream *stream = turn_->stream(int_of(info[0]));
  Bytes fixed = bytes_of(info[2]);
  Framing framing;
  framing.format = static_cast<HeaderFormat>(int_of(info[1]));
  framing.max_fixed = static_cast<uint32_t>(int_of(info[3]));
  framing.max_payload = static_cast<uint32_t>(int_of(info[4]));
  if (!stream || fixed.size != sizeof(framing.fixed) || framing.max_fixed > kFixedBytesLimit) {
    return range_error(info.Env(), "framing: no such stream, or a limit that is too large");
  }
  memcpy(framing.fixed, fixed.data, sizeof(framing.fixed));
  if (bool_of(info[5])) stream->start(framing);
  else stream->set_framing(framing);
  return info.Env().Undefined();
}

/// (slot, volume, arena or -1)
Napi::Value TurnObject::stream_bind(const Info &info) {
  if (Stream *stream = turn_->stream(int_of(info[0]))) {
    stream->bind_volume(static_cast<uint32_t>(int_of(info[1])), int_of(info[2]));
  }
  return info.Env().Undefined();
}

Napi::Value TurnObject::stream_pause(const Info &info) {
  if (Stream *stream = turn_->stream(int_of(info[0]))) stream->pause(bool_of(info[1]));
  return info.Env().Undefined();
}

/// (slot, index of the first event to take back)
Napi::Value TurnObject::stream_recut(const Info &info) {
  if (Stream *stream = turn_->stream(int_of(info[0]))) stream->recut(static_cast<uint32_t>(int_of(info[1])));
  return info.Env().Undefined();
}

/// (slot, lingerMs)
Napi::Value TurnObject::stream_close(const Info &info) {
  turn_->close_stream(int_of(info[0]), double_of(info[1]));
  return info.Env().Undefined();
}

Napi::Value TurnObject::stream_unacked(const Info &info) {
  Stream *stream = turn_->stream(int_of(info[0]));
  return number(info.Env(), stream ? stream->unacked_bytes() : 0);
}

// ---- sockets

/// (netnsFd, ipv6, local, remote, remotePort, sndbuf, rcvbuf, tos) → id or -errno
Napi::Value TurnObject::connect(const Info &info) {
  SocketAddress local, remote;
  bool ipv6 = bool_of(info[1]);
  if (!parse_address(ipv6, text_of(info[2]), 0, &local) ||
      !parse_address(ipv6, text_of(info[3]), int_of(info[4]), &remote)) {
    return number(info.Env(), -EINVAL);
  }
  return number(info.Env(), turn_->connect(int_of(info[0]), local, remote, tuning_of(info, 5)));
}

Napi::Value TurnObject::cancel_connect(const Info &info) {
  turn_->cancel_connect(int_of(info[0]));
  return info.Env().Undefined();
}

/// (netnsFd, ipv6, local, port, sndbuf, rcvbuf, tos) → id or -errno
Napi::Value TurnObject::listen(const Info &info) {
  SocketAddress local;
  if (!parse_address(bool_of(info[1]), text_of(info[2]), int_of(info[3]), &local)) return number(info.Env(), -EINVAL);
  return number(info.Env(), turn_->listen(int_of(info[0]), local, tuning_of(info, 4)));
}

Napi::Value TurnObject::close_listener(const Info &info) {
  turn_->close_listener(int_of(info[0]));
  return info.Env().Undefined();
}

// ---- backing files

/// (fd, block) → id; the descriptor belongs to it
Napi::Value TurnObject::add_lower(const Info &info) {
  return number(info.Env(), turn_->add_lower(int_of(info[0]), bool_of(info[1])));
}

Napi::Value TurnObject::remove_lower(const Info &info) {
  return Napi::Boolean::New(info.Env(), turn_->remove_lower(int_of(info[0])));
}

// ---- the shim

/// (path) → 0 or -errno
Napi::Value TurnObject::shim_open(const Info &info) {
  auto shim = std::make_unique<Shim>(*turn_);
  int rc = turn_->shim() ? -EALREADY : shim->open(text_of(info[0]).c_str());
  if (rc == 0) turn_->set_shim(std::move(shim));
  return number(info.Env(), rc);
}

Napi::Value TurnObject::mapped(uint8_t *memory, size_t bytes) {
  // Unmapped by unmap() or shimClose(), or never: the memory may still be in use by the kernel.
  return Napi::ArrayBuffer::New(Env(), memory, bytes, [](Napi::Env, void *) {});
}

/// () → ArrayBuffer, or -errno
Napi::Value TurnObject::shim_map_rings(const Info &info) {
  Shim *shim = turn_->shim();
  int rc = shim ? shim->map_rings() : -EBADF;
  return rc < 0 ? number(info.Env(), rc) : mapped(shim->rings(), DRBD_SHIM_RINGS_BYTES);
}

/// (offset, bytes) → ArrayBuffer, or -errno
Napi::Value TurnObject::shim_map(const Info &info) {
  Shim *shim = turn_->shim();
  if (!shim) return number(info.Env(), -EBADF);
  auto bytes = static_cast<size_t>(double_of(info[1]));
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, shim->fd(),
                      static_cast<off_t>(double_of(info[0])));
  if (memory == MAP_FAILED) return number(info.Env(), -errno);
  return mapped(static_cast<uint8_t *>(memory), bytes);
}

/// (ArrayBuffer of shimMap): empty afterwards
Napi::Value TurnObject::unmap(const Info &info) {
  auto buffer = info[0].As<Napi::ArrayBuffer>();
  void *memory = buffer.Data();
  size_t bytes = buffer.ByteLength();
  buffer.Detach();
  if (bytes) munmap(memory, bytes);
  return info.Env().Undefined();
}

/// (request, struct, field, data): `field` is where the struct has the address of `data`, -1 for none → result or -errno
Napi::Value TurnObject::shim_ioctl(const Info &info) {
  Shim *shim = turn_->shim();
  if (!shim) return number(info.Env(), -EBADF);
  auto request = static_cast<unsigned long>(double_of(info[0]));
  Bytes argument = bytes_of(info[1]);
  int field = int_of(info[2]);
  if (argument.size != _IOC_SIZE(request)) return range_error(info.Env(), "ioctl: a structure of another size");
  if (field >= 0) {
    auto address = reinterpret_cast<uint64_t>(bytes_of(info[3]).data);
    if (!argument.holds(field, sizeof(address))) return range_error(info.Env(), "ioctl: no such field");
    memcpy(argument.data + field, &address, sizeof(address));
  }
  int rc;
  do rc = ioctl(shim->fd(), request, argument.data);
  while (rc < 0 && errno == EINTR);
  return number(info.Env(), rc < 0 ? -errno : rc);
}

/// (bytes) → size of the request, or -errno
Napi::Value TurnObject::shim_read(const Info &info) {
  Shim *shim = turn_->shim();
  Bytes bytes = bytes_of(info[0]);
  ssize_t size = shim ? read(shim->fd(), bytes.data, bytes.size) : -1;
  return number(info.Env(), size < 0 ? -errno : static_cast<double>(size));
}

Napi::Value TurnObject::shim_doorbell(const Info &info) {
  if (Shim *shim = turn_->shim()) shim->doorbell_now();
  return info.Env().Undefined();
}

/// (the rings' ArrayBuffer): after it the module isn't held by this process
Napi::Value TurnObject::shim_close(const Info &info) {
  if (info[0].IsArrayBuffer()) info[0].As<Napi::ArrayBuffer>().Detach();
  turn_->set_shim(nullptr);
  return info.Env().Undefined();
}

}  // namespace drbdd
