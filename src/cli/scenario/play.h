// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <limitr/event.h>
#include "call/calls.h"
#include "cli/scenario/compare.h"
#include "cli/scenario/scenario.h"
#include "cli/scenario/session.h"

namespace limitr::scenario {

struct PlayOptions {
  bool compare = true;  ///< Off: expectations are not looked at, and every step is played.
  /// Calls check before each allow that is not forced, and compares what the two say: a decision
  /// must be the same whether it is committed or not.
  bool check_first = true;
  /// After every so many steps the engine is closed and opened again, as by the call `restart`; 0:
  /// never.
  std::size_t reopen_every = 0;
  /// Asked before each step: true ends the play there. May be empty.
  std::function<bool()> is_to_end = {};
};

/// A step that was played, for whoever looks on.
struct Played {
  const Step& step;
  const call::Answer& answer;
  const std::vector<Event>& events;
  const std::vector<std::string>& log;
};
using Observer = std::function<void(const Played&)>;

/// The first thing that was not as expected.
struct Failure {
  const Step* step = nullptr;  ///< Null: opening the engine, or the state at the end.
  Mismatch mismatch;           ///< `path` says what was compared: answer, events, state.
  /// A file that the scenario names and that cannot be read: then nothing was found out.
  std::optional<Error> unreadable = {};
};

/// Plays a scenario from its first step to the first that fails. Nothing: all is as expected.
/// `observer` may be empty.
std::optional<Failure> play(const Scenario& scenario, const PlayOptions& options,
                            const Observer& observer = {}, Keep keep = {});

/// The same on a session that is already open, for whoever wants the engine afterwards.
std::optional<Failure> play(Session& session, const Scenario& scenario, const PlayOptions& options,
                            const Observer& observer = {});

/// Whether a call failed because of a file that the scenario names, and no such failure is
/// expected.
bool is_unreadable(const Step& step, const call::Answer& answer);

/// What a call returned, for people: "true", "false (limit)", "120", "error: ...".
std::string answer_text(const call::Answer& answer);

}  // namespace limitr::scenario
