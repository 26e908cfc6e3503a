// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/rows.h"

#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"

namespace limitr::store::postgres {

std::uint64_t OwnerRow::checksum() const {
  return Checksum()
      .add(epoch)
      .add(static_cast<std::uint64_t>(token))
      .add(owner.host)
      .add(static_cast<std::uint64_t>(owner.process))
      .add(static_cast<std::uint64_t>(owner.since.time_since_epoch().count()))
      .add(last_group)
      .add(was_shared ? 1 : 0)
      .value();
}

std::string owner_columns(const std::string& schema) {
  return fmt::format(
      "o.epoch, o.token, o.host, o.process, o.since, o.last_group, o.was_shared, o.checksum, "
      "o.token <> 0 AND o.lease_until > {}.now_ms()",
      schema);
}

Result<OwnerRow> owner_row(const Rows& rows, const Address& address) {
  OwnerRow found;
  if (!rows.empty()) {
    found.epoch = rows.whole(0, 0);
    found.token = rows.number(0, 1);
    found.owner = {.host = text_of(rows.text(0, 2)),
                   .process = rows.number(0, 3),
                   .since = Timestamp(Millis(rows.number(0, 4)))};
    found.last_group = rows.whole(0, 5);
    found.was_shared = rows.number(0, 6) != 0;
    found.is_alive = rows.number(0, 8) != 0;
  }
  // Without it nobody knows which groups are in the store.
  if (rows.empty() || rows.whole(0, 7) != found.checksum()) {
    return Error{.code = ErrorCode::data_corrupt,
                 .message = fmt::format(
                     "`{}`: the row of table owner is not what was written: restore a backup",
                     address.name)};
  }
  return found;
}

std::uint64_t versioned_checksum(std::string_view id, std::uint64_t version,
                                 std::string_view record) {
  return record_checksum(id, 0, record) ^ version;
}

StoredCustomer customer_row(const Rows& rows, int row, std::vector<Damaged>& damaged) {
  StoredCustomer customer;
  customer.id = text_of(rows.is_null(row, 2) ? rows.text(row, 1) : rows.text(row, 2));
  customer.version = rows.whole(row, 3);
  customer.record = text_of(rows.text(row, 4));
  const std::uint64_t checksum = rows.whole(row, 5);
  const Key key = key_of(customer.id);
  if (key.family == rows.text(row, 0) && key.id == rows.text(row, 1) &&
      checksum == versioned_checksum(customer.id, customer.version, customer.record)) {
    return customer;
  }
  customer.id = text_of(rows.text(row, 1));  // What it was found by.
  take_record_out(customer, checksum, damaged);
  return customer;
}

void add_request(const Rows& rows, int row, StoredCustomer& customer,
                 std::vector<Damaged>& damaged) {
  StoredRequest request{.number = rows.whole(row, 2),
                        .id = text_of(rows.text(row, 3)),
                        .fingerprint = rows.whole(row, 4),
                        .answer = text_of(rows.text(row, 5)),
                        .at = Timestamp(Millis(rows.number(row, 6)))};
  add_request(std::move(request), rows.whole(row, 7), customer, damaged);
}

bool is_good_alt(const Rows& rows, int row, std::vector<Damaged>& damaged) {
  const std::string_view alt = rows.text(row, 1);
  const std::string_view customer = rows.text(row, 3);
  const bool is_home = is_cut(customer) || key_of(text_of(customer)).family == rows.text(row, 2);
  if (is_home && rows.whole(row, 4) == record_checksum(alt, 0, customer)) return true;
  damaged.push_back({.kind = "alternate ID",
                     .id = text_of(alt),
                     .content = text_of(customer),
                     .checksum = rows.whole(row, 4)});
  return false;
}

StoredCustomer unknown_customer(std::string id, const Damaged& damaged) {
  StoredCustomer unknown;
  unknown.id = std::move(id);
  unknown.damage = error_of(damaged);
  return unknown;
}

}  // namespace limitr::store::postgres
