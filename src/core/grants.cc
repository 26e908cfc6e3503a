// SPDX-License-Identifier: Apache-2.0
#include "core/grants.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace limitr::core {
namespace {

using policy::GrantStrategy;
using state::Grant;

constexpr double infinity = std::numeric_limits<double>::infinity();

// INVARIANT (books): starting_value + added = value + drawn + lost, before and after each of the
// functions below.

// Past the range of a number the books cannot balance any more; what stays there can be kept.
void keep_in_range(Grant& grant) {
  for (double* figure : {&grant.value, &grant.drawn, &grant.added, &grant.lost}) {
    *figure = amount::within_range(*figure);
  }
}

void cut_to_max(Grant& grant) {
  if (!grant.max_balance.has_value() || grant.value <= *grant.max_balance) return;
  grant.lost += grant.value - *grant.max_balance;
  grant.value = *grant.max_balance;
}

// A rollover of more than all of it outgrows every number in time; it stops here.
constexpr double largest_balance = 1e300;

void set_balance(Grant& grant, double value) {
  value = std::min(value, largest_balance);
  grant.added += grant.starting_value;
  grant.lost += grant.value + grant.starting_value - value;
  grant.value = value;
  cut_to_max(grant);
  keep_in_range(grant);
}

double carried(const Grant& grant) {
  double carry = std::max(0.0, grant.value) * grant.rollover_pct.value_or(1);
  if (grant.rollover_min.has_value()) carry = std::max(carry, *grant.rollover_min);
  if (grant.rollover_max.has_value()) carry = std::min(carry, *grant.rollover_max);
  return carry;
}

void reset_once(Grant& grant) {
  switch (grant.reset_mode) {
    case ResetMode::hard: return set_balance(grant, grant.starting_value);
    case ResetMode::add: return set_balance(grant, grant.value + grant.starting_value);
    case ResetMode::rollover: return set_balance(grant, grant.starting_value + carried(grant));
  }
}

// The same as `times` resets, without a step for each where periods by the million were missed.
void reset_times(Grant& grant, std::int64_t times) {
  constexpr std::int64_t stepwise = 1000;
  for (std::int64_t done = 0; done < times; ++done) {
    const double before = grant.value;
    reset_once(grant);
    if (grant.value == before) return;  // A further reset leaves it there too.
    if (done == stepwise) {
      // What still grows by the same step each time goes the rest of the way at once; a shrinking
      // rollover has long settled to within rounding.
      const double step = grant.value - before;
      const bool grows = grant.reset_mode == ResetMode::add || grant.rollover_pct.value_or(1) == 1;
      if (!grows) continue;
      const auto left = static_cast<double>(times - done - 1);
      const double grown = std::min(step * left, std::max(0.0, largest_balance - grant.value));
      grant.added += grown;
      grant.value += grown;
      if (grant.reset_mode == ResetMode::rollover && grant.rollover_max.has_value()) {
        const double most = grant.starting_value + *grant.rollover_max;
        grant.lost += std::max(0.0, grant.value - most);
        grant.value = std::min(grant.value, most);
      }
      return cut_to_max(grant);
    }
    if (done > 100 * stepwise) return;
  }
}

void apply_due_resets(Grant& grant, Timestamp now) {
  if (!grant.reset.resets) return;
  if (grant.reset.schedule) {
    const Timestamp start = grant.reset.schedule->period_at(now).start;
    if (grant.last_reset.has_value() && *grant.last_reset >= start) return;
    reset_once(grant);
    grant.last_reset = start;
    return;
  }
  const Millis length = grant.reset.length();
  const Millis elapsed = now - grant.granted_on;
  if (elapsed <= length) return;
  const std::int64_t missed = (elapsed - Millis(1)) / length;
  grant.granted_on += length * missed;
  const std::int64_t at_most = grant.reset_catchup_cap ? *grant.reset_catchup_cap : missed;
  reset_times(grant, std::min(missed, at_most));
}

// What a topup says of its grants, but for their balance.
void take_over(Grant& grant, const policy::Topup& topup) {
  grant.credit = topup.credit;
  grant.reset = topup.reset;
  grant.reset_mode = topup.reset_mode;
  grant.rollover_min = topup.rollover_min;
  grant.rollover_max = topup.rollover_max;
  grant.rollover_pct = topup.rollover_pct;
  grant.max_balance = topup.max_balance;
  grant.reset_catchup_cap = topup.reset_catchup_cap;
  grant.added += grant.starting_value - topup.starting_value;
  grant.starting_value = topup.starting_value;
  keep_in_range(grant);
}

// How early a grant is drawn: the smaller the sooner. None: it cannot be compared.
std::optional<double> rank(const Grant& grant, const Exchange& exchange, GrantStrategy strategy) {
  if (strategy == GrantStrategy::expires_first) {
    return grant.expires_on.has_value() ? static_cast<double>(to_ms(*grant.expires_on)) : infinity;
  }
  const auto worth = exchange.to_runes(1, grant.credit);
  if (!worth) return std::nullopt;
  return strategy == GrantStrategy::cheapest_first ? *worth : -*worth;
}

// The grant to draw from next, or null.
Grant* best(Grants& grants, const Exchange& exchange, GrantStrategy strategy, Symbol credit) {
  struct Candidate {
    Grant* grant = nullptr;
    double rank = 0;
  };
  Candidate exact;
  Candidate other;
  const bool credit_converts = exchange.convertible(credit);
  const bool has_units_for_runes = exchange.from_runes(1, credit).has_value();
  for (Grant& grant : grants) {
    if (grant.value <= 0) continue;
    const bool is_exact = grant.credit == credit;
    if (!credit_converts) {
      if (is_exact) return &grant;
      continue;
    }
    if (!is_exact && !(has_units_for_runes && exchange.to_runes(1, grant.credit))) continue;
    const auto grant_rank = rank(grant, exchange, strategy);
    if (!grant_rank) continue;
    Candidate& found = is_exact ? exact : other;
    // Of equals the older is first, but of those that never expire the newest.
    const bool both_never = *grant_rank == infinity && found.rank == infinity;
    if (found.grant == nullptr || *grant_rank < found.rank || both_never) {
      found = {&grant, *grant_rank};
    }
  }
  return exact.grant != nullptr ? exact.grant : other.grant;
}

// What `units` of `credit` at a position cost a grant, in the grant's credit.
double cost_of(double units, const Grant& grant, const Exchange& exchange, Symbol credit,
               double position) {
  if (grant.credit == credit) return units;
  const auto runes = exchange.to_runes(units, credit, position);
  const auto cost = runes ? exchange.from_runes(*runes, grant.credit) : std::nullopt;
  return std::max(0.0, cost.value_or(units));
}

// What a grant's whole balance covers at a position, in `credit`.
double cover_of(const Grant& grant, const Exchange& exchange, Symbol credit, double position) {
  if (grant.credit == credit) return grant.value;
  const auto runes = exchange.to_runes(grant.value, grant.credit);
  const auto units = runes ? exchange.from_runes(*runes, credit, position) : std::nullopt;
  return units.value_or(grant.value);
}

void take(Grant& grant, double amount) {
  grant.drawn += amount;
  grant.value -= amount;
  keep_in_range(grant);
}

}  // namespace

void bring_up_to_date(Grants& grants, Timestamp now) {
  std::erase_if(grants, [&](const Grant& grant) {
    return grant.expires_on.has_value() && *grant.expires_on < now;
  });
  for (Grant& grant : grants) apply_due_resets(grant, now);
}

Grant new_grant(const policy::Topup& topup, Timestamp now, IdSource& ids) {
  Grant grant;
  take_over(grant, topup);
  grant.added = 0;
  grant.id = ids.next();
  grant.topup = topup.name;
  grant.created_on = now;
  grant.granted_on = now;
  grant.value = topup.value;
  grant.lost = topup.starting_value - topup.value;
  if (topup.expires_after) grant.expires_on = now + *topup.expires_after;
  return grant;
}

void append(Grants& grants, Grant grant) {
  grant.seq = state::next_seq(grants);
  grants.push_back(std::move(grant));
}

bool follow_topups(Grants& grants, const policy::Plan& plan, Symbol customer_type, Timestamp now,
                   IdSource& ids) {
  bool touched = false;
  std::erase_if(grants, [&](Grant& grant) {
    if (grant.topup == Symbol::empty) return false;
    touched = true;
    const policy::Topup* topup = plan.find_topup(grant.topup);
    if (topup == nullptr || (topup->included && !topup->is_for(customer_type))) return true;
    take_over(grant, *topup);
    return false;
  });
  for (const policy::Topup& topup : plan.topups) {
    if (!topup.included || !topup.is_for(customer_type)) continue;
    const bool there = std::any_of(grants.begin(), grants.end(),
                                   [&](const Grant& grant) { return grant.topup == topup.name; });
    if (there) continue;
    append(grants, new_grant(topup, now, ids));
    touched = true;
  }
  return touched;
}

double remaining(const Grants& grants, const Exchange& exchange, Symbol credit, double from) {
  double units = 0;
  double runes = 0;
  for (const Grant& grant : grants) {
    if (grant.credit == credit) {
      units += grant.value;
    } else {
      runes += exchange.to_runes(grant.value, grant.credit).value_or(0);
    }
  }
  runes = amount::within_range(runes);
  if (runes != 0) {
    units += exchange.from_runes(runes, credit, std::max(0.0, from) + units).value_or(0);
  }
  return amount::within_range(units);
}

double draw(Grants& grants, const Exchange& exchange, GrantStrategy strategy, Symbol credit,
            double overage, double from) {
  double covered = 0;
  while (amount::is_positive(overage - covered)) {
    Grant* grant = best(grants, exchange, strategy, credit);
    if (grant == nullptr) break;
    const double need = overage - covered;
    const double position = std::max(0.0, from) + covered;
    const double cost = cost_of(need, *grant, exchange, credit, position);
    if (grant->value > cost) {
      take(*grant, cost);
      return overage;
    }
    covered += std::min(need, cover_of(*grant, exchange, credit, position));
    take(*grant, grant->value);
    if (!grant->reset.resets) grants.erase(grants.begin() + (grant - grants.data()));
  }
  return covered;
}

state::Moves grant_moves(state::Family::Index customer, const Grants& before, const Grants& after) {
  state::Moves moves;
  auto kept = after.begin();
  // Both lists are in the order of seq: what stands in `after` past the end of `before` is new.
  for (const Grant& grant : before) {
    if (kept == after.end() || kept->id != grant.id) {
      moves.push_back(state::GrantRemoval{customer, grant.id, -grant.value});
      continue;
    }
    if (!(*kept == grant)) {
      moves.push_back(state::GrantMove{customer, kept->value - grant.value, *kept});
    }
    ++kept;
  }
  for (; kept != after.end(); ++kept) {
    moves.push_back(state::GrantMove{customer, kept->value, *kept});
  }
  return moves;
}

}  // namespace limitr::core
