// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>

#include "base/json_writer.h"

namespace limitr::bench {

namespace {

constexpr std::string_view line_format = "{:<24} {:>18}  {:<30} {:>8}  {:<13} {:<8} {:>4}  {}\n";

std::string figure_text(double figure) {
  if (figure >= 1000) return fmt::format("{:.0f}", figure);
  return fmt::format("{:.3g}", figure);
}

std::vector<std::function<void()>>& to_tidy() {
  static std::vector<std::function<void()>> list;
  return list;
}

void tidy_one() {
  const std::function<void()> put_in_order = std::move(to_tidy().back());
  to_tidy().pop_back();  // First: what it does may end in stop() again.
  put_in_order();
}

std::string_view of_text(Goal::Of of) { return of == Goal::Of::ratio ? "ratio" : "value"; }

}  // namespace

bool Goal::met_by(double figure) const {
  switch (op) {
    case Op::at_most: return figure <= number;
    case Op::at_least: return figure >= number;
    case Op::equal: return figure == number;
  }
  return false;
}

std::string_view Goal::op_text() const {
  switch (op) {
    case Op::at_most: return "<=";
    case Op::at_least: return ">=";
    case Op::equal: return "==";
  }
  return "";
}

std::string Goal::to_string() const {
  return fmt::format("{} {} {}", of_text(of), op_text(), number);
}

void Checks::fail(std::string message) {
  // One wrong answer is seldom alone: the first few tell enough.
  constexpr std::size_t failures_max = 5;
  if (failures_.size() < failures_max) failures_.push_back(std::move(message));
}

double median(std::vector<double> figures) {
  assert(!figures.empty());
  std::sort(figures.begin(), figures.end());
  const std::size_t middle = figures.size() / 2;
  if (figures.size() % 2 == 1) return figures[middle];
  return (figures[middle - 1] + figures[middle]) / 2;
}

Row row_of(std::string_view name, const Figures& figures, std::string_view unit,
           std::string_view comparator, Goal goal) {
  return {.name = name,
          .value = figures.ours,
          .unit = unit,
          .lower_is_better = goal.op == Goal::Op::at_most,
          .comparator = Comparator{comparator, *figures.comparator},
          .ratio = figures.ratio,
          .goal = goal,
          .runs = figures.runs};
}

Figures figures_of_pairs(const std::vector<double>& ours, const std::vector<double>& comparator) {
  assert(ours.size() == comparator.size());
  std::vector<double> ratios;
  ratios.reserve(ours.size());
  for (std::size_t i = 0; i < ours.size(); ++i) ratios.push_back(ours[i] / comparator[i]);
  return {median(ours), median(comparator), median(ratios), ours.size()};
}

Figures alternate(std::size_t runs, Checks& checks, const std::function<Sample()>& ours,
                  const std::function<Sample()>& comparator) {
  std::vector<double> our_figures;
  std::vector<double> their_figures;
  for (std::size_t i = 0; i <= runs; ++i) {
    const Sample our_sample = ours();
    const Sample their_sample = comparator();
    checks.same("answers, ours and the comparator's", our_sample.answers, their_sample.answers);
    if (i == 0) continue;  // Warms caches and the allocator.
    our_figures.push_back(our_sample.figure);
    their_figures.push_back(their_sample.figure);
  }
  return figures_of_pairs(our_figures, their_figures);
}

Figures repeat(std::size_t runs, Checks& checks, std::uint64_t answers,
               const std::function<Sample()>& ours) {
  std::vector<double> figures;
  for (std::size_t i = 0; i < runs; ++i) {
    const Sample sample = ours();
    checks.same("answers", sample.answers, answers);
    figures.push_back(sample.figure);
  }
  return {median(figures), std::nullopt, std::nullopt, runs};
}

Tidy::Tidy(std::function<void()> put_in_order) { to_tidy().push_back(std::move(put_in_order)); }
Tidy::~Tidy() { tidy_one(); }

void stop(const Error& error) {
  fmt::print(stderr, "limitr bench: {}\n", error.to_string());
  while (!to_tidy().empty()) tidy_one();
  std::fflush(stdout);
  std::_Exit(1);
}

std::string table_head() {
  return fmt::format(line_format, "bench", "value", "comparator", "ratio", "goal", "", "runs",
                     "answers");
}

std::string table_line(const Row& row, std::uint64_t answers) {
  const std::string comparator =
      row.comparator
          ? fmt::format("{} ({})", figure_text(row.comparator->value), row.comparator->name)
          : "-";
  return fmt::format(line_format, row.name, fmt::format("{} {}", figure_text(row.value), row.unit),
                     comparator, row.ratio ? fmt::format("{:.4g}", *row.ratio) : "-",
                     row.goal.to_string(), row.met() ? "met" : "not met", row.runs,
                     fmt::format("{:016x}", answers));
}

std::string json_text(const std::vector<Row>& rows) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("results").begin_array();
  for (const Row& row : rows) {
    json.begin_object().field("name", row.name).field("value", row.value);
    json.field("unit", row.unit).field("better", row.lower_is_better ? "lower" : "higher");
    json.key("comparator");
    if (row.comparator) {
      json.begin_object().field("name", row.comparator->name);
      json.field("value", row.comparator->value).end_object();
    } else {
      json.null();
    }
    json.field("ratio", row.ratio).key("goal").begin_object();
    json.field("op", row.goal.op_text()).field("number", row.goal.number);
    json.field("of", of_text(row.goal.of)).end_object();
    json.field("met", row.met()).field("runs", row.runs).end_object();
  }
  json.end_array().end_object();
  return text + "\n";
}

}  // namespace limitr::bench
