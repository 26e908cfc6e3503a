// SPDX-License-Identifier: Apache-2.0
#include "policy/fields.h"

#include <algorithm>

#include <fmt/format.h>

#include "policy/document_reader.h"
#include "policy/typos.h"

namespace limitr::policy {
namespace {

// More problems than anyone reads: what a hostile document can make us write is bounded.
constexpr std::size_t most_issues = 1000;

Value value_of(const Node& node) {
  if (const auto* text = node.as_text()) return Value(*text);
  return Value(*node.as_number());
}

bool is_quantity(const Node& node) { return node.as_text() || node.as_number(); }

}  // namespace

Place Place::member(const Node::Member& member, std::size_t position_in_order) const {
  return {this, member.key, static_cast<std::uint32_t>(position_in_order), &member.value,
          member.value.position};
}

Place Place::element(const Node& element, std::size_t position_in_order) const {
  return {this, {}, static_cast<std::uint32_t>(position_in_order), &element, element.position};
}

Place Place::at_key() const {
  Place at_key = *this;
  at_key.position = (*parent->node->as_mapping())[index].key_position;
  return at_key;
}

std::string Place::path() const {
  if (parent == nullptr) return {};
  std::string path = parent->path();
  if (parent->node != nullptr && parent->node->as_sequence()) {
    return path + fmt::format("[{}]", index);
  }
  if (!path.empty()) path += '.';
  return path + shown(key);
}

void Issues::note(const Place& place, Issue::Severity severity, std::string message) {
  if (severity == Issue::Severity::error) has_errors_ = true;
  if (found_.size() == most_issues) {
    ++unlisted_;
    return;
  }
  Found found{{}, {severity, place.path(), std::move(message), 0, 0}};
  found.issue.line = place.position.line;
  found.issue.column = place.position.column;
  for (const Place* at = &place; at->parent != nullptr; at = at->parent) {
    if (at->index != Place::absent) found.order.push_back(at->index);
  }
  std::reverse(found.order.begin(), found.order.end());
  found_.push_back(std::move(found));
}

std::vector<Issue> Issues::take() {
  std::stable_sort(found_.begin(), found_.end(),
                   [](const Found& a, const Found& b) { return a.order < b.order; });
  std::vector<Issue> issues;
  issues.reserve(found_.size() + 1);
  for (Found& found : found_) issues.push_back(std::move(found.issue));
  if (unlisted_ > 0) {
    const auto severity = has_errors_ ? Issue::Severity::error : Issue::Severity::warning;
    issues.push_back({severity, {}, fmt::format("{} more problems are not listed", unlisted_)});
  }
  return issues;
}

std::optional<Place> Fields::find(std::string_view key) const {
  asked_.push_back(key);
  const Node::Mapping& members = *place_.node->as_mapping();
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].key != key) continue;
    if (members[i].value.is_null()) return std::nullopt;
    return place_.member(members[i], i);
  }
  return std::nullopt;
}

Place Fields::at(std::string_view key) const {
  asked_.push_back(key);
  const Node::Mapping& members = *place_.node->as_mapping();
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].key == key) return place_.member(members[i], i);
  }
  return {&place_, key, Place::absent, nullptr, place_.position};
}

void Fields::wrong_type(const Place& field, std::string_view expected) const {
  issues_.wrong(field, fmt::format("`{}` must be {}, not {}", shown(field.key), expected,
                                   field.node->kind_name()));
}

void Fields::warn_of_typos() const {
  const Node::Mapping& members = *place_.node->as_mapping();
  std::sort(asked_.begin(), asked_.end());
  asked_.erase(std::unique(asked_.begin(), asked_.end()), asked_.end());
  std::vector<std::string_view> absent = asked_;
  std::vector<std::size_t> unknown;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const bool is_known = std::binary_search(asked_.begin(), asked_.end(), members[i].key);
    if (is_known) std::erase(absent, members[i].key);
    if (!is_known) unknown.push_back(i);
  }
  for (const std::size_t i : unknown) {
    const std::string_view meant = meant_by(members[i].key, absent);
    if (meant.empty()) continue;
    issues_.warn(place_.member(members[i], i).at_key(),
                 fmt::format("unknown key `{}`: did you mean `{}`?", shown(members[i].key), meant));
  }
}

std::optional<std::string> Fields::text(std::string_view key) const {
  const auto field = find(key);
  if (!field) return std::nullopt;
  if (const auto* text = field->node->as_text()) return *text;
  wrong_type(*field, "text");
  return std::nullopt;
}

std::string Fields::text_or(std::string_view key, std::string_view other) const {
  auto found = text(key);
  return found ? *std::move(found) : std::string(other);
}

bool Fields::flag_or(std::string_view key, bool other) const {
  const auto field = find(key);
  if (!field) return other;
  if (const bool* flag = field->node->as_bool()) return *flag;
  wrong_type(*field, "true or false");
  return other;
}

std::optional<double> Fields::number(std::string_view key) const {
  const auto field = find(key);
  if (!field) return std::nullopt;
  if (const double* number = field->node->as_number()) return *number;
  wrong_type(*field, "a number");
  return std::nullopt;
}

std::optional<double> Fields::amount(std::string_view key, std::optional<Unit> unit,
                                     std::string_view what) const {
  const auto field = find(key);
  if (!field) return std::nullopt;
  if (!is_quantity(*field->node)) {
    wrong_type(*field, "a number or text");
    return std::nullopt;
  }
  const Value written = value_of(*field->node);
  const Result<double> amount = unit                ? quantity(written, *unit)
                                : written.is_text() ? quantity_as_written(written.text())
                                                    : Result(written.number());
  if (amount.ok()) return *amount;
  issues_.wrong(*field,
                fmt::format("Cannot use \"{}\" as a {} value - not a valid number/units: {}",
                            shown(*field->node->as_text()), what, amount.error().message));
  return std::nullopt;
}

std::optional<Millis> Fields::length(std::string_view key) const {
  const auto field = find(key);
  if (!field) return std::nullopt;
  if (!is_quantity(*field->node)) {
    wrong_type(*field, "a number or text");
    return std::nullopt;
  }
  const Result<Millis> length = duration(value_of(*field->node));
  if (length.ok()) return *length;
  issues_.wrong(*field, fmt::format("`{}` is no duration: {}", key, length.error().message));
  return std::nullopt;
}

std::vector<std::string> Fields::texts(std::string_view key) const {
  std::vector<std::string> texts;
  const auto field = list(key);
  if (!field) return texts;
  const Node::Sequence& elements = *field->node->as_sequence();
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (const auto* text = elements[i].as_text()) {
      texts.push_back(*text);
    } else {
      issues_.wrong(field->element(elements[i], i),
                    fmt::format("`{}` must be a list of text, and has {} in it", key,
                                elements[i].kind_name()));
    }
  }
  return texts;
}

std::optional<Place> Fields::mapping(std::string_view key) const {
  const auto field = find(key);
  if (!field || field->node->as_mapping()) return field;
  wrong_type(*field, "a mapping");
  return std::nullopt;
}

std::optional<Place> Fields::list(std::string_view key) const {
  const auto field = find(key);
  if (!field || field->node->as_sequence()) return field;
  wrong_type(*field, "a list");
  return std::nullopt;
}

}  // namespace limitr::policy
