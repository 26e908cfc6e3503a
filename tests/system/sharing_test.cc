// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "backends.h"
#include "base/test_seed.h"
#include "child.h"
#include "site.h"
#include "socket_server.h"

// Processes that share a store, one customer, and the IDs of their requests, while connections
// break and one of them dies: no more is answered than there is, nothing is stranded, and what was
// asked twice counts once. spec: state.md, Stores, Shared
namespace limitr::system_tests {
namespace {

constexpr int processes = 8;
constexpr int threads_each = 2;

struct Answer {
  int process;
  int request;
  bool allowed;
  bool repeated;
};

std::string policy_of(int limit) {
  return R"(
policy:
  request_limit: 100000
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro: { default: true, entitlements: { chat: { limit: { credit: tok, value: )" +
         std::to_string(limit) + R"( } } } }
)";
}

Options options_of(const std::string& url) {
  Options options;
  options.store = url;
  options.shared = true;
  options.store_timeout = Millis(1000);
  options.log = [](std::string_view) {};
  return options;
}

std::string request_id(int request) { return "request " + std::to_string(request); }

// Asks until there is an answer: what nobody knows of may have counted, and counts once.
Decision insist(Limitr& limitr, int request) {
  std::optional<Decision> decision;
  const std::string id = request_id(request);
  const bool is_answered = comes_true([&] {
    const Result<Decision> answer = limitr.allow("ann", "chat", 1, {.request = id});
    if (answer.ok()) {
      decision = *answer;
    } else if (answer.error().code != ErrorCode::store_unavailable &&
               answer.error().code != ErrorCode::outcome_unknown) {
      std::fprintf(stderr, "%s: %s\n", id.c_str(), answer.error().to_string().c_str());
      std::_Exit(2);
    }
    return decision.has_value();
  });
  if (!is_answered) std::_Exit(4);
  return *decision;
}

// A process: asks for everything, in an order of its own.
void ask_for_all(const Told<Answer>& told, const Options& options, int limit, int requests,
                 int process, unsigned seed) {
  Limitr limitr = open_engine(policy_of(limit), options);
  std::vector<int> order(static_cast<std::size_t>(requests));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::minstd_rand(seed + static_cast<unsigned>(process)));
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < threads_each; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < order.size(); i += threads_each) {
        const Decision decision = insist(limitr, order[i]);
        told.tell({process, order[i], decision.allowed, decision.repeated});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class SharedLimit : public ::testing::TestWithParam<std::string> {};

TEST_P(SharedLimit, IsMetExactlyThroughDeathsAndCuts) {
  const int limit = static_cast<int>(number_from("LIMITR_SHARED", 150));
  const int requests = limit + limit / 3;
  const auto seed = static_cast<unsigned>(printed_seed());
  const std::unique_ptr<Site> site = make_site(GetParam());
  const TestFolder folder;
  {
    Limitr first = open_engine(policy_of(limit), options_of(site->url()));
    ASSERT_TRUE(first.create_customer("ann").ok());
  }
  Told<Answer> told;
  std::vector<Child> children;
  for (int p = 0; p < processes; ++p) {
    children.emplace_back([&, p] {
      ask_for_all(told, options_of(site->url_through(folder.path())), limit, requests, p, seed);
    });
  }
  told.hear_only();

  store::Proxy proxy(folder.file(site->socket_name()), site->socket());
  std::minstd_rand random(seed);
  std::map<int, int> first_answers;  // by request
  std::set<int> allowed;
  std::set<int> denied;
  const auto dies_after = static_cast<int>(random() % static_cast<unsigned>(limit)) + 10;
  int heard = 0;
  while (const auto answer = told.next()) {
    ++heard;
    if (answer->allowed) allowed.insert(answer->request);
    if (answer->allowed && !answer->repeated) ++first_answers[answer->request];
    if (!answer->allowed) denied.insert(answer->request);
    if (heard == dies_after) children[0].kill();
    if (random() % 20 == 0) proxy.lose_answer();
    if (random() % 100 == 0) site->cut();
  }
  EXPECT_EQ(children[0].wait(), -SIGKILL);
  for (int p = 1; p < processes; ++p) EXPECT_EQ(children[static_cast<std::size_t>(p)].wait(), 0);

  for (const auto& [request, times] : first_answers) EXPECT_EQ(times, 1) << request_id(request);
  for (const int request : denied) EXPECT_FALSE(allowed.contains(request)) << request_id(request);
  EXPECT_LE(allowed.size(), static_cast<std::size_t>(limit));
  Limitr after = open_engine(policy_of(limit), options_of(site->url()));
  EXPECT_EQ(number(after.value("ann", "chat")), limit);
  int counted = 0;
  int unheard = 0;
  for (int request = 0; request < requests; ++request) {
    const Decision decision = insist(after, request);
    EXPECT_EQ(decision.allowed, decision.repeated) << request_id(request);
    counted += decision.allowed ? 1 : 0;
    unheard += decision.allowed && !allowed.contains(request) ? 1 : 0;
    EXPECT_TRUE(decision.allowed || !allowed.contains(request)) << request_id(request);
  }
  EXPECT_EQ(counted, limit);
  EXPECT_LE(unheard, threads_each) << "only who was killed left calls unanswered";
}

std::string name_of(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Server, SharedLimit, ::testing::ValuesIn(server_kinds()), name_of);

}  // namespace
}  // namespace limitr::system_tests
