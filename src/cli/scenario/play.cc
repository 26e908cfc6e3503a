// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/play.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"

namespace limitr::scenario {
namespace {

using policy::Node;

Json event_json(const Event& event) {
  Json json = Json::parse(event.payload, nullptr, false);
  if (!json.is_object()) json = Json::object();
  json["type"] = event.type;
  return json;
}

std::string types(const std::vector<Event>& events) {
  std::string text;
  for (const Event& event : events) text += (text.empty() ? "" : ", ") + event.type;
  return text.empty() ? "no event" : text;
}

std::string types(const Node::Sequence& events) {
  std::string text;
  for (const Node& event : events)
    text += (text.empty() ? "" : ", ") + *event.find("type")->as_text();
  return text.empty() ? "no event" : text;
}

std::optional<Mismatch> compare_events(const Node::Sequence& expected,
                                       const std::vector<Event>& events) {
  // Their types first: one event too many would otherwise show as a difference in each field.
  const std::string wanted = types(expected);
  if (const std::string got = types(events); got != wanted) return Mismatch{"events", wanted, got};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Json got = event_json(events[i]);
    const std::string path = fmt::format("events[{}] {}", i, events[i].type);
    if (auto found = compare(expected[i], &got, &call::event_shape, path)) return found;
  }
  return std::nullopt;
}

std::optional<Mismatch> compare_decision(const Node& expected, const Decision& decision) {
  const Json whole = Json::parse(to_json(decision), nullptr, false);
  if (expected.as_mapping()) return compare(expected, &whole, &call::decision_shape, "decision");
  if (expected.as_bool() && *expected.as_bool() == decision.allowed) return std::nullopt;
  return Mismatch{"answer", node_text(expected),
                  answer_text({.form = call::Answer::Form::decision, .decision = decision})};
}

/// An answer that is an ID: true and false say whether there is one.
std::optional<Mismatch> compare_id(const Node& expected, const call::Answer& answer) {
  const bool is_there = !answer.value.is_null();
  if (const bool* wanted = expected.as_bool(); wanted && *wanted == is_there) return std::nullopt;
  if (answer.form == call::Answer::Form::hold && expected.as_text() && is_there)
    return std::nullopt;
  return compare(expected, &answer.value, nullptr, "answer");
}

bool is_true_or_nothing(const Node& expected) {
  return expected.is_null() || (expected.as_bool() && *expected.as_bool());
}

std::optional<Mismatch> compare_answer(const Step& step, const call::Answer& answer) {
  const Node& expected = *step.expect;
  switch (answer.form) {
    case call::Answer::Form::decision: return compare_decision(expected, *answer.decision);
    case call::Answer::Form::hold:
    case call::Answer::Form::created: return compare_id(expected, answer);
    case call::Answer::Form::moment: return compare(expected, &answer.value, nullptr, "resets");
    case call::Answer::Form::text:  // Session::make() has made a value of it.
    case call::Answer::Form::value:
      return compare(expected, &answer.value, step.call->answers, "answer");
    case call::Answer::Form::nothing:
      if (is_true_or_nothing(expected)) return std::nullopt;
      return Mismatch{"answer", node_text(expected), "true"};
    case call::Answer::Form::failed: break;
  }
  // Nobody is on no plan: where a plan is missing, nothing is created.
  const bool* wanted = expected.as_bool();
  if (wanted && !*wanted && answer.error->code == ErrorCode::no_plan) return std::nullopt;
  return Mismatch{"answer", node_text(expected), answer_text(answer)};
}

std::optional<Mismatch> compare_step(const Step& step, const call::Answer& answer,
                                     const std::vector<Event>& events) {
  const bool failed = answer.form == call::Answer::Form::failed;
  if (!step.error.empty()) {
    if (!failed || answer.error->to_string().find(step.error) == std::string::npos)
      return Mismatch{"answer", "error: " + step.error, answer_text(answer)};
  } else if (step.expect) {
    if (auto found = compare_answer(step, answer)) return found;
  } else if (failed) {
    return Mismatch{"answer", "no error", answer_text(answer)};
  }
  return step.events ? compare_events(*step.events->as_sequence(), events) : std::nullopt;
}

/// The call that decides the same and commits nothing, where there is one.
const call::CallKind* checking(const call::CallKind& call) {
  if (call.name == "allow") return find_call("check");
  if (call.name == "increment") return find_call("check_increment");
  if (call.name == "decrement") return find_call("check_decrement");
  return nullptr;
}

class Player {
public:
  Player(Session& session, const Scenario& scenario, const PlayOptions& options,
         const Observer& observer)
      : session_(session), scenario_(scenario), options_(options), observer_(observer) {}

  std::optional<Failure> play() {
    for (const Step& step : scenario_.steps) {
      if (options_.is_to_end && options_.is_to_end()) return std::nullopt;
      auto found = play_step(step);
      if (!found) found = reopen_after(step);
      if (found) return Failure{&step, std::move(*found), std::move(unreadable_)};
    }
    if (!options_.compare || !scenario_.state) return std::nullopt;
    auto found = compare_end();
    return found ? std::optional(Failure{nullptr, std::move(*found)}) : std::nullopt;
  }

private:
  std::optional<Mismatch> play_step(const Step& step) {
    session_.set_time(step.at);
    const call::Arguments arguments(step.arguments, step.at);
    const std::optional<call::Answer> checked = check_first(step, arguments);
    const call::Answer answer = session_.make(*step.call, arguments);
    const std::vector<Event> events = session_.take_events();
    const std::vector<std::string> log = session_.take_log();
    if (answer.form == call::Answer::Form::hold && step.expect && step.expect->as_text() &&
        answer.value.is_string())
      session_.name_hold(*step.expect->as_text(), answer.value.get<std::string>());
    if (observer_) observer_({step, answer, events, log});
    if (!options_.compare) return std::nullopt;
    if (is_unreadable(step, answer)) unreadable_ = answer.error;
    if (auto found = compare_step(step, answer, events)) return found;
    return checked ? compare_check(*checked, answer) : std::nullopt;
  }

  std::optional<Mismatch> reopen_after(const Step& step) {
    if (options_.reopen_every == 0 || step.number % options_.reopen_every != 0) return std::nullopt;
    const auto reopened = session_.restart(/*customers_only=*/false);
    if (reopened.ok()) return std::nullopt;
    return Mismatch{"opening again after it", "no error", reopened.error().to_string()};
  }

  /// Forced calls are not checked: check call::knows no force. Nor is anything where the host
  /// answers in turn, since check would take a turn of its own.
  std::optional<call::Answer> check_first(const Step& step, const call::Arguments& arguments) {
    const call::CallKind* check = checking(*step.call);
    if (!options_.compare || !options_.check_first || !check) return std::nullopt;
    if (scenario_.host || arguments.flag("force") || !arguments.text("request").empty())
      return std::nullopt;
    return session_.make(*check, arguments);
  }

  static std::optional<Mismatch> compare_check(const call::Answer& checked,
                                               const call::Answer& answer) {
    const bool same =
        checked.form == answer.form && (checked.form != call::Answer::Form::decision ||
                                        checked.decision->allowed == answer.decision->allowed);
    if (same) return std::nullopt;
    return Mismatch{"check before it", answer_text(answer), answer_text(checked)};
  }

  std::optional<Mismatch> compare_end() {
    Json snapshot;
    if (auto found = take(snapshot)) return found;
    bring_grants_up_to_date(snapshot);
    if (auto found = take(snapshot)) return found;
    const Timestamp now = scenario_.steps.empty() ? Timestamp{} : scenario_.steps.back().at;
    prepare_state(snapshot, static_cast<double>(to_ms(now)));
    return compare_state(*scenario_.state, snapshot);
  }

  std::optional<Mismatch> take(Json& snapshot) {
    const auto text = session_.engine().customers();
    if (!text.ok()) return Mismatch{"state", "a snapshot", text.error().to_string()};
    snapshot = Json::parse(*text, nullptr, false);
    if (!snapshot.is_discarded()) return std::nullopt;
    return Mismatch{"state", "a snapshot", "text that is no JSON"};
  }

  /// A state is expected as it is after every grant was looked at.
  void bring_grants_up_to_date(const Json& snapshot) {
    for (const auto& [id, customer] : snapshot.items()) {
      const auto grants = customer.find("grants");
      if (grants == customer.end() || grants->empty()) continue;
      const std::string credit = grants->front().value("credit", "rune");
      // What it returns does not matter: the state is compared next.
      static_cast<void>(session_.engine().credit_remaining(id, credit));
    }
  }

  Session& session_;
  const Scenario& scenario_;
  const PlayOptions& options_;
  const Observer& observer_;
  std::optional<Error> unreadable_;
};

}  // namespace

std::optional<Failure> play(Session& session, const Scenario& scenario, const PlayOptions& options,
                            const Observer& observer) {
  return Player(session, scenario, options, observer).play();
}

std::optional<Failure> play(const Scenario& scenario, const PlayOptions& options,
                            const Observer& observer, Keep keep) {
  const auto session = Session::open(scenario, std::move(keep));
  if (!session.ok()) {
    const Error& error = session.error();
    Failure failure{nullptr, {"opening the engine", "no error", error.to_string()}};
    if (error.code == ErrorCode::io_failed) failure.unreadable = error;
    return failure;
  }
  return play(**session, scenario, options, observer);
}

bool is_unreadable(const Step& step, const call::Answer& answer) {
  // The engine itself opens no file.
  return step.error.empty() && answer.error && answer.error->code == ErrorCode::io_failed;
}

std::string answer_text(const call::Answer& answer) {
  switch (answer.form) {
    case call::Answer::Form::nothing: return "true";
    case call::Answer::Form::failed: return "error: " + answer.error->to_string();
    case call::Answer::Form::decision: {
      const Decision& decision = *answer.decision;
      std::string text = decision.allowed ? "true" : "false";
      if (decision.reason) text += fmt::format(" ({})", to_string(*decision.reason));
      return decision.repeated ? text + " (repeated)" : text;
    }
    default:
      return answer.value.is_string() ? answer.value.get<std::string>()
                                      : to_json_text(answer.value);
  }
}

}  // namespace limitr::scenario
