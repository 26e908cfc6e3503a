// SPDX-License-Identifier: Apache-2.0
#include "base/schedule.h"

#include <gtest/gtest.h>

#include "base/amount.h"
#include "base/test_vectors.h"

// spec: policy.md, Calendar schedules
namespace limitr {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::year_month_day;

Timestamp on(year_month_day date) { return sys_days(date); }

TEST(Schedule, AnswersLikeTheReferenceEngine) {
  std::size_t rows = 0;
  for (const Json& row : read_vectors("schedules.ndjson")) {
    SCOPED_TRACE(row.dump());
    const auto schedule = Schedule::parse(row["schedule"].get<std::string>());
    ASSERT_TRUE(schedule);
    const auto period = schedule->period_at(timestamp_from_ms(row["at"].get<std::int64_t>()));
    EXPECT_EQ(to_ms(period.start), row["start"].get<std::int64_t>());
    EXPECT_EQ(to_ms(period.next), row["next"].get<std::int64_t>());
    ++rows;
  }
  EXPECT_GT(rows, 500U);
}

TEST(Schedule, ReadsBackAsItWasWritten) {
  for (const char* text :
       {"monthly:1", "monthly:31", "monthly:last", "weekly:mon", "weekly:friday",
        "nth_weekday:2:tue", "nth_weekday:9:sunday", "yearly:2-29", "quarterly:15"}) {
    SCOPED_TRACE(text);
    const auto schedule = Schedule::parse(text);
    ASSERT_TRUE(schedule);
    EXPECT_EQ(schedule->text(), text);
  }
}

TEST(Schedule, RefusesWhatDoesNotBelong) {
  for (const char* text : {"",
                           "monthly",
                           "monthly:",
                           "monthly:0",
                           "monthly:32",
                           "monthly:banana",
                           "monthly:1:2",
                           "monthly: 1",
                           "monthly:-1",
                           "monthly:1x",
                           "weekly:",
                           "weekly:xyz",
                           "weekly:mo",
                           "hourly:1",
                           "nth_weekday:tue",
                           "nth_weekday:0:tue",
                           "nth_weekday:2:",
                           "nth_weekday:x:tue",
                           "yearly:13-1",
                           "yearly:2-30",
                           "yearly:4-31",
                           "yearly:1",
                           "yearly:1-",
                           "yearly:-1",
                           "yearly:1-1-1",
                           "quarterly:0",
                           "quarterly:32",
                           "quarterly:last",
                           "Monthly:1",
                           ":1"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(Schedule::parse(text));
  }
}

TEST(Schedule, ShortMonthsDoNotMoveLongOnes) {
  const Timestamp april_29 = on(2026y / 4 / 29) + 5h;
  for (const char* text : {"monthly:31", "monthly:last"}) {
    SCOPED_TRACE(text);
    const auto period = Schedule::parse(text)->period_at(april_29);
    EXPECT_EQ(period.start, on(2026y / 3 / 31));
    EXPECT_EQ(period.next, on(2026y / 4 / 30));
  }
}

TEST(Schedule, AYearWithout29FebruaryBeginsOnThe28th) {
  const auto schedule = *Schedule::parse("yearly:2-29");
  EXPECT_EQ(schedule.period_at(on(2027y / 2 / 28)).start, on(2027y / 2 / 28));
  EXPECT_EQ(schedule.period_at(on(2027y / 2 / 28)).next, on(2028y / 2 / 29));
}

TEST(Schedule, ABoundaryBeginsItsPeriod) {
  const auto schedule = *Schedule::parse("weekly:mon");
  const Timestamp monday = on(2026y / 3 / 2);
  EXPECT_EQ(schedule.period_at(monday).start, monday);
  EXPECT_EQ(schedule.period_at(monday).next, monday + std::chrono::days(7));
  EXPECT_EQ(schedule.period_at(monday - 1ms).start, monday - std::chrono::days(7));
}

TEST(Schedule, MoreThanTheFourthWeekdayIsTheFourth) {
  const Timestamp end = on(2026y / 3 / 31);
  EXPECT_EQ(Schedule::parse("nth_weekday:9:tue")->period_at(end).start, on(2026y / 3 / 24));
}

// Goal: a moment may lie further away than a calendar's year can say.
TEST(Schedule, HoldsOverAllOfTime) {
  for (const char* text : {"monthly:31", "monthly:last", "weekly:mon", "nth_weekday:2:tue",
                           "yearly:2-29", "quarterly:15"}) {
    SCOPED_TRACE(text);
    const auto schedule = *Schedule::parse(text);
    for (const std::int64_t ms : {time_bound_ms, -time_bound_ms}) {
      const Timestamp moment = timestamp_from_ms(ms);
      const auto period = schedule.period_at(moment);
      EXPECT_LE(period.start, moment);
      EXPECT_LT(moment, period.next);
      EXPECT_LE(period.next - period.start, std::chrono::days(366));
      EXPECT_EQ(schedule.period_at(period.next).start, period.next);
    }
  }
  const auto january = Schedule::parse("yearly:1-1")->period_at(on(1970y / 6 / 1));
  const auto later = Schedule::parse("yearly:1-1")->period_at(on(2370y / 6 / 1));
  EXPECT_EQ(later.start - january.start, std::chrono::days(146'097));
}

TEST(Schedule, MomentsBefore1970Count) {
  const auto period = Schedule::parse("monthly:1")->period_at(on(1969y / 12 / 31) + 23h);
  EXPECT_EQ(period.start, on(1969y / 12 / 1));
  EXPECT_EQ(period.next, on(1970y / 1 / 1));
}

}  // namespace
}  // namespace limitr
