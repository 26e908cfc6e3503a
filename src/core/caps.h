// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include <limitr/options.h>
#include "core/exchange.h"
#include "state/changes.h"
#include "state/family.h"

// Which spend caps a call meets, and what it consumes of them. spec: pricing.md, Spend caps
namespace limitr::core {

/// A cap that applies to a call, in today's period.
struct AppliedCap {
  state::Family::Index holder = state::Family::caller;
  bool call_scoped = false;  ///< Forgotten after the call.
  state::Cap cap;
};

/// Begins the periods that are due and removes what has expired, of the caller's own caps (with
/// `own`) and of the shared ones its refs reach. What that changes goes to `upkeep`.
/// Returns the caps that stand, before it is asked which of them a call meets.
std::vector<AppliedCap> standing_caps(const state::Family& family, Timestamp now, bool own,
                                      state::Moves& upkeep);

/// Leaves those that a call on `entitlement` in `credit` meets.
void keep_applicable(std::vector<AppliedCap>& caps, const Exchange& exchange, Symbol entitlement,
                     Symbol credit);

/// A cap of the call's own.
AppliedCap call_cap(const CallCap& cap, Symbol credit, Timestamp now);

/// What the units consume of a cap, in its credit; none: the cap does not apply to them.
std::optional<double> consumption(const state::Cap& cap, const Exchange& exchange, Symbol credit,
                                  double units, double position, double overhead_rate);

/// Whether a cap has room for that much more, where `in_doubt` may have been used besides.
bool has_room(const state::Cap& cap, std::optional<double> consumed, double in_doubt = 0);

}  // namespace limitr::core
