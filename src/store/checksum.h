// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "store/store.h"

// What every store proves its rows with. The sums are part of each store's format: what they are
// taken over never changes.
namespace limitr::store {

/// A sum (XXH3, 64 bits) over fields in their order. Each goes in with its length, so that no two
/// lists of fields read alike.
class Checksum {
public:
  Checksum& add(std::string_view text);
  Checksum& add(std::uint64_t number);
  std::uint64_t value() const;

private:
  std::string bytes_;
};

/// Of a record, or of another text that is kept under an ID.
std::uint64_t record_checksum(std::string_view id, std::uint64_t version, std::string_view record);

/// Of an answer that is remembered for a customer.
std::uint64_t request_checksum(std::string_view customer, const StoredRequest& request);

}  // namespace limitr::store
