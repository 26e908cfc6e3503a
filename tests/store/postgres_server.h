// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include <libpq-fe.h>

#include "backends.h"

namespace limitr::store {

/// A PostgreSQL server of the tests' own, in a temporary folder, reached by a socket in it. Ends
/// with the process. It runs as the user `postgres` where the tests run as root.
class PostgresServer {
public:
  PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;
  ~PostgresServer();

  /// The one that the tests of a process share.
  static PostgresServer& shared();

  /// Of the user `postgres`; with more parameters, as in "&schema=mine".
  std::string url(const std::string& parameters = {}) const;
  std::string url_of(const std::string& user_and_password,
                     const std::string& parameters = {}) const;
  const std::string& folder() const { return folder_.path(); }

  /// On the data that are there, and until it lets somebody in.
  void start();
  /// kill -9 to all of its processes.
  void kill();
  /// All of its processes stand still, until they go on.
  void stand_still() const;
  void go_on() const;

private:
  std::vector<::pid_t> processes() const;

  const TestFolder folder_;
  ::pid_t postmaster_ = -1;
};

/// A database as another program sees it.
class PostgresSession {
public:
  explicit PostgresSession(const std::string& url);
  PostgresSession(const PostgresSession&) = delete;
  PostgresSession& operator=(const PostgresSession&) = delete;
  ~PostgresSession() { PQfinish(handle_); }

  void run(const std::string& sql) { text(sql); }
  /// The values of all rows of the last statement: columns divided by |, rows by a space.
  std::string text(const std::string& sql);
  PGconn* handle() { return handle_; }

private:
  PGconn* handle_;
};

}  // namespace limitr::store
