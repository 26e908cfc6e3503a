// SPDX-License-Identifier: Apache-2.0
// spec: decision.md, reservations.md
#include <array>

#include "call/answers.h"
#include "call/calls.h"
#include "call/shapes.h"

namespace limitr::call {
namespace {

constexpr Parameter id{"id", Kind::text, true};
constexpr Parameter entitlement{"entitlement", Kind::text, true};

constexpr std::array allow_takes = {
    id,
    entitlement,
    Parameter{"value", Kind::quantity},
    Parameter{"event", Kind::event},
    Parameter{"context", Kind::data},
    Parameter{"cap", Kind::caps},
    Parameter{"overhead", Kind::number},
    Parameter{"force", Kind::flag},
    Parameter{"request", Kind::text},
    Parameter{"detail", Kind::flag},
};
constexpr std::array set_takes = {
    id,
    entitlement,
    Parameter{"value", Kind::quantity, true},
    Parameter{"event", Kind::event},
    Parameter{"cap", Kind::caps},
    Parameter{"overhead", Kind::number},
    Parameter{"force", Kind::flag},
    Parameter{"request", Kind::text},
};
constexpr std::array increment_takes = {
    id,
    entitlement,
    Parameter{"event", Kind::event},
    Parameter{"context", Kind::data},
    Parameter{"cap", Kind::caps},
    Parameter{"overhead", Kind::number},
    Parameter{"force", Kind::flag},
    Parameter{"request", Kind::text},
    Parameter{"detail", Kind::flag},
};
constexpr std::array allow_many_takes = {Parameter{"calls", Kind::calls, true}};
constexpr std::array reserve_takes = {
    id,
    entitlement,
    Parameter{"value", Kind::quantity},
    Parameter{"context", Kind::data},
    Parameter{"basis", Kind::number},
    Parameter{"segment", Kind::text},
    Parameter{"ttl", Kind::quantity},
    Parameter{"quantile", Kind::number},
    Parameter{"overhead", Kind::number},
    Parameter{"request", Kind::text},
};
constexpr std::array settle_takes = {
    id,
    entitlement,
    Parameter{"hold", Kind::text, true},
    Parameter{"value", Kind::quantity, true},
    Parameter{"event", Kind::event},
    Parameter{"overhead", Kind::number},
    Parameter{"basis", Kind::number},
    Parameter{"segment", Kind::text},
    Parameter{"request", Kind::text},
};
constexpr std::array release_takes = {id, entitlement, Parameter{"hold", Kind::text, true},
                                      Parameter{"request", Kind::text}};
constexpr std::array held_takes = {id, entitlement};
constexpr std::array estimate_takes = {
    id,
    entitlement,
    Parameter{"basis", Kind::number},
    Parameter{"segment", Kind::text},
    Parameter{"quantile", Kind::number},
    Parameter{"context", Kind::data},
};
constexpr std::array observe_takes = {
    id,
    entitlement,
    Parameter{"value", Kind::quantity, true},
    Parameter{"overhead", Kind::number},
    Parameter{"basis", Kind::number},
    Parameter{"segment", Kind::text},
    Parameter{"context", Kind::data},
    Parameter{"request", Kind::text},
};

bool wants_event(const Arguments& a) {
  const policy::Node* event = a.find("event");
  return !event || !event->as_bool() || *event->as_bool();
}

CallOptions call_options(const Arguments& a) {
  CallOptions options;
  options.event = wants_event(a);
  options.event_data = a.data("event");
  if (!options.event_data) options.event_data = a.data("context");
  options.caps = a.caps("cap");
  options.overhead = a.maybe_number("overhead");
  options.force = a.flag("force");
  options.request = a.text("request");
  return options;
}

Answer allow(Limitr& engine, const Arguments& a) {
  return answer(
      engine.allow(a.text("id"), a.text("entitlement"), a.quantity("value"), call_options(a)));
}

Answer check(Limitr& engine, const Arguments& a) {
  return answer(
      engine.check(a.text("id"), a.text("entitlement"), a.quantity("value"), call_options(a)));
}

Answer set(Limitr& engine, const Arguments& a) {
  return answer(
      engine.set(a.text("id"), a.text("entitlement"), a.quantity("value"), call_options(a)));
}

template <auto method>
Answer by_increment(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id"), a.text("entitlement"), call_options(a)));
}

Answer allow_many(Limitr& engine, const Arguments& a) {
  std::vector<Call> calls;
  for (const policy::Node& node : *a.find("calls")->as_sequence()) {
    const Arguments one(node.as_mapping(), a.now());
    calls.push_back({.customer = one.text("id"),
                     .entitlement = one.text("entitlement"),
                     .value = one.quantity("value"),
                     .options = call_options(one)});
  }
  Json answers = Json::array();
  for (const Result<Decision>& decided : engine.allow_many(calls)) {
    if (!decided.ok()) {
      answers.push_back({{"error", decided.error().to_string()}});
    } else {
      answers.push_back(Json::parse(to_json(*decided), nullptr, false));
    }
  }
  return {.value = std::move(answers)};
}

Answer reserve(Limitr& engine, const Arguments& a) {
  ReserveOptions options;
  options.value = a.maybe_quantity("value");
  options.context = a.data("context");
  options.basis = a.maybe_number("basis");
  options.segment = a.maybe_text("segment");
  options.ttl = a.maybe_quantity("ttl");
  options.quantile = a.number("quantile", options.quantile);
  options.overhead = a.maybe_number("overhead");
  options.request = a.text("request");
  return answer(Answer::Form::hold, engine.reserve(a.text("id"), a.text("entitlement"), options));
}

Answer settle(Limitr& engine, const Arguments& a) {
  SettleOptions options;
  options.event = wants_event(a);
  options.event_data = a.data("event");
  options.overhead = a.maybe_number("overhead");
  options.basis = a.maybe_number("basis");
  options.segment = a.maybe_text("segment");
  options.request = a.text("request");
  return answer(engine.settle(a.text("id"), a.text("entitlement"), a.text("hold"),
                              a.quantity("value"), options));
}

Answer release(Limitr& engine, const Arguments& a) {
  return answer(
      engine.release(a.text("id"), a.text("entitlement"), a.text("hold"), change_options(a)));
}

Answer held(Limitr& engine, const Arguments& a) {
  return answer(engine.held(a.text("id"), a.text("entitlement")));
}

EstimateOptions estimate_options(const Arguments& a) {
  EstimateOptions options;
  options.basis = a.maybe_number("basis");
  options.segment = a.maybe_text("segment");
  options.context = a.data("context");
  options.quantile = a.number("quantile", options.quantile);
  options.overhead = a.maybe_number("overhead");
  options.request = a.text("request");
  return options;
}

Answer estimate(Limitr& engine, const Arguments& a) {
  const auto made = engine.estimate(a.text("id"), a.text("entitlement"), estimate_options(a));
  if (!made.ok()) return failed(made.error());
  const std::optional<Estimate>& found = *made;
  if (!found) return {};
  return {.value = {{"value", found->value},
                    {"overhead", found->overhead},
                    {"samples", found->samples},
                    {"source", found->source},
                    {"scope", found->scope}}};
}

Answer observe(Limitr& engine, const Arguments& a) {
  return answer(engine.observe(a.text("id"), a.text("entitlement"), a.quantity("value"),
                               estimate_options(a)));
}

constexpr std::array calls = {
    CallKind{"allow", allow_takes, allow, &decision_shape},
    CallKind{"check", allow_takes, check, &decision_shape},
    CallKind{"set", set_takes, set, &decision_shape},
    CallKind{"increment", increment_takes, by_increment<&Limitr::increment>, &decision_shape},
    CallKind{"decrement", increment_takes, by_increment<&Limitr::decrement>, &decision_shape},
    CallKind{"check_increment", increment_takes, by_increment<&Limitr::check_increment>,
             &decision_shape},
    CallKind{"check_decrement", increment_takes, by_increment<&Limitr::check_decrement>,
             &decision_shape},
    CallKind{"allow_many", allow_many_takes, allow_many, &decisions_shape},
    CallKind{"reserve", reserve_takes, reserve},
    CallKind{"settle", settle_takes, settle, &decision_shape},
    CallKind{"release", release_takes, release},
    CallKind{"held", held_takes, held},
    CallKind{"estimate", estimate_takes, estimate, &estimate_shape},
    CallKind{"observe", observe_takes, observe},
};

}  // namespace

std::span<const Parameter> allow_parameters() { return allow_takes; }
std::span<const CallKind> deciding_calls() { return calls; }

}  // namespace limitr::call
