// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "manual_clock.h"

// Whatever is given to an engine, what it keeps can be written, read again, and is the same then.
// spec: state.md, Books that balance
namespace limitr {
namespace {

constexpr double largest = std::numeric_limits<double>::max();

constexpr std::string_view policy = R"(
policy:
  credits:
    tok: { price: { amount: 1 }, overhead_cost: 0.5 }
    free: { overhead_cost: 0 }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: tok, mode: observe, value: 10 } }
        talk: { limit: { credit: tok, mode: observe, value: 10 }, estimate_segment: model }
        gift: { limit: { credit: free, mode: soft, value: 10 } }
        bill: { limit: { credit: tok, mode: soft, value: 0 } }
)";

class KeptState : public ::testing::Test {
protected:
  KeptState() : limitr_(open()) {
    EXPECT_TRUE(limitr_.create_customer("ann").ok());
    EXPECT_TRUE(limitr_.create_customer("bob").ok());
  }

  Limitr open() {
    Options options;
    options.clock = clock_;
    options.log = [this](std::string_view message) { logged_.emplace_back(message); };
    return *Limitr::open(policy, std::move(options));
  }

  std::string exported() { return *limitr_.export_state(); }

  // What is kept is the same after a restart, all of it.
  void expect_comes_back() {
    const std::string text = exported();
    Limitr restarted = open();
    const Result<LoadReport> report = restarted.load_customers(text);
    ASSERT_TRUE(report.ok()) << report.error().to_string();
    for (const LoadReport::Refused& refused : report->refused) {
      ADD_FAILURE() << refused.id << ": " << refused.error.to_string();
    }
    EXPECT_EQ(Json::parse(*restarted.export_state()), Json::parse(text));
  }

  // Whoever's field is refused is told which one, and nothing changes.
  template <typename Answer>
  void expect_refused(const char* field, const Answer& answer, const std::string& before) {
    SCOPED_TRACE(field);
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(answer.error().where, field);
    EXPECT_EQ(exported(), before);
  }

  const std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(1'700'000'000'000);
  std::vector<std::string> logged_;
  Limitr limitr_;
};

TEST_F(KeptState, WhatIsLearnedFromLargeAmountsCanBeKept) {
  for (const double value : {5.0, 1e155, 1e200, -1e300, largest}) {
    SCOPED_TRACE(value);
    ASSERT_TRUE(limitr_.observe("ann", "chat", value).ok());
    ASSERT_TRUE(limitr_.observe("ann", "talk", 5, {.overhead = value}).ok());
    expect_comes_back();
  }
  ASSERT_TRUE(limitr_.observe("ann", "talk", 1e20, {.basis = 1e-300}).ok());
  ASSERT_TRUE(limitr_.settle("ann", "chat", "hold", 1e200)->allowed);
  EXPECT_EQ(*limitr_.value("ann", "chat"), 1e200);
  expect_comes_back();
}

TEST_F(KeptState, AnOverheadBeyondAllNumbersIsAnError) {
  const CallOptions costly{.overhead = 1e308};
  ASSERT_TRUE(limitr_.allow("ann", "chat", 1, costly)->allowed);
  const std::string before = exported();
  const auto second = limitr_.allow("ann", "chat", 1, costly);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::invalid_value);
  EXPECT_EQ(limitr_.check("ann", "chat", 1, costly).ok(), second.ok());
  EXPECT_EQ(exported(), before);
  EXPECT_TRUE(limitr_.allow("ann", "chat", 1)->allowed) << "a call that costs little goes on";
  expect_comes_back();
}

TEST_F(KeptState, GivingBackWhatCostsNothingCostsZero) {
  ASSERT_TRUE(limitr_.allow("ann", "gift", 5)->allowed);
  const auto back = limitr_.allow("ann", "gift", -2);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->overhead, 0);
  EXPECT_FALSE(std::signbit(*back->overhead));
}

// A rate of all there is over next to nothing, times nothing, is no number.
TEST_F(KeptState, ACapCountsNumbersOnly) {
  const CapOptions cap{.cap = "costs", .overage_only = true, .overhead_cost = true};
  ASSERT_TRUE((*limitr_.add_customer_cap("ann", 10, cap)).has_value());
  const CallOptions costly{.overhead = 1e308};
  ASSERT_TRUE(limitr_.allow("ann", "chat", 1e-300, costly).ok());
  expect_comes_back();
}

TEST_F(KeptState, ReadsAreNumbers) {
  ASSERT_TRUE(limitr_.allow("ann", "chat", -largest / 2, {.overhead = 0})->allowed);
  clock_->advance(1);
  ASSERT_TRUE(limitr_.allow("ann", "chat", largest, {.overhead = 0})->allowed);
  clock_->advance(1);
  ASSERT_TRUE(limitr_.allow("ann", "chat", -largest, {.overhead = 0})->allowed);
  EXPECT_EQ(*limitr_.acceleration("ann", "chat"), largest);

  ASSERT_TRUE(limitr_.allow("ann", "bill", 1e308, {.overhead = 1e308})->allowed);
  ASSERT_TRUE(limitr_.allow("ann", "talk", 1e308, {.overhead = 1e308})->allowed);
  const Margin margin = **limitr_.customer_margin("ann");
  EXPECT_TRUE(std::isfinite(margin.cost));
  EXPECT_TRUE(std::isfinite(margin.revenue));
  EXPECT_TRUE(std::isfinite(margin.margin));
  for (const EntitlementMargin& row : margin.entitlements) {
    EXPECT_TRUE(std::isfinite(row.margin.value_or(0))) << row.entitlement;
  }
}

TEST_F(KeptState, TextThatIsNotUtf8IsRefusedWhereItEnters) {
  const std::string bad = "a\xff";
  const std::string before = exported();
  const Json data = {{"model", bad}};
  const Json member = Json::object_t{{bad, 1}};
  const auto refused = [&](const char* field, const auto& answer) {
    expect_refused(field, answer, before);
  };
  refused("id", limitr_.create_customer(bad));
  for (const char* id : {"ann", "new"}) {
    SCOPED_TRACE(id);
    refused("plan", limitr_.create_customer(id, {.plan = bad}));
    refused("type", limitr_.create_customer(id, {.type = bad}));
    refused("label", limitr_.create_customer(id, {.label = bad}));
    refused("refs", limitr_.create_customer(id, {.refs = {{"org", bad}}}));
    refused("alts", limitr_.create_customer(id, {.alts = {bad}}));
    refused("metadata", limitr_.create_customer(id, {.metadata = data}));
    refused("metadata", limitr_.create_customer(id, {.metadata = Json{{"deep", {member}}}}));
  }
  refused("refs", limitr_.set_customer_refs("ann", {bad}));
  refused("alt", limitr_.set_alt_customer_id("ann", bad));
  refused("cap", limitr_.add_customer_cap("ann", 5, {.cap = bad}));
  refused("shared_with", limitr_.add_customer_cap("ann", 5, {.shared_with = {bad}}));
  refused("scope", limitr_.add_customer_cap("ann", 5, {.scope = {bad}}));
  refused("measurement", limitr_.start_margin_measurement("ann", bad));
  refused("event_data", limitr_.allow("ann", "chat", 1, {.event_data = data}));
  refused("event_data", limitr_.check("ann", "chat", 1, {.event_data = member}));
  refused("context", limitr_.reserve("ann", "talk", {.value = 1, .context = data}));
  refused("segment", limitr_.reserve("ann", "talk", {.value = 1, .segment = bad}));
  refused("segment", limitr_.settle("ann", "talk", "hold", 1, {.segment = bad}));
  refused("event_data", limitr_.settle("ann", "talk", "hold", 1, {.event_data = data}));
  refused("segment", limitr_.observe("ann", "talk", 1, {.segment = bad}));
  refused("context", limitr_.observe("ann", "talk", 1, {.context = data}));
}

TEST_F(KeptState, EventDataIsAnObject) {
  const std::string before = exported();
  for (const Json& data : {Json(7), Json("text"), Json::array({1}), Json(nullptr), Json(true)}) {
    SCOPED_TRACE(data);
    expect_refused("event_data", limitr_.allow("ann", "chat", 1, {.event_data = data}), before);
    expect_refused("event_data", limitr_.check("ann", "chat", 1, {.event_data = data}), before);
  }
}

TEST_F(KeptState, AHandleMeansWhoeverHasTheIdNow) {
  const Handle handle = **limitr_.handle("ann", "chat");
  ASSERT_TRUE(limitr_.allow(handle, 4)->allowed);
  ASSERT_TRUE(*limitr_.delete_customer("ann"));
  EXPECT_EQ(limitr_.allow(handle, 4)->reason, Reason::unknown_customer);
  ASSERT_TRUE(limitr_.create_customer("ann").ok());
  EXPECT_EQ(limitr_.check(handle, 4)->value, 4);
  EXPECT_EQ(limitr_.allow(handle, 4)->value, 4) << "the new customer's meter";
  EXPECT_EQ(*limitr_.value("ann", "chat"), 4);
}

TEST_F(KeptState, AnswersOfEveryKindComeBack) {
  ASSERT_TRUE(limitr_.allow("ann", "chat", 4, {.request = "a decision"})->allowed);
  ASSERT_TRUE((*limitr_.reserve("ann", "chat", {.value = 1, .request = "an ID"})).has_value());
  ASSERT_TRUE(*limitr_.start_margin_measurement("ann", "m", {.request = "true"}));
  const ChangeOptions margin{.request = "a margin"};
  ASSERT_TRUE((*limitr_.capture_margin_measurement("ann", "m", margin)).has_value());
  EXPECT_EQ(Json::parse(exported())["requests"].size(), 4U);
  expect_comes_back();
}

// Goal: state that is larger than memory allows twice can be loaded.
TEST_F(KeptState, AStreamLoadsAsItsTextDoes) {
  const std::string text = exported();
  for (const std::ios_base::iostate throws : {std::ios_base::goodbit, std::ios_base::eofbit}) {
    Limitr restarted = open();
    std::istringstream in(text);
    if (throws != std::ios_base::goodbit) in.exceptions(throws | std::ios_base::badbit);
    const Result<LoadReport> report = restarted.load_customers(in);
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->loaded, 2U);
    EXPECT_TRUE(report->refused.empty());
    EXPECT_EQ(Json::parse(*restarted.export_state()), Json::parse(text));
  }
}

TEST_F(KeptState, AStreamThatFailsSaysSo) {
  // Gives what it has, and then no more.
  class Failing : public std::stringbuf {
  public:
    using std::stringbuf::stringbuf;

  protected:
    int_type underflow() override { throw std::runtime_error("the disk is gone"); }
  };
  // Behind the customers there is more than is read at once.
  const std::string records = exported();
  const std::string text = records.substr(0, records.size() - 1) + std::string(1 << 20U, ' ');
  for (const std::string& held : {std::string(), text}) {
    Limitr restarted = open();
    Failing buffer(held);
    std::istream in(&buffer);
    in.exceptions(held.empty() ? std::ios_base::goodbit : std::ios_base::badbit);
    const Result<LoadReport> report = restarted.load_customers(in);
    if (held.empty()) {
      ASSERT_FALSE(report.ok());
      EXPECT_EQ(report.error().code, ErrorCode::io_failed);
      continue;
    }
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->loaded, 2U);
    ASSERT_EQ(report->refused.size(), 1U);
    EXPECT_EQ(report->refused[0].id, "");
    EXPECT_EQ(report->refused[0].error.code, ErrorCode::io_failed);
  }
}

// Goal: a customer that nobody has is put in place as one that somebody has is.
TEST_F(KeptState, LoadingListsWhoeverIsNewAsItReplacesTheOthers) {
  ASSERT_TRUE(limitr_.set_alt_customer_id("ann", "anna").ok());
  const Result<LoadReport> report = limitr_.load_customers(
      R"([{"id":"anna"},{"id":"cid"},{"id":"bob","label":"B"},{"id":"dan","alt_ids":["bob"]},)"
      R"({"id":"eve","alt_ids":["evelyn"],"meters":{"gone":{"value":1},"chat":{"value":2}}},)"
      R"({"id":"evelyn"},{"id":"cid","label":"C"}])");
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->loaded, 4U);
  std::vector<std::string> refused;
  for (const LoadReport::Refused& one : report->refused) {
    EXPECT_EQ(one.error.code, ErrorCode::alias_taken);
    refused.push_back(one.id);
  }
  EXPECT_EQ(refused, (std::vector<std::string>{"anna", "dan", "evelyn"}));
  ASSERT_EQ(report->unmapped.size(), 1U);
  EXPECT_EQ(report->unmapped[0].entitlement, "gone");
  EXPECT_EQ((*limitr_.customer("cid"))->at("label"), "C");
  EXPECT_EQ((*limitr_.customer("bob"))->at("label"), "B");
  EXPECT_EQ((*limitr_.customer("evelyn"))->at("id"), "eve");
  expect_comes_back();
}

}  // namespace
}  // namespace limitr
