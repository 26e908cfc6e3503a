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

void Notices::wait_until_idle(std::unique_lock<std::mutex>& lock) {
  if (thread_.get_id() == std::this_thread::get_id()) return;
  changed_.wait(lock, [this] { return !is_running_; });
}

void Notices::on_recall(Recalled handler) {
  std::unique_lock lock(mutex_);
  on_recall_ = std::move(handler);
  if (!on_recall_) recalled_.clear();
  wait_until_idle(lock);
}

void Notices::on_policy(PolicyChanged handler) {
  std::unique_lock lock(mutex_);
  policy_changed_ = std::move(handler);
  changed_.notify_all();
  wait_until_idle(lock);
}

void Notices::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || is_due(); });
    if (stop_) return;
    std::vector<std::string> recalled = std::exchange(recalled_, {});
    std::optional<wire::PolicyVersion> policy;
    if (policy_changed_) policy = std::exchange(policy_, std::nullopt);
    const Recalled on_recall = on_recall_;
    const PolicyChanged policy_changed = policy_changed_;
    is_running_ = true;
    lock.unlock();
    if (!recalled.empty()) on_recall(std::move(recalled));
    if (policy) policy_changed(*policy);
    lock.lock();
    is_running_ = false;
    changed_.notify_all();
  }
}

}  // namespace limitr::cloud
