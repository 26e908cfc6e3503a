// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "wire/messages.h"

namespace limitr::cloud {

/// Tells handlers what a server says without being asked, on a thread of its own: they may wait for
/// the server. Threads: any.
class Notices {
public:
  using Recalled = std::function<void(std::vector<std::string> customers)>;
  using PolicyChanged = std::function<void(const wire::PolicyVersion& policy)>;

  Notices() : thread_([this] { work(); }) {}
  /// No handler is running any more after it.
  ~Notices();
  Notices(const Notices&) = delete;
  Notices& operator=(const Notices&) = delete;

  /// Those that nobody listens for are forgotten.
  void recall(std::vector<std::string> customers);
  /// The last one is kept until somebody listens.
  void change_policy(wire::PolicyVersion policy);

  /// Null: nobody listens. The handler before is not running any more when this returns, but where
  /// a handler called this.
  void on_recall(Recalled handler);
  void on_policy(PolicyChanged handler);

private:
  void work();
  bool is_due() const { return !recalled_.empty() || (policy_ && policy_changed_); }
  void wait_for(const bool& is_running, std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> recalled_;          // guarded by mutex_, like all of these
  std::optional<wire::PolicyVersion> policy_;  // to be told
  Recalled on_recall_;
  PolicyChanged policy_changed_;
  bool is_recalling_ = false;  // a handler of that runs
  bool is_changing_policy_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace limitr::cloud
