// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <fmt/format.h>

#include "server/control_database.h"
#include "store/postgres/connection.h"
#include "store/postgres/schema.h"

namespace limitr::server {
namespace {

// Whose lease runs at which server: control.h knows nothing of it, postgres_peers.h does.
constexpr std::string_view peers_table =
    "CREATE TABLE {s}limitr_engines ("
    " project text NOT NULL, engine text NOT NULL, server text NOT NULL,"
    " lease_until bigint NOT NULL, deny_unconnected boolean NOT NULL,"
    " PRIMARY KEY (project, engine, server)) WITH (fillfactor = 50)";

constexpr store::postgres::Timeouts timeouts{.connect = Millis(2'000), .silence = Millis(5'000)};

SqlRows rows_of(const store::postgres::Rows& given) {
  std::vector<std::vector<SqlValue>> rows(static_cast<std::size_t>(given.size()));
  for (int row = 0; row < given.size(); ++row) {
    for (int column = 0; column < given.columns(); ++column) {
      if (given.is_text(column)) {
        rows[static_cast<std::size_t>(row)].emplace_back(std::string(given.text(row, column)));
      } else {
        rows[static_cast<std::size_t>(row)].emplace_back(given.number(row, column));
      }
    }
  }
  return SqlRows(std::move(rows));
}

class PostgresDatabase final : public Database {
public:
  explicit PostgresDatabase(store::postgres::Address address)
      : address_(std::move(address)), prefix_(store::postgres::quoted(address_.schema) + ".") {}

  Result<SqlRows> run(std::string_view sql, std::initializer_list<SqlValue> values) override {
    auto rows = run_once(sql, values);
    // A server that has been started anew has closed the connection meanwhile. Outside of a
    // transaction there are only statements that read.
    if (!rows.ok() && connection_ && connection_->is_broken() && !is_in_transaction_) {
      rows = run_once(sql, values);
    }
    return rows;
  }

  Result<void> begin() override {
    auto begun = run("BEGIN", {});
    if (!begun.ok()) return std::move(begun).error();
    is_in_transaction_ = true;
    return {};
  }

  Result<void> commit() override {
    auto committed = run("COMMIT", {});
    is_in_transaction_ = false;
    if (committed.ok()) return {};
    Error error = std::move(committed).error();
    if (connection_ && connection_->may_have_happened()) {
      error.code = ErrorCode::outcome_unknown;
      error.message += "; look whether it was changed";
    }
    connection_.reset();
    return error;
  }

  void roll_back() override {
    is_in_transaction_ = false;
    if (!connection_ || connection_->is_broken() || !connection_->run("ROLLBACK").ok()) {
      connection_.reset();  // The server rolls back what is not committed.
    }
  }

private:
  Result<SqlRows> run_once(std::string_view sql, std::initializer_list<SqlValue> values) {
    if (!is_in_transaction_ && (!connection_ || connection_->is_broken())) {
      auto opened = store::postgres::Connection::open(address_, timeouts);
      if (!opened.ok()) return std::move(opened).error();
      connection_ = *std::move(opened);
    }
    std::string placed(sql);
    for (std::size_t at = placed.find("{s}"); at != std::string::npos;
         at = placed.find("{s}", at)) {
      placed.replace(at, 3, prefix_);
    }
    store::postgres::Values all;
    for (const SqlValue& value : values) {
      if (const auto* text = std::get_if<std::string>(&value)) {
        all.add(*text);
      } else {
        all.add(std::get<std::int64_t>(value));
      }
    }
    const Result<store::postgres::Rows> rows = connection_->run(placed, all);
    if (!rows.ok()) return rows.error();
    return rows_of(*rows);
  }

  const store::postgres::Address address_;
  const std::string prefix_;
  std::unique_ptr<store::postgres::Connection> connection_;
  bool is_in_transaction_ = false;
};

/// Whether the schema has our tables. It may be missing, or have a store in it or none.
/// REQUIRES: begin() was called.
Result<bool> has_tables(Database& database, const store::postgres::Address& address,
                        Missing missing) {
  // Two that come at once: the second one finds what the first has made. Stores wait here too.
  auto alone = database.run(
      "SELECT (pg_advisory_xact_lock(hashtextextended('limitr schema ' || $1::text, 0)))::text",
      {address.schema});
  if (!alone.ok()) return std::move(alone).error();
  auto found = database.run(
      "SELECT (SELECT count(*) FROM pg_catalog.pg_namespace n WHERE n.nspname = $1),"
      " (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
      "  ON c.relnamespace = n.oid WHERE n.nspname = $1 AND c.relname = 'limitr_cloud')",
      {address.schema});
  if (!found.ok()) return std::move(found).error();
  if (found->number(0, 0) == 0 && missing == Missing::made) {
    auto made = database.run("CREATE SCHEMA " + store::postgres::quoted(address.schema), {});
    if (!made.ok()) return std::move(made).error();
  }
  return found->number(0, 1) != 0;
}

Result<void> prepare_schema(Database& database, const store::postgres::Address& address,
                            Missing missing) {
  const Result<bool> found = has_tables(database, address, missing);
  if (!found.ok()) return found.error();
  if (!*found && missing == Missing::made) {
    auto made = database.run(peers_table, {});
    if (!made.ok()) return std::move(made).error();
  }
  return prepare_tables(database, *found, missing, address.name);
}

}  // namespace

Result<std::unique_ptr<Database>> postgres_database(std::string_view url, Missing missing) {
  Result<store::postgres::Address> address = store::postgres::read_address(url);
  if (!address.ok()) return std::move(address).error();
  auto database = std::make_unique<PostgresDatabase>(*address);
  if (auto begun = database->begin(); !begun.ok()) return std::move(begun).error();
  if (auto prepared = prepare_schema(*database, *address, missing); !prepared.ok()) {
    database->roll_back();
    return std::move(prepared).error();
  }
  if (auto committed = database->commit(); !committed.ok()) return std::move(committed).error();
  return std::unique_ptr<Database>(std::move(database));
}

}  // namespace limitr::server
