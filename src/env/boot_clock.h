// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace limitr::env {

/// Time since the machine started, which runs on while it is suspended, and which nobody sets: for
/// what ends by itself. Threads: any.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock, duration>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept;
};

}  // namespace limitr::env
