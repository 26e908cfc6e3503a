// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <limitr/decision.h>
#include <limitr/error.h>
#include <limitr/json.h>
#include <limitr/options.h>
#include "cli/scenario/arguments.h"

namespace limitr::scenario {

class Session;
struct Shape;

/// What a call of a scenario returned.
struct Answer {
  enum class Form : std::uint8_t {
    value,     ///< `value` holds it; null where there is none.
    nothing,   ///< The call succeeded, and has nothing to say.
    moment,    ///< `value` is in milliseconds, or null.
    decision,  ///< `decision` holds it.
    hold,      ///< `value` is a new hold's ID, or null.
    created,   ///< `value` is the ID of what was created, or null.
    failed,    ///< `error` holds why.
  };

  Form form = Form::value;
  Json value = {};
  std::optional<Decision> decision = {};
  std::optional<Error> error = {};
};

/// A call that a scenario can make.
struct CallKind {
  std::string_view name;
  std::span<const Parameter> parameters;
  Answer (*play)(Session& session, const Arguments& arguments);
  const Shape* answers = nullptr;  ///< What is known of its answer.
};

/// The call of that name, by the spec's name or one also accepted in scenarios; null if none.
const CallKind* find_call(std::string_view name);

/// What `allow` takes: also what each call of `allow_many` is made of.
std::span<const Parameter> allow_parameters();

// The calls, by the spec's chapters.
std::span<const CallKind> deciding_calls();
std::span<const CallKind> customer_calls();
std::span<const CallKind> pricing_calls();
std::span<const CallKind> reading_calls();
std::span<const CallKind> policy_calls();

}  // namespace limitr::scenario
