// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>

#include "policy/document_reader.h"
#include "policy/sections.h"

namespace limitr::policy {
namespace {

constexpr std::array<std::pair<std::string_view, PlanPeriod>, 4> periods = {{
    {"monthly", PlanPeriod::monthly},
    {"yearly", PlanPeriod::yearly},
    {"weekly", PlanPeriod::weekly},
    {"daily", PlanPeriod::daily},
}};

PlanPeriod read_period(const Fields& fields) {
  const std::string period = fields.text_or("period", "monthly");
  if (const auto known = chosen(periods, period)) return *known;
  fields.issues().breaks_rule(fields.at("period"),
                              fmt::format("Plan period cannot be \"{}\" - only 'monthly', "
                                          "'yearly', 'weekly', or 'daily'",
                                          shown(period)));
  return PlanPeriod::monthly;
}

// None where the entitlement is left out: its limit names no credit, and without one it would be
// a feature that everybody may use.
std::optional<Entitlement> read_entitlement(Making& making, const Place& place) {
  const Fields fields(place, making.issues);
  Entitlement entitlement;
  entitlement.name = making.intern(place.key);
  entitlement.description = fields.text_or("description", "");
  entitlement.hidden = fields.flag_or("hidden", false);
  entitlement.scope = making.intern(fields.text_or("scope", ""));
  entitlement.estimate_basis = fields.text_or("estimate_basis", "");
  entitlement.estimate_segment = fields.text_or("estimate_segment", "");
  for (const std::string& name : fields.texts("renamed_from")) {
    entitlement.renamed_from.push_back(making.intern(name));
  }
  const auto limit = fields.mapping("limit");
  fields.warn_of_typos();
  if (!limit) return entitlement;
  entitlement.limit = read_limit(making, *limit);
  return entitlement.limit ? std::optional(std::move(entitlement)) : std::nullopt;
}

// Calls `visit` with the place and the text of each name in an entitlement's `renamed_from`.
template <typename Visit>
void for_each_old_name(const Place& entitlements, Issues& issues, Visit visit) {
  for_each_entry(entitlements, issues, [&](const Place& place) {
    const Node* names = place.node->find("renamed_from");
    if (names == nullptr || names->as_sequence() == nullptr) return;
    const Place list = Fields(place, issues).at("renamed_from");
    const Node::Sequence& elements = *names->as_sequence();
    for (std::size_t i = 0; i < elements.size(); ++i) {
      const Place element = list.element(elements[i], i);
      if (const auto* text = elements[i].as_text()) visit(element, *text);
    }
  });
}

void read_entitlements(Making& making, const Place& section, Plan& plan) {
  TextMap<bool> names;
  for_each_entry(section, making.issues, [&](const Place& place) {
    names.emplace(place.key, true);
    if (auto entitlement = read_entitlement(making, place)) {
      plan.entitlements.push_back(*std::move(entitlement));
    }
  });
  Issues old_names_only(false);
  for_each_old_name(section, old_names_only, [&](const Place& place, const std::string& name) {
    if (!names.contains(name)) return;
    making.issues.breaks_rule(
        place, fmt::format("`renamed_from` names \"{}\", which is still an entitlement of the plan",
                           shown(name)));
  });
}

void read_trial(const Fields& fields, bool has_subscription, const std::string& subscription,
                Plan& plan) {
  plan.trial_period = fields.length("trial_period");
  if (!plan.trial_period) return;
  if (*plan.trial_period < Millis{0}) {
    fields.issues().breaks_rule(fields.at("trial_period"), "Plan trial_period cannot be negative");
    plan.trial_period.reset();
  } else if (!has_subscription) {
    fields.issues().breaks_rule(
        fields.at("trial_period"),
        fmt::format("Plan trial_period requires the plan's subscription entitlement \"{}\", which "
                    "does not exist in this plan",
                    shown(subscription)));
    plan.trial_period.reset();
  }
}

}  // namespace

void read_plans(Making& making, const Place& section) {
  for_each_entry(section, making.issues, [&](const Place& place) {
    const Fields fields(place, making.issues);
    Plan plan;
    plan.name = making.intern(place.key);
    plan.label = fields.text_or("label", "");
    plan.is_default = fields.flag_or("default", false);
    plan.hidden = fields.flag_or("hidden", false);
    plan.period = read_period(fields);
    const std::string subscription = fields.text_or("subscription", "subscription");
    plan.subscription = making.intern(subscription);
    const auto entitlements = fields.mapping("entitlements");
    if (entitlements) read_entitlements(making, *entitlements, plan);
    const bool has_subscription = entitlements && entitlements->node->find(subscription) != nullptr;
    read_trial(fields, has_subscription, subscription, plan);
    if (const auto topups = fields.mapping("topups")) {
      for_each_entry(*topups, making.issues, [&](const Place& entry) {
        if (auto topup = read_topup(making, entry)) plan.topups.push_back(*std::move(topup));
      });
    }
    fields.warn_of_typos();
    making.policy.plans.push_back(std::move(plan));
  });
}

}  // namespace limitr::policy
