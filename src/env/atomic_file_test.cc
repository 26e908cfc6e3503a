// SPDX-License-Identifier: Apache-2.0
#include "env/atomic_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/test_folder.h"

namespace limitr::env {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, std::string_view text) { std::ofstream(file) << text; }

class ReplaceFile : public testing::Test {
protected:
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_))
      names.push_back(entry.path().filename().string());
    return names;
  }

  const TestFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(ReplaceFile, WritesWhatWasNotThereForItsOwnerAlone) {
  const fs::path file = folder_ / "state";
  ASSERT_TRUE(check_replaceable(file).ok());
  ASSERT_TRUE(replace_file(file, "new").ok());
  EXPECT_EQ(content(file), "new");
  EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(names().size(), 1U);
}

TEST_F(ReplaceFile, KeepsTheMode) {
  const fs::path file = folder_ / "state";
  write(file, "old");
  const auto mode = static_cast<fs::perms>(0641);
  fs::permissions(file, mode);
  ASSERT_TRUE(replace_file(file, "new").ok());
  EXPECT_EQ(content(file), "new");
  EXPECT_EQ(fs::status(file).permissions(), mode);
}

TEST_F(ReplaceFile, FollowsLinksAlsoToWhatIsNotThereYet) {
  fs::create_directory(folder_ / "deep");
  fs::create_symlink("deep/second", folder_ / "first");
  fs::create_symlink("../state", folder_ / "deep" / "second");
  for (const char* text : {"one", "two"}) {
    ASSERT_TRUE(replace_file(folder_ / "first", text).ok());
    EXPECT_TRUE(fs::is_symlink(folder_ / "first"));
    EXPECT_TRUE(fs::is_symlink(folder_ / "deep" / "second"));
    EXPECT_EQ(content(folder_ / "state"), text);
  }
  EXPECT_EQ(names().size(), 3U);
}

TEST_F(ReplaceFile, RefusesWhatIsNoRegularFile) {
  fs::create_directory(folder_ / "folder");
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  fs::create_symlink("fifo", folder_ / "link");
  fs::create_symlink("loop", folder_ / "loop");
  for (const char* name : {"folder", "fifo", "link", "loop", "none/state", "folder/"}) {
    SCOPED_TRACE(name);
    EXPECT_FALSE(check_replaceable(folder_ / name).ok());
    EXPECT_FALSE(replace_file(folder_ / name, "new").ok());
  }
  EXPECT_TRUE(fs::is_fifo(folder_ / "fifo"));
  EXPECT_EQ(names().size(), 4U);
}

// A run that was killed leaves its file behind: the next one takes it over, longer or not.
TEST_F(ReplaceFile, LeavesNothingOfAnEarlierRun) {
  write(folder_ / "state.new", "half of a longer text");
  ASSERT_TRUE(replace_file(folder_ / "state", "new").ok());
  EXPECT_EQ(content(folder_ / "state"), "new");
  EXPECT_EQ(names().size(), 1U);
}

TEST_F(ReplaceFile, WritesNothingThroughALinkInItsPlace) {
  write(folder_ / "other", "old");
  fs::create_symlink("other", folder_ / "state.new");
  EXPECT_FALSE(replace_file(folder_ / "state", "new").ok());
  EXPECT_EQ(content(folder_ / "other"), "old");
}

TEST_F(ReplaceFile, WritersOfOneFileDoNotMix) {
  const fs::path file = folder_ / "state";
  std::vector<std::thread> writers;
  for (const char c : {'a', 'b', 'c', 'd'}) {
    writers.emplace_back([&file, text = std::string(100'000, c)] {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(replace_file(file, text).ok());
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string text = content(file);
  EXPECT_EQ(text, std::string(100'000, text.front()));
  EXPECT_EQ(names().size(), 1U);
}

TEST_F(ReplaceFile, PieceByPieceItIsTheOldOneUntilAllIsThere) {
  const fs::path file = folder_ / "state";
  write(file, "old");
  {
    auto replacement = FileReplacement::begin(file);
    ASSERT_TRUE(replacement.ok());
    ASSERT_TRUE(replacement->write("new ").ok());
    ASSERT_TRUE(replacement->write("text").ok());
    EXPECT_EQ(content(file), "old");
    ASSERT_TRUE(replacement->commit().ok());
  }
  EXPECT_EQ(content(file), "new text");
  EXPECT_EQ(names().size(), 1U);
}

TEST_F(ReplaceFile, WhatIsGivenUpLeavesNothingBehind) {
  const fs::path file = folder_ / "state";
  write(file, "old");
  {
    auto begun = FileReplacement::begin(file);
    ASSERT_TRUE(begun.ok());
    FileReplacement replacement = *std::move(begun);
    ASSERT_TRUE(replacement.write("half").ok());
  }
  EXPECT_EQ(content(file), "old");
  EXPECT_EQ(names().size(), 1U);
  EXPECT_FALSE(FileReplacement::begin(folder_ / "none" / "state").ok());
}

}  // namespace
}  // namespace limitr::env
