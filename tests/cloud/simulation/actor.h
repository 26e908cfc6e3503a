// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace limitr::simulation {

/// A thread that runs only while whoever made it waits: so that code which blocks can be run step
/// by step, and always in the same order.
class Actor {
public:
  Actor() : thread_([this] { live(); }) {}
  ~Actor() {
    hand_over([this] { ends_ = true; });
    thread_.join();
  }
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;

  /// Runs a job until it blocks or ends. REQUIRES: is_idle().
  void start(std::function<void()> job) {
    job_ = std::move(job);
    run();
  }
  bool is_idle() const { return !job_; }
  /// Whether the job is blocked, and what it waits for has come.
  bool is_ripe() const { return job_ && until_ && until_(); }
  /// Runs on until the job blocks again or ends.
  void run() {
    hand_over([] {});
  }
  /// Called by the job: returns when `until` is true and the actor is run.
  void block(std::function<bool()> until) {
    until_ = std::move(until);
    std::unique_lock lock(mutex_);
    is_running_ = false;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_running_; });
    until_ = nullptr;
  }

private:
  template <typename Change>
  void hand_over(const Change& change) {
    std::unique_lock lock(mutex_);
    change();
    is_running_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !is_running_; });
  }

  void live() {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return is_running_; });
      }
      if (!ends_) {
        job_();
        job_ = nullptr;
      }
      const std::lock_guard lock(mutex_);
      is_running_ = false;
      changed_.notify_all();
      if (ends_) return;
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_running_ = false;  // guarded by mutex_
  bool ends_ = false;        // the rest by whoever runs
  std::function<void()> job_;
  std::function<bool()> until_;
  std::thread thread_;
};

}  // namespace limitr::simulation
