// SPDX-License-Identifier: Apache-2.0
#include "call/time_text.h"

#include <gtest/gtest.h>

#include "base/amount.h"

namespace limitr::call {
namespace {

constexpr std::int64_t march_first_ms = 1'772'323'200'000;  // 2026-03-01T00:00:00Z
constexpr std::int64_t hour_ms = 3'600'000;

// Goal: every form that the scenario format names is read.
TEST(Moment, ReadsWhatPeopleWrite) {
  struct Case {
    const char* why;
    std::string_view text;
    std::int64_t ms;
  };
  const Timestamp before = timestamp_from_ms(march_first_ms);
  for (const Case& c : {
           Case{"a date is its midnight", "2026-03-01", march_first_ms},
           Case{"a date and time", "2026-03-01T01:00:00Z", march_first_ms + hour_ms},
           Case{"seconds and Z may be left out", "2026-03-01 01:00", march_first_ms + hour_ms},
           Case{"milliseconds", "2026-03-01T00:00:00.25Z", march_first_ms + 250},
           Case{"before the epoch", "1969-12-31T23:59:59.999Z", -1},
           Case{"from the step before", "+1h", march_first_ms + hour_ms},
           Case{"several parts", "+1d12h", march_first_ms + 36 * hour_ms},
           Case{"a fraction", "+1.5h", march_first_ms + 90 * 60'000},
           Case{"the policy's own names", "+2hr", march_first_ms + 2 * hour_ms},
           Case{"a clock that jumps back", "-1ms", march_first_ms - 1},
       }) {
    SCOPED_TRACE(c.why);
    const auto read = moment(c.text, before);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(to_ms(*read), c.ms);
  }
}

TEST(Moment, RefusesWhatIsNoTime) {
  for (const std::string_view text :
       {"", "soon", "2026-02-30", "2026-3-1", "2026-03-01T24:00Z", "2026-03-01T00:00:00+01:00", "+",
        "+1", "+h", "+1parsec", "+1h-", "2026-03-01T", "+1e9h", "2026-03-01T00:00:00.1234Z",
        "+999999999999999w"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(moment(text, Timestamp{}).ok());
  }
}

TEST(Moment, TakesWholeMillisecondsOnly) {
  policy::Node node;
  node.data = 1.5;
  EXPECT_FALSE(moment(node, Timestamp{}).ok());
  node.data = 1'772'323'200'000.0;
  ASSERT_TRUE(moment(node, Timestamp{}).ok());
  EXPECT_EQ(to_ms(*moment(node, Timestamp{})), march_first_ms);
  node.data = true;
  EXPECT_FALSE(moment(node, Timestamp{}).ok());
}

TEST(IsoText, ReadsBackAsTheSameMoment) {
  for (const std::int64_t ms :
       {std::int64_t{0}, std::int64_t{-1}, march_first_ms, march_first_ms + 1}) {
    const std::string text = iso_text(timestamp_from_ms(ms));
    SCOPED_TRACE(text);
    EXPECT_EQ(to_ms(*moment(text, Timestamp{})), ms);
  }
  EXPECT_EQ(iso_text(timestamp_from_ms(march_first_ms)), "2026-03-01T00:00:00Z");
  EXPECT_EQ(iso_text(timestamp_from_ms(march_first_ms + 7)), "2026-03-01T00:00:00.007Z");
}

}  // namespace
}  // namespace limitr::call
