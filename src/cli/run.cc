// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "cli/command.h"
#include "cli/scenario/play.h"
#include "cli/scenario/text_file.h"
#include "cli/scenario/time_text.h"
#include "cli/terminal.h"
#include "env/atomic_file.h"

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

/// Signals that ask the program to end wait until this is gone: a save is then whole or undone.
class SignalsWait {
public:
  SignalsWait() {
    sigset_t ending;
    sigemptyset(&ending);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&ending, signal);
    ::pthread_sigmask(SIG_BLOCK, &ending, &before_);
  }
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;
  ~SignalsWait() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
  sigset_t before_{};
};

Result<void> save(Session& session, const std::string& file) {
  const auto text = session.engine().export_state();
  if (!text.ok()) return text.error();
  const SignalsWait wait;
  return env::replace_file(file, *text);
}

/// Plays the steps and prints them: exit_fine, exit_negative where a call failed that should not,
/// exit_trouble where one could not read its file.
int play(Session& session, const Scenario& one, bool as_json) {
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
  static_cast<void>(scenario::play(session, one, {.compare = false}, [&](const Played& played) {
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
  const Scenario& one = read.scenarios.front();
  const auto session = Session::open(one);
  if (!session.ok()) return trouble(session.error().to_string());
  std::size_t refused = 0;
  if (!options.customers.empty()) {
    const auto loaded = load(**session, options.customers);
    if (!loaded.ok()) return trouble(loaded.error().to_string());
    refused = *loaded;
  }
  int code = play(**session, one, options.json);
  if (refused != 0) code = std::max<int>(code, exit_negative);
  if (options.save.empty()) return code;
  if (refused != 0) {
    trouble(fmt::format("{} was not saved: what was refused of {} would be missing", options.save,
                        scenario::shown_name(options.customers)));
    return code;
  }
  if (auto saved = save(**session, options.save); !saved.ok())
    return trouble(saved.error().to_string());
  return code;
}

}  // namespace limitr::cli
