// SPDX-License-Identifier: Apache-2.0
#include "env/boot_clock.h"

#include <cstdlib>
#include <ctime>

namespace limitr::env {

BootClock::time_point BootClock::now() noexcept {
  timespec now{};
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) std::abort();  // It cannot: Linux has the clock.
  return time_point(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

}  // namespace limitr::env
