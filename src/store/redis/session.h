// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <limitr/result.h>

#include "store/redis/connection.h"
#include "store/redis/scripts.h"
#include "store/store.h"

namespace limitr::store::redis {

/// What a script answers: a word, and what comes with it.
class Answer {
public:
  explicit Answer(Reply reply) : reply_(std::move(reply)) {}
  std::string_view word() const { return reply_.value()[0].text(); }
  /// What stands at that place behind the word, from 1. REQUIRES: at < size().
  Value operator[](std::size_t at) const { return reply_.value()[at]; }
  std::size_t size() const { return reply_.value().size(); }
  /// Of what is no script's.
  Value value() const { return reply_.value(); }

private:
  Reply reply_;
};

/// What the server says of itself.
struct Software {
  std::string version;            ///< "7.0.15"
  std::uint64_t used_memory = 0;  ///< By all that is in it.
};

/// A connection on which our scripts are known. Threads: one at a time.
class Session {
public:
  /// Errors also: invalid_argument, where the server is none that can be used.
  static Result<std::unique_ptr<Session>> open(const RedisOptions& options);

  /// The beginning of a call of a script, for its arguments to follow.
  Command call(Script script) const;
  /// The same in a cluster, for what lies behind that prefix.
  Command call(Script script, const std::string& base) const;
  /// Runs calls of one script, and loads it again where the server has lost it. Errors: as those of
  /// Connection::run(), and what the script itself fails with. Of several calls, what fails is
  /// outcome_unknown as soon as another was done. `longer` is added to the time they may
  /// take.
  Result<std::vector<Answer>> run(Script script, std::vector<Command> calls,
                                  Millis longer = Millis(0));
  Result<Answer> run(Script script, Command call, Millis longer = Millis(0));

  /// What the server is set to lose; none where nothing. In a cluster some keys expire, and must
  /// not do so before their time.
  Result<std::optional<std::string>> weakness();
  Result<Software> software();
  const std::string& place() const { return connection_->place(); }
  /// Whether it is a node of a cluster: then there are no calls but those with a prefix.
  bool is_cluster() const { return is_cluster_; }
  Connection& connection() { return *connection_; }
  /// Errors: those of Connection::run().
  Result<void> load_scripts();

private:
  Session(std::unique_ptr<Connection> connection, const RedisOptions& options);

  Result<bool> take(std::vector<Reply> replies, std::vector<Answer>& answers) const;
  Result<std::string> info(std::string_view section);
  Result<void> refuse_what_is_not_fit();

  std::unique_ptr<Connection> connection_;
  std::string prefix_;
  bool is_cluster_ = false;
  std::array<std::string, script_count> names_;  // by which the server knows the scripts
};

}  // namespace limitr::store::redis
