// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include <limitr/options.h>
#include <limitr/result.h>
#include "core/ids.h"
#include "policy/policy.h"
#include "state/changes.h"
#include "state/family.h"

// What happens to a customer besides calls. Each function edits a draft: a customer of the
// caller's own, which takes the place of the stored one only when all went well. `family` is the
// draft's: its caller is the draft. spec: customers.md
namespace limitr::core {

/// Settles the draft's plan: its own when that exists, else none where refs lead to one, else the
/// default's name. Errors: no_plan.
Result<void> settle_plan(const policy::Policy& policy, const state::Family& family,
                         state::Customer& draft);

/// Gives a new customer its meters, started now, and the included topups of its plan.
void begin(const policy::Policy& policy, const state::Family& family, state::Customer& draft,
           Timestamp now, IdSource& ids);

/// Puts the draft on the plan of that name: the plan that was in effect before, or none when the
/// new one is unknown or in effect already.
struct PlanChange {
  const policy::Plan* previous = nullptr;  ///< Null: there was none.
};
std::optional<PlanChange> change_plan(const policy::Policy& policy, const state::Family& family,
                                      state::Customer& draft, std::string_view name,
                                      bool overwrite_meters, Timestamp now);

/// Gives the draft a limit of its own for the entitlement of that name; false when entitlement or
/// credit is unknown, or both reset forms are given. Errors: invalid_value, invalid_argument.
Result<bool> override_limit(const policy::Policy& policy, const state::Family& family,
                            state::Customer& draft, std::string_view name,
                            const OverrideOptions& options);

/// Adds a cap; null when its ID is taken, its credit unknown, both reset forms are given, or it
/// would convert through stairstep prices. Errors: invalid_value.
Result<const state::Cap*> add_cap(const policy::Policy& policy, state::Customer& draft,
                                  double value, const CapOptions& options, Timestamp now,
                                  IdSource& ids);

/// Starts a cap over.
void reset_cap(state::Cap& cap, Timestamp now);

/// What an entitlement of today has taken over from its former names and the customer still keeps
/// under one of them. spec: policy.md, renamed_from
state::Moves carry_over(const policy::Entitlement& entitlement, const state::Family& family,
                        state::Family::Index who);

}  // namespace limitr::core
