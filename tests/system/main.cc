// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

namespace {

// What is killed here are processes, not machines: their files may lie in memory, where to sync
// them takes no time. Where there is little of that, they lie on the disk as everywhere.
void use_memory() {
  constexpr std::uintmax_t enough = std::uintmax_t{2} << 30U;
  const char* const folder = "/dev/shm";
  std::error_code failed;
  const auto space = std::filesystem::space(folder, failed);
  if (!failed && space.available >= enough) setenv("TMPDIR", folder, /*overwrite=*/0);
}

}  // namespace

int main(int argc, char** argv) {
  use_memory();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
