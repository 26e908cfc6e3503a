// SPDX-License-Identifier: Apache-2.0
#include "cloud/notices.h"

#include <iterator>
#include <utility>

namespace limitr::cloud {

Notices::~Notices() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Notices::recall(std::vector<std::string> customers) {
  {
    const std::lock_guard lock(mutex_);
    if (!on_recall_) return;
    recalled_.insert(recalled_.end(), std::make_move_iterator(customers.begin()),
                     std::make_move_iterator(customers.end()));
  }
  changed_.notify_all();
}

void Notices::change_policy(wire::PolicyVersion policy) {
  {
    const std::lock_guard lock(mutex_);
    policy_ = std::move(policy);
  }
  changed_.notify_all();
}

void Notices::wait_for(const bool& is_running, std::unique_lock<std::mutex>& lock) {
  if (thread_.get_id() == std::this_thread::get_id()) return;
  changed_.wait(lock, [&] { return !is_running; });
}

void Notices::on_recall(Recalled handler) {
  std::unique_lock lock(mutex_);
  on_recall_ = std::move(handler);
  if (!on_recall_) recalled_.clear();
  wait_for(is_recalling_, lock);
}

void Notices::on_policy(PolicyChanged handler) {
  std::unique_lock lock(mutex_);
  policy_changed_ = std::move(handler);
  changed_.notify_all();
  wait_for(is_changing_policy_, lock);
}

namespace {

template <typename Handler>
void run(std::unique_lock<std::mutex>& lock, Handler&& handler) {
  lock.unlock();
  std::forward<Handler>(handler)();
  lock.lock();
}

}  // namespace

void Notices::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || is_due(); });
    if (stop_) return;
    if (!recalled_.empty()) {
      is_recalling_ = true;
      run(lock, [handler = on_recall_, ids = std::exchange(recalled_, {})]() mutable {
        handler(std::move(ids));
      });
      is_recalling_ = false;
    } else {
      is_changing_policy_ = true;
      run(lock, [handler = policy_changed_, policy = *std::exchange(policy_, std::nullopt)] {
        handler(policy);
      });
      is_changing_policy_ = false;
    }
    changed_.notify_all();
  }
}

}  // namespace limitr::cloud
