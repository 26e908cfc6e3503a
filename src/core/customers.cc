// SPDX-License-Identifier: Apache-2.0
#include "core/customers.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/decide.h"
#include "core/grants.h"
#include "core/resolve.h"

namespace limitr::core {
namespace {

using state::Customer;
using state::Family;

Result<Schedule> read_schedule(const std::string& text) {
  if (const auto schedule = Schedule::parse(text)) return *schedule;
  return Error{.code = ErrorCode::invalid_argument,
               .message = fmt::format("Invalid reset schedule '{}' - must start with monthly, "
                                      "weekly, nth_weekday, yearly, or quarterly",
                                      text)};
}

Result<Millis> read_reset_inc(const Value& value) {
  Result<Millis> length = duration(value);
  if (length.ok() && *length <= Millis(0)) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = "reset increment value must be greater than zero"};
  }
  return length;
}

// Changes a reset as far as the options say. Thirty days where nothing says when.
Result<void> read_reset(Reset& reset, std::optional<bool> resets, const std::optional<Value>& inc,
                        const std::optional<std::string>& sch) {
  if (resets) reset.resets = *resets;
  if (inc) {
    Result<Millis> length = read_reset_inc(*inc);
    if (!length.ok()) return std::move(length).error();
    reset.inc = *length;
  }
  if (sch) {
    Result<Schedule> schedule = read_schedule(*sch);
    if (!schedule.ok()) return std::move(schedule).error();
    reset.schedule = *schedule;
  }
  if (reset.resets && !reset.inc && !reset.schedule) reset.inc = default_reset_inc;
  return {};
}

// Reads a quantity in a credit's unit, where there is one.
Result<void> read_into(double& target, const std::optional<Value>& value, Unit unit) {
  if (!value) return {};
  Result<double> units = quantity(*value, unit);
  if (!units.ok()) return std::move(units).error();
  target = *units;
  return {};
}

std::vector<Symbol> intern_all(const std::vector<std::string>& texts, SymbolTable& names) {
  std::vector<Symbol> symbols;
  for (const std::string& text : texts) symbols.push_back(names.intern(text));
  return symbols;
}

// Whether a cap's own ID and credit can be.
bool is_possible(const policy::Policy& policy, const Customer& draft, Symbol credit,
                 bool exchangeable, const CapOptions& options) {
  if (!options.cap.empty() && draft.cap(options.cap) != nullptr) return false;
  if (!policy.is_currency(credit) || (options.reset_inc && options.reset_sch)) return false;
  const policy::Credit* priced = policy.credit(credit);
  return !(exchangeable && priced != nullptr &&
           priced->price.model == policy::PricingModel::stairstep);
}

}  // namespace

Result<void> settle_plan(const policy::Policy& policy, const Family& family, Customer& draft) {
  if (policy.plan(draft.plan) != nullptr) return {};
  draft.plan = Symbol::empty;
  if (plan_without_default(policy, family, Family::caller) != nullptr) return {};
  if (policy.default_plan() == nullptr) {
    return Error{.code = ErrorCode::no_plan,
                 .message = fmt::format("customer `{}` would be on no plan: name one of the "
                                        "policy's plans, or mark one as default",
                                        draft.id)};
  }
  draft.plan = policy.default_plan()->name;
  return {};
}

void begin(const policy::Policy& policy, const Family& family, Customer& draft, Timestamp now,
           IdSource& ids) {
  const policy::Plan* plan = plan_of(policy, family);
  if (plan == nullptr) return;
  const auto is_limited = [](const policy::Entitlement& e) { return e.limit.has_value(); };
  const auto& entitlements = plan->entitlements;
  draft.meters.reserve(static_cast<std::size_t>(
      std::count_if(entitlements.begin(), entitlements.end(), is_limited)));
  for (const policy::Entitlement& entitlement : entitlements) {
    if (!entitlement.limit) continue;
    draft.meters.push_back(new_meter(entitlement.name, entitlement.limit->credit, now));
  }
  for (const policy::Topup& topup : plan->topups) {
    if (!topup.included || !topup.is_for(draft.type)) continue;
    append(draft.own_rest().grants, new_grant(topup, now, ids));
  }
}

std::optional<PlanChange> change_plan(const policy::Policy& policy, const Family& family,
                                      Customer& draft, std::string_view name, bool overwrite_meters,
                                      Timestamp now) {
  const policy::Plan* plan = policy.plan(name);
  const policy::Plan* previous = plan_of(policy, family);
  if (plan == nullptr || plan == previous) return std::nullopt;
  Timestamp started = now;
  if (!overwrite_meters && previous != nullptr) {
    // In step with the earliest meter of the old plan.
    std::optional<Timestamp> earliest;
    for (const policy::Entitlement& entitlement : previous->entitlements) {
      const state::Meter* meter = draft.meter(entitlement.name);
      if (meter != nullptr && (!earliest || meter->started < *earliest)) earliest = meter->started;
    }
    started = earliest.value_or(now);
  }
  draft.plan = plan->name;
  for (const policy::Entitlement& entitlement : plan->entitlements) {
    if (!entitlement.limit) continue;
    const state::Meter fresh = new_meter(entitlement.name, entitlement.limit->credit, started);
    state::Meter* meter = draft.meter(entitlement.name);
    if (meter == nullptr) {
      draft.add_meter(fresh);
    } else if (overwrite_meters) {
      *meter = fresh;
      if (draft.rest) {
        std::erase_if(draft.rest->extras, [&](const state::MeterExtra& extra) {
          return extra.entitlement == entitlement.name;
        });
      }
    }
  }
  return PlanChange{previous};
}

Result<bool> override_limit(const policy::Policy& policy, const Family& family, Customer& draft,
                            std::string_view name, const OverrideOptions& options) {
  const policy::Plan* plan = plan_of(policy, family);
  const policy::Entitlement* entitlement = plan == nullptr ? nullptr : plan->find(name);
  if (entitlement == nullptr) return false;
  const state::Override* earlier = draft.find_override(entitlement->name);
  const Limit* present = earlier != nullptr   ? &earlier->limit
                         : entitlement->limit ? &*entitlement->limit
                                              : nullptr;
  // What an override copies from the present limit; all else takes its default.
  Limit limit;
  if (present != nullptr) {
    limit.credit = present->credit;
    limit.mode = present->mode;
    limit.value = present->value;
    limit.increment = present->increment;
    limit.increment_text = present->increment_text;
    limit.reset = present->reset;
    // A form that is given alone takes the place of the other one.
    if (options.reset_inc && !options.reset_sch) limit.reset.schedule.reset();
    if (options.reset_sch && !options.reset_inc) limit.reset.inc.reset();
    limit.override_expires_on = present->override_expires_on;
  }
  if (options.credit) limit.credit = policy.names->find(*options.credit);
  const policy::Credit* credit = policy.credit(limit.credit);
  if (credit == nullptr) return false;
  if (options.mode) {
    const auto mode = mode_from(*options.mode);
    if (!mode) {
      return Error{.code = ErrorCode::invalid_argument,
                   .message = fmt::format("Limits cannot have a \"{}\" mode - only hard, soft, or "
                                          "observe",
                                          *options.mode)};
    }
    limit.mode = *mode;
  }
  if (auto read = read_into(limit.value, options.value, credit->stof_units); !read.ok()) {
    return std::move(read).error();
  }
  if (options.increment) {
    const Value& increment = *options.increment;
    limit.increment_text = increment.is_text() ? std::string(increment.text()) : std::string();
    const Result<double> written =
        increment.is_text() ? quantity_as_written(increment.text()) : Result(increment.number());
    if (!written.ok()) return written.error();
    limit.increment = *written;
  }
  if (const auto fits = limit.increment_in(credit->stof_units); !fits.ok()) return fits.error();
  if (auto read = read_reset(limit.reset, options.resets, options.reset_inc, options.reset_sch);
      !read.ok()) {
    return std::move(read).error();
  }
  if (limit.reset.inc && limit.reset.schedule) return false;
  if (options.expires) limit.override_expires_on = *options.expires;
  std::vector<state::Override>& overrides = draft.own_rest().overrides;
  std::erase_if(overrides,
                [&](const state::Override& own) { return own.entitlement == entitlement->name; });
  overrides.push_back({.entitlement = entitlement->name, .limit = limit, .unknown = {}});
  return true;
}

Result<const state::Cap*> add_cap(const policy::Policy& policy, Customer& draft, double value,
                                  const CapOptions& options, Timestamp now, IdSource& ids) {
  if (!std::isfinite(value)) {
    return Error{.code = ErrorCode::invalid_value, .message = "the cap is not a finite number"};
  }
  const Symbol credit = policy.names->find(options.credit);
  const bool is_currency_only = policy.credit(credit) == nullptr;
  const bool exchangeable = options.exchangeable.value_or(is_currency_only);
  if (!is_possible(policy, draft, credit, exchangeable, options)) return nullptr;
  state::Cap cap;
  cap.credit = credit;
  cap.value = value;
  cap.exchangeable = exchangeable;
  cap.overage_only = options.overage_only;
  cap.ignore_grants = options.ignore_grants;
  cap.observe_only = options.observe_only;
  cap.overhead_cost = options.overhead_cost;
  cap.follow_decrements = options.follow_decrements;
  cap.hard_trailing = options.hard_trailing;
  cap.shared = options.shared;
  cap.shared_with = intern_all(options.shared_with, *policy.names);
  cap.scope = intern_all(options.scope, *policy.names);
  cap.started = now;
  cap.created_on = now;
  cap.expires_on = options.expires_on;
  if (auto read = read_reset(cap.reset, options.resets, options.reset_inc, options.reset_sch);
      !read.ok()) {
    return std::move(read).error();
  }
  cap.id = options.cap.empty() ? ids.next() : std::string(options.cap);
  std::vector<state::Cap>& caps = draft.own_rest().caps;
  cap.seq = state::next_seq(caps);
  return &caps.emplace_back(std::move(cap));
}

void reset_cap(state::Cap& cap, Timestamp now) {
  cap.meter_value = 0;
  cap.started = now;
  if (cap.reset.resets && cap.reset.schedule) cap.last_reset = now;
}

state::Moves carry_over(const policy::Entitlement& entitlement, const Family& family,
                        Family::Index who) {
  state::Moves moves;
  const Customer& customer = family[who];
  for (const Symbol former : entitlement.renamed_from) {
    const auto is_in_scope = [&](const state::Cap& cap) {
      return std::find(cap.scope.begin(), cap.scope.end(), former) != cap.scope.end();
    };
    const std::vector<state::Cap>& caps = customer.more().caps;
    // Where both names are there the new one stays, and the old is kept.
    const bool meter_moves =
        customer.meter(former) != nullptr && customer.meter(entitlement.name) == nullptr;
    const bool override_moves = customer.find_override(former) != nullptr &&
                                customer.find_override(entitlement.name) == nullptr;
    if (!meter_moves && !override_moves && std::none_of(caps.begin(), caps.end(), is_in_scope)) {
      continue;
    }
    moves.push_back(state::Rename{who, former, entitlement.name});
  }
  return moves;
}

}  // namespace limitr::core
