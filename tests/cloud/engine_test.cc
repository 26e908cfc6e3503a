// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limitr/limitr.h>
#include "engine/manual_clock.h"
#include "fake_server.h"
#include "store/memory_store.h"

namespace limitr {
namespace {

using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ServerSettings;

// How long is waited for what comes.
constexpr std::chrono::seconds patience{20};

std::string policy_of(double limit, const std::string& plan = "pro") {
  return fmt::format(
      R"({{"policy":{{"credits":{{"token":{{}}}},"plans":{{"{}":{{"default":true,"entitlements":)"
      R"({{"chat":{{"limit":{{"credit":"token","value":{}}}}}}}}}}}}}}})",
      plan, limit);
}

void serve(FakeServer& server, std::uint64_t version, const std::string& document) {
  server.set([&](ServerSettings& settings) {
    settings.welcome.policy = {.version = version, .document = document};
  });
}

CloudOptions options(const FakeServer& server) {
  CloudOptions options;
  options.token = "good";
  options.address = server.address();
  options.engine.log = [](std::string_view) {};
  return options;
}

Limitr opened(const FakeServer& server) {
  Result<Limitr> limitr = Limitr::cloud(options(server));
  if (!limitr.ok()) {
    ADD_FAILURE() << limitr.error().to_string();
    std::abort();
  }
  return *std::move(limitr);
}

TEST(CloudEngine, SharesCustomersAndLimits) {
  FakeServer server;
  serve(server, 1, policy_of(10));
  Limitr one = opened(server);
  Limitr other = opened(server);
  EXPECT_TRUE(*one.ensure_customer("ann"));
  EXPECT_FALSE(*other.ensure_customer("ann"));
  int allowed = 0;
  for (int i = 0; i < 10; ++i) {
    for (Limitr* limitr : {&one, &other}) {
      const Result<Decision> decision = limitr->allow("ann", "chat", 1);
      ASSERT_TRUE(decision.ok()) << decision.error().to_string();
      allowed += decision->allowed ? 1 : 0;
    }
  }
  EXPECT_EQ(allowed, 10);
  EXPECT_TRUE(one.close().ok());
  EXPECT_EQ(server.count("bye"), 1U);
}

TEST(CloudEngine, SaysWhyItCannotBeOpened) {
  FakeServer server;
  EXPECT_THAT(Limitr::cloud(options(server)).error().message, HasSubstr("has no policy yet"));
  serve(server, 1, R"({"policy":{"plans":3}})");
  EXPECT_EQ(Limitr::cloud(options(server)).error().code, ErrorCode::policy_invalid);
  CloudOptions bad = options(server);
  bad.token = "bad";
  EXPECT_EQ(Limitr::cloud(bad).error().code, ErrorCode::unauthorized);
  bad.address = "http://127.0.0.1:1";
  bad.connect_timeout = Millis(100);
  EXPECT_EQ(Limitr::cloud(bad).error().code, ErrorCode::unconnected);
  bad.address = "4242";
  EXPECT_EQ(Limitr::cloud(bad).error().code, ErrorCode::invalid_argument);
}

TEST(CloudEngine, ThePolicyIsTheServers) {
  FakeServer server;
  serve(server, 1, policy_of(10));
  Limitr limitr = opened(server);
  for (const Result<void>& refused :
       {limitr.set_policy(policy_of(20), Format::json), limitr.set_plan("x", Json::object()),
        limitr.set_notifications(Json::object())}) {
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(refused.error().message, HasSubstr("push the change to the server"));
  }
  EXPECT_EQ(limitr.delete_plan("nope").error().code, ErrorCode::invalid_argument);
}

// Goal: a policy that comes is in force without a restart; one that is no good changes nothing.
TEST(CloudEngine, FollowsThePolicy) {
  FakeServer server;
  serve(server, 1, policy_of(1));
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> events;
  std::vector<std::string> logged;
  CloudOptions with = options(server);
  with.engine.log = [&](std::string_view message) {
    const std::lock_guard lock(mutex);
    logged.emplace_back(message);
    changed.notify_all();
  };
  Result<Limitr> limitr = Limitr::cloud(with);
  ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
  limitr->add_handler("test", [&](const Event& event) {
    const std::lock_guard lock(mutex);
    if (!event.type.starts_with("plan-")) return;
    events.push_back(event.type + " " + event.json().at("plan").at("name").get<std::string>());
    changed.notify_all();
  });
  ASSERT_TRUE(limitr->ensure_customer("ann").ok());
  EXPECT_FALSE(limitr->allow("ann", "chat", 2)->allowed);
  const auto wait_for = [&](const auto& condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, patience, condition);
  };

  server.say({.n = {}, .body = wire::PolicyVersion{2, R"({"policy":{"plans":3}})"}});
  ASSERT_TRUE(wait_for([&] { return !logged.empty(); }));
  EXPECT_THAT(logged[0], HasSubstr("version 2 of the policy is not taken"));
  EXPECT_FALSE(limitr->allow("ann", "chat", 2)->allowed);

  server.say({.n = {}, .body = wire::PolicyVersion{3, policy_of(5)}});
  ASSERT_TRUE(wait_for([&] { return events.size() == 1; }));
  EXPECT_TRUE(limitr->allow("ann", "chat", 2)->allowed);
  server.say({.n = {}, .body = wire::PolicyVersion{4, policy_of(5, "max")}});
  ASSERT_TRUE(wait_for([&] { return events.size() == 3; }));
  EXPECT_THAT(events, ElementsAre("plan-set pro", "plan-set max", "plan-removed pro"));
}

// Goal: an engine that goes while a handler of a new policy calls it waits for the handler, whose
// calls fail.
TEST(CloudEngine, MayGoWhileAHandlerOfANewPolicyRuns) {
  FakeServer server;
  serve(server, 1, policy_of(1));
  std::optional<Limitr> limitr(opened(server));
  ASSERT_TRUE(limitr->ensure_customer("ann").ok());
  std::promise<void> begun;
  std::promise<void> closed;
  std::optional<Result<Decision>> answer;
  limitr->add_handler("test", [&, &engine = *limitr](const Event& event) {
    if (event.type != "plan-set") return;
    begun.set_value();
    closed.get_future().wait();
    CallOptions once;
    once.request = "r1";
    answer = engine.allow("ann", "chat", 1, once);
  });
  server.say({.n = {}, .body = wire::PolicyVersion{2, policy_of(5)}});
  begun.get_future().wait();
  std::thread closes([&] {
    EXPECT_TRUE(limitr->close().ok());
    closed.set_value();
    limitr.reset();
  });
  closes.join();
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->ok());
}

TEST(CloudEngine, WhatWasCutOffCountsOnce) {
  FakeServer server;
  serve(server, 1, policy_of(100));
  Limitr limitr = opened(server);
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  const std::size_t before = server.count("exchange");
  server.set([&](ServerSettings& settings) {
    settings.answer = [&, before](const wire::Request& request) -> std::optional<wire::Reply> {
      wire::Reply reply = server.answer_of(request);
      const bool is_first = std::holds_alternative<wire::Exchange>(request.body) &&
                            server.count("exchange") == before + 1;
      if (is_first) return std::nullopt;
      return reply;
    };
  });
  std::future<Result<Decision>> answer =
      std::async(std::launch::async, [&] { return limitr.allow("ann", "chat", 3); });
  ASSERT_FALSE(server.wait_for("exchange", before + 1).empty());
  server.cut();
  const Result<Decision> decision = answer.get();
  ASSERT_TRUE(decision.ok()) << decision.error().to_string();
  EXPECT_TRUE(decision->allowed);
  EXPECT_EQ(**limitr.value("ann", "chat"), 3);
}

TEST(CloudEngine, WhatCannotBeConfirmedIsDeniedUntilTheServerIsBack) {
  FakeServer server;
  serve(server, 1, policy_of(1000));
  Limitr limitr = opened(server);
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  server.stop_listening();
  server.cut();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const auto call_until = [&](bool is_allowed) {
    for (;;) {
      Result<Decision> decision = limitr.allow("ann", "chat", 1);
      const bool is_met = decision.ok() && decision->allowed == is_allowed;
      if (is_met || std::chrono::steady_clock::now() > deadline) return decision;
      std::this_thread::yield();
    }
  };
  const Result<Decision> denied = call_until(false);
  ASSERT_TRUE(denied.ok()) << denied.error().to_string();
  EXPECT_EQ(denied->reason, Reason::unconnected);
  server.listen_again();
  const Result<Decision> allowed = call_until(true);
  ASSERT_TRUE(allowed.ok()) << allowed.error().to_string();
  EXPECT_TRUE(allowed->allowed);
}

// Goal: it is answered as one that came later: by the table of docs/cloud.md, not with an error.
TEST(CloudEngine, ACallThatTheConnectionBreaksUnderIsAnsweredAsWithoutOne) {
  for (const bool denies : {true, false}) {
    SCOPED_TRACE(denies);
    FakeServer server;
    serve(server, 1, policy_of(1000));
    CloudOptions with = options(server);
    with.deny_unconnected = denies;
    Result<Limitr> limitr = Limitr::cloud(with);
    ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
    server.set([&](ServerSettings& settings) {
      settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
        if (std::holds_alternative<wire::Read>(request.body)) return std::nullopt;
        return server.answer_of(request);
      };
    });
    auto decision = std::async(std::launch::async, [&] { return limitr->allow("bob", "chat", 1); });
    ASSERT_FALSE(server.wait_for("read", 1).empty());
    server.stop_listening();
    server.cut();
    const Result<Decision> unknown = decision.get();
    ASSERT_TRUE(unknown.ok()) << unknown.error().to_string();
    EXPECT_EQ(unknown->reason, denies ? Reason::unconnected : Reason::unknown_customer);

    const Result<bool> created = limitr->ensure_customer("bob");
    ASSERT_TRUE(created.ok()) << created.error().to_string();
    EXPECT_EQ(*created, !denies);
    EXPECT_EQ(limitr->allow("bob", "chat", 1)->allowed, !denies);
  }
}

TEST(CloudEngine, ErrorsSayThatTheTokenWasRevoked) {
  FakeServer server;
  serve(server, 1, policy_of(1000));
  Limitr limitr = opened(server);
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  server.close(4001, "the token was revoked");
  const auto deadline = std::chrono::steady_clock::now() + patience;
  Result<void> created = limitr.create_customer("bob");
  while (created.ok() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
    created = limitr.create_customer("bob");
  }
  ASSERT_FALSE(created.ok());
  EXPECT_EQ(created.error().code, ErrorCode::unauthorized);
  EXPECT_THAT(created.error().message, HasSubstr("the token was revoked"));
  EXPECT_EQ(limitr.remaining("cyd", "chat").error().code, ErrorCode::unauthorized);
  // Decisions and ensure_customer() have answers without a server.
  EXPECT_FALSE(*limitr.ensure_customer("cyd"));
  EXPECT_EQ(limitr.allow("cyd", "chat", 1)->reason, Reason::unconnected);
  EXPECT_EQ(limitr.close().error().code, ErrorCode::unauthorized);
}

// Goal: who decides on a customer is between engines and their server.
TEST(CloudEngine, WhatUsersSeeOfACustomerIsTheCustomer) {
  FakeServer server;
  serve(server, 1, policy_of(1000));
  Limitr limitr = opened(server);
  std::string told;
  limitr.add_handler("test", [&](const Event& event) { told += event.payload; });
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  ASSERT_TRUE(limitr.allow("ann", "chat", 1).ok());
  ASSERT_TRUE(limitr.set_customer(limitr.customer("ann").value()->dump(), true).ok());
  for (const std::string& text :
       {limitr.customers().value(), limitr.export_state().value(),
        limitr.customer("ann").value()->dump(), std::exchange(told, {})}) {
    EXPECT_THAT(text, HasSubstr("ann"));
    EXPECT_THAT(text, Not(HasSubstr(R"("cloud":)")));
  }
  EXPECT_THAT(server.wait_for("exchange", 1), HasSubstr(R"("cloud":)"));
}

// Goal: what remaining() says can be used.
TEST(CloudEngine, RemainingLeavesOutWhatOthersMayHaveUsed) {
  FakeServer server;
  serve(server, 1, policy_of(1000));
  Limitr lost = opened(server);
  ASSERT_TRUE(lost.ensure_customer("ann").ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(lost.allow("ann", "chat", 1)->allowed);
  Limitr limitr = opened(server);
  const double seen = **limitr.remaining("ann", "chat");
  EXPECT_LE(seen, 950) << "its room may be used by now";
  EXPECT_GE(seen, 940) << "which is 1 % of the limit at most";

  // It does not come back.
  server.set([](ServerSettings& settings) { settings.token = "another"; });
  server.cut();
  CloudOptions with = options(server);
  with.token = "another";
  Result<Limitr> next = Limitr::cloud(with);
  ASSERT_TRUE(next.ok()) << next.error().to_string();
  const Result<Decision> first = next->allow("ann", "chat", 1);
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  const double left = **next->remaining("ann", "chat");
  EXPECT_LT(left, 1000 - **next->value("ann", "chat")) << "something is in doubt";
  EXPECT_EQ(first->remaining, left);
  EXPECT_EQ(**next->remaining("ann", "chat", /*percent=*/true), left / 10);
  EXPECT_FALSE(next->check("ann", "chat", left + 1)->allowed);
  EXPECT_TRUE(next->allow("ann", "chat", left)->allowed);
  EXPECT_EQ(**next->remaining("ann", "chat"), 0);
}

// Goal: whoever has room is served, whatever others ask at the same time.
TEST(CloudEngine, WithoutAConnectionAsyncCallsThatHaveRoomAreServed) {
  FakeServer server;
  serve(server, 1, policy_of(100'000));
  Limitr limitr = opened(server);
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(limitr.allow("ann", "chat", 10)->allowed);
  // Before all is reported, her room may be used up to the last unit.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  Limitr other = opened(server);
  while (**other.value("ann", "chat") != 2000 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  server.stop_listening();
  server.cut();
  while (limitr.remaining("bob", "chat").ok() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  std::vector<std::future<Result<Decision>>> answers;
  for (const char* id : {"bob", "ann", "ann", "bob", "ann"}) {
    answers.push_back(limitr.allow_async({.customer = id, .entitlement = "chat", .value = 1}));
  }
  std::vector<bool> allowed;
  for (auto& answer : answers) {
    const Result<Decision> decision = answer.get();
    ASSERT_TRUE(decision.ok()) << decision.error().to_string();
    allowed.push_back(decision->allowed);
  }
  EXPECT_THAT(allowed, ElementsAre(false, true, true, false, true));
}

// Goal: whoever looks at a customer does not take it from the engine that it is at home with.
TEST(CloudEngine, AsyncReadsDoNotCallACustomerBack) {
  FakeServer server;
  serve(server, 1, policy_of(100'000));
  Limitr limitr = opened(server);
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  ASSERT_TRUE(limitr.allow("ann", "chat", 10)->allowed);
  Limitr other = opened(server);
  const auto make = [&](const std::function<void()>& calls) {
    std::promise<Result<void>> made;
    other.run_async(calls, [&](const Result<void>& safe) { made.set_value(safe); }, "ann");
    EXPECT_TRUE(made.get_future().get().ok());
  };
  // They may be made more than once: the last time counts.
  Read<double> value{std::optional<double>()};
  make([&] { value = other.value("ann", "chat"); });
  EXPECT_EQ(value.value(), 10);
  Result<Decision> checked{Decision()};
  make([&] { checked = other.check("ann", "chat", 1); });
  EXPECT_TRUE(checked->allowed);
  EXPECT_EQ(server.count("recall"), 0U);
  ASSERT_TRUE(other.allow_async({.customer = "ann", .entitlement = "chat", .value = 1}).get().ok());
  EXPECT_GT(server.count("recall"), 0U);
}

// Goal: a report under which the connection breaks is for nobody to wait for.
TEST(CloudEngine, WhileAReportIsNotAnsweredAsyncCallsThatHaveRoomAre) {
  FakeServer server;
  serve(server, 1, policy_of(100'000));
  server.set([](ServerSettings& settings) { settings.welcome.lease = Millis(60'000); });
  CloudOptions patient = options(server);
  patient.engine.store_timeout = Millis(600'000);
  auto limitr = Limitr::cloud(patient);
  ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
  ASSERT_TRUE(limitr->ensure_customer("ann").ok());
  // The room is confirmed with the first of the later ones at the latest.
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(limitr->allow("ann", "chat", 10)->allowed);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(limitr->allow("ann", "chat", 1)->allowed);
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (std::holds_alternative<wire::Exchange>(request.body)) return std::nullopt;
      return server.answer_of(request);
    };
  });
  const std::size_t before = server.count("exchange");
  ASSERT_TRUE(limitr->allow("ann", "chat", 1)->allowed);
  ASSERT_FALSE(server.wait_for("exchange", before + 1).empty());
  server.stop_listening();
  server.cut();
  auto bob = limitr->allow_async({.customer = "bob", .entitlement = "chat", .value = 1});
  auto ann = limitr->allow_async({.customer = "ann", .entitlement = "chat", .value = 1});
  ASSERT_EQ(ann.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_TRUE(ann.get()->allowed);
  EXPECT_EQ(bob.get()->reason, Reason::unconnected);
}

// What others see and write in a server's store.
class Others {
public:
  explicit Others(const FakeServer& server)
      : store_(store::memory_store("server on " +
                                   server.address().substr(server.address().rfind(':') + 1))) {
    EXPECT_TRUE(
        store_->open(store::Access::share, {.host = "others", .process = 2, .since = {}}).ok());
  }

  store::StoredCustomer row(const std::string& id) { return store_->read({&id, 1})->at(0); }

  /// More engines have written the row than it names, and none of them keeps the customer.
  void write(const std::string& id, const std::function<void(Json&)>& change = [](Json&) {}) {
    const store::StoredCustomer before = row(id);
    Json record = Json::parse(before.record);
    Json writers = Json::array();
    ++number_;
    for (int i = 0; i < 16; ++i) {
      writers.push_back(Json::array({fmt::format("other{}", i), number_}));
    }
    record["cloud"] = {{"by", writers}};
    change(record);
    store::Transaction transaction{.number = number_, .parts = {}};
    transaction.parts.push_back({.id = id, .version = before.version});
    transaction.parts.back().write.emplace();
    transaction.parts.back().write->id = id;
    transaction.parts.back().write->record = record.dump();
    EXPECT_TRUE(store_->exchange({&transaction, 1})->at(0).is_written);
  }

private:
  const std::unique_ptr<store::Store> store_;
  std::uint64_t number_ = 0;
};

// An engine that has used 5 of ann's chat in a confirmed version and 100 since, without a
// connection: the server takes none for now. None: it did not come to that.
std::optional<Limitr> adrift(FakeServer& server) {
  serve(server, 1, policy_of(1000));
  CloudOptions with = options(server);
  with.deny_unconnected = false;
  const auto is_cut_off = std::make_shared<std::atomic<bool>>(false);
  with.engine.log = [is_cut_off](std::string_view text) {
    if (text.starts_with("no connection")) *is_cut_off = true;
  };
  Result<Limitr> limitr = Limitr::cloud(with);
  if (!limitr.ok()) {
    ADD_FAILURE() << limitr.error().to_string();
    return std::nullopt;
  }
  EXPECT_TRUE(limitr->ensure_customer("ann").ok());
  EXPECT_TRUE(limitr->allow("ann", "chat", 5)->allowed);
  server.stop_listening();
  server.cut();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!*is_cut_off && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  const Result<Decision> without = limitr->allow("ann", "chat", 100);
  if (!without.ok() || !without->allowed) {
    ADD_FAILURE() << (without.ok() ? "it is denied" : without.error().to_string());
    return std::nullopt;
  }
  return *std::move(limitr);
}

// Goal: what the server has refused is in no record, however many have written since.
TEST(CloudEngine, WhatWasUsedWithoutAConnectionCountsThoughItIsRefusedAtFirst) {
  for (const std::size_t times : {1U, 2U, 3U}) {
    SCOPED_TRACE(times);
    FakeServer server;
    const std::optional<Limitr> limitr = adrift(server);
    ASSERT_TRUE(limitr.has_value());
    const auto deadline = std::chrono::steady_clock::now() + patience;

    Others others(server);
    std::atomic<std::size_t> left = times;
    std::atomic<bool> is_over = false;
    server.set([&](ServerSettings& settings) {
      settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
        const bool is_exchange = std::holds_alternative<wire::Exchange>(request.body);
        if (is_exchange && left != 0) {
          --left;
          others.write("ann");
        }
        wire::Reply reply = server.answer_of(request);
        if (const auto* results = std::get_if<wire::Exchangeds>(&reply.body)) {
          if (is_exchange && results->results.at(0).is_written) is_over = true;
        }
        return reply;
      };
    });
    server.listen_again();
    while (!is_over && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    const Json record = Json::parse(others.row("ann").record);
    EXPECT_EQ(record["meters"]["chat"]["value"], 105) << record.dump();
    EXPECT_TRUE(record["cloud"]["doubts"].empty()) << record.dump();
    server.set([](ServerSettings& settings) { settings.answer = {}; });
  }
}

// Goal: rows that nobody has asked for do no harm, whatever they say.
TEST(CloudEngine, RowsThatOthersHaveChangedMayBeAnything) {
  FakeServer server;
  serve(server, 1, policy_of(100'000));
  {
    Limitr before = opened(server);
    for (const char* id : {"ann", "bob", "cyd"}) {
      ASSERT_TRUE(before.ensure_customer(id).ok());
      ASSERT_TRUE(before.allow(id, "chat", 1)->allowed);
    }
    ASSERT_TRUE(before.close().ok());
  }
  Others others(server);
  Limitr limitr = opened(server);
  int used = 1;
  const auto use_bob = [&] {
    for (int i = 0; i < 20; ++i) used += limitr.allow("bob", "chat", 1)->allowed ? 1 : 0;
  };
  // Nobody but this engine knows how much, for as long as it is not reported.
  use_bob();
  ASSERT_EQ(**limitr.value("ann", "chat"), 1);
  const std::string of_bob = others.row("bob").record;
  const std::string of_ann = others.row("ann").record;
  for (const std::string& record :
       {of_bob, std::string("{}"), std::string(R"({"id":"ann","meters":3})")}) {
    wire::ChangedRows changed;
    const auto add = [&](const char* id, std::uint64_t version, const std::string& text) {
      store::StoredCustomer row;
      row.id = id;
      row.version = version;
      row.record = text;
      changed.rows.push_back(std::move(row));
    };
    add("ann", 1'000'000, record);
    add("bob", 1'000'000, of_bob);  // at home here
    add("dan", 1'000'000, of_ann);  // never seen here
    add("cyd", 0, {});
    server.say({.n = {}, .body = std::move(changed)});
    use_bob();
    EXPECT_EQ(**limitr.value("ann", "chat"), 1);
    EXPECT_EQ(**limitr.value("cyd", "chat"), 1);
    EXPECT_EQ(limitr.allow("dan", "chat", 1)->reason, Reason::unknown_customer);
    use_bob();
  }
  server.say(R"({"type":"changed"})");
  server.say(R"({"type":"changed","rows":{"id":"ann"}})");
  server.say(R"({"type":"changed","rows":[{"id":"ann","version":-1,"record":{}}]})");
  server.say(R"({"type":"transformed","rows":[]})");
  use_bob();
  EXPECT_EQ(**limitr.value("bob", "chat"), used);
  ASSERT_TRUE(limitr.close().ok());
  EXPECT_EQ(Json::parse(others.row("bob").record)["meters"]["chat"]["value"], used);
  EXPECT_EQ(others.row("ann").record, of_ann);
}

// Goal: what an engine used of an entitlement is not lost where others have called it by its new
// name before it is reported.
TEST(CloudEngine, WhatWasUsedUnderAnOldNameCountsUnderTheNewOne) {
  FakeServer server;
  std::optional<Limitr> limitr = adrift(server);
  ASSERT_TRUE(limitr.has_value());
  const auto deadline = std::chrono::steady_clock::now() + patience;

  serve(server, 2,
        R"({"policy":{"credits":{"token":{}},"plans":{"pro":{"default":true,"entitlements":)"
        R"({"talk":{"renamed_from":["chat"],"limit":{"credit":"token","value":1000}}}}}}})");
  Others others(server);
  others.write("ann", [](Json& record) {
    record["meters"]["talk"] = record["meters"]["chat"];
    record["meters"].erase("chat");
  });
  server.listen_again();
  Json meters;
  do {
    meters = Json::parse(others.row("ann").record)["meters"];
  } while (meters.size() == 1 && meters["talk"]["value"] == 5 &&
           std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(meters.size(), 1U) << meters.dump();
  EXPECT_EQ(meters["talk"]["value"], 105) << meters.dump();
  EXPECT_EQ(**limitr->value("ann", "talk"), 105);
}

// Two engines of one server and one clock. The customer's grants follow a topup that resets.
class TwoEngines : public ::testing::Test {
protected:
  TwoEngines() {
    serve(server_, 1,
          R"({"policy":{"credits":{"token":{},"coin":{}},"plans":{"pro":{"default":true,)"
          R"("entitlements":{"chat":{"limit":{"credit":"token","value":1000}}},)"
          R"("topups":{"gift":{"credit":"coin","value":2,"included":true,"resets":true,)"
          R"("reset_inc":"1hr","reset_mode":"add"}}}}}})");
    one_.emplace(open());
    other_.emplace(open());
  }

  Limitr open(double room = 1) {
    CloudOptions with = options(server_);
    with.engine.clock = clock_;
    with.room = room;
    Result<Limitr> limitr = Limitr::cloud(with);
    if (!limitr.ok()) std::abort();
    return *std::move(limitr);
  }
  void an_hour_passes() { clock_->advance(3'700'000); }
  static std::string record(Limitr& limitr) { return (*limitr.customer("ann"))->dump(); }

  FakeServer server_;
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(1'767'225'600'000);
  std::optional<Limitr> one_;
  std::optional<Limitr> other_;
};

// Goal: a read that brings grants up to date writes nothing that another engine decides on.
TEST_F(TwoEngines, WhoReadsLeavesACustomerToItsHome) {
  ASSERT_TRUE(one_->ensure_customer("ann").ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(one_->allow("ann", "chat", 10)->allowed);
  ASSERT_TRUE(one_->flush().ok());
  ASSERT_TRUE(one_->allow("ann", "chat", 3)->allowed);
  an_hour_passes();
  EXPECT_EQ(**other_->credit_remaining("ann", "coin"), 4);
  EXPECT_TRUE(other_->check("ann", "chat", 1).ok());
  EXPECT_EQ(server_.count("recall"), 0U);
  EXPECT_FALSE(other_->allow("ann", "chat", 498)->allowed);
  EXPECT_TRUE(other_->allow("ann", "chat", 497)->allowed);
  EXPECT_EQ(**one_->value("ann", "chat"), 1000);
}

TEST_F(TwoEngines, AReadLeavesInMemoryWhatIsStored) {
  ASSERT_TRUE(one_->ensure_customer("ann").ok());
  ASSERT_FALSE(*other_->ensure_customer("ann"));
  ASSERT_EQ(**other_->credit_remaining("ann", "coin"), 2);
  an_hour_passes();
  EXPECT_EQ(**other_->credit_remaining("ann", "coin"), 4);
  EXPECT_EQ(record(*other_), record(*one_));
}

TEST_F(TwoEngines, ACallThatAddsNothingIsReported) {
  ASSERT_TRUE(one_->ensure_customer("ann").ok());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(one_->allow("ann", "chat", 5)->allowed);
  ASSERT_TRUE(one_->flush().ok());
  clock_->advance(1);
  ASSERT_TRUE(one_->allow("ann", "chat", 0)->allowed);
  ASSERT_TRUE(one_->flush().ok());
  EXPECT_EQ(record(*other_), record(*one_)) << "it is in the meter's history";
}

TEST_F(TwoEngines, ACustomerIsDeletedOnce) {
  ASSERT_TRUE(one_->create_customer("ann").ok());
  ASSERT_TRUE(other_->set_customer_plan("ann", "pro").ok());
  int told = 0;
  one_->add_handler("test", [&](const Event& event) { told += event.type == "customer-removed"; });
  EXPECT_TRUE(*other_->delete_customer("ann"));
  EXPECT_FALSE(*one_->delete_customer("ann"));
  EXPECT_EQ(told, 0);
}

TEST_F(TwoEngines, WithoutRoomEveryCallIsConfirmed) {
  Limitr roomless = open(0);
  ASSERT_TRUE(roomless.ensure_customer("ann").ok());
  for (const double units : {5.0, -2.0, 0.0}) {
    ASSERT_TRUE(roomless.allow("ann", "chat", units)->allowed);
    EXPECT_EQ(record(*other_), record(roomless));
  }
}

// Goal: what was not answered was not counted.
TEST_F(TwoEngines, OfCallsThatCannotAllBeMadeAtHomeNoneIs) {
  ASSERT_TRUE(one_->ensure_customer("ann").ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(one_->allow("ann", "chat", 10)->allowed);
  ASSERT_TRUE(one_->flush().ok());
  server_.stop_listening();
  server_.cut();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (one_->remaining("bob", "chat").ok() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  std::promise<Result<void>> made;
  bool is_allowed = true;
  one_->run_async(
      [&] {
        (void)one_->allow("bob", "chat", 1);
        const Result<Decision> decision = one_->allow("ann", "chat", 1);
        is_allowed = decision.ok() && decision->allowed;
      },
      [&](const Result<void>& safe) { made.set_value(safe); });
  (void)made.get_future().get();
  EXPECT_EQ(**one_->value("ann", "chat"), is_allowed ? 501 : 500);
}

}  // namespace
}  // namespace limitr
