// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/session.h"

#include <array>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/json_writer.h"
#include "call/answers.h"
#include "call/shapes.h"
#include "call/time_text.h"
#include "cli/scenario/compare.h"
#include "cli/scenario/host.h"
#include "cli/scenario/text_file.h"

namespace limitr::scenario {
namespace {

constexpr std::array restart_takes = {call::Parameter{"customers_only", call::Kind::flag}};
// The engine knows no such call: make() is never called.
constexpr call::CallKind restart_call{"restart", restart_takes, nullptr, &call::load_report_shape};

// The arguments with one of them replaced by another text.
policy::Node::Mapping with_text(const call::Arguments& arguments, std::string_view name,
                                std::string_view text) {
  policy::Node::Mapping all = *arguments.mapping();
  for (policy::Node::Member& one : all)
    if (one.key == name) one.value.data = std::string(text);
  return all;
}

}  // namespace

const call::CallKind* find_call(std::string_view name) {
  return name == restart_call.name ? &restart_call : call::find_call(name);
}

// A snapshot may be large, but not larger than a machine.
constexpr std::size_t max_snapshot_bytes = std::size_t{4} << 30U;

/// The engine's clock: it stands still until the next step moves it.
class Session::StepClock : public Clock {
public:
  Timestamp now() const override { return timestamp_from_ms(now_ms_.load()); }
  void set(Timestamp now) { now_ms_.store(to_ms(now)); }

private:
  std::atomic<std::int64_t> now_ms_ = to_ms(call::first_moment());
};

/// What the engine said, for the step that made it say so.
struct Session::Recorder {
  std::mutex mutex;
  std::vector<Event> events;     // guarded by mutex
  std::vector<std::string> log;  // guarded by mutex
};

Session::Session(const Scenario& scenario, Keep keep)
    : scenario_(scenario),
      keep_(std::move(keep)),
      clock_(std::make_shared<StepClock>()),
      recorder_(std::make_shared<Recorder>()),
      host_(host_functions(scenario.host)) {
  if (!scenario.steps.empty()) clock_->set(scenario.steps.front().at);
}

Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::open(const Scenario& scenario, Keep keep) {
  std::unique_ptr<Session> session(new Session(scenario, std::move(keep)));
  auto text = session->policy_text(*scenario.policy);
  if (!text.ok()) return text.error();
  session->policy_ = std::move(*text);
  if (auto started = session->start(); !started.ok()) return started.error();
  if (!scenario.customers) return session;
  if (auto loaded = session->load(*scenario.customers); !loaded.ok()) return loaded.error();
  return session;
}

Result<void> Session::load(const policy::Node& customers) {
  const auto text = records(customers);
  if (!text.ok()) return text.error();
  const std::string* path = customers.as_text();
  const auto file = path ? scenario_.file.parent_path() / *path : scenario_.file;
  const auto loaded = engine_->load_customers(*text);
  if (!loaded.ok()) return in_file(loaded.error(), file);
  if (loaded->refused.empty()) return {};
  const auto& [id, refusal] = loaded->refused.front();
  Error error = refusal;
  if (!id.empty()) error.where = "customer " + id + (error.where.empty() ? "" : ": " + error.where);
  return in_file(std::move(error), file);
}

Options Session::options() const {
  Options options = engine_options(scenario_.options, scenario_.bounds);
  options.format = policy_.format;
  options.host = host_;
  options.store = keep_.store;
  options.shared = keep_.shared;
  options.clock = clock_;
  options.log = [recorder = recorder_](std::string_view message) {
    const std::lock_guard lock(recorder->mutex);
    recorder->log.emplace_back(message);
  };
  return options;
}

Result<void> Session::start() {
  auto opened = Limitr::open(std::string_view(policy_.text), options());
  if (!opened.ok()) return in_policy(opened.error(), policy_);
  engine_.emplace(std::move(*opened));
  engine_->add_handler("scenario", [recorder = recorder_](const Event& event) {
    const std::lock_guard lock(recorder->mutex);
    recorder->events.push_back(event);
  });
  return {};
}

Result<Session::PolicyText> Session::policy_text(const policy::Node& node) const {
  const std::string* path = node.as_text();
  // As text, not as a JSON value, which would lose the order of the document.
  if (!path) return PolicyText{node_text(node), Format::json, {}};
  const auto file = scenario_.file.parent_path() / *path;
  auto text = read_document(file, engine_options(scenario_.options, scenario_.bounds).bounds);
  if (!text.ok()) return text.error();
  return PolicyText{std::move(*text), policy::format_of(file.string()).value_or(Format::yaml),
                    file};
}

Error Session::in_policy(Error error, const PolicyText& policy) const {
  if (!policy.file.empty()) return in_file(std::move(error), policy.file);
  // It was written anew as JSON: the place in that text, "1:7" or "policy.plans (1:7)", says
  // nothing.
  if (error.where.ends_with(')')) error.where.resize(error.where.rfind(" ("));
  if (error.where.find_first_not_of("0123456789:") == std::string::npos) error.where.clear();
  return in_file(std::move(error), scenario_.file);
}

Result<std::string> Session::records(const policy::Node& node) const {
  const std::string* path = node.as_text();
  if (!path) return node_text(node);
  return read_text_file(scenario_.file.parent_path() / *path, max_snapshot_bytes);
}

void Session::set_time(Timestamp now) { clock_->set(now); }

std::string_view Session::hold(std::string_view label) const {
  const auto found = holds_.find(label);
  return found == holds_.end() ? label : std::string_view(found->second);
}

void Session::name_hold(std::string_view label, std::string id) {
  holds_.insert_or_assign(std::string(label), std::move(id));
}

call::Answer Session::make(const call::CallKind& kind, const call::Arguments& arguments) {
  if (&kind == &restart_call) return call::answer(restart(arguments.flag("customers_only")));
  if (kind.name == "set_policy") return call::answer(set_policy(*arguments.find("policy")));
  if (kind.name == "load_customers") {
    const auto text = records(*arguments.find("records"));
    return text.ok() ? call::answer(engine_->load_customers(*text)) : call::failed(text.error());
  }
  if (kind.name == "settle" || kind.name == "release") {
    const auto named = with_text(arguments, "hold", hold(arguments.text("hold")));
    return kind.make(*engine_, call::Arguments(&named, arguments.now()));
  }
  call::Answer made = kind.make(*engine_, arguments);
  const bool changes_policy =
      kind.name == "set_plan" || kind.name == "delete_plan" || kind.name == "set_notifications";
  // What runs is no longer what was opened.
  if (changes_policy && made.form != call::Answer::Form::failed)
    policy_ = {to_json_text(engine_->policy()), Format::json, {}};
  if (made.form == call::Answer::Form::text)
    return {.value = Json::parse(made.text, nullptr, false)};
  return made;
}

Result<std::uint64_t> Session::close() {
  auto closed = engine_->close();
  if (!closed.ok()) return closed;
  written_ += *closed;
  return written_;
}

Result<LoadReport> Session::restart(bool customers_only) {
  if (!keep_.store.empty()) {
    if (auto closed = close(); !closed.ok()) return std::move(closed).error();
    if (auto started = start(); !started.ok()) return started.error();
    return LoadReport{};
  }
  const auto snapshot = customers_only ? engine_->customers() : engine_->export_state();
  if (!snapshot.ok()) return snapshot.error();
  if (auto started = start(); !started.ok()) return started.error();
  return engine_->load_customers(*snapshot);
}

Result<void> Session::set_policy(const policy::Node& policy) {
  auto text = policy_text(policy);
  if (!text.ok()) return text.error();
  auto set = engine_->set_policy(text->text, text->format);
  if (!set.ok()) return in_policy(set.error(), *text);
  policy_ = std::move(*text);
  return {};
}

std::vector<Event> Session::take_events() {
  const std::lock_guard lock(recorder_->mutex);
  return std::exchange(recorder_->events, {});
}

std::vector<std::string> Session::take_log() {
  const std::lock_guard lock(recorder_->mutex);
  return std::exchange(recorder_->log, {});
}

}  // namespace limitr::scenario
