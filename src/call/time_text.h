// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <limitr/result.h>
#include <limitr/time.h>
#include "policy/document.h"

// Times as people write them in scenario files.
namespace limitr::call {

/// What the clock shows before the first step, where that step names no time of its own.
Timestamp first_moment();

/// A moment: milliseconds, an ISO date or date and time (UTC), or `+1h` and `-90s` counted from
/// `before`. Several parts may follow each other: `+1d12h`. Errors: invalid_argument.
Result<Timestamp> moment(const policy::Node& node, Timestamp before);

/// The same for text alone.
Result<Timestamp> moment(std::string_view text, Timestamp before);

/// "2026-03-01T00:00:00Z", with milliseconds only where there are any.
std::string iso_text(Timestamp moment);

}  // namespace limitr::call
