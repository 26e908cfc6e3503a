// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/host.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

namespace limitr::scenario {
namespace {

using policy::Node;

/// Returns numbers in turn.
class Turns {
public:
  explicit Turns(const Node& node) {
    if (const auto* list = node.as_sequence()) {
      for (const Node& item : *list) numbers_.push_back(number_of(item));
    } else {
      numbers_.push_back(number_of(node));
    }
  }

  double next() {
    const std::optional<double> number = numbers_[turn_++ % numbers_.size()];
    // This is how a host function fails; the engine catches it where it enters.
    if (!number) throw std::runtime_error("the scenario makes this host function fail");
    return *number;
  }

private:
  static std::optional<double> number_of(const Node& node) {
    const double* number = node.as_number();
    return number ? std::optional(*number) : std::nullopt;
  }

  std::vector<std::optional<double>> numbers_;
  std::size_t turn_ = 0;
};

constexpr std::array option_fields = {Parameter{"validate", Kind::flag},
                                      Parameter{"bounds", Kind::data}};
constexpr std::array bound_fields = {
    Parameter{"max_bytes", Kind::number}, Parameter{"max_nodes", Kind::number},
    Parameter{"max_depth", Kind::number}, Parameter{"max_alias_factor", Kind::number}};

bool is_bound(double number) {
  constexpr double most = 9007199254740992;  // 2^53: below it every whole number is exact.
  return number >= 0 && number <= most && number == std::trunc(number);
}

void read_bound(const Arguments& bounds, std::string_view name, std::size_t& bound) {
  if (const auto number = bounds.maybe_number(name)) bound = static_cast<std::size_t>(*number);
}

}  // namespace

HostFunctions host_functions(const Node* host) {
  HostFunctions functions;
  if (!host) return functions;
  for (const auto& [name, position, numbers] : *host->as_mapping()) {
    const auto turns = std::make_shared<Turns>(numbers);
    functions.overhead[name] = [turns](double, const Json&) { return turns->next(); };
    functions.rates[name] = [turns] { return turns->next(); };
    functions.notifications[name] = [turns](const Event&) { return turns->next() != 0; };
  }
  return functions;
}

std::optional<FormatProblem> check_host(const Node& host) {
  const auto* functions = host.as_mapping();
  if (!functions)
    return FormatProblem{host.position, "host",
                         fmt::format("expected a mapping, found {}", host.kind_name())};
  const auto is_turn = [](const Node& node) { return node.as_number() || node.is_null(); };
  for (const auto& [name, position, numbers] : *functions) {
    const auto* list = numbers.as_sequence();
    const bool is_good = list ? !list->empty() && std::all_of(list->begin(), list->end(), is_turn)
                              : numbers.as_number() != nullptr;
    if (!is_good)
      return FormatProblem{numbers.position, "host." + name,
                           "expected a number, or a list of numbers to return in turn"};
  }
  return std::nullopt;
}

Options engine_options(const Node* options, const DocumentBounds& otherwise) {
  Options made;
  made.bounds = otherwise;
  if (!options) return made;
  const Arguments fields(options->as_mapping(), Timestamp{});
  made.validate = fields.flag("validate", true);
  const Node* node = fields.find("bounds");
  const Arguments bounds(node ? node->as_mapping() : nullptr, Timestamp{});
  read_bound(bounds, "max_bytes", made.bounds.max_bytes);
  read_bound(bounds, "max_nodes", made.bounds.max_nodes);
  read_bound(bounds, "max_depth", made.bounds.max_depth);
  read_bound(bounds, "max_alias_factor", made.bounds.max_alias_factor);
  return made;
}

std::optional<FormatProblem> check_options(const Node& options) {
  if (!options.as_mapping())
    return FormatProblem{options.position, "options",
                         fmt::format("expected a mapping, found {}", options.kind_name())};
  if (auto found =
          check_arguments(options.as_mapping(), option_fields, options.position, "options"))
    return found;
  const Node* bounds = options.find("bounds");
  if (!bounds || bounds->is_null()) return std::nullopt;
  if (!bounds->as_mapping())
    return FormatProblem{bounds->position, "options.bounds",
                         fmt::format("expected a mapping, found {}", bounds->kind_name())};
  if (auto found =
          check_arguments(bounds->as_mapping(), bound_fields, bounds->position, "options.bounds"))
    return found;
  for (const auto& [name, position, number] : *bounds->as_mapping())
    if (!number.is_null() && !is_bound(*number.as_number()))
      return FormatProblem{number.position, "options.bounds." + name, "expected a whole number"};
  return std::nullopt;
}

}  // namespace limitr::scenario
