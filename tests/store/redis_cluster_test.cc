// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "backends.h"
#include "redis_cluster.h"

namespace limitr::store {
namespace {

TEST(RedisClusterSlots, AreThoseOfRedis) {
  RedisCluster& cluster = RedisCluster::shared();
  for (const std::string id : {"", "ann", "{team}a", "a{team}b", "{}", "{}a", "a}b", "a}b{team}c",
                               "{a{b}c}", "{a", "a{}b{c}", "\xf0\x9f\x90\xb1", "line\nbreak"}) {
    EXPECT_EQ(redis::slot_of(id), cluster.number({"CLUSTER", "KEYSLOT", id})) << id;
  }
}

}  // namespace
}  // namespace limitr::store
