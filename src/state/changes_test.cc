// SPDX-License-Identifier: Apache-2.0
#include "state/changes.h"

#include <memory>

#include <gtest/gtest.h>

#include "state/cloud.h"
#include "state/record.h"

// spec: decision.md, step 13; each move is both a delta and the value it results in
namespace limitr::state {
namespace {

Timestamp at(std::int64_t ms) { return timestamp_from_ms(ms); }

class Applying : public ::testing::Test {
protected:
  Applying() {
    caller_.id = "ann";
    org_.id = "org";
    family_.emplace(caller_);
    org_index_ = family_->add(org_);
    family_->add_ref(Family::caller, org_index_);
  }

  Symbol name(std::string_view text) { return names_.intern(text); }
  Meter meter(std::string_view entitlement, double value) {
    Meter made;
    made.entitlement = name(entitlement);
    made.credit = name("tok");
    made.started = at(5);
    made.value = value;
    made.overhead = 1.5;
    made.history.push(at(7), value);
    return made;
  }
  Grant grant(const std::string& id, double value) {
    Grant made;
    made.id = id;
    made.credit = name("tok");
    made.starting_value = made.value = value;
    return made;
  }
  Hold hold(const std::string& id) {
    Hold made;
    made.id = id;
    made.value = 3;
    return made;
  }
  Cap cap(const std::string& id) {
    Cap made;
    made.id = id;
    made.value = 10;
    return made;
  }
  MeterMove move_to(Family::Index customer, double delta, bool began_period, const Meter& after) {
    return {.customer = customer,
            .entitlement = after.entitlement,
            .credit = after.credit,
            .began_period = began_period,
            .noted = true,
            .started = after.started,
            .value_delta = delta,
            .value = after.value,
            .overhead_delta = 0,
            .overhead = after.overhead,
            .ewma_rate = after.ewma_rate,
            .call = {at(7), delta}};
  }
  // The one change as JSON.
  Json encoded(Changes changes) {
    const Json all = Json::parse(encode(changes, *family_, names_, at(9), {}));
    EXPECT_EQ(all["changes"].size(), 1U);
    return all["changes"].at(0);
  }
  Json encoded(Move move) { return encoded(Changes{.meter = {}, .governor = {}, .moves = {move}}); }
  void apply_one(Move move) { state::apply(Moves{std::move(move)}, *family_); }

  SymbolTable names_;
  Customer caller_;
  Customer org_;
  std::optional<Family> family_;
  Family::Index org_index_ = 0;
};

TEST_F(Applying, AMeterMoveReplacesOrAddsTheMeter) {
  Changes changes;
  changes.meter = move_to(org_index_, 4, /*began_period=*/true, meter("chat", 4));
  state::apply(changes, *family_);
  ASSERT_NE(org_.meter(name("chat")), nullptr);
  EXPECT_EQ(*org_.meter(name("chat")), meter("chat", 4));
  changes.meter = move_to(org_index_, 2, /*began_period=*/false, meter("chat", 6));
  state::apply(changes, *family_);
  EXPECT_EQ(org_.meters.size(), 1U);
  EXPECT_EQ(org_.meters[0].value, 6);
  EXPECT_EQ(org_.meters[0].history.size(), 2U) << "one call more";
  EXPECT_TRUE(caller_.meters.empty()) << "only the one it is about";
  const Json move = encoded(changes);
  EXPECT_EQ(move["type"], "meter");
  EXPECT_EQ(move["customer"], "org");
  EXPECT_EQ(move["entitlement"], "chat");
  EXPECT_EQ(move["value_delta"], 2);
  EXPECT_EQ(move["began_period"], false);
  EXPECT_EQ(move["value"], 6);
  EXPECT_EQ(move["credit"], "tok");
  EXPECT_EQ(move["call"], Json::parse(R"({"ts":7,"delta":2})"));
  changes.meter = move_to(org_index_, 1, /*began_period=*/true, meter("chat", 1));
  changes.meter->noted = false;
  state::apply(changes, *family_);
  EXPECT_EQ(org_.meters[0].history.size(), 0U) << "a period begins without calls";
  EXPECT_FALSE(encoded(changes).contains("call"));
}

TEST_F(Applying, AGovernorMoveSetsTheBucket) {
  Changes changes;
  changes.governor = GovernorMove{Family::caller, name("chat"), -2, 3, at(8)};
  state::apply(changes, *family_);
  ASSERT_NE(caller_.extra(name("chat")), nullptr);
  EXPECT_EQ(caller_.extra(name("chat"))->governor_tokens, MaybeAmount(3));
  EXPECT_EQ(caller_.extra(name("chat"))->governor_last_refill, MaybeTime(at(8)));
  const Json move = encoded(changes);
  EXPECT_EQ(move["tokens_delta"], -2);
  EXPECT_EQ(move["tokens"], 3);
  changes.governor = GovernorMove{Family::caller, name("chat"), 0, {}, {}};
  state::apply(changes, *family_);
  EXPECT_FALSE(caller_.extra(name("chat"))->governor_tokens.has_value());
  EXPECT_EQ(encoded(changes)["tokens"], nullptr);
}

TEST_F(Applying, CapsMoveAndGo) {
  org_.own_rest().caps = {cap("a"), cap("b")};
  const CapMove move{org_index_, "b", 2.5, 7.5, at(3), at(4)};
  apply_one(move);
  EXPECT_EQ(org_.cap("b")->meter_value, 7.5);
  EXPECT_EQ(org_.cap("b")->started, at(3));
  EXPECT_EQ(org_.cap("b")->last_reset, MaybeTime(at(4)));
  EXPECT_EQ(org_.cap("a")->meter_value, 0);
  EXPECT_EQ(encoded(move)["delta"], 2.5);
  EXPECT_EQ(encoded(move)["meter_value"], 7.5);
  apply_one(CapRemoval{org_index_, "a"});
  EXPECT_EQ(org_.cap("a"), nullptr);
  EXPECT_NE(org_.cap("b"), nullptr);
  EXPECT_EQ(encoded(CapRemoval{org_index_, "a"}),
            Json::parse(R"({"type":"cap_removed","customer":"org","cap":"a"})"));
}

TEST_F(Applying, GrantsAreAddedAtTheEndMovedAndRemoved) {
  caller_.own_rest().grants = {grant("a", 5), grant("b", 6)};
  apply_one(GrantMove{Family::caller, -2, grant("a", 3)});
  apply_one(GrantMove{Family::caller, 9, grant("c", 9)});
  std::vector<Grant>& grants = caller_.own_rest().grants;
  ASSERT_EQ(grants.size(), 3U);
  EXPECT_EQ(grants[0].value, 3);
  EXPECT_EQ(grants[2].id, "c");
  apply_one(GrantRemoval{Family::caller, "b", -6});
  ASSERT_EQ(grants.size(), 2U);
  EXPECT_EQ(grants[1].id, "c");
  const Json move = encoded(GrantMove{Family::caller, -2, grant("a", 3)});
  EXPECT_EQ(move["delta"], -2);
  EXPECT_EQ(move["after"]["value"], 3);
  EXPECT_EQ(encoded(GrantRemoval{Family::caller, "b", -6})["delta"], -6);
}

TEST_F(Applying, AVoucherMoveSetsTheBalanceInTheMetadata) {
  caller_.own_rest().metadata = {{"limitr_voucher_runes", 10}, {"note", "kept"}};
  const VoucherMove move{Family::caller, -4, 6};
  apply_one(move);
  EXPECT_EQ(caller_.more().metadata["limitr_voucher_runes"], 6);
  EXPECT_EQ(caller_.more().metadata["note"], "kept");
  EXPECT_EQ(encoded(move)["delta"], -4);
  EXPECT_EQ(encoded(move)["runes"], 6);
}

TEST_F(Applying, HoldsComeAndGo) {
  apply_one(HoldAdded{Family::caller, name("chat"), hold("h1")});
  apply_one(HoldAdded{Family::caller, name("chat"), hold("h2")});
  ASSERT_EQ(caller_.extra(name("chat"))->holds.size(), 2U);
  apply_one(HoldRemoval{Family::caller, name("chat"), "h1"});
  ASSERT_EQ(caller_.extra(name("chat"))->holds.size(), 1U);
  EXPECT_EQ(caller_.extra(name("chat"))->holds[0].id, "h2");
  EXPECT_EQ(encoded(HoldAdded{Family::caller, name("chat"), hold("h2")})["after"]["value"], 3);
  EXPECT_EQ(encoded(HoldRemoval{Family::caller, name("chat"), "h1"})["hold"], "h1");
}

TEST_F(Applying, OverridesAreRemoved) {
  Override own;
  own.entitlement = name("chat");
  caller_.own_rest().overrides = {own};
  const OverrideRemoval move{Family::caller, name("chat")};
  apply_one(move);
  EXPECT_TRUE(caller_.more().overrides.empty());
  EXPECT_EQ(encoded(move)["entitlement"], "chat");
}

// Goal: meters, overrides and cap scopes under the old name carry over. spec: state.md
TEST_F(Applying, ARenameCarriesEverythingOver) {
  caller_.meters = {meter("old", 4)};
  caller_.own_extra(name("old")).holds = {hold("h")};
  Override own;
  own.entitlement = name("old");
  caller_.own_rest().overrides = {own};
  Cap scoped = cap("c");
  scoped.scope = {name("other"), name("old")};
  caller_.own_rest().caps = {scoped};
  const Rename move{Family::caller, name("old"), name("new")};
  apply_one(move);
  EXPECT_EQ(caller_.meter(name("old")), nullptr);
  EXPECT_EQ(caller_.meter(name("new"))->value, 4);
  EXPECT_EQ(caller_.extra(name("new"))->holds.size(), 1U);
  EXPECT_NE(caller_.find_override(name("new")), nullptr);
  EXPECT_EQ(caller_.cap("c")->scope, (std::vector{name("other"), name("new")}));
  EXPECT_EQ(encoded(move)["from"], "old");
  EXPECT_EQ(encoded(move)["to"], "new");
}

// Goal: what others may have used under the old name still is in doubt under the new one.
TEST_F(Applying, ARenameCarriesOverWhatIsSetAside) {
  caller_.meters = {meter("old", 4)};
  const Timestamp started = caller_.meters[0].started;
  const Room room{.meters = {{name("old"), started, 3}}, .caps = {}};
  caller_.cloud = std::make_unique<Cloud>();
  caller_.cloud->home = Home{.engine = "e1", .report = 1, .room = room};
  caller_.cloud->doubts = {{.engine = "e2", .report = 1, .room = room}};
  caller_.cloud->stay.emplace().meters.push_back(
      {.entitlement = name("old"), .tally = {.used = 2}});
  apply_one(Rename{Family::caller, name("old"), name("new")});
  EXPECT_FALSE(drop_past_doubts(caller_));
  EXPECT_EQ(doubted(caller_, name("new"), /*of_home=*/false), 3);
  EXPECT_EQ(doubted(caller_, name("new"), /*of_home=*/true), 6);
  EXPECT_EQ(caller_.cloud->stay->meter(name("old")), nullptr);
  EXPECT_EQ(caller_.cloud->stay->meter(name("new"))->tally.used, 2);
}

TEST_F(Applying, ARenameDoesNotReplaceWhatHasTheNewName) {
  caller_.meters = {meter("old", 4), meter("new", 1)};
  apply_one(Rename{Family::caller, name("old"), name("new")});
  EXPECT_EQ(caller_.meter(name("old"))->value, 4);
  EXPECT_EQ(caller_.meter(name("new"))->value, 1);
}

TEST_F(Applying, EstimatesAreReplacedBySegment) {
  EstimateStats stats;
  stats.segment = "gpt";
  stats.samples = 1;
  apply_one(EstimateMove{Family::caller, name("chat"), stats});
  stats.samples = 2;
  apply_one(EstimateMove{Family::caller, name("chat"), stats});
  stats.segment = "all";
  apply_one(EstimateMove{Family::caller, name("chat"), stats});
  const auto& estimates = caller_.extra(name("chat"))->estimates;
  ASSERT_EQ(estimates.size(), 2U);
  EXPECT_EQ(estimates[0].samples, 2U);
  const Json move = encoded(EstimateMove{Family::caller, name("chat"), stats});
  EXPECT_EQ(move["segment"], "all");
  EXPECT_EQ(move["after"]["samples"], 2);
}

// A cap or hold that went meanwhile is no reason to fail: applying cannot.
TEST_F(Applying, WhatIsGoneStaysGone) {
  apply_one(CapMove{Family::caller, "nobody's", 1, 1, at(0), {}});
  apply_one(CapRemoval{Family::caller, "nobody's"});
  apply_one(GrantRemoval{Family::caller, "nobody's", 0});
  apply_one(HoldRemoval{Family::caller, name("chat"), "nobody's"});
  apply_one(OverrideRemoval{Family::caller, name("chat")});
  EXPECT_TRUE(caller_.more().caps.empty());
  EXPECT_TRUE(caller_.more().grants.empty());
}

TEST_F(Applying, EncodesInTheOrderOfApplying) {
  Changes changes;
  EXPECT_TRUE(changes.empty());
  changes.moves = {CapMove{org_index_, "c", 1, 1, at(0), {}}};
  changes.governor = GovernorMove{Family::caller, name("chat"), -1, 0, at(9)};
  changes.meter = move_to(Family::caller, 1, /*began_period=*/false, meter("chat", 1));
  EXPECT_FALSE(changes.empty());
  const Json all = Json::parse(encode(changes, *family_, names_, at(9), "r\"1"));
  EXPECT_EQ(all["at"], 9);
  EXPECT_EQ(all["request"], "r\"1");
  ASSERT_EQ(all["changes"].size(), 3U);
  EXPECT_EQ(all["changes"][0]["type"], "meter");
  EXPECT_EQ(all["changes"][1]["type"], "governor");
  EXPECT_EQ(all["changes"][2]["type"], "cap");
  EXPECT_FALSE(Json::parse(encode(changes, *family_, names_, at(9), {})).contains("request"));
}

}  // namespace
}  // namespace limitr::state
