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

/// The period that holds at `now` for something that began its own at `started`. Boundaries of a
/// duration keep their phase over any number of missed periods; a clock that jumps back begins
/// nothing. spec: decision.md, step 3
Period period_at(const Reset& reset, Timestamp started, Timestamp now);

}  // namespace limitr::core
