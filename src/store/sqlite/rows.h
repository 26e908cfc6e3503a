// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/damaged.h"
#include "store/sqlite/connection.h"
#include "store/store.h"

// Rows as they are read, with their checksums held against what is in them.
namespace limitr::store::sqlite {

/// How many rows there should be. Written with each group, so that rows that vanish are missed.
struct Counts {
  std::uint64_t customers = 0;
  std::uint64_t alt_ids = 0;
  std::uint64_t requests = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
};

/// The one row of `owner`: who wrote last, and up to where.
struct OwnerRow {
  std::uint64_t epoch = 0;
  Owner owner;
  std::uint64_t last_group = 0;
  Counts counts;

  std::uint64_t checksum() const;
};

/// Errors: data_corrupt, where it is not what was written.
Result<OwnerRow> read_owner(const Connection& connection);

/// A customer of the columns id, version, record, checksum. A damaged one is added to `damaged`.
StoredCustomer customer_row(const Statement& row, std::vector<Damaged>& damaged);

/// Adds a request of the columns customer, number, id, fingerprint, answer, at, checksum to its
/// customer. Of a damaged one the customer says so, and is without it.
void add_request(const Statement& row, StoredCustomer& customer, std::vector<Damaged>& damaged);

constexpr std::string_view request_columns =
    "SELECT customer, number, id, fingerprint, answer, at, checksum FROM requests ";

}  // namespace limitr::store::sqlite
