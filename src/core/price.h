// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "policy/policy.h"

// Prices over billable units: position 0 is the first unit past what the plan includes, negative
// positions are included units. spec: pricing.md, Price of units
namespace limitr::core {

/// Runes for `units` from position `from`; negative units are a refund at the same place. None
/// without a price.
std::optional<double> price(const policy::PriceCurve& curve, double units, double from);

/// The units that `runes` buy from position `from`, amount::unbounded where nothing limits them.
/// None where there is no answer: no price, a flat amount of 0, a refund of steps.
std::optional<double> quantity(const policy::PriceCurve& curve, double runes, double from);

}  // namespace limitr::core
