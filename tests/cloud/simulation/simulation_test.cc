// SPDX-License-Identifier: Apache-2.0
#include "simulation.h"

#include <gtest/gtest.h>

#include "base/test_seed.h"

namespace limitr::simulation {
namespace {

std::string text_of(const Report& report) {
  std::string text;
  for (const std::string& violation : report.violations) text += violation + "\n";
  return text;
}

// LIMITR_SEEDS says how many; LIMITR_SEED where they begin.
TEST(CloudSimulation, LimitsHoldUnderAllFaults) {
  const std::uint64_t seeds = number_from("LIMITR_SEEDS", 1000);
  const std::uint64_t first = number_from("LIMITR_SEED", 1);
  Report sum;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    const Report report = simulate(seed);
    ASSERT_TRUE(report.violations.empty()) << "LIMITR_SEED=" << seed << "\n" << text_of(report);
    sum.answered += report.answered;
    sum.at_home += report.at_home;
    sum.denied += report.denied;
    sum.unknown += report.unknown;
    sum.crashes += report.crashes;
  }
  std::printf(
      "%llu seeds: %llu calls allowed, %llu at home, %llu denied, %llu unknown, %llu crashes\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(sum.answered),
      static_cast<unsigned long long>(sum.at_home), static_cast<unsigned long long>(sum.denied),
      static_cast<unsigned long long>(sum.unknown), static_cast<unsigned long long>(sum.crashes));
}

TEST(CloudSimulation, ASeedReplaysExactly) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(simulate(seed).trace, simulate(seed).trace) << "LIMITR_SEED=" << seed;
  }
}

class PlantedBug : public testing::TestWithParam<Bug> {};

TEST_P(PlantedBug, IsFound) {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    const Report report = simulate(seed, GetParam());
    if (report.violations.empty()) continue;
    std::printf("found with seed %llu: %s\n", static_cast<unsigned long long>(seed),
                report.violations.front().c_str());
    return;
  }
  FAIL() << "no seed finds it";
}

std::string name_of(const testing::TestParamInfo<Bug>& bug) {
  switch (bug.param) {
    case Bug::none: return "none";
    case Bug::room: return "room";
    case Bug::incarnation: return "incarnation";
    case Bug::numbering: return "numbering";
    case Bug::fencing: return "fencing";
    case Bug::lease: return "lease";
  }
  return "";
}

INSTANTIATE_TEST_SUITE_P(CloudSimulation, PlantedBug,
                         testing::Values(Bug::room, Bug::incarnation, Bug::numbering, Bug::fencing,
                                         Bug::lease),
                         name_of);

}  // namespace
}  // namespace limitr::simulation
