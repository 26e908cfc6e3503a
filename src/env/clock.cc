// SPDX-License-Identifier: Apache-2.0
#include <limitr/time.h>

#include <cstdlib>
#include <ctime>

namespace limitr {
namespace {

class SystemClock final : public Clock {
public:
  Timestamp now() const override {
    timespec now{};
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) std::abort();  // It cannot: Linux has the clock.
    return Timestamp(Millis(now.tv_sec * 1000 + now.tv_nsec / 1'000'000));
  }
};

}  // namespace

std::shared_ptr<const Clock> system_clock() {
  static const auto clock = std::make_shared<const SystemClock>();
  return clock;
}

}  // namespace limitr
