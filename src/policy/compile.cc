// SPDX-License-Identifier: Apache-2.0
#include "policy/compile.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "policy/document_reader.h"
#include "policy/sections.h"

namespace limitr::policy {
namespace {

void read_length(const Fields& fields, std::string_view key, Millis& length) {
  const auto given = fields.length(key);
  if (!given) return;
  if (*given > Millis{0}) {
    length = *given;
  } else {
    fields.issues().breaks_rule(fields.at(key), fmt::format("{} must be greater than zero", key));
  }
}

void read_count(const Fields& fields, std::string_view key, std::uint32_t& count) {
  const auto given = fields.number(key);
  if (!given) return;
  if (*given >= 1 && *given <= UINT32_MAX && *given == std::trunc(*given)) {
    count = static_cast<std::uint32_t>(*given);
  } else {
    fields.issues().breaks_rule(fields.at(key),
                                fmt::format("{} must be a whole number, 1 or more", key));
  }
}

void read_policy(Making& making, const Place& place) {
  static const Node nothing{Node::Mapping(), {}};
  const Fields fields(place, making.issues);
  const auto section = [&](std::string_view key) {
    Place found = fields.mapping(key).value_or(Place{&place, key, Place::absent, nullptr, {}});
    if (found.node == nullptr) found.node = &nothing;
    return found;
  };
  read_credits(making, section("credits"));
  read_exchange(making, section("exchange"));
  read_plans(making, section("plans"));
  check_customers(making, section("customers"));
  read_notifications(making, section("notifications"));
  read_count(fields, "estimate_min_samples", making.policy.estimate_min_samples);
  read_length(fields, "hold_ttl", making.policy.hold_ttl);
  read_length(fields, "request_window", making.policy.request_window);
  read_count(fields, "request_limit", making.policy.request_limit);
  fields.warn_of_typos();
}

void read_root(Making& making, const Node& document) {
  const Place root{nullptr, {}, Place::absent, &document, document.position};
  const Node::Mapping* members = document.as_mapping();
  if (members == nullptr) {
    making.issues.wrong(root, fmt::format("the document must be a mapping with the key `policy`, "
                                          "not {}",
                                          document.kind_name()));
    return;
  }
  for (std::size_t i = 0; i < members->size(); ++i) {
    if ((*members)[i].key == "policy") continue;
    making.issues.breaks_rule(root.member((*members)[i], i),
                              "the root of the document holds one key, `policy`");
  }
  const Fields fields(root, making.issues);
  const Place place = fields.at("policy");
  if (place.node == nullptr) {
    making.issues.wrong(place, "the document has no key `policy`");
  } else if (place.node->as_mapping() == nullptr) {
    fields.wrong_type(place, "a mapping");
  } else {
    read_policy(making, place);
  }
}

struct Checked {
  std::shared_ptr<Policy> policy;  // Without its indexes and its document; null: there are errors.
  std::vector<Issue> issues;
};

Checked check(const Node& document, const std::shared_ptr<SymbolTable>& names, bool validate) {
  auto policy = std::make_shared<Policy>();
  policy->names = names;
  policy->rune = names->intern("rune");
  Issues issues(validate);
  Making making{*policy, issues};
  read_root(making, document);
  if (issues.has_errors()) policy = nullptr;
  return {std::move(policy), issues.take()};
}

// Where a document cannot be read, as the issue that a linter shows.
Issue issue_of(const Error& error) {
  Issue issue{Issue::Severity::error, {}, error.message, 0, 0};
  // "line:column: path"
  const char* end = error.where.data() + error.where.size();
  const auto line = std::from_chars(error.where.data(), end, issue.line);
  if (line.ptr == end) return issue;
  const auto column = std::from_chars(line.ptr + 1, end, issue.column);
  if (end - column.ptr > 2) issue.path.assign(column.ptr + 2, end);
  return issue;
}

// Keys that are there twice and numbers that are none, then what keeps the rest from being read.
std::vector<Issue> unreadable(std::vector<Issue> flaws, const Result<Node>& document) {
  std::stable_sort(flaws.begin(), flaws.end(), [](const Issue& a, const Issue& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  if (!document.ok()) flaws.push_back(issue_of(document.error()));
  return flaws;
}

}  // namespace

Compiled compile(const Node& document, const std::shared_ptr<SymbolTable>& names, bool validate) {
  Checked checked = check(document, names, validate);
  if (checked.policy) {
    checked.policy->index();
    checked.policy->document = to_json(document);
  }
  return {std::move(checked.policy), std::move(checked.issues)};
}

Error first_error(const std::vector<Issue>& issues) {
  for (const Issue& issue : issues) {
    if (issue.severity != Issue::Severity::error) continue;
    std::string where = issue.path;
    if (issue.line != 0) {
      const std::string place = fmt::format("{}:{}", issue.line, issue.column);
      where = where.empty() ? place : fmt::format("{} ({})", where, place);
    }
    return Error{ErrorCode::policy_invalid, issue.message, std::move(where)};
  }
  return Error{ErrorCode::policy_invalid, "the policy is not valid"};
}

}  // namespace limitr::policy

namespace limitr {

std::string Issue::to_string() const {
  std::string text;
  if (line != 0) text = fmt::format("{}:{}: ", line, column);
  if (!path.empty()) text += path + ": ";
  return text + message;
}

std::vector<Issue> validate_policy(std::string_view text, Format format,
                                   const DocumentBounds& bounds) {
  std::vector<Issue> flaws;
  const Result<policy::Node> document = policy::parse_document(text, format, bounds, &flaws);
  if (!document.ok() || !flaws.empty()) return policy::unreadable(std::move(flaws), document);
  return policy::check(*document, std::make_shared<SymbolTable>(), true).issues;
}

}  // namespace limitr
