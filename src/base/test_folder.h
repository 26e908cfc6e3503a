// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace limitr {

/// For tests only: a folder of its own among temporary ones, gone with it. Ends the program where
/// none can be made.
class TestFolder {
public:
  TestFolder() {
    path_ = (std::filesystem::temp_directory_path() / "limitr_test_XXXXXX").string();
    if (::mkdtemp(path_.data()) != nullptr) return;
    std::perror(path_.c_str());
    std::exit(2);
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
  std::string path_;
};

}  // namespace limitr
