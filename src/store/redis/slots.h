// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

// The slots of a Redis Cluster.
namespace limitr::store::redis {

using Slot = std::uint16_t;

inline constexpr Slot slot_count = 16'384;

/// The slot of a key, or of an ID, by the rule of Redis: that of what stands between its first `{`
/// and the next `}`, unless nothing does; else that of all of it.
Slot slot_of(std::string_view key);

/// A text without braces whose slot this is: the smallest number, from 0 on. A key in which
/// it stands as the first tag lies in that slot, whatever else is in the key.
std::string_view tag_of(Slot slot);

}  // namespace limitr::store::redis
