// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <limitr/policy.h>

namespace limitr::fuzz {

/// What the three targets of policy documents run; the invariants are on top of its source.
void try_policy(std::string_view text, Format format);

}  // namespace limitr::fuzz
