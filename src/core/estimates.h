// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <limitr/json.h>
#include <limitr/options.h>
#include "policy/policy.h"
#include "state/customer.h"

// Learning what a call usually uses. spec: reservations.md, Estimates
namespace limitr::core {

/// Which statistics a call belongs to, and by what it scales.
struct Sample {
  std::string segment;
  bool per_basis = false;
  std::optional<double> basis;  ///< Present and positive wherever per_basis is usable.

  bool usable() const { return !per_basis || basis.has_value(); }
};

/// Reads segment and basis from the arguments, else from the event data's fields.
Sample sample_of(const policy::Entitlement& entitlement, const Json* context,
                 std::optional<double> basis, const std::optional<std::string>& segment);

/// One more observation. `known` null: the first. A change of basis mode starts over.
state::EstimateStats learn(const state::EstimateStats* known, const Sample& sample, double value,
                           double overhead, Timestamp now);

/// Adds one engine's statistics to another's, by their sample counts.
state::EstimateStats merge(const state::EstimateStats& a, const state::EstimateStats& b);

/// The prediction at a quantile; none when it needs a basis that the sample lacks.
std::optional<Estimate> predict(const state::EstimateStats& stats, const Sample& sample,
                                double quantile);

/// The standard normal quantile, q kept within [0.0001, 0.9999]; absolute error below 4.5e-4.
double normal_quantile(double q);

}  // namespace limitr::core
