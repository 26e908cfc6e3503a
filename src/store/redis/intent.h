// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/result.h>

#include "store/redis/connection.h"
#include "store/redis/slots.h"
#include "store/store.h"

// A group of changes as it is written to a Redis Cluster: whole, as its intent, and then slot by
// slot. The intent is a list: the group's number, and of each slot
//
//   SUM SLOT COUNT\n and the arguments of the script `apply`, so many, as they go over the wire.
namespace limitr::store::redis {

/// The arguments of `apply` for each slot that a group changes.
std::map<Slot, Command> parts_of(const Group& group);

std::string intent_of(Slot slot, std::uint64_t group, const Command& part);

struct Intent {
  std::uint64_t group = 0;  ///< 0: there is none.
  std::map<Slot, Command> parts = {};
};

/// The intent that stands there. Errors: data_corrupt.
Result<Intent> read_intent(const Value& list, const std::string& place);

}  // namespace limitr::store::redis
