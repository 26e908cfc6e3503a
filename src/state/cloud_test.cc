// SPDX-License-Identifier: Apache-2.0
#include "state/cloud.h"

#include <gtest/gtest.h>

#include "state/customer.h"
#include "state/record.h"

namespace limitr::state {
namespace {

constexpr Timestamp monday(Millis(1'000'000));
constexpr Timestamp tuesday(Millis(87'400'000));

class CloudTest : public testing::Test {
protected:
  CloudTest() {
    customer_.id = "ann";
    customer_.type = names_.intern("user");
    customer_.add_meter(
        {.entitlement = tokens_, .credit = credit_, .started = monday, .value = 40});
    Cap& cap = customer_.own_rest().caps.emplace_back();
    cap.id = "cap";
    cap.credit = credit_;
    cap.value = 100;
    cap.meter_value = 40;
    cap.started = monday;
    cap.seq = 1;
    customer_.cloud = std::make_unique<Cloud>();
    customer_.cloud->home = Home{.engine = "e1",
                                 .report = 7,
                                 .room = {.meters = {{tokens_, monday, 10}},
                                          .caps = {{.cap = "cap", .started = monday, .units = 4}}}};
  }

  MeterUse use(double units, Timestamp started = monday, Millis period = Millis::max()) const {
    return {tokens_, credit_, period, started, {units, units / 10}};
  }
  double value() const { return customer_.meter(tokens_)->value; }
  double in_doubt() const { return doubted(customer_, tokens_, false); }

  SymbolTable names_;
  const Symbol tokens_ = names_.intern("tokens");
  const Symbol credit_ = names_.intern("token");
  Customer customer_;
};

TEST_F(CloudTest, ARecordReadsBackAndWritesTheSameBytes) {
  sign(*customer_.cloud, "e1", 7);
  sign(*customer_.cloud, "e2", 9);
  lose_home(customer_);
  customer_.cloud->home = Home{.engine = "e2", .report = 9, .room = {}};
  customer_.cloud->is_free = true;
  const std::string record = to_record(customer_, names_);
  const Result<Customer> read = read_customer(record, names_);
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(to_record(*read, names_), record);
  ASSERT_EQ(read->cloud->by.size(), 2U);
  EXPECT_EQ(read->cloud->by.front(), (Writer{"e2", 9}));
  EXPECT_EQ(read->cloud->doubts.front().room.meters.front().units, 10);
}

TEST_F(CloudTest, WhatCannotBeReadSaysWhere) {
  const auto error = [&](const std::string& cloud) {
    return read_customer(R"({"id":"ann","cloud":)" + cloud + "}", names_).error().to_string();
  };
  EXPECT_EQ(error(R"({"by":[["e1"]]})"), "cloud.by: expected an engine and a number");
  EXPECT_EQ(error(R"({"home":{"report":1}})"), "cloud.home.engine: expected an engine");
  EXPECT_EQ(error(R"({"home":{"engine":"e1","room":{"meters":{"t":{"units":"x"}}}}})"),
            "cloud.home.room.meters.t.units: expected a number");
  EXPECT_EQ(error(R"({"home":{"engine":"e1","released":true}})"),
            "cloud.home.released: expected no release of a home");
}

TEST_F(CloudTest, SixteenWritersAreKnownEachOnce) {
  Cloud cloud;
  for (std::uint64_t i = 0; i < 20; ++i) sign(cloud, "e" + std::to_string(i), i);
  EXPECT_EQ(cloud.by.size(), most_writers);
  EXPECT_TRUE(is_written_by(cloud, "e19", 19));
  EXPECT_TRUE(is_written_by(cloud, "e4", 4));
  EXPECT_FALSE(is_written_by(cloud, "e3", 3));
  sign(cloud, "e10", 50);
  EXPECT_FALSE(is_written_by(cloud, "e10", 10));
  EXPECT_EQ(cloud.by.size(), most_writers);
}

TEST_F(CloudTest, RoomOfALostHomeIsInDoubtUntilItReports) {
  EXPECT_EQ(in_doubt(), 0);
  EXPECT_EQ(doubted(customer_, tokens_, true), 10) << "others count it while it is the home, too";
  lose_home(customer_);
  EXPECT_EQ(in_doubt(), 10);
  EXPECT_EQ(doubted_of_cap(customer_, "cap", false), 4);
  EXPECT_TRUE(settle(customer_, {.engine = "e1",
                                 .report = 8,
                                 .sent = {.meters = {use(3)}},
                                 .since = {.meters = {use(2)}, .caps = {{"cap", monday, 2}}}}));
  EXPECT_EQ(value(), 45);
  EXPECT_DOUBLE_EQ(*customer_.meter(tokens_)->overhead, 0.5);
  EXPECT_EQ(customer_.cap("cap")->meter_value, 42);
  EXPECT_EQ(in_doubt(), 0);
}

TEST_F(CloudTest, AReportThatWasTakenIsNotAddedAgain) {
  lose_home(customer_);  // its last report is number 7
  EXPECT_TRUE(settle(
      customer_,
      {.engine = "e1", .report = 7, .sent = {.meters = {use(3)}}, .since = {.meters = {use(2)}}}));
  EXPECT_EQ(value(), 42);
}

TEST_F(CloudTest, NothingIsSettledTwice) {
  lose_home(customer_);
  const Unreported unreported{.engine = "e1", .report = 7, .since = {.meters = {use(2)}}};
  EXPECT_TRUE(settle(customer_, unreported));
  EXPECT_FALSE(settle(customer_, unreported));
  EXPECT_EQ(value(), 42);
}

TEST_F(CloudTest, EachStayHasAnEntryOfItsOwn) {
  lose_home(customer_);
  customer_.cloud->home = Home{.engine = "e1", .report = 20, .room = {}};
  customer_.cloud->home->room.meters.push_back({tokens_, monday, 6});
  lose_home(customer_);
  EXPECT_EQ(in_doubt(), 16);
  EXPECT_TRUE(settle(customer_, {.engine = "e1", .report = 8, .sent = {.meters = {use(1)}}}));
  EXPECT_EQ(in_doubt(), 6) << "that of the first stay is gone";
  EXPECT_EQ(value(), 41);
}

TEST_F(CloudTest, WhatWasUsedWithoutRoomIsAddedInAnyCase) {
  customer_.cloud->home.reset();
  EXPECT_TRUE(settle(customer_, {.engine = "e9", .is_owed = true, .since = {.meters = {use(2)}}}));
  EXPECT_EQ(value(), 42);
  EXPECT_FALSE(settle(customer_, {.engine = "e9", .since = {.meters = {use(2)}}}));
  EXPECT_EQ(value(), 42);
}

TEST_F(CloudTest, AnEngineThatIsDeadIsLostBeforeItsUseIsSettled) {
  const Use since{.meters = {use(2)}};
  EXPECT_FALSE(settle(customer_, {.engine = "e1", .report = 7, .since = since}));
  EXPECT_FALSE(settle(customer_, {.engine = "e2", .report = 7, .is_dead = true, .since = since}));
  EXPECT_TRUE(customer_.cloud->home);
  EXPECT_TRUE(settle(customer_, {.engine = "e1", .report = 7, .is_dead = true, .since = since}));
  EXPECT_FALSE(customer_.cloud->home);
  EXPECT_EQ(in_doubt(), 0);
  EXPECT_EQ(value(), 42);
}

TEST_F(CloudTest, WhatATransactionHasSettledIsNotSettledAgain) {
  customer_.cloud->home.reset();
  Unreported owed{.engine = "e1", .is_owed = true, .settler = {"e2", 3}};
  owed.since.meters.push_back(use(2));
  sign(*customer_.cloud, "e2", 3);
  EXPECT_FALSE(settle(customer_, owed));
  owed.settler.number = 4;
  EXPECT_TRUE(settle(customer_, owed)) << "that one was not taken";
  EXPECT_EQ(value(), 42);
}

TEST_F(CloudTest, WhatMayBeSettledAlreadyIsInDoubt) {
  customer_.cloud->home.reset();
  Unreported owed{.engine = "e1", .report = 8, .is_owed = true, .settler = {"e2", 3}};
  owed.sent.meters.push_back(use(5));
  owed.since.meters.push_back(use(2));
  for (std::size_t i = 0; i < most_writers; ++i) {
    sign(*customer_.cloud, "other" + std::to_string(i), 1);
  }
  Customer as_it_was = customer_;
  EXPECT_TRUE(settle(customer_, owed)) << "e2 may have, and nobody can tell";
  EXPECT_EQ(value(), 40);
  EXPECT_EQ(in_doubt(), 7);
  EXPECT_FALSE(settle(customer_, {.engine = "e1", .report = 9, .since = owed.since}))
      << "no report settles that";
  EXPECT_EQ(in_doubt(), 7);
  const Result<Customer> read = read_customer(to_record(customer_, names_), names_);
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(read->cloud->doubts, customer_.cloud->doubts);

  customer_ = std::move(as_it_was);
  owed.settler = {};
  EXPECT_TRUE(settle(customer_, owed)) << "nobody has tried, but its report may have been taken";
  EXPECT_EQ(value(), 42);
  EXPECT_EQ(in_doubt(), 5);
}

TEST_F(CloudTest, WhatIsInDoubtBelongsToThePeriodThatItIsAddedTo) {
  const Millis hour(3'600'000);
  customer_.cloud->home.reset();
  for (std::size_t i = 0; i < most_writers; ++i) {
    sign(*customer_.cloud, "other" + std::to_string(i), 1);
  }
  const auto settle_use = [&](const MeterUse& one) {
    Unreported owed{.engine = "e1", .is_owed = true, .settler = {"e2", 3}};
    owed.since.meters.push_back(one);
    EXPECT_TRUE(settle(customer_, owed));
    drop_past_doubts(customer_);
  };
  settle_use(use(3, monday - hour, hour));
  EXPECT_EQ(in_doubt(), 0) << "that period is over";
  settle_use(use(5, monday + Millis(500), hour));
  EXPECT_EQ(in_doubt(), 5) << "two engines began the same period by their own clocks";
  EXPECT_EQ(value(), 40);
  Unreported twice{.engine = "e1", .report = 8, .is_owed = true, .settler = {"e2", 3}};
  twice.sent.meters = {use(1), use(2, monday + Millis(1), hour)};
  twice.since.meters = {use(4)};
  twice.since.caps = {{"cap", monday, 3}, {"cap", monday - hour, 9}};
  EXPECT_TRUE(settle(customer_, twice));
  const Result<Customer> read = read_customer(to_record(customer_, names_), names_);
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(doubted(*read, tokens_, false), 12) << "a record has each meter of a room once";
  EXPECT_EQ(doubted_of_cap(*read, "cap", false), 3);
  Unreported owed{.engine = "e1", .report = 8, .is_owed = true, .settler = {"e2", 3}};
  owed.sent.meters.push_back(use(7, tuesday, hour));
  owed.since.meters.push_back(use(2, tuesday, hour));
  EXPECT_TRUE(settle(customer_, owed));
  EXPECT_EQ(in_doubt(), 0);
  EXPECT_EQ(value(), 9) << "had anyone added it, its period would have begun";
}

TEST_F(CloudTest, WhatWasReportedWithoutAHomeIsNotAddedAgain) {
  customer_.cloud->home.reset();
  sign(*customer_.cloud, "e1", 8);
  Unreported owed{.engine = "e1", .report = 8, .is_owed = true, .is_dead = true};
  owed.sent.meters.push_back(use(5));
  owed.since.meters.push_back(use(2));
  EXPECT_TRUE(settle(customer_, owed));
  EXPECT_EQ(value(), 42);
}

TEST_F(CloudTest, UseBelongsToItsPeriod) {
  const Millis hour(3'600'000);
  add_use(customer_, {.meters = {use(1, monday + Millis(500), hour)}});
  EXPECT_EQ(value(), 41) << "two engines began the same period by their own clocks";
  add_use(customer_, {.meters = {use(5, tuesday, hour)}});
  EXPECT_EQ(value(), 5) << "a period that the customer has not begun begins";
  EXPECT_EQ(customer_.meter(tokens_)->started, tuesday);
  add_use(customer_, {.meters = {use(9, monday, hour)}});
  EXPECT_EQ(value(), 5) << "one that is over is over";
  EXPECT_EQ(customer_.meter(tokens_)->started, tuesday);
}

TEST_F(CloudTest, DoubtsEndWithTheirPeriod) {
  lose_home(customer_);
  customer_.meter(tokens_)->started = tuesday;
  EXPECT_EQ(in_doubt(), 0);
  EXPECT_FALSE(drop_past_doubts(customer_)) << "the cap's period runs";
  customer_.cap("cap")->started = tuesday;
  EXPECT_TRUE(drop_past_doubts(customer_));
  EXPECT_TRUE(customer_.cloud->doubts.empty());
}

TEST_F(CloudTest, GovernorTokensMayHaveBeenTakenWithTheRoom) {
  customer_.own_extra(tokens_).governor_tokens = 4.0;
  lose_home(customer_);
  EXPECT_EQ(customer_.extra(tokens_)->governor_tokens, MaybeAmount(-6.0));
  EXPECT_TRUE(settle(customer_, {.engine = "e1", .report = 7, .since = {.meters = {use(2)}}}));
  EXPECT_EQ(customer_.extra(tokens_)->governor_tokens, MaybeAmount(2.0));
}

TEST_F(CloudTest, WhatIsReleasedCountsForNobodyAndItsUseIsStillAdded) {
  lose_home(customer_);
  EXPECT_EQ(release_doubts(customer_, "e2"), 0U) << "of another engine";
  EXPECT_EQ(in_doubt(), 10);
  EXPECT_EQ(release_doubts(customer_, "e1"), 1U);
  EXPECT_EQ(release_doubts(customer_, ""), 0U) << "once";
  EXPECT_EQ(in_doubt(), 0);
  EXPECT_EQ(doubted_of_cap(customer_, "cap", false), 0);
  EXPECT_EQ(released(customer_, tokens_), 10);
  EXPECT_EQ(released_of_cap(customer_, "cap"), 4);
  const Unreported unreported{.engine = "e1",
                              .report = 8,
                              .sent = {.meters = {use(3)}},
                              .since = {.meters = {use(2)}, .caps = {{"cap", monday, 2}}}};
  EXPECT_TRUE(settle(customer_, unreported));
  EXPECT_EQ(value(), 45);
  EXPECT_EQ(customer_.cap("cap")->meter_value, 42);
  EXPECT_EQ(released(customer_, tokens_), 0);
  EXPECT_FALSE(settle(customer_, unreported)) << "once";
  EXPECT_EQ(value(), 45);
}

TEST_F(CloudTest, ReleasedIsOnlyWhatWasAskedFor) {
  lose_home(customer_);
  customer_.cloud->home = Home{.engine = "e2", .report = 9, .room = {}};
  customer_.cloud->home->room.meters.push_back({tokens_, monday, 6});
  lose_home(customer_);
  EXPECT_EQ(release_doubts(customer_, "e1"), 1U);
  EXPECT_EQ(in_doubt(), 6);
  EXPECT_EQ(release_doubts(customer_, ""), 1U);
  EXPECT_EQ(in_doubt(), 0);
  EXPECT_EQ(released(customer_, tokens_), 16);
}

TEST_F(CloudTest, AReleaseIsInTheRecord) {
  lose_home(customer_);
  const std::string before = to_record(customer_, names_);
  EXPECT_EQ(before.find("released"), std::string::npos) << before;
  release_doubts(customer_, "");
  const std::string record = to_record(customer_, names_);
  EXPECT_NE(record.find(R"("released":true)"), std::string::npos) << record;
  const Result<Customer> read = read_customer(record, names_);
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_TRUE(read->cloud->doubts.front().is_released);
  EXPECT_EQ(to_record(*read, names_), record);
  EXPECT_EQ(doubted(*read, tokens_, false), 0);
}

TEST_F(CloudTest, ReleasedEntriesEndWithTheirPeriod) {
  lose_home(customer_);
  release_doubts(customer_, "");
  EXPECT_FALSE(drop_past_doubts(customer_));
  customer_.meter(tokens_)->started = tuesday;
  EXPECT_EQ(released(customer_, tokens_), 0);
  customer_.cap("cap")->started = tuesday;
  EXPECT_TRUE(drop_past_doubts(customer_));
}

TEST_F(CloudTest, AReleaseGivesGovernorTokensBackAndAReportTakesWhatWasUsed) {
  customer_.own_extra(tokens_).governor_tokens = 4.0;
  lose_home(customer_);
  ASSERT_EQ(customer_.extra(tokens_)->governor_tokens, MaybeAmount(-6.0));
  release_doubts(customer_, "");
  EXPECT_EQ(customer_.extra(tokens_)->governor_tokens, MaybeAmount(4.0));
  EXPECT_TRUE(settle(customer_, {.engine = "e1", .report = 7, .since = {.meters = {use(3)}}}));
  EXPECT_EQ(customer_.extra(tokens_)->governor_tokens, MaybeAmount(1.0));
}

TEST_F(CloudTest, OfAReleasedEntryWhoseLastReportWasTakenOnlyTheRestIsAdded) {
  customer_.own_extra(tokens_).governor_tokens = 4.0;
  lose_home(customer_);  // its last report is number 7
  release_doubts(customer_, "");
  EXPECT_TRUE(settle(
      customer_,
      {.engine = "e1", .report = 7, .sent = {.meters = {use(3)}}, .since = {.meters = {use(2)}}}));
  EXPECT_EQ(value(), 42);
  EXPECT_EQ(customer_.extra(tokens_)->governor_tokens, MaybeAmount(2.0));
}

}  // namespace
}  // namespace limitr::state
