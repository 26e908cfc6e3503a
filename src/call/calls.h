// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <limitr/decision.h>
#include <limitr/error.h>
#include <limitr/json.h>
#include <limitr/limitr.h>
#include <limitr/result.h>
#include "call/arguments.h"
#include "policy/document.h"

namespace limitr::call {

struct Shape;

/// What a call returned.
struct Answer {
  enum class Form : std::uint8_t {
    value,     ///< `value` holds it; null where there is none.
    text,      ///< `text` holds it, as the engine wrote it: JSON.
    nothing,   ///< The call succeeded, and has nothing to say.
    moment,    ///< `value` is in milliseconds, or null.
    decision,  ///< `decision` holds it.
    hold,      ///< `value` is a new hold's ID, or null.
    created,   ///< `value` is the ID of what was created, or null.
    failed,    ///< `error` holds why.
  };

  Form form = Form::value;
  Json value = {};
  std::string text = {};
  std::optional<Decision> decision = {};
  std::optional<Error> error = {};
};

/// A call that can be made by its name.
struct CallKind {
  std::string_view name;
  std::span<const Parameter> parameters;
  /// REQUIRES: check_arguments() found the arguments good.
  Answer (*make)(Limitr& engine, const Arguments& arguments);
  const Shape* answers = nullptr;  ///< What is known of its answer.
};

/// The call of that name, by the spec's name or another that is accepted for it; null if none.
const CallKind* find_call(std::string_view name);
/// All of them, as JSON: a list of {name, parameters: [{name, kind, required}]}.
std::string calls_text();
/// Makes the call of that name with arguments that are a JSON object, or empty for none.
/// `now` is what relative times count from. Errors: invalid_argument (no such call, or an argument
/// that it does not take; `where` is the argument's path), and the call's own.
Answer make_call(Limitr& engine, std::string_view name, std::string_view arguments, Timestamp now);
/// The same with arguments that read_arguments() has read.
Answer make_call(Limitr& engine, std::string_view name, const Result<policy::Node>& arguments,
                 Timestamp now);
/// Errors: invalid_argument: they are no JSON.
Result<policy::Node> read_arguments(std::string_view arguments);
/// The customer that arguments name as `id`; empty: none.
std::string customer_in(const Result<policy::Node>& arguments);
/// The answer as JSON text: a decision is the whole object, what has nothing to say is null.
/// REQUIRES: it did not fail.
std::string json_text(const Answer& answer);

/// What `allow` takes: also what each call of `allow_many` is made of.
std::span<const Parameter> allow_parameters();

// The calls, by the spec's chapters.
std::span<const CallKind> deciding_calls();
std::span<const CallKind> customer_calls();
std::span<const CallKind> pricing_calls();
std::span<const CallKind> reading_calls();
std::span<const CallKind> policy_calls();
std::span<const CallKind> store_calls();

}  // namespace limitr::call
