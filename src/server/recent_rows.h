// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/text_map.h"
#include "server/hub.h"
#include "store/store.h"

// Rows as they were in the store lately, and which engines have written them: where nobody else
// writes to the store they need not be read again, and engines that take turns with a customer can
// be told of its row before they ask.
namespace limitr::server {

/// Rows that an engine has written and others since.
struct ChangedFor {
  SessionId engine = 0;
  std::vector<store::StoredCustomer> rows;
};

class RecentRows {
public:
  using Row = std::shared_ptr<const store::StoredCustomer>;

  /// Null: it is to be read.
  Row find(std::string_view id);
  /// The row as the store has it. REQUIRES: it is not damaged.
  void put(Row row);
  void erase(std::string_view id);
  /// What the store has is not known any more.
  void clear();

  /// That engine has written the version of the row that was put last.
  void wrote(SessionId engine, std::string_view id);
  /// That engine knows the row as it is.
  void told(SessionId engine, std::string_view id);
  /// What engines are to be told since this was last called: rows that they have written and others
  /// since, as they are now. Not all of them for sure.
  std::vector<ChangedFor> take_changed();

  /// Rows that were used last take about this much at most.
  static constexpr std::size_t max_bytes = 32U << 20U;
  static constexpr std::size_t most_changed = 256;  ///< Rows for one engine.

private:
  struct Writer {
    SessionId engine = 0;
    int told = 0;  // how often since it wrote the row
  };
  struct Entry {
    Row row;
    std::array<Writer, 4> writers = {};  // the newest first, each engine once
  };
  using Entries = TextMap<Entry>;

  Entry* entry(std::string_view id);

  // Those used since `young_` was begun, and those that were used before: they go all at once.
  Entries young_;
  Entries old_;
  std::size_t young_bytes_ = 0;
  // In the order of their IDs, so that a replay sends the same.
  std::map<SessionId, std::set<std::string, std::less<>>> changed_for_;
};

}  // namespace limitr::server
