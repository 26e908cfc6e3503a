// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace limitr::policy {

/// The one of `known` that `key` was probably meant to be, or empty: it is at most two letters
/// away, one where it is short. A letter too many, too few or wrong counts as one, and so do two
/// neighbours that changed places. Of equals the first. REQUIRES: known keys are shorter than 32.
std::string_view meant_by(std::string_view key, std::span<const std::string_view> known);

}  // namespace limitr::policy
