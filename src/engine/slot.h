// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/pool.h"
#include "state/customer.h"

namespace limitr::engine {

/// What a slot keeps of a group's number: its low bits, and never 0.
constexpr std::uint32_t mark_of(std::uint64_t group) {
  return static_cast<std::uint32_t>(group << 1U) | 1U;
}
/// The group of that mark which is not above `current`, and less than 2^31 below it.
constexpr std::uint64_t marked_group(std::uint32_t mark, std::uint64_t current) {
  return current - ((mark_of(current) - mark) >> 1U);
}

/// One customer in memory. Counted: the shard that lists it holds one reference, each Handle and a
/// snapshot that is being taken hold others.
/// INVARIANT: everything but the count is read and written under the shard's lock.
class Slot {
public:
  Slot(state::Customer&& initial, std::uint16_t shard_index)
      : customer(std::move(initial)), shard(shard_index) {}

  static void* operator new(std::size_t) { return pool_.take(); }
  static void operator delete(void* slot) { pool_.give_back(slot); }

  /// Asks for all of the slot. Among a million customers a call waits for memory more than for
  /// anything else.
  void prefetch() const {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const char*>(this) + 64);
    __builtin_prefetch(reinterpret_cast<const char*>(this) + 128);
  }

  /// Whether nobody but the shard refers to it.
  bool is_alone() const { return references_.load(std::memory_order_acquire) == 1; }
  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  state::Customer customer;
  std::uint32_t snapshot = 0;  ///< The last snapshot that has this customer, or that it postdates.
  const std::uint16_t shard;
  bool removed = false;  ///< Deleted or let go, and kept only for those who still refer to it.
  bool queued = false;   ///< Marked for a group of the journal, and not gathered yet.
  bool used = true;      ///< Found since it was last looked at as one to be let go.
  /// Where the customer is shared: whether a round has looked at it that has not ended.
  enum class Round : std::uint8_t {
    none,
    running,
    unanswered,  ///< The store has not said what became of it.
  };
  Round in_round = Round::none;

  std::uint32_t group = 0;  ///< The mark of the journal's group it is in; 0: clean.
  std::uint32_t place = 0;  ///< In the shard's list of those that can be let go.

private:
  static Pool pool_;
  std::atomic<std::uint32_t> references_{1};
};

// Each begins on a cache line.
inline constinit Pool Slot::pool_{(sizeof(Slot) + 63) / 64 * 64};
static_assert(sizeof(Slot) <= 192);

}  // namespace limitr::engine
