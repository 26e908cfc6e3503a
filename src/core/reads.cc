// SPDX-License-Identifier: Apache-2.0
#include "core/reads.h"

#include <algorithm>
#include <cmath>

#include "core/decide.h"
#include "core/price.h"

namespace limitr::core {
namespace {

using amount::rounded;
using amount::within_range;

void add(Margin& margin, EntitlementMargin row) {
  row.cost = within_range(row.cost);
  row.revenue = within_range(row.revenue);
  margin.cost = within_range(margin.cost + row.cost);
  margin.revenue = within_range(margin.revenue + row.revenue);
  row.margin = margin_percent(row.revenue, row.cost);
  row.cost = rounded(row.cost);
  row.revenue = rounded(row.revenue);
  margin.entitlements.push_back(std::move(row));
}

Margin total(Margin margin) {
  margin.margin = margin_percent(margin.revenue, margin.cost).value_or(-100);
  margin.cost = rounded(margin.cost);
  margin.revenue = rounded(margin.revenue);
  return margin;
}

// How many of a limit's periods fit into the plan's, where the limit resets on a duration.
double periods_in(policy::PlanPeriod period, const Reset& reset) {
  if (!reset.resets || reset.schedule) return 1;
  double days = 30;
  switch (period) {
    case policy::PlanPeriod::daily: days = 1; break;
    case policy::PlanPeriod::weekly: days = 7; break;
    case policy::PlanPeriod::monthly: break;
    case policy::PlanPeriod::yearly: days = 365; break;
  }
  const auto length = static_cast<double>(reset.length().count());
  return days * static_cast<double>(Millis(std::chrono::days(1)).count()) / length;
}

}  // namespace

MeterReading::MeterReading(const policy::Policy& policy, const state::Family& family,
                           const Target& target, std::span<const double> rates, Timestamp now)
    : exchange_(policy, rates),
      limit_(*target.limit),
      meter_(family[target.owner].meter(target.entitlement->name)),
      extra_(family[target.owner].extra(target.entitlement->name)),
      now_(now),
      period_(period_at(limit_.reset, meter_ != nullptr ? meter_->started : now, now)),
      owner_index_(target.owner),
      owner_(family[target.owner]) {
  if (meter_ == nullptr) period_.began = false;
  if (!has_history()) return;
  value_ = meter_->value;
  if (owner_.cloud != nullptr) doubted_ = doubted(owner_, target.entitlement->name);
}

double MeterReading::grants() {
  if (grants_) return *grants_;
  Grants grants = owner_.more().grants;
  bring_up_to_date(grants, now_);
  upkeep_ = grant_moves(owner_index_, owner_.more().grants, grants);
  grants_ = core::remaining(grants, exchange_, limit_.credit, std::max(0.0, value_ - limit_.value));
  return *grants_;
}

double MeterReading::extended_limit(bool with_grants) {
  const double covered = with_grants ? grants() : 0;
  return within_range((covered > 0 ? std::max(value_, limit_.value) : limit_.value) + covered);
}

double MeterReading::value() const { return rounded(value_); }

std::optional<double> MeterReading::remaining(bool with_grants) {
  if (limit_.mode == Mode::observe) return std::nullopt;
  return rounded(within_range(room(with_grants)));
}

std::optional<double> MeterReading::remaining_percent(bool with_grants) {
  if (limit_.mode == Mode::observe) return std::nullopt;
  const double limit = extended_limit(with_grants);
  if (amount::is_zero(limit)) return 0;
  return rounded(within_range(std::max(0.0, room(with_grants) / limit * 100)));
}

std::optional<double> MeterReading::limit(bool with_grants) {
  if (limit_.mode == Mode::observe) return std::nullopt;
  return rounded(within_range(limit_.value + (with_grants ? grants() : 0)));
}

std::optional<double> MeterReading::allowance(bool with_grants) {
  auto left = remaining(with_grants);
  const bool governed = limit_.has_governor() && has_history() && extra_ != nullptr &&
                        extra_->governor_tokens.has_value();
  if (!left || !governed) return left;
  return rounded(std::min(*left, governor_tokens(limit_, extra_, false, now_)));
}

double MeterReading::rate() const { return has_history() ? meter_->history.rate() : 0; }

double MeterReading::acceleration() const {
  return has_history() ? meter_->history.acceleration() : 0;
}

std::optional<double> MeterReading::projected_exhaustion(bool smoothed, bool with_grants) {
  if (!has_history() || meter_->history.size() < 2) return std::nullopt;
  const double rate = smoothed ? meter_->ewma_rate.value_or(0) : meter_->history.rate();
  const double left = room(with_grants);
  if (rate <= 0 || left <= 0) return std::nullopt;
  const double length = left / rate;
  // What lies beyond every number is as good as never.
  return std::isfinite(length) ? std::optional(rounded(length)) : std::nullopt;
}

std::optional<double> margin_percent(double revenue, double cost) {
  if (revenue == 0) return std::nullopt;
  return within_range(std::round((revenue - cost) / revenue * 100 * 100) / 100);
}

double credit_remaining(const policy::Policy& policy, const state::Family& family,
                        std::span<const double> rates, Symbol credit, Timestamp now,
                        state::Moves& upkeep) {
  const state::Customer& customer = family[state::Family::caller];
  Grants grants = customer.more().grants;
  bring_up_to_date(grants, now);
  upkeep = grant_moves(state::Family::caller, customer.more().grants, grants);
  return rounded(remaining(grants, Exchange(policy, rates), credit, 0));
}

const Limit* plan_limit(const policy::Plan* plan, EntitlementKey key) {
  const policy::Entitlement* entitlement = plan == nullptr ? nullptr : key.in(*plan);
  return entitlement != nullptr && entitlement->limit ? &*entitlement->limit : nullptr;
}

std::optional<Margin> customer_margin(const policy::Policy& policy, const state::Family& family,
                                      std::span<const double> rates, Timestamp now) {
  const policy::Plan* plan = plan_of(policy, family);
  if (plan == nullptr) return std::nullopt;
  const state::Customer& customer = family[state::Family::caller];
  const Exchange exchange(policy, rates);
  Margin margin;
  for (const policy::Entitlement& entitlement : plan->entitlements) {
    const state::Meter* meter = customer.meter(entitlement.name);
    if (!entitlement.limit || meter == nullptr) continue;
    const state::Override* own = customer.find_override(entitlement.name);
    const bool overridden =
        own != nullptr && policy.credit(own->limit.credit) != nullptr &&
        (!own->limit.override_expires_on.has_value() || *own->limit.override_expires_on >= now);
    const Limit& limit = overridden ? own->limit : *entitlement.limit;
    const bool began = period_at(limit.reset, meter->started, now).began;
    EntitlementMargin row{.entitlement = std::string(policy.text(entitlement.name))};
    if (!began) {
      const double billable = std::max(0.0, meter->value - limit.value);
      // The credit's own price counts, also where the exchange table has another value for it.
      const policy::Credit& credit = *policy.credit(limit.credit);
      row.revenue = credit.price.priced() ? price(credit.price, billable, 0).value_or(0)
                                          : exchange.to_runes(billable, limit.credit).value_or(0);
      row.cost = meter->overhead.value_or(0);
    }
    add(margin, std::move(row));
  }
  return total(std::move(margin));
}

Margin plan_margin(const policy::Policy& policy, const policy::Plan& plan,
                   std::span<const PlanUsage> usage, bool scaled) {
  Margin margin;
  for (const PlanUsage& used : usage) {
    const Reset reset = used.entitlement->limit ? used.entitlement->limit->reset : Reset();
    const double times = scaled ? periods_in(plan.period, reset) : 1;
    const double billable = std::max(0.0, (used.units - used.limit) * times);
    EntitlementMargin row{.entitlement = std::string(policy.text(used.entitlement->name))};
    row.revenue = price(used.credit->price, billable, 0).value_or(0);
    row.cost = used.overhead * times;
    add(margin, std::move(row));
  }
  return total(std::move(margin));
}

std::optional<state::Meter> meter_now(const state::Customer& owner, const Limit& limit,
                                      Symbol entitlement, Timestamp now) {
  const state::Meter* stored = owner.meter(entitlement);
  if (stored == nullptr) return std::nullopt;
  const Period period = period_at(limit.reset, stored->started, now);
  if (!period.began) return *stored;
  state::Meter meter = new_meter(entitlement, limit.credit, period.start);
  meter.overhead = 0;
  return meter;
}

}  // namespace limitr::core
