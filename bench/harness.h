// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <limitr/result.h>

// How the benches measure. Goals: figures that hold on a busy machine, and no figure for a wrong
// answer. So ours and the comparator run in turn, each pair gives one ratio, and the median of
// the ratios is what counts; answers are compared before a time is kept. Non-goal: absolute
// times that could be compared between machines.
namespace limitr::bench {

/// Full size, or tiny: `--quick` checks answers, its times mean nothing.
struct Size {
  bool quick = false;

  std::size_t of(std::size_t full, std::size_t tiny) const { return quick ? tiny : full; }
  std::size_t runs(std::size_t full = 9) const { return of(full, 1); }
};

/// What a bench has to reach.
struct Goal {
  enum class Of : std::uint8_t { ratio, value };
  enum class Op : std::uint8_t { at_most, at_least, equal };

  Of of;
  Op op;
  double number;

  bool met_by(double figure) const;
  std::string_view op_text() const;
  /// "ratio <= 3"
  std::string to_string() const;
};

struct Comparator {
  std::string_view name;
  double value;
};

/// One line of the table.
struct Row {
  std::string_view name;
  double value;  ///< The median of the runs.
  std::string_view unit;
  bool lower_is_better;
  std::optional<Comparator> comparator;
  std::optional<double> ratio;  ///< The median of the pairs' ratios, not the medians' ratio.
  Goal goal;
  std::size_t runs;

  bool met() const { return goal.met_by(goal.of == Goal::Of::ratio ? ratio.value_or(0) : value); }
};

/// Compares answers, and keeps a hash of all of them: it changes when a bench no longer asks
/// what it used to ask.
class Checks {
public:
  template <typename T>
  void same(std::string_view what, const T& ours, const T& expected) {
    mix(ours);
    if (ours == expected) return;
    fail(fmt::format("{}: {} where {} was expected", what, ours, expected));
  }
  void is_true(std::string_view what, bool holds) {
    if (!holds) fail(std::string(what));
  }

  const std::vector<std::string>& failures() const { return failures_; }
  std::uint64_t hash() const { return hash_; }

private:
  void mix(std::uint64_t answer) { hash_ = (hash_ ^ answer) * 0x100000001b3U; }
  void mix(double answer) { mix(std::bit_cast<std::uint64_t>(answer)); }
  void mix(std::string_view answer) { mix(std::hash<std::string_view>()(answer)); }
  void fail(std::string message);

  std::vector<std::string> failures_;
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

/// What one timed run gave: its figure, and a sum of its answers.
struct Sample {
  double figure;
  std::uint64_t answers;
};

struct Figures {
  double ours;
  std::optional<double> comparator;
  std::optional<double> ratio;
  std::size_t runs;
};

/// The middle one, or between the two in the middle. REQUIRES: not empty.
double median(std::vector<double> figures);
/// Medians of both sides and of the ratios pair by pair. REQUIRES: as many of both, not none.
Figures figures_of_pairs(const std::vector<double>& ours, const std::vector<double>& comparator);

/// The row of figures beside a comparator, whose ratio is the goal.
Row row_of(std::string_view name, const Figures& figures, std::string_view unit,
           std::string_view comparator, Goal goal);

/// Runs both sides in turn, `runs` times after one pair that is not kept; every pair's answers
/// have to be the same.
Figures alternate(std::size_t runs, Checks& checks, const std::function<Sample()>& ours,
                  const std::function<Sample()>& comparator);
/// The same without a comparator: every run's answers have to be `answers`.
Figures repeat(std::size_t runs, Checks& checks, std::uint64_t answers,
               const std::function<Sample()>& ours);

std::string table_head();
/// REQUIRES: answers agreed; no other row is ever shown.
std::string table_line(const Row& row, std::uint64_t answers);
/// {"results": [...]}
std::string json_text(const std::vector<Row>& rows);

class Stopwatch {
public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// What is to be put in order again when it goes, and by stop(). The main thread's.
class Tidy {
public:
  explicit Tidy(std::function<void()> put_in_order);
  Tidy(const Tidy&) = delete;
  Tidy& operator=(const Tidy&) = delete;
  ~Tidy();
};

/// Says what failed and ends the program; what lives of Tidy comes first, the youngest before all.
[[noreturn]] void stop(const Error& error);

/// The value of what a bench cannot go on without, or stop().
template <typename T>
T required(Result<T>&& result) {
  if (!result.ok()) stop(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

}  // namespace limitr::bench
