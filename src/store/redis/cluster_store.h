// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "store/redis/redis_store.h"
#include "store/store.h"

namespace limitr::store::redis {

/// A store in a Redis Cluster, any node of which the options name. docs/stores.md has its keys.
std::unique_ptr<Store> cluster_store(const RedisOptions& options);

}  // namespace limitr::store::redis
