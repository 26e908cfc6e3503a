// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <fmt/format.h>

#include "policy/document_reader.h"
#include "policy/sections.h"

namespace limitr::policy {
namespace {

void read_reset_mode(const Fields& fields, Topup& topup) {
  const std::string mode = fields.text_or("reset_mode", "hard");
  if (const auto known = reset_mode_from(mode)) {
    topup.reset_mode = *known;
    return;
  }
  fields.issues().breaks_rule(
      fields.at("reset_mode"),
      fmt::format("Invalid topup reset mode '{}' - should be 'hard', 'add', or 'rollover'",
                  shown(mode)));
}

// An amount that may not be negative.
std::optional<double> read_balance(const Fields& fields, std::string_view key,
                                   std::optional<Unit> unit) {
  const auto amount = fields.amount(key, unit, "top-up");
  if (!amount || *amount >= 0) return amount;
  fields.issues().breaks_rule(
      fields.at(key), "Top-up value must be positive - cannot allocate a negative credit grant");
  return std::nullopt;
}

// Where a credit counts whole numbers, only a new grant's balance is cut to one.
std::optional<double> read_uncut(const Fields& fields, std::string_view key,
                                 std::optional<Unit> unit) {
  const auto amount = read_balance(fields, key, unit);
  if (!amount || !unit || !unit->is_int()) return amount;
  const Node& written = *fields.find(key)->node;
  if (const double* number = written.as_number()) {
    if (*number < 0) return read_balance(fields, key, Unit());
    return *number;
  }
  return *quantity_as_written(*written.as_text());
}

void read_amounts(const Fields& fields, std::optional<Unit> unit, Topup& topup) {
  topup.starting_value = read_uncut(fields, "value", unit).value_or(0);
  topup.value = unit && unit->is_int() ? std::trunc(topup.starting_value) : topup.starting_value;
  topup.rollover_min = MaybeAmount(read_uncut(fields, "rollover_min", unit));
  topup.rollover_max = MaybeAmount(read_uncut(fields, "rollover_max", unit));
  topup.max_balance = MaybeAmount(read_uncut(fields, "max_balance", unit));
}

std::optional<std::uint32_t> read_catchup_cap(const Fields& fields) {
  const auto cap = fields.number("reset_catchup_cap");
  if (!cap) return std::nullopt;
  const auto refuse = [&](std::string message) {
    fields.issues().breaks_rule(fields.at("reset_catchup_cap"), std::move(message));
    return std::nullopt;
  };
  if (*cap <= 0) return refuse("Top-up reset period catch up cap must be greater than zero");
  if (*cap != std::trunc(*cap) || *cap > UINT32_MAX) {
    return refuse("Top-up reset period catch up cap must be a whole number");
  }
  return static_cast<std::uint32_t>(*cap);
}

}  // namespace

std::optional<Topup> read_topup(Making& making, const Place& place) {
  const Fields fields(place, making.issues);
  Topup topup;
  topup.name = making.intern(place.key);
  const auto credit = read_credit_name(making, fields);
  read_amounts(fields, unit_of(making, credit), topup);
  read_price(fields, "price");
  fields.text("description");
  topup.included = fields.flag_or("included", false);
  for (const std::string& scope : fields.texts("included_scopes")) {
    topup.included_scopes.push_back(making.intern(scope));
  }
  topup.reset = read_reset(fields, "Top-up");
  read_reset_mode(fields, topup);
  topup.rollover_pct = MaybeAmount(fields.number("rollover_pct"));
  if (topup.rollover_pct.has_value() && *topup.rollover_pct <= 0) {
    making.issues.breaks_rule(fields.at("rollover_pct"),
                              "Top-up rollover multiplier must be greater than zero");
    topup.rollover_pct = {};
  }
  topup.expires_after = fields.length("expires_after");
  if (topup.expires_after && *topup.expires_after <= Millis{0}) {
    making.issues.breaks_rule(fields.at("expires_after"),
                              "Top-up expiration value must be greater than zero");
    topup.expires_after.reset();
  }
  topup.reset_catchup_cap = read_catchup_cap(fields);
  fields.warn_of_typos();
  if (!credit) return std::nullopt;
  topup.credit = making.intern(*credit);
  return topup;
}

}  // namespace limitr::policy
