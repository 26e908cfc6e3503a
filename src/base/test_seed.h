// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <system_error>

namespace limitr {

/// For tests only: the number in this environment variable, which asks for the long form of a test
/// or plays one again. Ends the program where it is no number: nothing else would tell that what
/// was asked for is not what runs.
inline std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const given = std::getenv(variable);
  if (given == nullptr) return otherwise;
  const std::string_view text = given;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) return number;
  std::fprintf(stderr, "%s=%s is no number\n", variable, given);
  std::exit(2);
}

/// For tests only: the seed in LIMITR_SEED, else a new one; printed, so that LIMITR_SEED plays it
/// again. What a test draws at random follows from this alone.
inline std::uint64_t printed_seed() {
  const std::uint64_t seed = number_from("LIMITR_SEED", std::random_device()());
  std::printf("LIMITR_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);  // Also where the test dies.
  return seed;
}

}  // namespace limitr
