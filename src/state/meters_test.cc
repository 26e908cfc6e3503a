// SPDX-License-Identifier: Apache-2.0
#include "state/meters.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace limitr::state {
namespace {

Meter meter(std::uint32_t name, double value = 0) {
  return {.entitlement = Symbol{name}, .value = value};
}

Meters meters(std::uint32_t count) {
  Meters made;
  for (std::uint32_t name = 1; name <= count; ++name) made.push_back(meter(name, name));
  return made;
}

// Through each way of reading them.
std::vector<double> values(const Meters& of) {
  std::vector<double> read;
  for (const Meter& one : of) read.push_back(one.value);
  EXPECT_EQ(read.size(), of.size());
  EXPECT_EQ(read.empty(), of.empty());
  for (std::size_t i = 0; i < of.size(); ++i) {
    EXPECT_EQ(of[i].value, read[i]);
    EXPECT_EQ(of.find(of[i].entitlement), &of[i]);
  }
  return read;
}

TEST(Meters, StandInTheOrderInWhichTheyCame) {
  std::vector<double> expected;
  for (std::uint32_t count = 0; count < 12; ++count) {
    EXPECT_EQ(values(meters(count)), expected);
    EXPECT_EQ(meters(count).find(Symbol{count + 1}), nullptr);
    EXPECT_EQ(meters(count).find(Symbol::empty), nullptr);
    expected.push_back(count + 1);
  }
}

TEST(Meters, AreCopiedWhole) {
  for (std::uint32_t count = 0; count < 6; ++count) {
    const Meters original = meters(count);
    Meters copy = original;
    EXPECT_EQ(copy, original);
    copy.push_back(meter(9));
    EXPECT_NE(copy, original);
    EXPECT_EQ(values(original), values(meters(count)));
    if (count == 0) continue;
    copy = original;
    copy[count - 1].value = 77;
    EXPECT_NE(copy, original);
  }
}

TEST(Meters, LeaveNothingWhereTheyWereMovedFrom) {
  for (std::uint32_t count = 0; count < 6; ++count) {
    Meters from = meters(count);
    Meters to = std::move(from);
    EXPECT_EQ(values(to), values(meters(count)));
    EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): that is what it is about
    from = std::move(to);
    EXPECT_EQ(values(from), values(meters(count)));
  }
}

TEST(Meters, KeepThemselvesWhileRoomChanges) {
  Meters of = meters(3);
  of.reserve(20);
  EXPECT_EQ(values(of), values(meters(3)));
  of.shrink_to_fit();
  EXPECT_EQ(values(of), values(meters(3)));
  of.reserve(1);
  EXPECT_EQ(values(of), values(meters(3)));
  of.clear();
  EXPECT_TRUE(of.empty());
  of = {meter(1, 4)};
  of.shrink_to_fit();
  EXPECT_EQ(values(of), std::vector<double>{4});
}

// Zero is a name that a record may have.
TEST(Meters, OneWithoutANameIsThere) {
  const Meters of = {meter(0, 5)};
  EXPECT_EQ(of.size(), 1U);
  EXPECT_EQ(of.find(Symbol::empty), &of[0]);
}

}  // namespace
}  // namespace limitr::state
