// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <sqlite3.h>

#include <limitr/result.h>
#include <limitr/time.h>

// SQLite's handles, closed by themselves, and its codes as our errors.
namespace limitr::store::sqlite {

/// A prepared statement, for one run after the other.
class Statement {
public:
  /// Values for ?1, ?2, ... A text is not copied. REQUIRES: it lives until reset().
  template <typename... Values>
  Statement& bind(const Values&... values) {
    int index = 0;
    (bind_at(++index, values), ...);
    return *this;
  }
  /// One value; `index` counts from 1.
  void bind_at(int index, std::string_view text);
  void bind_at(int index, std::uint64_t number);

  /// To the next row; false when there is none. What fails has been reset.
  Result<bool> step();
  /// Runs a statement that gives no rows, and resets it.
  Result<void> run();
  void reset() { sqlite3_reset(handle_.get()); }

  /// Columns of the row, from 0. Texts live until the next step or reset.
  std::string_view text(int column) const;
  std::uint64_t number(int column) const;
  int columns() const { return sqlite3_column_count(handle_.get()); }
  /// A key that is no text, though of the same bytes, stands elsewhere in its order.
  bool is_text(int column) const {
    return sqlite3_column_type(handle_.get(), column) == SQLITE_TEXT;
  }

private:
  friend class Connection;
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const noexcept { sqlite3_finalize(handle); }
  };

  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

enum class Mode : std::uint8_t {
  write,  ///< Makes the file where it is missing; checkpoints.
  read,   ///< Never writes and never checkpoints.
};

/// One connection. Threads: one at a time. REQUIRES: its statements are gone before it is.
class Connection {
public:
  /// Errors also: invalid_argument, where the file is no database.
  static Result<Connection> open(const std::string& path, Mode mode, Millis busy_timeout);

  Result<Statement> prepare(std::string_view sql) const;
  /// Runs statements without values that give no rows which anybody wants.
  Result<void> run(const char* sql) const;
  /// The only value of a statement's only row; 0 where there is none.
  Result<std::uint64_t> number(std::string_view sql) const;
  Result<std::string> text(std::string_view sql) const;

  /// How many rows the last statement has changed.
  std::uint64_t changes() const;
  /// Whether the file may only be read, which SQLite takes for good enough.
  bool is_read_only() const { return sqlite3_db_readonly(handle_.get(), "main") == 1; }
  /// Whether the file was removed or replaced since it was opened.
  bool has_moved() const;
  std::string path() const;
  /// SQLite's extended code for what run() failed with. REQUIRES: nothing was done since.
  int failure() const { return sqlite3_extended_errcode(handle_.get()); }
  /// Closing writes nothing any more. For a file that has failed.
  void abandon() const;

private:
  struct Close {
    void operator()(sqlite3* handle) const noexcept { sqlite3_close(handle); }
  };

  std::unique_ptr<sqlite3, Close> handle_;
};

}  // namespace limitr::store::sqlite
