// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/rows.h"

#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"

namespace limitr::store::sqlite {

std::uint64_t OwnerRow::checksum() const {
  return Checksum()
      .add(epoch)
      .add(owner.host)
      .add(static_cast<std::uint64_t>(owner.process))
      .add(static_cast<std::uint64_t>(owner.since.time_since_epoch().count()))
      .add(last_group)
      .add(counts.customers)
      .add(counts.alt_ids)
      .add(counts.requests)
      .value();
}

Result<OwnerRow> read_owner(const Connection& connection) {
  Result<Statement> statement = connection.prepare(
      "SELECT epoch, host, process, since, last_group, customers, alt_ids, requests, checksum"
      " FROM owner WHERE one = 1");
  if (!statement.ok()) return std::move(statement).error();
  const Result<bool> row = statement->step();
  if (!row.ok()) return row.error();
  OwnerRow found;
  if (*row) {
    found.epoch = statement->number(0);
    found.owner = {.host = std::string(statement->text(1)),
                   .process = static_cast<std::int64_t>(statement->number(2)),
                   .since = Timestamp(Millis(static_cast<std::int64_t>(statement->number(3))))};
    found.last_group = statement->number(4);
    found.counts = {.customers = statement->number(5),
                    .alt_ids = statement->number(6),
                    .requests = statement->number(7)};
  }
  // Without it nobody knows which groups are in the file.
  if (!*row || statement->number(8) != found.checksum()) {
    return Error{
        .code = ErrorCode::data_corrupt,
        .message = fmt::format("the row of `{}` in table owner is damaged: restore a backup",
                               connection.path())};
  }
  return found;
}

StoredCustomer customer_row(const Statement& row, std::vector<Damaged>& damaged) {
  StoredCustomer customer;
  customer.id = row.text(0);
  customer.version = row.number(1);
  customer.record = row.text(2);
  const std::uint64_t checksum = row.number(3);
  if (checksum == record_checksum(customer.id, customer.version, customer.record)) return customer;
  take_record_out(customer, checksum, damaged);
  return customer;
}

void add_request(const Statement& row, StoredCustomer& customer, std::vector<Damaged>& damaged) {
  StoredRequest request{
      .number = row.number(1),
      .id = std::string(row.text(2)),
      .fingerprint = row.number(3),
      .answer = std::string(row.text(4)),
      .at = Timestamp(Millis(static_cast<std::int64_t>(row.number(5)))),
  };
  add_request(std::move(request), row.number(6), customer, damaged);
}

}  // namespace limitr::store::sqlite
