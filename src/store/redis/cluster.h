// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <limitr/result.h>

#include "store/redis/redis_store.h"
#include "store/redis/scripts.h"
#include "store/redis/session.h"
#include "store/redis/slots.h"

// Connections to the nodes of a Redis Cluster, and which of them is asked for what.
namespace limitr::store::redis {

/// A node of a cluster, as the cluster names it.
struct Address {
  std::string host;
  std::uint16_t port = 0;
  friend auto operator<=>(const Address&, const Address&) = default;
};

/// Which master has which slot, as it was learnt last. Threads: any.
class SlotMap {
public:
  /// None where no master is known to have it.
  std::optional<Address> master_of(Slot slot) const;
  /// The cluster's name for that master; empty where there is none.
  std::string name_of_master(Slot slot) const;
  /// Every master with one of its slots.
  std::map<Address, Slot> masters() const;
  /// Takes what `CLUSTER SLOTS` answers; a node without a host is at `host`. False: it says
  /// nothing.
  bool learn(const Value& slots, const std::string& host);
  /// How often learn() has found that a slot had another master than before.
  std::uint64_t changes() const;
  /// It may no longer be so; learn() makes it good.
  void doubt() { set_doubted(true); }
  bool is_doubted() const;

private:
  void set_doubted(bool is_doubted);

  mutable std::mutex mutex_;
  std::vector<Address> masters_;
  std::vector<std::string> names_;                   // of masters_
  std::array<std::uint16_t, slot_count> of_slot_{};  // The place in masters_, from 1; 0: none.
  bool is_doubted_ = true;
  std::uint64_t changes_ = 0;
};

/// What is asked of the master of a slot.
struct Call {
  Slot slot = 0;
  std::optional<Script> script;  ///< None: the arguments are a whole command.
  std::string base;              ///< The prefix that the script works behind.
  Command arguments = {};
};

/// Connections of one thread at a time to masters, made when they are first needed.
class Cluster {
public:
  /// Of one that writes, each node's settings and rights are looked at when it is connected to.
  Cluster(const RedisOptions& options, SlotMap& map, bool is_writing);

  /// Asks any node that can be reached which slots are where. Errors: store_unavailable;
  /// invalid_argument.
  Result<void> learn();
  /// Connects to every master that can be reached. Errors: store_weaker and others of a node that
  /// is there, and cannot be used as it is.
  Result<void> connect_all();
  /// Runs calls over all nodes at the same time, those of one slot in their order. Each has an
  /// answer of its own, or an error: store_unavailable: it was not run; outcome_unknown: it was, or
  /// was not. Calls whose slot has moved follow it; for one that is just being moved they wait as
  /// long as a command may take.
  std::vector<Result<Answer>> run(std::span<const Call> calls, Millis longer = Millis(0));
  Result<Answer> run(const Call& call);

  /// What nodes are set to lose, where that was accepted.
  const std::optional<std::string>& weaker() const { return weaker_; }
  Result<std::optional<std::string>> weakness();
  /// The version of one node, and the memory of all that can be reached.
  Result<Software> software();

private:
  class Run;

  Result<Session*> session_at(const Address& address, Slot any_slot);
  Result<std::unique_ptr<Session>> connect(const RedisOptions& options);
  Result<void> look_at(Session& session, Slot any_slot);
  Result<void> learn_from(Session& session, const std::string& host);
  RedisOptions options_at(const Address& address) const;

  const RedisOptions options_;
  SlotMap& map_;
  const bool is_writing_;
  std::map<Address, std::unique_ptr<Session>> sessions_;
  std::optional<std::string> weaker_;
};

/// The prefix of what belongs to a slot.
std::string base_of(const std::string& prefix, Slot slot);

}  // namespace limitr::store::redis
