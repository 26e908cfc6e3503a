// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

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

/// What of the process is in memory now, as the system reports it.
double resident_bytes();

}  // namespace limitr::bench
