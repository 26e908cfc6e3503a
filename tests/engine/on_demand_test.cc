// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "base/test_seed.h"
#include "faulty_store.h"
#include "manual_clock.h"
#include "open/open_store.h"
#include "store/memory_store.h"

// Customers that are read when they are used, and let go of when others need their room.
// spec: state.md, Stores, On demand
namespace limitr {
namespace {

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: tok, value: 1000000 } }
        shared: { scope: org, limit: { credit: tok, value: 1000000 } }
)";

class OnDemand : public ::testing::Test {
protected:
  OnDemand() : name_(::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    keeper_ = store::memory_store(name_);
    open();
  }

  // As a process that begins: nothing is in memory.
  void open() {
    if (engine_) {
      ASSERT_TRUE(engine_->close().ok());
    }
    engine_.reset();
    Options options;
    options.clock = std::make_shared<ManualClock>(1'767'225'600'000);
    options.durability = durability_;
    options.max_loaded = max_loaded_;
    options.load_all = load_all_;
    options.log = [this](std::string_view message) {
      const std::lock_guard lock(log_mutex_);
      log_ += std::string(message) + "\n";
    };
    auto opened = open_with_store(
        policy, options, std::make_unique<FaultyStore>(store::memory_store(name_), faults_));
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    engine_.emplace(*std::move(opened));
    faults_->reads = faults_->scans = 0;
  }
  Limitr& engine() { return *engine_; }
  double value(const std::string& id, std::string_view entitlement = "chat") {
    const Read<double> value = engine().value(id, entitlement);
    EXPECT_TRUE(value.ok()) << value.error().to_string();
    return value.ok() ? value->value_or(-1) : -2;
  }

  const std::string name_;
  std::unique_ptr<store::Store> keeper_;  // keeps the memory while no engine has it
  std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  Durability durability_ = Durability::sync;
  std::size_t max_loaded_ = 0;
  bool load_all_ = false;
  std::mutex log_mutex_;
  std::string log_;
  std::optional<Limitr> engine_;
};

TEST_F(OnDemand, OpeningReadsNobodyAndUseReadsOnce) {
  for (const char* id : {"ann", "bob"}) ASSERT_TRUE(engine().create_customer(id).ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4));
  open();
  EXPECT_EQ(faults_->scans, 0);
  EXPECT_EQ(faults_->reads, 0);
  ASSERT_TRUE(*engine().allow("ann", "chat", 1));
  ASSERT_TRUE(*engine().allow("ann", "chat", 1));
  EXPECT_EQ(faults_->reads, 1);
  EXPECT_EQ(value("ann"), 6);
  load_all_ = true;
  open();
  EXPECT_EQ(value("ann"), 6);
  EXPECT_EQ(value("bob"), 0);
  EXPECT_EQ(engine().allow("cay", "chat", 1)->reason, Reason::unknown_customer);
  EXPECT_EQ(faults_->reads, 0) << "all were read at open";
}

TEST_F(OnDemand, EveryWayToACustomerLeadsThere) {
  ASSERT_TRUE(engine().create_customer("acme", {.type = "org"}).ok());
  ASSERT_TRUE(engine().create_customer("ann", {.refs = {{"acme"}}, .alts = {"a1", "a2"}}).ok());
  open();
  EXPECT_TRUE(*engine().allow("a1", "chat", 1)) << "by an alternate ID";
  open();
  EXPECT_TRUE(*engine().allow("ann", "shared", 3)) << "by a ref";
  EXPECT_EQ(value("acme", "shared"), 3);
  open();
  EXPECT_FALSE(*engine().ensure_customer("a2")) << "the ID is known";
  open();
  EXPECT_FALSE(*engine().set_alt_customer_id("acme", "a1")) << "it is another customer's";
  open();
  ASSERT_TRUE(engine().create_customer("bob", {.alts = {"a1", "b1"}}).ok());
  EXPECT_EQ(engine().customer("a1").value()->at("id"), "ann");
  EXPECT_EQ(engine().customer("b1").value()->at("id"), "bob");
  open();
  EXPECT_EQ(engine().set_customer(R"({"id":"cay","plan":"pro","alt_ids":["b1"]})").error().code,
            ErrorCode::alias_taken);
  open();
  EXPECT_EQ(engine().set_customer(R"({"id":"a1","plan":"pro"})").error().code,
            ErrorCode::alias_taken);
  open();
  EXPECT_TRUE(*engine().delete_customer("a2"));
  EXPECT_EQ(engine().allow("a1", "chat", 1)->reason, Reason::unknown_customer);
  open();
  EXPECT_EQ(engine().allow("a1", "chat", 1)->reason, Reason::unknown_customer);
}

// Goal: a cap that is shared counts for those who reach it, whether or not it is in memory.
TEST_F(OnDemand, ASharedCapCountsBeforeItsCustomerWasUsed) {
  ASSERT_TRUE(engine().create_customer("acme", {.type = "org"}).ok());
  ASSERT_TRUE(engine().create_customer("ann", {.refs = {{"acme"}}}).ok());
  ASSERT_TRUE(
      (*engine().add_customer_cap("acme", 5, {.cap = "all", .credit = "tok", .shared = true}))
          .has_value());
  open();
  EXPECT_TRUE(*engine().allow("ann", "chat", 5));
  EXPECT_EQ(engine().allow("ann", "chat", 1)->reason, Reason::cap);
}

TEST_F(OnDemand, WarmReadsManyAtOnceAndThoseTheyReach) {
  for (const char* id : {"acme", "umbrella"}) {
    ASSERT_TRUE(engine().create_customer(id, {.type = "org"}).ok());
  }
  std::vector<std::string> ids;
  for (int i = 0; i < 500; ++i) {
    ids.push_back("user" + std::to_string(i));
    ASSERT_TRUE(
        engine().create_customer(ids.back(), {.refs = {{i % 2 ? "acme" : "umbrella"}}}).ok());
  }
  open();
  ids.emplace_back("nobody");
  ASSERT_TRUE(engine().warm(ids).ok());
  EXPECT_EQ(faults_->reads, 2) << "the users, and then their orgs";
  for (const std::string& id : ids) {
    if (id == "nobody") continue;
    ASSERT_TRUE(*engine().allow(id, "shared", 1));
  }
  EXPECT_EQ(faults_->reads, 2);
  EXPECT_EQ(value("acme", "shared"), 250);
}

// Goal: what cannot be read is an error, never a customer that is unknown or made anew.
TEST_F(OnDemand, AStoreThatCannotBeReadIsAnErrorOfTheCall) {
  ASSERT_TRUE(engine().create_customer("acme", {.type = "org"}).ok());
  ASSERT_TRUE(engine().create_customer("ann", {.refs = {{"acme"}}, .alts = {"a1"}}).ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4));
  open();
  faults_->cannot_read = true;
  const auto unavailable = [](const auto& result) {
    return !result.ok() && result.error().code == ErrorCode::store_unavailable;
  };
  EXPECT_TRUE(unavailable(engine().allow("ann", "chat", 1)));
  EXPECT_TRUE(unavailable(engine().check("ann", "chat", 1)));
  EXPECT_TRUE(unavailable(engine().handle("ann", "chat")));
  EXPECT_TRUE(unavailable(engine().value("ann", "chat")));
  EXPECT_TRUE(unavailable(engine().limit("ann", "chat")));
  EXPECT_TRUE(unavailable(engine().entitlement("ann", "chat")));
  EXPECT_TRUE(unavailable(engine().plan("ann")));
  EXPECT_TRUE(unavailable(engine().reserve("ann", "chat", {.value = 1})));
  EXPECT_TRUE(unavailable(engine().settle("ann", "chat", "hold", 1)));
  EXPECT_TRUE(unavailable(engine().held("ann", "chat")));
  EXPECT_TRUE(unavailable(engine().estimate("ann", "chat")));
  EXPECT_TRUE(unavailable(engine().create_customer("ann")));
  EXPECT_TRUE(unavailable(engine().ensure_customer("ann")));
  EXPECT_TRUE(unavailable(engine().create_customer("new", {.alts = {"a1"}})));
  EXPECT_TRUE(unavailable(engine().set_customer(R"({"id":"ann","plan":"pro"})")));
  EXPECT_TRUE(unavailable(engine().set_alt_customer_id("ann", "a2")));
  EXPECT_TRUE(unavailable(engine().delete_alt_customer_id("a1")));
  EXPECT_TRUE(unavailable(engine().set_customer_plan("ann", "pro")));
  EXPECT_TRUE(unavailable(engine().delete_customer("ann")));
  EXPECT_TRUE(unavailable(engine().customer("ann")));
  EXPECT_TRUE(unavailable(engine().customers()));
  EXPECT_TRUE(unavailable(engine().add_customer_cap("ann", 5)));
  EXPECT_TRUE(unavailable(engine().warm(std::vector<std::string>{"ann"})));
  const Result<LoadReport> loaded = engine().load_customers(R"({"bob":{"id":"bob"}})");
  ASSERT_TRUE(loaded.ok());
  ASSERT_EQ(loaded->refused.size(), 1U);
  EXPECT_EQ(loaded->refused[0].error.code, ErrorCode::store_unavailable);
  faults_->cannot_read = false;
  EXPECT_EQ(value("a1"), 4);
  EXPECT_TRUE(*engine().allow("ann", "shared", 1));
}

// Goal: what a later group removes is gone at once, though the store has it still.
TEST_F(OnDemand, WhoIsOnTheWayOutDoesNotComeBack) {
  durability_ = Durability::manual;
  open();
  ASSERT_TRUE(engine().create_customer("ann", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4));
  open();
  ASSERT_TRUE(*engine().delete_customer("a1"));
  EXPECT_EQ(engine().allow("ann", "chat", 1)->reason, Reason::unknown_customer);
  EXPECT_EQ(engine().allow("a1", "chat", 1)->reason, Reason::unknown_customer);
  ASSERT_TRUE(engine().create_customer("bob", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(*engine().ensure_customer("ann"));
  EXPECT_EQ(value("ann"), 0);
  ASSERT_TRUE(*engine().delete_customer("ann"));
  ASSERT_TRUE(engine().flush().ok());
  EXPECT_EQ(engine().allow("ann", "chat", 1)->reason, Reason::unknown_customer);
  EXPECT_EQ(engine().customer("a1").value()->at("id"), "bob");
}

// Goal: a record that was read, and is older than what was written since, is not taken for the
// customer's, even when the customer has left memory again meanwhile.
TEST_F(OnDemand, WhatWasReadTooEarlyIsReadAgain) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4));
  max_loaded_ = 1;
  open();
  faults_->after_read = [&] {
    ASSERT_TRUE(*engine().allow("ann", "chat", 1));
    for (int i = 0; i < 5000; ++i) {
      ASSERT_TRUE(engine().create_customer("user" + std::to_string(i)).ok());
    }
  };
  EXPECT_EQ(engine().allow("ann", "chat", 1)->value, 6);
  open();
  faults_->after_read = [&] { ASSERT_TRUE(*engine().delete_customer("ann")); };
  EXPECT_EQ(engine().allow("ann", "chat", 1)->reason, Reason::unknown_customer);
  ASSERT_TRUE(engine().create_customer("bob").ok());
  open();
  faults_->after_read = [&] {
    // Nobody has the ID when it is asked for, and somebody when that is known.
    ASSERT_TRUE(engine().create_customer("cay", {.alts = {"c1"}}).ok());
    ASSERT_TRUE(*engine().allow("c1", "chat", 2));
    for (int i = 0; i < 5000; ++i) {
      ASSERT_TRUE(engine().create_customer("more" + std::to_string(i)).ok());
    }
  };
  EXPECT_FALSE(*engine().ensure_customer("c1"));
  EXPECT_EQ(value("cay"), 2);
}

TEST_F(OnDemand, WhatARefusedGroupRemovedIsThereAgain) {
  ASSERT_TRUE(engine().create_customer("ann", {.alts = {"a1"}}).ok());
  open();
  faults_->refuse = 1;
  EXPECT_FALSE(engine().delete_customer("ann").ok());
  while (!engine().flush().ok()) {
  }
  EXPECT_EQ(value("a1"), 0);
  faults_->refuse = 1;
  EXPECT_FALSE(engine().create_customer("bob", {.alts = {"b1"}}).ok());
  EXPECT_EQ(engine().allow("bob", "chat", 1)->reason, Reason::unknown_customer);
  EXPECT_EQ(engine().allow("b1", "chat", 1)->reason, Reason::unknown_customer);
}

TEST_F(OnDemand, AHandleLeadsToACustomerThatWasLetGo) {
  max_loaded_ = 1;
  open();
  ASSERT_TRUE(engine().create_customer("ann").ok());
  const Handle handle = **engine().handle("ann", "chat");
  ASSERT_TRUE(*engine().allow(handle, 1));
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(engine().create_customer("user" + std::to_string(i)).ok());
  }
  EXPECT_TRUE(*engine().allow(handle, 1));
  EXPECT_EQ(value("ann"), 2);
}

TEST_F(OnDemand, AFamilyLargerThanTheBoundIsStillReadAsAWhole) {
  constexpr int members = 3000;
  NewCustomer caller{.refs = {{"acme"}}};
  ASSERT_TRUE(engine().create_customer("acme", {.type = "org"}).ok());
  for (int i = 0; i < members; ++i) {
    caller.refs->push_back("m" + std::to_string(i));
    ASSERT_TRUE(engine().create_customer(caller.refs->back()).ok());
  }
  ASSERT_TRUE(engine().create_customer("ann", caller).ok());
  max_loaded_ = 1;
  open();
  EXPECT_TRUE(*engine().allow("ann", "shared", 1));
  EXPECT_EQ(value("acme", "shared"), 1);
}

// Goal: with far fewer customers in memory than there are, every call that was answered counts,
// once, whatever is read, let go of, deleted and made anew at the same time.
TEST_F(OnDemand, ThreadsLoseNothingThroughReadingAndLettingGo) {
  constexpr int customers = 4000;
  constexpr int threads = 4;
  constexpr int calls = 6000;
  max_loaded_ = 512;
  for (const Durability durability : {Durability::sync, Durability::interval}) {
    durability_ = durability;
    open();
    ASSERT_TRUE(engine().load_customers("{}").ok());
    for (int i = 0; i < customers; ++i) {
      const std::string id = std::to_string(i);
      ASSERT_TRUE(engine()
                      .set_customer(R"({"id":")" + id + R"(","plan":"pro","alt_ids":["a)" + id +
                                    R"("],"meters":{}})")
                      .ok());
    }
    ASSERT_TRUE(engine().flush().ok());
    const auto seed = static_cast<unsigned>(printed_seed());
    std::vector<std::atomic<int>> counted(customers);
    std::vector<std::thread> callers;
    for (int t = 0; t < threads; ++t) {
      callers.emplace_back([&, t] {
        std::minstd_rand random(seed + static_cast<unsigned>(t));
        for (int i = 0; i < calls; ++i) {
          const auto who = random() % customers;
          const std::string id = (random() % 2 ? "a" : "") + std::to_string(who);
          const auto decision = engine().allow(id, "chat", 1);
          ASSERT_TRUE(decision.ok() && decision->allowed) << id;
          ++counted[who];
          // One thread deletes customers of its own, and makes them anew.
          if (t != 0 || i % 3 != 0) continue;
          const std::string own = "own" + std::to_string(random() % 50);
          if (*engine().ensure_customer(own)) {
            EXPECT_EQ(engine().allow(own, "chat", 1)->value, 1) << "it begins anew";
          } else {
            EXPECT_TRUE(*engine().delete_customer(own));
          }
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    const Json records = Json::parse(*engine().customers());
    for (int i = 0; i < customers; ++i) {
      const Json& meters = records.at(std::to_string(i)).at("meters");
      const double kept = meters.empty() ? 0 : meters.at("chat").at("value").get<double>();
      EXPECT_EQ(kept, counted[static_cast<std::size_t>(i)]) << i;
    }
    EXPECT_GT(faults_->reads, threads * calls / 4) << "most were not in memory";
  }
}

}  // namespace
}  // namespace limitr
