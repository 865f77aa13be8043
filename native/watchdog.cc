// SPDX-License-Identifier: GPL-2.0-or-later
#include "watchdog.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace drbdd {
namespace {

void say(const char *text) {
  char line[256];
  int bytes = snprintf(line, sizeof(line), "drbdd: %.200s\n", text);
  if (write(2, line, static_cast<size_t>(bytes)) < 0) _exit(134);
}

/// What the thread waits for in the kernel, a line for each function: /proc/self/task/ID/stack.
void say_stack(long thread) {
  char path[64], text[4096];
  snprintf(path, sizeof(path), "/proc/self/task/%ld/stack", thread);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t bytes = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
  if (fd >= 0) close(fd);
  text[bytes < 0 ? 0 : bytes] = 0;
  char *rest = nullptr;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(nullptr, "\n", &rest)) say(line);
}

}  // namespace

void Watchdog::start(double limit_ms) {
  const long thread = syscall(SYS_gettid);
  thread_ = std::thread([this, limit_ms, thread] { watch(limit_ms, thread); });
}

void Watchdog::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Watchdog::watch(double limit_ms, long thread) {
  // Counted in looks, not in time: a process that was stopped for a while is not taken for stuck.
  const auto step = std::chrono::duration<double, std::milli>(limit_ms / 4);
  unsigned long seen = 0;
  int same = 0;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, step, [this] { return stopped_; })) {
    unsigned long turn = turn_.load(std::memory_order_relaxed);
    bool stuck = inside_.load(std::memory_order_acquire) && turn == seen;
    same = stuck ? same + 1 : 0;
    seen = turn;
    if (same < 4) continue;
    say("the watchdog ends this engine: a turn stands still");
    say_stack(thread);
    abort();
  }
}

}  // namespace drbdd
