// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <limitr/result.h>

#include "store/redis/connection.h"
#include "store/store.h"

namespace limitr::store::redis {

/// Writes an owner's groups that change only the records of customers who are there. Nothing of
/// such a group depends on what stands in the store, so that it needs no script, in which each
/// record is copied and hashed: it is a transaction of the server's own, at a fifth of the cost.
///
/// INVARIANTS
/// 1. A customer is known only where this session has written it, with the alternate IDs that are
///    known and no request before the first that is known, and has not removed it since. Others
///    than the owner write nothing.
/// 2. The key `owner` is watched from before it was last seen that the holder is who writes and no
///    scan is on. Whoever takes over or begins a scan changes the key, and then nothing of the
///    transaction happens.
///
/// Of a server that is none of a cluster. Threads: one at a time.
class PlainGroups {
public:
  explicit PlainGroups(std::string prefix) : prefix_(std::move(prefix)) {}

  /// Whether the group may be written here. Also false where the server has refused that before.
  bool can_write(const Group& group) const;
  /// Writes it if `holder` still has the store, and gives whether it did: where not, nothing has
  /// changed, and the script says why, or does it. Errors: those of Connection::run();
  /// outcome_unknown.
  /// `longer` is added to the timeout.
  Result<bool> write(Connection& connection, std::string_view holder, const Group& group,
                     Millis longer);

  /// A script has written the group.
  void note_written(const Group& group);
  /// The owner itself has changed the key `owner`, by a script.
  void note_owner_changed() { is_watching_ = false; }
  /// From now on there is another connection.
  void forget();

private:
  struct Known {
    std::vector<std::string> alt_ids;
    std::uint64_t first_request;
  };

  std::string owner_key() const { return prefix_ + ":owner"; }
  Result<void> watch(Connection& connection, std::string_view holder);
  void add_watch(std::vector<Command>& commands) const;

  const std::string prefix_;
  std::unordered_map<std::string, Known> known_;
  Command rows_;              // empty between two groups
  bool is_watching_ = false;  // INVARIANT 2 holds, as far as heard
  bool is_refused_ = false;
};

}  // namespace limitr::store::redis
