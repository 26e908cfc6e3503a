// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz.h"

// Runs a target on files that are already there: any compiler builds it, and any sanitizer may
// watch. Each file is named before it is run, so the last one named is the one that crashed.
namespace {

namespace fs = std::filesystem;

void add_files(const fs::path& path, std::vector<fs::path>& files) {
  if (!fs::is_directory(path)) return files.push_back(path);
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
}

bool run(const fs::path& file) {
  std::printf("%s\n", file.c_str());
  std::fflush(stdout);
  std::ifstream in(file, std::ios::binary);
  if (!in) return false;
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  // A copy with no room behind its last byte, so that a sanitizer sees whoever reads on.
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<fs::path> files;
  for (int i = 1; i < argc; ++i) add_files(argv[i], files);
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    if (run(file)) continue;
    std::fprintf(stderr, "%s cannot be read\n", file.c_str());
    return 2;
  }
  if (files.empty()) {
    std::fprintf(stderr, "usage: %s FILE-OR-FOLDER...\n", argc == 0 ? "replay" : argv[0]);
    return 2;
  }
  std::printf("%zu inputs\n", files.size());
}
