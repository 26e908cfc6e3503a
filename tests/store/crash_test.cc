// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "backends.h"
#include "base/test_seed.h"

// kill -9 at any moment loses no group whose commit was answered, and tears none.
// LIMITR_CRASH_ROUNDS asks for more rounds, LIMITR_SEED plays one run's choices again.
namespace limitr::store {
namespace {

constexpr std::uint64_t families = 5;

std::string member(std::uint64_t family, int number) {
  return "family " + std::to_string(family) + " member " + std::to_string(number);
}

/// Three customers who all say the group's number.
Group family_group(std::uint64_t number) {
  const std::string text = std::to_string(number);
  Group group = a_group(number, {});
  for (int i = 0; i < 3; ++i) {
    const std::string id = member(number % families, i);
    group.customers.push_back(put(id, text, {"alt " + text + " of " + id}));
    group.customers.back().new_requests = {a_request(number)};
    group.customers.back().first_request = number;
  }
  return group;
}

/// The child: commits one group after the other and tells of each when it is answered.
[[noreturn]] void commit_for_ever(Place& place, int reports) {
  const auto store = place.store();
  const auto opened = store->open(Access::own, an_owner());
  if (!opened.ok()) std::_Exit(1);
  for (std::uint64_t number = opened->last_group + 1;; ++number) {
    if (!store->commit(family_group(number)).ok()) std::_Exit(2);
    if (::write(reports, &number, sizeof number) != sizeof number) std::_Exit(3);
  }
}

/// Lets a child commit, kills it somewhere after some answers, and gives the last answered group.
std::uint64_t run_and_kill(Place& place, std::mt19937_64& random) {
  int pipes[2];
  if (::pipe(pipes) != 0) return 0;
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::close(pipes[0]);
    commit_for_ever(place, pipes[1]);
  }
  ::close(pipes[1]);
  std::uint64_t last = 0;
  const auto receive = [&] {
    std::uint64_t number = 0;
    if (::read(pipes[0], &number, sizeof number) != sizeof number) return false;
    last = number;
    return true;
  };
  const std::uint64_t answers = random() % 40;
  for (std::uint64_t i = 0; i < answers && receive(); ++i) {
  }
  // Somewhere inside the next commit, or the first.
  for (std::uint64_t i = random() % 2'000'000; i > 0; --i) asm volatile("");
  ::kill(child, SIGKILL);
  while (receive()) {
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
  ::close(pipes[0]);
  return last;
}

/// Opens as soon as what the one that was killed held has run out.
Opened open_once_free(Store& store) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < deadline) {
    Result<Opened> opened = store.open(Access::own, an_owner());
    if (opened.ok()) return *std::move(opened);
    if (opened.error().code != ErrorCode::store_owned) break;
  }
  return open_own(store);
}

/// Every family is of one group: the newest of its groups up to the store's last.
void expect_whole(Store& store, std::uint64_t last_group) {
  std::map<std::string, StoredCustomer> found;
  for (StoredCustomer& customer : scan_all(store)) found[customer.id] = std::move(customer);
  for (std::uint64_t family = 0; family < families; ++family) {
    std::uint64_t newest = last_group;
    while (newest > 0 && newest % families != family) --newest;
    if (newest == 0) continue;
    for (int i = 0; i < 3; ++i) {
      const std::string id = member(family, i);
      ASSERT_TRUE(found.contains(id)) << id;
      EXPECT_EQ(found[id].record, std::to_string(newest));
      EXPECT_EQ(found[id].version, newest);
      EXPECT_EQ(found[id].requests, std::vector{a_request(newest)});
      EXPECT_TRUE(read_one(store, "alt " + std::to_string(newest) + " of " + id));
    }
  }
}

class Crash : public ::testing::TestWithParam<Backend> {};

INSTANTIATE_TEST_SUITE_P(Stores, Crash, ::testing::ValuesIn(backends_that_outlive_process()),
                         backend_name);

TEST_P(Crash, NoAnsweredGroupIsLostAndNoneIsTorn) {
  std::mt19937_64 random(printed_seed());
  const std::uint64_t rounds = number_from("LIMITR_CRASH_ROUNDS", 30);
  const auto place = GetParam().make();
  std::uint64_t before = 0;
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    const std::uint64_t answered = run_and_kill(*place, random);
    const auto store = place->store();
    const Opened opened = open_once_free(*store);
    // One more may have been written whose answer nobody got.
    EXPECT_GE(opened.last_group, std::max(answered, before));
    EXPECT_LE(opened.last_group, std::max(answered, before) + 1);
    before = opened.last_group;
    expect_whole(*store, opened.last_group);
  }
}

}  // namespace
}  // namespace limitr::store
