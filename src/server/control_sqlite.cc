// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <utility>

#include <unistd.h>

#include <fmt/format.h>

#include "server/control_database.h"
#include "store/sqlite/connection.h"

namespace limitr::server {
namespace {

constexpr Millis busy_timeout{5000};
// "lmtc", where SQLite has a place for such a mark.
constexpr std::uint64_t application_id = 0x6c6d7463;

class SqliteDatabase final : public Database {
public:
  explicit SqliteDatabase(store::sqlite::Connection connection)
      : connection_(std::move(connection)) {}

  Result<SqlRows> run(std::string_view sql, std::initializer_list<SqlValue> values) override {
    auto statement = prepared(sql);
    if (!statement.ok()) return std::move(statement).error();
    int index = 0;
    for (const SqlValue& value : values) {
      ++index;
      if (const auto* text = std::get_if<std::string>(&value)) {
        (*statement)->bind_at(index, *text);
      } else {
        (*statement)->bind_at(index, static_cast<std::uint64_t>(std::get<std::int64_t>(value)));
      }
    }
    auto rows = rows_of(**statement);
    (*statement)->reset();
    if (!rows.ok()) return failure(std::move(rows).error());
    return rows;
  }

  Result<void> begin() override {
    // What is written to a file that nobody can find any more would be lost without a word.
    if (!connection_.path().empty() && connection_.has_moved()) {
      return Error{
          .code = ErrorCode::store_unavailable,
          .message = fmt::format("`{}` was removed or replaced: start again", connection_.path())};
    }
    return ended(connection_.run("BEGIN IMMEDIATE"));
  }
  Result<void> commit() override {
    Result<void> committed = ended(connection_.run("COMMIT"));
    if (!committed.ok()) roll_back();
    return committed;
  }
  void roll_back() override {
    // Where an error has ended the transaction already, there is none to roll back.
    [[maybe_unused]] const Result<void> ended = connection_.run("ROLLBACK");
  }

  const store::sqlite::Connection& connection() const { return connection_; }

private:
  Result<store::sqlite::Statement*> prepared(std::string_view sql) {
    const auto known = statements_.find(sql);
    if (known != statements_.end()) return &known->second;
    std::string plain(sql);
    for (std::size_t at = plain.find("{s}"); at != std::string::npos; at = plain.find("{s}", at)) {
      plain.erase(at, 3);
    }
    Result<store::sqlite::Statement> made = connection_.prepare(plain);
    if (!made.ok()) return failure(std::move(made).error());
    return &statements_.emplace(sql, *std::move(made)).first->second;
  }

  static Result<SqlRows> rows_of(store::sqlite::Statement& statement) {
    std::vector<std::vector<SqlValue>> rows;
    while (true) {
      Result<bool> stepped = statement.step();
      if (!stepped.ok()) return std::move(stepped).error();
      if (!*stepped) return SqlRows(std::move(rows));
      std::vector<SqlValue>& row = rows.emplace_back();
      for (int column = 0; column < statement.columns(); ++column) {
        if (statement.is_text(column)) {
          row.emplace_back(std::string(statement.text(column)));
        } else {
          row.emplace_back(static_cast<std::int64_t>(statement.number(column)));
        }
      }
    }
  }

  Result<void> ended(Result<void> result) const {
    if (result.ok()) return result;
    return failure(std::move(result).error());
  }

  // Of a store there is one writer, of this file there are many.
  Error failure(Error error) const {
    const int code = connection_.failure() & 0xff;
    if (code != SQLITE_BUSY && code != SQLITE_LOCKED) return error;
    return {.code = ErrorCode::store_unavailable,
            .message = fmt::format("`{}` is being written by another process: try again",
                                   connection_.path())};
  }

  // INVARIANT: statements are gone before their connection is.
  store::sqlite::Connection connection_;
  std::map<std::string, store::sqlite::Statement, std::less<>> statements_;
};

Error not_ours(const std::string& path) {
  return {.code = ErrorCode::invalid_argument,
          .message = fmt::format("`{}` is another program's database: move it away", path)};
}

/// Whether the file has tables already. REQUIRES: begin() was called.
Result<bool> has_tables(const store::sqlite::Connection& connection) {
  const auto things = connection.number("SELECT count(*) FROM sqlite_schema");
  if (!things.ok()) return things.error();
  const auto mark = connection.number("PRAGMA application_id");
  if (!mark.ok()) return mark.error();
  if (*mark == application_id) return *things != 0;
  if (*things == 0 && *mark == 0) return false;
  return not_ours(connection.path());
}

Result<void> prepare_file(SqliteDatabase& database, const std::string& path, Missing missing) {
  const Result<bool> found = has_tables(database.connection());
  if (!found.ok()) return found.error();
  if (!*found && missing == Missing::made) {
    const std::string mark = fmt::format("PRAGMA application_id = {}", application_id);
    if (auto marked = database.connection().run(mark.c_str()); !marked.ok()) return marked;
  }
  return prepare_tables(database, *found, missing, path);
}

}  // namespace

Result<std::unique_ptr<Database>> sqlite_database(const std::string& path, Missing missing) {
  const std::string file = path.empty() ? ":memory:" : path;
  // Opening it would make one.
  if (missing == Missing::refused && ::access(file.c_str(), F_OK) != 0) return nothing_at(file);
  Result<store::sqlite::Connection> connection =
      store::sqlite::Connection::open(file, store::sqlite::Mode::write, busy_timeout);
  if (!connection.ok()) return std::move(connection).error();
  // Any number of connections write; what is committed is safe. In WAL mode some versions of SQLite
  // can damage a file that two connections have open.
  const auto mode = connection->text("PRAGMA journal_mode = DELETE");
  if (!mode.ok()) return mode.error();
  if (auto set = connection->run("PRAGMA synchronous = FULL"); !set.ok()) {
    return std::move(set).error();
  }
  auto database = std::make_unique<SqliteDatabase>(*std::move(connection));
  if (auto begun = database->begin(); !begun.ok()) return std::move(begun).error();
  if (auto prepared = prepare_file(*database, file, missing); !prepared.ok()) {
    database->roll_back();
    return std::move(prepared).error();
  }
  if (auto committed = database->commit(); !committed.ok()) return std::move(committed).error();
  return std::unique_ptr<Database>(std::move(database));
}

}  // namespace limitr::server
