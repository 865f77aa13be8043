// SPDX-License-Identifier: GPL-2.0-or-later
// The class `Turn` that JavaScript sees; src/linux/native.ts declares it.
#pragma once
#include <napi.h>

#include <map>
#include <memory>

#include "shim.h"
#include "turn.h"

namespace drbdd {

class TurnObject : public Napi::ObjectWrap<TurnObject> {
 public:
  static void init(Napi::Env env, Napi::Object exports);
  explicit TurnObject(const Napi::CallbackInfo &info);

 private:
  using Info = Napi::CallbackInfo;
  Napi::Value start(const Info &info);
  Napi::Value stop(const Info &info);
  Napi::Value flush_ops(const Info &info);
  Napi::Value add_arena(const Info &info);
  Napi::Value remove_arena(const Info &info);
  Napi::Value stream_info(const Info &info);
  Napi::Value stream_framing(const Info &info);
  Napi::Value stream_bind(const Info &info);
  Napi::Value stream_pause(const Info &info);
  Napi::Value stream_recut(const Info &info);
  Napi::Value stream_close(const Info &info);
  Napi::Value stream_unacked(const Info &info);
  Napi::Value connect(const Info &info);
  Napi::Value cancel_connect(const Info &info);
  Napi::Value listen(const Info &info);
  Napi::Value close_listener(const Info &info);
  Napi::Value add_lower(const Info &info);
  Napi::Value remove_lower(const Info &info);
  Napi::Value shim_open(const Info &info);
  Napi::Value shim_map_rings(const Info &info);
  Napi::Value shim_map(const Info &info);
  Napi::Value shim_ioctl(const Info &info);
  Napi::Value shim_read(const Info &info);
  Napi::Value shim_doorbell(const Info &info);
  Napi::Value shim_close(const Info &info);
  Napi::Value unmap(const Info &info);

  bool make_buffers(int slot, StreamBuffers *out);
  Napi::Object address(const SocketAddress &address);
  Napi::Value mapped(uint8_t *memory, size_t bytes);

  struct SlotBuffers {
    Napi::Reference<Napi::ArrayBuffer> input, output, queue;
  };
  struct ArenaBuffers {
    Napi::Reference<Napi::Value> bytes, map;
  };
  Napi::Reference<Napi::Value> head_, events_, ops_;
  std::vector<SlotBuffers> slots_;
  std::map<int, ArenaBuffers> arenas_;
  std::unique_ptr<Turn> turn_;
};

}  // namespace drbdd
