// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "policy/fields.h"
#include "policy/policy.h"

// The sections of a policy document, each read by a function of its own into the policy that is
// being made. `credits` comes first: the others look credits up.
namespace limitr::policy {

struct Making {
  Policy& policy;
  Issues& issues;
  TextMap<Unit> units = {};      ///< Of the credits, by name.
  TextMap<bool> priced = {};     ///< Whether a credit has a price, by name.
  TextMap<bool> functions = {};  ///< The host functions named so far.

  Symbol intern(std::string_view name) const { return policy.names->intern(name); }
  /// Notes a host function that the document names; an empty name is none.
  void use_function(const std::string& name);
};

// Each takes the section's place, which is a mapping.
void read_credits(Making& making, const Place& section);
void read_exchange(Making& making, const Place& section);
void read_plans(Making& making, const Place& section);
void read_notifications(Making& making, const Place& section);
/// Checks the shape of `customers` only: the engine loads the records. Comes after the plans.
void check_customers(Making& making, const Place& section);

// Parts of an entry. None where the entry cannot be used; the issue is then noted.
std::optional<Limit> read_limit(Making& making, const Place& place);
std::optional<Topup> read_topup(Making& making, const Place& place);

/// The credit that a limit or a topup names, or none, noted.
std::optional<std::string> read_credit_name(Making& making, const Fields& fields);
/// The unit that amounts in the credit are kept in; none where there is no credit.
std::optional<Unit> unit_of(const Making& making, const std::optional<std::string>& credit);
/// The amount of the Price under `key`, or none.
std::optional<double> read_price(const Fields& fields, std::string_view key);
/// `resets`, `reset_inc` and `reset_sch`; messages begin with `what`.
Reset read_reset(const Fields& fields, std::string_view what);

/// The value that a text stands for in a table of names, or none.
template <typename T, std::size_t size>
std::optional<T> chosen(const std::array<std::pair<std::string_view, T>, size>& names,
                        std::string_view name) {
  for (const auto& [known, value] : names) {
    if (known == name) return value;
  }
  return std::nullopt;
}

}  // namespace limitr::policy
