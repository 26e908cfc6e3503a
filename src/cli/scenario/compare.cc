// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/compare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/amount.h"
#include "base/json_writer.h"
#include "call/time_text.h"

namespace limitr::scenario {
namespace {

using policy::Node;

constexpr std::array moment_fields = {
    std::string_view("started"),    std::string_view("ts"),
    std::string_view("expires"),    std::string_view("expires_on"),
    std::string_view("created_on"), std::string_view("granted_on"),
    std::string_view("last_reset"), std::string_view("override_expires_on"),
    std::string_view("updated"),    std::string_view("governor_last_refill"),
    std::string_view("resets"),
};

std::string joined(const std::string& path, std::string_view field) {
  return path.empty() ? std::string(field) : fmt::format("{}.{}", path, field);
}

std::string_view last_field(std::string_view path) { return path.substr(path.rfind('.') + 1); }

/// A moment is shown as a date too: nobody reads milliseconds.
std::string shown(std::string text, const std::string& path, const double* number) {
  if (!number || !is_moment(last_field(path)) || std::fabs(*number) < 1e9) return text;
  return fmt::format("{} ({})", text,
                     call::iso_text(timestamp_from_ms(static_cast<std::int64_t>(*number))));
}

std::string shown(const Node& expected, const std::string& path) {
  return shown(node_text(expected), path, expected.as_number());
}

std::string shown(const Json* actual, const std::string& path) {
  if (!actual) return "nothing";
  const double number = actual->is_number() ? actual->get<double>() : 0;
  return shown(to_json_text(*actual), path, actual->is_number() ? &number : nullptr);
}

bool agree(double expected, double actual) {
  const double magnitude = std::max({1.0, std::fabs(expected), std::fabs(actual)});
  // A little above 1e-9, because both sides were rounded to nine decimals before.
  return std::fabs(expected - actual) <= 1.000001e-9 * magnitude;
}

/// Payloads carry objects where a scenario names them.
const Json* name_of(const Json& object) {
  for (const char* field : {"id", "name"})
    if (const auto found = object.find(field); found != object.end()) return &*found;
  return nullptr;
}

bool equal_text(const std::string& expected, const Json& actual, const std::string& path) {
  if (actual.is_string()) return actual.get_ref<const std::string&>() == expected;
  if (actual.is_object()) {
    const Json* name = name_of(actual);
    return name && name->is_string() && name->get_ref<const std::string&>() == expected;
  }
  if (!actual.is_number() || !is_moment(last_field(path))) return false;
  const auto at = call::moment(expected, Timestamp{});
  return at.ok() && static_cast<double>(to_ms(*at)) == actual.get<double>();
}

bool equal_leaf(const Node& expected, const Json& actual, const std::string& path) {
  if (expected.is_null()) return actual.is_null();
  if (const bool* flag = expected.as_bool())
    return actual.is_boolean() && actual.get<bool>() == *flag;
  if (const std::string* text = expected.as_text()) return equal_text(*text, actual, path);
  const double* number = expected.as_number();
  if (!number || !actual.is_number()) return false;
  const auto got = actual.get<double>();
  return is_moment(last_field(path)) ? got == *number : agree(*number, got);
}

std::optional<Mismatch> compare_sequence(const Node::Sequence& expected, const Json& actual,
                                         const call::Shape* shape, const std::string& path) {
  if (expected.size() != actual.size()) {
    return Mismatch{path, fmt::format("a list of {}", expected.size()),
                    fmt::format("a list of {}: {}", actual.size(), to_json_text(actual))};
  }
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (auto found = compare(expected[i], &actual[i], call::shape_below(shape, {}),
                             fmt::format("{}[{}]", path, i)))
      return found;
  return std::nullopt;
}

/// Both sides have the same keys: nothing is missing and nothing is there besides.
std::optional<Mismatch> compare_keys(const Node::Mapping& expected, const Json& actual,
                                     const std::string& path) {
  for (const auto& [key, value] : actual.items()) {
    const bool known =
        std::any_of(expected.begin(), expected.end(), [&](const auto& m) { return m.key == key; });
    if (!known) return Mismatch{joined(path, key), "nothing", to_json_text(value)};
  }
  for (const auto& member : expected)
    if (!actual.contains(member.key))
      return Mismatch{joined(path, member.key), node_text(member.value), "nothing"};
  return std::nullopt;
}

/// Each expected grant is one of the actual ones, in any order. The most exacting choose first,
/// so that one that names few fields does not take the only grant that fits another.
std::optional<Mismatch> compare_grants(const Node::Sequence& expected, const Json& actual,
                                       const call::Shape* shape, const std::string& path) {
  if (expected.size() != actual.size()) return compare_sequence(expected, actual, shape, path);
  std::vector<const Node*> wanted;
  for (const Node& grant : expected) wanted.push_back(&grant);
  std::sort(wanted.begin(), wanted.end(), [](const Node* a, const Node* b) {
    return (a->as_mapping() ? a->as_mapping()->size() : 0) >
           (b->as_mapping() ? b->as_mapping()->size() : 0);
  });
  std::vector<const Json*> left;
  for (const Json& grant : actual) left.push_back(&grant);
  for (const Node* grant : wanted) {
    const auto found = std::find_if(left.begin(), left.end(), [&](const Json* candidate) {
      return !compare(*grant, candidate, call::shape_below(shape, {}), path);
    });
    if (found == left.end())
      return Mismatch{path, "a grant " + node_text(*grant), to_json_text(actual)};
    left.erase(found);
  }
  return std::nullopt;
}

std::optional<Mismatch> compare_part(const Node::Member& part, const Json* actual,
                                     const std::string& path) {
  const call::Shape* shape = call::shape_below(&call::customer_shape, part.key);
  const bool is_object = actual && actual->is_object();
  if (part.key == "grants" && part.value.as_sequence() && actual && actual->is_array())
    return compare_grants(*part.value.as_sequence(), *actual, shape, path);
  const bool complete = part.key == "meters" || part.key == "overrides" || part.key == "caps";
  if (complete && part.value.as_mapping() && is_object)
    if (auto found = compare_keys(*part.value.as_mapping(), *actual, path)) return found;
  return compare(part.value, actual, shape, path);
}

std::optional<Mismatch> compare_customer(const Node& expected, const Json& actual,
                                         const std::string& path) {
  const auto* parts = expected.as_mapping();
  if (!parts) return Mismatch{path, node_text(expected), to_json_text(actual)};
  for (const Node::Member& part : *parts) {
    const auto field = actual.find(part.key);
    const Json* value = field == actual.end() ? nullptr : &*field;
    if (auto found = compare_part(part, value, joined(path, part.key))) return found;
  }
  return std::nullopt;
}

void sum_holds(Json& meter) {
  double held = 0;
  if (const auto holds = meter.find("holds"); holds != meter.end() && holds->is_object())
    for (const Json& hold : *holds) held += hold.value("value", 0.0);
  meter["held"] = held;
}

void drop_expired_caps(Json& caps, double now_ms) {
  for (auto cap = caps.begin(); cap != caps.end();) {
    const auto expires = cap->find("expires_on");
    const bool expired =
        expires != cap->end() && expires->is_number() && expires->get<double>() < now_ms;
    cap = expired ? caps.erase(cap) : std::next(cap);
  }
}

}  // namespace

bool is_moment(std::string_view field) {
  return std::find(moment_fields.begin(), moment_fields.end(), field) != moment_fields.end();
}

std::string node_text(const Node& node) { return policy::json_text(node); }

std::optional<Mismatch> compare(const Node& expected, const Json* actual, const call::Shape* shape,
                                const std::string& path) {
  if (const auto* mapping = expected.as_mapping(); mapping && actual && actual->is_object()) {
    for (const auto& [key, position, value] : *mapping) {
      const auto field = actual->find(key);
      const Json* got = field == actual->end() ? nullptr : &*field;
      if (!got && !call::knows(shape, key))
        return Mismatch{joined(path, key), node_text(value), "no field of that name"};
      if (auto found = compare(value, got, call::shape_below(shape, key), joined(path, key)))
        return found;
    }
    return std::nullopt;
  }
  if (const auto* sequence = expected.as_sequence(); sequence && actual && actual->is_array())
    return compare_sequence(*sequence, *actual, shape, path);
  const bool is_equal = actual ? equal_leaf(expected, *actual, path) : expected.is_null();
  if (is_equal) return std::nullopt;
  return Mismatch{path, shown(expected, path), shown(actual, path)};
}

void prepare_state(Json& snapshot, double now_ms) {
  for (Json& customer : snapshot) {
    if (const auto meters = customer.find("meters"); meters != customer.end())
      for (Json& meter : *meters) sum_holds(meter);
    if (const auto caps = customer.find("caps"); caps != customer.end() && caps->is_object())
      drop_expired_caps(*caps, now_ms);
    const auto grants = customer.find("grants");
    if (grants == customer.end() || !grants->is_object()) continue;
    Json list = Json::array();
    for (Json& grant : *grants) list.push_back(std::move(grant));
    *grants = std::move(list);
  }
}

std::optional<Mismatch> compare_state(const Node& expected, const Json& actual) {
  const auto* customers = expected.as_mapping();
  if (!customers) return Mismatch{"state", node_text(expected), "a map of customers"};
  if (auto found = compare_keys(*customers, actual, "state")) return found;
  for (const auto& [id, position, customer] : *customers)
    if (auto found = compare_customer(customer, actual.at(id), joined("state", id))) return found;
  return std::nullopt;
}

}  // namespace limitr::scenario
