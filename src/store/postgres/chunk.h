// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "store/postgres/keys.h"
#include "store/postgres/values.h"
#include "store/store.h"

namespace limitr::store::postgres {

/// Requests as the values of a statement.
struct RequestArrays {
  Array numbers{Array::Of::bigint}, ids{Array::Of::text}, fingerprints{Array::Of::bigint},
      answers{Array::Of::text}, ats{Array::Of::bigint}, sums{Array::Of::bigint};

  void add(const std::string& customer, const StoredRequest& request);
  void add_to(Values& values) const;
};

/// Customers of a group that are written by one statement.
class Chunk {
public:
  /// Whether it fits in: a statement has an end, and takes no customer, nor alternate ID, twice.
  bool has_room_for(const CustomerWrite& write) const;
  /// REQUIRES: has_room_for(write).
  void add(const CustomerWrite& write);

  bool empty() const { return ids_.size() == 0; }
  bool has_requests() const { return requests_.numbers.size() > 0; }
  /// Of the functions write_customers and put_requests.
  Values customers(std::uint64_t group) const;
  Values requests() const;

private:
  void add_alt_ids(const CustomerWrite& write, const Key& key);

  std::set<Key> names_;  // all IDs and alternate IDs in it
  std::size_t bytes_ = 0;
  Array families_{Array::Of::text}, ids_{Array::Of::text}, full_ids_{Array::Of::text},
      records_{Array::Of::text}, alt_lists_{Array::Of::text}, sums_{Array::Of::bigint},
      first_requests_{Array::Of::bigint};
  Array alt_of_{Array::Of::integer}, alt_families_{Array::Of::text}, alts_{Array::Of::text},
      alt_sums_{Array::Of::bigint};
  Array request_families_{Array::Of::text}, request_customers_{Array::Of::text};
  RequestArrays requests_;
};

/// The alternate IDs of a customer, each once.
std::vector<Key> alt_keys(const CustomerWrite& write);
/// What stands beside an alternate ID.
std::int64_t alt_checksum(const Key& alt, const Key& customer);

}  // namespace limitr::store::postgres
