// SPDX-License-Identifier: Apache-2.0
#include "folder.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace limitr::bench {

namespace {

std::string make_named(std::string_view url) {
  const std::string path(url.substr(url.find(':') + 1));
  std::error_code failed;
  if (path.empty() || std::filesystem::symlink_status(path, failed).type() !=
                          std::filesystem::file_type::not_found) {
    stop({.code = ErrorCode::invalid_argument,
          .message = fmt::format("`{}`: give a path that is not there: it becomes a folder for the "
                                 "files of the benches, and is removed afterwards",
                                 url)});
  }
  if (!std::filesystem::create_directory(path, failed)) {
    stop({.code = ErrorCode::io_failed,
          .message = fmt::format("cannot make the folder `{}`: {}", path, failed.message())});
  }
  return path;
}

std::string make_temporary() {
  std::error_code failed;
  std::string path = std::filesystem::temp_directory_path(failed) / "limitr-bench-XXXXXX";
  if (failed || mkdtemp(path.data()) == nullptr) {
    stop({.code = ErrorCode::io_failed, .message = fmt::format("cannot make `{}`", path)});
  }
  return path;
}

void remove(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

}  // namespace

Folder::Folder() : path_(make_temporary()), tidy_([path = path_] { remove(path); }) {}

Folder::Folder(std::string_view url)
    : path_(make_named(url)), tidy_([path = path_] { remove(path); }) {}

}  // namespace limitr::bench
