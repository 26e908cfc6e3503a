// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <gtest/gtest.h>

#include <limitr/json.h>

namespace limitr::bench {
namespace {

TEST(BenchHarness, MedianIsTheMiddleOfTheSortedFigures) {
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 3, 100}), 3.5);
}

// Goal: a run in which the whole machine was slow moves both sides, so it must not move the ratio.
TEST(BenchHarness, RatioIsTakenPairByPair) {
  const Figures figures = figures_of_pairs({10, 20, 90}, {5, 10, 10});
  EXPECT_EQ(figures.ours, 20);
  EXPECT_EQ(figures.comparator, 10);
  EXPECT_EQ(figures.ratio, 2);
  EXPECT_EQ(figures.runs, 3U);
}

TEST(BenchHarness, AlternatesAndDropsTheFirstPair) {
  Checks checks;
  std::string order;
  double figure = 1000;
  const auto ours = [&] {
    order += 'o';
    return Sample{std::exchange(figure, 8), 3};
  };
  const auto comparator = [&] {
    order += 'c';
    return Sample{4, 3};
  };
  const Figures figures = alternate(2, checks, ours, comparator);
  EXPECT_EQ(order, "ocococ");
  EXPECT_EQ(figures.ratio, 2);
  EXPECT_EQ(figures.ours, 8);
  EXPECT_TRUE(checks.failures().empty());
}

TEST(BenchHarness, AnswersThatDisagreeAreAFailure) {
  Checks pairs;
  std::uint64_t answers = 0;
  alternate(2, pairs, [&] { return Sample{1, ++answers}; }, [] { return Sample{1, 1}; });
  EXPECT_EQ(pairs.failures().size(), 2U);

  Checks alone;
  repeat(3, alone, 5, [] { return Sample{1, 6}; });
  EXPECT_EQ(alone.failures().size(), 3U);
}

TEST(BenchHarness, HashFollowsTheAnswers) {
  Checks one;
  Checks other;
  one.same<std::uint64_t>("a", 1, 1);
  other.same<std::uint64_t>("a", 1, 1);
  EXPECT_EQ(one.hash(), other.hash());
  other.same("a", 0.5, 0.5);
  EXPECT_NE(one.hash(), other.hash());
}

TEST(BenchHarness, GoalsAreHeldToTheirFigure) {
  struct Case {
    Goal::Op op;
    double figure;
    bool met;
  };
  using Op = Goal::Op;
  for (const Case& c :
       {Case{Op::at_most, 2, true}, Case{Op::at_most, 2.1, false}, Case{Op::at_least, 2, true},
        Case{Op::at_least, 1.9, false}, Case{Op::equal, 2, true}, Case{Op::equal, 1.9, false}}) {
    const Goal goal{Goal::Of::value, c.op, 2};
    SCOPED_TRACE(fmt::format("{} with {}", goal.to_string(), c.figure));
    EXPECT_EQ(goal.met_by(c.figure), c.met);
  }
}

TEST(BenchHarness, JsonHasEveryField) {
  const Row compared{.name = "allow_1k",
                     .value = 30,
                     .unit = "ns",
                     .lower_is_better = true,
                     .comparator = Comparator{"bare map", 20},
                     .ratio = 1.5,
                     .goal = {Goal::Of::ratio, Goal::Op::at_most, 1},
                     .runs = 9};
  Row alone = compared;
  alone.lower_is_better = false;
  alone.comparator.reset();
  alone.ratio.reset();
  alone.goal = {Goal::Of::value, Goal::Op::at_least, 30};
  EXPECT_EQ(Json::parse(json_text({compared, alone})), Json::parse(R"({"results": [
    {"name": "allow_1k", "value": 30, "unit": "ns", "better": "lower",
     "comparator": {"name": "bare map", "value": 20}, "ratio": 1.5,
     "goal": {"op": "<=", "number": 1, "of": "ratio"}, "met": false, "runs": 9},
    {"name": "allow_1k", "value": 30, "unit": "ns", "better": "higher",
     "comparator": null, "ratio": null,
     "goal": {"op": ">=", "number": 30, "of": "value"}, "met": true, "runs": 9}]})"));
}

}  // namespace
}  // namespace limitr::bench
