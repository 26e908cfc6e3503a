// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "store/sqlite/connection.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/sqlite_store.h"
#include "store/store.h"

namespace limitr::store::sqlite {

/// The owner's connection: the only one that writes to the file and checkpoints it.
///
/// INVARIANT: it has never failed. Whoever gets an error from it lets go of it; a page that it
/// could not write must not be read out of its cache.
class Writer {
public:
  /// Opens the file, makes what is missing and begins a new epoch. `path` is a resolved one that
  /// the caller holds the lock of, and `epoch` that of its last opening under this lock, or 0.
  /// Errors also: store_fenced, where others have owned the file since.
  static Result<std::unique_ptr<Writer>> open(const std::string& path, const SqliteOptions& options,
                                              const Owner& owner, std::uint64_t epoch);

  std::uint64_t epoch() const { return row_.epoch; }

  /// Writes a group. After an error, nothing of it was written, but for outcome_unknown.
  Result<void> commit(const Group& group);
  /// Keeps a copy of each of them, once.
  Result<void> set_aside(std::span<const Damaged> damaged);
  /// Closing writes nothing any more.
  void abandon() const { connection_.abandon(); }

private:
  struct Statements;

  explicit Writer(Connection connection);

  Result<void> prepare_file(const SqliteOptions& options);
  Result<void> begin_epoch(const Owner& owner, std::uint64_t earlier);
  Result<void> prepare_statements();

  Result<void> write(const Group& group);
  Result<void> write_customer(std::uint64_t group, const CustomerWrite& write);
  Result<void> put_customer(std::uint64_t group, const CustomerWrite& write);
  Result<void> put_alt_ids(const CustomerWrite& write);
  Result<void> put_requests(const CustomerWrite& write);
  Result<void> remove_customer(const std::string& id);
  Result<void> put_text(std::string_view name, std::uint64_t group, const std::string& text);
  Result<void> put_owner(std::uint64_t group);
  Result<void> finish();

  Connection connection_;
  OwnerRow row_;                            // As it is in the file.
  OwnerRow next_;                           // As the group that is being written leaves it.
  std::unique_ptr<Statements> statements_;  // Gone before the connection.

public:
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();
};

}  // namespace limitr::store::sqlite
