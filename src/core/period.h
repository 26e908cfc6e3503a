// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/limit.h"

namespace limitr::core {

/// The period that a meter or cap is in, seen from `now`.
struct Period {
  Timestamp start;
  std::optional<Timestamp> next;  ///< When the one after it begins; none without resets.
  bool began = false;             ///< A new one, later than `started`.
};

/// period_at() for what resets.
Period resetting_period_at(const Reset& reset, Timestamp started, Timestamp now);

/// The period that holds at `now` for something that began its own at `started`. Boundaries of a
/// duration keep their phase over any number of missed periods; a clock that jumps back begins
/// nothing. spec: decision.md, step 3
inline Period period_at(const Reset& reset, Timestamp started, Timestamp now) {
  if (!reset.resets) return {.start = started, .next = {}};
  return resetting_period_at(reset, started, now);
}

}  // namespace limitr::core
