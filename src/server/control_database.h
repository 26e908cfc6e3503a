// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <limitr/result.h>

// The tables of a Control, wherever they are: one SQL for SQLite and PostgreSQL.
namespace limitr::server {

/// What goes into a statement, or comes out of one.
using SqlValue = std::variant<std::int64_t, std::string>;

/// What a statement gave.
class SqlRows {
public:
  explicit SqlRows(std::vector<std::vector<SqlValue>> rows = {}) : rows_(std::move(rows)) {}

  std::size_t size() const { return rows_.size(); }
  bool empty() const { return rows_.empty(); }
  /// Empty, or 0, where a damaged file has something else there.
  std::string text(std::size_t row, std::size_t column) const {
    const auto* text = std::get_if<std::string>(&rows_[row][column]);
    return text != nullptr ? *text : std::string();
  }
  std::int64_t number(std::size_t row, std::size_t column) const {
    const auto* number = std::get_if<std::int64_t>(&rows_[row][column]);
    return number != nullptr ? *number : 0;
  }

private:
  std::vector<std::vector<SqlValue>> rows_;
};

/// Threads: one at a time.
///
/// In statements `{s}` stands for where the tables are, and values are $1, $2, ... in the order in
/// which they come first. Columns are text or bigint, and never NULL.
class Database {
public:
  virtual ~Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// A statement: by itself, or as a part of what begin() began.
  virtual Result<SqlRows> run(std::string_view sql, std::initializer_list<SqlValue> values) = 0;
  /// A transaction that writes: no other process writes until it ends. Errors also: data_corrupt.
  virtual Result<void> begin() = 0;
  /// Errors also: outcome_unknown.
  virtual Result<void> commit() = 0;
  virtual void roll_back() = 0;

protected:
  Database() = default;
};

/// What becomes of tables that are not there.
enum class Missing : bool {
  refused,  ///< invalid_argument: nothing_at().
  made,
};
Error nothing_at(std::string_view where);

/// Of the file, and these tables in it. Empty: in memory.
Result<std::unique_ptr<Database>> sqlite_database(const std::string& path, Missing missing);
Result<std::unique_ptr<Database>> postgres_database(std::string_view url, Missing missing);

inline constexpr std::int64_t control_version = 1;

/// What makes the tables.
inline constexpr std::string_view control_tables[] = {
    "CREATE TABLE {s}limitr_cloud ("
    " one bigint PRIMARY KEY CHECK (one = 1), version bigint NOT NULL, changes bigint NOT NULL)",
    "CREATE TABLE {s}limitr_projects (name text PRIMARY KEY, created bigint NOT NULL)",
    "CREATE TABLE {s}limitr_tokens ("
    " id text PRIMARY KEY, project text NOT NULL, name text NOT NULL, kind text NOT NULL,"
    " scopes text NOT NULL, hash text NOT NULL, created bigint NOT NULL, expires bigint NOT NULL,"
    " revoked bigint NOT NULL, checksum bigint NOT NULL)",
    "CREATE TABLE {s}limitr_policies ("
    " project text NOT NULL, version bigint NOT NULL, document text NOT NULL, at bigint NOT NULL,"
    " who text NOT NULL, message text NOT NULL, checksum bigint NOT NULL,"
    " PRIMARY KEY (project, version))",
};

/// Makes them, or sees that they are of a version that we know. REQUIRES: begin() was called.
Result<void> prepare_tables(Database& database, bool are_there, Missing missing,
                            std::string_view where);

}  // namespace limitr::server
