// SPDX-License-Identifier: GPL-2.0-or-later
#include "watchdog.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>

namespace drbdd {

void Watchdog::start(double limit_ms) {
  thread_ = std::thread([this, limit_ms] { watch(limit_ms); });
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

void Watchdog::watch(double limit_ms) {
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
    static const char text[] = "drbdd: the watchdog ends this engine: a turn stands still\n";
    if (write(2, text, sizeof(text) - 1) < 0) _exit(134);
    abort();
  }
}

}  // namespace drbdd
