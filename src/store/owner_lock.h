// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <limitr/result.h>

#include "store/store.h"

// Ownership of a store that is a file: a lock on PATH.owner, which ends with its process. The file
// itself stays, for one that is removed could be locked by two.
namespace limitr::store {

/// The path by which all spellings of one file meet: its folder without links and dots, and where
/// the file itself is a link, the file that it leads to. Errors: invalid_argument, where there is
/// no such folder, or the path leads to something that is no file; store_unavailable.
Result<std::string> resolve_path(const std::string& path);

/// "process 4711 on db1 since 2026-03-01T09:00:00.000Z"
std::string to_text(const Owner& owner);

class OwnerLock {
public:
  /// Takes the lock and writes who holds it. `path` is a resolved one. Errors: store_owned, with
  /// what its owner wrote; store_unavailable.
  static Result<OwnerLock> take(const std::string& path, const Owner& owner);
  /// Whether somebody holds it, this process included.
  static bool is_held(const std::string& path);
  /// Whether it is still the lock of that path: false where its file was removed, so that another
  /// may have taken the one that is there now.
  bool is_of(const std::string& path) const;

  OwnerLock(OwnerLock&& other) noexcept;
  OwnerLock& operator=(OwnerLock&& other) noexcept;
  ~OwnerLock();

private:
  explicit OwnerLock(int file) : file_(file) {}

  int file_;  // -1: moved from
};

}  // namespace limitr::store
