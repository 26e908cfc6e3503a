// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/postgres/connection.h"

// The tables, and what a schema must be to have them. docs/stores.md explains them to whoever reads
// them by hand.
namespace limitr::store::postgres {

constexpr std::uint64_t schema_version = 1;

enum class Found : std::uint8_t {
  nothing,  ///< There is no such schema.
  empty,    ///< There is, with nothing in it.
  ours,
};

/// The schema's name as it stands in statements.
std::string quoted(const std::string& schema);

/// What the schema is. Changes nothing in it. Errors also: invalid_argument, where it is another
/// program's, or written by a newer limitr, or the database is not in UTF-8.
Result<Found> look_at(Connection& connection);

/// Makes the tables, with an owner row that no owner has written yet. REQUIRES: a transaction is
/// open, and look_at() has found nothing or an empty schema in it.
Result<void> make_tables(Connection& connection, Found found);

/// What the server does for us, as functions in the schema.
std::vector<std::string> functions_of(const std::string& schema);

}  // namespace limitr::store::postgres
