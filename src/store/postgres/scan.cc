// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/postgres/reader.h"
#include "store/postgres/schema.h"

// Keys are in the order of IDs but for the odd ones, which are rare: those are put in order here,
// and take their places among the others as these pass by.
namespace limitr::store::postgres {
namespace {

constexpr int rows_per_fetch = 500;

struct OddCustomer {
  std::string id;  // the whole of it
  Key key;
};

class Scan {
public:
  Scan(Connection& connection, const std::optional<std::string>& after,
       const std::function<bool(StoredCustomer)>& visit, std::vector<Damaged>& damaged)
      : connection_(connection),
        after_(after),
        schema_(quoted(connection.address().schema)),
        visit_(visit),
        damaged_(damaged) {}

  Result<void> run() {
    const auto begun = connection_.run(begin_moment);
    if (!begun.ok()) return begun.error();
    if (auto found = find_odd(); !found.ok()) return found;
    Result<bool> went_on = scan_customers();
    if (went_on.ok() && *went_on) went_on = give_odd_before(nullptr);
    if (went_on.ok() && *went_on) went_on = scan_alt_ids();
    if (!went_on.ok()) return std::move(went_on).error();
    return {};
  }

private:
  Result<void> find_odd() {
    const auto rows = connection_.run(fmt::format(
        "SELECT family, id, full_id FROM {}.customers WHERE id >= '\\x' AND id < '\\y'", schema_));
    if (!rows.ok()) return rows.error();
    for (int row = 0; row < rows->size(); ++row) {
      odd_.push_back({.id = text_of(rows->text(row, rows->is_null(row, 2) ? 1 : 2)),
                      .key = {std::string(rows->text(row, 0)), std::string(rows->text(row, 1))}});
    }
    std::ranges::sort(odd_, {}, &OddCustomer::id);
    while (next_odd_ < odd_.size() && is_before(odd_[next_odd_].id)) ++next_odd_;
    return {};
  }

  bool is_before(std::string_view id) const { return after_ && id <= *after_; }

  Result<bool> scan_customers() {
    // An odd key says nothing of where the others begin: then all pass by.
    const std::string from = after_ ? key_text(*after_) : "";
    const bool is_bound = after_ && !is_odd(from);
    const auto declared = connection_.run(
        fmt::format("DECLARE every NO SCROLL CURSOR FOR SELECT {} FROM {}.customers c {}"
                    "ORDER BY c.id",
                    customer_columns, schema_, is_bound ? "WHERE c.id > $1 " : ""),
        is_bound ? Values().add(from) : Values());
    if (!declared.ok()) return declared.error();
    while (true) {
      const auto rows = connection_.run(fmt::format("FETCH {} FROM every", rows_per_fetch));
      if (!rows.ok()) return rows.error();
      if (rows->empty()) return true;
      Result<bool> went_on = give(*rows);
      if (!went_on.ok() || !*went_on) return went_on;
    }
  }

  Result<bool> give(const Rows& rows) {
    KeyArrays keys;
    std::vector<Key> order;
    FoundCustomers found;
    for (int row = 0; row < rows.size(); ++row) {
      if (is_odd(rows.text(row, 1)) || is_before(rows.text(row, 1))) continue;
      const Key& key =
          order.emplace_back(Key{std::string(rows.text(row, 0)), std::string(rows.text(row, 1))});
      keys.add(key);
      found.add(key, customer_row(rows, row, damaged_));
    }
    if (auto added = read_requests(keys, found); !added.ok()) return std::move(added).error();
    for (const Key& key : order) {
      Result<bool> went_on = give_odd_before(&key.id);
      if (!went_on.ok() || !*went_on) return went_on;
      if (!visit_(std::move(*found.by_key(key)))) return false;
    }
    return true;
  }

  Result<void> read_requests(const KeyArrays& keys, FoundCustomers& found) {
    const auto rows = connection_.run(
        fmt::format("SELECT {} FROM unnest($1::text[], $2::text[]) AS k(family, id)"
                    " JOIN {}.requests r ON r.family = k.family AND r.customer = k.id"
                    " ORDER BY r.family, r.customer, r.number",
                    request_columns, schema_),
        keys.values());
    if (!rows.ok()) return rows.error();
    add_requests(*rows, found, damaged_);
    return {};
  }

  /// Those odd ones whose turn it is; all that are left where there is no other.
  Result<bool> give_odd_before(const std::string* id) {
    for (; next_odd_ < odd_.size() && (id == nullptr || odd_[next_odd_].id < *id); ++next_odd_) {
      const Key& key = odd_[next_odd_].key;
      KeyArrays keys;
      keys.add(key);
      const auto rows = connection_.run(
          fmt::format("SELECT {} FROM unnest($1::text[], $2::text[]) AS k(family, id)"
                      " JOIN {}.customers c ON c.family = k.family AND c.id = k.id",
                      customer_columns, schema_),
          keys.values());
      if (!rows.ok()) return rows.error();
      if (rows->empty()) continue;
      FoundCustomers found;
      found.add(key, customer_row(*rows, 0, damaged_));
      if (auto added = read_requests(keys, found); !added.ok()) return std::move(added).error();
      if (!visit_(std::move(*found.by_key(key)))) return false;
    }
    return true;
  }

  /// An alternate ID that is damaged comes after the customers, as one that is.
  Result<bool> scan_alt_ids() {
    const auto declared = connection_.run(fmt::format(
        "DECLARE alts NO SCROLL CURSOR FOR SELECT {} FROM {}.alt_ids a", alt_columns, schema_));
    if (!declared.ok()) return declared.error();
    while (true) {
      const auto rows = connection_.run(fmt::format("FETCH {} FROM alts", 10 * rows_per_fetch));
      if (!rows.ok()) return rows.error();
      if (rows->empty()) return true;
      for (int row = 0; row < rows->size(); ++row) {
        if (is_before(text_of(rows->text(row, 1))) || is_good_alt(*rows, row, damaged_)) continue;
        if (!visit_(unknown_customer(text_of(rows->text(row, 1)), damaged_.back()))) return false;
      }
    }
  }

  Connection& connection_;
  const std::optional<std::string>& after_;
  const std::string schema_;
  const std::function<bool(StoredCustomer)>& visit_;
  std::vector<Damaged>& damaged_;
  std::vector<OddCustomer> odd_;
  std::size_t next_odd_ = 0;
};

}  // namespace

Result<void> scan_customers(Connection& connection, const std::optional<std::string>& after,
                            const std::function<bool(StoredCustomer)>& visit,
                            std::vector<Damaged>& damaged) {
  return Scan(connection, after, visit, damaged).run();
}

}  // namespace limitr::store::postgres
