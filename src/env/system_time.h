// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <ctime>

#include <limitr/time.h>

namespace limitr::env {

/// What system_clock() reads, without asking by way of a Clock.
[[gnu::always_inline]] inline Timestamp system_time() {
  timespec now{};
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) std::abort();  // It cannot: Linux has the clock.
  return Timestamp(Millis(now.tv_sec * 1000 + now.tv_nsec / 1'000'000));
}

}  // namespace limitr::env
