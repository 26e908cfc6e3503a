// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/redis/connection.h"
#include "store/store.h"

// Values as they stand under the keys, with their sums held against what is in them.
//
//   customer      VERSION SUM BYTES\n, the alternate IDs (so many BYTES), the record. An alternate
//                 ID there is LENGTH:ID and its sum; or, of another slot of a cluster, LENGTH;ID
//                 and its sum, which scripts of the customer's slot leave alone
//   alternate ID  its sum, a space, the ID of its customer
//   request       NUMBER FINGERPRINT AT SUM BYTES\n, its ID (so many BYTES), the answer
//   text          its sum, a space, the text
//
// Sums are 16 hexadecimal digits, but for the customer's. That one binds the version, which the
// server gives where the store is shared, to the rest: the sum of ID, alternate IDs and record,
// plus the version, modulo 2^52, so that a script can add it with its doubles.
namespace limitr::store::redis {

/// The version of a row of which not even that can be read. A write over it names this one.
inline constexpr std::uint64_t damaged_version = (1ULL << 52) - 1;

/// What a customer's write puts there.
struct CustomerRow {
  std::uint64_t sum = 0;  ///< Without the version.
  std::string alt_ids;
};

/// In a cluster, alternate IDs that are in other slots than the customer stand behind all others.
CustomerRow customer_row(const CustomerWrite& write, bool is_in_cluster = false);
/// All that stands before the record, once the version is known.
std::string row_head(const CustomerRow& row, std::uint64_t version);
/// The row of an alternate ID.
std::string alt_row(std::string_view alt, std::string_view customer);
/// The IDs in a customer's alternate IDs, as they stand in its row.
std::vector<std::string_view> alts_in(std::string_view alt_ids);
/// Whether a customer's row has that alternate ID. A row of which that cannot be read may have any.
bool may_have(std::string_view row, std::string_view alt);
std::uint64_t sum_of(std::uint64_t content, std::uint64_t version);

std::string request_row(std::string_view customer, const StoredRequest& request);
std::string text_row(std::string_view name, std::string_view text);

/// A customer as it stands under its key. What is damaged is left out, and the customer says so.
/// `place` is for messages.
StoredCustomer read_customer_row(std::string_view id, std::string_view row, const Value& requests,
                                 const std::string& place);

/// Whether the row of an alternate ID leads to that customer.
bool leads_to(std::string_view alt, std::string_view row, std::string_view customer);

/// None where it is not what was written.
std::optional<std::string> read_text_row(std::string_view name, std::string_view row);

/// The whole text as a number.
std::optional<std::uint64_t> to_number(std::string_view text, int base = 10);

}  // namespace limitr::store::redis
