// SPDX-License-Identifier: Apache-2.0
#include "core/grants.h"

#include <cmath>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "base/amount.h"
#include "core/test_policy.h"

// spec: pricing.md, Grants
namespace limitr::core {
namespace {

using namespace std::chrono_literals;
using policy::GrantStrategy;
using state::Grant;
using std::chrono::sys_days;

constexpr Millis period = 10ms;

Timestamp at(std::int64_t ms) { return timestamp_from_ms(ms); }

Grant grant_of(double value, Symbol credit = Symbol{1}) {
  Grant grant;
  grant.id = "g";
  grant.credit = credit;
  grant.starting_value = value;
  grant.value = value;
  return grant;
}

Grant resetting(ResetMode mode, double starting_value, double value) {
  Grant grant = grant_of(value);
  grant.starting_value = starting_value;
  grant.drawn = starting_value - value;
  grant.reset = {.resets = true, .inc = period, .schedule = {}};
  grant.reset_mode = mode;
  return grant;
}

// Goal: starting_value + added = value + drawn + lost. spec: state.md, Books that balance
void expect_books(const Grant& grant) {
  const double in = grant.starting_value + grant.added;
  const double out = grant.value + grant.drawn + grant.lost;
  EXPECT_NEAR(in, out, 1e-9 * std::max(1.0, std::fabs(in) + std::fabs(grant.lost)));
  EXPECT_TRUE(std::isfinite(in) && std::isfinite(out));
}

Grant after(Grant grant, Timestamp now) {
  Grants grants = {std::move(grant)};
  bring_up_to_date(grants, now);
  if (grants.empty()) return grant_of(std::nan(""));
  return grants.front();
}

TEST(Reset, FollowsItsMode) {
  struct Case {
    const char* why;
    ResetMode mode;
    double value;
    std::optional<double> pct, min, max, max_balance;
    double expected;
  };
  for (const Case& c :
       {Case{"hard: it starts over", ResetMode::hard, 3, {}, {}, {}, {}, 100},
        Case{"hard, cut", ResetMode::hard, 3, {}, {}, {}, 60, 60},
        Case{"add: on top", ResetMode::add, 3, {}, {}, {}, {}, 103},
        Case{"add, cut", ResetMode::add, 70, {}, {}, {}, 150, 150},
        Case{"add to a debt", ResetMode::add, -20, {}, {}, {}, {}, 80},
        Case{"rollover: all of it", ResetMode::rollover, 30, {}, {}, {}, {}, 130},
        Case{"rollover: a part", ResetMode::rollover, 30, 0.5, {}, {}, {}, 115},
        Case{"rollover: at least", ResetMode::rollover, 2, 0.5, 5, {}, {}, 105},
        Case{"rollover: at most", ResetMode::rollover, 90, {}, {}, 20, {}, 120},
        Case{"rollover: a debt is not carried", ResetMode::rollover, -9, {}, {}, {}, {}, 100},
        Case{"rollover, cut", ResetMode::rollover, 90, {}, {}, {}, 150, 150}}) {
    SCOPED_TRACE(c.why);
    Grant grant = resetting(c.mode, 100, c.value);
    grant.rollover_pct = c.pct;
    grant.rollover_min = c.min;
    grant.rollover_max = c.max;
    grant.max_balance = c.max_balance;
    const Grant reset = after(grant, at(11));
    EXPECT_DOUBLE_EQ(reset.value, c.expected);
    EXPECT_EQ(reset.granted_on, at(10));
    EXPECT_EQ(reset.starting_value, 100);
    EXPECT_EQ(reset.drawn, grant.drawn) << "a reset draws nothing";
    expect_books(reset);
    EXPECT_EQ(after(grant, at(10)).value, c.value) << "the boundary itself is still inside";
  }
}

Grant of_kind(ResetMode mode, const std::function<void(Grant&)>& edit = {}) {
  Grant grant = resetting(mode, 100, 37);
  if (edit) edit(grant);
  grant.drawn = grant.starting_value - grant.value;
  return grant;
}

std::vector<Grant> all_kinds() {
  return {of_kind(ResetMode::hard),
          of_kind(ResetMode::add),
          of_kind(ResetMode::add, [](Grant& g) { g.max_balance = 1050; }),
          of_kind(ResetMode::add, [](Grant& g) { g.starting_value = 0; }),
          of_kind(ResetMode::add, [](Grant& g) { g.value = -5000; }),
          of_kind(ResetMode::rollover),
          of_kind(ResetMode::rollover, [](Grant& g) { g.rollover_pct = 0.5; }),
          of_kind(ResetMode::rollover, [](Grant& g) { g.rollover_pct = 0.999; }),
          of_kind(ResetMode::rollover, [](Grant& g) { g.rollover_max = 5000; }),
          of_kind(ResetMode::rollover, [](Grant& g) { g.rollover_max = 150'000; }),
          of_kind(ResetMode::rollover, [](Grant& g) { g.rollover_min = 400; }),
          of_kind(ResetMode::rollover, [](Grant& g) { g.max_balance = 130'000; }),
          of_kind(ResetMode::rollover, [](Grant& g) {
            g.rollover_pct = 0.25;
            g.rollover_min = 10;
            g.rollover_max = 20;
          })};
}

std::string name_of(const Grant& grant) {
  const auto text = [](MaybeAmount x) {
    return x.has_value() ? std::to_string(*x) : std::string("-");
  };
  return std::string(to_string(grant.reset_mode)) + " pct " + text(grant.rollover_pct) + " min " +
         text(grant.rollover_min) + " max " + text(grant.rollover_max) + " cut " +
         text(grant.max_balance) + " value " + std::to_string(grant.value);
}

// Goal: any number of missed periods comes to what looking after every one of them would.
TEST(CatchUp, EqualsStepByStep) {
  for (const Grant& grant : all_kinds()) {
    Grant stepped = grant;
    std::int64_t missed = 0;
    for (const std::int64_t checked : {1, 2, 3, 10, 999, 1000, 1001, 1002, 1003, 2500, 5000}) {
      SCOPED_TRACE(name_of(grant) + ", periods missed: " + std::to_string(checked));
      while (missed < checked) stepped = after(stepped, at(++missed * 10 + 1));
      const Grant jumped = after(grant, at(checked * 10 + 1));
      EXPECT_NEAR(jumped.value, stepped.value, 1e-9 * std::fabs(stepped.value));
      EXPECT_EQ(jumped.granted_on, stepped.granted_on);
      expect_books(jumped);
      expect_books(stepped);
    }
  }
}

// Goal: a million million missed periods take no longer than a few.
TEST(CatchUp, IsBounded) {
  struct Case {
    const char* why;
    Grant grant;
    double expected;
  };
  const double periods = 1e12;
  const Timestamp now = at(static_cast<std::int64_t>(periods) * period.count() + 1);
  for (const Case& c :
       {Case{"hard", of_kind(ResetMode::hard), 100},
        Case{"add", of_kind(ResetMode::add), 37 + periods * 100},
        Case{"add, cut", of_kind(ResetMode::add, [](Grant& g) { g.max_balance = 1e6; }), 1e6},
        Case{"rollover", of_kind(ResetMode::rollover), 37 + periods * 100},
        Case{"rollover at most",
             of_kind(ResetMode::rollover, [](Grant& g) { g.rollover_max = 1e7; }), 1e7 + 100},
        Case{"rollover of a part",
             of_kind(ResetMode::rollover, [](Grant& g) { g.rollover_pct = 0.5; }), 200}}) {
    SCOPED_TRACE(c.why);
    const Grant grant = after(c.grant, now);
    EXPECT_NEAR(grant.value, c.expected, 1e-9 * c.expected);
    EXPECT_EQ(grant.granted_on, now - 1ms);
    expect_books(grant);
  }
}

TEST(CatchUp, StopsAtItsCapButTheDatesGoOn) {
  Grant grant = of_kind(ResetMode::add);
  grant.reset_catchup_cap = 3;
  const Grant caught_up = after(grant, at(51));
  EXPECT_EQ(caught_up.value, 37 + 3 * 100);
  EXPECT_EQ(caught_up.granted_on, at(50));
  grant.reset_catchup_cap = 0;
  EXPECT_EQ(after(grant, at(51)).value, 37);
}

TEST(CatchUp, ACalendarResetsOnceHoweverManyPeriodsPassed) {
  Grant grant = of_kind(ResetMode::add);
  grant.reset = {.resets = true, .inc = {}, .schedule = Schedule::parse("monthly:1").value()};
  grant.last_reset = Timestamp(sys_days(2026y / 1 / 1));
  const Grant same_month = after(grant, sys_days(2026y / 1 / 31));
  EXPECT_EQ(same_month.value, 37);
  const Grant months_later = after(grant, sys_days(2026y / 7 / 9));
  EXPECT_EQ(months_later.value, 137);
  EXPECT_EQ(months_later.last_reset, MaybeTime(Timestamp(sys_days(2026y / 7 / 1))));
  EXPECT_EQ(after(months_later, sys_days(2026y / 7 / 31)).value, 137);
  grant.last_reset = {};
  EXPECT_EQ(after(grant, sys_days(2026y / 1 / 31)).value, 137) << "the first look resets";
}

TEST(BringUpToDate, RemovesWhatHasExpired) {
  Grants grants = {grant_of(1), grant_of(2), grant_of(3)};
  grants[0].expires_on = at(99);
  grants[1].expires_on = at(100);
  bring_up_to_date(grants, at(100));
  ASSERT_EQ(grants.size(), 2U);
  EXPECT_EQ(grants[0].value, 2) << "its last moment still counts";
}

// A policy with a cheap, a dear and a worthless credit.
class Drawing : public ::testing::Test {
protected:
  std::shared_ptr<const policy::Policy> policy_ = policy_of(R"(
policy:
  credits:
    tok: {price: {amount: 1}}
    cheap: {price: {amount: 0.5}}
    dear: {price: {amount: 4}}
    bare: {}
  plans:
    pro:
      entitlements: {e: {limit: {credit: tok, value: 10}}}
      topups:
        extra: {credit: cheap, value: 50}
        welcome: {credit: dear, value: 7, included: true, included_scopes: [org]}
)");
  Exchange exchange_{*policy_};

  Symbol credit(std::string_view name) const { return policy_->names->find(name); }
  Grant grant(const std::string& id, double value, std::string_view name,
              std::optional<Timestamp> expires = {}) const {
    Grant made = grant_of(value, credit(name));
    made.id = id;
    made.expires_on = expires;
    return made;
  }
  // The IDs in the order in which they are drawn.
  std::string order(Grants grants, GrantStrategy strategy, std::string_view name) const {
    std::string ids;
    for (;;) {
      const Grants before = grants;
      if (draw(grants, exchange_, strategy, credit(name), 1e-3, 0) == 0) return ids;
      for (std::size_t i = 0; i < before.size(); ++i) {
        if (grants[i].value == before[i].value) continue;
        ids += before[i].id;
        grants[i].value = 0;
      }
    }
  }
};

TEST_F(Drawing, TakesTheBestFirst) {
  const auto early = at(1000);
  const auto late = at(2000);
  struct Case {
    const char* why;
    Grants grants;
    GrantStrategy strategy;
    const char* credit;
    const char* expected;
  };
  using S = GrantStrategy;
  for (const Case& c :
       {Case{"the earliest expiry",
             {grant("a", 5, "tok", late), grant("b", 5, "tok", early)},
             S::expires_first,
             "tok",
             "ba"},
        Case{"those that never expire last, the newest of them first",
             {grant("a", 5, "tok"), grant("b", 5, "tok"), grant("c", 5, "tok", late)},
             S::expires_first,
             "tok",
             "cba"},
        Case{"of equals the older",
             {grant("a", 5, "tok", early), grant("b", 5, "tok", early)},
             S::expires_first,
             "tok",
             "ab"},
        Case{"exactly this credit before what expires earlier",
             {grant("a", 5, "dear", early), grant("b", 5, "tok", late)},
             S::expires_first,
             "tok",
             "ba"},
        Case{"the cheapest",
             {grant("a", 5, "dear"), grant("b", 5, "cheap"), grant("c", 5, "tok")},
             S::cheapest_first,
             "tok",
             "cba"},
        Case{"the most valuable",
             {grant("a", 5, "cheap"), grant("b", 5, "dear"), grant("c", 5, "tok")},
             S::valuable_first,
             "tok",
             "cba"},
        Case{"equally cheap: the older, also where neither expires",
             {grant("a", 5, "cheap"), grant("b", 5, "cheap")},
             S::cheapest_first,
             "tok",
             "ab"},
        Case{"empty ones and those without a path never",
             {grant("a", 0, "tok"), grant("b", 5, "bare"), grant("c", 5, "tok")},
             S::expires_first,
             "tok",
             "c"},
        Case{"a credit without value draws its own only, the oldest first",
             {grant("a", 5, "tok"), grant("b", 5, "bare", late), grant("c", 5, "bare", early)},
             S::expires_first,
             "bare",
             "bc"}}) {
    SCOPED_TRACE(c.why);
    EXPECT_EQ(order(c.grants, c.strategy, c.credit), c.expected);
  }
}

TEST_F(Drawing, CoversWhatItCan) {
  Grants grants = {grant("a", 3, "tok"), grant("b", 2, "dear"), grant("c", 100, "cheap")};
  // 3 of its own; 2 dear ones are worth 8; the last 4 cost 8 cheap ones.
  EXPECT_EQ(draw(grants, exchange_, GrantStrategy::valuable_first, credit("tok"), 15, 0), 15);
  ASSERT_EQ(grants.size(), 1U) << "what is used up is removed";
  EXPECT_DOUBLE_EQ(grants[0].value, 92);
  EXPECT_DOUBLE_EQ(grants[0].drawn, 8);
  expect_books(grants[0]);
  EXPECT_EQ(draw(grants, exchange_, GrantStrategy::valuable_first, credit("tok"), 100, 0), 46);
  EXPECT_TRUE(grants.empty());
}

TEST_F(Drawing, WhatResetsStaysEmptyUntilThen) {
  Grants grants = {grant("a", 3, "tok")};
  grants[0].reset = {.resets = true, .inc = period, .schedule = {}};
  EXPECT_EQ(draw(grants, exchange_, GrantStrategy::expires_first, credit("tok"), 5, 0), 3);
  ASSERT_EQ(grants.size(), 1U);
  EXPECT_EQ(grants[0].value, 0);
  expect_books(grants[0]);
}

TEST_F(Drawing, RemainingPoolsTheOthersInRunes) {
  const Grants grants = {grant("a", 3, "tok"), grant("b", 2, "dear"), grant("c", 9, "bare")};
  EXPECT_EQ(remaining(grants, exchange_, credit("tok"), 0), 11);
  EXPECT_EQ(remaining(grants, exchange_, credit("bare"), 0), 9) << "no path: its own only";
}

TEST_F(Drawing, FollowingTopupsTakesTheDefinitionNotTheBalance) {
  CountedIds ids;
  const policy::Plan& plan = *policy_->plan("pro");
  Grants grants = {grant("own", 1, "tok"), grant("old", 20, "tok"), grant("gone", 5, "tok")};
  grants[1].topup = credit("extra");
  grants[2].topup = policy_->names->intern("no longer there");
  EXPECT_TRUE(follow_topups(grants, plan, policy_->names->intern("user"), at(0), ids));
  ASSERT_EQ(grants.size(), 2U);
  EXPECT_EQ(grants[0].id, "own") << "from no topup: left alone";
  EXPECT_EQ(grants[1].credit, credit("cheap"));
  EXPECT_EQ(grants[1].value, 20);
  EXPECT_EQ(grants[1].starting_value, 50);
  expect_books(grants[1]);
}

TEST_F(Drawing, IncludedTopupsAreForTheirTypes) {
  CountedIds ids;
  const policy::Plan& plan = *policy_->plan("pro");
  const Symbol org = policy_->names->find("org");
  Grants grants;
  EXPECT_TRUE(follow_topups(grants, plan, org, at(7), ids));
  ASSERT_EQ(grants.size(), 1U);
  EXPECT_EQ(grants[0].id, "n1");
  EXPECT_EQ(grants[0].value, 7);
  EXPECT_EQ(grants[0].created_on, at(7));
  expect_books(grants[0]);
  EXPECT_TRUE(follow_topups(grants, plan, org, at(8), ids));
  EXPECT_EQ(grants.size(), 1U) << "it is there already";
  EXPECT_TRUE(follow_topups(grants, plan, policy_->names->intern("user"), at(9), ids));
  EXPECT_TRUE(grants.empty()) << "no longer for this type";
  EXPECT_FALSE(follow_topups(grants, plan, policy_->names->intern("user"), at(9), ids));
}

TEST_F(Drawing, MovesTellOneListFromAnother) {
  Grants before = {grant("a", 3, "tok"), grant("b", 4, "tok"), grant("c", 5, "tok")};
  Grants now = {before[0], before[2], grant("d", 6, "tok")};
  now[1].value = 1;
  const auto moves = grant_moves(2, before, now);
  ASSERT_EQ(moves.size(), 3U);
  const auto& removal = std::get<state::GrantRemoval>(moves[0]);
  EXPECT_EQ(removal.grant, "b");
  EXPECT_EQ(removal.delta, -4);
  EXPECT_EQ(removal.customer, 2U);
  EXPECT_EQ(std::get<state::GrantMove>(moves[1]).delta, -4);
  EXPECT_EQ(std::get<state::GrantMove>(moves[1]).after.value, 1);
  EXPECT_EQ(std::get<state::GrantMove>(moves[2]).delta, 6) << "a new one brings all of it";
  EXPECT_TRUE(grant_moves(0, before, before).empty());
}

}  // namespace
}  // namespace limitr::core
