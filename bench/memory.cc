// SPDX-License-Identifier: Apache-2.0
// Question: what memory do calls and customers take?

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "benches.h"
#include "data_set.h"
#include "heap.h"

namespace limitr::bench {

namespace {

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

bool has_three_full_meters(Limitr& limitr, const std::string& id) {
  for (const std::string_view name : entitlements) {
    const std::optional<Json> meter = required(limitr.meter(id, name));
    if (!meter || meter->value("history", Json::array()).size() != 3) return false;
    if (meter->value("value", 0.0) != calls_before) return false;
  }
  return true;
}

// Runs this program again as `--resident count`: a process that has done nothing else has no
// freed memory that the customers could hide in. None where the child failed.
std::optional<double> resident_growth_in_child(std::size_t count) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return std::nullopt;
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    execl("/proc/self/exe", "limitr-bench", "--resident", std::to_string(count).c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 64> buffer{};
  for (ssize_t length = 0; child > 0 && (length = read(ends[0], buffer.data(), 64)) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(length));
  }
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return std::nullopt;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
  return std::strtod(text.c_str(), nullptr);
}

}  // namespace

int print_resident_growth(std::size_t count) {
  Limitr limitr = engine_with_customers(0, 1e12);
  const double before = resident_bytes();
  add_customers(limitr, count);
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
