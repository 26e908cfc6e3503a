// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

// What runs in the server. A script runs alone, and its effects go to the append-only file and to
// replicas as one MULTI/EXEC, so that a server that dies, or a file that is cut, has all of a
// script or nothing.
//
// INVARIANTS:
// 1. A script that fails has written nothing that matters: whatever can fail is done before the
//    first write. Redis takes nothing back.
// 2. Before it writes, a script sees that the store is still its writer's: `holder` of the key
//    `owner` is drawn anew with each opening, and so names another one also where a failover has
//    taken back who opened in between.
// 3. Before a customer changes while somebody scans, what it was is kept for the scan.
//
// Keys are `PREFIX:NAME`, and of what belongs to one ID `PREFIX:{TAG}:c:ID` (its row) and
// `PREFIX:{TAG}:q:ID` (its requests), where TAG is the hash tag within the ID, else the ID up to
// its first closing brace.
//
// In a Redis Cluster each slot in which there are customers is like a store of its own: the same
// keys behind `PREFIX:s:{N}`, where N is a number whose slot it is, so that the names that scripts
// make of it lie in that slot too. What there is once is behind `PREFIX:{PREFIX}`.
//
// 4. In a cluster a script is also given a key that never exists. Thereby the server runs none in a
//    slot that is being moved to another node, where some keys are here and some are there: a
//    script would end in the middle.
namespace limitr::store::redis {

enum class Script : std::uint8_t {
  check,  ///< Does once what the others do, so that a right that is missing shows.
  open,
  commit,
  stage,  ///< Puts a part of a large group where commit finds it.
  exchange,
  renew,
  close,
  read,
  scan_begin,
  scan_page,
  scan_end,
  status,

  // Of clusters alone.
  cluster_check,  ///< As check, with what these do.
  intend,         ///< Stores a whole group before its parts are applied.
  apply,          ///< A slot's part of a group.
  drop_alts,      ///< Alternate IDs that lead to customers of other slots, and no longer do.
  settle,         ///< Ends what opening had to do.
  mark,           ///< Notes that there are customers in a slot.
  fence,          ///< Keeps those out of a slot who shared before.
  slot_exchange,
  slot_read,
  slot_scan_begin,
  slot_scan_rows,
};

inline constexpr std::size_t script_count = 23;

/// Whether it is needed in a cluster, or in a server that is none.
bool is_of(Script script, bool is_cluster);

/// The text of a script.
std::string source_of(Script script);

}  // namespace limitr::store::redis
