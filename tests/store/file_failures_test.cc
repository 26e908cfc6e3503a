// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <tuple>

#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "base/test_seed.h"
#include "faulty_files.h"
#include "store/file/file_store.h"

// A disk that fails, and a power that does: what was answered is there, what was refused is not,
// and nothing is torn. LIMITR_CUTS asks for more power failures, LIMITR_SEED plays one run's again.
namespace limitr::store {
namespace {

using Call = FaultyFiles::Call;
namespace fs = std::filesystem;

// Large enough for the journal to be folded now and then.
Group pair_of(std::uint64_t number, std::size_t size = 100'000) {
  const std::string text =
      "{\"group\":" + std::to_string(number) + ",\"text\":\"" + std::string(size, '.') + "\"}";
  return a_group(number, {put("left", text), put("right", text)});
}

std::uint64_t number_of(Store& store, const std::string& id) {
  const std::string record = record_of(store, id);
  return record == "-" ? 0 : std::stoull(record.substr(9));
}

/// Holds the store to the last group that it says it has. Gives that.
std::uint64_t expect_whole(Store& store, const Opened& opened) {
  EXPECT_EQ(number_of(store, "left"), opened.last_group);
  EXPECT_EQ(number_of(store, "right"), opened.last_group);
  EXPECT_EQ(*store.last_group(), opened.last_group);
  EXPECT_EQ(scan_all(store).size(), opened.customers);
  return opened.last_group;
}

/// Commits until one fails or `count` have not. `answered` is the last that was taken.
Result<void> commit_some(Store& store, std::uint64_t count, std::uint64_t& answered) {
  for (std::uint64_t i = 0; i < count; ++i) {
    auto committed = store.commit(pair_of(answered + 1));
    if (!committed.ok()) return committed;
    ++answered;
  }
  return {};
}

/// The n-th call of a kind fails, once or for ever, while a store is opened, written to and closed.
class FileFaults : public ::testing::TestWithParam<std::tuple<Call, bool, bool>> {
protected:
  FaultyFiles files_;
};

INSTANTIATE_TEST_SUITE_P(Calls, FileFaults,
                         ::testing::Combine(::testing::Values(Call::open, Call::read, Call::write,
                                                              Call::sync, Call::remove,
                                                              Call::replace, Call::any),
                                            ::testing::Bool(), ::testing::Bool()));

TEST_P(FileFaults, WhateverFailsTheStoreComesBackWhole) {
  const auto [call, for_ever, after] = GetParam();
  int broken = 0;
  bool has_failed = true;
  for (std::uint64_t nth = 0; has_failed && !HasFailure(); ++nth) {
    SCOPED_TRACE("call " + std::to_string(nth));
    const TestFolder folder;
    auto store = file_store({.path = folder.file("s.json"), .files = &files_});
    files_.arm(call, nth, for_ever, after);
    std::uint64_t answered = 0;
    Result<void> committed;
    const auto opened = store->open(Access::own, an_owner());
    if (opened.ok()) committed = commit_some(*store, 7, answered);
    if (opened.ok() && committed.ok()) committed = store->fold();
    if (opened.ok() && committed.ok()) committed = commit_some(*store, 8, answered);
    if (opened.ok() && committed.ok()) {
      EXPECT_TRUE(store->close().ok() || files_.has_failed());
    }
    has_failed = files_.has_failed();
    files_.disarm();
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
    store = file_store({.path = folder.file("s.json")});
    EXPECT_EQ(expect_whole(*store, open_own(*store)), answered);
  }
  EXPECT_GT(broken, 0);
}

class FileFailures : public ::testing::Test {
protected:
  void SetUp() override { std::signal(SIGXFSZ, SIG_IGN); }

  std::unique_ptr<Store> store() { return file_store({.path = path_, .files = &files_}); }

  const TestFolder folder_;
  const std::string path_ = folder_.file("s.json");
  FaultyFiles files_;
};

TEST_F(FileFailures, AWriteThatFailsLeavesNothingAndWhatWasThereIsRead) {
  const auto store = this->store();
  open_own(*store);
  must_commit(*store, pair_of(1));
  const auto size = fs::file_size(path_ + ".journal");
  files_.arm(Call::write, 0, /*for_ever=*/false);
  EXPECT_EQ(failure(store->commit(pair_of(2))), ErrorCode::store_unavailable);
  files_.disarm();
  EXPECT_EQ(fs::file_size(path_ + ".journal"), size);
  EXPECT_EQ(number_of(*store, "left"), 1U);
  EXPECT_EQ(failure(store->commit(pair_of(2))), ErrorCode::store_unavailable);
  EXPECT_EQ(expect_whole(*store, open_own(*store)), 1U);
}

// Then it is not known what the file holds.
TEST_F(FileFailures, AWriteThatCannotBeTakenBackIsOfUnknownOutcome) {
  const auto store = this->store();
  open_own(*store);
  must_commit(*store, pair_of(1));
  files_.arm(Call::any, 0, /*for_ever=*/true);
  EXPECT_EQ(failure(store->commit(pair_of(2))), ErrorCode::outcome_unknown);
  files_.disarm();
  EXPECT_EQ(expect_whole(*store, open_own(*store)), 1U);
}

TEST_F(FileFailures, AfterAFailedSyncNothingIsTakenUntilTheStoreIsOpenedAgain) {
  const auto store = this->store();
  open_own(*store);
  must_commit(*store, pair_of(1));
  files_.arm(Call::sync, 0, /*for_ever=*/false);
  EXPECT_EQ(failure(store->commit(pair_of(2))), ErrorCode::outcome_unknown);
  files_.disarm();
  EXPECT_EQ(failure(store->commit(pair_of(3))), ErrorCode::store_unavailable);
  EXPECT_EQ(failure(store->last_group()), ErrorCode::store_unavailable);
  EXPECT_EQ(expect_whole(*store, open_own(*store)), 1U);
  must_commit(*store, pair_of(2));
}

// What a kernel says is written after a failed sync may be in its memory only.
TEST_F(FileFailures, WhatOpeningFindsIsWrittenAnewBeforeItIsBuiltOn) {
  const auto first = this->store();
  open_own(*first);
  must_commit(*first, pair_of(1));
  fs::remove(path_ + ".owner");  // As if its process had died.
  const auto store = this->store();
  EXPECT_EQ(open_own(*store).last_group, 1U);
  fs::remove(path_ + ".journal");  // As if it had never been on the disk.
  const auto reader = this->store();
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_EQ(number_of(*reader, "left"), 1U);
}

// A fold that the disk has no room for is tried again later; what is committed is safe meanwhile.
TEST_F(FileFailures, WhereFoldingFailsTheJournalGoesOn) {
  const auto store = this->store();
  open_own(*store);
  std::uint64_t answered = 0;
  files_.arm(Call::replace, 0, /*for_ever=*/true);
  ASSERT_TRUE(commit_some(*store, 20, answered).ok());
  EXPECT_TRUE(files_.has_failed());
  EXPECT_GT(fs::file_size(path_ + ".journal"), 3'900'000U);
  EXPECT_LT(fs::file_size(path_), 1'000U);
  EXPECT_EQ(failure(store->close()), ErrorCode::store_unavailable);
  files_.disarm();
  EXPECT_EQ(expect_whole(*store, open_own(*store)), answered);
}

TEST_F(FileFailures, WhoAsksForAFoldThatFailsIsToldAndNothingIsLost) {
  const auto store = this->store();
  EXPECT_EQ(failure(store->fold()), ErrorCode::store_unavailable) << "it is not open";
  open_own(*store);
  std::uint64_t answered = 0;
  ASSERT_TRUE(commit_some(*store, 2, answered).ok());
  files_.arm(Call::replace, 0, /*for_ever=*/true);
  const auto folded = store->fold();
  EXPECT_EQ(failure(folded), ErrorCode::store_unavailable);
  EXPECT_TRUE(commit_some(*store, 2, answered).ok()) << "the journal goes on";
  files_.disarm();
  EXPECT_TRUE(store->fold().ok());
  fs::remove(path_ + ".journal");
  const auto reader = this->store();
  EXPECT_EQ(expect_whole(*reader, *reader->open(Access::read, an_owner())), answered);
}

TEST_F(FileFailures, NoPowerFailureLosesOrTearsAGroup) {
  std::mt19937_64 random(printed_seed());
  const std::uint64_t rounds = number_from("LIMITR_CUTS", 1'000);
  std::uint64_t answered = 0;
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    const std::uint64_t nth = random() % 40;
    SCOPED_TRACE("round " + std::to_string(round) + ", call " + std::to_string(nth));
    files_.cut_power(nth, random());
    std::uint64_t last = answered;
    {
      const auto store = this->store();
      const auto opened = store->open(Access::own, an_owner());
      if (opened.ok()) {
        EXPECT_EQ(opened->last_group, answered);
        for (std::uint64_t i = 0; i < 14; ++i) {
          // Small ones, and some that let the journal be folded.
          if (!store->commit(pair_of(last + 1, random() % 4 == 0 ? 300'000 : 300)).ok()) break;
          ++last;
        }
      }
    }
    files_.disarm();
    const auto reader = this->store();
    const auto seen = reader->open(Access::read, an_owner());
    if (!seen.ok()) {
      EXPECT_EQ(last, 0U) << seen.error().to_string();
      continue;
    }
    answered = expect_whole(*reader, *seen);
    EXPECT_GE(answered, last);
    EXPECT_LE(answered, last + 1);
  }
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

TEST_F(FileFailures, AFileThatMayNotGrowTakesNothingAndKeepsWhatItHas) {
  const auto store = file_store({.path = path_});
  open_own(*store);
  std::uint64_t answered = 0;
  {
    const FileLimit limit(700'000);
    EXPECT_EQ(failure(commit_some(*store, 100, answered)), ErrorCode::store_unavailable);
    EXPECT_GT(answered, 0U);
    EXPECT_EQ(number_of(*store, "left"), answered);
    const auto reader = file_store({.path = path_});
    ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
    EXPECT_EQ(number_of(*reader, "right"), answered);
  }
  EXPECT_EQ(expect_whole(*store, open_own(*store)), answered);
  EXPECT_TRUE(commit_some(*store, 1, answered).ok());
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

TEST_F(FileFailures, AFullDiskTakesNothingAndKeepsWhatItHas) {
  const SmallDisk disk(folder_.path());
  if (!disk.is_there()) return;  // The test above is what can be had without it.
  const std::string ballast = folder_.file("ballast");
  std::ofstream(ballast) << std::string(1'200'000, '.');
  const auto store = file_store({.path = path_});
  open_own(*store);
  std::uint64_t answered = 0;
  const auto refused = commit_some(*store, 100, answered);
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("make room"));
  EXPECT_GT(answered, 0U);
  EXPECT_EQ(number_of(*store, "left"), answered);
  fs::remove(ballast);
  EXPECT_EQ(expect_whole(*store, open_own(*store)), answered);
  EXPECT_TRUE(commit_some(*store, 1, answered).ok());
}

TEST_F(FileFailures, AFolderThatMayNotBeWrittenToIsNamed) {
  constexpr auto read_only = static_cast<fs::perms>(0555);
  fs::permissions(folder_.path(), read_only);
  const bool is_root = ::geteuid() == 0 && ::seteuid(65'534) == 0;
  const auto refused = file_store({.path = path_})->open(Access::own, an_owner());
  if (is_root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("Permission denied"));
}

}  // namespace
}  // namespace limitr::store
