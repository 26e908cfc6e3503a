// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <limitr/decision.h>
#include <limitr/result.h>
#include "base/json_writer.h"
#include "core/decide.h"
#include "engine/arguments.h"
#include "state/customer.h"

namespace limitr::engine {

class Engine;
class Locked;

/// What is wrong with a request ID: it is too long or no UTF-8. None: it will do, as does the empty
/// one, which stands for none.
std::optional<Error> wrong_request(std::string_view id);

/// Forgets those requests of a locked customer, or of its draft, that `is_over` finds. A store
/// forgets up to a number: where one goes that an older one outlives, all that stay are numbered
/// anew, in their order. REQUIRES: as Once::remember().
void forget_requests(Locked& locked, state::CustomerRest& rest,
                     const std::function<bool(const state::RememberedRequest&)>& is_over);

/// A call that counts once under its request ID, if it has one: the answer to the first is kept
/// with the customer, and given to those that come again. Where it has none, nothing is kept or
/// computed. A method asks answer() when it has found its customer, and calls remember() where its
/// change is certain, under the same locks: nobody sees one without the other.
/// spec: state.md, Exactly once
class Once {
public:
  /// A call without an ID.
  Once() = default;
  /// The call `name` with these arguments, all but the customer. `request` must outlive this.
  template <typename... Arguments>
  Once(const Engine& engine, std::string_view request, std::string_view name,
       const Arguments&... arguments)
      : request_(request) {
    if (request.empty()) return;
    std::string call;
    JsonWriter json(call);
    write_arguments(json, name, arguments...);
    begin(engine, call);
  }

  bool has_request() const { return !request_.empty(); }

  /// The answer of a call that has nothing left to do, none where it goes on: that of one whose
  /// customer was not found, which is empty or false; and what repeated() says. Ends as
  /// Engine::finish() does then.
  /// Errors: invalid_argument, for an ID that is none; those of repeated().
  template <typename T>
  std::optional<Result<T>> answer(Locked& locked, bool found) const;
  /// The first answer, a decision marked as repeated, when the locked customer is remembered to
  /// have made this call; none when it is new.
  /// Errors: request_mismatch, when it was made with other arguments; record_invalid, when the
  /// answer was loaded and cannot be read.
  template <typename T>
  std::optional<Result<T>> repeated(const Locked& locked) const;

  /// Keeps the answer with the locked customer, or with its draft, and forgets what the policy's
  /// window and limit no longer keep. REQUIRES: Locked::before_change() was called, or a draft
  /// takes the customer's place.
  template <typename T>
  void remember(Locked& locked, const T& first) const {
    if (has_request()) keep(locked, to_json_text(first));
  }
  void remember(Locked& locked, const Decision& first) const {
    if (has_request()) keep(locked, to_json(first));
  }
  void remember(Locked& locked, const MeasuredMargin& first) const;

private:
  void begin(const Engine& engine, std::string_view call);
  void keep(Locked& locked, std::string answer) const;

  std::string_view request_;
  Timestamp now_;
  std::uint64_t fingerprint_ = 0;
};

/// allow() and its kin.
Once once_of(Engine& engine, const core::CallInput& input);

}  // namespace limitr::engine
