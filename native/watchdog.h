// SPDX-License-Identifier: GPL-2.0-or-later
// Ends an engine whose turn stands still while work is waiting: the shim then starts a new one.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace drbdd {

class Watchdog {
 public:
  ~Watchdog() { stop(); }
  /// Aborts the process when a turn takes longer than `limit_ms`.
  void start(double limit_ms);
  void stop();
  void turn_begins() { turn_.fetch_add(1, std::memory_order_relaxed), inside_.store(true, std::memory_order_release); }
  void turn_ends() { inside_.store(false, std::memory_order_release); }

 private:
  void watch(double limit_ms, long thread);
  std::atomic<unsigned long> turn_{0};
  std::atomic<bool> inside_{false};
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;
};

}  // namespace drbdd
