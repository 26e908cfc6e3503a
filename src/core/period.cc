// SPDX-License-Identifier: Apache-2.0
#include "core/period.h"

namespace limitr::core {

Period resetting_period_at(const Reset& reset, Timestamp started, Timestamp now) {
  if (reset.schedule) {
    const Schedule::Period period = reset.schedule->period_at(now);
    const bool began = started < period.start;
    return {.start = began ? period.start : started, .next = period.next, .began = began};
  }
  const Millis length = reset.length();
  const Millis elapsed = now - started;
  if (elapsed <= length) return {.start = started, .next = started + length};
  // The boundary itself still belongs to the period it ends.
  const Timestamp start = started + length * ((elapsed - Millis(1)) / length);
  return {.start = start, .next = start + length, .began = true};
}

}  // namespace limitr::core
