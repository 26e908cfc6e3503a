// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "backends.h"
#include "store/redis/redis_store.h"

namespace limitr::store {

/// A Redis server of our own, on a Unix socket in a folder of its own, which syncs each write. Gone
/// at the end, also where the test dies. Threads: whoever starts it outlives it.
class RedisServer {
public:
  /// With settings in place of ours: {"--appendonly", "no"}.
  explicit RedisServer(std::vector<std::string> settings = {});
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;
  ~RedisServer();

  /// The one that all tests of this process may share, each under prefixes of its own.
  static RedisServer& shared();

  /// As by kill -9.
  void kill();
  /// Again, on the data that is there. Waits until it answers.
  void start();
  /// Stops it where it is, and lets it go on: what reaches it meanwhile waits.
  void pause();
  void resume();

  RedisOptions options(const std::string& prefix = "limitr") const;
  std::string socket() const { return folder_.file("redis.sock"); }
  std::string folder() const { return folder_.path(); }
  /// What it answers to a command, as text: lists in brackets, nothing as "-".
  std::string ask(const std::vector<std::string>& command) const;
  /// The texts of what it answers, one after the other.
  std::vector<std::string> texts(const std::vector<std::string>& command) const;

private:
  const TestFolder folder_;
  const std::vector<std::string> settings_;
  ::pid_t process_ = -1;
};

/// A transaction that writes one customer.
Transaction writes(std::uint64_t number, std::uint64_t version, CustomerWrite write);
Result<Exchanged> exchange_one(Store& store, const Transaction& transaction);

/// Tries until it is so; false where it is not within a minute.
bool comes_true(const std::function<bool()>& condition);

}  // namespace limitr::store
