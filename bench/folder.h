// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "harness.h"

namespace limitr::bench {

/// A folder for a bench's files, which are gone with this.
class Folder {
public:
  /// One where the system has such.
  Folder();
  /// The one that `KIND:PATH` names. A path that is there already ends the program: what is in it
  /// is not ours.
  explicit Folder(std::string_view url);

  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  /// Of a SQLite store.
  std::string url(std::string_view name) const { return "sqlite:" + file(name); }

private:
  const std::string path_;
  const Tidy tidy_;
};

}  // namespace limitr::bench
