// SPDX-License-Identifier: Apache-2.0
// Question: what do a server's engines and customers cost, and how soon do engines have what they
// are to have?

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <thread>

#include "benches.h"
#include "child.h"
#include "cloud_server.h"
#include "data_set.h"
#include "folder.h"
#include "heap.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

Row alone(std::string_view name, const std::vector<double>& figures, std::string_view unit,
          double at_most) {
  return {.name = name,
          .value = median(figures),
          .unit = unit,
          .lower_is_better = true,
          .comparator = std::nullopt,
          .ratio = std::nullopt,
          .goal = {Goal::Of::value, Goal::Op::at_most, at_most},
          .runs = figures.size()};
}

// What it took an engine to have customers, run by run.
struct Fetching {
  std::vector<double> ms;
  std::vector<double> trips;

  template <typename Fetch>
  void measure(const CloudServer& server, const Fetch& fetch) {
    const std::size_t before = server.requests();
    const Stopwatch watch;
    fetch();
    ms.push_back(watch.seconds() * 1e3);
    trips.push_back(static_cast<double>(server.requests() - before));
  }
};

// All on their way at once, as a service makes sure of those that it is going to need. How many
// were made.
std::size_t ensure_all(Limitr& limitr, const std::vector<std::string>& ids) {
  std::latch answered(static_cast<std::ptrdiff_t>(ids.size()));
  std::vector<Result<bool>> made(ids.size(), false);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    limitr.run_async([&, i] { made[i] = limitr.ensure_customer(ids[i]); },
                     [&, i](Result<void> safe) {
                       if (!safe.ok()) made[i] = std::move(safe).error();
                       answered.count_down();
                     },
                     /*about=*/ids[i]);
  }
  answered.wait();
  std::size_t count = 0;
  for (Result<bool>& one : made) count += required(std::move(one)) ? 1U : 0U;
  return count;
}

std::vector<Limitr> engines_of(const CloudServer& server, std::size_t count) {
  std::vector<Limitr> engines;
  engines.reserve(count);
  for (std::size_t i = 0; i < count; ++i) engines.push_back(server.engine());
  return engines;
}

// The limit that an engine decides by.
double limit_of(const Limitr& limitr) {
  const Json limit = limitr.policy()["policy"]["plans"]["pro"]["entitlements"][called]["limit"];
  return limit.at("value").get<double>();
}

// In a process of its own: resident growth by customer; none where it failed.
std::optional<double> growth_in_child(const std::vector<std::string>& arguments,
                                      std::size_t customers) {
  Child child(arguments);
  const std::optional<std::string> growth = child.hear();
  if (!child.finish() || !growth) return std::nullopt;
  return std::strtod(growth->c_str(), nullptr) / static_cast<double>(customers);
}

Row connection_memory(const Size& size, const CloudServer& server, Checks& checks) {
  const std::size_t count = size.of(200, 20);
  // The first ones bring what all of them use.
  std::vector<Limitr> first = engines_of(server, count / 10);
  const double before = server.resident_bytes();
  std::vector<Limitr> engines = engines_of(server, count);
  const double growth = server.resident_bytes() - before;
  checks.is_true("the server's memory is known", before > 0);
  for (Limitr& engine : engines) {
    checks.is_true("a connection is served", required(engine.customer(customer_id(0))).has_value());
  }
  return alone("cloud_connection_memory", {growth / static_cast<double>(count) / 1024}, "kB", 20);
}

Row customer_memory(const Size& size, const CloudServer& server, std::size_t count,
                    Checks& checks) {
  const auto sample = [&](const std::vector<std::string>& arguments) {
    const std::optional<double> bytes = growth_in_child(arguments, count);
    checks.is_true("the process with the customers found them complete", bytes.has_value());
    return Sample{bytes.value_or(0), bytes ? count : 0};
  };
  const std::string number = std::to_string(count);
  const Figures figures = alternate(
      size.runs(3), checks, [&] { return sample({"--loaded", server.url(), number}); },
      [&] { return sample({"--resident", number}); });
  return {.name = "cloud_customer_memory",
          .value = figures.ours,
          .unit = "bytes",
          .lower_is_better = true,
          .comparator = Comparator{"no server", *figures.comparator},
          .ratio = figures.ratio,
          .goal = {Goal::Of::ratio, Goal::Op::at_most, 1},
          .runs = figures.runs};
}

}  // namespace

std::vector<Row> cloud_warm(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::size_t count = size.of(1000, 100);
  const std::vector<std::string> ids = customer_ids(0, count);
  put_customers(folder.url("served"), count, no_limit);
  const CloudServer server(folder.url("served"), no_limit);
  Fetching warmed;
  Fetching ensured;
  Fetching made;
  const auto expect_them = [&](Limitr& limitr) {
    for (const std::string& id : ids) {
      checks.same(fmt::format("meter of {}", id), required(limitr.value(id, called)).value_or(-1),
                  calls_before);
    }
  };
  for (std::size_t run = 0; run < size.runs(); ++run) {
    {
      Limitr limitr = server.engine();
      warmed.measure(server, [&] { required(limitr.warm(ids)); });
      expect_them(limitr);
      required(limitr.close());
    }
    Limitr limitr = server.engine();
    ensured.measure(server, [&] {
      checks.same<std::uint64_t>("customers made twice", ensure_all(limitr, ids), 0);
    });
    expect_them(limitr);
    const std::vector<std::string> unknown = customer_ids((run + 1) * count, count);
    made.measure(server, [&] {
      checks.same<std::uint64_t>("customers made", ensure_all(limitr, unknown), count);
    });
    required(limitr.close());
  }
  return {alone("cloud_warm", warmed.ms, "ms", 50),
          alone("cloud_warm_trips", warmed.trips, "trips", 5),
          alone("cloud_ensure", ensured.ms, "ms", 50),
          alone("cloud_ensure_trips", ensured.trips, "trips", 5),
          alone("cloud_ensure_new", made.ms, "ms", 50),
          alone("cloud_ensure_new_trips", made.trips, "trips", 5)};
}

Row cloud_policy(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  constexpr double first_limit = 1000;
  CloudServer server(folder.url("served"), first_limit);
  const std::vector<Limitr> engines = engines_of(server, size.of(100, 10));
  for (const Limitr& engine : engines) {
    checks.same("the limit at first", limit_of(engine), first_limit);
  }
  std::vector<double> seconds;
  for (std::size_t run = 0; run < size.runs(); ++run) {
    const double limit = first_limit + static_cast<double>(run + 1);
    constexpr double patience = 60;
    const Stopwatch watch;
    server.push(limit);
    for (const Limitr& engine : engines) {
      while (limit_of(engine) != limit && watch.seconds() < patience) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    seconds.push_back(watch.seconds());
    for (const Limitr& engine : engines) checks.same("the new limit", limit_of(engine), limit);
  }
  return alone("cloud_policy", seconds, "s", 1);
}

std::vector<Row> cloud_memory(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::size_t count = size.of(200'000, 2000);
  put_customers(folder.url("served"), count, no_limit);
  const CloudServer server(folder.url("served"), no_limit);
  const Row connections = connection_memory(size, server, checks);
  return {connections, customer_memory(size, server, count, checks)};
}

int print_loaded_growth(const std::string& url, std::size_t count) {
  constexpr std::size_t at_once = 1000;
  Limitr limitr = cloud_engine_at(url);
  const double before = resident_bytes();
  for (std::size_t first = 0; first < count; first += at_once) {
    required(limitr.warm(customer_ids(first, std::min(at_once, count - first))));
  }
  const double growth = resident_bytes() - before;
  for (std::size_t i = 0; i < count; i += 997) {
    if (!has_three_full_meters(limitr, customer_id(i))) return 1;
  }
  fmt::print("{}\n", growth);
  required(limitr.close());
  return 0;
}

}  // namespace limitr::bench
