// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "child.h"
#include "harness.h"

namespace limitr::bench {

/// What processes that share a store do together: calls for random ones of some customers, half of
/// them each.
struct SharedCalls {
  std::size_t customers = 0;
  std::size_t calls = 0;
  std::size_t in_flight = 0;  ///< Of each process.
  double limit = 0;
};

/// Two processes with an engine each, which share a store, or a Cloud server, and call at the same
/// time.
class Sharers {
public:
  /// `url`: as of engine_at() or of cloud_engine_at().
  Sharers(const std::string& url, const SharedCalls& work);

  /// Calls a second, and how many were allowed.
  Sample call();
  /// Closes their engines; whether they ended well.
  bool finish();

private:
  const std::size_t calls_;
  std::vector<std::unique_ptr<Child>> children_;
};

}  // namespace limitr::bench
