// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "base/test_seed.h"
#include "engine/engine.h"
#include "faulty_store.h"
#include "manual_clock.h"
#include "open/open_store.h"
#include "store/memory_store.h"

// Engines that share a store: each call is decided on what all of them have done.
// spec: state.md, Stores, Shared
namespace limitr {
namespace {

using ::testing::HasSubstr;

std::string policy_of(int limit) {
  return R"(
policy:
  credits: { tok: { price: { amount: 1 }, overhead_fn: ask } }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: tok, value: )" +
         std::to_string(limit) + R"( } }
        shared: { scope: org, limit: { credit: tok, value: )" +
         std::to_string(limit) + R"( } }
)";
}

class Shared : public ::testing::Test {
protected:
  Shared() : name_(::testing::UnitTest::GetInstance()->current_test_info()->name()) {}

  // One more engine on the store.
  Limitr open(int limit = 10) {
    Options options;
    options.clock = clock_;
    options.shared = true;
    options.store_timeout = timeout_;
    options.max_unwritten = max_unwritten_;
    options.max_loaded = max_loaded_;
    options.host = host_;
    options.log = [this](std::string_view message) {
      const std::lock_guard lock(log_mutex_);
      log_ += std::string(message) + "\n";
    };
    auto opened =
        open_with_store(policy_of(limit), options,
                        std::make_unique<FaultyStore>(store::memory_store(name_), faults_));
    if (!opened.ok()) throw std::runtime_error(opened.error().to_string());
    return *std::move(opened);
  }
  static double value(Limitr& engine, std::string_view id, std::string_view entitlement = "chat") {
    const Read<double> value = engine.value(id, entitlement);
    EXPECT_TRUE(value.ok()) << value.error().to_string();
    return value.ok() ? value->value_or(-1) : -2;
  }

  const std::string name_;
  std::unique_ptr<store::Store> keeper_ = store::memory_store(name_);
  std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(1'767'225'600'000);
  Millis timeout_{5000};
  std::size_t max_unwritten_ = 100'000;
  std::size_t max_loaded_ = 0;
  HostFunctions host_;
  std::mutex log_mutex_;
  std::string log_;
};

TEST_F(Shared, EachSeesWhatTheOthersDid) {
  Limitr one = open();
  Limitr two = open();
  EXPECT_TRUE(*one.ensure_customer("ann", {.alts = {"a1"}}));
  EXPECT_FALSE(*two.ensure_customer("ann"));
  EXPECT_FALSE(*two.ensure_customer("a1"));
  EXPECT_TRUE(*one.allow("ann", "chat", 4));
  EXPECT_TRUE(*two.allow("a1", "chat", 4));
  EXPECT_EQ(one.allow("ann", "chat", 4)->reason, Reason::limit);
  EXPECT_TRUE(*one.check("ann", "chat", 2));
  EXPECT_EQ(value(two, "ann"), 8);
  EXPECT_TRUE(*two.set("ann", "chat", 1));
  EXPECT_TRUE(*one.allow("ann", "chat", 4)) << "there is room again";
  const std::string hold = one.reserve("ann", "chat", {.value = 5})->value();
  EXPECT_FALSE(*two.allow("ann", "chat", 1));
  EXPECT_TRUE(*two.settle("ann", "chat", hold, 2));
  EXPECT_EQ(value(one, "ann"), 7);
  EXPECT_EQ(*one.customers(), *two.customers());
}

TEST_F(Shared, CustomersComeAndGoForAll) {
  Limitr one = open();
  Limitr two = open();
  ASSERT_TRUE(one.create_customer("ann", {.alts = {"a1"}}).ok());
  const Handle handle = **two.handle("ann", "chat");
  EXPECT_TRUE(*two.allow(handle, 3));
  EXPECT_TRUE(*one.delete_customer("ann"));
  EXPECT_EQ(two.allow(handle, 1)->reason, Reason::unknown_customer);
  EXPECT_EQ(two.allow("a1", "chat", 1)->reason, Reason::unknown_customer);
  ASSERT_TRUE(two.create_customer("bob", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(two.create_customer("ann").ok());
  EXPECT_TRUE(*one.allow(handle, 1));
  EXPECT_EQ(value(one, "ann"), 1) << "it is another one of its ID";
  EXPECT_EQ(one.customer("a1").value()->at("id"), "bob");
  EXPECT_FALSE(*one.set_alt_customer_id("ann", "a1"));
  EXPECT_TRUE(*one.delete_alt_customer_id("a1"));
  EXPECT_TRUE(*two.set_alt_customer_id("ann", "a1"));
  EXPECT_EQ(one.customer("a1").value()->at("id"), "ann");
}

// Goal: what one engine has in memory of an ID never keeps its calls from whom that ID leads to
// now.
TEST_F(Shared, AnIdBecomesAnotherCustomersForAll) {
  timeout_ = Millis(200);  // Until calls that are run again and again give up.
  Limitr one = open();
  Limitr two = open();
  ASSERT_TRUE(one.create_customer("ann", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(*two.delete_customer("ann"));
  ASSERT_TRUE(two.create_customer("bob", {.alts = {"ann", "b1"}}).ok());
  EXPECT_TRUE(*one.allow("ann", "chat", 3)) << "bob's alternate ID, once a customer's own";
  ASSERT_TRUE(two.create_customer("cay").ok());
  ASSERT_TRUE(*two.delete_alt_customer_id("b1"));
  ASSERT_TRUE(*two.set_alt_customer_id("cay", "b1"));
  EXPECT_EQ(value(one, "cay"), 0) << "who has taken what memory knows as bob's";
  EXPECT_TRUE(*one.allow("b1", "chat", 4));
  EXPECT_EQ(value(one, "bob"), 3);
  EXPECT_EQ(value(one, "b1"), 4);
  EXPECT_EQ(value(two, "cay"), 4);
}

// Goal: a customer that a call was too late for is in memory once, by however many IDs it is given.
TEST_F(Shared, ACustomerThatTwoIdsLeadToIsTakenOverOnce) {
  timeout_ = Millis(200);
  max_loaded_ = 1;
  std::string near_ann = "cay";  // Both are in one shard, and have to make room for others there.
  for (int i = 0; engine::Engine::shard_of(near_ann) != engine::Engine::shard_of("ann"); ++i) {
    near_ann = "cay" + std::to_string(i);
  }
  Limitr one = open();
  Limitr two = open();
  ASSERT_TRUE(one.create_customer("ann", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(one.create_customer(near_ann, {.alts = {"c1"}}).ok());
  ASSERT_EQ(value(two, "ann"), 0);
  ASSERT_TRUE(*one.set_alt_customer_id("ann", "a2"));
  EXPECT_TRUE(two.create_customer("a1", {.alts = {"c1", "a2"}}).ok()) << "it is there";
}

// Goal: a load may give one customer what another gives up in it.
TEST_F(Shared, ALoadMovesAlternateIds) {
  timeout_ = Millis(200);
  Limitr one = open();
  ASSERT_TRUE(one.create_customer("ann", {.alts = {"a1", "zoe"}}).ok());
  const auto load = [&](std::string_view records) {
    const Result<LoadReport> report = one.load_customers(records);
    return report.ok() ? report->loaded : 0;
  };
  EXPECT_EQ(load(R"([{"id":"ann","alt_ids":["zoe"]},{"id":"bob","alt_ids":["a1"]}])"), 2U);
  EXPECT_EQ(one.customer("a1").value()->at("id"), "bob");
  EXPECT_EQ(load(R"([{"id":"ann"},{"id":"zoe"},{"id":"cay","alt_ids":["c1"]}])"), 3U);
  EXPECT_EQ(one.customer("zoe").value()->at("id"), "zoe") << "a customer of its own";
  Limitr two = open();
  EXPECT_EQ(two.customer("a1").value()->at("id"), "bob");
  EXPECT_EQ(two.customer("zoe").value()->at("id"), "zoe");
}

TEST_F(Shared, CallsThatRunAsOneMayMoveAnAlternateIdAndNotMakeACustomerOfIt) {
  timeout_ = Millis(200);
  Limitr one = open();
  ASSERT_TRUE(one.create_customer("ann", {.alts = {"a1", "a2"}}).ok());
  ASSERT_TRUE(one.create_customer("bob").ok());
  const auto run = [&](const std::function<void()>& calls) {
    std::promise<Result<void>> ended;
    one.run_async(calls, [&](Result<void> how) { ended.set_value(std::move(how)); });
    return ended.get_future().get();
  };
  EXPECT_TRUE(run([&] {
                EXPECT_TRUE(*one.delete_alt_customer_id("a1"));
                EXPECT_TRUE(*one.set_alt_customer_id("bob", "a1"));
              }).ok());
  EXPECT_EQ(one.customer("a1").value()->at("id"), "bob");
  const Result<void> refused = run([&] {
    EXPECT_TRUE(*one.delete_alt_customer_id("a2"));
    EXPECT_TRUE(one.create_customer("a2").ok());
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(one.customer("a2").value()->at("id"), "ann") << "nothing has changed";
}

TEST_F(Shared, ARequestCountsOnceOverAllEngines) {
  Limitr one = open();
  Limitr two = open();
  ASSERT_TRUE(one.create_customer("ann").ok());
  EXPECT_TRUE(*one.allow("ann", "chat", 4, {.request = "r"}));
  EXPECT_TRUE(two.allow("ann", "chat", 4, {.request = "r"})->repeated);
  EXPECT_EQ(value(two, "ann"), 4);
  EXPECT_EQ(two.allow("ann", "chat", 5, {.request = "r"}).error().code,
            ErrorCode::request_mismatch);
}

TEST_F(Shared, EventsAreSentOnceHoweverOftenACallIsRun) {
  Limitr one = open(1'000'000);
  Limitr two = open(1'000'000);
  ASSERT_TRUE(one.create_customer("ann").ok());
  std::atomic<int> events{0};
  for (Limitr* engine : {&one, &two}) {
    engine->add_handler("count", [&](const Event& event) {
      if (event.type == "meter-changed") ++events;
    });
  }
  std::vector<std::thread> threads;
  for (Limitr* engine : {&one, &two}) {
    threads.emplace_back([engine] {
      for (int i = 0; i < 500; ++i) EXPECT_TRUE(*engine->allow("ann", "chat", 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(events, 1000);
  EXPECT_EQ(value(one, "ann"), 1000);
}

TEST_F(Shared, ACallWithinACallIsAPartOfIt) {
  Limitr* inner = nullptr;
  host_.overhead["ask"] = [&](double, const Json&) { return value(*inner, "ann"); };
  Limitr one = open();
  inner = &one;
  ASSERT_TRUE(one.create_customer("ann").ok());
  EXPECT_TRUE(*one.allow("ann", "chat", 1));
}

// Goal: whatever a host function or a handler calls is served, or refused by name; none waits for
// itself.
TEST_F(Shared, HostFunctionsAndHandlersMayCallAnything) {
  Limitr* inner = nullptr;
  std::optional<Error> refused;
  int events = 0;
  const auto call_all = [&] {
    EXPECT_TRUE(inner->flush().ok());
    EXPECT_TRUE(inner->customers().ok());
    EXPECT_TRUE(inner->export_state().ok());
    EXPECT_TRUE(inner->fsck().ok());
    EXPECT_TRUE(inner->warm(std::vector<std::string>{"bob"}).ok());
    EXPECT_TRUE(inner->load_customers(R"({"bob":{"id":"bob"}})").ok());
  };
  host_.overhead["ask"] = [&](double, const Json&) {
    call_all();
    if (auto closed = inner->close(); !closed.ok()) refused = closed.error();
    return 0;
  };
  Limitr one = open();
  inner = &one;
  ASSERT_TRUE(one.create_customer("ann").ok());
  one.add_handler("all", [&](const Event&) {
    if (++events == 1) call_all();
  });
  EXPECT_TRUE(*one.allow("ann", "chat", 1));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, ErrorCode::invalid_argument);
  EXPECT_GT(events, 0);
  one.add_handler("all", [&](const Event&) { EXPECT_TRUE(inner->close().ok()); });
  EXPECT_TRUE(*one.allow("ann", "chat", 1));
  EXPECT_FALSE(one.allow("ann", "chat", 1).ok()) << "it is closed";
}

TEST_F(Shared, AHostFunctionThatPutsAnotherInACustomersPlaceEndsItsCall) {
  Limitr* inner = nullptr;
  int asked = 0;
  host_.overhead["ask"] = [&](double, const Json&) {
    if (++asked < 1000) {  // Then the test has failed.
      EXPECT_TRUE(*inner->delete_customer("bob"));
      EXPECT_TRUE(inner->create_customer("bob").ok());
    }
    return 0;
  };
  Limitr one = open();
  inner = &one;
  ASSERT_TRUE(one.create_customer("ann").ok());
  ASSERT_TRUE(one.create_customer("bob", {.alts = {"b1"}}).ok());
  const Result<Decision> ended = one.allow("ann", "chat", 1);
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code, ErrorCode::invalid_argument);
  asked = 1000;
  EXPECT_EQ(value(one, "ann"), 0);
  EXPECT_EQ(one.customer("b1").value()->at("id"), "bob") << "nothing has changed";
}

TEST_F(Shared, ABatchAndASnapshot) {
  Limitr one = open();
  Limitr two = open();
  const Result<LoadReport> report = one.load_customers(
      R"({"ann":{"id":"ann","plan":"pro","alt_ids":["a1"],"meters":{"chat":{"value":3}}},
          "bob":{"id":"bob","plan":"pro"},"cay":{"id":"cay","alt_ids":["a1"]}})");
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->loaded, 2U);
  ASSERT_EQ(report->refused.size(), 1U);
  EXPECT_EQ(report->refused[0].error.code, ErrorCode::alias_taken);
  const std::vector<Call> calls = {{.customer = "a1", .entitlement = "chat", .value = 4},
                                   {.customer = "bob", .entitlement = "chat", .value = 11},
                                   {.customer = "ann", .entitlement = "chat", .value = 4}};
  const auto decisions = two.allow_many(calls);
  ASSERT_EQ(decisions.size(), 3U);
  EXPECT_TRUE(decisions[0]->allowed);
  EXPECT_FALSE(decisions[1]->allowed);
  EXPECT_FALSE(decisions[2]->allowed);
  EXPECT_EQ(value(one, "ann"), 7);
  faults_->refuse = 1;
  for (const auto& failed : two.allow_many(calls)) {
    EXPECT_EQ(failed.error().code, ErrorCode::store_unavailable);
  }
}

// Goal: whoever changes what, a limit of N lets exactly N through, in all engines together.
TEST_F(Shared, LimitsOfOneAndOfManyAreMetExactly) {
  constexpr int limit = 600;
  constexpr int engines = 3;
  constexpr int threads_each = 3;
  Limitr first = open(limit);
  ASSERT_TRUE(first.create_customer("acme", {.type = "org"}).ok());
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(first.create_customer(std::to_string(i), {.refs = {{"acme"}}}).ok());
  }
  ASSERT_TRUE(
      (*first.add_customer_cap("acme", limit / 2,
                               {.cap = "all", .credit = "tok", .shared = true, .scope = {"chat"}}))
          .has_value());
  std::vector<Limitr> others;
  for (int i = 0; i < engines; ++i) others.push_back(open(limit));
  std::atomic<int> allowed{0};
  std::atomic<int> capped{0};
  std::vector<std::thread> callers;
  for (Limitr& engine : others) {
    for (int t = 0; t < threads_each; ++t) {
      callers.emplace_back([&engine, &allowed, &capped, t] {
        for (int i = 0; i < limit / 3; ++i) {
          const std::string id = std::to_string((i + t) % 5);
          if (*engine.allow(id, "shared", 1)) ++allowed;
          if (*engine.allow(id, "chat", 1)) ++capped;
        }
      });
    }
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(allowed, limit);
  EXPECT_EQ(value(first, "acme", "shared"), limit);
  EXPECT_EQ(capped, limit / 2);
}

// Goal: a call that others are always faster than ends, and has changed nothing.
TEST_F(Shared, ACallWhoseCustomerKeepsChangingIsGivenUpInTime) {
  constexpr int changes = 5000;  // Then the test has failed.
  timeout_ = Millis(20);
  Limitr one = open(1'000'000);
  ASSERT_TRUE(one.create_customer("ann").ok());
  const auto faults_of_one = std::exchange(faults_, std::make_shared<Faults>());
  Limitr two = open(1'000'000);
  int changed = 0;
  faults_of_one->before_exchange = [&](std::size_t) {
    if (changed < changes && *two.allow("ann", "chat", 1)) ++changed;
  };
  const Result<Decision> given_up = one.allow("ann", "chat", 1000);
  faults_of_one->before_exchange = nullptr;
  ASSERT_FALSE(given_up.ok());
  EXPECT_EQ(given_up.error().code, ErrorCode::store_unavailable);
  EXPECT_THAT(given_up.error().message, HasSubstr("kept changing"));
  EXPECT_GE(changed, 2) << "it is tried more than once";
  EXPECT_EQ(value(one, "ann"), changed);
}

// Goal: whoever's round is over is not kept waiting by those who must try again.
TEST_F(Shared, ThoseThatStandAreAnsweredBeforeTheOthersRunAgain) {
  Limitr one = open();
  ASSERT_TRUE(one.create_customer("ann").ok());
  ASSERT_TRUE(one.create_customer("bob").ok());
  const auto faults_of_one = std::exchange(faults_, std::make_shared<Faults>());
  Limitr two = open();
  std::promise<void> bob_is_answered;
  std::future<Result<Decision>> ann;
  bool is_in_time = false;
  int exchanges = 0;
  faults_of_one->before_exchange = [&](std::size_t transactions) {
    switch (++exchanges) {
      case 1:
        ann = one.allow_async({.customer = "ann", .entitlement = "chat", .value = 1});
        one.allow_async({.customer = "bob", .entitlement = "chat", .value = 1},
                        [&](const Result<Decision>&) { bob_is_answered.set_value(); });
        break;
      case 2:
        EXPECT_EQ(transactions, 2U);
        EXPECT_TRUE(*two.allow("ann", "chat", 1));
        break;
      default:
        is_in_time = bob_is_answered.get_future().wait_for(std::chrono::seconds(5)) ==
                     std::future_status::ready;
        faults_of_one->before_exchange = nullptr;
    }
  };
  EXPECT_TRUE(*one.allow("ann", "chat", 1));
  EXPECT_EQ(ann.get()->value, 3);
  EXPECT_TRUE(is_in_time);
}

TEST_F(Shared, OneOfTwoThatCreateACustomerIsTold) {
  Limitr one = open();
  Limitr two = open();
  for (int i = 0; i < 200; ++i) {
    const std::string id = "c" + std::to_string(i);
    std::atomic<int> created{0};
    std::thread other([&] { created += *two.ensure_customer(id, {.alts = {id + "x"}}); });
    created += *one.ensure_customer(id, {.alts = {id + "x"}});
    other.join();
    EXPECT_EQ(created, 1) << id;
  }
}

TEST_F(Shared, DeletingAndCreatingInOneRoundIsBoth) {
  Limitr one = open();
  std::vector<std::thread> callers;
  std::atomic<int> created{0};
  std::atomic<int> deleted{0};
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        created += *one.ensure_customer("ann");
        deleted += *one.delete_customer("ann");
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(created, deleted);
  EXPECT_EQ(value(one, "ann"), -1);
}

// Goal: a store that takes nothing changes nothing; one whose answer was lost has counted once.
TEST_F(Shared, AStoreThatFailsLeavesNothingHalfDone) {
  Limitr one = open();
  Limitr two = open();
  ASSERT_TRUE(one.create_customer("ann", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(*one.allow("ann", "chat", 1));
  faults_->refuse = 1;
  EXPECT_EQ(one.allow("ann", "chat", 1).error().code, ErrorCode::store_unavailable);
  while (!one.flush().ok()) {
  }
  EXPECT_EQ(value(one, "ann"), 1);
  faults_->lose_answer = 1;
  EXPECT_TRUE(*one.allow("ann", "chat", 1)) << "the store knows that it has taken it";
  EXPECT_EQ(value(two, "ann"), 2);
  faults_->lose_question = 1;
  EXPECT_TRUE(*one.allow("ann", "chat", 1)) << "it is asked again";
  EXPECT_EQ(value(two, "ann"), 3);
  faults_->gone = true;
  EXPECT_FALSE(one.delete_customer("ann").ok());
  EXPECT_FALSE(one.create_customer("bob", {.alts = {"b1"}}).ok());
  EXPECT_FALSE(one.value("ann", "chat").ok()) << "nothing is answered from what may be old";
  faults_->gone = false;
  while (!one.flush().ok()) {
  }
  EXPECT_EQ(value(one, "a1"), 3);
  EXPECT_EQ(value(one, "bob"), -1);
}

TEST_F(Shared, TheSameRequestTellsWhatCameOfAnUnknownOutcome) {
  timeout_ = Millis(0);
  faults_->goes_when_lost = true;
  for (const bool is_written : {true, false}) {
    SCOPED_TRACE(is_written);
    Limitr one = open();
    const std::string id = is_written ? "ann" : "bob";
    ASSERT_TRUE(one.create_customer(id).ok());
    (is_written ? faults_->lose_answer : faults_->lose_question) = 1;
    const Result<Decision> unknown = one.allow(id, "chat", 4, {.request = "r"});
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().code, ErrorCode::outcome_unknown);
    faults_->gone = false;
    Result<Decision> again = unknown;
    while (!again.ok()) again = one.allow(id, "chat", 4, {.request = "r"});
    EXPECT_EQ(again->repeated, is_written);
    EXPECT_EQ(value(one, id), 4);
  }
}

TEST_F(Shared, CallsThatNobodyWaitsForShareRoundTrips) {
  constexpr int customers = 100;
  Limitr one = open();
  for (int i = 0; i < customers; ++i) {
    ASSERT_TRUE(one.create_customer(std::to_string(i)).ok());
  }
  faults_->commits = 0;
  faults_->holds = true;
  std::atomic<int> allowed{0};
  for (int i = 0; i < customers * 20; ++i) {
    const std::string id = std::to_string(i % customers);
    one.allow_async({.customer = id, .entitlement = "chat", .value = 1},
                    [&](const Result<Decision>& decision) { allowed += decision->allowed; });
  }
  faults_->holds = false;
  ASSERT_TRUE(one.close().ok());
  EXPECT_EQ(allowed, customers * 10);
  EXPECT_LT(faults_->commits, 10);
}

TEST_F(Shared, CallsThatNobodyWaitsForAreBoundWhileTheStoreStalls) {
  max_unwritten_ = 10;
  Limitr one = open(1000);
  ASSERT_TRUE(one.create_customer("ann").ok());
  faults_->holds = true;
  std::atomic<int> allowed{0};
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    one.allow_async({.customer = "ann", .entitlement = "chat", .value = 1},
                    [&](const Result<Decision>& decision) {
                      if (decision.ok()) {
                        ++allowed;
                      } else {
                        ++refused;
                      }
                    });
  }
  EXPECT_EQ(refused, 40 - 10);
  faults_->holds = false;
  ASSERT_TRUE(one.close().ok());
  EXPECT_EQ(allowed, 10);
}

TEST_F(Shared, AHandlerMayCloseTheEngineWhileCallsAreOnTheirWay) {
  Limitr one = open();
  ASSERT_TRUE(one.create_customer("ann").ok());
  std::future<Result<Decision>> later;
  one.add_handler("close", [&](const Event&) {
    if (later.valid()) return;
    later = one.allow_async({.customer = "ann", .entitlement = "chat", .value = 1});
    EXPECT_TRUE(one.close().ok());
  });
  EXPECT_TRUE(*one.allow("ann", "chat", 1));
  const Result<Decision> answer = later.get();
  Limitr two = open();
  EXPECT_EQ(value(two, "ann"), answer.ok() ? 2 : 1);
}

TEST_F(Shared, CallsThatNobodyWaitsForAreAnsweredBeforeTheEngineIsGone) {
  constexpr int calls = 1000;
  std::atomic<int> allowed{0};
  {
    Limitr one = open(calls);
    ASSERT_TRUE(one.create_customer("ann").ok());
    for (int i = 0; i < calls; ++i) {
      one.allow_async(
          {.customer = "ann", .entitlement = "chat", .value = 1},
          [&](const Result<Decision>& decision) { allowed += decision.ok() && decision->allowed; });
    }
  }
  EXPECT_EQ(allowed, calls);
}

TEST_F(Shared, ACallThatEndsInDamageSendsNoEvents) {
  Limitr one = open();
  Limitr two = open();
  ASSERT_TRUE(one.create_customer("ann").ok());
  ASSERT_TRUE(*two.allow("ann", "chat", 1));
  ASSERT_TRUE(*one.allow("ann", "chat", 1));
  int events = 0;
  two.add_handler("count", [&](const Event&) { ++events; });
  faults_->damages = true;
  EXPECT_FALSE(two.allow("ann", "chat", 1).ok());
  EXPECT_EQ(events, 0);
}

TEST_F(Shared, AnOwnerAndSharersKeepOut) {
  Limitr one = open();
  Options own;
  own.log = [](std::string_view) {};
  const auto owner = open_with_store(policy_of(10), own, store::memory_store(name_));
  ASSERT_FALSE(owner.ok());
  EXPECT_EQ(owner.error().code, ErrorCode::store_owned);
  EXPECT_THAT(owner.error().message, HasSubstr("shared"));
  ASSERT_TRUE(one.close().ok());
  EXPECT_FALSE(one.create_customer("ann").ok()) << "a closed engine changes nothing";
}

// Goal: under every fault at once, all that was answered is there, once.
TEST_F(Shared, EnginesUnderFaultsLoseNothingAndCountOnce) {
  constexpr int customers = 5;
  constexpr int engines = 3;
  Limitr first = open(1'000'000);
  for (int i = 0; i < customers; ++i) {
    ASSERT_TRUE(first.create_customer(std::to_string(i)).ok());
  }
  const auto seed = static_cast<unsigned>(printed_seed());
  std::vector<Limitr> others;
  for (int i = 0; i < engines; ++i) others.push_back(open(1'000'000));
  std::atomic<int> counted{0};
  std::atomic<int> working{engines * 2};
  std::vector<std::thread> callers;
  for (int t = 0; t < engines * 2; ++t) {
    callers.emplace_back([&, t] {
      Limitr& engine = others[static_cast<std::size_t>(t % engines)];
      std::minstd_rand random(seed + static_cast<unsigned>(t));
      for (int i = 0; i < 300; ++i) {
        const std::string id = std::to_string(random() % customers);
        const std::string request = std::to_string(t) + "/" + std::to_string(i);
        // Until it is answered, as those do who must know.
        Result<Decision> decision = engine.allow(id, "chat", 1, {.request = request});
        while (!decision.ok()) decision = engine.allow(id, "chat", 1, {.request = request});
        ++counted;
      }
      --working;
    });
  }
  std::thread breaking([&] {
    std::minstd_rand random(seed);
    for (int next = 0; working > 0; next = faults_->commits + 1 + static_cast<int>(random() % 8)) {
      while (working > 0 && faults_->commits < next) std::this_thread::yield();
      switch (random() % 3) {
        case 0: faults_->refuse = 1; break;
        case 1: faults_->lose_answer = 1; break;
        default: faults_->lose_question = 1; break;
      }
    }
  });
  for (std::thread& caller : callers) caller.join();
  breaking.join();
  faults_->refuse = faults_->lose_answer = faults_->lose_question = 0;
  Limitr last = open(1'000'000);
  double sum = 0;
  for (int i = 0; i < customers; ++i) sum += value(last, std::to_string(i));
  EXPECT_EQ(sum, counted);
}

}  // namespace
}  // namespace limitr
