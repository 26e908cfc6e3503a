// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace limitr::cli {

/// Shows on standard error how far something long has come: only where that is a terminal, and
/// standard output is none that the line would stand in. Gone when it ends.
class Progress {
public:
  /// `total` 0: not known.
  Progress(std::string what, std::uint64_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void at(std::uint64_t done);

private:
  const std::string what_;
  const std::uint64_t total_;
  const bool is_shown_;
  bool has_line_ = false;
  std::chrono::steady_clock::time_point next_;
};

/// "[#####-----]", `share` of it full; more than all of it is all.
std::string bar(double share, std::size_t width);

}  // namespace limitr::cli
