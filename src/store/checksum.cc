// SPDX-License-Identifier: Apache-2.0
#include "store/checksum.h"

// Header-only: nothing to link, and nothing that an installed copy of ours depends on.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace limitr::store {

Checksum& Checksum::add(std::string_view text) {
  add(text.size());
  bytes_.append(text);
  return *this;
}

// Byte by byte, so that a file can be carried to a machine of another byte order.
Checksum& Checksum::add(std::uint64_t number) {
  for (unsigned shift = 0; shift < 64; shift += 8) {
    bytes_.push_back(static_cast<char>(static_cast<unsigned char>(number >> shift)));
  }
  return *this;
}

std::uint64_t Checksum::value() const { return XXH3_64bits(bytes_.data(), bytes_.size()); }

std::uint64_t record_checksum(std::string_view id, std::uint64_t version, std::string_view record) {
  return Checksum().add(id).add(version).add(record).value();
}

std::uint64_t request_checksum(std::string_view customer, const StoredRequest& request) {
  const auto at = static_cast<std::uint64_t>(request.at.time_since_epoch().count());
  return Checksum()
      .add(customer)
      .add(request.number)
      .add(request.id)
      .add(request.fingerprint)
      .add(request.answer)
      .add(at)
      .value();
}

}  // namespace limitr::store
