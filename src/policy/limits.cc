// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "policy/document_reader.h"
#include "policy/sections.h"

namespace limitr::policy {
namespace {

void read_mode(const Fields& fields, Limit& limit) {
  const std::string mode = fields.text_or("mode", "hard");
  if (const auto known = mode_from(mode)) {
    limit.mode = *known;
  } else {
    fields.issues().breaks_rule(
        fields.at("mode"),
        fmt::format("Limits cannot have a \"{}\" mode - only hard, soft, or observe", shown(mode)));
  }
  limit.hard_trailing = fields.flag_or("hard_trailing", false);
  if (!limit.hard_trailing || limit.mode == Mode::hard) return;
  fields.issues().breaks_rule(fields.at("hard_trailing"),
                              "Limit hard_trailing can only be true when mode is 'hard'");
  limit.hard_trailing = false;
}

// Without its credit there is no unit to judge amounts by; they must be amounts all the same.
void read_amounts(const Fields& fields, std::optional<Unit> unit, Limit& limit) {
  limit.value = fields.amount("value", unit, "limit").value_or(0);
  limit.minimum = MaybeAmount(fields.amount("minimum", unit, "limit"));
  const auto increment = fields.amount("increment", unit, "limit");
  if (!increment) return;
  const Node& written = *fields.find("increment")->node;
  if (const double* number = written.as_number()) limit.increment = *number;
  if (const auto* text = written.as_text()) {
    limit.increment = *quantity_as_written(*text);
    limit.increment_text = *text;
  }
}

void read_governor(const Fields& fields, Limit& limit) {
  limit.governor_enabled = fields.flag_or("governor_enabled", false);
  const auto capacity = fields.number("governor_capacity");
  const auto rate = fields.number("governor_refill_rate");
  if (capacity && *capacity <= 0) {
    fields.issues().breaks_rule(fields.at("governor_capacity"),
                                "Limit governor_capacity must be greater than zero");
  } else {
    limit.governor_capacity = capacity;
  }
  if (rate && *rate < 0) {
    fields.issues().breaks_rule(fields.at("governor_refill_rate"),
                                "Limit governor_refill_rate cannot be negative");
  } else {
    limit.governor_refill_rate = rate;
  }
  if (!limit.governor_enabled) return;
  for (const std::string_view key : {"governor_capacity", "governor_refill_rate"}) {
    if (fields.find(key)) continue;
    fields.issues().breaks_rule(
        fields.at(key), fmt::format("Limit {} must be set when governor_enabled is true", key));
  }
  limit.governor_enabled = limit.governor_capacity.has_value() &&  //
                           limit.governor_refill_rate.has_value();
}

}  // namespace

std::optional<std::string> read_credit_name(Making& making, const Fields& fields) {
  auto name = fields.text("credit");
  if (!name) {
    if (!fields.find("credit")) {
      making.issues.breaks_rule(fields.at("credit"), "a credit must be named ('credit' field)");
    }
    return std::nullopt;
  }
  if (making.units.contains(*name)) return name;
  making.issues.breaks_rule(
      fields.at("credit"),
      fmt::format("A credit named \"{}\" does not exist in this policy", shown(*name)));
  return std::nullopt;
}

std::optional<Unit> unit_of(const Making& making, const std::optional<std::string>& credit) {
  return credit ? std::optional(making.units.at(*credit)) : std::nullopt;
}

Reset read_reset(const Fields& fields, std::string_view what) {
  Reset reset;
  Issues& issues = fields.issues();
  reset.resets = fields.flag_or("resets", false);
  reset.inc = fields.length("reset_inc");
  if (reset.inc && *reset.inc <= Millis{0}) {
    issues.breaks_rule(fields.at("reset_inc"),
                       fmt::format("{} reset increment value must be greater than zero", what));
    reset.inc.reset();
  }
  const auto schedule = fields.text("reset_sch");
  if (!schedule) return reset;
  reset.schedule = Schedule::parse(*schedule);
  if (!reset.schedule) {
    issues.breaks_rule(fields.at("reset_sch"),
                       fmt::format("Invalid reset schedule '{}' - must start with monthly, weekly, "
                                   "nth_weekday, yearly, or quarterly",
                                   shown(*schedule)));
  }
  if (const auto inc = fields.find("reset_inc")) {
    issues.breaks_rule(*inc,
                       fmt::format("{} reset_inc and reset_sch are mutually exclusive", what));
    if (reset.schedule) reset.inc.reset();
  }
  return reset;
}

std::optional<Limit> read_limit(Making& making, const Place& place) {
  const Fields fields(place, making.issues);
  Limit limit;
  const auto credit = read_credit_name(making, fields);
  read_mode(fields, limit);
  read_amounts(fields, unit_of(making, credit), limit);
  limit.grants_apply = fields.flag_or("grants_apply", true);
  limit.reset = read_reset(fields, "Limit");
  fields.number("override_expires_on");
  read_governor(fields, limit);
  limit.ewma_alpha = fields.number("ewma_alpha").value_or(limit.ewma_alpha);
  if (limit.ewma_alpha < 0 || limit.ewma_alpha > 1) {
    making.issues.breaks_rule(fields.at("ewma_alpha"),
                              "Limit ewma_alpha value must be between 0.0 and 1.0");
    limit.ewma_alpha = Limit().ewma_alpha;
  }
  fields.warn_of_typos();
  if (!credit) return std::nullopt;
  limit.credit = making.intern(*credit);
  return limit;
}

}  // namespace limitr::policy
