// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// What the targets share. A target is one file: it takes any bytes through
// LLVMFuzzerTestOneInput, and names on its top the invariants that no input may break.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace limitr::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Ends the process where an invariant does not hold, and says what broke it. Not an assertion:
/// release builds replay the inputs too.
inline void require(bool holds, std::string_view invariant, std::string_view found = {}) {
  if (holds) return;
  std::fprintf(stderr, "broken: %.*s\n", static_cast<int>(invariant.size()), invariant.data());
  if (!found.empty()) {
    std::fprintf(stderr, "found: %.*s\n", static_cast<int>(found.size()), found.data());
  }
  std::abort();
}

}  // namespace limitr::fuzz
