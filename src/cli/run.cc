// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/json_writer.h"
#include "cli/command.h"
#include "cli/scenario/play.h"
#include "cli/scenario/text_file.h"
#include "cli/scenario/time_text.h"
#include "cli/terminal.h"

namespace limitr::cli {
namespace {

using scenario::Answer;
using scenario::Arguments;
using scenario::Played;
using scenario::Scenario;
using scenario::Session;

constexpr std::size_t max_snapshot_bytes = std::size_t{4} << 30U;

std::string text_of(const std::optional<double>& number) {
  return number ? to_json_text(*number) : std::string();
}

/// The argument as it was written, or nothing.
std::string text_of(const Arguments& arguments, std::string_view name) {
  const policy::Node* found = arguments.find(name);
  if (!found) return "";
  return found->as_text() ? *found->as_text() : scenario::node_text(*found);
}

std::string who(const Arguments& arguments) {
  for (const char* name : {"id", "customer", "alt", "from"})
    if (std::string text = text_of(arguments, name); !text.empty()) return text;
  return "";
}

std::string what(const Arguments& arguments) {
  for (const char* name : {"entitlement", "topup", "cap", "plan", "credit", "name", "to"})
    if (std::string text = text_of(arguments, name); !text.empty()) return text;
  return "";
}

std::string short_answer(const Answer& answer) {
  if (!answer.decision) return scenario::answer_text(answer);
  const std::string text = answer.decision->allowed ? "allowed" : "denied";
  return answer.decision->repeated ? text + " (repeated)" : text;
}

std::string meter(const Decision& decision) {
  if (!decision.value) return "";
  const std::string limit = decision.limit ? text_of(decision.limit) : "-";
  return fmt::format("{}/{}", text_of(decision.value), limit);
}

std::vector<std::string> cells(const Played& played) {
  const Arguments arguments(played.step.arguments, played.step.at);
  const Decision decision = played.answer.decision.value_or(Decision{});
  return {scenario::iso_text(played.step.at),
          std::string(played.step.call->name),
          who(arguments),
          what(arguments),
          text_of(arguments, "value"),
          short_answer(played.answer),
          decision.reason ? std::string(to_string(*decision.reason)) : "",
          meter(decision),
          text_of(decision.remaining)};
}

void write(JsonWriter& out, const Answer& answer) {
  if (answer.decision) {
    out.key("decision").raw(to_json(*answer.decision));
  } else if (answer.error) {
    out.key("error").begin_object();
    out.field("code", to_string(answer.error->code)).field("message", answer.error->message);
    out.field("where", answer.error->where).end_object();
  } else if (answer.form == Answer::Form::nothing) {
    out.field("answer", true);
  } else {
    out.field("answer", answer.value);
  }
}

void write(JsonWriter& out, const Played& played) {
  out.begin_object().field("at", played.step.at).field("call", played.step.call->name);
  out.key("args").begin_object();
  static const policy::Node::Mapping none;
  for (const auto& [key, position, value] : played.step.arguments ? *played.step.arguments : none)
    out.key(key).raw(scenario::node_text(value));
  out.end_object();
  write(out, played.answer);
  out.key("events").begin_array();
  for (const Event& event : played.events)
    out.begin_object().field("type", event.type).key("payload").raw(event.payload).end_object();
  out.end_array().end_object();
}

Result<void> load(Session& session, const std::string& file) {
  const auto text = scenario::read_text_file(file, max_snapshot_bytes);
  if (!text.ok()) return text.error();
  const auto loaded = session.engine().load_customers(*text);
  if (!loaded.ok()) return loaded.error();
  for (const auto& [id, error] : loaded->refused)
    fmt::print(stderr, "limitr: {}: customer {} was refused: {}\n", file, id, error.to_string());
  for (const auto& [customer, entitlement] : loaded->unmapped)
    fmt::print(stderr, "limitr: {}: customer {} has a meter `{}` that no plan has today\n", file,
               customer, entitlement);
  return {};
}

Result<void> save(Session& session, const std::string& file) {
  const auto text = session.engine().export_state();
  if (!text.ok()) return text.error();
  return scenario::write_text_file(file, *text);
}

/// Plays the steps and prints them. True: no call failed that should not.
bool play(Session& session, const Scenario& one, bool as_json) {
  Table table({{"time"},
               {"call"},
               {"customer"},
               {"entitlement"},
               {"value", true},
               {"answer"},
               {"reason"},
               {"meter", true},
               {"remaining", true}});
  std::string json;
  JsonWriter out(json);
  out.begin_array();
  bool all_answered = true;
  static_cast<void>(scenario::play(session, one, {.compare = false}, [&](const Played& played) {
    if (played.answer.error && played.step.error.empty()) all_answered = false;
    as_json ? write(out, played) : table.add(cells(played));
  }));
  out.end_array();
  fmt::print("{}", as_json ? json + "\n" : table.text(Style()));
  return all_answered;
}

}  // namespace

int run(const RunOptions& options) {
  const scenario::ReadFile read = scenario::read_scenarios(options.file);
  for (const Error& problem : read.problems) trouble(problem.to_string());
  if (!read.problems.empty()) return exit_trouble;
  if (read.scenarios.size() != 1)
    return trouble(fmt::format("{}: holds {} scenarios, and run plays one", options.file,
                               read.scenarios.size()));
  const Scenario& one = read.scenarios.front();
  const auto session = Session::open(one);
  if (!session.ok()) return trouble(session.error().to_string());
  if (!options.customers.empty())
    if (auto loaded = load(**session, options.customers); !loaded.ok())
      return trouble(loaded.error().to_string());
  const bool all_answered = play(**session, one, options.json);
  if (!options.save.empty())
    if (auto saved = save(**session, options.save); !saved.ok())
      return trouble(saved.error().to_string());
  return all_answered ? exit_fine : exit_negative;
}

}  // namespace limitr::cli
