// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <limitr/policy.h>

namespace limitr::cli {

/// Prints them, one a line, or as JSON. Returns the exit code: 1 where there are any.
int show_differences(const std::vector<Difference>& differences, bool json);

}  // namespace limitr::cli
