// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include <limitr/decision.h>
#include "policy/policy.h"
#include "state/family.h"

namespace limitr::core {

/// An entitlement as a call names it: by text, or by a symbol that was looked up before.
class EntitlementKey {
public:
  EntitlementKey(std::string_view text) : text_(text) {}  // NOLINT: implicit
  EntitlementKey(Symbol symbol) : symbol_(symbol) {}      // NOLINT: implicit

  std::string_view text(const SymbolTable& names) const {
    return symbol_ ? names.text(*symbol_) : text_;
  }
  const policy::Entitlement* in(const policy::Plan& plan) const {
    return symbol_ ? plan.find(*symbol_) : plan.find(text_);
  }

private:
  std::string_view text_;
  std::optional<Symbol> symbol_;
};

/// What a call is about. spec: decision.md, step 1
struct Target {
  std::optional<Reason> denied;  ///< Set: the fields below it are not all there.
  const policy::Plan* plan = nullptr;
  const policy::Entitlement* entitlement = nullptr;
  state::Family::Index owner = state::Family::caller;  ///< Whose meter it is.
  const Limit* limit = nullptr;                        ///< Null: a feature flag.
  bool override_expired = false;                       ///< The owner has one that no longer counts.
};

/// A customer's plan: its own when that exists, else the first found through its refs, depth
/// first, else the default; null where there is none. spec: customers.md, Plan of a customer
inline const policy::Plan* plan_of(const policy::Policy& policy, const state::Family& family,
                                   state::Family::Index who = state::Family::caller);

/// The plan found through a customer's own name for it or its refs, without the default.
const policy::Plan* plan_without_default(const policy::Policy& policy, const state::Family& family,
                                         state::Family::Index who);

const policy::Plan* plan_of(const policy::Policy& policy, const state::Family& family,
                            state::Family::Index who) {
  if (const policy::Plan* own = policy.plan(family[who].plan)) return own;
  if (family.refs(who).empty()) return policy.default_plan();
  const policy::Plan* plan = plan_without_default(policy, family, who);
  return plan != nullptr ? plan : policy.default_plan();
}

/// The part of resolve() that few calls need: of an entitlement that is metered by others, or
/// whose limit a customer may have its own of.
void find_owner_and_override(const policy::Policy& policy, const state::Family& family,
                             Timestamp now, Target& target);

/// Finds plan, entitlement, owner and limit of a call by the family's caller.
inline Target resolve(const policy::Policy& policy, const state::Family& family,
                      const EntitlementKey& key, Timestamp now) {
  Target target;
  target.plan = plan_of(policy, family);
  target.entitlement = target.plan == nullptr ? nullptr : key.in(*target.plan);
  if (target.entitlement == nullptr) {
    target.denied = Reason::unknown_entitlement;
    return target;
  }
  const policy::Entitlement& entitlement = *target.entitlement;
  const state::Customer& caller = family[state::Family::caller];
  target.limit = entitlement.limit ? &*entitlement.limit : nullptr;
  const bool is_own = entitlement.scope == Symbol::empty || entitlement.scope == caller.type;
  const bool has_overrides = caller.rest && !caller.rest->overrides.empty();
  if (!is_own || has_overrides) find_owner_and_override(policy, family, now, target);
  return target;
}

}  // namespace limitr::core
