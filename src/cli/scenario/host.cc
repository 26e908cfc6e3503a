// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/host.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "call/options.h"

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

constexpr std::array option_fields = {call::Parameter{"validate", call::Kind::flag},
                                      call::Parameter{"bounds", call::Kind::data}};

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

std::optional<call::FormatProblem> check_host(const Node& host) {
  const auto* functions = host.as_mapping();
  if (!functions)
    return call::FormatProblem{host.position, "host",
                               fmt::format("expected a mapping, found {}", host.kind_name())};
  const auto is_turn = [](const Node& node) { return node.as_number() || node.is_null(); };
  for (const auto& [name, position, numbers] : *functions) {
    const auto* list = numbers.as_sequence();
    const bool is_good = list ? !list->empty() && std::all_of(list->begin(), list->end(), is_turn)
                              : numbers.as_number() != nullptr;
    if (!is_good)
      return call::FormatProblem{numbers.position, "host." + name,
                                 "expected a number, or a list of numbers to return in turn"};
  }
  return std::nullopt;
}

Options engine_options(const Node* options, const DocumentBounds& otherwise) {
  Options made;
  made.bounds = otherwise;
  if (!options) return made;
  const call::Arguments fields(options->as_mapping(), Timestamp{});
  made.validate = fields.flag("validate", true);
  call::read_bounds(fields.find("bounds"), made.bounds);
  return made;
}

std::optional<call::FormatProblem> check_options(const Node& options) {
  if (!options.as_mapping())
    return call::FormatProblem{options.position, "options",
                               fmt::format("expected a mapping, found {}", options.kind_name())};
  if (auto found =
          call::check_arguments(options.as_mapping(), option_fields, options.position, "options"))
    return found;
  const Node* bounds = options.find("bounds");
  if (!bounds || bounds->is_null()) return std::nullopt;
  return call::check_bounds(*bounds, "options.bounds");
}

}  // namespace limitr::scenario
