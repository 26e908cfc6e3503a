// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <limitr/time.h>

#include "store/store.h"

namespace limitr::store {

/// How far a commit goes before it is answered. As SQLite's `synchronous`.
enum class Synchronous : std::uint8_t { off, normal, full, extra };

struct SqliteOptions {
  std::string path;                             ///< A file; made where it is missing.
  Synchronous synchronous = Synchronous::full;  ///< What is weaker loses groups with the power.
  bool accept_weaker = false;                   ///< Without it, what is weaker is store_weaker.
  Millis busy_timeout{5'000};                   ///< How long another program may hold the file.
};

/// A store in one SQLite file. docs/stores.md has its tables.
std::unique_ptr<Store> sqlite_store(SqliteOptions options);

}  // namespace limitr::store
