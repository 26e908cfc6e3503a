// SPDX-License-Identifier: Apache-2.0
#include "core/price.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "base/amount.h"
#include "base/test_vectors.h"
#include "core/test_policy.h"

// spec: pricing.md, Price of units
namespace limitr::core {
namespace {

using policy::PriceCurve;

PriceCurve curve_of(const Json& credit) {
  const Json document = {{"policy", {{"credits", {{"c", credit}}}}}};
  return policy_of(policy::to_node(document, {}))->credit("c")->price;
}
PriceCurve curve_of(const char* credit) { return curve_of(Json::parse(credit)); }

PriceCurve banded(std::string_view model) {
  return curve_of(Json{{"pricing_model", model},
                       {"tiers",
                        {{{"up_to", 10}, {"price", {{"amount", 2}}}},
                         {{"up_to", 20}, {"price", {{"amount", 1}}}},
                         {{"up_to", nullptr}, {"price", {{"amount", 0.5}}}}}}});
}

void expect_close(std::optional<double> got, const Json& expected) {
  ASSERT_EQ(got.has_value(), !expected.is_null());
  if (!got) return;
  const auto wanted = expected.get<double>();
  EXPECT_NEAR(*got, wanted, 1e-9 * std::max(1.0, std::fabs(wanted)));
}

TEST(Price, AnswersLikeTheReferenceEngine) {
  std::map<std::string, PriceCurve> curves;
  std::size_t prices = 0;
  std::size_t quantities = 0;
  for (const Json& row : read_vectors("prices.ndjson")) {
    SCOPED_TRACE(row.dump());
    const std::string credit = row["credit"].dump();
    if (!curves.contains(credit)) curves.emplace(credit, curve_of(row["credit"]));
    const PriceCurve& curve = curves.at(credit);
    if (row.contains("price")) {
      const Json& args = row["price"];
      expect_close(price(curve, args["quantity"].get<double>(), args["from"].get<double>()),
                   row["expect"]);
      ++prices;
    } else {
      const Json& args = row["quantity"];
      expect_close(quantity(curve, args["runes"].get<double>(), args["from"].get<double>()),
                   row["expect"]);
      ++quantities;
    }
  }
  EXPECT_GT(prices, 500U);
  EXPECT_GT(quantities, 500U);
}

TEST(Price, FollowsItsModel) {
  struct Case {
    const char* why;
    const char* model;
    double units, from, expected;
  };
  for (const Case& c : {Case{"tiered: each band at its own rate", "tiered", 25, 0, 32.5},
                        Case{"tiered: the edge belongs to the lower band", "tiered", 10, 0, 20},
                        Case{"tiered: included units cost the first rate", "tiered", 5, -5, 10},
                        Case{"tiered: across zero", "tiered", 20, -5, 35},
                        Case{"volume: all at the rate fallen in", "volume", 25, 0, 12.5},
                        Case{"volume: a cheaper band can make it negative", "volume", 1, 10, -9},
                        Case{"volume: the edge belongs to the lower band", "volume", 10, 0, 20},
                        Case{"stairstep: the fee of the step", "stairstep", 1, 0, 2},
                        Case{"stairstep: within a step nothing", "stairstep", 5, 3, 0},
                        Case{"stairstep: included units are free", "stairstep", 5, -5, 0},
                        Case{"stairstep: onto another step", "stairstep", 1, 10, -1}}) {
    SCOPED_TRACE(c.why);
    EXPECT_DOUBLE_EQ(*price(banded(c.model), c.units, c.from), c.expected);
  }
}

// Goal: price(-q, from) = -price(q, from - q).
TEST(Price, ARefundIsWhatTheUnitsCost) {
  for (const char* model : {"tiered", "volume", "stairstep"}) {
    SCOPED_TRACE(model);
    const PriceCurve curve = banded(model);
    for (double from = -15; from <= 40; from += 2.5) {
      for (double units = 0; units <= 40; units += 2.5) {
        EXPECT_DOUBLE_EQ(*price(curve, -units, from), -*price(curve, units, from - units));
      }
    }
  }
}

// Goal: large totals lose no precision, since tiered never subtracts two of them.
TEST(Price, ASumBesideAnEdgeIsAtTheEdge) {
  const double above = std::nextafter(10.0, 11.0);
  for (const char* model : {"volume", "stairstep"}) {
    SCOPED_TRACE(model);
    const PriceCurve curve = banded(model);
    EXPECT_NEAR(*price(curve, above, 0), *price(curve, 10, 0), 1e-8);
    EXPECT_NEAR(*price(curve, 5, above), *price(curve, 5, 10), 1e-8);
    EXPECT_NEAR(*price(curve, above - 1e-16, 1e-16), *price(curve, 10, 0), 1e-8);
    EXPECT_NEAR(*quantity(curve, 1, above), *quantity(curve, 1, 10), 1e-8);
  }
  EXPECT_EQ(*price(banded("stairstep"), 1e-16, 0), 0);
}

TEST(Price, TieredIsExactFarOut) { EXPECT_EQ(*price(banded("tiered"), 1, 1e15), 0.5); }

TEST(Quantity, UndoesThePriceOfTieredUnits) {
  const PriceCurve curve = banded("tiered");
  for (double from = 0; from <= 30; from += 2.5) {
    for (double units = 0; units <= 40; units += 2.5) {
      EXPECT_NEAR(*quantity(curve, *price(curve, units, from), from), units, 1e-9);
    }
  }
}

TEST(Quantity, HasNoAnswerOrNoBound) {
  const PriceCurve none = curve_of("{}");
  const PriceCurve free_flat = curve_of(R"({"price":{"amount":0}})");
  const PriceCurve free_end = curve_of(
      R"({"pricing_model":"tiered","tiers":[{"up_to":5,"price":{"amount":1}},
          {"up_to":null,"price":{"amount":0}}]})");
  EXPECT_FALSE(price(none, 1, 0)) << "no price at all";
  EXPECT_FALSE(quantity(none, 1, 0));
  EXPECT_FALSE(quantity(free_flat, 1, 0)) << "a flat amount of 0";
  EXPECT_FALSE(quantity(banded("stairstep"), -1, 5)) << "steps are not refunded";
  EXPECT_EQ(quantity(free_end, 4, 0), 4) << "what it buys before the free band";
  EXPECT_EQ(quantity(free_end, 5.5, 0), amount::unbounded) << "the free band has no end";
  EXPECT_EQ(quantity(banded("tiered"), -4, 7), -2) << "negative runes: at the first rate";
}

TEST(Quantity, ABandThatCannotBeEnteredIsNot) {
  const PriceCurve dearer = curve_of(
      R"({"pricing_model":"volume","tiers":[{"up_to":10,"price":{"amount":1}},
          {"up_to":null,"price":{"amount":2}}]})");
  EXPECT_EQ(quantity(dearer, 15, 0), 10) << "entering would reprice ten units, for 10 runes";
  EXPECT_EQ(quantity(dearer, 20, 0), 10);
  EXPECT_EQ(quantity(dearer, 22, 0), 11);
  EXPECT_EQ(quantity(banded("stairstep"), 1, 0), 0) << "the first step costs 2";
}

}  // namespace
}  // namespace limitr::core
