// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "store/sqlite/connection.h"
#include "store/sqlite/rows.h"
#include "store/store.h"

namespace limitr::store::sqlite {

/// A connection that only reads. What it gives in one call is as of one moment.
class Reader {
public:
  /// Errors also: invalid_argument, where it is no store.
  static Result<std::unique_ptr<Reader>> open(const std::string& path, Millis busy_timeout);

  Result<OwnerRow> owner();
  /// The text of this name; none where none was written, or where it is damaged.
  Result<std::optional<std::string>> text(const std::string& name, std::vector<Damaged>& damaged);
  Result<std::vector<StoredCustomer>> read(std::span<const std::string> ids,
                                           std::vector<Damaged>& damaged);
  /// An alternate ID that is damaged comes after the customers, as one that is. Rows that are
  /// missing, or that looking up would miss, are data_corrupt, after all that are there: with
  /// `after` only as far as their order tells.
  Result<void> scan(const std::optional<std::string>& after,
                    const std::function<bool(StoredCustomer)>& visit,
                    std::vector<Damaged>& damaged);

private:
  explicit Reader(Connection connection) : connection_(std::move(connection)) {}

  Result<void> prepare();
  Result<std::vector<StoredCustomer>> find_all(std::span<const std::string> ids,
                                               std::vector<Damaged>& damaged);
  Result<Statement> prepare_after(const std::optional<std::string>& after, std::string_view column,
                                  std::string_view select, std::string_view order);
  Result<std::optional<StoredCustomer>> find(const std::string& id, std::vector<Damaged>& damaged);
  Result<std::optional<StoredCustomer>> find_by_id(std::string_view id,
                                                   std::vector<Damaged>& damaged);
  Result<void> scan_all(const std::optional<std::string>& after,
                        const std::function<bool(StoredCustomer)>& visit,
                        std::vector<Damaged>& damaged);
  /// False where `visit` wanted no more.
  Result<bool> scan_customers(const std::optional<std::string>& after,
                              const std::function<bool(StoredCustomer)>& visit,
                              std::vector<Damaged>& damaged, Counts& there);
  Result<bool> scan_alt_ids(const std::optional<std::string>& after,
                            const std::function<bool(StoredCustomer)>& visit,
                            std::vector<Damaged>& damaged, Counts& there);

  Connection connection_;
  Statement customer_, alt_, requests_;
};

}  // namespace limitr::store::sqlite
