// SPDX-License-Identifier: Apache-2.0
// Question: what does a new customer cost?

#include "benches.h"
#include "data_set.h"

namespace limitr::bench {

Row create_customer(const Size& size, Checks& checks) {
  const std::vector<std::string> ids = customer_ids(0, size.of(200'000, 2000));
  const auto ours = [&] {
    // An engine of its own each time: the cost of growing belongs to the figure.
    Limitr limitr = engine_with_customers(0, 1e12);
    std::uint64_t created = 0;
    const Stopwatch watch;
    for (const std::string& id : ids) created += limitr.create_customer(id).ok() ? 1U : 0U;
    const double seconds = watch.seconds();
    std::uint64_t usable = 0;
    for (const std::string& id : ids) usable += required(limitr.check(id, called, 1)) ? 1U : 0U;
    checks.same("customers created and usable", usable, created);
    return Sample{seconds * 1e6 / static_cast<double>(ids.size()), created};
  };
  const Figures figures = repeat(size.runs(), checks, ids.size(), ours);
  return {.name = "create_customer",
          .value = figures.ours,
          .unit = "us",
          .lower_is_better = true,
          .comparator = std::nullopt,
          .ratio = std::nullopt,
          .goal = {Goal::Of::value, Goal::Op::at_most, 2},
          .runs = figures.runs};
}

}  // namespace limitr::bench
