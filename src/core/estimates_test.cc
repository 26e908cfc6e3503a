// SPDX-License-Identifier: Apache-2.0
#include "core/estimates.h"

#include <cmath>
#include <limits>
#include <numbers>

#include <gtest/gtest.h>

// spec: reservations.md, Estimates
namespace limitr::core {
namespace {

using state::EstimateStats;

const Sample all{.segment = "all", .per_basis = false, .basis = {}};

EstimateStats learned(std::initializer_list<double> values) {
  EstimateStats stats;
  bool first = true;
  for (const double value : values) {
    stats = learn(first ? nullptr : &stats, all, value, 2 * value, {});
    first = false;
  }
  return stats;
}

// Goal: an absolute error below 4.5e-4, held against the normal distribution itself.
TEST(NormalQuantile, StaysWithinItsError) {
  for (double z = -3.7; z <= 3.7; z += 0.01) {
    const double q = 0.5 * std::erfc(-z / std::numbers::sqrt2);
    EXPECT_NEAR(normal_quantile(q), z, 4.5e-4) << "at " << q;
  }
}

TEST(NormalQuantile, ReadsLikeTheTable) {
  struct Case {
    double q, z;
  };
  for (const Case& c : {Case{0.0001, -3.719016}, Case{0.001, -3.090232}, Case{0.01, -2.326348},
                        Case{0.05, -1.644854}, Case{0.25, -0.674490}, Case{0.4, -0.253347},
                        Case{0.6, 0.253347}, Case{0.9, 1.281552}, Case{0.95, 1.644854},
                        Case{0.975, 1.959964}, Case{0.999, 3.090232}, Case{0.9999, 3.719016}}) {
    EXPECT_NEAR(normal_quantile(c.q), c.z, 4.5e-4) << "at " << c.q;
  }
  EXPECT_EQ(normal_quantile(0.5), 0);
}

TEST(NormalQuantile, KeepsWithinItsRange) {
  EXPECT_EQ(normal_quantile(0), normal_quantile(0.0001));
  EXPECT_EQ(normal_quantile(-5), normal_quantile(0.0001));
  EXPECT_EQ(normal_quantile(1), normal_quantile(0.9999));
  EXPECT_EQ(normal_quantile(std::numeric_limits<double>::infinity()), normal_quantile(0.9999));
  EXPECT_TRUE(std::isfinite(normal_quantile(std::nan(""))));
}

TEST(Learn, IsAPlainAverageAtFirst) {
  const EstimateStats stats = learned({4, 8, 6});
  EXPECT_EQ(stats.samples, 3U);
  EXPECT_DOUBLE_EQ(stats.value_mean, 6);
  EXPECT_DOUBLE_EQ(stats.value_var, 8.0 / 3);
  EXPECT_DOUBLE_EQ(stats.overhead_mean, 12);
  EXPECT_DOUBLE_EQ(stats.overhead_var, 32.0 / 3);
}

// Goal: w = max(alpha, 1/samples), d = x - mean; mean += w d; var = (1 - w)(var + w d^2).
TEST(Learn, WeighsByAlphaLater) {
  EstimateStats stats = learned({5});
  stats.samples = 1000;
  stats.value_var = 3;
  stats = learn(&stats, all, 15, 0, {});
  EXPECT_DOUBLE_EQ(stats.value_mean, 5 + 0.1 * 10);
  EXPECT_DOUBLE_EQ(stats.value_var, 0.9 * (3 + 0.1 * 100));
}

// Goal: what is not finite, or counted beyond what a record takes, could not be loaded again.
TEST(Learn, StaysWithinWhatCanBeSaved) {
  const auto is_finite = [](const EstimateStats& stats) {
    return std::isfinite(stats.value_mean) && std::isfinite(stats.value_var) &&
           std::isfinite(stats.overhead_mean) && std::isfinite(stats.overhead_var);
  };
  const EstimateStats large = learned({1e300, -1e308, 1e308});
  EXPECT_TRUE(is_finite(large));
  const Sample tiny{.segment = "all", .per_basis = true, .basis = 1e-300};
  EXPECT_TRUE(is_finite(learn(nullptr, tiny, 1e300, 1e300, {})));
  EXPECT_TRUE(is_finite(merge(large, learned({-1e308, -1e308}))));
  EXPECT_TRUE(std::isfinite(predict(large, all, 0.9)->value));

  EstimateStats many = learned({5});
  many.samples = 9'000'000'000'000'000;
  many.alpha = 1e308;
  EXPECT_EQ(learn(&many, all, 7, 0, {}).samples, many.samples);
  EXPECT_EQ(learn(&many, all, 7, 0, {}).value_mean, 7) << "a weight is no more than all of it";
  EXPECT_LE(merge(many, many).samples, many.samples);
  EXPECT_EQ(merge(many, many).value_mean, 5);
}

TEST(Learn, AChangeOfBasisModeStartsOver) {
  const EstimateStats plain = learned({100, 100});
  const Sample scaled{.segment = "all", .per_basis = true, .basis = 4};
  const EstimateStats stats = learn(&plain, scaled, 8, 0, {});
  EXPECT_EQ(stats.samples, 1U);
  EXPECT_TRUE(stats.per_basis);
  EXPECT_DOUBLE_EQ(stats.value_mean, 2) << "per unit of the basis";
}

TEST(Predict, TakesTheQuantileAndScales) {
  EstimateStats stats = learned({5});
  stats.value_var = 4;
  EXPECT_NEAR(predict(stats, all, 0.9)->value, 5 + 1.281552 * 2, 1e-3);
  EXPECT_EQ(predict(stats, all, 0.5)->value, 5);
  EXPECT_EQ(predict(stats, all, 0.001)->value, 0) << "never below 0";
  stats.per_basis = true;
  EXPECT_FALSE(predict(stats, all, 0.5)) << "it needs a basis";
  const Sample three{.segment = "all", .per_basis = true, .basis = 3};
  EXPECT_EQ(predict(stats, three, 0.5)->value, 15);
}

TEST(Merge, WeighsBySampleCounts) {
  const EstimateStats sum = merge(learned({4, 8, 6}), learned({10}));
  const EstimateStats whole = learned({4, 8, 6, 10});
  EXPECT_EQ(sum.samples, 4U);
  EXPECT_DOUBLE_EQ(sum.value_mean, whole.value_mean);
  EXPECT_DOUBLE_EQ(sum.value_var, whole.value_var);
  EXPECT_DOUBLE_EQ(sum.overhead_mean, whole.overhead_mean);
  EXPECT_DOUBLE_EQ(sum.overhead_var, whole.overhead_var);
}

TEST(SampleOf, ArgumentsWinOverFields) {
  policy::Entitlement entitlement;
  entitlement.estimate_basis = "input";
  entitlement.estimate_segment = "model";
  const Json context = {{"input", 10}, {"model", "a.b c"}};
  EXPECT_EQ(sample_of(entitlement, &context, {}, {}).segment, "a_b_c");
  EXPECT_EQ(sample_of(entitlement, &context, {}, {}).basis, 10);
  EXPECT_EQ(sample_of(entitlement, &context, {}, "x.y").segment, "x_y");
  EXPECT_EQ(sample_of(entitlement, &context, 3.0, {}).basis, 3);
  EXPECT_EQ(sample_of(entitlement, nullptr, {}, {}).segment, "all");
}

TEST(SampleOf, ABasisMustBePositive) {
  policy::Entitlement entitlement;
  entitlement.estimate_basis = "input";
  for (const char* text : {R"({"input":0})", R"({"input":-1})", R"({"input":"5"})",
                           R"({"input":null})", R"({})", R"([])"}) {
    SCOPED_TRACE(text);
    const Json context = Json::parse(text);
    const Sample sample = sample_of(entitlement, &context, {}, {});
    EXPECT_TRUE(sample.per_basis);
    EXPECT_FALSE(sample.usable());
  }
}

}  // namespace
}  // namespace limitr::core
