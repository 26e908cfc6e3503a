// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <limitr/decision.h>
#include <limitr/result.h>
#include "core/decide.h"
#include "policy/policy.h"
#include "state/customer.h"

// Calls that count once under their request ID. spec: state.md, Exactly once
namespace limitr::engine {

/// The first answer, marked as repeated, when the caller is remembered to have made this request;
/// an error (request_mismatch) when it was made with other arguments; none when it is new.
std::optional<Result<Decision>> repeated(const state::Customer& caller,
                                         const policy::Policy& policy,
                                         const core::CallInput& input);

/// Remembers the answer, and forgets what the policy's window and limit no longer keep.
void remember(state::Customer& caller, const policy::Policy& policy, const core::CallInput& input,
              const Decision& decision);

}  // namespace limitr::engine
