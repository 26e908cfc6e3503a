// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <limitr/error.h>
#include "store/store.h"

// Rows of tables that are not what was written.
namespace limitr::store {

/// Such a row, as it was found.
struct Damaged {
  std::string kind = {};  ///< customer, request, alternate ID or text.
  std::string id = {};
  std::uint64_t version = 0;
  std::string content = {};
  std::uint64_t checksum = 0;  ///< What the row says it is.
};

/// data_corrupt, naming the row, and where whoever may write keeps what was found.
Error error_of(const Damaged& damaged);

/// Makes a damaged one of a customer whose row has this checksum.
void take_record_out(StoredCustomer& customer, std::uint64_t checksum,
                     std::vector<Damaged>& damaged);

/// Adds a request whose row has this checksum. Of a damaged one the customer says so, and is
/// without it.
void add_request(StoredRequest request, std::uint64_t checksum, StoredCustomer& customer,
                 std::vector<Damaged>& damaged);

}  // namespace limitr::store
