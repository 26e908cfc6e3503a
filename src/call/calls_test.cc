// SPDX-License-Identifier: Apache-2.0
#include "call/calls.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "call/options.h"
#include "policy/document.h"

namespace limitr::call {
namespace {

using testing::HasSubstr;

constexpr const char* policy = R"(
policy:
  credits: { tok: {} }
  plans: { pro: { default: true, entitlements: { chat: { limit: { credit: tok, value: 10 } } } } }
)";

class MakeCall : public testing::Test {
protected:
  std::string made(std::string_view name, std::string_view arguments) {
    const Answer answer = make_call(limitr_, name, arguments, Timestamp{});
    return answer.error
               ? std::string(to_string(answer.error->code)) + ": " + answer.error->to_string()
               : json_text(answer);
  }

  Limitr limitr_ = *Limitr::open(policy);
};

TEST_F(MakeCall, TakesAndGivesJson) {
  EXPECT_EQ(made("create_customer", R"({"id":"ann","metadata":{"x":[1]}})"), "null");
  EXPECT_EQ(made("ensure_customer", R"({"id":"ann"})"), "false");
  EXPECT_THAT(made("allow", R"({"id":"ann","entitlement":"chat","value":"4"})"),
              HasSubstr(R"("allowed":true)"));
  EXPECT_EQ(made("remaining", R"({"id":"ann","entitlement":"chat"})"), "6");
  EXPECT_EQ(made("remaining", R"({"id":"bob","entitlement":"chat"})"), "null");
  EXPECT_EQ(made("customer_metadata", R"({"id":"ann"})"), R"({"x":[1]})");
  EXPECT_THAT(made("customers", ""), HasSubstr(R"({"ann":{"id":"ann")"));
  EXPECT_EQ(made("fsck", "{}"), "[]");
  EXPECT_EQ(made("load_customers", R"({"records":[{"id":"cat","plan":"pro"}]})"),
            R"({"loaded":1,"refused":[],"unmapped":[]})");
}

TEST_F(MakeCall, SaysWhichArgumentIsWrong) {
  EXPECT_EQ(made("alow", "{}"), "invalid_argument: there is no call `alow`");
  EXPECT_THAT(made("allow", "[]"), HasSubstr("expected the arguments of allow as an object"));
  EXPECT_THAT(made("allow", "{"), HasSubstr("invalid_argument: "));
  EXPECT_EQ(made("allow", R"({"id":"ann"})"),
            "invalid_argument: allow: missing argument `entitlement`");
  EXPECT_THAT(made("allow", R"({"id":"ann","entitlement":"chat","vlaue":1})"),
              HasSubstr("unknown argument `vlaue`"));
  EXPECT_EQ(made("allow", R"({"id":"ann","entitlement":"chat","value":[1]})"),
            "invalid_argument: allow.value: expected a number, or text with a unit, found a list");
  EXPECT_THAT(made("set_policy", R"({"policy":"a: 1","format":"xml"})"),
              HasSubstr("unknown format `xml`"));
}

// Goal: a name stands for one call.
TEST(Calls, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (const Json& call : Json::parse(calls_text())) {
    EXPECT_TRUE(names.insert(call["name"]).second) << call["name"];
    EXPECT_NE(find_call(call["name"].get<std::string>()), nullptr);
  }
  EXPECT_GT(names.size(), 70U);
}

TEST(EngineOptions, AreReadByTheirNames) {
  const auto read = [](const char* json) {
    return engine_options(*policy::parse_document(json, Format::json, {}));
  };
  const auto options = read(
      R"({"format":"toml","store":"sqlite:x.db","durability":"interval","write_interval":250,
          "shared":true,"max_loaded":7,"max_unwritten":9,"store_timeout":11,"load_all":true,
          "accept_weaker":true,"validate":false,"bounds":{"max_depth":3}})");
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->format, Format::toml);
  EXPECT_EQ(options->store, "sqlite:x.db");
  EXPECT_EQ(options->durability, Durability::interval);
  EXPECT_EQ(options->write_interval, Millis(250));
  EXPECT_EQ(options->store_timeout, Millis(11));
  EXPECT_EQ(options->max_loaded, 7U);
  EXPECT_EQ(options->max_unwritten, 9U);
  EXPECT_EQ(options->bounds.max_depth, 3U);
  EXPECT_TRUE(options->shared && options->load_all && options->accept_weaker);
  EXPECT_FALSE(options->validate);

  EXPECT_EQ(read(R"({"stoer":"x"})").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(read(R"({"max_loaded":1.5})").error().to_string(),
            "options.max_loaded: expected a whole number");
  EXPECT_EQ(read(R"({"durability":"never"})").error().where, "options.durability");
  EXPECT_EQ(read(R"({"bounds":{"max_depth":-1}})").error().where, "options.bounds.max_depth");
}

}  // namespace
}  // namespace limitr::call
