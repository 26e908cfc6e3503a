// SPDX-License-Identifier: Apache-2.0
// spec: policy.md, reads.md, events.md
#include <array>

#include "cli/scenario/answers.h"
#include "cli/scenario/calls.h"
#include "cli/scenario/session.h"
#include "cli/scenario/shapes.h"

namespace limitr::scenario {
namespace {

constexpr std::array set_policy_takes = {Parameter{"policy", Kind::document, true}};
constexpr std::array set_plan_takes = {Parameter{"name", Kind::text, true},
                                       Parameter{"document", Kind::data, true}};
constexpr std::array delete_plan_takes = {Parameter{"name", Kind::text, true}};
constexpr std::array notifications_takes = {Parameter{"notifications", Kind::data, true}};

Answer set_policy(Session& s, const Arguments& a) {
  return answer(s.set_policy(*a.find("policy")));
}

Answer set_plan(Session& s, const Arguments& a) {
  Answer made = answer(s.engine().set_plan(a.text("name"), a.data("document").value_or(Json())));
  if (made.form != Answer::Form::failed) s.policy_changed();
  return made;
}

Answer delete_plan(Session& s, const Arguments& a) {
  Answer made = answer(s.engine().delete_plan(a.text("name")));
  if (made.form != Answer::Form::failed) s.policy_changed();
  return made;
}

Answer set_notifications(Session& s, const Arguments& a) {
  Answer made = answer(s.engine().set_notifications(a.data("notifications").value_or(Json())));
  if (made.form != Answer::Form::failed) s.policy_changed();
  return made;
}

Answer policy(Session& s, const Arguments&) { return {.value = s.engine().policy()}; }

constexpr std::array calls = {
    CallKind{"set_policy", set_policy_takes, set_policy},
    CallKind{"set_plan", set_plan_takes, set_plan},
    CallKind{"delete_plan", delete_plan_takes, delete_plan},
    CallKind{"set_notifications", notifications_takes, set_notifications},
    CallKind{"policy", {}, policy, &policy_shape},
};

}  // namespace

std::span<const CallKind> policy_calls() { return calls; }

}  // namespace limitr::scenario
