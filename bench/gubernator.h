// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "harness.h"

// The comparator of what engines ask a server for: gubernator, a server that counts and is asked
// for each call, one of it, over loopback.
namespace limitr::bench {

/// A running gubernator, and a connection to it. It ends with this.
class Gubernator {
public:
  virtual ~Gubernator() = default;

  /// One call of one unit after the other. Microseconds of one, the median, and how many were
  /// allowed. Keys count by themselves under each `name`.
  virtual Sample time_one_by_one(const std::string& name, const std::vector<std::string>& keys,
                                 double limit) = 0;
  /// With `in_flight` calls on their way, as long as there are as many left: each answer makes the
  /// next one. Calls a second, and how many were allowed.
  virtual Sample time_in_flight(const std::string& name, const std::vector<std::string>& keys,
                                double limit, std::size_t in_flight) = 0;
};

/// Runs the program at that path. Defined where gRPC was found, by which it is spoken to.
std::unique_ptr<Gubernator> start_gubernator(const std::string& program);

}  // namespace limitr::bench
