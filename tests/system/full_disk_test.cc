// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <sys/resource.h>

#include <gtest/gtest.h>

#include "backends.h"
#include "base/test_seed.h"
#include "child.h"
#include "site.h"

// A disk that fills up under an engine. To mount a small one takes rights that not everybody has,
// so what is full is what the system lets the process write to a file. spec: state.md, Stores
namespace limitr::system_tests {
namespace {

constexpr std::size_t customers = 20;

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro: { default: true, entitlements: { chat: { limit: { credit: tok, value: 1e9 } } } }
)";

/// While it lives no file of the folder can grow by more than a little.
class FullDisk {
public:
  FullDisk(const std::string& folder, std::uintmax_t room) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    std::uintmax_t largest = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      largest = std::max(largest, file.file_size());
    }
    ::rlimit full = before_;
    full.rlim_cur = largest + room;
    ::setrlimit(RLIMIT_FSIZE, &full);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
  ::rlimit before_ = {};
};

struct Setting {
  std::string name;
  std::string kind;
  std::size_t max_loaded = 0;
};

std::ostream& operator<<(std::ostream& out, const Setting& setting) { return out << setting.name; }

class DiskThatFills : public ::testing::TestWithParam<Setting> {
protected:
  DiskThatFills() { ::signal(SIGXFSZ, SIG_IGN); }

  Options options() const {
    Options options;
    options.store = GetParam().kind + ":" + folder_.file("state");
    options.max_loaded = GetParam().max_loaded;
    options.log = [](std::string_view) {};
    return options;
  }

  void call_until_full(Limitr& limitr) {
    for (int calls = 0; calls < 100'000; ++calls) {
      const std::size_t one = random_() % customers;
      const auto answer = limitr.allow(std::to_string(one), "chat", 1);
      if (!answer.ok()) {
        EXPECT_EQ(answer.error().code, ErrorCode::store_unavailable) << answer.error().to_string();
        return;
      }
      answered_[one] += 1;
    }
    ADD_FAILURE() << "the disk does not fill up";
  }

  void expect_all_answered(Limitr& limitr) const {
    for (std::size_t i = 0; i < customers; ++i) {
      EXPECT_EQ(number(limitr.value(std::to_string(i), "chat")), answered_[i]) << i;
    }
  }

  /// While the store is away, whoever has to be asked of there cannot be had; nobody is wrong.
  void expect_no_other_answer(Limitr& limitr) const {
    for (std::size_t i = 0; i < customers; ++i) {
      const Read<double> value = limitr.value(std::to_string(i), "chat");
      if (value.ok()) {
        EXPECT_EQ(*value, answered_[i]) << i;
      } else {
        EXPECT_EQ(value.error().code, ErrorCode::store_unavailable) << value.error().to_string();
      }
    }
  }

  void expect_to_go_on(Limitr& limitr) {
    EXPECT_TRUE(comes_true([&] { return limitr.allow("0", "chat", 1).ok(); }));
    answered_[0] += 1;
    expect_all_answered(limitr);
  }

  const TestFolder folder_;
  std::minstd_rand random_{static_cast<unsigned>(printed_seed())};
  std::array<double, customers> answered_ = {};
};

TEST_P(DiskThatFills, TakesNothingAndLosesNothingUntilThereIsRoom) {
  Limitr limitr = open_engine(policy, options());
  for (std::size_t i = 0; i < customers; ++i) {
    ASSERT_TRUE(limitr.create_customer(std::to_string(i)).ok());
  }
  for (int round = 0; round < 5; ++round) {
    {
      const FullDisk full(folder_.path(), random_() % 20'000);
      call_until_full(limitr);
      expect_no_other_answer(limitr);
    }
    expect_to_go_on(limitr);
  }
  ASSERT_TRUE(limitr.close().ok());
  Limitr next = open_engine(policy, options());
  expect_all_answered(next);
}

// It closes, or dies, on the full disk, and the next one may find no room either.
TEST_P(DiskThatFills, LosesNothingOfAnEngineThatEndsThere) {
  {
    Limitr first = open_engine(policy, options());
    for (std::size_t i = 0; i < customers; ++i) {
      ASSERT_TRUE(first.create_customer(std::to_string(i)).ok());
    }
  }
  for (const bool is_killed : {true, false}) {
    Told<std::array<double, customers>> told;
    Child child([&] {
      Limitr limitr = open_engine(policy, options());
      const FullDisk full(folder_.path(), random_() % 20'000);
      call_until_full(limitr);
      if (HasFailure()) std::_Exit(2);
      told.tell(answered_);
      if (is_killed) ::raise(SIGKILL);
      (void)limitr.close();
    });
    told.hear_only();
    const auto answered = told.next();
    ASSERT_EQ(child.wait(), is_killed ? -SIGKILL : 0);
    ASSERT_TRUE(answered.has_value());
    answered_ = *answered;
    {
      const FullDisk full(folder_.path(), 0);
      const auto opened = Limitr::open(policy, options());
      if (!opened.ok()) {
        EXPECT_EQ(opened.error().code, ErrorCode::store_unavailable) << opened.error().to_string();
      }
    }
    Limitr next = open_engine(policy, options());
    expect_all_answered(next);
    expect_to_go_on(next);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, DiskThatFills,
                         ::testing::Values(Setting{"sqlite", "sqlite"}, Setting{"file", "file"},
                                           Setting{"sqlite_on_demand", "sqlite", 3},
                                           Setting{"file_on_demand", "file", 3}),
                         [](const auto& setting) { return setting.param.name; });

}  // namespace
}  // namespace limitr::system_tests
