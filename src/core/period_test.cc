// SPDX-License-Identifier: Apache-2.0
#include "core/period.h"

#include <gtest/gtest.h>

#include "base/amount.h"

// spec: decision.md, step 3
namespace limitr::core {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;

Reset every(Millis length) { return {.resets = true, .inc = length, .schedule = {}}; }
Reset on_schedule(std::string_view text) {
  return {.resets = true, .inc = {}, .schedule = Schedule::parse(text).value()};
}
Timestamp at(std::int64_t ms) { return timestamp_from_ms(ms); }

// Goal: boundaries keep their phase however long nobody called.
TEST(PeriodAt, ADurationKeepsItsPhase) {
  struct Case {
    const char* why;
    std::int64_t now, start;
    bool began;
  };
  for (const Case& c :
       {Case{"the first moment", 0, 0, false}, Case{"inside", 7, 0, false},
        Case{"the boundary still belongs to the period it ends", 10, 0, false},
        Case{"one past the boundary", 11, 10, true}, Case{"the next boundary", 20, 10, true},
        Case{"one past that", 21, 20, true}, Case{"three periods missed", 41, 40, true},
        Case{"a billion periods missed", 10'000'000'007, 10'000'000'000, true},
        Case{"as far as times go", time_bound_ms, time_bound_ms - 10, true}}) {
    SCOPED_TRACE(c.why);
    const Period period = period_at(every(10ms), at(0), at(c.now));
    EXPECT_EQ(to_ms(period.start), c.start);
    EXPECT_EQ(period.began, c.began);
    EXPECT_EQ(period.next, at(c.start + 10));
  }
}

TEST(PeriodAt, ThePhaseIsThatOfTheStart) {
  EXPECT_EQ(period_at(every(10ms), at(3), at(14)).start, at(13));
  EXPECT_EQ(period_at(every(10ms), at(-3), at(8)).start, at(7)) << "also before 1970";
}

TEST(PeriodAt, WithoutResetsThePeriodNeverEnds) {
  const Period period = period_at(Reset(), at(5), at(time_bound_ms));
  EXPECT_EQ(period.start, at(5));
  EXPECT_FALSE(period.began);
  EXPECT_FALSE(period.next.has_value());
}

TEST(PeriodAt, WithoutALengthItIsThirtyDays) {
  const Reset reset{.resets = true, .inc = {}, .schedule = {}};
  EXPECT_EQ(period_at(reset, at(0), at(1)).next, at(0) + std::chrono::days(30));
}

// Goal: a meter's `started` never moves back, whatever the clock does.
TEST(PeriodAt, AClockThatJumpsBackBeginsNothing) {
  for (const Reset& reset : {every(10ms), on_schedule("monthly:1")}) {
    const Period period = period_at(reset, at(1000), at(-time_bound_ms));
    EXPECT_EQ(period.start, at(1000));
    EXPECT_FALSE(period.began);
  }
}

TEST(PeriodAt, ACalendarPeriodBeginsWhenItsStartHasPassed) {
  const Timestamp march = sys_days(2026y / 3 / 1);
  const Timestamp april = sys_days(2026y / 4 / 1);
  struct Case {
    const char* why;
    Timestamp started, now, start;
    bool began;
  };
  for (const Case& c :
       {Case{"the boundary begins its period", march - 1ms, march, march, true},
        Case{"the moment before it does not", march - 5ms, march - 1ms, march - 5ms, false},
        Case{"started in mid-period: it keeps its start", march + 1h, april - 1ms, march + 1h,
             false},
        Case{"started at the boundary itself", march, april - 1ms, march, false},
        Case{"years were missed", sys_days(2020y / 2 / 29), march + 5h, march, true}}) {
    SCOPED_TRACE(c.why);
    const Period period = period_at(on_schedule("monthly:1"), c.started, c.now);
    EXPECT_EQ(period.start, c.start);
    EXPECT_EQ(period.began, c.began);
    EXPECT_EQ(period.next, c.now < march ? march : april);
  }
}

// Goal: jumping to a moment and walking there step by step come to the same.
TEST(PeriodAt, OneLongStepEqualsManyShortOnes) {
  for (const Reset& reset : {every(7h), on_schedule("weekly:mon"), on_schedule("monthly:31")}) {
    const Timestamp first = sys_days(2026y / 1 / 30) + 3h;
    Timestamp walked = first;
    for (Timestamp now = first; now < first + std::chrono::days(100); now += 5h) {
      walked = period_at(reset, walked, now).start;
      EXPECT_EQ(walked, period_at(reset, first, now).start);
    }
    EXPECT_GT(walked, first);
  }
}

}  // namespace
}  // namespace limitr::core
