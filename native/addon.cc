// SPDX-License-Identifier: GPL-2.0-or-later
// What the addon offers besides the turn: work over bytes and bits, and single system calls that Node.js lacks.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <napi.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

#include "abi.h"
#include "bitmap.h"
#include "bytes.h"
#include "crc32c.h"
#include "digest.h"
#include "turn_object.h"

namespace drbdd {
namespace {

using Info = Napi::CallbackInfo;

/// (seed, bytes, from, to) → the continued CRC; no inversion.
template <uint32_t (*function)(uint32_t, const uint8_t *, size_t)>
Napi::Value crc(const Info &info) {
  Bytes bytes = bytes_of(info[1]);
  double from = double_of(info[2]), to = double_of(info[3]);
  if (!bytes.holds(from, to - from)) return range_error(info.Env(), "crc32c: range outside the bytes");
  auto seed = static_cast<uint32_t>(static_cast<int64_t>(double_of(info[0])));
  return number(info.Env(), function(seed, bytes.data + static_cast<size_t>(from), static_cast<size_t>(to - from)));
}

/// (words, index, stride) from argument `first` on, `count` of them; false (and an exception) when some lie outside.
bool words_of(const Info &info, size_t first, double count, Words *out) {
  Bytes bytes = bytes_of(info[first]);
  double index = double_of(info[first + 1]), stride = double_of(info[first + 2]);
  bool sane = index >= 0 && stride >= 1 && stride <= 64 && count >= 0 && reinterpret_cast<uintptr_t>(bytes.data) % 4 == 0;
  if (!sane || (count > 0 && !bytes.holds(index * 4, ((count - 1) * stride + 1) * 4))) {
    range_error(info.Env(), "bitmap: words outside the array");
    return false;
  }
  *out = {reinterpret_cast<uint32_t *>(bytes.data) + static_cast<size_t>(index), static_cast<size_t>(stride), static_cast<size_t>(count)};
  return true;
}

uint32_t word_of(const Napi::Value &value) { return static_cast<uint32_t>(static_cast<int64_t>(double_of(value))); }

/// (words, index, stride, count, word)
template <auto function>
Napi::Value bitmap_with_word(const Info &info) {
  Words words;
  if (!words_of(info, 0, double_of(info[3]), &words)) return info.Env().Undefined();
  return number(info.Env(), static_cast<double>(function(words, word_of(info[4]))));
}

/// (words, index, stride, count)
Napi::Value bitmap_count_js(const Info &info) {
  Words words;
  if (!words_of(info, 0, double_of(info[3]), &words)) return info.Env().Undefined();
  return number(info.Env(), static_cast<double>(bitmap_count(words)));
}

/// (words, index, stride, count, source, source's index, source's stride)
template <auto function>
Napi::Value bitmap_with_source(const Info &info) {
  Words words, source;
  double count = double_of(info[3]);
  if (!words_of(info, 0, count, &words) || !words_of(info, 4, count, &source)) return info.Env().Undefined();
  return number(info.Env(), static_cast<double>(function(words, source)));
}

Napi::Value digest_find_js(const Info &info) { return number(info.Env(), digest_find(text_of(info[0]))); }
Napi::Value digest_bytes_js(const Info &info) { return number(info.Env(), digest_bytes(int_of(info[0]))); }

/// (algorithm, bytes, from, count, out, at)
Napi::Value digest_js(const Info &info) {
  Bytes bytes = bytes_of(info[1]), out = bytes_of(info[4]);
  double from = double_of(info[2]), count = double_of(info[3]), at = double_of(info[5]);
  int algorithm = int_of(info[0]);
  if (!bytes.holds(from, count) || !out.holds(at, digest_bytes(algorithm)) ||
      !digest(algorithm, bytes.data + static_cast<size_t>(from), static_cast<size_t>(count),
              out.data + static_cast<size_t>(at))) {
    return range_error(info.Env(), "digest: unknown algorithm or range outside the bytes");
  }
  return info.Env().Undefined();
}

/// (algorithm, key, data, out)
Napi::Value hmac_js(const Info &info) {
  Bytes key = bytes_of(info[1]), data = bytes_of(info[2]), out = bytes_of(info[3]);
  int algorithm = int_of(info[0]);
  if (!out.holds(0, digest_bytes(algorithm)) ||
      !hmac(algorithm, key.data, key.size, data.data, data.size, out.data)) {
    return range_error(info.Env(), "hmac: unknown algorithm or no room for its result");
  }
  return info.Env().Undefined();
}

/// (root, path): a descriptor for O_DIRECT I/O of the path as a process with that root sees it; or -errno.
Napi::Value open_backing(const Info &info) {
  std::string root = text_of(info[0]), path = text_of(info[1]);
  int root_fd = open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd < 0) return number(info.Env(), -errno);
  struct open_how how = {};
  how.flags = O_RDWR | O_DIRECT | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  long fd = syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof(how));
  int error = errno;
  close(root_fd);
  return number(info.Env(), fd < 0 ? -error : static_cast<double>(fd));
}

/// (fd) → { mode, size, major, minor }; the size is that of the block device or the file. -errno when it fails.
Napi::Value stat_backing(const Info &info) {
  int fd = int_of(info[0]);
  struct stat st;
  if (fstat(fd, &st) < 0) return number(info.Env(), -errno);
  uint64_t size = static_cast<uint64_t>(st.st_size);
  int logical = 512, physical = 4096;
  bool block = S_ISBLK(st.st_mode);
  if (block && (ioctl(fd, BLKGETSIZE64, &size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
                ioctl(fd, BLKPBSZGET, &physical) < 0)) {
    return number(info.Env(), -errno);
  }
  auto result = Napi::Object::New(info.Env());
  dev_t device = block ? st.st_rdev : st.st_dev;
  result.Set("block", block);
  result.Set("size", static_cast<double>(size));
  result.Set("logical", logical);
  result.Set("physical", physical);
  result.Set("major", static_cast<double>(major(device)));
  result.Set("minor", static_cast<double>(minor(device)));
  return result;
}

/// (bytes): an ArrayBuffer of whole pages, for arenas without the module.
Napi::Value page_memory(const Info &info) {
  auto bytes = static_cast<size_t>(double_of(info[0]));
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return range_error(info.Env(), "no memory for an arena");
  return Napi::ArrayBuffer::New(info.Env(), memory, bytes,
                                [bytes](Napi::Env, void *data) { munmap(data, bytes); });
}

void lock_program() {
  FILE *maps = fopen("/proc/self/maps", "re");
  char line[512], flags[5], path[256];
  while (maps && fgets(line, sizeof(line), maps)) {
    unsigned long from, to;
    path[0] = 0;
    if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %255s", &from, &to, flags, path) < 3) continue;
    if (path[0] != '/' || strncmp(path, "/dev/", 5) == 0) continue;
    mlock2(reinterpret_cast<void *>(from), to - from, flags[2] == 'x' ? 0 : MLOCK_ONFAULT);
  }
  if (maps) fclose(maps);
}

/// Reads and locks the program's code, and locks its data as they are touched: else code that runs for the first time would
/// be read when memory is short. By a thread of its own, as far as permitted. The JavaScript heap stays unlocked, for V8
/// gives pieces of it back.
Napi::Value lock_program_later(const Info &info) {
  std::thread(lock_program).detach();
  return info.Env().Undefined();
}

/// (fd, bytes): writes only if that can't block now. False when nothing was written.
Napi::Value write_now(const Info &info) {
  Bytes bytes = bytes_of(info[1]);
  struct pollfd ready = {int_of(info[0]), POLLOUT, 0};
  bool written = bytes.size <= 4096 && poll(&ready, 1, 0) == 1 && ready.revents & POLLOUT &&
                 write(ready.fd, bytes.data, bytes.size) == static_cast<ssize_t>(bytes.size);
  return Napi::Boolean::New(info.Env(), written);
}

Napi::Object constants(Napi::Env env) {
  auto result = Napi::Object::New(env);
  auto events = Napi::Object::New(env), ops = Napi::Object::New(env);
#define X(name, value) events.Set(#name, value);
  DRBDD_EVENT_KINDS(X)
#undef X
#define X(name, value) ops.Set(#name, value);
  DRBDD_OP_KINDS(X)
#undef X
  result.Set("events", events);
  result.Set("ops", ops);
  const std::pair<const char *, double> sizes[] = {
      {"eventWords", kEventWords},     {"eventsMax", kEventsMax},       {"packetsMax", kPacketsMax},
      {"opWords", kOpWords},           {"opsMax", kOpsMax},             {"headWords", kHeadWords},
      {"segmentWords", kSegmentWords}, {"segmentsMax", kSegmentsMax},   {"outputBytes", kOutputBytes},
      {"inputBytes", kInputBytes},     {"queueSegments", kQueueSegments}, {"pagesBits", kPagesBits},
      {"streamsMax", Turn::kStreamsMax},
  };
  for (const auto &[name, value] : sizes) result.Set(name, value);
  return result;
}

using Function = std::pair<const char *, Napi::Value (*)(const Info &)>;

Napi::Object bitmap_primitives(Napi::Env env) {
  const Function functions[] = {
      {"fill", bitmap_with_word<bitmap_fill>},      {"count", bitmap_count_js},
      {"findNot", bitmap_with_word<bitmap_find_not>}, {"merge", bitmap_with_source<bitmap_merge>},
      {"copy", bitmap_with_source<bitmap_copy>},
  };
  Napi::Object result = Napi::Object::New(env);
  for (const auto &[name, function] : functions) result.Set(name, Napi::Function::New(env, function, name));
  return result;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const Function functions[] = {
      {"crc32c", crc<crc32c>},        {"crc32cTable", crc<crc32c_table>}, {"digestFind", digest_find_js},
      {"digestBytes", digest_bytes_js}, {"digest", digest_js},            {"hmac", hmac_js},
      {"openBacking", open_backing},  {"statBacking", stat_backing},      {"writeNow", write_now},
      {"pageMemory", page_memory},    {"lockProgram", lock_program_later},
  };
  for (const auto &[name, function] : functions) exports.Set(name, Napi::Function::New(env, function, name));
  exports.Set("constants", constants(env));
  exports.Set("bitmap", bitmap_primitives(env));
  TurnObject::init(env, exports);
  return exports;
}

}  // namespace

Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return init(env, exports); }
NODE_API_MODULE(drbdd, init_addon)

}  // namespace drbdd
