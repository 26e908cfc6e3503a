// SPDX-License-Identifier: Apache-2.0
// Question: what does one call cost, next to the least that any limiter has to do?

#include <cmath>
#include <memory>

#include <limitr/c_api.h>

#include "bare_map.h"
#include "benches.h"
#include "data_set.h"

namespace limitr::bench {

namespace {

// The same customers and the same calls for both sides.
struct Workload {
  Workload(std::size_t customers, std::size_t calls, std::size_t runs)
      : ids(customer_ids(0, customers)),
        keys(random_keys(ids, calls)),
        // One run more than is kept: the first pair only warms.
        limit(binding_limit(static_cast<double>(calls * (runs + 1)) /
                            static_cast<double>(customers))) {}

  std::vector<std::string> ids;
  std::vector<std::string> keys;
  double limit;
};

// Times `call` on every key and counts those it allowed; the figure is nanoseconds per call.
template <typename Keys, typename Call>
Sample time_calls(const Keys& keys, Call call) {
  std::uint64_t allowed = 0;
  const Stopwatch watch;
  for (const auto& key : keys) allowed += call(key) ? 1U : 0U;
  return {watch.seconds() * 1e9 / static_cast<double>(keys.size()), allowed};
}

Sample time_allow(Limitr& limitr, const std::vector<std::string>& keys) {
  return time_calls(keys, [&](const std::string& id) {
    const Result<Decision> decision = limitr.allow(id, called, 1);
    return decision.ok() && decision->allowed;
  });
}

Sample time_bare_map(BareMap& map, const std::vector<std::string>& keys) {
  return time_calls(keys, [&](const std::string& id) { return map.allow(id, 1); });
}

// However many calls were allowed, each customer's meter must stand where the map's stands.
void compare_meters(Limitr& limitr, const BareMap& map, const Workload& work, Checks& checks) {
  for (const std::string& id : work.ids) {
    const Read<double> value = limitr.value(id, called);
    checks.same(fmt::format("meter of {}", id), value.ok() ? value->value_or(-1) : -1,
                map.value(id));
  }
}

Row row_of(std::string_view name, const Figures& figures, std::string_view comparator,
           double ratio_max) {
  return row_of(name, figures, "ns", comparator, {Goal::Of::ratio, Goal::Op::at_most, ratio_max});
}

Row allow_by_strings(std::string_view name, double ratio_max, const Workload& work,
                     std::size_t runs, Checks& checks) {
  Limitr limitr = engine_with_customers(work.ids.size(), work.limit);
  BareMap map(work.ids, calls_before, work.limit);
  const Figures figures = alternate(
      runs, checks, [&] { return time_allow(limitr, work.keys); },
      [&] { return time_bare_map(map, work.keys); });
  compare_meters(limitr, map, work, checks);
  return row_of(name, figures, "bare map", ratio_max);
}

// check() must foretell allow(), call by call, also when the limit is near.
void compare_check_with_allow(const Size& size, Checks& checks) {
  const Workload work(size.of(1000, 100), size.of(20'000, 2000), 0);
  Limitr limitr = engine_with_customers(work.ids.size(), work.limit);
  std::uint64_t denied = 0;
  for (const std::string& id : work.keys) {
    const bool foretold = required(limitr.check(id, called, 1)).allowed;
    const bool allowed = required(limitr.allow(id, called, 1)).allowed;
    checks.is_true("check() foretells allow()", foretold == allowed);
    if (!allowed) ++denied;
  }
  checks.is_true("some calls reach the limit", denied > 0);
}

struct FreeEngine {
  void operator()(limitr_engine* engine) const { limitr_engine_free(engine); }
};
using CEngine = std::unique_ptr<limitr_engine, FreeEngine>;

limitr_view view(std::string_view text) { return {text.data(), text.size()}; }

// The customers of an engine, in one of the C interface.
CEngine copy_in_c(Limitr& limitr, double limit) {
  CEngine engine(limitr_open(view(data_set_policy(limit)), view("{}"), nullptr, nullptr));
  const std::string customers = required(limitr.customers());
  limitr_string* report = limitr_load_customers(engine.get(), view(customers), nullptr);
  limitr_string_free(report);
  return engine;
}

}  // namespace

Row allow_1k(const Size& size, Checks& checks) {
  const Workload work(1000, size.of(500'000, 10'000), size.runs());
  return allow_by_strings("allow_1k", 3, work, size.runs(), checks);
}

Row c_allow(const Size& size, Checks& checks) {
  const Workload work(1000, size.of(500'000, 10'000), size.runs());
  Limitr limitr = engine_with_customers(work.ids.size(), work.limit);
  const CEngine in_c = copy_in_c(limitr, work.limit);
  const auto ours = [&] {
    return time_calls(work.keys, [&](const std::string& id) {
      return limitr_allow(in_c.get(), view(id), view(called), limitr_number(1), nullptr, nullptr,
                          nullptr) == 1;
    });
  };
  const Figures figures =
      alternate(size.runs(), checks, ours, [&] { return time_allow(limitr, work.keys); });
  for (const std::string& id : work.ids) {
    double value = -1;
    limitr_value_of(in_c.get(), view(id), view(called), &value, nullptr);
    checks.same(fmt::format("meter of {}", id), value,
                required(limitr.value(id, called)).value_or(-2));
  }
  return row_of("c_allow", figures, "C++", 1.2);
}

Row allow_1m(const Size& size, Checks& checks) {
  const Workload work(size.of(1'000'000, 10'000), size.of(1'000'000, 20'000), size.runs());
  return allow_by_strings("allow_1m", 2, work, size.runs(), checks);
}

Row handle_1k(const Size& size, Checks& checks) {
  const Workload work(1000, size.of(500'000, 10'000), size.runs());
  Limitr limitr = engine_with_customers(work.ids.size(), work.limit);
  BareMap map(work.ids, calls_before, work.limit);
  std::vector<Handle> handles;
  handles.reserve(work.keys.size());
  for (const std::string& id : work.keys) {
    const std::optional<Handle> handle = required(limitr.handle(id, called));
    checks.is_true("a customer of the data set has a handle", handle.has_value());
    if (handle) handles.push_back(*handle);
  }
  const auto ours = [&] {
    return time_calls(handles, [&](const Handle& handle) {
      const Result<Decision> decision = limitr.allow(handle, 1);
      return decision.ok() && decision->allowed;
    });
  };
  const Figures figures =
      alternate(size.runs(), checks, ours, [&] { return time_bare_map(map, work.keys); });
  compare_meters(limitr, map, work, checks);
  return row_of("handle_1k", figures, "bare map", 1.5);
}

Row check_1k(const Size& size, Checks& checks) {
  compare_check_with_allow(size, checks);
  Workload work(1000, size.of(500'000, 10'000), size.runs());
  // Checks move no meter, allows do: far from the limit the two stay alike in every run.
  work.limit = 1e12;
  Limitr limitr = engine_with_customers(work.ids.size(), work.limit);
  const auto ours = [&] {
    return time_calls(work.keys, [&](const std::string& id) {
      const Result<Decision> decision = limitr.check(id, called, 1);
      return decision.ok() && decision->allowed;
    });
  };
  const Figures figures =
      alternate(size.runs(), checks, ours, [&] { return time_allow(limitr, work.keys); });
  const auto allows = static_cast<double>((size.runs() + 1) * work.keys.size());
  double metered = 0;
  for (const std::string& id : work.ids) {
    metered += required(limitr.value(id, called)).value_or(0) - calls_before;
  }
  checks.same("units metered, by allow() alone", metered, allows);
  return row_of("check_1k", figures, "allow", 1);
}

}  // namespace limitr::bench
