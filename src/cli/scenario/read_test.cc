// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "base/amount.h"
#include "call/calls.h"
#include "cli/scenario/scenario.h"

namespace limitr::scenario {
namespace {

std::string first_problem(std::string_view text) {
  const ReadFile read = read_scenarios(text, "t.yaml");
  return read.problems.empty() ? "" : read.problems.front().to_string();
}

TEST(ReadScenarios, CountsTimesFromTheStepBefore) {
  const ReadFile read = read_scenarios(R"(
policy: p.yaml
steps:
  - { at: 2026-03-01T00:00:00Z, call: allow, args: { id: a, entitlement: e } }
  - { at: +1h, call: allow, args: { id: a, entitlement: e } }
  - { call: allow, args: { id: a, entitlement: e } }
)",
                                       "day.yaml");
  ASSERT_EQ(read.scenarios.size(), 1U);
  const Scenario& scenario = read.scenarios.front();
  EXPECT_EQ(scenario.name, "day");
  ASSERT_EQ(scenario.steps.size(), 3U);
  EXPECT_EQ(to_ms(scenario.steps[0].at), 1'772'323'200'000);
  EXPECT_EQ(to_ms(scenario.steps[1].at), 1'772'326'800'000);
  EXPECT_EQ(scenario.steps[2].at, scenario.steps[1].at);
  EXPECT_EQ(call_text(scenario.steps[0]), "allow(id: a, entitlement: e)");
}

TEST(ReadScenarios, ReadsOneALineAndLists) {
  const ReadFile lines = read_scenarios(
      "{\"policy\":\"p.yaml\",\"steps\":[]}\n\n{\"name\":\"n\",\"policy\":{},\"steps\":[]}\n",
      "many.ndjson");
  ASSERT_EQ(lines.scenarios.size(), 2U);
  EXPECT_EQ(lines.scenarios[0].name, "many:1");
  EXPECT_EQ(lines.scenarios[1].name, "n");
  const ReadFile list = read_scenarios(R"([{"policy":"p.yaml","steps":[]}])", "list.json");
  ASSERT_EQ(list.scenarios.size(), 1U);
  EXPECT_EQ(list.scenarios[0].name, "list[0]");
}

TEST(ReadScenarios, KeepsTheGoodScenariosOfAFileWithABadOne) {
  const ReadFile read = read_scenarios("{\"policy\":{},\"steps\":[]}\n{]\n", "t.ndjson");
  EXPECT_EQ(read.scenarios.size(), 1U);
  ASSERT_EQ(read.problems.size(), 1U);
  EXPECT_EQ(read.problems[0].where, "t.ndjson:2");
}

// Goal: a slip of the pen is found when the file is read, with its place.
TEST(ReadScenarios, NamesWhatTheFormatDoesNotKnow) {
  struct Case {
    const char* text;
    const char* problem;
  };
  for (const Case& c : {
           Case{"policy: {}\nsteps: []\nstate: {}\nextra: 1", "t.yaml:4:1: unknown key `extra`"},
           Case{"steps: []", "a scenario needs a `policy`"},
           Case{"policy: {}", "a scenario needs a list of `steps`"},
           Case{"policy: {}\nsteps:\n  - { cal: allow }", "unknown key `cal`"},
           Case{"policy: {}\nsteps:\n  - { at: 1 }", "missing `call`"},
           Case{"policy: {}\nsteps:\n  - { call: alow }", "t.yaml:3:13: steps[0].call: unknown"},
           Case{"policy: {}\nsteps:\n  - { call: allow, args: { id: a } }",
                "missing argument `entitlement`"},
           Case{"policy: {}\nsteps:\n  - { call: plan, args: { id: a, valu: 1 } }",
                "unknown argument `valu` (known: id)"},
           Case{"policy: {}\nsteps:\n  - { call: plan, args: { id: 7 } }",
                "steps[0].args.id: expected text, found a number"},
           Case{"policy: {}\nsteps:\n  - { at: soon, call: customers }", "`soon` is no time"},
           Case{"policy: {}\nsteps:\n  - { call: customers, expect: 1, error: x }", "exclude"},
           Case{"policy: {}\nsteps:\n  - { call: customers, events: [{}] }", "needs a `type`"},
           Case{"policy: {}\nsteps:\n  - { call: customers, error: '' }",
                "steps[0].error: any message"},
           Case{"policy: {}\nsteps:\n  - { call: restart, expect: { refused: [{ ID: null }] } }",
                "t.yaml:3:44: steps[0].expect.refused[0]: unknown field `ID` (known: id, error)"},
           Case{"policy: {}\nsteps: []\noptions: { bounds: { max_depth: 0.5 } }",
                "options.bounds.max_depth: expected a whole number"},
           Case{"policy: {}\nsteps: []\nstate: { ann: { metres: {} } }",
                "state.ann: unknown key `metres`"},
           Case{"policy: {}\nsteps: []\nhost: { f: x }", "host.f: expected a number"},
           Case{"policy: {}\nsteps: []\noptions: { strict: true }",
                "options: unknown argument `strict`"},
           Case{"policy: {}\nsteps:\n  - { call: allow, args: { id: a, entitlement: e, cap: "
                "{ tok: x } } }",
                "steps[0].args.cap.tok: expected a number"},
       }) {
    SCOPED_TRACE(c.text);
    EXPECT_NE(first_problem(c.text).find(c.problem), std::string::npos) << first_problem(c.text);
  }
}

TEST(FindCall, KnowsTheNamesAlsoAccepted) {
  for (const char* name : {"allow", "add_customer_cap", "customer_local_margin_breakdown",
                           "plan_sub_entitlement_name", "restart", "set_policy"})
    EXPECT_NE(find_call(name), nullptr) << name;
  EXPECT_EQ(find_call("allows"), nullptr);
}

}  // namespace
}  // namespace limitr::scenario
