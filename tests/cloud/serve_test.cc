// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limitr/limitr.h>
#include "serve_process.h"

// Engines of Limitr::cloud() and a `limitr serve`, a process of its own.
namespace limitr {
namespace {

constexpr auto patience = std::chrono::seconds(30);

std::string policy_of(int limit) {
  return fmt::format(
      "policy:\n  credits: {{ token: {{}} }}\n  plans:\n    pro:\n      default: true\n"
      "      entitlements:\n        chat: {{ limit: {{ credit: token, value: {} }} }}\n",
      limit);
}

class ServeTest : public ::testing::Test {
protected:
  void SetUp() override {
    write_policy(1000);
    start();
  }

  void write_policy(int limit) { std::ofstream(server_.policy_file()) << policy_of(limit); }
  void start() { server_.start({"--policy", server_.policy_file(), "--lease", "3s"}); }
  Limitr engine() { return testing::opened(server_.options()); }

  template <typename Condition>
  static bool comes(const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }

  testing::ServeProcess server_;
};

TEST_F(ServeTest, ALimitHoldsExactlyOverEnginesAndThreads) {
  std::vector<Limitr> engines;
  for (int i = 0; i < 3; ++i) engines.push_back(engine());
  ASSERT_TRUE(engines[0].ensure_customer("ann").ok());
  std::atomic<int> allowed{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (Limitr& limitr : engines) {
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        for (int call = 0; call < 300; ++call) {
          const Result<Decision> decision = limitr.allow("ann", "chat", 1);
          if (!decision.ok()) {
            ++failed;
          } else if (decision->allowed) {
            ++allowed;
          }
        }
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(allowed, 1000);
}

TEST_F(ServeTest, CloseHandsEverythingOver) {
  Limitr one = engine();
  ASSERT_TRUE(one.ensure_customer("ann").ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(one.allow("ann", "chat", 1)->allowed);
  ASSERT_TRUE(one.close().ok());
  Limitr other = engine();
  EXPECT_EQ(**other.value("ann", "chat"), 50);
  EXPECT_EQ(**other.remaining("ann", "chat"), 950);
}

TEST_F(ServeTest, NoUseIsLostOrCountedTwiceWhenTheServerDies) {
  Limitr limitr = engine();
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  write_policy(1'000'000'000);
  ASSERT_TRUE(comes([&] { return **limitr.limit("ann", "chat") > 1000; }));
  std::atomic<bool> stop{false};
  std::atomic<int> allowed{0};
  std::atomic<int> unknown{0};
  std::thread calls([&] {
    while (!stop) {
      const Result<Decision> decision = limitr.allow("ann", "chat", 1);
      if (!decision.ok()) {
        if (decision.error().code == ErrorCode::outcome_unknown) ++unknown;
      } else if (decision->allowed) {
        ++allowed;
      }
    }
  });
  for (int death = 0; death < 3; ++death) {
    const int before = allowed;
    EXPECT_TRUE(comes([&] { return allowed >= before + 10; }));
    server_.stop(SIGKILL);
    start();
  }
  const int before = allowed;
  EXPECT_TRUE(comes([&] { return allowed >= before + 10; }));
  stop = true;
  calls.join();
  ASSERT_TRUE(limitr.close().ok());
  Limitr other = engine();
  const double value = **other.value("ann", "chat");
  EXPECT_GE(value, allowed);
  EXPECT_LE(value, allowed + unknown);
}

// Goal: what an engine knew of a deleted customer does not keep it from whoever has the ID since.
TEST_F(ServeTest, AnIdThatIsAnothersAlternateIdByNowLeadsToThatOne) {
  Limitr one = engine();
  Limitr other = engine();
  ASSERT_TRUE(one.create_customer("ann", {.alts = {"x"}}).ok());
  ASSERT_TRUE(one.create_customer("bob").ok());
  ASSERT_TRUE(*other.delete_customer("ann"));
  ASSERT_TRUE(*other.set_alt_customer_id("bob", "ann"));
  const Result<Decision> nobodys = one.allow("x", "chat", 1);
  ASSERT_TRUE(nobodys.ok()) << nobodys.error().to_string();
  EXPECT_EQ(nobodys->reason, Reason::unknown_customer);
  const Result<Decision> bobs = one.allow("ann", "chat", 1);
  ASSERT_TRUE(bobs.ok()) << bobs.error().to_string();
  EXPECT_TRUE(bobs->allowed);
  EXPECT_EQ(**other.value("bob", "chat"), 1);
}

TEST_F(ServeTest, FollowsThePolicyOfTheServer) {
  Limitr limitr = engine();
  ASSERT_TRUE(limitr.ensure_customer("ann").ok());
  EXPECT_FALSE(limitr.allow("ann", "chat", 1500)->allowed);
  write_policy(2000);
  EXPECT_TRUE(comes([&] { return **limitr.limit("ann", "chat") == 2000; }));
  EXPECT_TRUE(limitr.allow("ann", "chat", 1500)->allowed);
}

}  // namespace
}  // namespace limitr
