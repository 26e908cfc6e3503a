// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/time_text.h"
#include "cli/command.h"
#include "cli/scenario/play.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

using scenario::Failure;
using scenario::Scenario;

std::string place(const Scenario& played, const Failure& failure) {
  const std::size_t step_line = failure.step ? failure.step->position.line : 0;
  const std::size_t line = played.line != 0 ? played.line : step_line;
  return line == 0 ? played.file.string() : fmt::format("{}:{}", played.file.string(), line);
}

/// What the mismatch is about, where the step's own line does not say it.
std::string about(const Failure& failure) {
  return failure.mismatch.path == "answer" ? "" : " " + failure.mismatch.path;
}

/// Collects what the tests came to, and prints it as they go.
class Report {
public:
  explicit Report(const TestOptions& options) : options_(options), out_(json_) {
    out_.begin_object().key("scenarios").begin_array();
  }

  void play(const Scenario& played) {
    if (options_.verbose && !options_.json) print("{}\n", style_.strong(played.name));
    ++number_;
    const auto failure = scenario::play(
        played,
        {.check_first = options_.check_first, .reopen_every = options_.reopen_every.value_or(0)},
        observer(), {.store = store(), .shared = options_.shared});
    if (failure && failure->unreadable)
      return unreadable(*failure->unreadable, place(played, *failure));
    failure ? ++failed_ : ++passed_;
    if (options_.json) {
      write(played, failure);
    } else if (failure) {
      show(played, *failure);
    }
  }

  /// `named_in`: the place in a scenario that names the file.
  void unreadable(const Error& problem, const std::string& named_in = {}) {
    ++unreadable_;
    trouble(named_in.empty() ? problem.to_string() : named_in + ": " + problem.to_string());
  }

  int finish() {
    out_.end_array();
    out_.field("passed", passed_).field("failed", failed_).field("unreadable", unreadable_);
    out_.end_object();
    if (options_.json) {
      print("{}\n", json_);
    } else {
      print("{}\n", summary());
    }
    if (unreadable_ != 0) return exit_trouble;
    return failed_ == 0 ? exit_fine : exit_negative;
  }

private:
  std::string store() const {
    std::string url = options_.store;
    const std::string number = std::to_string(number_);
    for (std::size_t at = 0; (at = url.find(number_in_url, at)) != std::string::npos;) {
      url.replace(at, number_in_url.size(), number);
    }
    return url;
  }

  scenario::Observer observer() const {
    if (!options_.verbose || options_.json) return {};
    return [this](const scenario::Played& played) { trace(played); };
  }

  void trace(const scenario::Played& played) const {
    print("  {:>3} {} {} -> {}\n", played.step.number, style_.faint(call::iso_text(played.step.at)),
          scenario::call_text(played.step), style_.strong(scenario::answer_text(played.answer)));
    if (!played.step.why.empty()) print("        {}\n", style_.faint(played.step.why));
    for (const Event& event : played.events)
      print("        {} {}\n", style_.caution(event.type), style_.faint(event.payload));
    for (const std::string& line : played.log) print("        log: {}\n", line);
  }

  void show(const Scenario& played, const Failure& failure) const {
    print("{} {}: {}\n", style_.bad("FAIL"), place(played, failure), style_.strong(played.name));
    if (failure.step) {
      print("  step {} at {}: {}\n", failure.step->number, call::iso_text(failure.step->at),
            scenario::call_text(*failure.step));
      if (!failure.step->why.empty()) print("  {}\n", style_.faint(failure.step->why));
    }
    print("    expected{}: {}\n", about(failure), style_.good(failure.mismatch.expected));
    print("    got{}: {}\n", about(failure), style_.bad(failure.mismatch.got));
  }

  void write(const Scenario& played, const std::optional<Failure>& failure) {
    out_.begin_object().field("file", played.file.string()).field("name", played.name);
    out_.field("passed", !failure);
    if (failure) {
      if (const scenario::Step* step = failure->step) {
        out_.field("step", step->number).field("line", step->position.line);
        out_.field("at", step->at).field("call", scenario::call_text(*step));
      }
      out_.field("path", failure->mismatch.path);
      out_.field("expected", failure->mismatch.expected).field("got", failure->mismatch.got);
    }
    out_.end_object();
  }

  Shown summary() const {
    std::string text = fmt::format("{} passed, {} failed", passed_, failed_);
    if (unreadable_ != 0) text += fmt::format(", {} unreadable", unreadable_);
    return failed_ + unreadable_ == 0 ? style_.good(text) : style_.bad(text);
  }

  const TestOptions& options_;
  Style style_;
  std::size_t number_ = 0;  // of the scenario, from 1
  std::size_t passed_ = 0;
  std::size_t failed_ = 0;
  std::size_t unreadable_ = 0;
  std::string json_;
  JsonWriter out_;
};

}  // namespace

int test(const TestOptions& options) {
  Report report(options);
  for (const std::string& path : options.files) {
    const auto files = scenario::scenario_files(path);
    if (!files.ok()) {
      report.unreadable(files.error());
      continue;
    }
    for (const std::filesystem::path& file : *files) {
      const scenario::ReadFile read = scenario::read_scenarios(file, options.bounds);
      for (const Error& problem : read.problems) report.unreadable(problem);
      for (const Scenario& one : read.scenarios) report.play(one);
    }
  }
  return report.finish();
}

}  // namespace limitr::cli
