// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "store/sqlite/connection.h"

// The tables, and what a file must be to have them. docs/stores.md explains them to whoever reads
// the file by hand.
namespace limitr::store::sqlite {

constexpr std::uint64_t schema_version = 1;

enum class Found : std::uint8_t { empty, ours };

/// What the file is. Changes nothing in it. Errors also: invalid_argument, where it is another
/// program's, or written by a newer limitr.
Result<Found> look_at(const Connection& connection);

/// Makes the tables, with an owner row that no owner has written yet. REQUIRES: the file is empty,
/// and a transaction is open.
Result<void> make_tables(const Connection& connection);

}  // namespace limitr::store::sqlite
