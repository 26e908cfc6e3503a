// SPDX-License-Identifier: Apache-2.0
// Question: do two threads that call for different customers get in each other's way? Two maps
// with a lock each never do, so what they reach is what this machine has to give.

#include <algorithm>
#include <barrier>
#include <span>
#include <thread>

#include "bare_map.h"
#include "benches.h"
#include "data_set.h"

namespace limitr::bench {

namespace {

constexpr std::size_t threads_max = 2;
constexpr std::size_t customers_each = 500;

// What one thread did, by its own clock: whoever starts and joins the threads may get a processor
// only after they are done.
struct ThreadTime {
  std::chrono::steady_clock::time_point begin;
  std::chrono::steady_clock::time_point end;
  std::uint64_t allowed = 0;
};

// Runs call(thread, key) over each thread's keys, on `threads` threads at once: seconds from the
// first one's begin to the last one's end, and how many calls were allowed.
template <typename Call>
Sample time_threads(std::size_t threads, const std::vector<std::vector<std::string>>& keys,
                    Call call) {
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<ThreadTime> times(threads);
  std::vector<std::thread> running;
  running.reserve(threads);
  for (std::size_t thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      ThreadTime time;
      start.arrive_and_wait();
      time.begin = std::chrono::steady_clock::now();
      for (const std::string& key : keys[thread]) time.allowed += call(thread, key) ? 1U : 0U;
      time.end = std::chrono::steady_clock::now();
      times[thread] = time;
    });
  }
  for (std::thread& thread : running) thread.join();
  ThreadTime all = times[0];
  for (const ThreadTime& time : std::span(times).subspan(1)) {
    all.begin = std::min(all.begin, time.begin);
    all.end = std::max(all.end, time.end);
    all.allowed += time.allowed;
  }
  return {std::chrono::duration<double>(all.end - all.begin).count(), all.allowed};
}

// Throughput of two threads, each doing what one did alone, over the throughput of the one.
template <typename Call>
Sample scaling(const std::vector<std::vector<std::string>>& keys, Call call) {
  const Sample one = time_threads(1, keys, call);
  const Sample two = time_threads(2, keys, call);
  return {2 * one.figure / two.figure, one.answers + two.answers};
}

}  // namespace

Row threads_2(const Size& size, Checks& checks) {
  const std::size_t calls = size.of(1'000'000, 10'000);
  const std::vector<std::string> first = customer_ids(0, customers_each);
  const std::vector<std::string> second = customer_ids(customers_each, customers_each);
  const std::vector<std::vector<std::string>> keys = {random_keys(first, calls),
                                                      random_keys(second, calls)};
  // The first thread's customers are called twice in each run, once while it is alone.
  const double limit = binding_limit(static_cast<double>(calls * 2 * (size.runs() + 1)) /
                                     static_cast<double>(customers_each));
  Limitr limitr = engine_with_customers(threads_max * customers_each, limit);
  BareMap first_map(first, calls_before, limit);
  BareMap second_map(second, calls_before, limit);
  const std::array<BareMap*, threads_max> maps = {&first_map, &second_map};

  const auto ours = [&] {
    return scaling(keys, [&](std::size_t, const std::string& id) {
      const Result<Decision> decision = limitr.allow(id, called, 1);
      return decision.ok() && decision->allowed;
    });
  };
  const auto comparator = [&] {
    return scaling(keys, [&](std::size_t thread, const std::string& id) {
      return maps[thread]->allow(id, 1);
    });
  };
  const Figures figures = alternate(size.runs(), checks, ours, comparator);
  return {.name = "threads_2",
          .value = figures.ours,
          .unit = "x",
          .lower_is_better = false,
          .comparator = Comparator{"two bare maps", *figures.comparator},
          .ratio = figures.ratio,
          .goal = {Goal::Of::ratio, Goal::Op::at_least, 0.9},
          .runs = figures.runs};
}

}  // namespace limitr::bench
