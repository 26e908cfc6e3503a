// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <limitr/json.h>

namespace limitr {

/// A call by its name with its arguments, or, where the name begins with @, something that is done
/// to an engine. What only an engine knows is a number: `hold` and `made_cap` count what it has
/// made, `save` what it has saved.
struct Step {
  std::string name;
  Json with = Json::object();
  std::uint64_t engine = 0;  ///< Which of the engines, where there are several.
  /// What the store does while it runs.
  enum class Fault : std::uint8_t { none, refuses, loses_answer, loses_question, cannot_read };
  Fault fault = Fault::none;

  std::string text() const {
    constexpr std::array faults = {"", " refused", " answer lost", " question lost", " unreadable"};
    return name + " " + with.dump() + (engine % 2 == 1 ? " other engine" : "") +
           faults.at(static_cast<std::size_t>(fault));
  }
};

/// What is drawn besides calls whose answers rest on the customers alone.
struct DrawnKinds {
  bool teaches = true;   ///< Calls that rest on statistics over all customers.
  bool swaps = true;     ///< Other policies.
  bool crashes = false;  ///< Ends of engines that do not close.
  bool fails = false;    ///< Steps in which the store fails.
};

/// Calls on few names, each of which may be an ID, or an alternate one, or nobody's.
class DrawnCalls {
public:
  static constexpr std::int64_t start_ms = 1'767'225'600'000;  // 2026-01-01

  DrawnCalls(std::uint64_t seed, std::vector<std::string> names, DrawnKinds kinds)
      : drawn_(seed), names_(std::move(names)), kinds_(kinds) {}

  /// Customers are made first: calls on nobody tell little.
  std::vector<Step> steps(std::size_t count);

private:
  using Texts = std::vector<std::string>;
  static constexpr std::int64_t hour_ms = 3'600'000;

  std::size_t below(std::size_t bound) { return drawn_() % bound; }
  bool once_in(std::size_t times) { return below(times) == 0; }
  template <std::size_t N>
  std::string one_of(const std::array<const char*, N>& of) {
    return of[below(N)];
  }
  const std::string& name() { return names_[below(names_.size())]; }
  // Most of the time one of those that were made first.
  const std::string& who() { return names_[once_in(3) ? below(names_.size()) : below(4)]; }
  Texts some_names();
  std::string entitlement();
  double units() {
    const double parts = once_in(2) ? 3 : 1;
    return static_cast<double>(below(40)) / parts - 3;
  }
  Json on() { return {{"id", who()}, {"entitlement", entitlement()}}; }
  Step with_request(Step step);
  Step create();
  Json metadata();
  Json deciding();
  Step decision();
  Step many();
  Step hold();
  Step estimate();
  Step edit();
  Step grant();
  Step cap();
  std::string cap_id() { return one_of(std::array{"c0", "c1", "m"}); }

  Step read();
  Step put();
  Step swap();
  Step time();
  Step next();

  std::mt19937_64 drawn_;
  const std::vector<std::string> names_;
  const DrawnKinds kinds_;
  std::vector<Step> asked_;  // With requests, to be asked again.
};

}  // namespace limitr
