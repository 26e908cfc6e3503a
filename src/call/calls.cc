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
  return make_call(engine, name, read_arguments(arguments), now);
}

Answer make_call(Limitr& engine, std::string_view name, const Result<policy::Node>& arguments,
                 Timestamp now) {
  const CallKind* call = find_call(name);
  if (!call) {
    return failed({.code = ErrorCode::invalid_argument,
                   .message = fmt::format("there is no call `{}`", name)});
  }
  if (!arguments.ok()) return failed(arguments.error());
  const policy::Node::Mapping* given = arguments->as_mapping();
  if (given == nullptr) {
    return failed({.code = ErrorCode::invalid_argument,
                   .message = fmt::format("expected the arguments of {} as an object, found {}",
                                          call->name, arguments->kind_name())});
  }
  if (auto problem = check_arguments(given, call->parameters, {}, std::string(call->name))) {
    return failed({.code = ErrorCode::invalid_argument,
                   .message = std::move(problem->message),
                   .where = std::move(problem->path)});
  }
  return call->make(engine, Arguments(given, now));
}

Result<policy::Node> read_arguments(std::string_view arguments) {
  if (arguments.empty()) return policy::Node{.data = policy::Node::Mapping()};
  auto read = policy::parse_document(arguments, Format::json, argument_bounds());
  if (read.ok()) return read;
  Error error = std::move(read).error();
  error.code = ErrorCode::invalid_argument;
  return error;
}

std::string customer_in(const Result<policy::Node>& arguments) {
  const policy::Node* id = arguments.ok() ? arguments->find("id") : nullptr;
  const std::string* text = id != nullptr ? id->as_text() : nullptr;
  return text != nullptr ? *text : std::string();
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
