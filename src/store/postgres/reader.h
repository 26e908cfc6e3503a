// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/postgres/connection.h"
#include "store/postgres/keys.h"
#include "store/postgres/rows.h"
#include "store/store.h"

// What only reads, on any connection. What is read in one call is as of one moment.
namespace limitr::store::postgres {

/// Customers, and where the names lead by which they were asked for.
class FoundCustomers {
public:
  void add(Key key, StoredCustomer customer) {
    customers_.insert_or_assign(std::move(key), std::move(customer));
  }
  void add_alt(Key alt, Key customer) { alts_.insert({std::move(alt), std::move(customer)}); }

  StoredCustomer* by_key(const Key& key);
  /// The customer whose ID, or else whose alternate ID that is; none where there is none.
  const StoredCustomer* by_name(std::string_view name) const;
  /// Each of those that the names lead to, once.
  std::vector<StoredCustomer> take(std::span<const std::string> names) &&;

private:
  std::map<Key, StoredCustomer>::const_iterator find(std::string_view name) const;

  std::map<Key, StoredCustomer> customers_;
  std::map<Key, Key> alts_;
};

/// Those of these IDs or alternate IDs. REQUIRES: no transaction is open.
Result<FoundCustomers> find_customers(Connection& connection, std::span<const std::string> names,
                                      std::vector<Damaged>& damaged);

/// What is read of a store when it is opened, or asked how it is.
struct Overview {
  OwnerRow owner;
  std::uint64_t last_group = 0;
  std::uint64_t customers = 0;
  std::optional<std::string> estimates;
  std::optional<std::string> policy;
};

Result<Overview> read_overview(Connection& connection, std::vector<Damaged>& damaged);
Result<std::uint64_t> read_last_group(Connection& connection);
Result<Status> read_status(Connection& connection);

/// REQUIRES: the connection is for this alone.
Result<void> scan_customers(Connection& connection, const std::optional<std::string>& after,
                            const std::function<bool(StoredCustomer)>& visit,
                            std::vector<Damaged>& damaged);

/// Statements that read what these keys lead to, as of the moment of the transaction.
struct KeyArrays {
  Array families{Array::Of::text}, ids{Array::Of::text};

  void add(const Key& key);
  Values values() const { return Values().add(families).add(ids); }
};

/// Adds what is there of these customers' requests, in the order of their numbers.
void add_requests(const Rows& rows, FoundCustomers& found, std::vector<Damaged>& damaged);

constexpr const char* begin_moment = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

}  // namespace limitr::store::postgres
