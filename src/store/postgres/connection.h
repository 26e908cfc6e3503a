// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libpq-fe.h>

#include <limitr/result.h>
#include <limitr/time.h>

#include "store/postgres/address.h"
#include "store/postgres/values.h"

namespace limitr::store::postgres {

/// What a statement gave.
class Rows {
public:
  explicit Rows(PGresult* result) : result_(result) {}

  int size() const { return PQntuples(result_.get()); }
  bool empty() const { return size() == 0; }
  int columns() const { return PQnfields(result_.get()); }
  bool is_text(int column) const { return PQftype(result_.get(), column) == text_type; }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  /// The bytes of a column, in PostgreSQL's binary form. They live as long as this does.
  std::string_view text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
  }
  std::int64_t number(int row, int column) const { return number_of(text(row, column)); }
  std::uint64_t whole(int row, int column) const {
    return static_cast<std::uint64_t>(number(row, column));
  }

private:
  static constexpr Oid text_type = 25;
  struct Clear {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

/// What a NOTIFY of any connection said on a channel that this one listens on.
struct Notified {
  std::string channel;
  std::string payload;
};

struct Timeouts {
  Millis connect;  ///< For each host.
  Millis silence;  ///< How long the server may say nothing; how long a statement may take.
};

/// A connection that never waits for longer than it may. Threads: one at a time.
///
/// Statements are sent one after the other and wait for nothing; finish() makes all since the last
/// one a transaction (unless they begin and end one themselves), and waits for it.
class Connection {
public:
  /// Errors also: invalid_argument, where the server lets nobody in with these settings.
  static Result<std::unique_ptr<Connection>> open(const Address& address, const Timeouts& timeouts);

  /// Sends a statement, which the server then has prepared. An error of the server comes with
  /// finish().
  Result<void> send(const std::string& sql, const Values& values = {});
  /// Sends a statement that comes but once.
  Result<void> send_once(const std::string& sql);
  /// What each statement gave. Of the first that failed, its error: then all have done nothing.
  Result<std::vector<Rows>> finish();
  /// send() and finish() of one.
  Result<Rows> run(const std::string& sql, const Values& values = {});

  /// What was notified since the last time; waits for nothing. To be asked again when socket() can
  /// be read, and after statements.
  Result<std::vector<Notified>> take_notified();
  int socket() const { return PQsocket(handle_.get()); }

  /// Of what finish() failed with: PostgreSQL's five characters; empty where it said nothing.
  const std::string& state() const { return state_; }
  /// Whether what finish() failed with may have happened all the same: the connection broke after
  /// the end of the transaction had been sent.
  bool may_have_happened() const { return is_broken_ && is_ended_; }
  /// Whether there is no use in it any more.
  bool is_broken() const { return is_broken_; }
  /// How long the server may say nothing, from now on; gives what it was.
  Millis set_silence(Millis silence) { return std::exchange(silence_, silence); }
  int server_version() const { return PQserverVersion(handle_.get()); }
  const Address& address() const { return address_; }

private:
  struct Finish {
    void operator()(PGconn* handle) const noexcept { PQfinish(handle); }
  };
  struct Sent {
    bool is_preparing;
    std::string sql;
  };

  Connection(Address address, const Timeouts& timeouts, PGconn* handle)
      : address_(std::move(address)), silence_(timeouts.silence), handle_(handle) {}

  Result<void> connect(Millis timeout);
  Result<void> settle_in(Millis timeout);
  Result<void> begin_sending();
  Result<void> flush();
  Result<PGresult*> next_result();
  /// One result, and whether it is a good one.
  Result<void> take(const Sent& sent, std::vector<Rows>& all);
  /// Waits until something can be done; fails when that takes too long.
  Result<void> wait(bool to_write);
  Error broken(std::string_view what);
  Error failed(const PGresult* result);

  const Address address_;
  Millis silence_;
  std::unique_ptr<PGconn, Finish> handle_;
  std::map<std::string, std::string> prepared_;  // SQL -> name
  std::map<std::string, std::string> preparing_;
  std::vector<Sent> sent_;
  std::string state_;
  std::size_t waiting_bytes_ = 0;  // of values that flush() has not been called for
  bool is_broken_ = false;
  bool is_ending_ = false;
  bool is_ended_ = false;
};

}  // namespace limitr::store::postgres
