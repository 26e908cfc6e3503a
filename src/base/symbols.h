// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/text_map.h"

namespace limitr {

/// An interned name: of an entitlement, credit, plan, topup, customer type. Compares by number.
/// Zero is the empty name. The order of the numbers means nothing: sort by text.
enum class Symbol : std::uint32_t { empty = 0 };

/// Turns names into symbols and back, for one engine. Names are never removed, so customer IDs
/// do not belong here.
///
/// As pools of memory, this holds a lock below the engine: its answers do not depend on who
/// comes first, except for the numbers themselves, which nothing prints.
/// Threads: all of it. text() takes no lock.
class SymbolTable {
public:
  SymbolTable();
  ~SymbolTable();
  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;

  /// The symbol of `name`, made if there is none.
  Symbol intern(std::string_view name);
  /// The symbol of `name`; Symbol::empty also where it was never interned.
  Symbol find(std::string_view name) const;
  /// The name of a symbol of this table. Stays valid as long as the table.
  std::string_view text(Symbol symbol) const {
    const auto index = static_cast<std::uint32_t>(symbol);
    return blocks_[index / block_size].load(std::memory_order_acquire)[index % block_size];
  }

private:
  static constexpr std::uint32_t block_size = 4096;
  static constexpr std::uint32_t block_count = 65'536;

  mutable std::mutex mutex_;
  std::uint32_t size_ = 0;                                                      // guarded by mutex_
  absl::flat_hash_map<std::string_view, Symbol, TextHash, TextEqual> by_name_;  // guarded by mutex_
  std::unique_ptr<std::atomic<std::string*>[]> blocks_;  // written under mutex_
};

}  // namespace limitr
