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
// its first closing brace: they would lie in one slot of a Redis Cluster, together with those of
// every other ID with that tag. For a cluster this would have to change: scripts would be given the
// names of those keys rather than make them; `owner`, `ids`, `sharers`, `w` and the scans would be
// there once for each tag, or slot; and alternate IDs (`PREFIX:a:ALT`), which lie anywhere, would
// be written before the customer they lead to and removed after it, and believed only where its row
// names them.
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
};

inline constexpr std::size_t script_count = 12;

/// The text of a script.
std::string source_of(Script script);

}  // namespace limitr::store::redis
