// SPDX-License-Identifier: Apache-2.0
// Question: how long does the largest policy that anyone is likely to write take to validate?

#include <limitr/policy.h>

#include "benches.h"

namespace limitr::bench {

namespace {

// `plans` plans of 50 entitlements each, written as people write them. The last limit's mode is
// `last_mode`.
std::string policy_text(std::size_t plans, std::string_view last_mode) {
  constexpr std::size_t entitlements_each = 50;
  std::string text = "policy:\n  credits:\n    token: { price: { amount: 0.002 } }\n  plans:\n";
  for (std::size_t plan = 0; plan < plans; ++plan) {
    text += fmt::format("    plan_{:04}:\n      label: Plan {}\n      entitlements:\n", plan, plan);
    for (std::size_t i = 0; i < entitlements_each; ++i) {
      const bool last = plan + 1 == plans && i + 1 == entitlements_each;
      text += fmt::format(
          "        feature_{:02}:\n"
          "          limit:\n"
          "            credit: token\n"
          "            mode: {}\n"
          "            value: {}\n"
          "            resets: true\n"
          "            reset_inc: 30days\n",
          i, last ? last_mode : "hard", 1000 + plan * entitlements_each + i);
    }
  }
  return text;
}

// The validator has to have read to the end: one wrong word there, one issue.
void find_planted_mistake(std::size_t plans, Checks& checks) {
  const std::vector<Issue> issues = validate_policy(policy_text(plans, "harsh"), Format::yaml);
  checks.same<std::uint64_t>("issues of a policy with one mistake", issues.size(), 1);
  if (issues.empty()) return;
  checks.same("where the mistake is", issues[0].path,
              fmt::format("policy.plans.plan_{:04}.entitlements.feature_49.limit.mode", plans - 1));
}

}  // namespace

Row validate_50k(const Size& size, Checks& checks) {
  const std::size_t plans = size.of(1000, 20);
  const std::string text = policy_text(plans, "hard");
  const Figures figures = repeat(size.runs(), checks, 0, [&] {
    const Stopwatch watch;
    const std::vector<Issue> issues = validate_policy(text, Format::yaml);
    const double seconds = watch.seconds();
    if (!issues.empty()) checks.is_true(issues[0].to_string(), false);
    return Sample{seconds, issues.size()};
  });
  find_planted_mistake(plans, checks);
  return {.name = "validate_50k",
          .value = figures.ours,
          .unit = "s",
          .lower_is_better = true,
          .comparator = std::nullopt,
          .ratio = std::nullopt,
          .goal = {Goal::Of::value, Goal::Op::at_most, 1},
          .runs = figures.runs};
}

}  // namespace limitr::bench
