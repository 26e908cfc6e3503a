// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <system_error>

#include <unistd.h>

#include <fmt/format.h>

#include "cli/command.h"

namespace limitr::cli {
namespace {

/// Beside this program where it is installed; in a build tree, in the folder it is built in.
std::filesystem::path find_bench_program() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) return {};
  const auto folder = self.parent_path();
  for (const auto& place : {folder / "limitr-bench", folder / "../bench/limitr-bench",
                            folder / "../../bench/limitr-bench"})
    if (::access(place.c_str(), X_OK) == 0) return place;
  return {};
}

}  // namespace

int bench(const std::vector<std::string>& arguments) {
  const auto program = find_bench_program();
  if (program.empty())
    return trouble(
        "there is no limitr-bench beside this program: build it with LIMITR_BUILD_BENCH");
  std::vector<std::string> words = {program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> raw_words;
  for (std::string& word : words) raw_words.push_back(word.data());
  raw_words.push_back(nullptr);
  ::execv(program.c_str(), raw_words.data());
  return trouble(fmt::format("cannot start {}", program.string()));
}

}  // namespace limitr::cli
