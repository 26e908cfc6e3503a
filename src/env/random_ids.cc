// SPDX-License-Identifier: Apache-2.0
#include "env/random_ids.h"

#include <random>

#include <fmt/format.h>

namespace limitr::env {

RandomIds::RandomIds() {
  std::random_device device;
  engine_ = (std::uint64_t{device()} << 32U) | device();
}

std::string RandomIds::next() {
  return fmt::format("{:016x}-{:x}", engine_, count_.fetch_add(1, std::memory_order_relaxed));
}

std::string new_incarnation() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

}  // namespace limitr::env
