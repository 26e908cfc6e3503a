// SPDX-License-Identifier: Apache-2.0
#include "call/shapes.h"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "cli/scenario/play.h"

namespace limitr::scenario {
namespace {

// The paths in `json` of fields that `shape` does not know, whatever a key of the owner is.
void find_unknown(const Json& json, const call::Shape* shape, const std::string& path,
                  std::set<std::string>& unknown) {
  if (shape == nullptr) return;
  if (json.is_array()) {
    for (const Json& element : json) find_unknown(element, shape->each, path + "[]", unknown);
  }
  if (!json.is_object()) return;
  for (const auto& [key, value] : json.items()) {
    const std::string place = path + "." + key;
    if (!call::knows(shape, key)) unknown.insert(place);
    find_unknown(value, call::shape_below(shape, key), place, unknown);
  }
}

// Goal: the lists of known fields follow what the engine says, in every scenario there is.
TEST(Shapes, KnowWhateverTheEngineSays) {
  std::set<std::string> unknown;
  const auto files = scenario_files(std::string(LIMITR_TEST_DATA) + "/scenarios");
  ASSERT_TRUE(files.ok());
  std::size_t played = 0;
  for (const std::filesystem::path& file : *files) {
    for (const Scenario& scenario : read_scenarios(file).scenarios) {
      const auto session = Session::open(scenario);
      if (!session.ok()) continue;
      const auto look = [&](const Played& step) {
        const std::string name(step.step.call->name);
        if (step.answer.decision) {
          find_unknown(Json::parse(to_json(*step.answer.decision)), &call::decision_shape, name,
                       unknown);
        } else {
          find_unknown(step.answer.value, step.step.call->answers, name, unknown);
        }
        for (const Event& event : step.events)
          find_unknown(event.json(), &call::event_shape, event.type, unknown);
        ++played;
      };
      EXPECT_FALSE(play(**session, scenario, {}, look)) << file;
      const auto state = (*session)->engine().export_state();
      ASSERT_TRUE(state.ok());
      find_unknown(Json::parse(*state), &call::export_shape, "export", unknown);
    }
  }
  EXPECT_GT(played, 100U);
  // A scenario's own field, which its record keeps.
  EXPECT_EQ(unknown, std::set<std::string>({"customer.note"}));
}

}  // namespace
}  // namespace limitr::scenario
