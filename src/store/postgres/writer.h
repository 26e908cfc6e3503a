// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/postgres/connection.h"
#include "store/postgres/rows.h"
#include "store/store.h"

namespace limitr::store::postgres {

/// The connection of whoever owns or shares the store: the only one that writes.
///
/// INVARIANT: it has never failed, but for a call that could not be done as it was. Whoever gets
/// another error from it lets go of it.
class Writer {
public:
  struct Options {
    Address address;
    Timeouts timeouts;
    bool accept_weaker;
    std::int64_t token;   ///< Of this store object, over all its openings; never 0.
    std::uint64_t asked;  ///< The highest number of a transaction that it has given so far.
  };

  /// Makes what is missing, and takes ownership or joins those who share. What this store object
  /// held before, it lets go of.
  static Result<std::unique_ptr<Writer>> open(const Options& options, Access access,
                                              const Owner& owner);

  /// Writes a group. After an error nothing of it was written, but for outcome_unknown.
  Result<void> commit(const Group& group);
  Result<std::vector<Exchanged>> exchange(std::span<const Transaction> transactions);
  Result<void> renew();
  /// Lets go of ownership, or of sharing.
  Result<void> release();
  /// Keeps a copy of each of them, once.
  Result<void> set_aside(std::span<const Damaged> damaged);

  Access access() const { return access_; }
  /// What the server is set to keep less of.
  const std::optional<std::string>& weaker() const { return weaker_; }
  std::uint64_t asked() const { return asked_; }

private:
  Writer(const Options& options, Access access, std::unique_ptr<Connection> connection);

  Result<void> look_at_server(bool accept_weaker);
  Result<void> prepare_schema();
  Result<void> take(const Owner& owner);
  Result<void> must_not_be_shared();
  Result<void> put_owner(const OwnerRow& row);
  Result<void> join(const Owner& owner, const OwnerRow& row);
  Result<void> send_customers(const Group& group);
  Result<void> send_texts(const Group& group, std::uint64_t version);
  Result<void> commit_texts(const Group& group);
  /// Of finish(), as the error of a call that writes.
  Result<std::vector<Rows>> end();
  std::string call(const std::string& function, int values) const;
  Result<void> exchange_once(std::span<const Transaction> transactions,
                             const std::vector<std::size_t>& open, std::vector<Exchanged>& all);
  Result<void> add_current(std::span<const Transaction> transactions,
                           const std::vector<std::size_t>& open, std::vector<Exchanged>& all);

  const std::string schema_;  // as it stands in statements
  const Millis lease_;
  const std::int64_t token_;
  const Access access_;
  OwnerRow row_;                 // While we own: as it is in the store.
  std::uint64_t asked_;          // While we share: the highest number of a transaction so far.
  std::uint64_t forgotten_ = 0;  // ... below which the store has forgotten them.
  std::optional<std::string> weaker_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace limitr::store::postgres
