// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/test_seed.h"
#include "engine/manual_clock.h"
#include "site.h"

// A clock that jumps, also between two engines on one store: no period starts twice, and the start
// of one never moves back. spec: decision.md, step 3
namespace limitr::system_tests {
namespace {

constexpr std::int64_t hour = 3'600'000;
constexpr std::int64_t month = 31 * 24 * hour;
constexpr std::int64_t in_1970 = 0;
constexpr std::int64_t in_2026 = 1'772'355'600'123;
constexpr std::int64_t in_2038 = 2'147'483'648'000;
constexpr double limit = 5;

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro:
      default: true
      entitlements:
        hourly: { limit: { credit: tok, value: 5, resets: true, reset_inc: 1hr } }
        monthly: { limit: { credit: tok, value: 5, resets: true, reset_sch: "monthly:1" } }
)";

class JumpingClock : public ::testing::TestWithParam<std::string> {
protected:
  Limitr open() const {
    Options options;
    options.store = site_->url();
    options.clock = clock_;
    options.log = [](std::string_view) {};
    return open_engine(policy, options);
  }

  /// As far as 2038, from where no period begins for long, at the end only.
  void jump(bool is_far) {
    const std::int64_t now = clock_->now().time_since_epoch().count();
    const std::array times = {now + 1,     now + hour / 3, now + hour, now - hour, now + month,
                              now - month, in_1970,        in_2026,    in_2038};
    clock_->set(std::max(in_1970, times[random_() % (times.size() - (is_far ? 0 : 1))]));
  }

  const std::unique_ptr<Site> site_ = make_site(GetParam());
  const std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(in_2026);
  std::minstd_rand random_{static_cast<unsigned>(printed_seed())};
};

TEST_P(JumpingClock, StartsNoPeriodTwice) {
  std::optional<Limitr> limitr(open());
  ASSERT_TRUE(limitr->create_customer("ann").ok());
  std::map<std::string, double> last;                        // start of the present period
  std::map<std::pair<std::string, double>, double> used_in;  // by the period's start
  const auto steps = number_from("LIMITR_JUMPS", 400);
  for (unsigned step = 0; step < steps && !HasFailure(); ++step) {
    if (random_() % 4 == 0) jump(/*is_far=*/step > steps / 2);
    if (random_() % 20 == 0) {
      ASSERT_TRUE(limitr->close().ok());
      limitr.emplace(open());
    }
    const std::string which = random_() % 2 == 0 ? "hourly" : "monthly";
    const auto answer = limitr->allow("ann", which, 1);
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    const auto meter = limitr->meter("ann", which);
    ASSERT_TRUE(meter.ok());
    if (!*meter) continue;
    const double started = (**meter)["started"].get<double>();
    SCOPED_TRACE("step " + std::to_string(step) + ", " + which);
    const auto before = last.try_emplace(which, started).first;
    EXPECT_GE(started, before->second) << "it moved back";
    before->second = started;
    double& used = used_in[{which, started}];
    used += answer->allowed ? 1 : 0;
    EXPECT_LE(used, limit) << "the period was begun anew";
    EXPECT_EQ((**meter)["value"].get<double>(), used);
  }
  EXPECT_GT(used_in.size(), 2U) << "no period has ended";
}

INSTANTIATE_TEST_SUITE_P(Stores, JumpingClock, ::testing::ValuesIn(lasting_kinds()),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace limitr::system_tests
