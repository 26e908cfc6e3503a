// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.h"

#include <algorithm>
#include <cmath>

namespace limitr::policy {

std::string_view to_string(PlanPeriod period) {
  switch (period) {
    case PlanPeriod::monthly: return "monthly";
    case PlanPeriod::yearly: return "yearly";
    case PlanPeriod::weekly: return "weekly";
    case PlanPeriod::daily: return "daily";
  }
  return {};
}

std::string_view to_string(PricingModel model) {
  switch (model) {
    case PricingModel::flat: return "flat";
    case PricingModel::tiered: return "tiered";
    case PricingModel::volume: return "volume";
    case PricingModel::stairstep: return "stairstep";
  }
  return {};
}

std::string_view to_string(GrantStrategy strategy) {
  switch (strategy) {
    case GrantStrategy::expires_first: return "expires_first";
    case GrantStrategy::cheapest_first: return "cheapest_first";
    case GrantStrategy::valuable_first: return "valuable_first";
  }
  return {};
}

bool Topup::is_for(Symbol customer_type) const {
  return included_scopes.empty() || std::find(included_scopes.begin(), included_scopes.end(),
                                              customer_type) != included_scopes.end();
}

const Entitlement* Plan::find_hashed(std::string_view entitlement) const {
  const auto found = by_text.find(entitlement);
  return found == by_text.end() ? nullptr : &entitlements[found->second];
}

const Entitlement* Plan::find_hashed(Symbol entitlement) const {
  const auto found = by_symbol.find(entitlement);
  return found == by_symbol.end() ? nullptr : &entitlements[found->second];
}

const Topup* Plan::find_topup(Symbol topup) const {
  const auto found =
      std::find_if(topups.begin(), topups.end(), [&](const Topup& t) { return t.name == topup; });
  return found == topups.end() ? nullptr : &*found;
}

std::optional<ExchangePath> Policy::path(Symbol name, std::span<const double> rates) const {
  ExchangePath path;
  // A chain that is longer than there are pairs has met one of them twice.
  for (std::size_t steps = 0; steps <= pairs.size(); ++steps) {
    if (name == rune) return path;
    const ExchangePair* pair = this->pair(name);
    if (pair == nullptr) {
      path.credit = credit(name);
      if (path.credit == nullptr || !path.credit->price.priced()) return std::nullopt;
      return path;
    }
    const auto number = static_cast<std::size_t>(pair - pairs.data());
    path.factor *= rates.empty() ? pair->value : rates[number];
    if (!std::isfinite(path.factor)) return std::nullopt;
    name = pair->currency;
  }
  return std::nullopt;
}

bool Plan::names_entitlement(Symbol entitlement,
                             const std::function<bool(Symbol)>& takes_over) const {
  if (by_symbol.contains(entitlement)) return true;
  return std::any_of(entitlements.begin(), entitlements.end(), [&](const Entitlement& known) {
    const auto& former = known.renamed_from;
    return std::find(former.begin(), former.end(), entitlement) != former.end() &&
           takes_over(known.name);
  });
}

void Policy::put(Index& index, Symbol name, std::size_t number) {
  const auto i = static_cast<std::size_t>(name);
  if (index.size() <= i) index.resize(i + 1);
  if (index[i] == 0) index[i] = static_cast<std::uint32_t>(number + 1);
}

void Policy::index() {
  const auto number = [](std::size_t i) { return static_cast<std::uint32_t>(i); };
  for (std::size_t i = 0; i < credits.size(); ++i) put(credit_index_, credits[i].name, i);
  for (std::size_t i = 0; i < pairs.size(); ++i) put(pair_index_, pairs[i].name, i);
  for (Credit& credit : credits) credit.path = path(credit.name);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    Plan& plan = plans[i];
    put(plan_index_, plan.name, i);
    plan.names.reserve(plan.entitlements.size());
    plan.texts.reserve(plan.entitlements.size());
    plan.by_text.reserve(plan.entitlements.size());
    plan.by_symbol.reserve(plan.entitlements.size());
    for (std::size_t j = 0; j < plan.entitlements.size(); ++j) {
      const Symbol name = plan.entitlements[j].name;
      has_renames = has_renames || !plan.entitlements[j].renamed_from.empty();
      plan.names.push_back(name);
      plan.texts.push_back(names->text(name));
      plan.by_text.emplace(names->text(name), number(j));
      plan.by_symbol.emplace(name, number(j));
    }
    if (default_plan_ == nullptr && plan.is_default) default_plan_ = &plan;
  }
}

}  // namespace limitr::policy
