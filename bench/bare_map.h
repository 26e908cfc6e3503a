// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>
#include <mutex>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

namespace limitr::bench {

/// The comparator: the least that a limiter in one process can do. One map behind one lock, a
/// look at the clock, a comparison, an addition. It has no periods, events, grants or prices.
class BareMap {
public:
  BareMap(const std::vector<std::string>& ids, double value, double limit) : limit_(limit) {
    meters_.reserve(ids.size());
    for (const std::string& id : ids) meters_[id] = value;
  }

  bool allow(const std::string& id, double value) {
    const std::lock_guard lock(mutex_);
    const auto found = meters_.find(id);
    if (found == meters_.end()) return false;
    timespec now{};
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return false;
    if (found->second + value > limit_) return false;
    found->second += value;
    return true;
  }

  /// REQUIRES: a known ID.
  double value(const std::string& id) const { return meters_.find(id)->second; }

private:
  const double limit_;
  std::mutex mutex_;
  absl::flat_hash_map<std::string, double> meters_;
};

}  // namespace limitr::bench
