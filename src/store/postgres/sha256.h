// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace limitr::store::postgres {

/// SHA-256 (FIPS 180-4) as 64 hex digits.
std::string sha256(std::string_view text);

}  // namespace limitr::store::postgres
