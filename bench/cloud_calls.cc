// SPDX-License-Identifier: Apache-2.0
// Question: what does a call cost where engines share customers through a server: at its home, the
// first time, and where several engines want one customer?

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>

#include <absl/container/flat_hash_map.h>

#include "benches.h"
#include "cloud_server.h"
#include "data_set.h"
#include "folder.h"
#include "gubernator.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

// gubernator as it was measured on machines like these. One call after the other took 200 to 286
// us.
constexpr double gubernator_us = 200;
constexpr double gubernator_calls_per_s = 16'000;  // of 64 clients

// The program that GUBERNATOR names, running; null where it names none.
std::unique_ptr<Gubernator> gubernator_if_named() {
  const char* const program = std::getenv("GUBERNATOR");
  if (program == nullptr || *program == '\0') return nullptr;
#ifdef LIMITR_GUBERNATOR
  return start_gubernator(program);
#else
  stop({.code = ErrorCode::invalid_argument,
        .message = "GUBERNATOR is set, but what speaks to it was not built: install libgrpc++-dev "
                   "and protobuf-compiler-grpc, and build again"});
#endif
}

// Ours in turn with gubernator or, where it does not run, beside its figure.
Row against_gubernator(std::string_view name, std::string_view unit, std::size_t runs,
                       Checks& checks, const std::function<Sample()>& ours,
                       const std::function<Sample(Gubernator&)>& theirs, double measured,
                       Goal goal) {
  const std::unique_ptr<Gubernator> gubernator = gubernator_if_named();
  std::uint64_t answers = 0;
  const Figures figures = alternate(
      runs, checks,
      [&] {
        const Sample sample = ours();
        answers = sample.answers;
        return sample;
      },
      [&] { return gubernator ? theirs(*gubernator) : Sample{measured, answers}; });
  return row_of(name, figures, unit, gubernator ? "gubernator" : "gubernator, as measured", goal);
}

// Calls for one customer, one after the other. How many of them were allowed.
std::uint64_t call(Limitr& limitr, const std::string& id, std::uint64_t calls) {
  std::uint64_t allowed = 0;
  for (std::uint64_t i = 0; i < calls; ++i) {
    const Result<Decision> decision = limitr.allow(id, called, 1);
    if (!decision.ok()) stop(decision.error());
    if (decision->allowed) ++allowed;
  }
  return allowed;
}

// Microseconds of one call, which must be allowed.
double time_one_call(Limitr& limitr, const std::string& id, Checks& checks) {
  const Stopwatch watch;
  const Result<Decision> decision = limitr.allow(id, called, 1);
  const double us = watch.seconds() * 1e6;
  if (!decision.ok()) stop(decision.error());
  checks.is_true("a call far from the limit is allowed", decision->allowed);
  return us;
}

// Meters as an engine finds them that comes when the others have gone.
std::vector<double> served_meters(const CloudServer& server, const std::vector<std::string>& ids) {
  return meters_of(server.engine(), ids);
}

void compare_served(const CloudServer& server, const std::vector<std::string>& ids,
                    double calls_each, Checks& checks) {
  const std::vector<double> meters = served_meters(server, ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    checks.same(fmt::format("served meter of {}", ids[i]), meters[i], calls_before + calls_each);
  }
}

}  // namespace

Row cloud_home(const Size& size, const std::string& store, Checks& checks) {
  constexpr double limit = 1e9;
  constexpr std::uint64_t at_once = 1000;
  // On end: what is used is reported, and room set anew, a hundred times.
  const double seconds = size.quick ? 0.05 : 10;
  const Folder folder(store);
  const std::vector<std::string> ids = customer_ids(0, 1);
  put_customers(folder.url("served"), ids.size(), limit);
  const CloudServer server(folder.url("served"), limit);
  Limitr alone = engine_with_customers(ids.size(), limit);
  Limitr limitr = server.engine();
  std::uint64_t calls = 0;  // of this run, as many as there was time for
  std::uint64_t calls_of_all = 0;
  const auto sample = [&](const Stopwatch& watch, std::uint64_t allowed) {
    return Sample{watch.seconds() * 1e9 / static_cast<double>(calls), calls - allowed};
  };
  const auto ours = [&] {
    std::uint64_t allowed = 0;
    calls = 0;
    const Stopwatch watch;
    for (; watch.seconds() < seconds; calls += at_once) allowed += call(limitr, ids[0], at_once);
    calls_of_all += calls;
    return sample(watch, allowed);
  };
  const auto theirs = [&] {
    const Stopwatch watch;
    const std::uint64_t allowed = call(alone, ids[0], calls);
    return sample(watch, allowed);
  };
  const Figures figures = alternate(size.runs(3), checks, ours, theirs);
  required(limitr.close());
  const double metered = calls_before + static_cast<double>(calls_of_all);
  checks.is_true("every call of the engine alone is metered",
                 required(alone.value(ids[0], called)) == metered);
  checks.is_true("every call is metered at the server", served_meters(server, ids)[0] == metered);
  return row_of("cloud_home", figures, "ns", "no server",
                {Goal::Of::ratio, Goal::Op::at_most, 1.5});
}

Row cloud_first(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::vector<std::string> ids = customer_ids(0, size.of(500, 50));
  put_customers(folder.url("served"), ids.size(), no_limit);
  const CloudServer server(folder.url("served"), no_limit);
  std::size_t rounds = 0;
  const auto ours = [&] {
    ++rounds;
    Limitr limitr = server.engine();
    std::vector<double> times;
    for (const std::string& id : ids) times.push_back(time_one_call(limitr, id, checks));
    required(limitr.close());
    return Sample{median(std::move(times)), ids.size()};
  };
  const auto theirs = [&](Gubernator& gubernator) {
    return gubernator.time_one_by_one("first", ids, no_limit);
  };
  const Row row = against_gubernator("cloud_first", "us", size.runs(), checks, ours, theirs,
                                     gubernator_us, {Goal::Of::ratio, Goal::Op::at_most, 1});
  compare_served(server, ids, static_cast<double>(rounds), checks);
  return row;
}

Row cloud_contended_1(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::vector<std::string> ids = customer_ids(0, 1);
  const std::vector<std::string> keys(size.of(1000, 100), ids[0]);
  put_customers(folder.url("served"), ids.size(), no_limit);
  const CloudServer server(folder.url("served"), no_limit);
  std::array<Limitr, 2> engines = {server.engine(), server.engine()};
  std::size_t calls = 0;
  const auto ours = [&] {
    std::vector<double> times;
    for (const std::string& key : keys) {
      times.push_back(time_one_call(engines[calls++ % engines.size()], key, checks));
    }
    return Sample{median(std::move(times)), keys.size()};
  };
  const auto theirs = [&](Gubernator& gubernator) {
    return gubernator.time_one_by_one("contended", keys, no_limit);
  };
  const Row row = against_gubernator("cloud_contended_1", "us", size.runs(), checks, ours, theirs,
                                     gubernator_us, {Goal::Of::ratio, Goal::Op::at_most, 1});
  for (Limitr& engine : engines) required(engine.close());
  compare_served(server, ids, static_cast<double>(calls), checks);
  return row;
}

Row cloud_contended_64(const Size& size, const std::string& store, Checks& checks) {
  const Folder folder(store);
  const std::vector<std::string> ids = customer_ids(0, size.of(1000, 100));
  SharedCalls work{.customers = ids.size(), .calls = size.of(40'000, 1000), .in_flight = 64};
  const std::size_t rounds = size.runs() + 1;  // One is for warming.
  work.limit =
      binding_limit(static_cast<double>(work.calls * rounds) / static_cast<double>(work.customers));
  put_customers(folder.url("served"), ids.size(), work.limit);
  const CloudServer server(folder.url("served"), work.limit);
  Sharers sharers(server.url(), work);
  const std::vector<std::string> keys = random_keys(ids, work.calls);
  std::uint64_t allowed = 0;
  const auto ours = [&] {
    const Sample sample = sharers.call();
    allowed += sample.answers;
    return sample;
  };
  const auto theirs = [&](Gubernator& gubernator) {
    return gubernator.time_in_flight("contended", keys, work.limit - calls_before, 64);
  };
  const Row row =
      against_gubernator("cloud_contended_64", "calls/s", size.runs(), checks, ours, theirs,
                         gubernator_calls_per_s, {Goal::Of::ratio, Goal::Op::at_least, 5});
  checks.is_true("both engines have closed", sharers.finish());
  absl::flat_hash_map<std::string, std::size_t> calls;
  for (const std::string& key : keys) ++calls[key];
  const std::vector<double> meters = served_meters(server, ids);
  double metered = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto wanted = static_cast<double>(rounds * calls[ids[i]]);
    checks.same(fmt::format("served meter of {}", ids[i]), meters[i],
                std::min(work.limit, calls_before + wanted));
    metered += meters[i] - calls_before;
  }
  checks.same("units metered, and calls allowed", metered, static_cast<double>(allowed));
  checks.is_true("some calls reach the limit", allowed < rounds * work.calls);
  return row;
}

}  // namespace limitr::bench
