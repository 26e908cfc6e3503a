// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <memory>

namespace limitr::store {

/// Stands between SQLite and the disk of this process, and lets calls fail. While it is not armed,
/// it only counts them.
class FaultyDisk {
public:
  enum class Call : std::uint8_t { write, sync, open, truncate, any };

  FaultyDisk();
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;
  ~FaultyDisk();

  /// From now on the `nth` such call fails, from 0, and where it is for ever, all after it. A sync
  /// that fails takes with it what was written to its file since the last good one, as a kernel
  /// may that has marked its pages clean.
  void arm(Call call, std::uint64_t nth, bool for_ever);
  void disarm();
  /// Whether a call has failed since it was armed.
  bool has_failed() const;
};

}  // namespace limitr::store
