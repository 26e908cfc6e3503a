// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/test_seed.h"
#include "child.h"
#include "site.h"

// A process calls an engine from several threads, and it or the server of its store is killed. What
// it had been told is there afterwards, nothing is half there, and no limit is passed.
// spec: state.md, Stores
namespace limitr::system_tests {
namespace {

constexpr int customers = 8;
constexpr int threads = 4;
constexpr Millis lease(200);

std::string policy_of(unsigned shared_limit) {
  return R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro:
      default: true
      entitlements:
        own: { limit: { credit: tok, value: 1e9, mode: soft } }
        shared: { scope: org, limit: { credit: tok, value: )" +
         std::to_string(shared_limit) + R"( } }
)";
}

// One call that was answered.
struct Answer {
  int customer;
  bool is_shared;
  bool is_allowed;
};

struct Setting {
  std::string name;
  std::string kind;
  std::size_t max_loaded = 0;
};

std::ostream& operator<<(std::ostream& out, const Setting& setting) { return out << setting.name; }

std::vector<Setting> settings_of(const std::vector<std::string>& kinds) {
  std::vector<Setting> settings;
  for (const std::string& kind : kinds) {
    settings.push_back({kind, kind});
    settings.push_back({kind + "_on_demand", kind, 2});
  }
  return settings;
}

/// What is metered: of each customer, of the org of all, and of the caps that moved along.
struct Counts {
  std::array<double, customers> own = {};
  double shared = 0;
  double capped = 0;

  void add(const Answer& answer) {
    if (!answer.is_allowed) return;
    (answer.is_shared ? shared : own[static_cast<std::size_t>(answer.customer)]) += 1;
  }
};

class Crashes : public ::testing::TestWithParam<Setting> {
protected:
  explicit Crashes(unsigned rounds)
      : rounds_(static_cast<unsigned>(number_from("LIMITR_CRASHES", rounds))),
        // Met after most of the rounds, however many there are.
        shared_limit_(40 * rounds_),
        policy_(policy_of(shared_limit_)),
        seed_(static_cast<unsigned>(printed_seed())),
        random_(seed_) {
    Limitr limitr = open();
    EXPECT_TRUE(limitr.create_customer("acme", {.type = "org"}).ok());
    for (int i = 0; i < customers; ++i) {
      const std::string id = std::to_string(i);
      EXPECT_TRUE(limitr.create_customer(id, {.refs = {{"acme"}}}).ok());
      EXPECT_TRUE((*limitr.add_customer_cap(id, 1e9, {.cap = "all"})).has_value());
    }
  }

  Limitr open() const {
    Options options;
    options.store = site_->url();
    options.max_loaded = GetParam().max_loaded;
    options.store_timeout = Millis(60'000);
    options.log = [](std::string_view) {};
    return open_engine(policy_, options);
  }

  /// The child: calls until it is killed.
  void hammer(const Told<Answer>& told, unsigned seed) const {
    Limitr limitr = open();
    std::vector<std::thread> callers;
    for (unsigned t = 0; t < threads; ++t) {
      callers.emplace_back([&, t] {
        std::minstd_rand random(seed + t);
        for (;;) call(limitr, told, static_cast<int>(random() % customers), random() % 2 == 0);
      });
    }
    for (std::thread& caller : callers) caller.join();
  }

  /// What failed has changed nothing, and is not told of.
  static void call(Limitr& limitr, const Told<Answer>& told, int customer, bool is_shared) {
    const auto decision = limitr.allow(std::to_string(customer), is_shared ? "shared" : "own", 1);
    if (decision.ok()) {
      told.tell({customer, is_shared, decision->allowed});
    } else if (decision.error().code != ErrorCode::store_unavailable) {
      std::fprintf(stderr, "%s\n", decision.error().to_string().c_str());
      std::_Exit(2);
    } else {
      std::this_thread::yield();
    }
  }

  /// What the next one finds.
  Counts stored() const {
    Counts counts;
    Limitr limitr = open();
    for (std::size_t i = 0; i < customers; ++i) {
      const std::string id = std::to_string(i);
      counts.own[i] = number(limitr.value(id, "own"));
      const auto cap = limitr.customer_cap(id, "all");
      if (cap.ok() && *cap) counts.capped += (**cap)["meter_value"].get<double>();
    }
    counts.shared = number(limitr.value("acme", "shared"));
    return counts;
  }

  /// `heard` is what the one before was told, together with what was there when it began.
  void compare(const Counts& heard, const Counts& there) const {
    double total = there.shared;
    double unanswered = there.shared - heard.shared;
    for (std::size_t i = 0; i < customers; ++i) {
      EXPECT_GE(there.own[i], heard.own[i]) << "an answered call of " << i << " is lost";
      unanswered += there.own[i] - heard.own[i];
      total += there.own[i];
    }
    EXPECT_GE(there.shared, heard.shared) << "an answered call on the org's meter is lost";
    EXPECT_LE(there.shared, shared_limit_);
    EXPECT_LE(unanswered, threads) << "each thread had one call in flight";
    EXPECT_EQ(there.capped, total) << "the caller's cap moved with the meter, or neither";
  }

  /// What the long form shows.
  void say() const {
    std::printf("%u kills, %llu calls answered by those killed%s\n", rounds_,
                static_cast<unsigned long long>(answers_),
                HasFailure() ? "" : ", none lost or torn");
  }

  const unsigned rounds_;
  std::uint64_t answers_ = 0;
  const unsigned shared_limit_;
  const std::string policy_;
  const unsigned seed_;
  std::minstd_rand random_;
  const std::unique_ptr<Site> site_ = make_site(GetParam().kind, lease);
};

class ProcessCrashes : public Crashes {
protected:
  ProcessCrashes() : Crashes(10) {}
};

TEST_P(ProcessCrashes, LoseNoAnsweredCallAndTearNone) {
  Counts known;
  for (unsigned round = 0; round < rounds_ && !HasFailure(); ++round) {
    Told<Answer> told;
    Child child([&] { hammer(told, seed_ + round * 100); });
    told.hear_only();
    const auto dies_after = random_() % 200;
    // Some die before they have told of anything: most of those while they open the store.
    if (dies_after < 20) {
      for (auto i = random_() % 2'000'000; i > 0; --i) asm volatile("");
      child.kill();
    }
    for (unsigned heard = 0; const auto answer = told.next();) {
      known.add(*answer);
      ++answers_;
      if (heard++ == dies_after) child.kill();
    }
    ASSERT_EQ(child.wait(), -SIGKILL);
    const Counts there = stored();
    compare(known, there);
    known = there;
  }
  say();
}

class ServerCrashes : public Crashes {
protected:
  ServerCrashes() : Crashes(5) {}
};

// The engine goes on by itself when the server is there again.
TEST_P(ServerCrashes, LoseNoAnsweredCallAndTearNone) {
  Told<Answer> told;
  Child child([&] { hammer(told, seed_); });
  told.hear_only();
  Counts known;
  for (unsigned round = 0; round < rounds_; ++round) {
    for (auto left = 50 + random_() % 200; left > 0; --left) {
      const auto answer = told.next();
      ASSERT_TRUE(answer.has_value()) << "exit code " << child.wait();
      known.add(*answer);
      ++answers_;
    }
    site_->kill();
    site_->start();
  }
  for (int left = 100; left > 0; --left) {
    const auto answer = told.next();
    ASSERT_TRUE(answer.has_value()) << "exit code " << child.wait();
    known.add(*answer);
  }
  child.kill();
  while (const auto answer = told.next()) known.add(*answer);
  ASSERT_EQ(child.wait(), -SIGKILL);
  compare(known, stored());
  say();
}

std::string name_of(const ::testing::TestParamInfo<Setting>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Stores, ProcessCrashes, ::testing::ValuesIn(settings_of(lasting_kinds())),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Servers, ServerCrashes, ::testing::ValuesIn(settings_of(server_kinds())),
                         name_of);

}  // namespace
}  // namespace limitr::system_tests
