// SPDX-License-Identifier: Apache-2.0
#include "core/caps.h"

#include <algorithm>
#include <cmath>

#include "core/period.h"

namespace limitr::core {
namespace {

using state::Cap;
using state::Family;

bool contains(const std::vector<Symbol>& names, Symbol name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Begins a cap's period when one is due; whether it did.
bool roll(Cap& cap, Timestamp now) {
  if (!cap.reset.resets) return false;
  if (cap.reset.schedule) {
    // One that never reset does so the first time it is looked at.
    const Timestamp start = cap.reset.schedule->period_at(now).start;
    if (cap.last_reset.has_value() && *cap.last_reset >= start) return false;
    cap.last_reset = start;
  } else {
    const Period period = period_at(cap.reset, cap.started, now);
    if (!period.began) return false;
    cap.started = period.start;
  }
  cap.meter_value = 0;
  return true;
}

void take_caps(const Family& family, Family::Index holder, bool shared_only, Timestamp now,
               std::vector<AppliedCap>& caps, state::Moves& upkeep) {
  const Symbol caller_type = family[Family::caller].type;
  for (const Cap& cap : family[holder].more().caps) {
    if (cap.expires_on.has_value() && *cap.expires_on < now) {
      upkeep.push_back(state::CapRemoval{holder, cap.id});
      continue;
    }
    const bool is_for_caller =
        cap.shared && (cap.shared_with.empty() || contains(cap.shared_with, caller_type));
    if (shared_only && !is_for_caller) continue;
    AppliedCap& applied = caps.emplace_back(AppliedCap{.holder = holder, .cap = cap});
    if (!roll(applied.cap, now)) continue;
    upkeep.push_back(state::CapMove{holder, cap.id, -cap.meter_value, 0, applied.cap.started,
                                    applied.cap.last_reset});
  }
}

}  // namespace

std::vector<AppliedCap> standing_caps(const Family& family, Timestamp now, bool own,
                                      state::Moves& upkeep) {
  std::vector<AppliedCap> caps;
  if (own && family[Family::caller].rest) {
    take_caps(family, Family::caller, false, now, caps, upkeep);
  }
  if (family.refs(Family::caller).empty()) return caps;
  std::vector<bool> visited(family.size());
  std::vector<Family::Index> queue = {Family::caller};
  visited[Family::caller] = true;
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const Family::Index who = queue[next];
    if (who != Family::caller) take_caps(family, who, true, now, caps, upkeep);
    for (const Family::Index ref : family.refs(who)) {
      if (!visited[ref]) queue.push_back(ref);
      visited[ref] = true;
    }
  }
  return caps;
}

void keep_applicable(std::vector<AppliedCap>& caps, const Exchange& exchange, Symbol entitlement,
                     Symbol credit) {
  std::erase_if(caps, [&](const AppliedCap& applied) {
    const Cap& cap = applied.cap;
    if (!cap.scope.empty() && !contains(cap.scope, entitlement)) return true;
    if (cap.credit == credit) return false;
    if (!cap.exchangeable || !exchange.convertible(cap.credit)) return true;
    return !exchange.convertible(credit) && !cap.overhead_cost;
  });
}

AppliedCap call_cap(const CallCap& cap, Symbol credit, Timestamp now) {
  AppliedCap applied{.call_scoped = true, .cap = {}};
  applied.cap.credit = credit;
  applied.cap.value = cap.value;
  applied.cap.exchangeable = true;
  applied.cap.overage_only = cap.overage_only;
  applied.cap.ignore_grants = cap.ignore_grants;
  applied.cap.observe_only = cap.observe_only;
  applied.cap.overhead_cost = cap.overhead_cost;
  applied.cap.hard_trailing = cap.hard_trailing;
  applied.cap.started = now;
  applied.cap.created_on = now;
  return applied;
}

std::optional<double> consumption(const Cap& cap, const Exchange& exchange, Symbol credit,
                                  double units, double position, double overhead_rate) {
  std::optional<double> consumed;
  if (cap.overhead_cost) {
    consumed = exchange.from_runes(units * overhead_rate, cap.credit);
  } else if (cap.credit == credit) {
    consumed = units;
  } else if (const auto runes = exchange.to_runes(units, credit, position)) {
    consumed = exchange.from_runes(*runes, cap.credit);
  }
  // Also what is no number at all, as nothing at an unbounded rate.
  if (consumed && !(std::fabs(*consumed) < amount::unbounded)) return std::nullopt;
  return consumed;
}

bool has_room(const Cap& cap, std::optional<double> consumed, double in_doubt) {
  if (cap.observe_only || !consumed) return true;
  const double used = cap.meter_value + in_doubt;
  if (cap.hard_trailing) return amount::less(used, cap.value) || !amount::is_positive(*consumed);
  return amount::less_or_equal(used + *consumed, cap.value);
}

}  // namespace limitr::core
