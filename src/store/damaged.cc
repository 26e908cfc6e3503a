// SPDX-License-Identifier: Apache-2.0
#include "store/damaged.h"

#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"

namespace limitr::store {

Error error_of(const Damaged& damaged) {
  return {.code = ErrorCode::data_corrupt,
          .message = fmt::format("the {} `{}` is not what was written: whoever opens the store to "
                                 "write keeps a copy of it in the table damaged",
                                 damaged.kind, damaged.id)};
}

void take_record_out(StoredCustomer& customer, std::uint64_t checksum,
                     std::vector<Damaged>& damaged) {
  damaged.push_back({.kind = "customer",
                     .id = customer.id,
                     .version = customer.version,
                     .content = std::exchange(customer.record, {}),
                     .checksum = checksum});
  customer.damage = error_of(damaged.back());
}

void add_request(StoredRequest request, std::uint64_t checksum, StoredCustomer& customer,
                 std::vector<Damaged>& damaged) {
  if (checksum == request_checksum(customer.id, request)) {
    customer.requests.push_back(std::move(request));
    return;
  }
  damaged.push_back({.kind = "request",
                     .id = fmt::format("{} {} {}", customer.id, request.number, request.id),
                     .version = request.number,
                     .content = std::move(request.answer),
                     .checksum = checksum});
  if (!customer.damage) customer.damage = error_of(damaged.back());
}

}  // namespace limitr::store
