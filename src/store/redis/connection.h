// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hiredis/hiredis.h>

#include <limitr/result.h>

#include "store/redis/redis_store.h"

// hiredis's connection and replies. It connects and parses; what is sent and received goes through
// poll() here, for hiredis knows no deadline over a whole round trip, and writes so that a peer
// that is gone ends the process by SIGPIPE.
namespace limitr::store::redis {

/// A part of a reply, which lives as long as the reply.
class Value {
public:
  explicit Value(const redisReply* reply) : reply_(reply) {}

  bool is_error() const { return reply_->type == REDIS_REPLY_ERROR; }
  bool is_text() const {
    return reply_->type == REDIS_REPLY_STRING || reply_->type == REDIS_REPLY_STATUS;
  }
  bool is_nothing() const { return reply_->type == REDIS_REPLY_NIL; }
  bool is_list() const { return reply_->type == REDIS_REPLY_ARRAY; }
  /// Of a text, status or error; of anything else empty.
  std::string_view text() const {
    return is_text() || is_error() ? std::string_view(reply_->str, reply_->len)
                                   : std::string_view();
  }
  /// 0 where it is no number.
  std::int64_t number() const { return reply_->type == REDIS_REPLY_INTEGER ? reply_->integer : 0; }
  /// 0 where it is no list.
  std::size_t size() const { return is_list() ? reply_->elements : 0; }
  /// REQUIRES: at < size().
  Value operator[](std::size_t at) const { return Value(reply_->element[at]); }

private:
  const redisReply* reply_;
};

class Reply {
public:
  explicit Reply(redisReply* reply) : reply_(reply) {}
  Value value() const { return Value(reply_.get()); }

private:
  struct Free {
    void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
  };
  std::unique_ptr<redisReply, Free> reply_;
};

/// How many bytes of memory are kept for what is sent next: asking the system for as much with each
/// group costs more than writing it.
inline constexpr std::size_t most_kept = 1'000'000;

/// Commands as they go over the wire.
class Command {
public:
  /// As new, but for its memory, where that is not more than `most_kept`.
  void clear();
  Command& add(std::string_view argument);
  /// One argument, in two pieces.
  Command& add(std::string_view head, std::string_view tail);
  Command& add(std::uint64_t argument);
  Command& add(std::int64_t argument);
  /// All arguments of another one.
  Command& add_all(const Command& other);
  /// Arguments as encoded() gave them.
  Command& add_encoded(std::size_t count, std::string_view arguments);
  std::size_t count() const { return count_; }
  std::size_t bytes() const { return arguments_.size(); }
  std::string_view encoded() const { return arguments_; }
  void append_to(std::string& out) const;

private:
  std::size_t count_ = 0;
  std::string arguments_;
};

class Connection;

/// What goes over one connection, and what comes back.
class Batch {
public:
  explicit Batch(Connection& connection) : connection_(&connection) {}
  void reserve(std::size_t bytes) { out_.reserve(bytes); }
  void add(const Command& command);

  /// In the order of the commands; fewer than those where it failed.
  std::vector<Reply> replies = {};
  /// store_unavailable: nothing was sent; outcome_unknown: some was.
  std::optional<Error> failure = {};

private:
  friend class Connection;

  bool is_over() const { return failure || replies.size() == wanted_; }

  Connection* connection_;
  std::string out_;
  std::size_t sent_ = 0;
  std::size_t wanted_ = 0;
};

/// One connection. After an error it is of no use any more. Threads: one at a time.
class Connection {
public:
  /// Connects and gives user, password and database. Errors: store_unavailable; invalid_argument,
  /// where the server does not take those.
  static Result<std::unique_ptr<Connection>> open(const RedisOptions& options);

  /// Sends all and gives the reply to each, errors among them. Errors: store_unavailable, where
  /// nothing was sent; outcome_unknown, where some was. `longer` is added to the timeout.
  Result<std::vector<Reply>> run(std::span<const Command> commands, Millis longer = Millis(0));
  Result<Reply> run(const Command& command);
  /// Sends and receives over several connections at a time.
  static void run_all(std::span<Batch> batches, Millis longer = Millis(0));

  /// Where it leads, for messages.
  const std::string& place() const { return place_; }

private:
  struct Free {
    void operator()(redisContext* context) const noexcept { redisFree(context); }
  };

  Connection(redisContext* context, const RedisOptions& options);
  Result<void> greet(const RedisOptions& options);
  bool is_gone() const;
  Millis begin(Batch& batch);
  void move_some(Batch& batch, short ready);
  Result<void> send_some(std::string_view out, std::size_t& sent) const;
  Result<void> receive_some(std::size_t wanted, std::vector<Reply>& replies);
  Error lost(std::string_view why, bool is_sent) const;

  std::unique_ptr<redisContext, Free> context_;
  Millis timeout_;
  std::string place_;
  std::string in_ = std::string(65'536, '\0');  // What was received last.
  std::string out_;  // Empty: its memory is used again by what is sent next.
};

/// "redis://db1:6379/0", without user and password.
std::string place_of(const RedisOptions& options);

/// What an error that the server answers means, with its text: store_unavailable where nothing can
/// have been done, data_corrupt where our keys hold what is not ours, else outcome_unknown.
Error error_of(const Value& error, const std::string& place);

/// Whether the server's error begins with that word, or is a script's that does.
bool says(const Value& error, std::string_view word);

}  // namespace limitr::store::redis
