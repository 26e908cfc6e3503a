// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include <unistd.h>

#include <fmt/format.h>

#include "cli/terminal.h"

namespace limitr::cli {

Progress::Progress(std::string what, std::uint64_t total)
    : what_(std::move(what)),
      total_(total),
      is_shown_(::isatty(STDERR_FILENO) == 1),
      next_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (has_line_) print_to(stderr, "{}", Shown{"\r\x1b[K"});
}

void Progress::at(std::uint64_t done) {
  constexpr std::chrono::milliseconds pause(100);
  constexpr std::size_t width = 30;
  if (!is_shown_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + pause;
  has_line_ = true;
  if (total_ == 0) {
    print_to(stderr, "{}", Shown{fmt::format("\r\x1b[K{} {}", what_, done)});
    return;
  }
  const double share = static_cast<double>(done) / static_cast<double>(total_);
  print_to(stderr, "{}",
           Shown{fmt::format("\r\x1b[K{} {} {:3.0f}%", what_, bar(share, width),
                             100 * std::min(share, 1.0))});
}

std::string bar(double share, std::size_t width) {
  const double full = std::clamp(share, 0.0, 1.0) * static_cast<double>(width);
  // Not empty once anything was used, and not full before all of it was.
  auto marks = static_cast<std::size_t>(full);
  if (marks == 0 && share > 0) marks = 1;
  return fmt::format("[{}{}]", std::string(marks, '#'), std::string(width - marks, '-'));
}

}  // namespace limitr::cli
