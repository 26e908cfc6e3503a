// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/limit.h"

namespace limitr::core {

/// The period that a meter or cap is in, seen from `now`.
struct Period {
  Timestamp start;
  MaybeTime next;      ///< When the one after it begins; none without resets.
  bool began = false;  ///< A new one, later than `started`.
};

/// period_at() for what resets on a calendar.
Period calendar_period_at(const Schedule& schedule, Timestamp started, Timestamp now);

/// The period that holds at `now` for something that began its own at `started`. Boundaries of a
/// duration keep their phase over any number of missed periods; a clock that jumps back begins
/// nothing. spec: decision.md, step 3
inline Period period_at(const Reset& reset, Timestamp started, Timestamp now) {
  if (!reset.resets) return {.start = started, .next = {}};
  if (reset.schedule) return calendar_period_at(*reset.schedule, started, now);
  const Millis length = reset.length();
  const Millis elapsed = now - started;
  if (elapsed <= length) return {.start = started, .next = started + length};
  // The boundary itself still belongs to the period it ends.
  const Timestamp start = started + length * ((elapsed - Millis(1)) / length);
  return {.start = start, .next = start + length, .began = true};
}

}  // namespace limitr::core
