// SPDX-License-Identifier: Apache-2.0
// spec: reads.md
#include <array>

#include "call/answers.h"
#include "call/calls.h"
#include "call/shapes.h"

namespace limitr::call {
namespace {

constexpr Parameter id{"id", Kind::text, true};
constexpr Parameter entitlement{"entitlement", Kind::text, true};
constexpr Parameter grants{"grants", Kind::flag};

constexpr std::array id_only = {id};
constexpr std::array id_and_entitlement = {id, entitlement};
constexpr std::array with_grants = {id, entitlement, grants};
constexpr std::array amount_takes = {id, entitlement, Parameter{"percent", Kind::flag}, grants};
constexpr std::array exhaustion_takes = {id, entitlement, Parameter{"smoothed", Kind::flag},
                                         grants};
constexpr std::array exchange_takes = {Parameter{"from", Kind::text, true},
                                       Parameter{"to", Kind::text, true},
                                       Parameter{"value", Kind::number}};
constexpr std::array credit_remaining_takes = {id, Parameter{"credit", Kind::text, true}};
constexpr std::array credit_takes = {Parameter{"name", Kind::text, true}};

template <auto method>
Answer of_id(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id")));
}

template <auto method>
Answer of_entitlement(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id"), a.text("entitlement")));
}

template <auto method>
Answer of_balance(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id"), a.text("entitlement"), a.flag("grants", true)));
}

template <auto method, const char* choice>
Answer of_amount(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id"), a.text("entitlement"), a.flag(choice),
                                 a.flag("grants", true)));
}

constexpr char percent[] = "percent";
constexpr char smoothed[] = "smoothed";

Answer credit_exchange(Limitr& engine, const Arguments& a) {
  return answer(engine.credit_exchange(a.text("from"), a.text("to"), a.number("value", 1)));
}

Answer credit_remaining(Limitr& engine, const Arguments& a) {
  return answer(engine.credit_remaining(a.text("id"), a.text("credit")));
}

Answer default_plan(Limitr& engine, const Arguments&) { return answer(engine.default_plan()); }

Answer credit(Limitr& engine, const Arguments& a) { return answer(engine.credit(a.text("name"))); }

constexpr std::array calls = {
    CallKind{"value", amount_takes, of_amount<&Limitr::value, percent>},
    CallKind{"remaining", amount_takes, of_amount<&Limitr::remaining, percent>},
    CallKind{"limit", with_grants, of_balance<&Limitr::limit>},
    CallKind{"allowance", with_grants, of_balance<&Limitr::allowance>},
    CallKind{"cost", id_and_entitlement, of_entitlement<&Limitr::cost>},
    CallKind{"resets", id_and_entitlement, of_entitlement<&Limitr::resets>},
    CallKind{"rate", id_and_entitlement, of_entitlement<&Limitr::rate>},
    CallKind{"acceleration", id_and_entitlement, of_entitlement<&Limitr::acceleration>},
    CallKind{"projected_exhaustion", exhaustion_takes,
             of_amount<&Limitr::projected_exhaustion, smoothed>},
    CallKind{"credit_exchange", exchange_takes, credit_exchange},
    CallKind{"credit_remaining", credit_remaining_takes, credit_remaining},
    CallKind{"meter", id_and_entitlement, of_entitlement<&Limitr::meter>, &meter_shape},
    CallKind{"limit_object", id_and_entitlement, of_entitlement<&Limitr::limit_object>,
             &limit_shape},
    CallKind{"entitlement", id_and_entitlement, of_entitlement<&Limitr::entitlement>,
             &entitlement_shape},
    CallKind{"plan", id_only, of_id<&Limitr::plan>, &plan_shape},
    CallKind{"default_plan", {}, default_plan, &plan_shape},
    CallKind{"credit", credit_takes, credit, &credit_shape},
    CallKind{"credit_for", id_and_entitlement, of_entitlement<&Limitr::credit_for>, &credit_shape},
    CallKind{"plan_period", id_only, of_id<&Limitr::plan_period>},
    CallKind{"plan_trial_period", id_only, of_id<&Limitr::plan_trial_period>},
    CallKind{"plan_subscription_entitlement", id_only,
             of_id<&Limitr::plan_subscription_entitlement>},
    CallKind{"plan_sub_entitlement_name", id_only, of_id<&Limitr::plan_subscription_entitlement>},
};

}  // namespace

std::span<const CallKind> reading_calls() { return calls; }

}  // namespace limitr::call
