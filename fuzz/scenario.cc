// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "cli/scenario/play.h"
#include "cli/scenario/scenario.h"
#include "fuzz.h"

// The input: a scenario file. One that begins with `{` is read as one scenario a line, one that
// begins with `[` as JSON, any other as YAML.
//
// 1. Reading ends in scenarios, problems, or both; a problem says what it is and where.
// 2. Playing ends, and what happened can be shown.
// 3. check agrees with the allow, increment or decrement that follows it.
namespace limitr::fuzz {
namespace {

using scenario::Scenario;

// A folder that is nowhere: a scenario that names a file finds none.
const std::filesystem::path folder = "no_such_folder";

std::filesystem::path file_of(std::string_view text) {
  if (text.starts_with('{')) return folder / "input.ndjson";
  return folder / (text.starts_with('[') ? "input.json" : "input.yaml");
}

bool is_file(const policy::Node* node) { return node != nullptr && node->as_text() != nullptr; }

// What names a file could name any of the machine's, and one that never ends.
bool names_files(const Scenario& read) {
  if (is_file(read.policy) || is_file(read.customers)) return true;
  return std::any_of(read.steps.begin(), read.steps.end(), [](const scenario::Step& step) {
    const call::Arguments arguments(step.arguments, step.at);
    return is_file(arguments.find("policy")) || is_file(arguments.find("records"));
  });
}

void show(const scenario::Played& played) {
  require(!scenario::call_text(played.step).empty(), "a step can be shown");
  const std::string answer = scenario::answer_text(played.answer);
  require(is_utf8(answer), "an answer can be shown", answer);
  for (const Event& event : played.events) {
    require(Json::accept(event.payload), "an event is JSON", event.payload);
  }
}

void play(const Scenario& read) {
  const auto failure = scenario::play(read, {});
  if (failure) {
    require(
        failure->mismatch.path != "check before it", "check agrees with allow",
        fmt::format("step {}: check says {}, then {}", failure->step ? failure->step->number : 0,
                    failure->mismatch.got, failure->mismatch.expected));
  }
  // Again to the end, whatever was expected.
  scenario::play(read, {.compare = false}, show);
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace limitr;
  const std::string_view text = fuzz::text_of(data, size);
  const scenario::ReadFile read = scenario::read_scenarios(text, fuzz::file_of(text));
  for (const Error& problem : read.problems) {
    fuzz::require(!problem.message.empty(), "a problem says what it is");
    fuzz::require(problem.where.starts_with(fuzz::folder.string()), "a problem says where it is");
  }
  for (const scenario::Scenario& one : read.scenarios) {
    if (!fuzz::names_files(one)) fuzz::play(one);
  }
  return 0;
}
