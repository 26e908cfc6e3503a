// SPDX-License-Identifier: Apache-2.0
#include <limitr/decision.h>

#include <gtest/gtest.h>

#include <limitr/error.h>
#include <limitr/json.h>
#include "base/amount.h"

// spec: decision.md
namespace limitr {
namespace {

TEST(Reason, ReadsBackFromItsName) {
  for (const char* name : {"unknown_customer", "unknown_entitlement", "no_scope_customer", "cap",
                           "governor", "limit", "voucher", "unconnected"}) {
    const auto reason = reason_from(name);
    ASSERT_TRUE(reason) << name;
    EXPECT_EQ(to_string(*reason), name);
  }
  EXPECT_FALSE(reason_from("unknown"));
  EXPECT_FALSE(reason_from(""));
}

TEST(Decision, WritesEveryFieldNullWhereItDoesNotApply) {
  const Json json = Json::parse(to_json(Decision()));
  for (const char* name : {"reason", "cap", "value", "limit", "remaining", "resets", "overage",
                           "grant_value_applied", "overhead", "price_diff", "overage_price"}) {
    ASSERT_TRUE(json.contains(name)) << name;
    EXPECT_TRUE(json[name].is_null()) << name;
  }
  EXPECT_EQ(json["allowed"], false);
  EXPECT_EQ(json["repeated"], false);
  EXPECT_EQ(json.size(), 13U);
}

TEST(Decision, WritesWhatItHolds) {
  Decision decision;
  decision.repeated = true;
  decision.reason = Reason::cap;
  decision.cap = std::make_shared<DenyingCap>(DenyingCap{std::nullopt, "ann"});
  decision.value = 4.5;
  decision.resets = timestamp_from_ms(86'400'000);
  const Json json = Json::parse(to_json(decision));
  EXPECT_EQ(json["reason"], "cap");
  EXPECT_EQ(json["cap"], (Json{{"id", nullptr}, {"customer", "ann"}}));
  EXPECT_EQ(json["value"], 4.5);
  EXPECT_EQ(json["resets"], 86'400'000);
  EXPECT_EQ(json["repeated"], true);
}

TEST(Decision, ReadsBackAsItWasWritten) {
  Decision decision{.allowed = false, .repeated = true, .reason = Reason::cap};
  decision.cap = std::make_shared<DenyingCap>(DenyingCap{"c1", "ann"});
  decision.value = -0.0;
  decision.limit = 1e300;
  decision.resets = timestamp_from_ms(-86'400'000);
  decision.overage_price = 0.1;
  for (const std::string& text : {to_json(decision), to_json(Decision())}) {
    const Result<Decision> read = decision_from_json(text);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(to_json(*read), text);
  }
  EXPECT_TRUE(decision_from_json("{}").ok()) << "what is absent does not apply";
}

// Goal: a text that is no decision is an error; nothing is thrown.
TEST(Decision, IsNotReadFromWhatIsNone) {
  for (const char* text :
       {"", "[]", "null", "{", R"({"allowed":1})", R"({"repeated":"yes"})", R"({"reason":7})",
        R"({"cap":"c1"})", R"({"cap":{"customer":7}})", R"({"cap":{"id":[]}})", R"({"value":"12"})",
        R"({"limit":true})", R"({"value":1e999})", R"({"resets":1e300})", R"({"resets":-1e17})"}) {
    SCOPED_TRACE(text);
    const Result<Decision> read = decision_from_json(text);
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::invalid_argument);
    EXPECT_FALSE(read.error().message.empty());
  }
}

TEST(ErrorCode, HasAName) {
  EXPECT_EQ(to_string(ErrorCode::policy_invalid), "policy_invalid");
  EXPECT_EQ(to_string(ErrorCode::io_failed), "io_failed");
  EXPECT_EQ((Error{ErrorCode::io_failed, "gone", "a.yaml"}.to_string()), "a.yaml: gone");
}

}  // namespace
}  // namespace limitr
