// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include <limitr/event.h>
#include "core/decide.h"
#include "policy/policy.h"
#include "state/family.h"

// What happened, as the events that handlers get. Called under the locks of the customers
// concerned, and only when somebody listens. spec: events.md
namespace limitr::engine {

/// The events of a call, in their order.
std::vector<Event> call_events(const policy::Policy& policy, const state::Family& family,
                               const core::Outcome& outcome, const CallOptions& options,
                               Timestamp now);

/// customer-set, with the whole record.
Event customer_set(const state::Customer& customer, const SymbolTable& names, Timestamp now);
/// customer-removed, with the record as it was.
Event customer_removed(const state::Customer& customer, const SymbolTable& names, Timestamp now);
Event plan_changed(const state::Customer& customer, const SymbolTable& names,
                   const policy::Plan* previous, const policy::Plan& plan, Timestamp now);
Event topup_granted(const state::Customer& customer, const policy::Policy& policy,
                    const policy::Plan& plan, const policy::Topup& topup, const state::Grant& grant,
                    Timestamp now);
/// customer-cap-added or customer-cap-reset.
Event cap_changed(std::string_view type, const state::Customer& customer, const state::Cap& cap,
                  const SymbolTable& names, Timestamp now);
Event cap_removed(const state::Customer& customer, std::string_view cap, const SymbolTable& names,
                  Timestamp now);
/// plan-set or plan-removed.
Event plan_event(std::string_view type, std::string_view name, const Json& plan, Timestamp now);

/// A topup's definition, as events and reads show it: the document's, with its name.
Json topup_document(const policy::Policy& policy, const policy::Plan& plan, Symbol topup);

}  // namespace limitr::engine
