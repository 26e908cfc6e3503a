// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/schema.h"

#include <initializer_list>

#include <fmt/format.h>

#include "store/postgres/rows.h"

namespace limitr::store::postgres {
namespace {

// Keys begin with the family of the customer, so that a server which spreads rows over machines by
// it keeps together what is written together. Text is compared by its bytes. A row that is written
// again finds room on its own page, so that no index is touched.
constexpr const char* tables[] = {
    "CREATE TABLE {s}.limitr (key text PRIMARY KEY, value text NOT NULL)",
    "CREATE TABLE {s}.owner ("
    " one integer PRIMARY KEY CHECK (one = 1), epoch bigint NOT NULL, token bigint NOT NULL,"
    " host text NOT NULL, process bigint NOT NULL, since bigint NOT NULL,"
    " lease_until bigint NOT NULL, last_group bigint NOT NULL, was_shared boolean NOT NULL,"
    " checksum bigint NOT NULL)",
    "CREATE TABLE {s}.sharers ("
    " id bigint PRIMARY KEY, host text NOT NULL, process bigint NOT NULL, since bigint NOT NULL,"
    " lease_until bigint NOT NULL)",
    "CREATE TABLE {s}.written ("
    " sharer bigint NOT NULL, number bigint NOT NULL, versions bigint[] NOT NULL,"
    " PRIMARY KEY (sharer, number))",
    "CREATE SEQUENCE {s}.versions",
    "CREATE TABLE {s}.customers ("
    " family text COLLATE \"C\" NOT NULL, id text COLLATE \"C\" NOT NULL,"
    " full_id text COLLATE \"C\", version bigint NOT NULL, record text NOT NULL,"
    " alt_ids text[] COLLATE \"C\" NOT NULL, checksum bigint NOT NULL,"
    " PRIMARY KEY (family, id)) WITH (fillfactor = 85)",
    "CREATE INDEX customers_by_id ON {s}.customers (id)",
    "CREATE TABLE {s}.alt_ids ("
    " family text COLLATE \"C\" NOT NULL, alt text COLLATE \"C\" NOT NULL,"
    " customer_family text COLLATE \"C\" NOT NULL, customer text COLLATE \"C\" NOT NULL,"
    " checksum bigint NOT NULL, PRIMARY KEY (family, alt))",
    "CREATE INDEX alt_ids_by_customer ON {s}.alt_ids (customer_family, customer)",
    "CREATE TABLE {s}.requests ("
    " family text COLLATE \"C\" NOT NULL, customer text COLLATE \"C\" NOT NULL,"
    " number bigint NOT NULL, id text NOT NULL, fingerprint bigint NOT NULL, answer text NOT NULL,"
    " at bigint NOT NULL, checksum bigint NOT NULL, PRIMARY KEY (family, customer, number))",
    "CREATE TABLE {s}.texts ("
    " name text PRIMARY KEY, version bigint NOT NULL, text text NOT NULL,"
    " checksum bigint NOT NULL)",
    "CREATE TABLE {s}.damaged ("
    " kind text NOT NULL, id text NOT NULL, version bigint NOT NULL, content text NOT NULL,"
    " checksum bigint NOT NULL, found timestamptz NOT NULL DEFAULT clock_timestamp())",
};

// A record that is no JSON, being damaged, has no rows instead of ending the whole query. JSON may
// say NUL, which jsonb does not take: what views show has another character for it.
constexpr const char* json_functions[] = {
    R"(CREATE FUNCTION {s}.json_of(record text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  RETURN record::jsonb;
EXCEPTION WHEN data_exception THEN
  BEGIN
    RETURN replace(record, '\u0000', '\ufffd')::jsonb;
  EXCEPTION WHEN data_exception THEN
    RETURN NULL;
  END;
END $$)",
    R"(CREATE FUNCTION {s}.members(given jsonb) RETURNS TABLE (key text, value jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT key, value FROM jsonb_each(CASE WHEN jsonb_typeof(given) = 'object' THEN given ELSE '{}' END)
   WHERE jsonb_typeof(value) = 'object'
$$)",
    R"(CREATE FUNCTION {s}.time_of(ms jsonb) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(ms) = 'number' AND abs(ms::numeric) < 9e15
              THEN to_timestamp(ms::numeric / 1000.0) END
$$)",
    R"(CREATE FUNCTION {s}.number_of(value jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN value::double precision END
$$)",
};

enum class As : std::uint8_t { text, number, time, flag, json };

struct Column {
  const char* name;
  const char* field;
  As as;
};

// SELECT items for the fields of the JSON object in `source`; a time is a timestamptz, and beside
// it milliseconds.
std::string items(std::initializer_list<Column> columns) {
  std::string text;
  for (const Column& column : columns) {
    const std::string json = fmt::format("m.value -> '{}'", column.field);
    switch (column.as) {
      case As::text:
        text += fmt::format(", m.value ->> '{}' AS {}", column.field, column.name);
        break;
      case As::number: text += fmt::format(", {{s}}.number_of({}) AS {}", json, column.name); break;
      case As::flag: text += fmt::format(", ({} = 'true'::jsonb) AS {}", json, column.name); break;
      case As::json: text += fmt::format(", nullif({}, 'null') AS {}", json, column.name); break;
      case As::time:
        text += fmt::format(", {{s}}.time_of({0}) AS {1}, {{s}}.number_of({0})::bigint AS {1}_ms",
                            json, column.name);
        break;
    }
  }
  return text;
}

std::vector<std::string> views() {
  constexpr const char* of =
      " FROM {s}.customers c CROSS JOIN LATERAL {s}.members({s}.json_of(c.record) -> ";
  return {
      "CREATE VIEW {s}.meters AS SELECT c.family, c.id AS customer, m.key AS entitlement" +
          items({{"credit", "credit", As::text},
                 {"value", "value", As::number},
                 {"overhead", "overhead", As::number},
                 {"started", "started", As::time},
                 {"rate", "ewma_rate", As::number}}) +
          of + "'meters') m",
      "CREATE VIEW {s}.grants AS SELECT c.family, c.id AS customer, m.key AS id" +
          items({{"credit", "credit", As::text},
                 {"topup", "topup", As::text},
                 {"value", "value", As::number},
                 {"starting_value", "starting_value", As::number},
                 {"added", "added", As::number},
                 {"drawn", "drawn", As::number},
                 {"lost", "lost", As::number},
                 {"granted_on", "granted_on", As::time},
                 {"last_reset", "last_reset", As::time},
                 {"expires_on", "expires_on", As::time},
                 {"seq", "seq", As::number}}) +
          of + "'grants') m",
      "CREATE VIEW {s}.caps AS SELECT c.family, c.id AS customer, m.key AS id" +
          items({{"credit", "credit", As::text},
                 {"value", "value", As::number},
                 {"meter_value", "meter_value", As::number},
                 {"scope", "scope", As::json},
                 {"shared", "shared", As::flag},
                 {"shared_with", "shared_with", As::json},
                 {"observe_only", "observe_only", As::flag},
                 {"started", "started", As::time},
                 {"last_reset", "last_reset", As::time},
                 {"expires_on", "expires_on", As::time},
                 {"seq", "seq", As::number}}) +
          of + "'caps') m",
      "CREATE VIEW {s}.holds AS SELECT c.family, c.id AS customer, e.key AS entitlement, m.key AS "
      "id" +
          items({{"value", "value", As::number},
                 {"overhead", "overhead", As::number},
                 {"expires", "expires", As::time},
                 {"basis", "basis", As::json},
                 {"segment", "segment", As::text}}) +
          of + "'meters') e CROSS JOIN LATERAL {s}.members(e.value -> 'holds') m",
  };
}

Error no_store(std::string what) {
  return {.code = ErrorCode::invalid_argument, .message = std::move(what)};
}

Result<Found> look_inside(Connection& connection) {
  const Address& address = connection.address();
  const auto written = connection.run(
      fmt::format("SELECT value FROM {}.limitr WHERE key = 'schema'", quoted(address.schema)));
  if (!written.ok()) return written.error();
  const std::string version(written->empty() ? std::string_view() : written->text(0, 0));
  if (version == std::to_string(schema_version)) return Found::ours;
  const bool is_number =
      !version.empty() && version.find_first_not_of("0123456789") == std::string::npos;
  if (is_number && version != "0") {
    return no_store(fmt::format(
        "`{}` was written by a newer limitr (tables of version {}; this one knows {}): open it "
        "with that",
        address.name, version, schema_version));
  }
  return Error{.code = ErrorCode::data_corrupt,
               .message = fmt::format("`{}` does not say which tables it has: restore a backup",
                                      address.name)};
}

}  // namespace

std::string quoted(const std::string& schema) { return '"' + schema + '"'; }

Result<Found> look_at(Connection& connection) {
  const Address& address = connection.address();
  const auto found = connection.run(
      "SELECT current_setting('server_encoding'),"
      // What a server keeps beside the customers may be there first.
      " (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid"
      "  AND c.relname NOT LIKE 'limitr\\_%'),"
      " (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid"
      "  AND c.relname IN ('limitr', 'owner') AND c.relkind = 'r'), n.oid IS NOT NULL"
      " FROM (SELECT 1) x LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1",
      Values().add(address.schema));
  if (!found.ok()) return found.error();
  if (found->text(0, 0) != "UTF8") {
    return no_store(fmt::format("`{}`: the database is in {}: make one with ENCODING 'UTF8'",
                                address.name, found->text(0, 0)));
  }
  if (found->number(0, 3) == 0) return Found::nothing;
  if (found->number(0, 1) == 0) return Found::empty;
  if (found->number(0, 2) == 2) return look_inside(connection);
  return no_store(fmt::format(
      "`{}`: the schema has tables of another program: name one of our own with ?schema=",
      address.name));
}

Result<void> make_tables(Connection& connection, Found found) {
  const std::string schema = quoted(connection.address().schema);
  const auto in_schema = [&](std::string sql) {
    for (std::size_t at = sql.find("{s}"); at != std::string::npos; at = sql.find("{s}", at)) {
      sql.replace(at, 3, schema);
    }
    return sql;
  };
  std::vector<std::string> all;
  if (found == Found::nothing) all.emplace_back("CREATE SCHEMA {s}");
  all.insert(all.end(), std::begin(tables), std::end(tables));
  all.insert(all.end(), std::begin(json_functions), std::end(json_functions));
  for (std::string& view : views()) all.push_back(std::move(view));
  for (std::string& function : functions_of(schema)) all.push_back(std::move(function));
  all.push_back(
      fmt::format("INSERT INTO {{s}}.limitr VALUES ('schema', '{}'), ('about', 'a store of limitr: "
                  "docs/stores.md')",
                  schema_version));
  all.push_back(fmt::format("INSERT INTO {{s}}.owner VALUES (1, 0, 0, '', 0, 0, 0, 0, false, {})",
                            as_signed(OwnerRow().checksum())));
  all.push_back(
      fmt::format("INSERT INTO {{s}}.texts VALUES ('estimates', 0, '', {}), ('policy', 0, '', {})",
                  as_signed(versioned_checksum("estimates", 0, "")),
                  as_signed(versioned_checksum("policy", 0, ""))));
  for (const std::string& sql : all) {
    if (auto sent = connection.send_once(in_schema(sql)); !sent.ok()) return sent;
  }
  if (auto made = connection.finish(); !made.ok()) return std::move(made).error();
  return {};
}

}  // namespace limitr::store::postgres
