// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>

namespace limitr::engine {

/// How long to wait for more calls before the next write, where the first have come. Whoever is
/// answered tends to make the next call at once: a write for the first few of a thousand such
/// callers would make all the others wait for two.
class Pace {
public:
  using Duration = std::chrono::steady_clock::duration;

  /// So many calls shared a write that took so long.
  void note(std::size_t calls, Duration write) {
    // The next time as many may come, unless waiting for them would take the system longer than it
    // can be worth.
    wanted_ = write < shortest_write ? 1 : calls;
    patience_ = write / 4;
  }
  /// With as many there is nothing to wait for.
  std::size_t wanted() const { return wanted_; }
  Duration patience() const { return patience_; }

private:
  static constexpr Duration shortest_write = std::chrono::microseconds(200);

  std::size_t wanted_ = 1;
  Duration patience_{0};
};

}  // namespace limitr::engine
