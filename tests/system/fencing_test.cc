// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "child.h"
#include "site.h"

// An owner that stands still for longer than its lease, while another one takes the store over.
// spec: state.md, Stores, Exclusive
namespace limitr::system_tests {
namespace {

constexpr int threads = 3;

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro: { default: true, entitlements: { chat: { limit: { credit: tok, value: 1e9 } } } }
)";

enum class Kind : std::uint8_t { answered, fenced, failed };

struct Answer {
  Kind kind;
  int thread;
};

Options options_of(const Site& site) {
  Options options;
  options.store = site.url();
  options.log = [](std::string_view) {};
  return options;
}

// Calls until each thread has been told often enough that the engine is of the past.
void call_on(const Told<Answer>& told, const Options& options) {
  constexpr int often_enough = 50;
  Limitr limitr = open_engine(policy, options);
  if (!limitr.check("bob", "chat", 1).ok()) std::_Exit(6);  // It has bob in memory from now on.
  std::vector<std::thread> callers;
  for (int t = 0; t < threads; ++t) {
    callers.emplace_back([&, t] {
      for (int refused = 0; refused < often_enough;) {
        const auto answer = limitr.allow("ann", "chat", 1);
        const bool is_fenced = !answer.ok() && answer.error().code == ErrorCode::store_fenced;
        if (is_fenced) ++refused;
        // From the first on, whatever is asked, also of whom nothing has changed.
        for (const char* id : {"ann", "bob"}) {
          if (is_fenced && limitr.check(id, "chat", 1).ok()) told.tell({Kind::failed, t});
          if (is_fenced && limitr.value(id, "chat").ok()) told.tell({Kind::failed, t});
        }
        told.tell({answer.ok() ? Kind::answered : is_fenced ? Kind::fenced : Kind::failed, t});
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  const auto closed = limitr.close();
  if (closed.ok() || closed.error().code != ErrorCode::store_fenced) std::_Exit(5);
}

class PausedOwner : public ::testing::TestWithParam<std::string> {};

TEST_P(PausedOwner, IsFencedAndWritesNothingAnyMore) {
  const std::unique_ptr<Site> site = make_site(GetParam(), Millis(300));
  {
    Limitr first = open_engine(policy, options_of(*site));
    ASSERT_TRUE(first.create_customer("ann").ok());
    ASSERT_TRUE(first.create_customer("bob").ok());
  }
  Told<Answer> told;
  Child owner([&] { call_on(told, options_of(*site)); });
  told.hear_only();
  double answered = 0;
  while (answered < 200) {
    const auto answer = told.next();
    ASSERT_TRUE(answer && answer->kind == Kind::answered);
    ++answered;
  }
  owner.stop();

  Limitr successor = open_engine(policy, options_of(*site));
  const double taken_over = number(successor.value("ann", "chat"));
  constexpr double mine = 10;
  for (int i = 0; i < mine; ++i) ASSERT_TRUE(*successor.allow("ann", "chat", 1));
  owner.go_on();
  bool is_fenced[threads] = {};
  double own = mine;
  while (const auto answer = told.next()) {
    // Both write at the same time, one of them in vain.
    ASSERT_TRUE(*successor.allow("ann", "chat", 1));
    ++own;
    ASSERT_NE(answer->kind, Kind::failed);
    if (answer->kind == Kind::fenced) is_fenced[answer->thread] = true;
    if (answer->kind != Kind::answered) continue;
    EXPECT_FALSE(is_fenced[answer->thread]) << "it was told before that it is of the past";
    ++answered;
  }
  EXPECT_EQ(owner.wait(), 0);
  EXPECT_LE(answered, taken_over) << "what it was told is there";
  EXPECT_LE(taken_over, answered + threads) << "each thread had one call in flight";
  EXPECT_EQ(number(successor.value("ann", "chat")), taken_over + own);
  ASSERT_TRUE(successor.close().ok());
  Limitr third = open_engine(policy, options_of(*site));
  EXPECT_EQ(number(third.value("ann", "chat")), taken_over + own);
}

std::string name_of(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Server, PausedOwner, ::testing::ValuesIn(server_kinds()), name_of);

}  // namespace
}  // namespace limitr::system_tests
