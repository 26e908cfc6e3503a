// SPDX-License-Identifier: Apache-2.0
#include "base/amount.h"

#include <gtest/gtest.h>

// spec: README.md, 1e-9 rule
namespace limitr {
namespace {

TEST(Amount, RoundsToNineDecimalsHalfAwayFromZero) {
  EXPECT_EQ(amount::rounded(0.1 + 0.2), 0.3);
  EXPECT_EQ(amount::rounded(1.5e-9), 2e-9);
  EXPECT_EQ(amount::rounded(-1.5e-9), -2e-9);
  EXPECT_EQ(amount::rounded(0.4e-9), 0);
  EXPECT_EQ(amount::rounded(1e15 + 1), 1e15 + 1) << "no ninth decimal to round to";
  EXPECT_EQ(amount::rounded(1e300), 1e300);
  EXPECT_EQ(amount::rounded(std::optional<double>()), std::nullopt);
}

TEST(Amount, ComparesBothSidesRounded) {
  struct Case {
    const char* why;
    double a, b;
    bool less_or_equal, less;
  };
  for (const Case& c :
       {Case{"in order", 1, 2, true, true}, Case{"out of order", 2, 1, false, false},
        Case{"a sum's error", 0.1 + 0.2, 0.3, true, false},
        Case{"more than rounding hides", 1 + 2e-9, 1, false, false},
        Case{"rounds to the same", 1 + 0.4e-9, 1, true, false},
        Case{"close, yet rounds apart", 0.6e-9, 0.4e-9, false, false},
        Case{"negative", -2, -1, true, true}}) {
    SCOPED_TRACE(c.why);
    EXPECT_EQ(amount::less_or_equal(c.a, c.b), c.less_or_equal);
    EXPECT_EQ(amount::less(c.a, c.b), c.less);
    EXPECT_EQ(amount::less_or_equal(c.a, c.b), amount::rounded(c.a) <= amount::rounded(c.b));
  }
}

TEST(Amount, TellsZeroFromPositive) {
  EXPECT_TRUE(amount::is_zero(1e-12));
  EXPECT_FALSE(amount::is_zero(1e-9));
  EXPECT_TRUE(amount::is_positive(1e-9));
  EXPECT_FALSE(amount::is_positive(1e-12));
  EXPECT_FALSE(amount::is_positive(-1));
  EXPECT_EQ(amount::positive_part(-3), 0);
  EXPECT_EQ(amount::positive_part(3), 3);
}

TEST(MaybeAmount, IsAbsentUntilItIsSet) {
  EXPECT_FALSE(MaybeAmount().has_value());
  EXPECT_EQ(MaybeAmount().value_or(7), 7);
  EXPECT_EQ(MaybeAmount(), MaybeAmount(std::optional<double>()));
  EXPECT_EQ(*MaybeAmount(0.0), 0);
  EXPECT_NE(MaybeAmount(0.0), MaybeAmount());
  EXPECT_EQ(MaybeAmount(2.0).optional(), 2.0);
}

TEST(MaybeTime, IsAbsentUntilItIsSet) {
  EXPECT_FALSE(MaybeTime().has_value());
  EXPECT_EQ(MaybeTime().optional(), std::nullopt);
  EXPECT_TRUE(MaybeTime(timestamp_from_ms(0)).has_value());
  EXPECT_EQ(to_ms(*MaybeTime(timestamp_from_ms(-5))), -5);
}

}  // namespace
}  // namespace limitr
