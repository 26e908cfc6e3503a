// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace limitr::env {

/// IDs that are unique over engines: 64 random bits drawn once, and a count.
/// Threads: any.
class RandomIds {
public:
  RandomIds();
  std::string next();
  /// The random bits: one number for an engine.
  std::uint64_t engine() const { return engine_; }

private:
  std::uint64_t engine_;
  std::atomic<std::uint64_t> count_{0};
};

/// 128 random bits in hexadecimal: what no other call of this, anywhere, has ever returned.
std::string new_incarnation();

}  // namespace limitr::env
