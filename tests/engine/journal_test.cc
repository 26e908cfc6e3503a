// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "base/test_seed.h"
#include "engine/slot.h"
#include "faulty_store.h"
#include "manual_clock.h"
#include "open/open_store.h"
#include "store/memory_store.h"

// What an engine keeps in its store, and what it does when the store fails. spec: state.md, Stores
namespace limitr {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t start_ms = 1'767'225'600'000;  // 2026-01-01

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } }, priced: { overhead_fn: ask }, gold: {} }
  plans:
    pro:
      default: true
      entitlements:
        chat: { limit: { credit: tok, value: 10 } }
        asked: { limit: { credit: priced, value: 10 } }
        soft: { limit: { credit: tok, value: 10, mode: soft } }
        shared: { scope: org, limit: { credit: tok, value: 100 } }
      topups: { extra: { credit: tok, value: 5 } }
)";

class JournalTest : public ::testing::Test {
protected:
  JournalTest() : name_(::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    keeper_ = store::memory_store(name_);
    open();
  }

  Options options() {
    Options options;
    options.clock = clock_;
    options.durability = durability_;
    options.load_all = load_all_;
    options.host = host_;
    options.write_interval = interval_;
    options.max_unwritten = max_unwritten_;
    options.store_timeout = timeout_;
    options.log = [this](std::string_view message) {
      const std::lock_guard lock(log_mutex_);
      log_ += std::string(message) + "\n";
    };
    return options;
  }
  void open() {
    engine_.reset();
    auto opened = open_with_store(
        policy, options(), std::make_unique<FaultyStore>(store::memory_store(name_), faults_));
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    engine_.emplace(*std::move(opened));
  }
  // Throws the engine away with all that it has not written, as a crash does.
  void crash() {
    faults_->gone = true;
    engine_.reset();
    faults_->gone = false;
    open();
  }
  Limitr& engine() { return *engine_; }
  std::string log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }
  // Whether a call is answered that comes while the store is about to refuse the group of `change`.
  template <typename Change, typename Ask>
  bool is_answered_too_early(const Change& change, const Ask& ask) {
    std::future<void> asked;
    bool is_early = false;
    faults_->before_commit = [&] {
      asked = std::async(std::launch::async, [&] { (void)ask(); });
      // Enough for one that does not wait.
      is_early = asked.wait_for(std::chrono::milliseconds(50)) == std::future_status::ready;
    };
    faults_->refuse = 1;
    EXPECT_FALSE(change().ok());
    asked.wait();
    while (!engine().flush().ok()) {
    }
    return is_early;
  }
  double value(std::string_view id, std::string_view entitlement = "chat") {
    const Read<double> value = engine().value(id, entitlement);
    EXPECT_TRUE(value.ok()) << value.error().to_string();
    return value.ok() ? value->value_or(-1) : -2;
  }

  std::uint64_t last_group() {
    const auto reader = store::memory_store(name_);
    return reader->open(store::Access::read, {})->last_group;
  }

  // The whole state, with the requests in the order of their customers and IDs.
  Json exported() {
    Json state = Json::parse(*engine().export_state());
    std::sort(state["requests"].begin(), state["requests"].end());
    return state;
  }

  std::string name_;
  std::unique_ptr<store::Store> keeper_;  // keeps the memory while no engine has it
  std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(start_ms);
  Durability durability_ = Durability::sync;
  bool load_all_ = false;
  HostFunctions host_;
  Millis interval_{100};
  std::size_t max_unwritten_ = 100'000;
  Millis timeout_{0};
  std::mutex log_mutex_;
  std::string log_;
  std::optional<Limitr> engine_;
};

// Goal: a customer that waits to be written is never taken for one that does not, whatever the
// number of its group.
TEST(GroupMark, NoGroupLooksLikeNone) {
  using engine::mark_of;
  using engine::marked_group;
  for (const int power : {0, 16, 30, 31, 32, 33, 40, 63}) {
    const std::uint64_t around = std::uint64_t{1} << static_cast<unsigned>(power);
    for (std::uint64_t group = around - std::min<std::uint64_t>(around, 3); group < around + 3;
         ++group) {
      SCOPED_TRACE(group);
      EXPECT_NE(mark_of(group), 0U);
      EXPECT_NE(mark_of(group), mark_of(group + 1));
      for (std::uint64_t later = 0; later < 4; ++later) {
        EXPECT_EQ(marked_group(mark_of(group), group + later), group);
      }
    }
  }
}

TEST_F(JournalTest, WhatWasAnsweredIsThereAfterACrash) {
  ASSERT_TRUE(engine().create_customer("ann", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4));
  ASSERT_TRUE(*engine().apply_customer_topup("ann", "extra"));
  ASSERT_TRUE(engine().reserve("ann", "chat", {.value = 2})->has_value());
  ASSERT_TRUE((*engine().add_customer_cap("ann", 50, {.cap = "month"})).has_value());
  const std::string before = *engine().customers();
  crash();
  EXPECT_EQ(*engine().customers(), before);
  EXPECT_EQ(value("a1"), 4);
  EXPECT_FALSE(*engine().allow("ann", "chat", 11));
}

TEST_F(JournalTest, OnlyWhatChangedIsWritten) {
  for (const char* id : {"ann", "bob", "cay"}) ASSERT_TRUE(engine().create_customer(id).ok());
  const std::size_t before = faults_->customers;
  ASSERT_TRUE(*engine().allow("bob", "chat", 1));
  EXPECT_EQ(faults_->customers, before + 1);
  ASSERT_TRUE(engine().check("bob", "chat", 1).ok());
  ASSERT_FALSE(*engine().allow("bob", "chat", 100));
  EXPECT_EQ(faults_->customers, before + 1) << "what changes nothing writes nothing";
}

TEST_F(JournalTest, ADeletedCustomerIsGoneAndANewOneOfItsIdStartsAfresh) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4, {.request = "r"}));
  ASSERT_TRUE(*engine().delete_customer("ann"));
  crash();
  EXPECT_EQ(engine().allow("ann", "chat", 1)->reason, Reason::unknown_customer);
  ASSERT_TRUE(engine().create_customer("ann").ok());
  crash();
  EXPECT_EQ(value("ann"), 0);
  EXPECT_FALSE(engine().allow("ann", "chat", 4, {.request = "r"})->repeated);
}

// Goal: what is written of a customer that was deleted never comes after what is written of the one
// that took its ID, also where both come about while a group is being gathered.
TEST_F(JournalTest, WhoeverTakesADeletedCustomersIdStaysInTheStore) {
  constexpr int customers = 100;
  durability_ = Durability::manual;
  open();
  for (int i = 0; i < customers; ++i) {
    ASSERT_TRUE(engine().create_customer(std::to_string(i)).ok());
  }
  for (int round = 0; round < 60; ++round) {
    std::atomic<bool> is_over{false};
    std::thread writing([&] {
      while (!is_over) EXPECT_TRUE(engine().flush().ok());
    });
    for (int i = 0; i < customers; ++i) {
      const std::string id = std::to_string(i);
      EXPECT_TRUE(*engine().delete_customer(id));
      EXPECT_TRUE(engine().create_customer(id).ok());
      // Some of them come before a group is cut, and some after.
      for (const char* request : {"a", "b", "c", "d", "e", "f"}) {
        EXPECT_TRUE(*engine().allow(id, "chat", 1, {.request = request}));
      }
    }
    is_over = true;
    writing.join();
    ASSERT_TRUE(engine().flush().ok());
    const Json before = exported();
    crash();
    ASSERT_EQ(exported(), before);
  }
}

TEST_F(JournalTest, RequestsAreRememberedOverARestart) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4, {.request = "r1"}));
  ASSERT_TRUE(*engine().allow("ann", "chat", 1, {.request = "r2"}));
  crash();
  EXPECT_TRUE(engine().allow("ann", "chat", 4, {.request = "r1"})->repeated);
  EXPECT_TRUE(engine().allow("ann", "chat", 1, {.request = "r2"})->repeated);
  EXPECT_EQ(value("ann"), 5);
  EXPECT_EQ(engine().allow("ann", "chat", 2, {.request = "r1"}).error().code,
            ErrorCode::request_mismatch);
}

// Goal: a call that fails has changed nothing, and told nobody; the next one goes on from there.
TEST_F(JournalTest, ARefusedGroupIsTakenBack) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4));
  int events = 0;
  engine().add_handler("count", [&](const Event&) { ++events; });
  faults_->refuse = 1;
  const Result<Decision> failed = engine().allow("ann", "chat", 5, {.request = "r"});
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::store_unavailable);
  EXPECT_THAT(failed.error().message, HasSubstr("the disk is full"));
  EXPECT_EQ(events, 0);
  EXPECT_THAT(log(), HasSubstr("the store has failed"));
  // The store is given a moment before it is tried again.
  Result<Decision> again = failed;
  while (!again.ok()) again = engine().allow("ann", "chat", 5, {.request = "r"});
  EXPECT_FALSE(again->repeated);
  EXPECT_EQ(again->value, 9);
  EXPECT_EQ(events, 1);
  crash();
  EXPECT_EQ(value("ann"), 9);
}

// Goal: what a refused call pushed out of the remembered requests still counts once.
TEST_F(JournalTest, RequestsThatARefusedGroupPushedOutComeBack) {
  const auto with_limit = std::string(policy) + "  request_limit: 1\n";
  ASSERT_TRUE(engine().set_policy(with_limit, Format::yaml).ok());
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 1, {.request = "r1"}));
  const auto refuse = [&](const auto& call) {
    faults_->refuse = 1;
    EXPECT_FALSE(call().ok());
    while (!engine().flush().ok()) {
    }
  };
  refuse([&] { return engine().allow("ann", "chat", 1, {.request = "r2"}); });
  EXPECT_TRUE(engine().allow("ann", "chat", 1, {.request = "r1"})->repeated);
  refuse([&] { return engine().apply_customer_topup("ann", "extra", {.request = "r2"}); });
  EXPECT_TRUE(engine().allow("ann", "chat", 1, {.request = "r1"})->repeated);
  EXPECT_EQ(value("ann"), 1);
  // One group is taken, and the one that was built on it meanwhile is not.
  std::future<Result<Decision>> next;
  faults_->before_commit = [&] {
    next = std::async(std::launch::async,
                      [&] { return engine().allow("ann", "chat", 1, {.request = "r3"}); });
    next.wait_for(std::chrono::milliseconds(50));
    faults_->before_commit = [&] { faults_->refuse = 1; };
  };
  EXPECT_TRUE(*engine().allow("ann", "chat", 1, {.request = "r2"}));
  EXPECT_FALSE(next.get().ok());
  while (!engine().flush().ok()) {
  }
  EXPECT_TRUE(engine().allow("ann", "chat", 1, {.request = "r2"})->repeated);
  crash();
  EXPECT_TRUE(engine().allow("ann", "chat", 1, {.request = "r2"})->repeated);
  EXPECT_EQ(value("ann"), 2);
}

TEST_F(JournalTest, CreationsDeletionsAndAlternateIdsAreTakenBackToo) {
  ASSERT_TRUE(engine().create_customer("ann", {.alts = {"a1"}}).ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4, {.request = "r"}));
  const std::string before = *engine().customers();
  faults_->gone = true;
  EXPECT_FALSE(engine().delete_customer("ann").ok());
  EXPECT_FALSE(engine().create_customer("bob", {.alts = {"b1"}}).ok());
  EXPECT_FALSE(engine().set_alt_customer_id("ann", "a2").ok());
  EXPECT_FALSE(engine().delete_alt_customer_id("a1").ok());
  faults_->gone = false;
  while (!engine().flush().ok()) {
  }
  EXPECT_EQ(*engine().customers(), before);
  EXPECT_EQ(value("a1"), 4);
  EXPECT_FALSE((*engine().value("b1", "chat")).has_value());
  EXPECT_FALSE((*engine().value("a2", "chat")).has_value());
  EXPECT_TRUE(engine().allow("ann", "chat", 4, {.request = "r"})->repeated);
  crash();
  EXPECT_EQ(*engine().customers(), before);
  EXPECT_TRUE(engine().allow("a1", "chat", 4, {.request = "r"})->repeated);
}

// Goal: one that was deleted and made anew before the store failed is the old one again.
TEST_F(JournalTest, TheFormerCustomerOfAnIdComesBack) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 4));
  faults_->gone = true;
  EXPECT_FALSE(engine().delete_customer("ann").ok());
  faults_->gone = false;
  while (!engine().flush().ok()) {
  }
  EXPECT_EQ(value("ann"), 4);
  ASSERT_TRUE(*engine().allow("ann", "chat", 1));
  crash();
  EXPECT_EQ(value("ann"), 5);
}

// Goal: nobody is told that an ID is nobody's before that is safe: it may be somebody's again.
TEST_F(JournalTest, WhoIsUnknownIsToldWhenTheDeletionIsSafe) {
  for (const bool load_all : {false, true}) {
    SCOPED_TRACE(load_all);
    load_all_ = load_all;
    open();
    ASSERT_TRUE(engine().create_customer("acme", {.type = "org"}).ok());
    ASSERT_TRUE(engine().create_customer("ann", {.refs = {{"acme"}}, .alts = {"a1"}}).ok());
    const Handle handle = **engine().handle("ann", "chat");
    const auto remove = [&] { return engine().delete_customer("ann"); };
    const auto remove_acme = [&] { return engine().delete_customer("acme"); };
    const auto remove_a1 = [&] { return engine().delete_alt_customer_id("a1"); };
    EXPECT_FALSE(is_answered_too_early(remove, [&] { return engine().allow("ann", "chat", 1); }));
    EXPECT_FALSE(is_answered_too_early(remove, [&] { return engine().check("a1", "chat", 1); }));
    EXPECT_FALSE(is_answered_too_early(remove, [&] { return engine().allow(handle, 1); }));
    EXPECT_FALSE(is_answered_too_early(remove, [&] { return engine().customer("ann"); }));
    EXPECT_FALSE(is_answered_too_early(remove, [&] { return engine().value("a1", "chat"); }));
    EXPECT_FALSE(is_answered_too_early(remove, [&] { return engine().limit("ann", "chat"); }));
    EXPECT_FALSE(is_answered_too_early(remove, [&] { return engine().plan("ann"); }));
    EXPECT_FALSE(is_answered_too_early(remove, remove));
    EXPECT_FALSE(
        is_answered_too_early(remove, [&] { return engine().set_customer_plan("ann", "pro"); }));
    EXPECT_FALSE(is_answered_too_early(remove, [&] {
      return engine().allow_async({.customer = "ann", .entitlement = "chat", .value = 1}).get();
    }));
    EXPECT_FALSE(is_answered_too_early(remove_a1, [&] { return engine().allow("a1", "chat", 1); }));
    EXPECT_FALSE(
        is_answered_too_early(remove_acme, [&] { return engine().allow("ann", "shared", 1); }));
    EXPECT_EQ(value("a1"), value("ann")) << "she was never gone";
    ASSERT_TRUE(*remove());
    EXPECT_EQ(engine().allow("ann", "chat", 1)->reason, Reason::unknown_customer);
    ASSERT_TRUE(*engine().delete_customer("acme"));
  }
}

// Goal: no answer rests on what may still be taken back.
TEST_F(JournalTest, WhatRestsOnAChangeIsToldWhenThatIsSafe) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(engine().create_customer("bob", {.alts = {"b1"}}).ok());
  const auto use = [&] { return engine().allow("ann", "chat", 1); };
  const auto observe = [&] { return engine().observe("ann", "soft", 7, {.request = "o"}); };
  const auto set_refs = [&] { return engine().set_customer_refs("ann", {"x"}, {.request = "r"}); };
  const auto remove_b1 = [&] { return engine().delete_alt_customer_id("b1"); };
  const auto take_b1 = [&] { return engine().set_alt_customer_id("ann", "b1"); };
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().meter("ann", "chat"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().customer_margin("ann"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().handle("ann", "chat"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().value("ann", "none"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().limit("ann", "chat"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().plan("ann"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().estimate("ann", "soft"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().held("ann", "none"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().release("ann", "chat", "none"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().customer_cap("ann", "none"); }));
  EXPECT_FALSE(
      is_answered_too_early(use, [&] { return engine().remove_customer_cap("ann", "x"); }));
  EXPECT_FALSE(is_answered_too_early(use, [&] { return engine().set_customer_plan("ann", "x"); }));
  EXPECT_FALSE(is_answered_too_early(observe, observe)) << "the first answer is not safe yet";
  EXPECT_FALSE(is_answered_too_early(set_refs, set_refs)) << "the first answer is not safe yet";
  EXPECT_FALSE(
      is_answered_too_early([&] { return engine().set_alt_customer_id("bob", "b2"); }, take_b1));
  EXPECT_FALSE(is_answered_too_early(remove_b1, remove_b1));
}

// Goal: a change that the store has taken is never reported as undone, nor made twice.
TEST_F(JournalTest, AnAnswerThatWasLostIsLookedUp) {
  timeout_ = Millis(5000);
  open();
  ASSERT_TRUE(engine().create_customer("ann").ok());
  faults_->lose_answer = 1;
  ASSERT_TRUE(*engine().allow("ann", "chat", 4)) << "it was written, and is allowed";
  faults_->lose_question = 1;
  const Result<Decision> lost = engine().allow("ann", "chat", 3);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, ErrorCode::store_unavailable) << "it was not, and nothing changed";
  while (!engine().flush().ok()) {
  }
  EXPECT_EQ(value("ann"), 4);
  crash();
  EXPECT_EQ(value("ann"), 4);
}

// Goal: the same request tells what came of it; reads and other calls do not rest on it meanwhile.
TEST_F(JournalTest, AnOutcomeThatNobodyKnowsIsSaidAndSettledLater) {
  faults_->goes_when_lost = true;
  for (const bool is_written : {true, false}) {
    SCOPED_TRACE(is_written);
    const std::string id = is_written ? "ann" : "bob";
    ASSERT_TRUE(engine().create_customer(id).ok());
    ASSERT_TRUE(engine().create_customer(id + "2").ok());
    (is_written ? faults_->lose_answer : faults_->lose_question) = 1;
    const Result<Decision> unknown = engine().allow(id, "chat", 4, {.request = "r"});
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().code, ErrorCode::outcome_unknown);
    EXPECT_FALSE(engine().check(id, "chat", 1).ok());
    EXPECT_EQ(engine().allow(id + "2", "chat", 3).error().code, ErrorCode::store_unavailable);
    faults_->gone = false;
    Result<Decision> again = unknown;
    while (!again.ok()) again = engine().allow(id, "chat", 4, {.request = "r"});
    EXPECT_EQ(again->repeated, is_written);
    while (!engine().flush().ok()) {
    }
    EXPECT_EQ(value(id), 4);
    EXPECT_EQ(value(id + "2"), 0) << "what was refused meanwhile has not happened";
    crash();
    EXPECT_EQ(value(id), 4);
    EXPECT_EQ(value(id + "2"), 0);
  }
}

TEST_F(JournalTest, IntervalAndManualWriteLaterAndLoseNothingToAFailure) {
  durability_ = Durability::manual;
  open();
  ASSERT_TRUE(engine().create_customer("ann").ok());
  faults_->commits = 0;
  ASSERT_TRUE(*engine().allow("ann", "chat", 4, {.request = "r"}));
  EXPECT_EQ(faults_->commits, 0);
  faults_->refuse = 1;
  EXPECT_EQ(engine().flush().error().code, ErrorCode::store_unavailable);
  ASSERT_TRUE(*engine().allow("ann", "chat", 1)) << "memory is what counts";
  while (!engine().flush().ok()) {
  }
  crash();
  EXPECT_EQ(value("ann"), 5);
  EXPECT_TRUE(engine().allow("ann", "chat", 4, {.request = "r"})->repeated);
  ASSERT_TRUE(*engine().allow("ann", "chat", 1));
  crash();
  EXPECT_EQ(value("ann"), 5) << "what was not flushed is lost, as was asked for";
  ASSERT_TRUE(*engine().allow("ann", "chat", 2));
  const Result<std::uint64_t> written = engine().close();
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(*written, 1U);
  open();
  EXPECT_EQ(value("ann"), 7);
}

// Goal: whoever comes to ask late, after any number of failures, is told that it failed.
TEST_F(JournalTest, ACallThatFailedIsToldSoHoweverManyFailedSince) {
  constexpr int failures = 1500;
  host_.overhead["ask"] = [this](double, const Json&) {
    for (const int count : {1, failures}) {
      faults_->gone = true;
      for (int i = 0; i < count; ++i) EXPECT_FALSE(engine().allow("bob", "chat", 1).ok());
      faults_->gone = false;
      while (!engine().flush().ok()) {
      }
      EXPECT_TRUE(engine().allow("bob", "chat", 1).ok());
    }
    return 0;
  };
  open();
  for (const char* id : {"ann", "bob"}) ASSERT_TRUE(engine().create_customer(id).ok());
  // The first is decided, and then the second asks what it costs.
  const auto decisions = engine().allow_many(
      std::vector<Call>{{.customer = "ann", .entitlement = "chat", .value = 1},
                        {.customer = "bob", .entitlement = "asked", .value = 1}});
  EXPECT_FALSE(decisions[0].ok());
  EXPECT_TRUE(decisions[1].ok());
  EXPECT_EQ(value("ann"), 0);
}

// Goal: a snapshot holds nothing that its store may still refuse.
TEST_F(JournalTest, ASnapshotWaitsUntilWhatItHoldsIsSafe) {
  load_all_ = true;
  open();
  ASSERT_TRUE(engine().create_customer("ann").ok());
  std::future<Result<std::string>> snapshot;
  faults_->refuse = 1;
  faults_->before_commit = [&] {
    snapshot = std::async(std::launch::async, [this] { return engine().customers(); });
    // It cannot end before this does. One that does not wait has more than the time it takes.
    EXPECT_EQ(snapshot.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  };
  EXPECT_FALSE(engine().allow("ann", "chat", 4).ok());
  const Result<std::string> taken = snapshot.get();
  const bool is_there =
      taken.ok() && Json::parse(*taken)["ann"]["meters"]["chat"].value("value", 0.0) != 0;
  EXPECT_FALSE(is_there);
}

TEST_F(JournalTest, ABatchIsOneGroup) {
  for (const char* id : {"ann", "bob"}) ASSERT_TRUE(engine().create_customer(id).ok());
  faults_->commits = 0;
  const std::vector<Call> calls = {{.customer = "ann", .entitlement = "chat", .value = 4},
                                   {.customer = "bob", .entitlement = "chat", .value = 11},
                                   {.customer = "ann", .entitlement = "chat", .value = 5}};
  const auto decisions = engine().allow_many(calls);
  EXPECT_TRUE(decisions[0]->allowed);
  EXPECT_FALSE(decisions[1]->allowed);
  EXPECT_TRUE(decisions[2]->allowed);
  EXPECT_EQ(faults_->commits, 1);
  faults_->refuse = 1;
  for (const auto& failed : engine().allow_many(calls)) {
    EXPECT_FALSE(failed.ok() && failed->allowed) << "a denial that rests on nothing unsafe stands";
  }
  while (!engine().flush().ok()) {
  }
  EXPECT_EQ(value("ann"), 9);
}

// Goal: one thread with many calls on their way, which share writes; each is answered once, when it
// is safe.
TEST_F(JournalTest, CallsThatNobodyWaitsForShareWritesAndAreAnsweredWhenSafe) {
  constexpr int customers = 200;
  for (int i = 0; i < customers; ++i) {
    ASSERT_TRUE(engine().create_customer(std::to_string(i)).ok());
  }
  faults_->commits = 0;
  faults_->holds = true;
  std::atomic<int> allowed{0};
  std::atomic<int> denied{0};
  for (int i = 0; i < customers; ++i) {
    const std::string id = std::to_string(i);
    const std::string request = "r" + id;
    engine().allow_async({.customer = id,
                          .entitlement = "chat",
                          .value = i % 2 == 0 ? Value("4") : Value(11),
                          .options = {.request = request}},
                         [&](const Result<Decision>& decision) {
                           ASSERT_TRUE(decision.ok());
                           ++(decision->allowed ? allowed : denied);
                         });
  }
  faults_->holds = false;
  auto future = engine().allow_async({.customer = "0", .entitlement = "chat", .value = 2});
  EXPECT_EQ(future.get()->value, 6);
  EXPECT_EQ(allowed, customers / 2) << "those before it are answered before it";
  EXPECT_EQ(denied, customers / 2);
  EXPECT_LT(faults_->commits, 10);
  faults_->refuse = 1;
  const Result<Decision> failed =
      engine().allow_async({.customer = "0", .entitlement = "chat", .value = 1}).get();
  EXPECT_EQ(failed.error().code, ErrorCode::store_unavailable);
  while (!engine().flush().ok()) {
  }
  std::atomic<bool> is_answered{false};
  engine().allow_async({.customer = "0", .entitlement = "chat", .value = 1},
                       [&](const Result<Decision>& decision) {
                         EXPECT_TRUE(decision.ok() && decision->allowed);
                         is_answered = true;
                         throw std::runtime_error("thrown by the caller");
                       });
  ASSERT_TRUE(engine().close().ok());
  EXPECT_TRUE(is_answered);
  EXPECT_THAT(log(), HasSubstr("thrown by the caller"));
  open();
  EXPECT_EQ(value("0"), 7);
  EXPECT_TRUE(engine().allow("0", "chat", "4", {.request = "r0"})->repeated);
}

TEST_F(JournalTest, WhatIsOverTheBoundOfTheQueueIsAnError) {
  durability_ = Durability::interval;
  interval_ = Millis(1);
  max_unwritten_ = 10;
  open();
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(engine().create_customer(std::to_string(i)).ok());
  ASSERT_TRUE(engine().flush().ok());
  faults_->gone = true;
  int taken = 0;
  std::optional<Error> full;
  for (int i = 0; i < 30 && !full; ++i) {
    const Result<Decision> decision = engine().allow(std::to_string(i), "chat", 1);
    if (decision.ok()) ++taken;
    if (!decision.ok()) full = decision.error();
  }
  ASSERT_TRUE(full);
  EXPECT_EQ(full->code, ErrorCode::store_unavailable);
  EXPECT_GE(taken, 10);
  EXPECT_LT(taken, 30);
  EXPECT_TRUE(engine().check("29", "chat", 1).ok()) << "what changes nothing is answered";
  faults_->gone = false;
  while (!engine().flush().ok()) {
  }
  EXPECT_TRUE(*engine().allow("29", "chat", 1));
  crash();
  for (int i = 0; i < taken; ++i) EXPECT_EQ(value(std::to_string(i)), 1);
}

// Goal: many at once are bound like one, and what does not fit is named; the rest is kept.
TEST_F(JournalTest, BatchesAndLoadsKeepToTheBoundOfTheQueue) {
  durability_ = Durability::interval;
  interval_ = Millis(3'600'000);
  max_unwritten_ = 10;
  open();
  std::vector<std::string> ids;
  for (int i = 0; i < 30; ++i) {
    ids.push_back(std::to_string(i));
    ASSERT_TRUE(engine().create_customer(ids.back()).ok());
  }
  ASSERT_TRUE(engine().flush().ok());
  faults_->gone = true;
  std::vector<Call> calls;
  for (const std::string& id : ids) {
    calls.push_back({.customer = id, .entitlement = "chat", .value = 1});
  }
  const auto decisions = engine().allow_many(calls);
  ASSERT_EQ(decisions.size(), calls.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    ASSERT_EQ(decisions[i].ok(), i < max_unwritten_) << i;
    EXPECT_EQ(value(ids[i]), i < max_unwritten_ ? 1 : 0);
    if (i < max_unwritten_) continue;
    EXPECT_EQ(decisions[i].error().code, ErrorCode::store_unavailable);
  }
  faults_->gone = false;
  while (!engine().flush().ok()) {
  }
  faults_->gone = true;
  Json text{{"format", 1}, {"customers", Json::object()}, {"requests", Json::array()}};
  for (int i = 0; i < 30; ++i) {
    const std::string id = "c" + std::to_string(100 + i);
    text["customers"][id] = {{"id", id}, {"plan", "pro"}};
  }
  for (const char* id : {"c100", "0"}) {
    text["requests"].push_back(
        {{"customer", id}, {"request", "r"}, {"fingerprint", "1"}, {"answer", true}, {"at", 1}});
  }
  const Result<LoadReport> report = engine().load_customers(text.dump());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->loaded, max_unwritten_);
  ASSERT_EQ(report->refused.size(), 20U + 2U);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(report->refused[i].id, "c" + std::to_string(110 + i));
    EXPECT_EQ(report->refused[i].error.code, ErrorCode::store_unavailable);
  }
  EXPECT_EQ(report->refused[21].id, "0");
  EXPECT_EQ(report->refused[21].error.where, "request `r`");
  EXPECT_EQ(value("c109"), 0);
  EXPECT_EQ(value("c110"), -1);
  faults_->gone = false;
}

// Goal: what is forgotten in memory is forgotten in the store, also where older ones are not.
TEST_F(JournalTest, ARequestThatIsLoadedAgainIsRememberedOnce) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 1, {.request = "older"}));
  ASSERT_TRUE(*engine().allow("ann", "chat", 2, {.request = "r"}));
  const std::string first = *engine().export_state();
  clock_->advance(std::int64_t{25} * 3'600'000);
  // Only the one that is asked for again is forgotten: its time is over.
  Json moved = Json::parse(first);
  for (Json& request : moved["requests"]) {
    if (request["request"] == "older") request["at"] = clock_->now().time_since_epoch().count();
  }
  ASSERT_TRUE(engine().load_customers(moved.dump()).ok());
  ASSERT_TRUE(*engine().allow("ann", "chat", 3, {.request = "r"}));
  const auto expect_same_after_crash = [&] {
    const Json before = exported();
    EXPECT_EQ(before["requests"].size(), 2U);
    crash();
    EXPECT_EQ(exported(), before);
    EXPECT_TRUE(engine().fsck()->empty());
  };
  expect_same_after_crash();
  EXPECT_TRUE(engine().allow("ann", "chat", 3, {.request = "r"})->repeated);
  ASSERT_TRUE(engine().load_customers(moved.dump()).ok());
  expect_same_after_crash();
}

TEST_F(JournalTest, RequestsThatARefusedLoadReplacedAreRememberedAgain) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  for (const char* request : {"r1", "r2", "r3"}) {
    ASSERT_TRUE(*engine().allow("ann", "chat", 1, {.request = request}));
  }
  const Json before = exported();
  const std::string text =
      R"({"format":1,"customers":{},"requests":[{"customer":"ann","request":"r2",)"
      R"("fingerprint":"1","answer":true,"at":1},{"customer":"ann","request":"r4",)"
      R"("fingerprint":"1","answer":true,"at":1}]})";
  faults_->refuse = 1;
  ASSERT_FALSE(engine().load_customers(text).ok());
  while (!engine().flush().ok()) {
  }
  const auto expect_remembered = [&] {
    for (const char* request : {"r1", "r2", "r3"}) {
      EXPECT_TRUE(engine().allow("ann", "chat", 1, {.request = request})->repeated) << request;
    }
    EXPECT_EQ(exported(), before);
  };
  expect_remembered();
  crash();
  expect_remembered();
}

TEST_F(JournalTest, ALoadThatTheStoreRefusesSaysHowFarItCame) {
  constexpr int records_a_group = 4096;
  std::string text = "{";
  for (int i = 0; i < 2 * records_a_group + 5; ++i) {
    const std::string id = std::to_string(100'000 + i);
    text += R"(")" + id + R"(":{"id":")" + id + R"("},)";
  }
  text.back() = '}';
  faults_->before_commit = [&] { faults_->before_commit = [&] { faults_->refuse = 1; }; };
  const Result<LoadReport> report = engine().load_customers(text);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::store_unavailable);
  EXPECT_THAT(report.error().message, HasSubstr("records are certain to be loaded"));
  while (!engine().flush().ok()) {
  }
  EXPECT_GE(Json::parse(*engine().customers()).size(), std::stoul(report.error().message));
}

TEST_F(JournalTest, CallsThatNobodyWaitsForAreAnsweredBeforeTheEngineIsGone) {
  constexpr int calls = 2000;
  ASSERT_TRUE(engine().create_customer("ann").ok());
  std::atomic<int> allowed{0};
  for (int i = 0; i < calls; ++i) {
    engine().allow_async(
        {.customer = "ann", .entitlement = "soft", .value = 1},
        [&](const Result<Decision>& decision) { allowed += decision.ok() && decision->allowed; });
  }
  engine_.reset();
  EXPECT_EQ(allowed, calls);
  open();
  EXPECT_EQ(value("ann", "soft"), calls);
}

// Goal: a store that stalls fills no memory with calls; what is over the bound is told at once.
TEST_F(JournalTest, CallsThatNobodyWaitsForAreBoundWhileTheStoreStalls) {
  max_unwritten_ = 10;
  open();
  ASSERT_TRUE(engine().create_customer("ann").ok());
  faults_->holds = true;
  const auto this_thread = std::this_thread::get_id();
  std::atomic<int> allowed{0};
  int refused = 0;
  for (int i = 0; i < 40; ++i) {
    engine().allow_async({.customer = "ann", .entitlement = "soft", .value = 1},
                         [&](const Result<Decision>& decision) {
                           if (decision.ok()) {
                             ++allowed;
                             return;
                           }
                           EXPECT_EQ(decision.error().code, ErrorCode::store_unavailable);
                           EXPECT_EQ(std::this_thread::get_id(), this_thread) << "at once";
                           ++refused;
                         });
  }
  EXPECT_GE(refused, 40 - 2 * 10) << "as many are on their way as wait, at most";
  EXPECT_LE(refused, 40 - 10);
  faults_->holds = false;
  ASSERT_TRUE(engine().close().ok());
  EXPECT_EQ(allowed, 40 - refused);
  open();
  EXPECT_EQ(value("ann", "soft"), allowed);
}

// Goal: close() does not wait for calls that wait for the handler that called it.
TEST_F(JournalTest, AHandlerMayCloseTheEngineWhileCallsAreOnTheirWay) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  std::future<Result<Decision>> later;
  engine().add_handler("close", [&](const Event&) {
    if (later.valid()) return;
    later = engine().allow_async({.customer = "ann", .entitlement = "chat", .value = 1});
    EXPECT_TRUE(engine().close().ok());
  });
  EXPECT_TRUE(*engine().allow("ann", "chat", 1));
  const Result<Decision> answer = later.get();
  if (!answer.ok()) {
    EXPECT_EQ(answer.error().code, ErrorCode::store_unavailable);
  }
  open();
  EXPECT_EQ(value("ann"), answer.ok() ? 2 : 1);
}

TEST_F(JournalTest, ACallThatMeetsTheEngineWhileItClosesIsAnswered) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  std::future<Result<Decision>> met;
  faults_->before_close = [&] {
    met = std::async(std::launch::async, [&] { return engine().allow("ann", "chat", 1); });
    met.wait_for(std::chrono::milliseconds(200));
  };
  ASSERT_TRUE(engine().close().ok());
  EXPECT_EQ(met.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  (void)engine().flush();  // Wakes it where nobody else did.
  EXPECT_FALSE(met.get().ok());
}

TEST_F(JournalTest, WhatAStoreHasLostIsWrittenAgainAlsoAfterAnUnknownOutcome) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  ASSERT_TRUE(engine().create_customer("bob").ok());
  const std::uint64_t before = last_group();
  ASSERT_TRUE(*engine().allow("ann", "chat", 1));
  faults_->lose_question = 1;
  faults_->goes_when_lost = true;
  EXPECT_FALSE(engine().allow("bob", "chat", 1).ok());
  faults_->last_group = before;  // As after a failover to a replica that was behind.
  faults_->customers = 0;
  faults_->gone = false;
  while (!engine().flush().ok()) {
  }
  EXPECT_THAT(log(), HasSubstr("lost what it had taken"));
  EXPECT_GE(faults_->customers, 2U) << "ann is not in the store any more";
}

// Goal: a failover to a store that has nothing costs nothing that is in memory: no change, and no
// request that would count twice. Also where the store refuses it at first.
TEST_F(JournalTest, WhatAStoreHasLostIsWrittenAgainWithItsRequests) {
  for (const Durability durability : {Durability::sync, Durability::manual}) {
    for (const int refused : {0, 1}) {
      SCOPED_TRACE(refused);
      durability_ = durability;
      open();
      const std::string id = "ann" + std::to_string(refused);
      ASSERT_TRUE(engine().create_customer(id).ok());
      ASSERT_TRUE(*engine().allow(id, "chat", 1, {.request = "r1"}));
      ASSERT_TRUE(*engine().allow(id, "chat", 1, {.request = "r2"}));
      ASSERT_TRUE(engine().flush().ok());
      faults_->refuse = 1;
      ASSERT_TRUE(engine().observe(id, "soft", 1).ok() == (durability == Durability::manual));
      (void)engine().flush();
      name_ += "+";
      faults_->failover = store::memory_store(name_);
      auto keeper = store::memory_store(name_);
      faults_->refuse = refused;
      while (faults_->failover != nullptr || !engine().flush().ok()) (void)engine().flush();
      crash();
      EXPECT_EQ(value(id), 2);
      EXPECT_TRUE(engine().allow(id, "chat", 1, {.request = "r1"})->repeated);
      EXPECT_TRUE(engine().allow(id, "chat", 1, {.request = "r2"})->repeated);
      keeper_ = std::move(keeper);
    }
  }
}

// Goal: an engine that slept while another owned the store answers nothing and writes nothing.
TEST_F(JournalTest, AnEngineThatWasFencedOffAnswersNothing) {
  for (const Durability durability : {Durability::sync, Durability::interval, Durability::manual}) {
    durability_ = durability;
    open();
    ASSERT_TRUE(engine().create_customer("ann").ok());
    ASSERT_TRUE(engine().set("ann", "chat", 1).ok());
    ASSERT_TRUE(engine().flush().ok());
    faults_->expire();
    {
      auto successor = open_with_store(policy, options(), store::memory_store(name_));
      ASSERT_TRUE(successor.ok());
      ASSERT_TRUE(*successor->allow("ann", "chat", 5));
    }
    // The first to ask the store learns of it; from then on nobody is answered.
    while (engine().flush().ok() || engine().flush().error().code != ErrorCode::store_fenced) {
      (void)engine().allow("ann", "chat", 1);
    }
    EXPECT_EQ(engine().allow("ann", "chat", 1).error().code, ErrorCode::store_fenced);
    EXPECT_EQ(engine().check("ann", "chat", 1).error().code, ErrorCode::store_fenced);
    EXPECT_EQ(engine().value("ann", "chat").error().code, ErrorCode::store_fenced);
    EXPECT_THAT(log(), HasSubstr("taken the store over"));
    open();
    EXPECT_EQ(value("ann"), 6);
  }
}

TEST_F(JournalTest, EstimatesAndThePolicyAreKept) {
  ASSERT_TRUE(engine().create_customer("ann").ok());
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(*engine().observe("ann", "soft", 7));
  ASSERT_TRUE(engine().create_customer("bob").ok());
  const Read<Estimate> before = engine().estimate("bob", "soft");
  ASSERT_TRUE(before.ok() && before->has_value());
  ASSERT_TRUE(engine().close().ok());
  open();
  const Read<Estimate> after = engine().estimate("bob", "soft");
  ASSERT_TRUE(after.ok() && after->has_value());
  EXPECT_EQ((*after)->samples, (*before)->samples);
  EXPECT_EQ((*after)->value, (*before)->value);
  auto other = store::memory_store(name_);
  const auto opened = other->open(store::Access::read, {});
  ASSERT_TRUE(opened.ok() && opened->policy);
  EXPECT_EQ(Json::parse(*opened->policy), engine().policy());
}

TEST_F(JournalTest, ASecondEngineIsToldWhoOwnsTheStore) {
  const auto second = open_with_store(policy, options(), store::memory_store(name_));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::store_owned);
  ASSERT_TRUE(engine().close().ok());
  EXPECT_FALSE(engine().create_customer("ann").ok()) << "a closed engine changes nothing";
  EXPECT_TRUE(open_with_store(policy, options(), store::memory_store(name_)).ok());
}

// Goal: whatever fails when, an exact limit is never passed, every call that was answered is in the
// store, and a call over two customers is there for both or for none.
TEST_F(JournalTest, ThreadsUnderFaultsLoseNothingAndTearNothing) {
  constexpr int customers = 6;
  constexpr int threads = 4;
  timeout_ = Millis(5000);
  open();
  ASSERT_TRUE(engine().create_customer("acme", {.type = "org"}).ok());
  for (int i = 0; i < customers; ++i) {
    ASSERT_TRUE(engine().create_customer(std::to_string(i), {.refs = {{"acme"}}}).ok());
    ASSERT_TRUE((*engine().add_customer_cap(std::to_string(i), 1e6, {.cap = "all"})).has_value());
  }
  const auto seed = static_cast<unsigned>(printed_seed());
  std::atomic<int> shared{0};
  std::atomic<bool> done{false};
  std::thread breaking([&] {
    std::minstd_rand random(seed);
    for (int next = 0; !done; next = faults_->commits + 1 + static_cast<int>(random() % 8)) {
      while (!done && faults_->commits < next) std::this_thread::yield();
      switch (random() % 3) {
        case 0: faults_->refuse = 1; break;
        case 1: faults_->lose_answer = 1; break;
        default: faults_->lose_question = 1; break;
      }
    }
    faults_->refuse = faults_->lose_answer = faults_->lose_question = 0;
  });
  std::vector<std::thread> callers;
  for (int t = 0; t < threads; ++t) {
    callers.emplace_back([&, t] {
      std::minstd_rand random(seed + static_cast<unsigned>(t));
      for (bool is_full = false; !is_full;) {
        const std::string id = std::to_string(random() % customers);
        const auto decision = engine().allow(id, "shared", 1);
        if (decision.ok() && decision->allowed) ++shared;
        is_full = decision.ok() && !decision->allowed;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  done = true;
  breaking.join();
  while (!engine().flush().ok()) {
  }
  crash();
  EXPECT_EQ(value("acme", "shared"), shared.load());
  EXPECT_EQ(shared.load(), 100);
  double capped = 0;
  for (int i = 0; i < customers; ++i) {
    const auto cap = engine().customer_cap(std::to_string(i), "all");
    capped += (**cap)["meter_value"].get<double>();
  }
  EXPECT_EQ(capped, shared.load()) << "the caller's cap moved with the org's meter, or neither";
}

}  // namespace
}  // namespace limitr
