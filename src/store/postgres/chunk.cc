// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/chunk.h"

#include <algorithm>
#include <map>

#include "store/checksum.h"

namespace limitr::store::postgres {
namespace {

// The server takes a statement in as a whole, and holds several copies of it.
constexpr std::size_t chunk_customers_max = 5'000;
constexpr std::size_t chunk_bytes_max = 8U << 20U;

}  // namespace

std::vector<Key> alt_keys(const CustomerWrite& write) {
  std::vector<Key> keys;
  for (const std::string& alt : write.alt_ids) {
    Key key = key_of(alt);
    if (std::ranges::find(keys, key) == keys.end()) keys.push_back(std::move(key));
  }
  return keys;
}

std::int64_t alt_checksum(const Key& alt, const Key& customer) {
  return as_signed(record_checksum(alt.id, 0, customer.id));
}

void RequestArrays::add(const std::string& customer, const StoredRequest& request) {
  numbers.add(as_signed(request.number));
  ids.add(column_text(request.id));
  fingerprints.add(as_signed(request.fingerprint));
  answers.add(column_text(request.answer));
  ats.add(request.at.time_since_epoch().count());
  sums.add(as_signed(request_checksum(customer, request)));
}

void RequestArrays::add_to(Values& values) const {
  for (const Array* array : {&numbers, &ids, &fingerprints, &answers, &ats, &sums}) {
    values.add(*array);
  }
}

bool Chunk::has_room_for(const CustomerWrite& write) const {
  if (empty()) return true;
  if (ids_.size() >= chunk_customers_max || bytes_ >= chunk_bytes_max) return false;
  if (names_.contains(key_of(write.id))) return false;
  return std::ranges::none_of(alt_keys(write),
                              [&](const Key& key) { return names_.contains(key); });
}

void Chunk::add(const CustomerWrite& write) {
  const Key key = key_of(write.id);
  names_.insert(key);
  families_.add(key.family);
  ids_.add(key.id);
  if (is_cut(key.id)) {
    full_ids_.add(column_text(write.id));
  } else {
    full_ids_.add_null();
  }
  first_requests_.add(as_signed(write.first_request));
  if (!write.record) {
    records_.add_null();
    alt_lists_.add("{}");
    sums_.add(std::int64_t{0});
    return;
  }
  records_.add(column_text(*write.record));
  sums_.add(as_signed(record_checksum(write.id, 0, *write.record)));
  bytes_ += write.record->size() + 2 * write.id.size();
  add_alt_ids(write, key);
  // One of the same number replaces what came before it.
  std::map<std::uint64_t, const StoredRequest*> last;
  for (const StoredRequest& request : write.new_requests) last[request.number] = &request;
  for (const auto& [number, request] : last) {
    request_families_.add(key.family);
    request_customers_.add(key.id);
    requests_.add(write.id, *request);
    bytes_ += request->answer.size();
  }
}

void Chunk::add_alt_ids(const CustomerWrite& write, const Key& key) {
  std::vector<std::string> alts;
  for (const Key& alt : alt_keys(write)) {
    alt_of_.add(static_cast<std::int64_t>(ids_.size()));
    alt_families_.add(alt.family);
    alts_.add(alt.id);
    alt_sums_.add(alt_checksum(alt, key));
    alts.push_back(alt.id);
    names_.insert(alt);
  }
  alt_lists_.add(array_literal(alts));
}

Values Chunk::customers(std::uint64_t group) const {
  Values values;
  values.add(group);
  for (const Array* array : {&families_, &ids_, &full_ids_, &records_, &alt_lists_, &sums_,
                             &first_requests_, &alt_of_, &alt_families_, &alts_, &alt_sums_}) {
    values.add(*array);
  }
  return values;
}

Values Chunk::requests() const {
  Values values;
  values.add(request_families_).add(request_customers_);
  requests_.add_to(values);
  return values;
}

}  // namespace limitr::store::postgres
