// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/damaged.h"
#include "store/postgres/connection.h"
#include "store/postgres/keys.h"
#include "store/store.h"

// Rows as they are read, with their checksums held against what is in them.
namespace limitr::store::postgres {

/// The one row of `owner`: who owns the store or did last, and the last group.
struct OwnerRow {
  std::uint64_t epoch = 0;
  std::int64_t token = 0;  ///< Of the store object that owns; 0: nobody does.
  Owner owner;
  std::uint64_t last_group = 0;
  /// Others have shared the store since it was owned last: what they have numbered counts too.
  bool was_shared = false;
  bool is_alive = false;  ///< Its lease has not run out. Not in the checksum.

  std::uint64_t checksum() const;
};

/// The row as a statement of owner_columns gives it. Errors: data_corrupt.
Result<OwnerRow> owner_row(const Rows& rows, const Address& address);

/// SELECT items of `owner`, in the schema, which is quoted already.
std::string owner_columns(const std::string& schema);

/// What stands in `checksum` beside a record or text. A sum over all, to which the version is added
/// bit by bit: the server knows it before we do.
std::uint64_t versioned_checksum(std::string_view id, std::uint64_t version,
                                 std::string_view record);

constexpr std::string_view customer_columns =
    "c.family, c.id, c.full_id, c.version, c.record, c.checksum";
/// A customer of customer_columns. A damaged one is added to `damaged`.
StoredCustomer customer_row(const Rows& rows, int row, std::vector<Damaged>& damaged);

constexpr std::string_view request_columns =
    "r.family, r.customer, r.number, r.id, r.fingerprint, r.answer, r.at, r.checksum";
/// Adds a request of request_columns to its customer. Of a damaged one the customer says so, and is
/// without it.
void add_request(const Rows& rows, int row, StoredCustomer& customer,
                 std::vector<Damaged>& damaged);

constexpr std::string_view alt_columns =
    "a.family, a.alt, a.customer_family, a.customer, a.checksum";
/// Whether a row of alt_columns leads where it was written to lead.
bool is_good_alt(const Rows& rows, int row, std::vector<Damaged>& damaged);
/// A customer of whom only this is known: under this ID stands what was not written.
StoredCustomer unknown_customer(std::string id, const Damaged& damaged);

}  // namespace limitr::store::postgres
