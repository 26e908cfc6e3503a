// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <limitr/decision.h>
#include <limitr/error.h>
#include <limitr/options.h>
#include <limitr/value.h>
#include "core/caps.h"
#include "core/estimates.h"
#include "core/ids.h"
#include "core/resolve.h"
#include "state/changes.h"
#include "state/family.h"

namespace limitr::core {

/// The hold that a forced call settles, and what it is learned by. spec: reservations.md
struct Settlement {
  std::string_view hold;
  std::optional<double> basis;
  std::optional<std::string> segment;
};

/// One call, and everything outside policy and state that its decision rests on.
struct CallInput {
  EntitlementKey entitlement;
  Value value = 0;
  /// Plus or minus the limit's increment in place of `value`; 0: `value`.
  int increments = 0;
  bool value_is_target = false;          ///< `value` is what the meter is to come to.
  const CallOptions* options = nullptr;  ///< REQUIRES: not null.
  bool wants_events = false;             ///< Somebody listens: Outcome::events is filled in.
  const Settlement* settles = nullptr;   ///< Null: an ordinary call.
  Timestamp now;
  std::optional<double> host_overhead;  ///< What the credit's cost function returned.
  std::span<const double> rates;        ///< What the policy's rate functions returned.
};

/// What a call's events say besides who and what. Numbers are not rounded yet.
struct CallEvents {
  enum class Main : std::uint8_t { none, changed, overage, limit, governed, cap };

  struct Crossing {
    state::Family::Index holder = state::Family::caller;
    bool call_scoped = false;
    state::Cap cap;
  };

  Main main = Main::none;
  bool reset = false;          ///< meter-reset goes before it.
  bool shows_grants = false;   ///< grant_value_applied is on the event,
  bool shows_overage = false;  ///< and so is overage.
  double old = 0;              ///< The meter's stored value before the call.
  double value = 0;
  double limit = 0;
  double diff = 0;
  double overhead = 0;  ///< Of the meter, after.
  double overhead_diff = 0;
  std::optional<double> price_diff;
  double overage = 0;
  double grant_value_applied = 0;
  std::optional<double> overage_price;
  double tokens = 0;
  double capacity = 0;
  std::optional<Crossing> cap;                    ///< The cap that denied.
  std::vector<Crossing> crossings;                ///< Caps that reached their ceiling.
  std::vector<state::Family::Index> cap_holders;  ///< Others whose caps moved.
};

/// What a settled call teaches about calls of its kind.
struct Lesson {
  Sample sample;  ///< Where it is not usable, nothing is learned.
  double value = 0;
  double overhead = 0;
};

/// What decide() makes of a call, beside its answer.
struct Outcome {
  Outcome(const policy::Policy& policy, const state::Family& family, const CallInput& input)
      : target(resolve(policy, family, input.entitlement, input.now)) {}

  std::optional<Error> error;  ///< Set: the call is wrong as it stands; nothing else counts.
  Target target;
  /// What looking at caps, grants and overrides has brought up to date: applied whatever the
  /// answer, also after a check, and before `changes`.
  state::Moves upkeep;
  /// What the call itself changes. After a denial: a period that began, no more.
  state::Changes changes;
  std::unique_ptr<CallEvents> events;  ///< Only when they are wanted.
  std::unique_ptr<Lesson> lesson;      ///< Only when a hold was settled.
};

/// Decides one call. Changes nothing: check and allow are this function, and differ in what is
/// done with the outcome. The same input gives the same output, bit for bit. spec: decision.md
///
/// The answer is written to `decision`, where the caller wants it: to move it there would take a
/// tenth of the call. REQUIRES: a Decision() as it was made.
Outcome decide(const policy::Policy& policy, const state::Family& family, const CallInput& input,
               IdSource& ids, Decision& decision);

/// The units that a governor's bucket holds now. spec: decision.md, step 9
double governor_tokens(const Limit& limit, const state::MeterExtra* extra, bool period_began,
                       Timestamp now);

/// The unexpired holds on a meter, added up.
struct HeldRoom {
  double value = 0;
  double overhead = 0;
};
HeldRoom held_room(const state::MeterExtra* extra, Timestamp now);
/// What others may have used of a customer's meter or cap, and have not reported yet: the room of
/// lost engines, and of the home where that is another engine.
double doubted(const state::Customer& owner, Symbol entitlement);
double doubted_of_cap(const state::Customer& holder, const state::Cap& cap);

/// A meter that starts its first period.
inline state::Meter new_meter(Symbol entitlement, Symbol credit, Timestamp started) {
  return {.entitlement = entitlement, .credit = credit, .started = started};
}

}  // namespace limitr::core
