// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "harness.h"

namespace limitr::bench {

/// The folder that `sqlite:PATH` names for a bench's files, which are gone with this. A path that
/// is there already ends the program: what is in it is not ours.
class SqliteFolder {
public:
  explicit SqliteFolder(std::string_view url);

  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  std::string url(std::string_view name) const { return "sqlite:" + file(name); }

private:
  const std::string path_;
  const Tidy tidy_;
};

}  // namespace limitr::bench
