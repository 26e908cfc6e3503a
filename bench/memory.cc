// SPDX-License-Identifier: Apache-2.0
// Question: what memory do calls and customers take?

#include <cstdlib>

#include "benches.h"
#include "child.h"
#include "data_set.h"
#include "heap.h"

namespace limitr::bench {

namespace {

// None where the child failed.
std::optional<double> resident_growth_in_child(std::size_t count) {
  Child child({"--resident", std::to_string(count)});
  const std::optional<std::string> growth = child.hear();
  if (!child.finish() || !growth) return std::nullopt;
  return std::strtod(growth->c_str(), nullptr);
}

}  // namespace

int print_resident_growth(std::size_t count) {
  Limitr limitr = engine_with_customers(0, 1e12);
  const double before = resident_bytes();
  add_customers(limitr, 0, count);
  const double growth = resident_bytes() - before;
  for (std::size_t i = 0; i < count; i += 997) {
    if (!has_three_full_meters(limitr, customer_id(i))) return 1;
  }
  fmt::print("{}\n", growth);
  return 0;
}

Row bytes_1m(const Size& size, Checks& checks) {
  const std::size_t count = size.of(1'000'000, 10'000);
  const Figures figures = repeat(size.runs(3), checks, count, [&] {
    const std::optional<double> growth = resident_growth_in_child(count);
    checks.is_true("the process with the customers found them complete", growth.has_value());
    return Sample{growth.value_or(0) / static_cast<double>(count), growth ? count : 0};
  });
  return {.name = "bytes_1m",
          .value = figures.ours,
          .unit = "bytes",
          .lower_is_better = true,
          .comparator = std::nullopt,
          .ratio = std::nullopt,
          .goal = {Goal::Of::value, Goal::Op::at_most, 400},
          .runs = figures.runs};
}

Row allow_heap(const Size&, Checks& checks) {
  constexpr std::size_t customers = 1000;
  constexpr std::size_t calls = 10'000;
  Limitr limitr = engine_with_customers(customers, 1e12);
  const std::vector<std::string> keys = random_keys(customer_ids(0, customers), calls);
  {
    const HeapCount count;
    const std::vector<std::string> ids = customer_ids(0, 1);
    checks.is_true("allocations are counted", ids.size() == 1 && count.allocations() > 0);
  }
  std::uint64_t allowed = 0;
  std::uint64_t allocations = 0;
  {
    const HeapCount count;
    for (const std::string& id : keys) {
      const Result<Decision> decision = limitr.allow(id, called, 1);
      if (decision.ok() && decision->allowed) ++allowed;
    }
    allocations = count.allocations();
  }
  checks.same<std::uint64_t>("calls allowed", allowed, calls);
  return {.name = "allow_heap",
          .value = static_cast<double>(allocations),
          .unit = "allocations",
          .lower_is_better = true,
          .comparator = std::nullopt,
          .ratio = std::nullopt,
          .goal = {Goal::Of::value, Goal::Op::equal, 0},
          .runs = 1};
}

}  // namespace limitr::bench
