// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/schema.h"

#include <fmt/format.h>

#include "store/checksum.h"
#include "store/sqlite/rows.h"

namespace limitr::store::sqlite {
namespace {

// "lmtr", where SQLite has a place for such a mark.
constexpr std::uint64_t application_id = 0x6c6d7472;

// Customers are a table with row numbers: a record of usual size would not fit the pages of one
// without, and writing it would touch two pages.
constexpr const char* tables = R"(
CREATE TABLE limitr (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE owner (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL, host TEXT NOT NULL, process INTEGER NOT NULL, since INTEGER NOT NULL,
  last_group INTEGER NOT NULL,
  customers INTEGER NOT NULL, alt_ids INTEGER NOT NULL, requests INTEGER NOT NULL,
  checksum INTEGER NOT NULL);
CREATE TABLE customers (
  id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL,
  checksum INTEGER NOT NULL);
CREATE TABLE alt_ids (
  alt TEXT PRIMARY KEY NOT NULL, customer TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX alt_ids_by_customer ON alt_ids (customer);
CREATE TABLE requests (
  customer TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, fingerprint INTEGER NOT NULL,
  answer TEXT NOT NULL, at INTEGER NOT NULL, checksum INTEGER NOT NULL,
  PRIMARY KEY (customer, number)) WITHOUT ROWID;
CREATE TABLE texts (
  name TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, text TEXT NOT NULL,
  checksum INTEGER NOT NULL);
CREATE TABLE damaged (
  kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, content TEXT NOT NULL,
  checksum INTEGER NOT NULL,
  found TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
)";

// A record that is no JSON, being damaged, has no rows instead of ending the whole query.
constexpr const char* views = R"(
CREATE VIEW records (customer, record) AS
  SELECT id, iif(json_valid(record), record, NULL) FROM customers;
)";

struct Column {
  const char* name;
  const char* field;
  bool is_time;
};

// SELECT items for the fields of the JSON object in `source`; a time is ISO text, and beside it
// milliseconds.
std::string items(const char* source, std::initializer_list<Column> columns) {
  std::string text;
  for (const Column& column : columns) {
    const std::string value = fmt::format("json_extract({}, '$.{}')", source, column.field);
    if (column.is_time) {
      text += fmt::format(
          ",\n  strftime('%Y-%m-%dT%H:%M:%fZ', {0} / 1000.0, 'unixepoch') AS {1},\n  {0} AS {1}_ms",
          value, column.name);
    } else {
      text += fmt::format(",\n  {} AS {}", value, column.name);
    }
  }
  return text;
}

std::string meters() {
  return "CREATE VIEW meters AS SELECT customer, meter.key AS entitlement" +
         items("meter.value", {{"credit", "credit", false},
                               {"value", "value", false},
                               {"overhead", "overhead", false},
                               {"started", "started", true},
                               {"rate", "ewma_rate", false}}) +
         "\nFROM records, json_each(records.record, '$.meters') AS meter"
         "\nWHERE meter.type = 'object';";
}

std::string grants() {
  return "CREATE VIEW grants AS SELECT customer, granted.key AS id" +
         items("granted.value", {{"credit", "credit", false},
                                 {"topup", "topup", false},
                                 {"value", "value", false},
                                 {"starting_value", "starting_value", false},
                                 {"added", "added", false},
                                 {"drawn", "drawn", false},
                                 {"lost", "lost", false},
                                 {"granted_on", "granted_on", true},
                                 {"last_reset", "last_reset", true},
                                 {"expires_on", "expires_on", true},
                                 {"seq", "seq", false}}) +
         "\nFROM records, json_each(records.record, '$.grants') AS granted"
         "\nWHERE granted.type = 'object';";
}

std::string caps() {
  return "CREATE VIEW caps AS SELECT customer, cap.key AS id" +
         items("cap.value", {{"credit", "credit", false},
                             {"value", "value", false},
                             {"meter_value", "meter_value", false},
                             {"scope", "scope", false},
                             {"shared", "shared", false},
                             {"shared_with", "shared_with", false},
                             {"observe_only", "observe_only", false},
                             {"started", "started", true},
                             {"last_reset", "last_reset", true},
                             {"expires_on", "expires_on", true},
                             {"seq", "seq", false}}) +
         "\nFROM records, json_each(records.record, '$.caps') AS cap"
         "\nWHERE cap.type = 'object';";
}

std::string holds() {
  return "CREATE VIEW holds AS SELECT customer, meter.key AS entitlement, hold.key AS id" +
         items("hold.value", {{"value", "value", false},
                              {"overhead", "overhead", false},
                              {"expires", "expires", true},
                              {"basis", "basis", false},
                              {"segment", "segment", false}}) +
         "\nFROM records, json_each(records.record, '$.meters') AS meter,"
         " json_each(meter.value, '$.holds') AS hold"
         "\nWHERE meter.type = 'object' AND hold.type = 'object';";
}

// As SQLite has its integers.
std::int64_t signed_sum(std::uint64_t sum) { return static_cast<std::int64_t>(sum); }

Error no_store(const std::string& what) {
  return {.code = ErrorCode::invalid_argument, .message = what};
}

}  // namespace

Result<Found> look_at(const Connection& connection) {
  const std::string path = connection.path();
  const auto things = connection.number("SELECT count(*) FROM sqlite_schema");
  if (!things.ok()) return things.error();
  const auto mark = connection.number("PRAGMA application_id");
  const auto version = connection.number("PRAGMA user_version");
  const auto named =
      connection.number("SELECT count(*) FROM sqlite_schema WHERE name IN ('limitr', 'owner')");
  if (!mark.ok()) return mark.error();
  if (!version.ok()) return version.error();
  if (!named.ok()) return named.error();
  if (*things == 0 && *mark == 0 && *version == 0) return Found::empty;
  if (*named == 0 && *mark != application_id) {
    return no_store(fmt::format("`{}` is another program's database", path));
  }
  const auto written = connection.number("SELECT value FROM limitr WHERE key = 'schema'");
  if (!written.ok()) return written.error();
  if (*written != *version || *mark != application_id || *written == 0) {
    return Error{
        .code = ErrorCode::data_corrupt,
        .message = fmt::format("`{}` does not say which tables it has: restore a backup", path)};
  }
  if (*version > schema_version) {
    return no_store(
        fmt::format("`{}` was written by a newer limitr (tables of version {}; "
                    "this one knows {}): open it with that",
                    path, *version, schema_version));
  }
  return Found::ours;
}

Result<void> make_tables(const Connection& connection) {
  const std::string marks = fmt::format(
      "PRAGMA application_id = {}; PRAGMA user_version = {};"
      "INSERT INTO limitr VALUES ('schema', {}), ('about', 'a store of limitr: docs/stores.md');"
      "INSERT INTO owner VALUES (1, 0, '', 0, 0, 0, 0, 0, 0, {});"
      "INSERT INTO texts VALUES ('estimates', 0, '', {}), ('policy', 0, '', {});",
      application_id, schema_version, schema_version, signed_sum(OwnerRow().checksum()),
      signed_sum(record_checksum("estimates", 0, "")),
      signed_sum(record_checksum("policy", 0, "")));
  for (const std::string& sql :
       {std::string(tables), std::string(views), meters(), grants(), caps(), holds(), marks}) {
    if (auto run = connection.run(sql.c_str()); !run.ok()) return run;
  }
  return {};
}

}  // namespace limitr::store::sqlite
