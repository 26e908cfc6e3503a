// SPDX-License-Identifier: Apache-2.0
// Question: what do a million customers in a file cost whoever opens it, and every call afterwards?

#include <cstdio>
#include <cstdlib>

#include "benches.h"
#include "child.h"
#include "data_set.h"
#include "folder.h"
#include "heap.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

// What an engine that a process of its own opened has told.
struct Reopened {
  double seconds = 0;  // until the first answer
  double growth = 0;   // of resident memory, bytes
  std::uint64_t found = 0;
};

constexpr std::size_t looked_at_every = 997;

std::size_t looked_at(std::size_t count) { return (count + looked_at_every - 1) / looked_at_every; }

// In a process of its own: what the engine takes is not hidden by what another has let go of, and
// the time is that of a restart.
Reopened reopen_in_child(const std::string& url, bool all, std::size_t count, std::size_t first,
                         Checks& checks) {
  Child child(
      {"--reopen", url, all ? "all" : "demand", std::to_string(count), std::to_string(first)});
  const std::optional<std::string> line = child.hear();
  Reopened reopened;
  if (child.finish() && line) {
    char* rest = nullptr;
    reopened.seconds = std::strtod(line->c_str(), &rest);
    reopened.growth = std::strtod(rest, &rest);
    reopened.found = std::strtoull(rest, nullptr, 10);
  }
  checks.same<std::uint64_t>("customers that the engine found again", reopened.found,
                             all ? looked_at(count) + 1 : 1);
  return reopened;
}

// Calls for a million customers, next to calls for a thousand.
Figures flat(const Size& size, const Folder& folder, std::size_t count, Checks& checks) {
  const std::vector<std::string> many = customer_ids(0, count);
  const std::vector<std::string> few = customer_ids(0, size.of(1000, 100));
  const std::vector<std::string> keys = random_keys(many, size.of(300, 100));
  const std::vector<std::string> few_keys = random_keys(few, keys.size());
  put_customers(folder.url("few"), few.size(), no_limit);
  const std::size_t runs = size.runs(5);
  Figures figures;
  {
    Limitr of_many = engine_at(folder.url("many"), no_limit);
    Limitr of_few = engine_at(folder.url("few"), no_limit);
    figures = alternate(
        runs, checks, [&] { return time_one_by_one(of_many, keys); },
        [&] { return time_one_by_one(of_few, few_keys); });
  }
  compare_stored(folder.url("few"), few, few_keys, runs + 1, checks);
  compare_stored(folder.url("many"), keys, keys, runs + 1, checks);
  return figures;
}

Row alone(std::string_view name, const Figures& figures, std::string_view unit, double at_most) {
  return {.name = name,
          .value = figures.ours,
          .unit = unit,
          .lower_is_better = true,
          .comparator = std::nullopt,
          .ratio = std::nullopt,
          .goal = {Goal::Of::value, Goal::Op::at_most, at_most},
          .runs = figures.runs};
}

}  // namespace

std::vector<Row> sqlite_million(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::size_t count = size.of(1'000'000, 10'000);
  const std::string url = folder.url("many");
  const Stopwatch watch;
  put_customers(url, count, no_limit);
  if (!size.quick) {
    fmt::print(stderr, "limitr bench: {} customers written in {:.0f} s\n", count, watch.seconds());
  }

  // Before flat() moves any meter.
  std::vector<double> seconds;
  std::vector<double> bytes;
  for (std::size_t run = 0; run < size.runs(3); ++run) {
    const Reopened all = reopen_in_child(url, true, count, run, checks);
    seconds.push_back(all.seconds);
    bytes.push_back(all.growth / static_cast<double>(count));
  }
  std::vector<double> first_answers;
  for (std::size_t run = 0; run < size.runs(); ++run) {
    const std::size_t customer = count / 2 + 1000 * run + 1;
    first_answers.push_back(1e3 * reopen_in_child(url, false, count, customer, checks).seconds);
  }
  const Figures figures = flat(size, folder, count, checks);
  return {
      {.name = "sqlite_flat",
       .value = figures.ours,
       .unit = "us",
       .lower_is_better = true,
       .comparator = Comparator{"1,000 customers", *figures.comparator},
       .ratio = figures.ratio,
       .goal = {Goal::Of::ratio, Goal::Op::at_most, 2},
       .runs = figures.runs},
      alone("restart_demand",
            {median(first_answers), std::nullopt, std::nullopt, first_answers.size()}, "ms", 100),
      alone("restart_all", {median(seconds), std::nullopt, std::nullopt, seconds.size()}, "s", 8),
      alone("bytes_1m_store", {median(bytes), std::nullopt, std::nullopt, bytes.size()}, "bytes",
            480)};
}

int print_reopened(const std::string& url, bool all, std::size_t count, std::size_t first) {
  const double before = resident_bytes();
  const Stopwatch watch;
  Limitr limitr = engine_at(url, no_limit, {.load_all = all});
  const Decision decision = required(limitr.allow(customer_id(first), called, 1));
  const double seconds = watch.seconds();
  const double growth = resident_bytes() - before;
  std::uint64_t found = decision && decision.value == calls_before + 1 ? 1 : 0;
  for (std::size_t i = 0; all && i < count; i += looked_at_every) {
    if (has_three_full_meters(limitr, customer_id(i))) ++found;
  }
  // The next one finds the meter as it was.
  required(limitr.set(customer_id(first), called, calls_before));
  required(limitr.close());
  fmt::print("{} {} {}\n", seconds, growth, found);
  return 0;
}

}  // namespace limitr::bench
