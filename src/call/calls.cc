// SPDX-License-Identifier: Apache-2.0
#include "call/calls.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "call/answers.h"
#include "policy/document.h"

namespace limitr::call {
namespace {

std::array<std::span<const CallKind>, 6> chapters() {
  return {deciding_calls(), customer_calls(), pricing_calls(),
          reading_calls(),  policy_calls(),   store_calls()};
}

// Arguments may hold records and snapshots: as large as whoever calls can make them.
DocumentBounds argument_bounds() {
  DocumentBounds bounds;
  bounds.max_bytes = std::size_t{4} << 30U;
  bounds.max_nodes = std::size_t{1} << 32U;
  return bounds;
}

}  // namespace

const CallKind* find_call(std::string_view name) {
  for (const auto chapter : chapters()) {
    for (const CallKind& call : chapter)
      if (call.name == name) return &call;
  }
  return nullptr;
}

std::string calls_text() {
  std::string text;
  JsonWriter out(text);
  out.begin_array();
  for (const auto chapter : chapters()) {
    for (const CallKind& call : chapter) {
      out.begin_object().field("name", call.name).key("parameters").begin_array();
      for (const Parameter& parameter : call.parameters) {
        out.begin_object()
            .field("name", parameter.name)
            .field("kind", kind_name(parameter.kind))
            .field("required", parameter.is_required)
            .end_object();
      }
      out.end_array().end_object();
    }
  }
  out.end_array();
  return text;
}

Answer make_call(Limitr& engine, std::string_view name, std::string_view arguments, Timestamp now) {
  const CallKind* call = find_call(name);
  if (!call) {
    return failed({.code = ErrorCode::invalid_argument,
                   .message = fmt::format("there is no call `{}`", name)});
  }
  policy::Node given{.data = policy::Node::Mapping()};
  if (!arguments.empty()) {
    auto read = policy::parse_document(arguments, Format::json, argument_bounds());
    if (!read.ok()) {
      Error error = std::move(read).error();
      error.code = ErrorCode::invalid_argument;
      return failed(std::move(error));
    }
    given = std::move(*read);
  }
  if (!given.as_mapping()) {
    return failed({.code = ErrorCode::invalid_argument,
                   .message = fmt::format("expected the arguments of {} as an object, found {}",
                                          call->name, given.kind_name())});
  }
  if (auto problem =
          check_arguments(given.as_mapping(), call->parameters, {}, std::string(call->name))) {
    return failed({.code = ErrorCode::invalid_argument,
                   .message = std::move(problem->message),
                   .where = std::move(problem->path)});
  }
  return call->make(engine, Arguments(given.as_mapping(), now));
}

std::string customer_in(std::string_view arguments) {
  const Json given = Json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  if (!given.is_object()) return {};
  const auto id = given.find("id");
  return id != given.end() && id->is_string() ? id->get<std::string>() : std::string();
}

std::string json_text(const Answer& answer) {
  switch (answer.form) {
    case Answer::Form::nothing: return "null";
    case Answer::Form::text: return answer.text;
    case Answer::Form::decision: return to_json(*answer.decision);
    default: return to_json_text(answer.value);
  }
}

}  // namespace limitr::call
