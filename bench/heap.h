// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace limitr::bench {

/// Counts the program's heap allocations, by any thread, while one of these lives. One at a time.
class HeapCount {
public:
  HeapCount();
  ~HeapCount();
  HeapCount(const HeapCount&) = delete;
  HeapCount& operator=(const HeapCount&) = delete;

  std::uint64_t allocations() const;
};

/// What of a process is in memory now, as the system reports it: of this one, or of another.
double resident_bytes(std::optional<::pid_t> process = std::nullopt);

}  // namespace limitr::bench
