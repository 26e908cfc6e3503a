// SPDX-License-Identifier: Apache-2.0
#include "engine/unreported_file.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test_folder.h"
#include "base/test_seed.h"

namespace limitr::engine {
namespace {

namespace fs = std::filesystem;

using Left = UnreportedFile::Left;

constexpr Timestamp monday(Millis(1'000'000));
constexpr std::size_t line = 64;
constexpr std::size_t chunk = 1U << 20U;

double units_of(const state::Use& use) {
  double units = 0;
  for (const state::MeterUse& one : use.meters) units += one.used.units;
  for (const state::CapUse& one : use.caps) units += one.units;
  return units;
}

// What is added where the record says that report to be the last that was taken.
double owed(const Left& left, std::uint64_t taken) {
  const double sent = taken >= left.unreported.report ? 0 : units_of(left.unreported.sent);
  return sent + units_of(left.unreported.since);
}

class UnreportedFileTest : public testing::Test {
protected:
  UnreportedFile::Settings settings(const fs::path& path, std::string engine = "e1") {
    return {.path = path.string(), .engine = std::move(engine), .log = [this](auto text) {
              logged_.emplace_back(text);
            }};
  }
  std::unique_ptr<UnreportedFile> open(UnreportedFile::Settings settings) {
    auto opened = UnreportedFile::open(std::move(settings), names_);
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  Error refusal(const fs::path& path) {
    auto opened = UnreportedFile::open(settings(path, "e2"), names_);
    EXPECT_FALSE(opened.ok());
    return opened.ok() ? Error() : opened.error();
  }
  // What another engine finds in a copy of it, as it is at this moment.
  std::vector<Left> left_now() {
    write(copy_path(), bytes());
    return open(settings(copy_path(), "e2"))->take_left();
  }
  KeptUse* keep(UnreportedFile& file, KeptStay& stay, double used = 0) {
    const state::MeterUse use{tokens_, credit_, Millis(60'000), monday, {used, 0}};
    return file.keep(stay, "tokens", "token", use);
  }
  fs::path copy_path() const { return folder_ / "copy"; }
  // Up to where nothing was written, and a little more.
  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    std::string text(chunk / 64, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    const std::size_t end = text.find_last_not_of('\0') + 1;
    text.resize(std::min(text.size(), (end + 16 * line) / line * line));
    return text;
  }
  static void write(const fs::path& path, const std::string& bytes) {
    fs::remove(path);  // One that is only made shorter has to reach the disk on some systems.
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  const TestFolder temporary_;
  const fs::path folder_ = temporary_.path();
  const fs::path path_ = folder_ / "use";
  SymbolTable names_;
  const Symbol tokens_ = names_.intern("tokens");
  const Symbol credit_ = names_.intern("token");
  std::vector<std::string> logged_;
};

TEST_F(UnreportedFileTest, TheNextEngineFindsWhatWasUsedSinceEachReport) {
  const auto file = open(settings(path_));
  KeptStay& stay = *file->begin("ann");
  file->report(stay, 7);
  file->confirm(stay, false);
  KeptUse& use = *keep(*file, stay);
  KeptUse& cap = *file->keep(stay, {.cap = "monthly", .started = monday});
  use.add(3, 0.5);
  cap.add(2, 0);
  file->report(stay, 9);
  use.add(4, 0);

  const std::vector<Left> found = left_now();
  ASSERT_EQ(found.size(), 1U);
  const state::Unreported& left = found.front().unreported;
  EXPECT_EQ(found.front().customer, "ann");
  EXPECT_EQ(left.engine, "e1");
  EXPECT_EQ(left.report, 9U);
  EXPECT_TRUE(left.is_dead);
  EXPECT_FALSE(left.is_owed);
  ASSERT_EQ(left.sent.meters.size(), 1U);
  EXPECT_EQ(left.sent.meters.front().entitlement, tokens_);
  EXPECT_EQ(left.sent.meters.front().credit, credit_);
  EXPECT_EQ(left.sent.meters.front().period, Millis(60'000));
  EXPECT_EQ(left.sent.meters.front().started, monday);
  EXPECT_EQ(left.sent.meters.front().used.units, 3);
  EXPECT_EQ(left.sent.meters.front().used.overhead, 0.5);
  ASSERT_EQ(left.sent.caps.size(), 1U);
  EXPECT_EQ(left.sent.caps.front().cap, "monthly");
  EXPECT_EQ(left.sent.caps.front().units, 2);
  EXPECT_EQ(units_of(left.since), 4);

  file->confirm(stay, false);
  EXPECT_EQ(left_now().front().unreported.report, 9U);
  EXPECT_TRUE(left_now().front().unreported.sent.empty());
  EXPECT_EQ(units_of(left_now().front().unreported.since), 4);
}

TEST_F(UnreportedFileTest, UseWithoutRoomIsOwedUntilItIsConfirmed) {
  const auto file = open(settings(path_));
  KeptStay& stay = *file->begin("ann");
  keep(*file, stay, 5)->add(1, 0);
  file->owe(stay);
  EXPECT_TRUE(left_now().front().unreported.is_owed);
  EXPECT_EQ(owed(left_now().front(), 0), 6);
  file->report(stay, 3);
  EXPECT_EQ(left_now().front().unreported.report, 3U);
  EXPECT_EQ(units_of(left_now().front().unreported.sent), 6);
  file->confirm(stay, true);
  EXPECT_TRUE(left_now().front().unreported.is_owed);
  file->confirm(stay, false);
  EXPECT_FALSE(left_now().front().unreported.is_owed);
  EXPECT_EQ(owed(left_now().front(), 3), 0);
}

TEST_F(UnreportedFileTest, WhoTriedToSettleIsKnownToWhoeverComesNext) {
  {
    const auto file = open(settings(path_));
    file->report(*file->begin("ann"), 1);
  }
  {
    const auto file = open(settings(path_, "e2"));
    file->settle_by(*file->take_left().front().unreported.kept, 12);
    file->settle_by(*file->begin("bob"), 1);
  }
  const auto file = open(settings(path_, "e3"));
  const std::vector<Left> left = file->take_left();
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(left.front().unreported.engine, "e1");
  EXPECT_EQ(left.front().unreported.settler, (state::Writer{"e2", 12}));
}

TEST_F(UnreportedFileTest, WhoTriesToSettleAfterAnotherIsNeverTakenForThatOne) {
  {
    open(settings(path_))->begin("ann");
  }
  {
    const auto file = open(settings(path_, "engine 2"));
    file->settle_by(*file->take_left().front().unreported.kept, 12);
  }
  std::set<std::string> seen;
  UnreportedFile::Settings hooked = settings(path_, "engine 3");
  hooked.after_store = [&] {
    const state::Writer settler = left_now().front().unreported.settler;
    seen.insert(settler.number == 0 ? "" : settler.engine + " " + std::to_string(settler.number));
  };
  const auto file = open(std::move(hooked));
  file->settle_by(*file->take_left().front().unreported.kept, 5);
  EXPECT_EQ(seen, (std::set<std::string>{"", "engine 3 5"}));
}

TEST_F(UnreportedFileTest, NothingIsLeftWhenAllHasEnded) {
  {
    const auto file = open(settings(path_));
    for (int i = 0; i < 20'000; ++i) {
      KeptStay& stay = *file->begin("customer " + std::to_string(i));
      keep(*file, stay, 1);
      file->end(stay);
    }
    EXPECT_EQ(fs::file_size(path_), line + chunk) << "what was let go of is used again";
    KeptStay& stay = *file->begin("ann");
    KeptUse* const past = keep(*file, stay, 1);
    KeptUse* const present = keep(*file, stay, 2);
    file->drop_others(stay, std::vector<KeptUse*>{present});
    EXPECT_EQ(owed(left_now().front(), 0), 2);
    EXPECT_EQ(keep(*file, stay, 4), past);
    file->end(stay);
    EXPECT_EQ(file->stays(), 0U);
  }
  const auto file = open(settings(path_, "e2"));
  EXPECT_TRUE(file->take_left().empty());
  EXPECT_EQ(fs::file_size(path_), line);
}

// INVARIANT 1: the process may end after any store.
TEST_F(UnreportedFileTest, EveryPrefixOfItsStoresSaysWhatWasAnswered) {
  std::mt19937_64 random(printed_seed());
  UnreportedFile* file = nullptr;
  // What the record says to be the last report, at least and at most; and what is owed then.
  std::uint64_t taken = 0;
  double all = 0, at_taken = 0;
  std::size_t looks = 0;
  bool has_begun = false;
  UnreportedFile::Settings hooked = settings(path_);
  const auto look = [&] {
    ++looks;
    double units = 0;
    for (const Left& left : left_now()) {
      if (left.customer == "ann") units += owed(left, taken);
      if (left.customer == "bob") {
        EXPECT_EQ(owed(left, 1), 100);
      }
    }
    ASSERT_EQ(units, all - at_taken) << "after " << looks << " looks";
  };
  hooked.after_store = [&] {
    if (has_begun) look();
  };
  const auto opened = open(std::move(hooked));
  file = opened.get();
  KeptStay& bob = *file->begin("bob");
  file->report(bob, 1);
  file->confirm(bob, false);
  keep(*file, bob)->add(100, 0);
  has_begun = true;
  std::uint64_t number = 1;
  for (int stays = 0; stays < 8; ++stays) {
    taken = 0;
    KeptStay& stay = *file->begin("ann");
    file->report(stay, ++number);
    taken = number;
    file->confirm(stay, false);
    std::vector<KeptUse*> uses = {keep(*file, stay), keep(*file, stay)};
    for (int i = 0; i < 30; ++i) {
      const auto units = static_cast<double>(random() % 10);
      switch (random() % 6) {
        case 0:  // not taken
          file->report(stay, ++number);
          break;
        case 1:
          file->report(stay, ++number);
          taken = number;
          at_taken = all;
          look();
          file->confirm(stay, false);
          break;
        case 2:
          file->report(stay, ++number);
          taken = number;
          at_taken = all;
          all += units;
          uses[0]->add(units, 0);
          look();
          file->confirm(stay, false);
          break;
        case 3: file->settle_by(bob, number); break;
        case 4: uses.push_back(keep(*file, stay)); break;
        default:
          all += units;
          uses[random() % uses.size()]->add(units, 0);
          look();
      }
    }
    file->report(stay, ++number);
    taken = number;
    at_taken = all;
    file->drop_others(stay, std::vector<KeptUse*>{uses[0]});
    file->end(stay);
  }
  EXPECT_GT(looks, 1000U);
}

TEST_F(UnreportedFileTest, AProcessThatIsKilledLeavesWhatItAnswered) {
  for (int round = 0; round < 10; ++round) {
    const fs::path path = folder_ / std::to_string(round);
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const ::pid_t child = ::fork();
    if (child == 0) {
      auto file = UnreportedFile::open(settings(path), names_);
      KeptStay* stay = (*file)->begin("ann");
      (*file)->report(*stay, 1);
      (*file)->confirm(*stay, false);
      KeptUse* use = keep(**file, *stay);
      for (std::uint64_t number = 2;; ++number) {
        use->add(1, 0);
        if (::write(pipe[1], "x", 1) != 1) ::_exit(1);
        if (number % 3 == 0) (*file)->report(*stay, number);
      }
    }
    ::close(pipe[1]);
    std::array<char, 200> text{};
    const ::ssize_t first = ::read(pipe[0], text.data(), text.size());
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    auto answered = static_cast<double>(first);
    for (::ssize_t more = 0; (more = ::read(pipe[0], text.data(), text.size())) > 0;) {
      answered += static_cast<double>(more);
    }
    ::close(pipe[0]);
    const std::vector<Left> left = open(settings(path, "e2"))->take_left();
    ASSERT_EQ(left.size(), 1U);
    EXPECT_GE(owed(left.front(), 1), answered);
    EXPECT_LE(owed(left.front(), 1), answered + 1);
  }
}

TEST_F(UnreportedFileTest, OneHasItAtATime) {
  const auto file = open(settings(path_));
  const Error error = refusal(path_);
  EXPECT_EQ(error.code, ErrorCode::store_owned);
  EXPECT_NE(error.message.find(path_.string()), std::string::npos) << error.message;
  const ::pid_t child = ::fork();
  if (child == 0) {
    auto opened = UnreportedFile::open(settings(path_, "e2"), names_);
    ::_exit(!opened.ok() && opened.error().code == ErrorCode::store_owned ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  file->close();
  open(settings(path_, "e2"));
}

TEST_F(UnreportedFileTest, WhereItIsFullNobodyBeginsAndItIsSaidOnce) {
  UnreportedFile::Settings small = settings(path_);
  small.max_bytes = line + chunk;
  const auto file = open(std::move(small));
  KeptStay* last = nullptr;
  std::size_t count = 0;
  while (KeptStay* stay = file->begin("ann")) {
    last = stay;
    ++count;
  }
  EXPECT_GT(count, 1000U);
  EXPECT_EQ(file->begin("ann"), nullptr);
  ASSERT_EQ(logged_.size(), 1U);
  EXPECT_NE(logged_.front().find("is full"), std::string::npos) << logged_.front();
  file->end(*last);
  EXPECT_NE(file->begin("ann"), nullptr);
  EXPECT_EQ(file->begin(std::string(100'000, 'a')), nullptr);
}

TEST_F(UnreportedFileTest, WhatIsNoFileOfThisKindIsRefusedAndStaysAsItIs) {
  write(path_, "policy:\n  plans: {}\n");
  EXPECT_EQ(refusal(path_).code, ErrorCode::data_corrupt);
  EXPECT_EQ(fs::file_size(path_), 20U);
  EXPECT_EQ(refusal(folder_).code, ErrorCode::io_failed);
  EXPECT_EQ(refusal("/dev/null").code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(folder_ / "none" / "use").code, ErrorCode::io_failed);
}

// Each bit, and each length: it is read as it was, or the damage is named.
TEST_F(UnreportedFileTest, DamageIsNamedAndNeverACrash) {
  {
    const auto file = open(settings(path_));
    KeptStay& gone = *file->begin("gone");
    for (const std::string id : {"ann", "bob"}) {
      KeptStay& stay = *file->begin(id);
      file->report(stay, 7);
      file->confirm(stay, false);
      keep(*file, stay)->add(3, 0);
      file->keep(stay, {.cap = "monthly", .started = monday})->add(2, 0);
      file->report(stay, 9);
      file->settle_by(stay, 5);
    }
    file->end(gone);
  }
  const std::string whole = bytes();
  const auto look = [&](const std::string& damaged, std::size_t at) {
    const bool is_cut = damaged.size() != whole.size();
    write(copy_path(), damaged);
    auto opened = UnreportedFile::open(settings(copy_path(), "e2"), names_);
    if (!opened.ok()) {
      EXPECT_EQ(opened.error().code, ErrorCode::data_corrupt);
      EXPECT_NE(opened.error().message.find("is damaged at byte"), std::string::npos);
      return true;
    }
    const std::vector<Left> all_left = (*opened)->take_left();
    EXPECT_TRUE(is_cut || all_left.size() == 2) << "at " << at;
    for (const Left& left : all_left) {
      EXPECT_TRUE(left.customer == "ann" || left.customer == "bob") << "at " << at;
      EXPECT_EQ(left.unreported.engine, "e1") << "at " << at;
      for (const state::Use* use : {&left.unreported.sent, &left.unreported.since}) {
        for (const auto& one : use->meters) EXPECT_EQ(one.entitlement, tokens_) << "at " << at;
        for (const auto& one : use->caps) EXPECT_EQ(one.cap, "monthly") << "at " << at;
      }
    }
    return false;
  };
  ASSERT_FALSE(look(whole, 0));
  std::size_t named = 0;
  for (std::size_t at = 0; at < 8 * whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at / 8] =
        static_cast<char>(static_cast<unsigned char>(damaged[at / 8]) ^ (1U << (at % 8)));
    named += look(damaged, at) ? 1U : 0U;
  }
  EXPECT_GT(named, whole.size()) << "of all bits, those that are no number of units";
  for (std::size_t size = 0; size < whole.size(); ++size) look(whole.substr(0, size), size);
}

}  // namespace
}  // namespace limitr::engine
