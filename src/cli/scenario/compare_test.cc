// SPDX-License-Identifier: Apache-2.0
#include "cli/scenario/compare.h"

#include <gtest/gtest.h>

namespace limitr::scenario {
namespace {

policy::Node node(std::string_view json) {
  auto parsed = policy::parse_document(json, Format::json, {});
  EXPECT_TRUE(parsed.ok()) << json;
  return parsed.ok() ? *parsed : policy::Node{};
}

std::optional<Mismatch> compared(std::string_view expected, std::string_view actual) {
  const Json json = Json::parse(actual);
  return compare(node(expected), &json, &call::decision_shape, "");
}

std::optional<Mismatch> compared_state(std::string_view expected, std::string_view actual,
                                       double now_ms = 0) {
  Json json = Json::parse(actual);
  prepare_state(json, now_ms);
  return compare_state(node(expected), json);
}

struct Case {
  const char* why;
  const char* expected;
  const char* actual;
};

TEST(Compare, TakesWhatAgrees) {
  for (const Case& c : {
           Case{"fields that are not given do not count", R"({"a":1})", R"({"a":1,"b":2})"},
           Case{"nothing is also a known field that is not there", R"({"cap":null})", R"({})"},
           Case{"nothing that is there", R"({"a":null})", R"({"a":null})"},
           Case{"an object by its ID", R"({"customer":"ann"})", R"({"customer":{"id":"ann"}})"},
           Case{"an object by its name", R"({"plan":"pro"})", R"({"plan":{"name":"pro"}})"},
           Case{"small numbers within 1e-9", R"({"value":0.1})", R"({"value":0.1000000009})"},
           Case{"large numbers relatively", R"({"value":1e12})", R"({"value":1000000000900})"},
           Case{"a moment as a date", R"({"expires_on":"2026-03-01"})",
                R"({"expires_on":1772323200000})"},
           Case{"resets as a flag", R"({"resets":true})", R"({"resets":true})"},
           Case{"lists in order", R"([{"a":1},2])", R"([{"a":1,"b":1},2])"},
       }) {
    SCOPED_TRACE(c.why);
    const auto found = compared(c.expected, c.actual);
    EXPECT_FALSE(found) << found->path << ": " << found->expected << " / " << found->got;
  }
}

TEST(Compare, FindsWhatDiffers) {
  for (const Case& c : {
           Case{"a field that is not there", R"({"a":1})", R"({})"},
           Case{"nothing expected of a field that nobody call::knows", R"({"alowed":null})",
                R"({})"},
           Case{"the same inside", R"({"cap":{"idd":null}})", R"({"cap":{"id":"a"}})"},
           Case{"small numbers by more than 1e-9", R"({"value":0.1})", R"({"value":0.100000002})"},
           Case{"large numbers by more than 1e-9 of them", R"({"value":1e12})",
                R"({"value":1000000002000})"},
           Case{"moments by one millisecond", R"({"expires_on":1772323200000})",
                R"({"expires_on":1772323200001})"},
           Case{"another object", R"({"customer":"ann"})", R"({"customer":{"id":"bob"}})"},
           Case{"a number where true is expected", "true", "1"},
           Case{"a number where text is expected", R"("1")", "1"},
           Case{"something where nothing is expected", "null", "0"},
           Case{"a list that is longer", "[1]", "[1,2]"},
           Case{"an object where text is expected and it has no name", R"("a")", R"({"x":"a"})"},
       }) {
    SCOPED_TRACE(c.why);
    EXPECT_TRUE(compared(c.expected, c.actual));
  }
}

TEST(Compare, NamesTheFieldAndBothSides) {
  const auto found = compared(R"({"meter":{"value":[1,2]}})", R"({"meter":{"value":[1,3]}})");
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, (Mismatch{"meter.value[1]", "2", "3"}));
}

TEST(CompareState, HoldsCustomersAndMetersComplete) {
  constexpr auto actual = R"({"ann":{"plan":"pro","meters":{"chat":{"value":1}}}})";
  EXPECT_FALSE(compared_state(R"({"ann":{"meters":{"chat":{"value":1}}}})", actual));
  for (const Case& c : {
           Case{"a customer too many", R"({})", ""},
           Case{"a customer too few", R"({"ann":{},"bob":{}})", ""},
           Case{"a meter too many", R"({"ann":{"meters":{}}})", ""},
           Case{"a meter too few", R"({"ann":{"meters":{"chat":{},"seats":{}}}})", ""},
           Case{"a field", R"({"ann":{"plan":"free"}})", ""},
       }) {
    SCOPED_TRACE(c.why);
    EXPECT_TRUE(compared_state(c.expected, actual));
  }
}

TEST(CompareState, KnowsTheFieldsOfRecords) {
  constexpr auto actual = R"({"ann":{"meters":{"chat":{"value":1}},"caps":{},
                                     "grants":{"x":{"value":1,"mine":null}}}})";
  EXPECT_FALSE(compared_state(R"({"ann":{"meters":{"chat":{"holds":null}}}})", actual));
  EXPECT_FALSE(compared_state(R"({"ann":{"grants":[{"mine":null,"topup":null}]}})", actual))
      << "a field that the record has is one, also where we do not know it";
  EXPECT_TRUE(compared_state(R"({"ann":{"meters":{"chat":{"hold":null}}}})", actual));
  EXPECT_TRUE(compared_state(R"({"ann":{"grants":[{"topp":null}]}})", actual));
}

TEST(CompareState, SumsHolds) {
  constexpr auto actual =
      R"({"ann":{"meters":{"chat":{"holds":{"a":{"value":1.5},"b":{"value":2}}}}}})";
  EXPECT_FALSE(compared_state(R"({"ann":{"meters":{"chat":{"held":3.5}}}})", actual));
  EXPECT_TRUE(compared_state(R"({"ann":{"meters":{"chat":{"held":0}}}})", actual));
}

TEST(CompareState, TakesGrantsInAnyOrderButAllOfThem) {
  constexpr auto actual = R"({"ann":{"grants":{"x":{"credit":"t","value":1},
                                              "y":{"credit":"t","value":2}}}})";
  EXPECT_FALSE(compared_state(R"({"ann":{"grants":[{"value":2},{"value":1}]}})", actual));
  EXPECT_FALSE(
      compared_state(R"({"ann":{"grants":[{"credit":"t"},{"credit":"t","value":1}]}})", actual))
      << "the one that names less must not take the other's grant";
  EXPECT_TRUE(compared_state(R"({"ann":{"grants":[{"value":2},{"value":2}]}})", actual));
  EXPECT_TRUE(compared_state(R"({"ann":{"grants":[{"value":2}]}})", actual));
}

TEST(CompareState, LeavesOutCapsPastTheirExpiry) {
  constexpr auto actual = R"({"ann":{"caps":{"old":{"expires_on":10},"new":{"expires_on":20}}}})";
  EXPECT_FALSE(compared_state(R"({"ann":{"caps":{"new":{}}}})", actual, 11));
  EXPECT_TRUE(compared_state(R"({"ann":{"caps":{"new":{}}}})", actual, 10))
      << "at its expiry a cap still counts";
}

TEST(NodeText, KeepsTheOrderAsWritten) {
  EXPECT_EQ(node_text(node(R"({"b":1,"a":[true,null,"x"]})")), R"({"b":1,"a":[true,null,"x"]})");
}

}  // namespace
}  // namespace limitr::scenario
