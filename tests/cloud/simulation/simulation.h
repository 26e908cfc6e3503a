// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "servers.h"

namespace limitr::simulation {

/// What came of one run.
struct Report {
  std::vector<std::string> violations;  ///< Empty: all invariants held.
  std::uint64_t trace = 0;              ///< The same for every run of a seed.
  std::uint64_t answered = 0;           ///< Calls that were allowed.
  std::uint64_t at_home = 0;            ///< Of those, without asking.
  std::uint64_t denied = 0;
  std::uint64_t unknown = 0;  ///< Calls of which nobody knows.
  std::uint64_t crashes = 0;
};

/// Several engines, servers and a store, under faults drawn from the seed: the engines and the
/// servers' state are those of the program.
Report simulate(std::uint64_t seed, Bug bug = Bug::none);

}  // namespace limitr::simulation
