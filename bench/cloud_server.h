// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <limitr/limitr.h>

#include "child.h"
#include "folder.h"
#include "harness.h"

namespace limitr::bench {

/// A `limitr serve` on this machine, in a process of its own, from the program beside this one. It
/// ends with this.
class CloudServer {
public:
  /// Serves the data set's policy, with that limit, and what the store has.
  CloudServer(const std::string& store, double limit);

  /// For cloud_engine_at().
  const std::string& url() const { return url_; }
  Limitr engine() const;
  /// Puts the data set's policy with another limit in force, as an operator does.
  void push(double limit);
  /// How many requests engines have sent so far, without those that keep a lease.
  std::size_t requests() const;
  double resident_bytes() const;

private:
  [[noreturn]] void give_up(std::string_view what) const;

  const Folder folder_;
  std::optional<Child> process_;
  const Tidy tidy_;
  std::string token_;
  std::string address_;
  std::string url_;
};

}  // namespace limitr::bench
