// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "store/file/file_system.h"
#include "store/store.h"

namespace limitr::store {

struct FileOptions {
  std::string path;  ///< The JSON; made where it is missing.
  /// Tests give another one. Null: the system's. Must outlive the store.
  file::FileSystem* files = nullptr;
};

/// A store in a JSON file and a journal beside it. All that it keeps is in memory too.
/// docs/stores.md has its files.
std::unique_ptr<Store> file_store(FileOptions options);

}  // namespace limitr::store
