// SPDX-License-Identifier: Apache-2.0
// spec: pricing.md
#include <array>
#include <vector>

#include "call/answers.h"
#include "call/calls.h"
#include "call/shapes.h"

namespace limitr::call {
namespace {

constexpr Parameter id{"id", Kind::text, true};
constexpr Parameter request{"request", Kind::text};

constexpr std::array id_only = {id};
constexpr std::array add_takes = {
    id,
    Parameter{"value", Kind::number, true},
    Parameter{"cap", Kind::text},
    Parameter{"credit", Kind::text},
    Parameter{"exchangeable", Kind::flag},
    Parameter{"overage_only", Kind::flag},
    Parameter{"ignore_grants", Kind::flag},
    Parameter{"observe_only", Kind::flag},
    Parameter{"overhead_cost", Kind::flag},
    Parameter{"follow_decrements", Kind::flag},
    Parameter{"hard_trailing", Kind::flag},
    Parameter{"shared", Kind::flag},
    Parameter{"shared_with", Kind::texts},
    Parameter{"scope", Kind::texts},
    Parameter{"resets", Kind::flag},
    Parameter{"reset_inc", Kind::quantity},
    Parameter{"reset_sch", Kind::text},
    Parameter{"expires_on", Kind::moment},
    Parameter{"events", Kind::flag},
    request,
};
constexpr std::array cap_takes = {id, Parameter{"cap", Kind::text, true}};
constexpr std::array cap_change_takes = {id, Parameter{"cap", Kind::text, true}, request};
constexpr std::array plan_margin_takes = {Parameter{"plan", Kind::text, true},
                                          Parameter{"usage", Kind::usage, true},
                                          Parameter{"scaled", Kind::flag}};
constexpr std::array start_takes = {Parameter{"customer", Kind::text, true}, id,
                                    Parameter{"overage_only", Kind::flag},
                                    Parameter{"ignore_grants", Kind::flag}, request};
constexpr std::array capture_takes = {Parameter{"customer", Kind::text, true}, id, request};

CapOptions cap_options(const Arguments& a) {
  CapOptions options;
  options.cap = a.text("cap");
  options.credit = a.text("credit", options.credit);
  options.exchangeable = a.maybe_flag("exchangeable");
  options.overage_only = a.flag("overage_only");
  options.ignore_grants = a.flag("ignore_grants");
  options.observe_only = a.flag("observe_only");
  options.overhead_cost = a.flag("overhead_cost");
  options.follow_decrements = a.flag("follow_decrements");
  options.hard_trailing = a.flag("hard_trailing");
  options.shared = a.flag("shared");
  options.shared_with = a.texts("shared_with").value_or(options.shared_with);
  options.scope = a.texts("scope").value_or(options.scope);
  options.resets = a.flag("resets");
  options.reset_inc = a.maybe_quantity("reset_inc");
  options.reset_sch = a.maybe_text("reset_sch");
  options.expires_on = a.moment("expires_on");
  options.events = a.flag("events", options.events);
  options.request = a.text("request");
  return options;
}

Answer add_customer_cap(Limitr& engine, const Arguments& a) {
  return answer(Answer::Form::created,
                engine.add_customer_cap(a.text("id"), a.number("value", 0), cap_options(a)));
}

Answer customer_cap(Limitr& engine, const Arguments& a) {
  return answer(engine.customer_cap(a.text("id"), a.text("cap")));
}

template <auto method>
Answer change_cap(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id"), a.text("cap"), change_options(a)));
}

Answer margin(const Read<Margin>& made) {
  if (!made.ok()) return failed(made.error());
  const std::optional<Margin>& found = *made;
  if (!found) return {};
  Json entitlements = Json::object();
  for (const EntitlementMargin& one : found->entitlements) {
    entitlements[one.entitlement] = {{"cost", one.cost},
                                     {"revenue", one.revenue},
                                     {"margin", one.margin ? Json(*one.margin) : Json()}};
  }
  return {.value = {{"cost", found->cost},
                    {"revenue", found->revenue},
                    {"margin", found->margin},
                    {"entitlements", std::move(entitlements)}}};
}

Answer customer_margin(Limitr& engine, const Arguments& a) {
  return margin(engine.customer_margin(a.text("id")));
}

ImaginedUsage imagined(const std::string& entitlement, const policy::Node& amount) {
  ImaginedUsage usage{.entitlement = entitlement};
  if (!amount.as_mapping()) {
    usage.meter = value_of(amount);
    return usage;
  }
  const Arguments fields(amount.as_mapping(), Timestamp{});
  usage.meter = fields.quantity("meter");
  usage.limit = fields.maybe_quantity("limit");
  usage.credit = fields.maybe_text("credit");
  usage.overhead = fields.maybe_number("overhead");
  usage.context = fields.data("context");
  return usage;
}

Answer plan_margin(Limitr& engine, const Arguments& a) {
  std::vector<ImaginedUsage> usage;
  for (const auto& [entitlement, position, amount] : *a.find("usage")->as_mapping())
    usage.push_back(imagined(entitlement, amount));
  return margin(engine.plan_margin(a.text("plan"), usage, a.flag("scaled", true)));
}

Answer start_margin_measurement(Limitr& engine, const Arguments& a) {
  MeasurementOptions options;
  options.overage_only = a.flag("overage_only", options.overage_only);
  options.ignore_grants = a.flag("ignore_grants", options.ignore_grants);
  options.request = a.text("request");
  return answer(engine.start_margin_measurement(a.text("customer"), a.text("id"), options));
}

Answer capture_margin_measurement(Limitr& engine, const Arguments& a) {
  const auto made =
      engine.capture_margin_measurement(a.text("customer"), a.text("id"), change_options(a));
  if (!made.ok()) return failed(made.error());
  const std::optional<MeasuredMargin>& found = *made;
  if (!found) return {};
  return {.value = {{"charged", found->charged},
                    {"costs", found->costs},
                    {"margin", found->margin},
                    {"raw_margin", found->raw_margin}}};
}

constexpr std::array calls = {
    CallKind{"add_customer_cap", add_takes, add_customer_cap},
    CallKind{"customer_cap", cap_takes, customer_cap, &cap_shape},
    CallKind{"reset_customer_cap", cap_change_takes, change_cap<&Limitr::reset_customer_cap>},
    CallKind{"remove_customer_cap", cap_change_takes, change_cap<&Limitr::remove_customer_cap>},
    CallKind{"customer_margin", id_only, customer_margin, &margin_shape},
    CallKind{"customer_local_margin_breakdown", id_only, customer_margin, &margin_shape},
    CallKind{"plan_margin", plan_margin_takes, plan_margin, &margin_shape},
    CallKind{"start_margin_measurement", start_takes, start_margin_measurement},
    CallKind{"capture_margin_measurement", capture_takes, capture_margin_measurement,
             &measured_margin_shape},
};

}  // namespace

std::span<const CallKind> pricing_calls() { return calls; }

}  // namespace limitr::call
