// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include <limitr/options.h>
#include "core/exchange.h"
#include "core/grants.h"
#include "core/period.h"
#include "core/resolve.h"
#include "state/changes.h"

// What a customer has used and has left, in the current period. Nothing is metered; bringing
// grants up to date is upkeep. Figures are rounded to nine decimals. spec: reads.md
namespace limitr::core {

/// One meter seen from now. Made for one call of a read, under the owner's lock.
class MeterReading {
public:
  /// REQUIRES: target.limit is not null.
  MeterReading(const policy::Policy& policy, const state::Family& family, const Target& target,
               std::span<const double> rates, Timestamp now);

  double value() const;
  /// None for observe.
  std::optional<double> remaining(bool with_grants);
  /// Percent of the limit, extended by grants, not below 0.
  std::optional<double> remaining_percent(bool with_grants);
  std::optional<double> limit(bool with_grants);
  std::optional<double> allowance(bool with_grants);
  std::optional<Timestamp> resets() const { return period_.next.optional(); }
  double rate() const;
  double acceleration() const;
  std::optional<double> projected_exhaustion(bool smoothed, bool with_grants);

  /// What looking at the grants has brought up to date, if a figure asked for looked at them.
  const state::Moves& upkeep() const { return upkeep_; }

private:
  double grants();
  double extended_limit(bool with_grants);
  double room(bool with_grants) { return extended_limit(with_grants) - value_ - doubted_; }
  bool has_history() const { return meter_ != nullptr && !period_.began; }

  const Exchange exchange_;
  const Limit& limit_;
  const state::Meter* meter_;
  const state::MeterExtra* extra_;
  Timestamp now_;
  Period period_;
  double value_ = 0;
  double doubted_ = 0;  // what other engines may have used and not reported
  state::Family::Index owner_index_;
  const state::Customer& owner_;
  std::optional<double> grants_;  // once looked at
  state::Moves upkeep_;
};

/// A grant balance in `credit`, others converted; and what looking at it brings up to date.
double credit_remaining(const policy::Policy& policy, const state::Family& family,
                        std::span<const double> rates, Symbol credit, Timestamp now,
                        state::Moves& upkeep);

/// The limit that stands in for a customer's own where it has none to ask: the plan's entitlement.
const Limit* plan_limit(const policy::Plan* plan, EntitlementKey key);

/// (revenue - cost) / revenue in percent, two decimals; none without revenue.
std::optional<double> margin_percent(double revenue, double cost);

/// What a customer earned and cost this period. None without a plan. spec: pricing.md, Margins
std::optional<Margin> customer_margin(const policy::Policy& policy, const state::Family& family,
                                      std::span<const double> rates, Timestamp now);

/// One row of imagined usage, its quantities read.
struct PlanUsage {
  const policy::Entitlement* entitlement = nullptr;
  const policy::Credit* credit = nullptr;
  double units = 0;
  double limit = 0;
  double overhead = 0;
};

/// The margin of a plan under imagined usage, scaled up to the plan's period where asked.
Margin plan_margin(const policy::Policy& policy, const policy::Plan& plan,
                   std::span<const PlanUsage> usage, bool scaled);

/// A customer's meter as it stands in the current period; none where there is no meter.
std::optional<state::Meter> meter_now(const state::Customer& owner, const Limit& limit,
                                      Symbol entitlement, Timestamp now);

}  // namespace limitr::core
