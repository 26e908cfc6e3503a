// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <limitr/result.h>
#include <limitr/time.h>

#include "store/store.h"

namespace limitr::store {

struct RedisOptions {
  std::string host = "localhost";
  std::uint16_t port = 6379;
  std::string socket = {};  ///< The path of a Unix socket, in place of host and port.
  std::string user = {};    ///< Empty: the default one.
  std::string password = {};
  std::uint32_t database = 0;
  std::string prefix = "limitr";  ///< All keys begin with it and a colon. Without braces.
  Millis lease{10'000};           ///< How long who falls silent keeps others out.
  Millis connect_timeout{2'000};
  Millis command_timeout{5'000};  ///< For each round trip; longer for what is large.
  bool accept_weaker = false;     ///< Without it, what is weaker is store_weaker.
};

/// What a URL says: redis://[[user]:password@]host[:port][/database][?prefix=...&lease=...], or
/// redis://[[user]:password@]/database?socket=PATH. Errors: invalid_argument, which never shows the
/// password.
Result<RedisOptions> read_redis_url(std::string_view url);

/// A store in a Redis server, alone or with replicas that nobody writes to. docs/stores.md has its
/// keys.
std::unique_ptr<Store> redis_store(const RedisOptions& options);

}  // namespace limitr::store
