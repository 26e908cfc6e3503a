// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

namespace limitr {

/// A length of time in whole milliseconds.
using Millis = std::chrono::duration<std::int64_t, std::milli>;

/// A moment: whole milliseconds since the Unix epoch, UTC.
using Timestamp = std::chrono::time_point<std::chrono::system_clock, Millis>;

/// Where an engine takes its time from. Tests, simulations and replays pass their own.
/// Threads: now() may be called from any thread.
class Clock {
public:
  virtual ~Clock() = default;
  /// Wall time. May jump in both directions; a meter's period never goes back with it.
  virtual Timestamp now() const = 0;
};

/// The machine's wall clock; what an engine uses unless Options::clock says otherwise.
std::shared_ptr<const Clock> system_clock();

}  // namespace limitr
