// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include <limitr/time.h>

namespace limitr {

/// For tests only: time stands still until it is told to go on.
class ManualClock final : public Clock {
public:
  explicit ManualClock(std::int64_t ms) : ms_(ms) {}
  Timestamp now() const override { return Timestamp(Millis(ms_.load())); }
  void set(std::int64_t ms) { ms_.store(ms); }
  void advance(std::int64_t ms) { ms_.fetch_add(ms); }

private:
  std::atomic<std::int64_t> ms_;
};

}  // namespace limitr
