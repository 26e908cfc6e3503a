// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/connection.h"

#include <fmt/format.h>

namespace limitr::store::sqlite {
namespace {

// A modest cache: what the engine asks for it keeps itself. A page that is no page of its tree is
// noticed when it is read.
constexpr const char* settings =
    "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;"
    "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;";

ErrorCode code_of(int code) {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR:  // Our statements fit our tables; where they do not, these are not ours.
      return ErrorCode::data_corrupt;
    case SQLITE_TOOBIG: return ErrorCode::invalid_argument;
    default: return ErrorCode::store_unavailable;
  }
}

std::string_view advice(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL: return "make room on its disk";
    case SQLITE_READONLY: return "it must be writable, its folder too";
    case SQLITE_CANTOPEN:
    case SQLITE_PERM: return "it must be readable and writable, its folder too";
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return "another program holds it: only the owner may write to it";
    case SQLITE_IOERR: return "look after its disk, and its free space";
    case SQLITE_TOOBIG: return "a record is larger than SQLite takes";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR: return "restore a backup, or save what can be read by sqlite3's .recover";
    default: return "try again";
  }
}

Error error_of(sqlite3* handle, std::string_view path) {
  const int code = sqlite3_extended_errcode(handle);
  return {.code = code_of(code),
          .message = fmt::format("`{}`: {} (SQLite code {}); {}", path, sqlite3_errmsg(handle),
                                 code, advice(code))};
}

Error error_of(sqlite3* handle) {
  const char* path = sqlite3_db_filename(handle, "main");
  return error_of(handle, path ? path : "");
}

}  // namespace

Result<bool> Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  Error error = error_of(sqlite3_db_handle(handle_.get()));
  reset();
  return error;
}

Result<void> Statement::run() {
  Result<bool> stepped = step();
  if (!stepped.ok()) return std::move(stepped).error();
  reset();
  return {};
}

std::string_view Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(handle_.get(), column);
  const int size = sqlite3_column_bytes(handle_.get(), column);
  return {static_cast<const char*>(bytes), bytes ? static_cast<std::size_t>(size) : 0};
}

std::uint64_t Statement::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(handle_.get(), column));
}

void Statement::bind_at(int index, std::string_view text) {
  // No address at all would be NULL, not an empty text.
  sqlite3_bind_text64(handle_.get(), index, text.data() ? text.data() : "", text.size(),
                      SQLITE_STATIC, SQLITE_UTF8);
}

void Statement::bind_at(int index, std::uint64_t number) {
  sqlite3_bind_int64(handle_.get(), index, static_cast<sqlite3_int64>(number));
}

Result<Connection> Connection::open(const std::string& path, Mode mode, Millis busy_timeout) {
  const int flags =
      mode == Mode::write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Connection connection;
  connection.handle_.reset(handle);
  if (!handle) return Error{.code = ErrorCode::store_unavailable, .message = "out of memory"};
  sqlite3_extended_result_codes(handle, 1);
  if (code != SQLITE_OK) return error_of(handle, path);
  sqlite3_busy_timeout(handle, static_cast<int>(busy_timeout.count()));
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  if (mode == Mode::read) {
    sqlite3_wal_autocheckpoint(handle, 0);
    connection.abandon();
  }
  Result<void> set = connection.run(settings);
  if (set.ok()) return connection;
  if ((connection.failure() & 0xff) != SQLITE_NOTADB) return std::move(set).error();
  return Error{
      .code = ErrorCode::invalid_argument,
      .message = fmt::format("`{}` is no SQLite database, or its first page is damaged", path)};
}

Result<Statement> Connection::prepare(std::string_view sql) const {
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  Statement statement;
  statement.handle_.reset(handle);
  if (code != SQLITE_OK) return error_of(handle_.get());
  return statement;
}

Result<void> Connection::run(const char* sql) const {
  const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error_of(handle_.get());
  return {};
}

Result<std::uint64_t> Connection::number(std::string_view sql) const {
  Result<Statement> statement = prepare(sql);
  if (!statement.ok()) return std::move(statement).error();
  Result<bool> row = statement->step();
  if (!row.ok()) return std::move(row).error();
  return *row ? statement->number(0) : 0;
}

Result<std::string> Connection::text(std::string_view sql) const {
  Result<Statement> statement = prepare(sql);
  if (!statement.ok()) return std::move(statement).error();
  Result<bool> row = statement->step();
  if (!row.ok()) return std::move(row).error();
  return *row ? std::string(statement->text(0)) : std::string();
}

std::uint64_t Connection::changes() const {
  return static_cast<std::uint64_t>(sqlite3_changes64(handle_.get()));
}

std::string Connection::path() const {
  const char* path = sqlite3_db_filename(handle_.get(), "main");
  return path ? path : "";
}

bool Connection::has_moved() const {
  int moved = 0;
  sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

void Connection::abandon() const {
  sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

}  // namespace limitr::store::sqlite
