// SPDX-License-Identifier: Apache-2.0
#include "sharers.h"

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "benches.h"
#include "data_set.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

constexpr std::size_t processes = 2;

std::uint64_t hear_count(Child& child) {
  const std::optional<std::string> line = child.hear();
  if (!line) {
    stop({.code = ErrorCode::io_failed, .message = "a process that shares the store has ended"});
  }
  return std::strtoull(line->c_str(), nullptr, 10);
}

Limitr shared_engine_at(const std::string& url, double limit) {
  if (url.starts_with("cloud:")) return cloud_engine_at(url);
  return engine_at(url, limit,
                   {.shared = true, .accept_weaker = true, .log = [](std::string_view) {}});
}

}  // namespace

Sharers::Sharers(const std::string& url, const SharedCalls& work) : calls_(work.calls) {
  for (std::size_t i = 0; i < processes; ++i) {
    children_.push_back(std::make_unique<Child>(
        std::vector<std::string>{"--share", url, fmt::format("{:.0f}", work.limit),
                                 std::to_string(i), std::to_string(work.customers),
                                 std::to_string(work.calls), std::to_string(work.in_flight)}));
  }
  for (const auto& child : children_) hear_count(*child);
}

Sample Sharers::call() {
  const Stopwatch watch;
  for (const auto& child : children_) child->say("go");
  std::uint64_t allowed = 0;
  for (const auto& child : children_) allowed += hear_count(*child);
  return {static_cast<double>(calls_) / watch.seconds(), allowed};
}

bool Sharers::finish() {
  bool all_well = true;
  for (const auto& child : children_) all_well = child->finish() && all_well;
  return all_well;
}

int share_calls(const std::string& url, const SharedCalls& work, std::size_t process) {
  const std::vector<std::string> ids = customer_ids(0, work.customers);
  const std::vector<std::string> all = random_keys(ids, work.calls);
  const auto at = [&](std::size_t part) {
    return all.begin() + static_cast<std::ptrdiff_t>(part * work.calls / processes);
  };
  const std::vector<std::string> keys(at(process), at(process + 1));
  Limitr limitr = shared_engine_at(url, work.limit);
  required(limitr.warm(ids));
  fmt::print("0\n");
  std::fflush(stdout);
  while (std::getc(stdin) != EOF) {
    for (int rest = 0; rest != '\n' && rest != EOF;) rest = std::getc(stdin);
    fmt::print("{}\n", time_in_flight(limitr, keys, work.in_flight).answers);
    std::fflush(stdout);
  }
  required(limitr.close());
  return 0;
}

}  // namespace limitr::bench
