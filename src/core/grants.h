// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/exchange.h"
#include "core/ids.h"
#include "policy/policy.h"
#include "state/changes.h"
#include "state/customer.h"

// Grants on a list of one's own: nothing here changes a customer. spec: pricing.md, Grants
namespace limitr::core {

using Grants = std::vector<state::Grant>;

/// Removes what has expired and applies every reset that is due. Any number of missed periods
/// costs the same.
void bring_up_to_date(Grants& grants, Timestamp now);

/// A new grant of a topup, not yet in any list. `seq` is left to the caller.
state::Grant new_grant(const policy::Topup& topup, Timestamp now, IdSource& ids);

/// Grants from topups take over what the plan says of these today; those whose topup is gone from
/// it, or no longer for this type of customer, are removed; missing included ones are added. True
/// when the list then holds any grant from a topup, or lost one.
bool follow_topups(Grants& grants, const policy::Plan& plan, Symbol customer_type, Timestamp now,
                   IdSource& ids);

/// Adds a grant at the end of the list.
void append(Grants& grants, state::Grant grant);

/// The units of `credit` that the grants can cover from position `from`.
double remaining(const Grants& grants, const Exchange& exchange, Symbol credit, double from);

/// Draws `overage` units of `credit` from the grants, the best first; the units they covered.
double draw(Grants& grants, const Exchange& exchange, policy::GrantStrategy strategy, Symbol credit,
            double overage, double from);

/// What changed between two states of a customer's grants.
state::Moves grant_moves(state::Family::Index customer, const Grants& before, const Grants& after);

}  // namespace limitr::core
