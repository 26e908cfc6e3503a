// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <initializer_list>
#include <system_error>

#include <fmt/format.h>

#include "call/arguments.h"
#include "call/calls.h"
#include "call/shapes.h"
#include "call/time_text.h"
#include "cli/scenario/compare.h"
#include "cli/scenario/host.h"
#include "cli/scenario/scenario.h"
#include "cli/scenario/text_file.h"

namespace limitr::scenario {
namespace {

using policy::Node;
using Found = std::optional<call::FormatProblem>;

/// The bounds of the files themselves. They are ours or our users': the size is only bounded to
/// keep a mistake from filling the memory.
DocumentBounds file_bounds(DocumentBounds bounds) {
  bounds.max_bytes = std::max(bounds.max_bytes, std::size_t{256} << 20U);
  return bounds;
}

Found unknown_key(const Node& node, const std::string& path,
                  std::initializer_list<std::string_view> known) {
  for (const auto& [key, position, value] : *node.as_mapping()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    return call::FormatProblem{
        position, path, fmt::format("unknown key `{}` (known: {})", key, fmt::join(known, ", "))};
  }
  return std::nullopt;
}

/// The member of that name, null where it is missing or null.
const Node* member(const Node& node, std::string_view key) {
  const Node* found = node.find(key);
  return found && !found->is_null() ? found : nullptr;
}

Found read_text(const Node& node, std::string_view key, const std::string& path,
                std::string& text) {
  const Node* found = member(node, key);
  if (!found) return std::nullopt;
  if (!found->as_text())
    return call::FormatProblem{found->position, fmt::format("{}.{}", path, key),
                               fmt::format("expected text, found {}", found->kind_name())};
  text = *found->as_text();
  return std::nullopt;
}

Found read_call(const Node& node, const std::string& path, Step& step) {
  std::string name;
  if (auto found = read_text(node, "call", path, name)) return found;
  if (name.empty()) return call::FormatProblem{node.position, path, "missing `call`"};
  step.call = find_call(name);
  const Node& call = *node.find("call");
  if (!step.call)
    return call::FormatProblem{call.position, path + ".call",
                               fmt::format("unknown call `{}`", name)};
  const Node* arguments = member(node, "args");
  if (arguments && !arguments->as_mapping())
    return call::FormatProblem{arguments->position, path + ".args",
                               fmt::format("expected a mapping, found {}", arguments->kind_name())};
  step.arguments = arguments ? arguments->as_mapping() : nullptr;
  return call::check_arguments(step.arguments, step.call->parameters,
                               arguments ? arguments->position : node.position, path + ".args");
}

Found read_expectations(const Node& node, const std::string& path, Step& step) {
  // An expected null is an expectation: there is nothing.
  step.expect = node.find("expect");
  step.events = member(node, "events");
  if (auto found = read_text(node, "error", path, step.error)) return found;
  if (auto found = read_text(node, "why", path, step.why)) return found;
  if (step.error.empty() && member(node, "error"))
    return call::FormatProblem{node.find("error")->position, path + ".error",
                               "any message has nothing as a part: give some of its words"};
  if (step.expect && !step.error.empty())
    return call::FormatProblem{
        step.expect->position, path,
        "`expect` and `error` exclude each other: a call that fails has no answer"};
  if (step.expect)
    if (auto found = call::check_expected(*step.expect, step.call->answers, path + ".expect"))
      return found;
  if (!step.events) return std::nullopt;
  const auto* events = step.events->as_sequence();
  if (!events)
    return call::FormatProblem{step.events->position, path + ".events",
                               fmt::format("expected a list, found {}", step.events->kind_name())};
  for (const Node& event : *events)
    if (!event.as_mapping() || !member(event, "type") || !event.find("type")->as_text())
      return call::FormatProblem{event.position, path + ".events", "an event needs a `type`"};
  return std::nullopt;
}

Found read_step(const Node& node, Timestamp before, Step& step) {
  const std::string path = fmt::format("steps[{}]", step.number - 1);
  step.position = node.position;
  if (!node.as_mapping())
    return call::FormatProblem{node.position, path,
                               fmt::format("expected a step, found {}", node.kind_name())};
  if (auto found =
          unknown_key(node, path, {"at", "call", "args", "expect", "error", "events", "why"}))
    return found;
  step.at = before;
  if (const Node* at = member(node, "at")) {
    const auto read = call::moment(*at, before);
    if (!read.ok()) return call::FormatProblem{at->position, path + ".at", read.error().message};
    step.at = *read;
  }
  if (auto found = read_call(node, path, step)) return found;
  return read_expectations(node, path, step);
}

Found read_steps(const Node& node, Scenario& scenario) {
  const Node* steps = node.find("steps");
  if (!steps || !steps->as_sequence())
    return call::FormatProblem{steps ? steps->position : node.position, "steps",
                               "a scenario needs a list of `steps`"};
  Timestamp before = call::first_moment();
  for (const Node& step_node : *steps->as_sequence()) {
    Step& step = scenario.steps.emplace_back();
    step.number = scenario.steps.size();
    if (auto found = read_step(step_node, before, step)) return found;
    before = step.at;
  }
  return std::nullopt;
}

Found check_state(const Node& state) {
  if (!state.as_mapping())
    return call::FormatProblem{
        state.position, "state",
        fmt::format("expected a map of customers, found {}", state.kind_name())};
  for (const auto& [id, position, customer] : *state.as_mapping()) {
    if (!customer.as_mapping())
      return call::FormatProblem{
          customer.position, "state." + id,
          fmt::format("expected a customer's fields, found {}", customer.kind_name())};
    for (const auto& [key, key_position, value] : *customer.as_mapping())
      if (!call::knows(&call::customer_shape, key))
        return call::FormatProblem{key_position, "state." + id,
                                   fmt::format("unknown key `{}`", key)};
  }
  return std::nullopt;
}

Found read_setting(const Node& node, Scenario& scenario) {
  scenario.policy = member(node, "policy");
  if (!scenario.policy || !(scenario.policy->as_mapping() || scenario.policy->as_text()))
    return call::FormatProblem{node.position, "policy",
                               "a scenario needs a `policy`: a document, or the path of one"};
  scenario.customers = member(node, "customers");
  if (scenario.customers && scenario.customers->as_bool())
    return call::FormatProblem{scenario.customers->position, "customers",
                               "expected customer records, or the path of a snapshot"};
  scenario.options = member(node, "options");
  if (scenario.options)
    if (auto found = check_options(*scenario.options)) return found;
  scenario.host = member(node, "host");
  if (scenario.host)
    if (auto found = check_host(*scenario.host)) return found;
  scenario.state = member(node, "state");
  return scenario.state ? check_state(*scenario.state) : std::nullopt;
}

Found read_scenario(const Node& node, Scenario& scenario) {
  if (!node.as_mapping())
    return call::FormatProblem{node.position, "",
                               fmt::format("expected a scenario, found {}", node.kind_name())};
  if (auto found = unknown_key(
          node, "", {"name", "policy", "customers", "options", "host", "steps", "state"}))
    return found;
  if (auto found = read_text(node, "name", "", scenario.name)) return found;
  if (auto found = read_setting(node, scenario)) return found;
  return read_steps(node, scenario);
}

/// Where a problem is: the file, the line and column where the format tells them, the scenario's
/// name where a file holds many, and the path inside it.
std::string place(const Scenario& scenario, const call::FormatProblem& problem) {
  std::string text = shown_name(scenario.file);
  const std::size_t line = scenario.line != 0 ? scenario.line : problem.position.line;
  if (line != 0) text += fmt::format(":{}", line);
  if (line != 0 && problem.position.column != 0)
    text += fmt::format(":{}", problem.position.column);
  if (!scenario.name.empty()) text += fmt::format(": {}", scenario.name);
  return problem.path.empty() ? text : fmt::format("{}: {}", text, problem.path);
}

class Reader {
public:
  Reader(const std::filesystem::path& file, const DocumentBounds& bounds)
      : file_(file), bounds_(bounds) {}

  ReadFile take() { return std::move(read_); }

  /// `line` is where the scenario stands in a file of one per line, else 0.
  void add(std::shared_ptr<const Node> document, const Node& node, std::string default_name,
           std::size_t line) {
    Scenario scenario;
    scenario.file = file_;
    scenario.line = line;
    scenario.bounds = bounds_;
    scenario.document = std::move(document);
    if (const auto problem = read_scenario(node, scenario)) {
      read_.problems.push_back({.code = ErrorCode::invalid_argument,
                                .message = problem->message,
                                .where = place(scenario, *problem)});
      return;
    }
    if (scenario.name.empty()) scenario.name = std::move(default_name);
    read_.scenarios.push_back(std::move(scenario));
  }

  void add_document(std::string_view text, Format format, std::size_t line) {
    auto parsed = policy::parse_document(text, format, file_bounds(bounds_));
    if (!parsed.ok()) return add_unreadable(parsed.error(), line);
    const auto document = std::make_shared<const Node>(std::move(*parsed));
    const std::string stem = file_.stem().string();
    const auto* list = document->as_sequence();
    if (!list) {
      return add(document, *document, line == 0 ? stem : fmt::format("{}:{}", stem, line), line);
    }
    for (std::size_t i = 0; i < list->size(); ++i)
      add(document, (*list)[i], fmt::format("{}[{}]", stem, i), line);
  }

  void add_lines(std::string_view text) {
    for (std::size_t line = 1; !text.empty(); ++line) {
      const std::string_view one = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(one.size() + 1, text.size()));
      if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      add_document(one, Format::json, line);
    }
  }

  void add_unreadable(const Error& error, std::size_t line) {
    Error problem = in_file(error, file_);
    if (line != 0) problem.where = fmt::format("{}:{}", shown_name(file_), line);
    read_.problems.push_back(std::move(problem));
  }

private:
  const std::filesystem::path& file_;
  const DocumentBounds& bounds_;
  ReadFile read_;
};

bool is_scenario_file(const std::filesystem::path& file) {
  const auto ending = file.extension();
  return ending == ".yaml" || ending == ".yml" || ending == ".json" || ending == ".ndjson";
}

}  // namespace

ReadFile read_scenarios(std::string_view text, const std::filesystem::path& file,
                        const DocumentBounds& bounds) {
  Reader reader(file, bounds);
  if (file.extension() == ".ndjson") {
    reader.add_lines(text);
  } else {
    reader.add_document(text, policy::format_of(file.string()).value_or(Format::yaml), 0);
  }
  return reader.take();
}

ReadFile read_scenarios(const std::filesystem::path& file, const DocumentBounds& bounds) {
  const auto text = read_document(file, file_bounds(bounds));
  if (!text.ok()) return {.scenarios = {}, .problems = {text.error()}};
  return read_scenarios(*text, file, bounds);
}

Result<std::vector<std::filesystem::path>> scenario_files(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code failed;
  if (!fs::is_directory(path, failed)) return std::vector{path};
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(path, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    if (entry->is_regular_file(failed) && is_scenario_file(entry->path()))
      files.push_back(entry->path());
  }
  if (failed)
    return Error{.code = ErrorCode::io_failed,
                 .message = fmt::format("cannot read the folder: {}", failed.message()),
                 .where = path.string()};
  std::sort(files.begin(), files.end());
  return files;
}

std::string call_text(const Step& step) {
  std::string text(step.call->name);
  text += '(';
  const char* separator = "";
  static const Node::Mapping none;
  for (const auto& [key, position, value] : step.arguments ? *step.arguments : none) {
    const std::string* plain = value.as_text();
    text += fmt::format("{}{}: {}", separator, key, plain ? *plain : node_text(value));
    separator = ", ";
  }
  return text + ')';
}

}  // namespace limitr::scenario
