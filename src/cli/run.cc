// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/time_text.h"
#include "cli/command.h"
#include "cli/scenario/play.h"
#include "cli/scenario/text_file.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "env/atomic_file.h"

namespace limitr::cli {
namespace {

using call::Answer;
using call::Arguments;
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
  return {call::iso_text(played.step.at),
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

/// Loads a snapshot. Each record that was refused is named; the answer is how many there were.
Result<std::size_t> load(Session& session, const std::string& file) {
  const std::string name = scenario::shown_name(file);
  const auto text = scenario::read_text_file(file, max_snapshot_bytes);
  if (!text.ok()) return text.error();
  const auto loaded = session.engine().load_customers(*text);
  if (!loaded.ok()) return scenario::in_file(loaded.error(), file);
  for (const auto& [id, error] : loaded->refused) {
    // Without an ID it is the text itself that could not be read on.
    const std::string what = id.empty() ? "the rest" : "customer " + id;
    trouble(fmt::format("{}: {} was refused: {}", name, what, error.to_string()));
  }
  for (const auto& [customer, entitlement] : loaded->unmapped) {
    trouble(fmt::format("{}: customer {} has a meter `{}` that no plan has today", name, customer,
                        entitlement));
  }
  return loaded->refused.size();
}

Result<void> save(Session& session, const std::string& file) {
  const auto text = session.engine().export_state();
  if (!text.ok()) return text.error();
  const SignalsWait wait;
  return env::replace_file(file, *text);
}

/// Plays the steps and prints them: exit_fine, exit_negative where a call failed that should not,
/// exit_trouble where one could not read its file.
int play(Session& session, const Scenario& one, bool as_json, bool on_store) {
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
  int code = exit_fine;
  scenario::PlayOptions how{.compare = false};
  if (on_store) how.is_to_end = SignalsWait::is_asked_to_end;
  static_cast<void>(scenario::play(session, one, how, [&](const Played& played) {
    if (scenario::is_unreadable(played.step, played.answer)) {
      code = trouble(played.answer.error->to_string());
    } else if (played.answer.error && played.step.error.empty()) {
      code = std::max<int>(code, exit_negative);
    }
    as_json ? write(out, played) : table.add(cells(played));
  }));
  out.end_array();
  if (as_json) {
    print("{}\n", json);
  } else {
    print("{}", table.text(Style()));
  }
  return code;
}

/// How many records were refused of the file, if one is named.
Result<std::size_t> load_customers(Session& session, const std::string& file) {
  if (file.empty()) return std::size_t{0};
  return load(session, file);
}

/// Saves where that is wanted, but not when a record was refused that would be missing then.
int save_unless_refused(Session& session, const RunOptions& options, std::size_t refused) {
  if (options.save.empty()) return refused == 0 ? exit_fine : exit_negative;
  if (refused != 0) {
    trouble(fmt::format("{} was not saved: what was refused of {} would be missing", options.save,
                        scenario::shown_name(options.customers)));
    return exit_negative;
  }
  if (auto saved = save(session, options.save); !saved.ok())
    return trouble(saved.error().to_string());
  return exit_fine;
}

/// Opens the scenario, loads, plays, and saves where that is wanted.
int play_and_save(const Scenario& one, const RunOptions& options) {
  const auto session = Session::open(one);
  if (!session.ok()) return trouble(session.error().to_string());
  const auto refused = load_customers(**session, options.customers);
  if (!refused.ok()) return trouble(refused.error().to_string());
  const int code = play(**session, one, options.json, false);
  return std::max(code, save_unless_refused(**session, options, *refused));
}

/// The same on a store. Who wants us to end gets what was played until then written out, and told.
int play_on_store(const Scenario& one, const RunOptions& options) {
  const SignalsWait wait;
  const auto session = Session::open(one, {.store = options.store});
  if (!session.ok()) return trouble(session.error().to_string());
  const auto refused = load_customers(**session, options.customers);
  if (!refused.ok()) return trouble(refused.error().to_string());
  const int played = play(**session, one, options.json, true);
  const int code = std::max(played, save_unless_refused(**session, options, *refused));
  const auto written = (*session)->close();
  if (!written.ok()) return trouble(written.error().to_string());
  std::fflush(stdout);
  print_to(stderr, "limitr: {} record{} written to {}\n", *written, *written == 1 ? "" : "s",
           options.store);
  return code;
}

}  // namespace

int run(const RunOptions& options) {
  const scenario::ReadFile read = scenario::read_scenarios(options.file, options.bounds);
  for (const Error& problem : read.problems) trouble(problem.to_string());
  if (!read.problems.empty()) return exit_trouble;
  if (read.scenarios.size() != 1)
    return trouble(fmt::format("{}: holds {} scenarios, and run plays one",
                               scenario::shown_name(options.file), read.scenarios.size()));
  if (!options.save.empty())
    if (auto can = env::check_replaceable(options.save); !can.ok())
      return trouble(can.error().to_string());
  return options.store.empty() ? play_and_save(read.scenarios.front(), options)
                               : play_on_store(read.scenarios.front(), options);
}

}  // namespace limitr::cli
