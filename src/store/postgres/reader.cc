// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/reader.h"

#include <set>
#include <utility>

#include <fmt/format.h>

#include "store/postgres/schema.h"

namespace limitr::store::postgres {
namespace {

// To count takes its time where there are many.
constexpr Millis count_timeout{60'000};

// Where names lead, directly or as alternate IDs: $1 are families, $2 IDs.
std::string keys_of_names(const std::string& schema) {
  return fmt::format(
      "(SELECT n.family, n.id FROM unnest($1::text[], $2::text[]) AS n(family, id)"
      " UNION SELECT a.customer_family, a.customer"
      " FROM unnest($1::text[], $2::text[]) AS n(family, id)"
      " JOIN {}.alt_ids a ON a.family = n.family AND a.alt = n.id) AS k",
      schema);
}

std::string owner_and_numbers(const std::string& schema) {
  return fmt::format(
      "SELECT {}, CASE WHEN o.was_shared THEN greatest(v.last_value, o.last_group)"
      " ELSE o.last_group END FROM {}.owner o, {}.versions v WHERE o.one = 1",
      owner_columns(schema), schema, schema);
}

std::optional<std::string> text_row(const Rows& rows, const std::string& name,
                                    std::vector<Damaged>& damaged) {
  for (int row = 0; row < rows.size(); ++row) {
    if (rows.text(row, 0) != name) continue;
    const std::uint64_t version = rows.whole(row, 1);
    std::string text = text_of(rows.text(row, 2));
    if (rows.whole(row, 3) == versioned_checksum(name, version, text)) {
      return version == 0 ? std::nullopt : std::optional(std::move(text));
    }
    damaged.push_back({.kind = "text",
                       .id = name,
                       .version = version,
                       .content = std::move(text),
                       .checksum = rows.whole(row, 3)});
    return std::nullopt;
  }
  // The row is there from the beginning, of version 0: one that is missing was lost.
  damaged.push_back({.kind = "text", .id = name});
  return std::nullopt;
}

/// Sends a transaction that reads, and gives what its statements gave.
Result<std::vector<Rows>> as_of_one_moment(
    Connection& connection, std::initializer_list<std::pair<std::string, Values>> statements) {
  auto sent = connection.send(begin_moment);
  for (const auto& [sql, values] : statements) {
    if (sent.ok()) sent = connection.send(sql, values);
  }
  if (sent.ok()) sent = connection.send("COMMIT");
  if (!sent.ok()) return std::move(sent).error();
  return connection.finish();
}

}  // namespace

StoredCustomer* FoundCustomers::by_key(const Key& key) {
  const auto found = customers_.find(key);
  return found == customers_.end() ? nullptr : &found->second;
}

std::map<Key, StoredCustomer>::const_iterator FoundCustomers::find(std::string_view name) const {
  const Key key = key_of(name);
  const auto found = customers_.find(key);
  const auto alt = alts_.find(key);
  return found == customers_.end() && alt != alts_.end() ? customers_.find(alt->second) : found;
}

const StoredCustomer* FoundCustomers::by_name(std::string_view name) const {
  const auto found = find(name);
  return found == customers_.end() ? nullptr : &found->second;
}

std::vector<StoredCustomer> FoundCustomers::take(std::span<const std::string> names) && {
  std::vector<StoredCustomer> all;
  std::set<Key> taken;
  for (const std::string& name : names) {
    const auto found = find(name);
    if (found == customers_.end() || !taken.insert(found->first).second) continue;
    all.push_back(std::move(*by_key(found->first)));
  }
  return all;
}

void KeyArrays::add(const Key& key) {
  families.add(key.family);
  ids.add(key.id);
}

void add_requests(const Rows& rows, FoundCustomers& found, std::vector<Damaged>& damaged) {
  for (int row = 0; row < rows.size(); ++row) {
    const Key key{.family = std::string(rows.text(row, 0)), .id = std::string(rows.text(row, 1))};
    StoredCustomer* customer = found.by_key(key);
    if (customer != nullptr) add_request(rows, row, *customer, damaged);
  }
}

Result<FoundCustomers> find_customers(Connection& connection, std::span<const std::string> names,
                                      std::vector<Damaged>& damaged) {
  const std::string schema = quoted(connection.address().schema);
  KeyArrays keys;
  std::map<Key, std::string> name_of;
  for (const std::string& name : names) {
    Key key = key_of(name);
    keys.add(key);
    name_of.insert({std::move(key), name});
  }
  const auto rows = as_of_one_moment(
      connection,
      {{fmt::format("SELECT {} FROM unnest($1::text[], $2::text[]) AS n(family, id)"
                    " JOIN {}.alt_ids a ON a.family = n.family AND a.alt = n.id",
                    alt_columns, schema),
        keys.values()},
       {fmt::format("SELECT {} FROM {} JOIN {}.customers c ON c.family = k.family AND c.id = k.id",
                    customer_columns, keys_of_names(schema), schema),
        keys.values()},
       {fmt::format("SELECT {} FROM {} JOIN {}.requests r ON r.family = k.family"
                    " AND r.customer = k.id ORDER BY r.family, r.customer, r.number",
                    request_columns, keys_of_names(schema), schema),
        keys.values()}});
  if (!rows.ok()) return rows.error();
  FoundCustomers found;
  const Rows& customers = (*rows)[2];
  for (int row = 0; row < customers.size(); ++row) {
    found.add({std::string(customers.text(row, 0)), std::string(customers.text(row, 1))},
              customer_row(customers, row, damaged));
  }
  const Rows& alts = (*rows)[1];
  for (int row = 0; row < alts.size(); ++row) {
    Key alt{std::string(alts.text(row, 0)), std::string(alts.text(row, 1))};
    Key customer{std::string(alts.text(row, 2)), std::string(alts.text(row, 3))};
    if (!is_good_alt(alts, row, damaged)) {
      // Nobody knows whom it led to.
      if (found.by_key(alt) == nullptr) {
        found.add(alt, unknown_customer(name_of[alt], damaged.back()));
      }
      continue;
    }
    found.add_alt(std::move(alt), std::move(customer));
  }
  add_requests((*rows)[3], found, damaged);
  return found;
}

Result<Overview> read_overview(Connection& connection, std::vector<Damaged>& damaged) {
  const std::string schema = quoted(connection.address().schema);
  const Millis silence = connection.set_silence(count_timeout);
  const auto rows = as_of_one_moment(
      connection, {{fmt::format("SET LOCAL statement_timeout = {}", count_timeout.count()), {}},
                   {owner_and_numbers(schema), {}},
                   {fmt::format("SELECT name, version, text, checksum FROM {}.texts", schema), {}},
                   {fmt::format("SELECT count(*) FROM {}.customers", schema), {}}});
  connection.set_silence(silence);
  if (!rows.ok()) return rows.error();
  Result<OwnerRow> owner = owner_row((*rows)[2], connection.address());
  if (!owner.ok()) return std::move(owner).error();
  Overview overview;
  overview.owner = *std::move(owner);
  overview.last_group = (*rows)[2].whole(0, 9);
  overview.estimates = text_row((*rows)[3], "estimates", damaged);
  overview.policy = text_row((*rows)[3], "policy", damaged);
  overview.customers = (*rows)[4].whole(0, 0);
  return overview;
}

Result<std::uint64_t> read_last_group(Connection& connection) {
  const auto rows = connection.run(owner_and_numbers(quoted(connection.address().schema)));
  if (!rows.ok()) return rows.error();
  const Result<OwnerRow> owner = owner_row(*rows, connection.address());
  if (!owner.ok()) return owner.error();
  return rows->whole(0, 9);
}

Result<Status> read_status(Connection& connection) {
  const Address& address = connection.address();
  std::vector<Damaged> ignored;
  Result<Overview> overview = read_overview(connection, ignored);
  if (!overview.ok()) return std::move(overview).error();
  const auto rows = connection.run(
      fmt::format("SELECT (SELECT count(*) FROM {0}.requests),"
                  " (SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c"
                  "  WHERE c.relnamespace = '{0}'::regnamespace AND c.relkind = 'r')",
                  quoted(address.schema)));
  if (!rows.ok()) return rows.error();
  Status status;
  status.kind = "postgres";
  if (overview->owner.is_alive) status.owner = overview->owner.owner;
  status.last_group = overview->last_group;
  status.customers = overview->customers;
  status.requests = rows->whole(0, 0);
  status.bytes = rows->whole(0, 1);
  status.schema = schema_version;
  const int version = connection.server_version();
  status.software = fmt::format("PostgreSQL {}.{}", version / 10'000, version % 10'000);
  return status;
}

}  // namespace limitr::store::postgres
