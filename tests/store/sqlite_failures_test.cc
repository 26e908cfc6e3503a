// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>
#include <utility>

#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "faulty_disk.h"
#include "store/sqlite/sqlite_store.h"

// A disk that fails: what was answered is there, what was refused is not, and nothing is torn.
namespace limitr::store {
namespace {

using Call = FaultyDisk::Call;
namespace fs = std::filesystem;

// Large enough for a group to fill some pages, and for the journal to be folded now and then.
Group pair_of(std::uint64_t number, std::size_t size = 100'000) {
  const std::string text = std::to_string(number) + std::string(size, '.');
  return a_group(number, {put("left", text), put("right", text)});
}

std::uint64_t number_of(Store& store, const std::string& id) {
  const std::string record = record_of(store, id);
  return record == "-" ? 0 : std::stoull(record);
}

/// Holds the store to the last group that it says it has. Gives that.
std::uint64_t expect_whole(Store& store, const Opened& opened) {
  EXPECT_EQ(number_of(store, "left"), opened.last_group);
  EXPECT_EQ(number_of(store, "right"), opened.last_group);
  EXPECT_EQ(*store.last_group(), opened.last_group);
  EXPECT_EQ(scan_all(store).size(), opened.customers);
  return opened.last_group;
}

class SqliteFailures : public ::testing::Test {
protected:
  void SetUp() override { std::signal(SIGXFSZ, SIG_IGN); }

  static std::unique_ptr<Store> at(const std::string& path) {
    return sqlite_store({.path = path, .busy_timeout = Millis(0)});
  }
};

/// The n-th call of a kind fails, once or for ever, while a store is opened and written to.
class SqliteFaults : public ::testing::TestWithParam<std::tuple<Call, bool>> {
protected:
  /// Commits until one fails or `count` have not. `answered` is the last that was taken.
  static Result<void> commit_some(Store& store, std::uint64_t count, std::uint64_t& answered) {
    for (std::uint64_t i = 0; i < count; ++i) {
      auto committed = store.commit(pair_of(answered + 1));
      if (!committed.ok()) return committed;
      ++answered;
    }
    return {};
  }

  FaultyDisk disk_;
};

INSTANTIATE_TEST_SUITE_P(Calls, SqliteFaults,
                         ::testing::Combine(::testing::Values(Call::write, Call::sync, Call::open,
                                                              Call::truncate, Call::any),
                                            ::testing::Bool()));

TEST_P(SqliteFaults, WhateverFailsTheStoreComesBackWhole) {
  const auto [call, for_ever] = GetParam();
  const std::uint64_t step = call == Call::write || call == Call::any ? 17 : 1;
  int broken = 0;
  bool has_failed = true;
  for (std::uint64_t nth = 0; has_failed && !HasFailure(); nth += step) {
    SCOPED_TRACE("call " + std::to_string(nth));
    const TestFolder folder;
    auto store = sqlite_store({.path = folder.file("s.db"), .busy_timeout = Millis(0)});
    disk_.arm(call, nth, for_ever);
    std::uint64_t answered = 0;
    Result<void> committed;
    const auto opened = store->open(Access::own, an_owner());
    if (opened.ok()) committed = commit_some(*store, 25, answered);
    if (opened.ok() && committed.ok()) {
      EXPECT_TRUE(store->close().ok());
    }
    has_failed = disk_.has_failed();
    disk_.disarm();
    broken += has_failed;

    const std::uint64_t there = expect_whole(*store, open_own(*store));
    if (!committed.ok() && committed.error().code == ErrorCode::outcome_unknown) {
      EXPECT_TRUE(there == answered || there == answered + 1);
    } else {
      EXPECT_EQ(there, answered);
      if (!committed.ok()) {
        EXPECT_EQ(committed.error().code, ErrorCode::store_unavailable)
            << committed.error().to_string();
      }
    }
    answered = there;
    EXPECT_TRUE(commit_some(*store, 2, answered).ok());
    store = sqlite_store({.path = folder.file("s.db")});
    EXPECT_EQ(expect_whole(*store, open_own(*store)), answered);
  }
  std::printf("%d faults\n", broken);
}

TEST_F(SqliteFailures, AfterAFailedSyncNothingIsTakenUntilTheStoreIsOpenedAgain) {
  FaultyDisk disk;
  const TestFolder folder;
  const auto store = at(folder.file("s.db"));
  open_own(*store);
  must_commit(*store, pair_of(1));
  disk.arm(Call::sync, 0, /*for_ever=*/false);
  const auto unknown = store->commit(pair_of(2));
  disk.disarm();
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::outcome_unknown);
  EXPECT_EQ(failure(store->commit(pair_of(3))), ErrorCode::store_unavailable);
  EXPECT_EQ(failure(store->last_group()), ErrorCode::store_unavailable);
  EXPECT_EQ(expect_whole(*store, open_own(*store)), 1U);
  must_commit(*store, pair_of(2));
}

/// No file may grow beyond this while it lives.
class FileLimit {
public:
  explicit FileLimit(::rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const ::rlimit now{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
  ::rlimit before_{};
};

/// Commits until the disk is full, and holds the store to what it then says.
void fill_up(Store& store, std::uint64_t& answered) {
  for (;; ++answered) {
    const auto committed = store.commit(pair_of(answered + 1));
    if (committed.ok()) continue;
    EXPECT_EQ(committed.error().code, ErrorCode::store_unavailable)
        << committed.error().to_string();
    EXPECT_THAT(committed.error().message, ::testing::HasSubstr("make room"));
    break;
  }
  // What was answered can be read before there is room again.
  EXPECT_EQ(number_of(store, "left"), answered);
}

TEST_F(SqliteFailures, AFileThatMayNotGrowTakesNothingAndKeepsWhatItHas) {
  const TestFolder folder;
  const auto store = at(folder.file("s.db"));
  open_own(*store);
  std::uint64_t answered = 0;
  {
    const FileLimit limit(2'000'000);
    for (;; ++answered) {
      const auto committed = store->commit(pair_of(answered + 1));
      if (committed.ok()) continue;
      EXPECT_EQ(committed.error().code, ErrorCode::store_unavailable);
      break;
    }
    EXPECT_EQ(number_of(*store, "left"), answered);
    const auto reader = at(folder.file("s.db"));
    ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
    EXPECT_EQ(number_of(*reader, "right"), answered);
  }
  EXPECT_EQ(expect_whole(*store, open_own(*store)), answered);
  must_commit(*store, pair_of(answered + 1));
}

/// A file system of two megabytes. Only root may have one.
class SmallDisk {
public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    is_there_ = ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=2m") == 0;
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (is_there_) ::umount2(path_.c_str(), MNT_DETACH);
  }

  bool is_there() const { return is_there_; }

private:
  const std::string path_;
  bool is_there_;
};

TEST_F(SqliteFailures, AFullDiskTakesNothingAndKeepsWhatItHas) {
  const TestFolder folder;
  const SmallDisk disk(folder.path());
  if (!disk.is_there()) return;  // The test above is what can be had without it.
  const std::string ballast = folder.file("ballast");
  std::ofstream(ballast) << std::string(500'000, '.');
  const auto store = at(folder.file("s.db"));
  open_own(*store);
  std::uint64_t answered = 0;
  fill_up(*store, answered);
  EXPECT_GT(answered, 0U);
  {
    const auto reader = at(folder.file("s.db"));
    ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
    EXPECT_EQ(number_of(*reader, "right"), answered);
  }
  fs::remove(ballast);
  EXPECT_EQ(expect_whole(*store, open_own(*store)), answered);
  must_commit(*store, pair_of(answered + 1, 100));
}

/// Root may write to everything: while this lives, we are somebody else.
class Nobody {
public:
  Nobody() : is_root_(::geteuid() == 0 && ::seteuid(65'534) == 0) {}
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;
  ~Nobody() {
    if (is_root_) [[maybe_unused]]
      const int back = ::seteuid(0);
  }

private:
  const bool is_root_;
};

TEST_F(SqliteFailures, AFileThatMayNotBeWrittenToIsReadAndNotOwned) {
  const TestFolder folder;
  const std::string path = folder.file("s.db");
  const auto store = at(path);
  open_own(*store);
  must_commit(*store, pair_of(1));
  ASSERT_TRUE(store->close().ok());
  fs::permissions(folder.path(), fs::perms::all);
  fs::permissions(path + ".owner", fs::perms::all);
  fs::permissions(path, static_cast<fs::perms>(0444));
  {
    const Nobody nobody;
    const auto refused = store->open(Access::own, an_owner());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::store_unavailable);
    EXPECT_THAT(refused.error().message, ::testing::HasSubstr("must be writable"));
    ASSERT_TRUE(store->open(Access::read, an_owner()).ok());
    EXPECT_EQ(number_of(*store, "left"), 1U);
    ASSERT_TRUE(store->close().ok());
  }
  fs::permissions(path, fs::perms::owner_all);
  EXPECT_EQ(open_own(*store).last_group, 1U);
}

TEST_F(SqliteFailures, AFolderThatMayNotBeWrittenToIsNamed) {
  const TestFolder folder;
  constexpr auto read_only = static_cast<fs::perms>(0555);
  fs::permissions(folder.path(), read_only);
  const Nobody nobody;
  const auto refused = at(folder.file("s.db"))->open(Access::own, an_owner());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("Permission denied"));
}

}  // namespace
}  // namespace limitr::store
