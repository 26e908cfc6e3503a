// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "redis_server.h"
#include "store/redis/redis_store.h"
#include "store/redis/slots.h"
#include "store/store.h"

namespace limitr::store {

/// A Redis Cluster of our own: three masters, each with a third of the slots, which go on where one
/// of them is gone. As RedisServer.
class RedisCluster {
public:
  RedisCluster();

  /// The one that all tests of this process may share, each under prefixes of its own. Whoever
  /// moves a slot, kills a node or changes its settings makes it good again.
  static RedisCluster& shared();

  static constexpr std::size_t size = 3;
  RedisServer& node(std::size_t at) { return *nodes_[at]; }
  /// Of a store that is opened through that node.
  RedisOptions options(const std::string& prefix, std::size_t node = 0) const {
    return nodes_[node]->options(prefix);
  }

  /// The node that has the slot now.
  std::size_t node_of(redis::Slot slot) const;
  /// Waits until every node sees all slots.
  void wait_until_ok() const;
  /// The integer that a node answers.
  std::int64_t number(const std::vector<std::string>& command) const;

  /// One more node, which has all that a master has and takes over where that is gone. Gives where
  /// it is. For a cluster of one's own.
  std::size_t add_replica(std::size_t of);
  /// Waits until it has all that the master has taken.
  void wait_for_replica(std::size_t replica, std::size_t of);
  /// The same, and passes on no more to it.
  void cut_off_replica(std::size_t replica, std::size_t of);
  /// The master is killed: waits until the replica has taken over, and all nodes know.
  void let_take_over(std::size_t replica, std::size_t of);

  /// Moves a slot to another node in three steps, as `redis-cli --cluster reshard` does.
  void begin_move(redis::Slot slot, std::size_t to);
  void move_keys(redis::Slot slot, std::size_t to, std::size_t most);
  void end_move(redis::Slot slot, std::size_t to);
  /// All of them.
  void move(redis::Slot slot, std::size_t to);

private:
  void add_node();

  std::vector<std::unique_ptr<RedisServer>> nodes_;
  std::vector<std::uint16_t> ports_;
};

/// A store whose IDs have one tag when they come to the one behind it, and none when they come
/// back: all are in one slot.
std::unique_ptr<Store> tagged(std::unique_ptr<Store> store);

}  // namespace limitr::store
