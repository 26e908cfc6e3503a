// SPDX-License-Identifier: Apache-2.0
#include "call/arguments.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "call/calls.h"
#include "call/time_text.h"

namespace limitr::call {
namespace {

using policy::Node;

constexpr std::array cap_fields = {
    Parameter{"credit", Kind::text},       Parameter{"value", Kind::number, true},
    Parameter{"overage_only", Kind::flag}, Parameter{"ignore_grants", Kind::flag},
    Parameter{"observe_only", Kind::flag}, Parameter{"overhead_cost", Kind::flag},
    Parameter{"hard_trailing", Kind::flag}};

constexpr std::array usage_fields = {
    Parameter{"meter", Kind::quantity, true}, Parameter{"limit", Kind::quantity},
    Parameter{"credit", Kind::text}, Parameter{"overhead", Kind::number},
    Parameter{"context", Kind::data}};

// A cap names its value; a map of ceilings has credits for keys.
bool is_cap(const Node& node) { return node.find("value") != nullptr; }

std::string_view wanted(Kind kind) {
  switch (kind) {
    case Kind::text: return "text";
    case Kind::number: return "a number";
    case Kind::quantity: return "a number, or text with a unit";
    case Kind::flag: return "true or false";
    case Kind::moment: return "a time";
    case Kind::texts: return "a list of text";
    case Kind::data: return "a mapping, or JSON text";
    case Kind::event: return "true, false, a mapping, or JSON text";
    case Kind::caps: return "a cap, a map of credit to ceiling, or a list of them";
    case Kind::document: return "a policy document, as a mapping or text";
    case Kind::records: return "customer records, as a mapping, a list or text";
    case Kind::usage: return "a map of entitlement to usage";
    case Kind::calls: return "a list of calls";
  }
  return "something else";
}

bool is_list_of_text(const Node& node) {
  const auto* list = node.as_sequence();
  return list && std::all_of(list->begin(), list->end(),
                             [](const Node& item) { return item.as_text() != nullptr; });
}

bool has_shape(const Node& node, Kind kind) {
  const bool is_text = node.as_text() != nullptr;
  const bool is_mapping = node.as_mapping() != nullptr;
  switch (kind) {
    case Kind::text: return is_text;
    case Kind::number: return node.as_number() != nullptr;
    case Kind::quantity: return is_text || node.as_number();
    case Kind::flag: return node.as_bool() != nullptr;
    case Kind::moment: return is_text || node.as_number();
    case Kind::texts: return is_list_of_text(node);
    case Kind::data:
    case Kind::document: return is_text || is_mapping;
    case Kind::event: return is_text || is_mapping || node.as_bool();
    case Kind::caps: return is_mapping || node.as_sequence();
    case Kind::records: return is_text || is_mapping || node.as_sequence();
    case Kind::usage: return is_mapping;
    case Kind::calls: return node.as_sequence() != nullptr;
  }
  return false;
}

FormatProblem wrong_kind(const Node& node, Kind kind, const std::string& path) {
  return {node.position, path,
          fmt::format("expected {}, found {}", wanted(kind), node.kind_name())};
}

std::optional<FormatProblem> check_cap(const Node& cap, const std::string& path) {
  if (!cap.as_mapping()) return wrong_kind(cap, Kind::caps, path);
  if (is_cap(cap)) return check_arguments(cap.as_mapping(), cap_fields, cap.position, path);
  for (const auto& [credit, position, ceiling] : *cap.as_mapping())
    if (!ceiling.as_number()) return wrong_kind(ceiling, Kind::number, path + "." + credit);
  return std::nullopt;
}

std::optional<FormatProblem> check_usage(const Node& usage, const std::string& path) {
  for (const auto& [entitlement, position, amount] : *usage.as_mapping()) {
    const std::string place = path + "." + entitlement;
    if (const auto* fields = amount.as_mapping()) {
      if (auto found = check_arguments(fields, usage_fields, amount.position, place)) return found;
    } else if (!has_shape(amount, Kind::quantity)) {
      return wrong_kind(amount, Kind::quantity, place);
    }
  }
  return std::nullopt;
}

std::optional<FormatProblem> check_items(const Node::Sequence& items, Kind kind,
                                         const std::string& path) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", path, i);
    const auto found =
        kind == Kind::caps
            ? check_cap(items[i], place)
            : check_arguments(items[i].as_mapping(), allow_parameters(), items[i].position, place);
    if (found) return found;
  }
  return std::nullopt;
}

std::optional<FormatProblem> check_argument(const Node& node, Kind kind, const std::string& path) {
  if (node.is_null()) return std::nullopt;
  if (!has_shape(node, kind)) return wrong_kind(node, kind, path);
  if (const auto* items = node.as_sequence(); items && (kind == Kind::caps || kind == Kind::calls))
    return check_items(*items, kind, path);
  if (kind == Kind::caps) return check_cap(node, path);
  if (kind == Kind::usage) return check_usage(node, path);
  if (kind != Kind::moment) return std::nullopt;
  const auto at = moment(node, Timestamp{});
  if (at.ok()) return std::nullopt;
  return FormatProblem{node.position, path, at.error().message};
}

std::string known_names(std::span<const Parameter> parameters) {
  std::string names;
  for (const Parameter& parameter : parameters)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", parameter.name);
  return names.empty() ? "it takes none" : "known: " + names;
}

CallCap cap_of(const Node& node) {
  const Arguments fields(node.as_mapping(), Timestamp{});
  CallCap cap;
  cap.credit = fields.text("credit", cap.credit);
  cap.value = fields.number("value", 0);
  cap.overage_only = fields.flag("overage_only");
  cap.ignore_grants = fields.flag("ignore_grants");
  cap.observe_only = fields.flag("observe_only");
  cap.overhead_cost = fields.flag("overhead_cost");
  cap.hard_trailing = fields.flag("hard_trailing");
  return cap;
}

void add_caps(const Node& node, std::vector<CallCap>& caps) {
  if (const auto* list = node.as_sequence()) {
    for (const Node& item : *list) add_caps(item, caps);
  } else if (is_cap(node)) {
    caps.push_back(cap_of(node));
  } else {
    for (const auto& [credit, position, ceiling] : *node.as_mapping())
      caps.push_back({.credit = credit, .value = *ceiling.as_number()});
  }
}

}  // namespace

std::optional<FormatProblem> check_arguments(const Node::Mapping* given,
                                             std::span<const Parameter> parameters,
                                             policy::Position position, const std::string& path) {
  static const Node::Mapping none;
  if (!given) given = &none;
  for (const auto& [key, key_position, value] : *given) {
    const auto known =
        std::find_if(parameters.begin(), parameters.end(),
                     [&name = key](const Parameter& parameter) { return parameter.name == name; });
    if (known == parameters.end())
      return FormatProblem{key_position, path,
                           fmt::format("unknown argument `{}` ({})", key, known_names(parameters))};
    if (auto found = check_argument(value, known->kind, path + "." + key)) return found;
  }
  for (const Parameter& parameter : parameters) {
    const bool is_given =
        std::any_of(given->begin(), given->end(), [&](const Node::Member& member) {
          return member.key == parameter.name && !member.value.is_null();
        });
    if (parameter.is_required && !is_given)
      return FormatProblem{position, path, fmt::format("missing argument `{}`", parameter.name)};
  }
  return std::nullopt;
}

const Node* Arguments::find(std::string_view name) const {
  if (!given_) return nullptr;
  for (const auto& [key, position, value] : *given_)
    if (key == name) return value.is_null() ? nullptr : &value;
  return nullptr;
}

std::string_view Arguments::text(std::string_view name, std::string_view otherwise) const {
  const Node* found = find(name);
  return found ? std::string_view(*found->as_text()) : otherwise;
}

std::optional<std::string> Arguments::maybe_text(std::string_view name) const {
  const Node* found = find(name);
  return found ? std::optional(*found->as_text()) : std::nullopt;
}

double Arguments::number(std::string_view name, double otherwise) const {
  return maybe_number(name).value_or(otherwise);
}

std::optional<double> Arguments::maybe_number(std::string_view name) const {
  const Node* found = find(name);
  return found ? std::optional(*found->as_number()) : std::nullopt;
}

Value Arguments::quantity(std::string_view name, Value otherwise) const {
  return maybe_quantity(name).value_or(otherwise);
}

std::optional<Value> Arguments::maybe_quantity(std::string_view name) const {
  const Node* found = find(name);
  return found ? std::optional(value_of(*found)) : std::nullopt;
}

bool Arguments::flag(std::string_view name, bool otherwise) const {
  return maybe_flag(name).value_or(otherwise);
}

std::optional<bool> Arguments::maybe_flag(std::string_view name) const {
  const Node* found = find(name);
  return found ? std::optional(*found->as_bool()) : std::nullopt;
}

std::optional<Timestamp> Arguments::moment(std::string_view name) const {
  const Node* found = find(name);
  if (!found) return std::nullopt;
  const auto at = call::moment(*found, now_);
  return at.ok() ? std::optional(*at) : std::nullopt;
}

std::optional<std::vector<std::string>> Arguments::texts(std::string_view name) const {
  const Node* found = find(name);
  if (!found) return std::nullopt;
  std::vector<std::string> texts;
  for (const Node& item : *found->as_sequence()) texts.push_back(*item.as_text());
  return texts;
}

std::optional<Json> Arguments::data(std::string_view name) const {
  const Node* found = find(name);
  if (!found || found->as_bool()) return std::nullopt;
  const std::string* text = found->as_text();
  if (!text) return policy::to_json(*found);
  if (text->empty()) return std::nullopt;
  Json parsed = Json::parse(*text, nullptr, false);
  return parsed.is_discarded() ? Json(*text) : parsed;
}

std::vector<CallCap> Arguments::caps(std::string_view name) const {
  std::vector<CallCap> caps;
  if (const Node* found = find(name)) add_caps(*found, caps);
  return caps;
}

Result<std::vector<CallCap>> caps_from(std::string_view json) {
  const auto node = policy::parse_document(json, Format::json, {});
  const auto invalid = [](std::string message, std::string path) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = std::move(message),
                 .where = std::move(path)};
  };
  if (!node.ok()) return invalid(node.error().message, "caps");
  if (auto problem = check_argument(*node, Kind::caps, "caps"))
    return invalid(std::move(problem->message), std::move(problem->path));
  std::vector<CallCap> caps;
  if (!node->is_null()) add_caps(*node, caps);
  return caps;
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::text: return "text";
    case Kind::number: return "number";
    case Kind::quantity: return "quantity";
    case Kind::flag: return "flag";
    case Kind::moment: return "moment";
    case Kind::texts: return "texts";
    case Kind::data: return "data";
    case Kind::event: return "event";
    case Kind::caps: return "caps";
    case Kind::document: return "document";
    case Kind::records: return "records";
    case Kind::usage: return "usage";
    case Kind::calls: return "calls";
  }
  return "";
}

ChangeOptions change_options(const Arguments& arguments) {
  return {.request = arguments.text("request")};
}

Value value_of(const Node& node) {
  if (const std::string* text = node.as_text()) return Value(*text);
  return Value(*node.as_number());
}

}  // namespace limitr::call
