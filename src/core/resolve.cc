// SPDX-License-Identifier: Apache-2.0
#include "core/resolve.h"

#include <algorithm>
#include <vector>

namespace limitr::core {
namespace {

using state::Customer;
using state::Family;

// Following refs is kept out of resolve(), which would set up for it in every call.

// Depth first, in the order of each customer's refs. On a stack of its own: chains of refs are as
// long as users make them.
[[gnu::noinline]] const policy::Plan* plan_through_refs(const policy::Policy& policy,
                                                        const Family& family, Family::Index who) {
  std::vector<bool> visited(family.size());
  std::vector<Family::Index> stack = {who};
  while (!stack.empty()) {
    const Family::Index next = stack.back();
    stack.pop_back();
    if (visited[next]) continue;
    visited[next] = true;
    if (const policy::Plan* plan = policy.plan(family[next].plan)) return plan;
    const auto refs = family.refs(next);
    stack.insert(stack.end(), refs.rbegin(), refs.rend());
  }
  return nullptr;
}

// The nearest customer of that type, breadth first: the caller itself, else through refs.
[[gnu::noinline]] std::optional<Family::Index> scope_owner(const Family& family, Symbol scope) {
  std::vector<bool> visited(family.size());
  std::vector<Family::Index> queue = {Family::caller};
  visited[Family::caller] = true;
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const Family::Index who = queue[next];
    if (family[who].type == scope) return who;
    for (const Family::Index ref : family.refs(who)) {
      if (!visited[ref]) queue.push_back(ref);
      visited[ref] = true;
    }
  }
  return std::nullopt;
}

}  // namespace

const policy::Plan* plan_without_default(const policy::Policy& policy, const Family& family,
                                         Family::Index who) {
  if (const policy::Plan* plan = policy.plan(family[who].plan)) return plan;
  if (family.refs(who).empty()) return nullptr;
  return plan_through_refs(policy, family, who);
}

void find_owner_and_override(const policy::Policy& policy, const Family& family, Timestamp now,
                             Target& target) {
  const policy::Entitlement& entitlement = *target.entitlement;
  if (entitlement.scope != Symbol::empty && family[Family::caller].type != entitlement.scope) {
    const auto owner = scope_owner(family, entitlement.scope);
    if (!owner) {
      target.denied = Reason::no_scope_customer;
      return;
    }
    target.owner = *owner;
  }
  const Customer& owner = family[target.owner];
  if (!owner.rest || owner.rest->overrides.empty()) return;
  if (const state::Override* own = owner.find_override(entitlement.name)) {
    const MaybeTime expires = own->limit.override_expires_on;
    target.override_expired = expires.has_value() && *expires < now;
    // One in a credit that today's policy no longer has cannot be metered, and does not count.
    const bool usable = policy.credit(own->limit.credit) != nullptr;
    if (!target.override_expired && usable) target.limit = &own->limit;
  }
}

}  // namespace limitr::core
