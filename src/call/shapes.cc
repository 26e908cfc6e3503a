// SPDX-License-Identifier: Apache-2.0
#include "call/shapes.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <fmt/format.h>

namespace limitr::call {
namespace {

using policy::Node;
using Field = Shape::Field;

/// Fields of which nothing more is known than their names.
template <std::size_t N>
constexpr std::array<Field, N> names(const std::string_view (&&list)[N]) {
  std::array<Field, N> fields{};
  for (std::size_t i = 0; i < N; ++i) fields[i].name = list[i];
  return fields;
}

template <std::size_t N, std::size_t M>
constexpr std::array<Field, N + M> operator+(const std::array<Field, N>& a,
                                             const std::array<Field, M>& b) {
  std::array<Field, N + M> both{};
  std::copy(a.begin(), a.end(), both.begin());
  std::copy(b.begin(), b.end(), both.begin() + N);
  return both;
}

// Answers.

constexpr auto denying_cap_fields = names({"id", "customer"});
constexpr Shape denying_cap{.fields = denying_cap_fields, .is_closed = true};
constexpr auto decision_fields =
    names({"allowed", "repeated", "reason", "value", "limit", "remaining", "resets", "overage",
           "grant_value_applied", "overhead", "price_diff", "overage_price"}) +
    std::array{Field{"cap", &denying_cap}};
constexpr auto decided_fields = decision_fields + names({"error"});
constexpr Shape decided{.fields = decided_fields, .is_closed = true};

constexpr auto estimate_fields = names({"value", "overhead", "samples", "source", "scope"});
constexpr auto entitlement_margin_fields = names({"cost", "revenue", "margin"});
constexpr Shape entitlement_margin{.fields = entitlement_margin_fields, .is_closed = true};
constexpr Shape entitlement_margins{.each = &entitlement_margin};
constexpr auto margin_fields =
    entitlement_margin_fields + std::array{Field{"entitlements", &entitlement_margins}};
constexpr auto measured_margin_fields = names({"charged", "costs", "margin", "raw_margin"});

constexpr auto refusal_fields = names({"id", "error"});
constexpr Shape refusal{.fields = refusal_fields, .is_closed = true};
constexpr Shape refusals{.each = &refusal};
constexpr auto unmapped_fields = names({"customer", "entitlement"});
constexpr Shape unmapped{.fields = unmapped_fields, .is_closed = true};
constexpr Shape unmapped_meters{.each = &unmapped};
constexpr auto load_report_fields =
    names({"loaded"}) +
    std::array{Field{"refused", &refusals}, Field{"unmapped", &unmapped_meters}};

// Records.

constexpr auto history_fields = names({"ts", "delta"});
constexpr Shape history_entry{.fields = history_fields};
constexpr Shape history{.each = &history_entry};
constexpr auto hold_fields = names({"value", "overhead", "expires", "basis", "segment"});
constexpr Shape hold{.fields = hold_fields};
constexpr Shape holds{.each = &hold};
constexpr auto learned_fields =
    names({"samples", "alpha", "value_mean", "value_var", "overhead_mean", "overhead_var",
           "per_basis", "source", "updated"});
constexpr Shape learned{.fields = learned_fields};
constexpr Shape by_segment{.each = &learned};
constexpr Shape by_entitlement{.each = &by_segment};

// `held` is the sum of a meter's holds, which states have in addition.
constexpr auto meter_fields =
    names({"credit", "started", "value", "overhead", "ewma_rate", "governor_tokens",
           "governor_last_refill", "held"}) +
    std::array{Field{"history", &history}, Field{"holds", &holds}, Field{"estimates", &by_segment}};
constexpr Shape meters{.each = &meter_shape};

constexpr auto limit_fields =
    names({"credit", "mode", "value", "increment", "minimum", "hard_trailing", "grants_apply",
           "resets", "reset_inc", "reset_sch", "override_expires_on", "governor_enabled",
           "governor_capacity", "governor_refill_rate", "ewma_alpha"});
constexpr Shape overrides{.each = &limit_shape};

constexpr auto grant_fields = names({"id",
                                     "credit",
                                     "topup",
                                     "created_on",
                                     "granted_on",
                                     "starting_value",
                                     "value",
                                     "resets",
                                     "reset_inc",
                                     "reset_sch",
                                     "last_reset",
                                     "reset_mode",
                                     "rollover_min",
                                     "rollover_max",
                                     "rollover_pct",
                                     "max_balance",
                                     "reset_catchup_cap",
                                     "expires_on",
                                     "seq",
                                     "drawn",
                                     "added",
                                     "lost"});
constexpr Shape grant{.fields = grant_fields};
constexpr Shape grants{.each = &grant};

constexpr auto cap_fields = names({"id",
                                   "credit",
                                   "value",
                                   "meter_value",
                                   "exchangeable",
                                   "overage_only",
                                   "ignore_grants",
                                   "observe_only",
                                   "overhead_cost",
                                   "follow_decrements",
                                   "hard_trailing",
                                   "shared",
                                   "shared_with",
                                   "scope",
                                   "started",
                                   "created_on",
                                   "resets",
                                   "reset_inc",
                                   "reset_sch",
                                   "last_reset",
                                   "expires_on",
                                   "seq"});
constexpr Shape caps{.each = &cap_shape};

constexpr auto customer_fields =
    names({"id", "plan", "type", "label", "refs", "alt_ids", "metadata", "format"}) +
    std::array{Field{"meters", &meters}, Field{"overrides", &overrides}, Field{"grants", &grants},
               Field{"caps", &caps}};

constexpr auto request_fields = names({"customer", "request", "fingerprint", "answer", "at"});
constexpr Shape request{.fields = request_fields};
constexpr Shape requests{.each = &request};
constexpr auto export_fields = names({"format"}) + std::array{Field{"customers", &customers_shape},
                                                              Field{"estimates", &by_entitlement},
                                                              Field{"requests", &requests}};

// Policies.

constexpr auto price_fields = names({"amount", "id"});
constexpr Shape price{.fields = price_fields};
constexpr auto tier_fields = names({"up_to"}) + std::array{Field{"price", &price}};
constexpr Shape tier{.fields = tier_fields};
constexpr Shape tiers{.each = &tier};
constexpr auto credit_fields = names({"name", "label", "description", "unit", "stof_units",
                                      "pricing_model", "overhead_cost", "overhead_fn", "resets"}) +
                               std::array{Field{"price", &price}, Field{"tiers", &tiers}};
constexpr Shape credits{.each = &credit_shape};

constexpr auto topup_fields =
    names({"name", "credit", "value", "included", "included_scopes", "expires_after", "resets",
           "reset_inc", "reset_sch", "reset_mode", "rollover_pct", "rollover_min", "rollover_max",
           "max_balance", "reset_catchup_cap", "description"}) +
    std::array{Field{"price", &price}};
constexpr Shape topup{.fields = topup_fields};
constexpr Shape topups{.each = &topup};

constexpr auto entitlement_fields = names({"name", "scope", "renamed_from", "estimate_basis",
                                           "estimate_segment", "description", "hidden"}) +
                                    std::array{Field{"limit", &limit_shape}};
constexpr Shape entitlements{.each = &entitlement_shape};

constexpr auto plan_fields =
    names({"name", "label", "default", "hidden", "period", "subscription", "trial_period"}) +
    std::array{Field{"entitlements", &entitlements}, Field{"topups", &topups}};
constexpr Shape plans{.each = &plan_shape};

constexpr auto pair_fields = names({"value", "currency", "value_fn"});
constexpr Shape pair{.fields = pair_fields};
constexpr Shape exchange{.each = &pair};
constexpr auto notification_fields = names({"events", "fn", "condition"});
constexpr Shape notification{.fields = notification_fields};
constexpr Shape notifications{.each = &notification};

constexpr auto policy_fields =
    names({"estimate_min_samples", "hold_ttl", "request_window", "request_limit"}) +
    std::array{Field{"credits", &credits}, Field{"exchange", &exchange}, Field{"plans", &plans},
               Field{"customers", &customers_shape}, Field{"notifications", &notifications}};
constexpr Shape policy{.fields = policy_fields};
constexpr std::array document_fields = {Field{"policy", &policy}};

// Events.

constexpr auto event_meter_fields =
    names({"old", "value", "limit", "diff", "overhead", "overhead_diff", "price_diff", "invalid"});
constexpr Shape event_meter{.fields = event_meter_fields};
constexpr auto governor_fields = names({"tokens", "capacity", "requested"});
constexpr Shape governor{.fields = governor_fields};
constexpr auto event_fields =
    names({"type", "remaining", "entitlement", "credit", "event_data", "grant_value_applied",
           "overage", "overage_price", "invalid_value", "previous_plan", "new_plan", "topup_name",
           "plan_name", "id"}) +
    std::array{Field{"meter", &event_meter},
               Field{"governor", &governor},
               Field{"customer", &customer_shape},
               Field{"caller", &customer_shape},
               Field{"plan", &plan_shape},
               Field{"cap", &cap_shape},
               Field{"topup", &topup},
               Field{"grant", &grant}};

const Field* find(const Shape& shape, std::string_view key) {
  const auto found = std::find_if(shape.fields.begin(), shape.fields.end(),
                                  [&](const Field& field) { return field.name == key; });
  return found == shape.fields.end() ? nullptr : &*found;
}

std::string known_names(const Shape& shape) {
  std::string text;
  for (const Field& field : shape.fields)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", field.name);
  return text;
}

}  // namespace

constexpr Shape decision_shape{.fields = decision_fields, .is_closed = true};
constexpr Shape decisions_shape{.each = &decided};
constexpr Shape estimate_shape{.fields = estimate_fields, .is_closed = true};
constexpr Shape margin_shape{.fields = margin_fields, .is_closed = true};
constexpr Shape measured_margin_shape{.fields = measured_margin_fields, .is_closed = true};
constexpr Shape load_report_shape{.fields = load_report_fields, .is_closed = true};
constexpr Shape customer_shape{.fields = customer_fields};
constexpr Shape customers_shape{.each = &customer_shape};
constexpr Shape export_shape{.fields = export_fields, .is_closed = true};
constexpr Shape meter_shape{.fields = meter_fields};
constexpr Shape limit_shape{.fields = limit_fields};
constexpr Shape cap_shape{.fields = cap_fields};
constexpr Shape entitlement_shape{.fields = entitlement_fields};
constexpr Shape plan_shape{.fields = plan_fields};
constexpr Shape credit_shape{.fields = credit_fields};
constexpr Shape policy_shape{.fields = document_fields, .is_closed = true};
constexpr Shape event_shape{.fields = event_fields};

bool knows(const Shape* shape, std::string_view key) {
  return shape != nullptr && (shape->each != nullptr || find(*shape, key) != nullptr);
}

const Shape* shape_below(const Shape* shape, std::string_view key) {
  if (shape == nullptr || shape->each != nullptr) return shape == nullptr ? nullptr : shape->each;
  const Field* field = find(*shape, key);
  return field == nullptr ? nullptr : field->shape;
}

std::optional<FormatProblem> check_expected(const Node& expected, const Shape* shape,
                                            const std::string& path) {
  if (shape == nullptr) return std::nullopt;
  if (const auto* elements = expected.as_sequence()) {
    for (std::size_t i = 0; i < elements->size(); ++i) {
      if (auto found = check_expected((*elements)[i], shape->each, fmt::format("{}[{}]", path, i)))
        return found;
    }
  }
  if (!expected.as_mapping()) return std::nullopt;
  for (const auto& [key, position, value] : *expected.as_mapping()) {
    if (shape->is_closed && !knows(shape, key))
      return FormatProblem{position, path,
                           fmt::format("unknown field `{}` (known: {})", key, known_names(*shape))};
    if (auto found = check_expected(value, shape_below(shape, key), path + "." + key)) return found;
  }
  return std::nullopt;
}

}  // namespace limitr::call
