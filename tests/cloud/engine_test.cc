// SPDX-License-Identifier: Apache-2.0
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limitr/limitr.h>
#include "fake_server.h"

namespace limitr {
namespace {

using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::ServerSettings;

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
    return changed.wait_for(lock, std::chrono::seconds(20), condition);
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
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
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

}  // namespace
}  // namespace limitr
