// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <limitr/time.h>

#include "store/store.h"

namespace limitr::store {

struct PostgresOptions {
  /// What libpq takes as an URL, and of ours `schema=limitr` and `lease=10000` (milliseconds).
  std::string url;
  bool accept_weaker = false;  ///< Without it, a server that is set to keep less is store_weaker.
  Millis connect_timeout{2'000};  ///< For each host of the URL.
  Millis timeout{5'000};          ///< How long the server may take for a statement, or to be heard.
};

/// A store in a schema of a PostgreSQL database. docs/stores.md has its tables.
std::unique_ptr<Store> postgres_store(PostgresOptions options);

}  // namespace limitr::store
