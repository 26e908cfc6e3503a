// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite/reader.h"

#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"
#include "store/sqlite/schema.h"

namespace limitr::store::sqlite {
namespace {

/// Holds what is read to one moment, and lets go of it at the end.
class Moment {
public:
  explicit Moment(const Connection& connection)
      : connection_(connection), begun_(connection.run("BEGIN")) {}
  Moment(const Moment&) = delete;
  Moment& operator=(const Moment&) = delete;
  ~Moment() { [[maybe_unused]] const auto ended = connection_.run("ROLLBACK"); }

  const Result<void>& begun() const { return begun_; }

private:
  const Connection& connection_;
  const Result<void> begun_;
};

Error broken_index(const Connection& connection) {
  return {
      .code = ErrorCode::data_corrupt,
      .message = fmt::format("an index of `{}` does not fit its rows: while nobody has it open, "
                             "run REINDEX in sqlite3, or restore a backup",
                             connection.path())};
}

Error missing(const Connection& connection, const Counts& there, const Counts& wanted) {
  return {.code = ErrorCode::data_corrupt,
          .message = fmt::format("`{}` has lost rows: {} of {} customers, {} of {} requests and "
                                 "{} of {} alternate IDs are there; restore a backup",
                                 connection.path(), there.customers, wanted.customers,
                                 there.requests, wanted.requests, there.alt_ids, wanted.alt_ids)};
}

/// A customer of whom only this is known: under this ID stands what was not written.
StoredCustomer unknown_customer(std::string id, const Damaged& damaged) {
  StoredCustomer unknown;
  unknown.id = std::move(id);
  unknown.damage = error_of(damaged);
  return unknown;
}

/// The customer whom a row of alt_ids leads to; none where it is damaged.
std::optional<std::string> alt_row(std::string_view alt, std::string_view customer,
                                   std::uint64_t checksum, std::vector<Damaged>& damaged) {
  if (checksum == record_checksum(alt, 0, customer)) return std::string(customer);
  damaged.push_back({.kind = "alternate ID",
                     .id = std::string(alt),
                     .content = std::string(customer),
                     .checksum = checksum});
  return std::nullopt;
}

/// The requests of all customers, in the order of customers: what belongs to one is taken as the
/// customers pass by.
class RequestRows {
public:
  explicit RequestRows(Statement rows) : rows_(std::move(rows)) {}

  Result<void> next() {
    Result<bool> row = rows_.step();
    if (!row.ok()) return std::move(row).error();
    has_row_ = *row;
    return {};
  }

  Result<void> add_to(StoredCustomer& customer, std::vector<Damaged>& damaged) {
    while (has_row_ && rows_.text(0) <= customer.id) {
      // What nobody has, or stands out of its order, is not taken, and missed at the end.
      const bool is_in_order =
          rows_.is_text(0) && (rows_.text(0) != customer_ || rows_.number(1) > number_);
      customer_ = rows_.text(0);
      number_ = rows_.number(1);
      if (customer_ == customer.id && is_in_order) {
        add_request(rows_, customer, damaged);
        ++taken_;
      }
      if (auto moved = next(); !moved.ok()) return moved;
    }
    return {};
  }

  std::uint64_t taken() const { return taken_; }

private:
  Statement rows_;
  bool has_row_ = false;
  std::uint64_t taken_ = 0;
  std::string customer_;  // Of the row before
  std::uint64_t number_ = 0;
};

}  // namespace

Result<std::unique_ptr<Reader>> Reader::open(const std::string& path, Millis busy_timeout) {
  Result<Connection> connection = Connection::open(path, Mode::read, busy_timeout);
  if (!connection.ok()) return std::move(connection).error();
  const Result<Found> found = look_at(*connection);
  if (!found.ok()) return found.error();
  if (*found == Found::empty) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is empty: nobody has written to it yet", path)};
  }
  std::unique_ptr<Reader> reader(new Reader(*std::move(connection)));
  if (auto prepared = reader->prepare(); !prepared.ok()) return std::move(prepared).error();
  return reader;
}

Result<void> Reader::prepare() {
  const std::string of_customer =
      std::string(request_columns) + "WHERE customer = ?1 ORDER BY number";
  const std::pair<Statement*, std::string_view> all[] = {
      {&customer_, "SELECT id, version, record, checksum FROM customers WHERE id = ?1"},
      {&alt_, "SELECT customer, checksum FROM alt_ids WHERE alt = ?1"},
      {&requests_, of_customer},
  };
  for (const auto& [statement, sql] : all) {
    Result<Statement> prepared = connection_.prepare(sql);
    if (!prepared.ok()) return std::move(prepared).error();
    *statement = *std::move(prepared);
  }
  return {};
}

Result<OwnerRow> Reader::owner() { return read_owner(connection_); }

Result<std::optional<std::string>> Reader::text(const std::string& name,
                                                std::vector<Damaged>& damaged) {
  Result<Statement> statement =
      connection_.prepare("SELECT version, text, checksum FROM texts WHERE name = ?1");
  if (!statement.ok()) return std::move(statement).error();
  const Result<bool> row = statement->bind(name).step();
  if (!row.ok()) return row.error();
  if (!*row) {
    // The row is there from the beginning, of version 0: one that is missing was lost.
    damaged.push_back({.kind = "text", .id = name});
    return std::optional<std::string>();
  }
  const std::uint64_t version = statement->number(0);
  std::string text(statement->text(1));
  const std::uint64_t checksum = statement->number(2);
  if (checksum == record_checksum(name, version, text)) {
    return version == 0 ? std::nullopt : std::optional<std::string>(std::move(text));
  }
  damaged.push_back({.kind = "text",
                     .id = name,
                     .version = version,
                     .content = std::move(text),
                     .checksum = checksum});
  return std::optional<std::string>();
}

Result<std::vector<StoredCustomer>> Reader::read(std::span<const std::string> ids,
                                                 std::vector<Damaged>& damaged) {
  const Moment moment(connection_);
  if (!moment.begun().ok()) return moment.begun().error();
  auto found = find_all(ids, damaged);
  // A statement that stands on a row would keep the moment.
  for (Statement* statement : {&customer_, &alt_, &requests_}) statement->reset();
  return found;
}

Result<std::vector<StoredCustomer>> Reader::find_all(std::span<const std::string> ids,
                                                     std::vector<Damaged>& damaged) {
  std::vector<StoredCustomer> all;
  std::set<std::string> given;
  for (const std::string& id : ids) {
    Result<std::optional<StoredCustomer>> found = find(id, damaged);
    if (!found.ok()) return std::move(found).error();
    if (*found && given.insert((*found)->id).second) all.push_back(**std::move(found));
  }
  return all;
}

Result<std::optional<StoredCustomer>> Reader::find(const std::string& id,
                                                   std::vector<Damaged>& damaged) {
  auto found = find_by_id(id, damaged);
  if (!found.ok() || *found) return found;
  const Result<bool> row = alt_.bind(id).step();
  if (!row.ok()) return row.error();
  if (!*row) {
    alt_.reset();
    return std::optional<StoredCustomer>();
  }
  const auto customer = alt_row(id, alt_.text(0), alt_.number(1), damaged);
  alt_.reset();
  if (customer) return find_by_id(*customer, damaged);
  return std::optional(unknown_customer(id, damaged.back()));
}

Result<std::optional<StoredCustomer>> Reader::find_by_id(std::string_view id,
                                                         std::vector<Damaged>& damaged) {
  Result<bool> row = customer_.bind(id).step();
  if (!row.ok()) return std::move(row).error();
  if (!*row) {
    customer_.reset();
    return std::optional<StoredCustomer>();
  }
  StoredCustomer customer = customer_row(customer_, damaged);
  customer_.reset();
  if (customer.damage) customer.id = id;  // Its own may be what is damaged.
  // The index led to another's row.
  if (customer.id != id) {
    damaged.push_back({.kind = "customer", .id = std::string(id), .content = customer.id});
    return std::optional(unknown_customer(std::string(id), damaged.back()));
  }
  requests_.bind(customer.id);
  for (row = requests_.step(); row.ok() && *row; row = requests_.step()) {
    add_request(requests_, customer, damaged);
  }
  if (!row.ok()) return std::move(row).error();
  requests_.reset();
  return std::optional(std::move(customer));
}

Result<void> Reader::scan(const std::optional<std::string>& after,
                          const std::function<bool(StoredCustomer)>& visit,
                          std::vector<Damaged>& damaged) {
  const Moment moment(connection_);
  if (!moment.begun().ok()) return moment.begun();
  return scan_all(after, visit, damaged);
}

// An index may be damaged as well as a row. Keys that ascend, each the ID of the row that it leads
// to, and the right number of them: then looking an ID up finds what there is.
Result<void> Reader::scan_all(const std::optional<std::string>& after,
                              const std::function<bool(StoredCustomer)>& visit,
                              std::vector<Damaged>& damaged) {
  const Result<OwnerRow> owner = read_owner(connection_);
  if (!owner.ok()) return owner.error();
  Counts there;
  Result<bool> went_on = scan_customers(after, visit, damaged, there);
  if (went_on.ok() && *went_on) went_on = scan_alt_ids(after, visit, damaged, there);
  if (!went_on.ok()) return std::move(went_on).error();
  if (!*went_on || after || there == owner->counts) return {};
  return missing(connection_, there, owner->counts);
}

// The rows whose `column` comes after that; `after` must live as long as the statement.
Result<Statement> Reader::prepare_after(const std::optional<std::string>& after,
                                        std::string_view column, std::string_view select,
                                        std::string_view order) {
  const std::string where = after ? fmt::format("WHERE {} > ?1 ", column) : "";
  Result<Statement> prepared =
      connection_.prepare(fmt::format("{} {}ORDER BY {}", select, where, order));
  if (prepared.ok() && after) prepared->bind(*after);
  return prepared;
}

Result<bool> Reader::scan_customers(const std::optional<std::string>& after,
                                    const std::function<bool(StoredCustomer)>& visit,
                                    std::vector<Damaged>& damaged, Counts& there) {
  Result<Statement> keys = prepare_after(after, "id", "SELECT id FROM customers", "id");
  Result<Statement> rows =
      prepare_after(after, "id", "SELECT id, version, record, checksum FROM customers", "id");
  Result<Statement> of_all = prepare_after(after, "customer", request_columns, "customer, number");
  for (const Result<Statement>* prepared : {&keys, &rows, &of_all}) {
    if (!prepared->ok()) return prepared->error();
  }
  RequestRows requests(*std::move(of_all));
  if (auto first = requests.next(); !first.ok()) return std::move(first).error();

  bool is_broken = false;
  std::optional<std::string> last;
  Result<bool> row = rows->step();
  for (; row.ok() && *row; row = rows->step()) {
    const Result<bool> key = keys->step();
    if (!key.ok()) return key.error();
    StoredCustomer customer = customer_row(*rows, damaged);
    std::string id(*key ? keys->text(0) : std::string_view());
    if (customer.damage) customer.id = id;  // Its own may be what is damaged.
    if (!*key || !keys->is_text(0) || id != customer.id || (last && id <= *last)) {
      is_broken = true;
      continue;
    }
    last = std::move(id);
    if (auto added = requests.add_to(customer, damaged); !added.ok()) return added.error();
    ++there.customers;
    if (!visit(std::move(customer))) return false;
  }
  if (!row.ok()) return std::move(row).error();
  if (is_broken) return broken_index(connection_);
  there.requests = requests.taken();
  return true;
}

Result<bool> Reader::scan_alt_ids(const std::optional<std::string>& after,
                                  const std::function<bool(StoredCustomer)>& visit,
                                  std::vector<Damaged>& damaged, Counts& there) {
  Result<Statement> rows =
      prepare_after(after, "alt", "SELECT alt, customer, checksum FROM alt_ids", "alt");
  if (!rows.ok()) return std::move(rows).error();
  std::optional<std::string> last;
  Result<bool> row = rows->step();
  for (; row.ok() && *row; row = rows->step()) {
    std::string alt(rows->text(0));
    if (!rows->is_text(0) || (last && alt <= *last)) return broken_index(connection_);
    ++there.alt_ids;
    if (!alt_row(alt, rows->text(1), rows->number(2), damaged) &&
        !visit(unknown_customer(alt, damaged.back()))) {
      return false;
    }
    last = std::move(alt);
  }
  if (!row.ok()) return std::move(row).error();
  return true;
}

}  // namespace limitr::store::sqlite
