// SPDX-License-Identifier: Apache-2.0
#include "core/period.h"

namespace limitr::core {

Period calendar_period_at(const Schedule& schedule, Timestamp started, Timestamp now) {
  const Schedule::Period period = schedule.period_at(now);
  const bool began = started < period.start;
  return {.start = began ? period.start : started, .next = period.next, .began = began};
}

}  // namespace limitr::core
