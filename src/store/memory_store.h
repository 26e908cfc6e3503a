// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "store/store.h"

namespace limitr::store {

/// A store that lasts as long as its process: for tests, and for those who keep snapshots
/// themselves. Stores of the same name share what they keep, so that one can be closed and opened
/// again.
std::unique_ptr<Store> memory_store(const std::string& name = {});

}  // namespace limitr::store
