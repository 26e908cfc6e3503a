// SPDX-License-Identifier: Apache-2.0
// spec: policy.md, reads.md, events.md
#include <array>

#include "call/answers.h"
#include "call/calls.h"
#include "call/options.h"
#include "call/shapes.h"

namespace limitr::call {
namespace {

constexpr std::array set_policy_takes = {Parameter{"policy", Kind::document, true},
                                         Parameter{"format", Kind::text}};
constexpr std::array set_plan_takes = {Parameter{"name", Kind::text, true},
                                       Parameter{"document", Kind::data, true}};
constexpr std::array delete_plan_takes = {Parameter{"name", Kind::text, true}};
constexpr std::array notifications_takes = {Parameter{"notifications", Kind::data, true}};

Answer set_policy(Limitr& engine, const Arguments& a) {
  const policy::Node& policy = *a.find("policy");
  // As text, not as a JSON value, which would lose the order of the document.
  if (!policy.as_text()) return answer(engine.set_policy(policy::json_text(policy), Format::json));
  const auto format = format_from(a.text("format", "yaml"));
  return format.ok() ? answer(engine.set_policy(*policy.as_text(), *format))
                     : failed(format.error());
}

Answer set_plan(Limitr& engine, const Arguments& a) {
  return answer(engine.set_plan(a.text("name"), a.data("document").value_or(Json())));
}

Answer delete_plan(Limitr& engine, const Arguments& a) {
  return answer(engine.delete_plan(a.text("name")));
}

Answer set_notifications(Limitr& engine, const Arguments& a) {
  return answer(engine.set_notifications(a.data("notifications").value_or(Json())));
}

Answer policy(Limitr& engine, const Arguments&) { return {.value = engine.policy()}; }

constexpr std::array calls = {
    CallKind{"set_policy", set_policy_takes, set_policy},
    CallKind{"set_plan", set_plan_takes, set_plan},
    CallKind{"delete_plan", delete_plan_takes, delete_plan},
    CallKind{"set_notifications", notifications_takes, set_notifications},
    CallKind{"policy", {}, policy, &policy_shape},
};

}  // namespace

std::span<const CallKind> policy_calls() { return calls; }

}  // namespace limitr::call
