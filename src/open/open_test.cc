// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <limitr/limitr.h>

// What an engine logs, and what it says of documents that are given as objects.
namespace limitr {
namespace {

constexpr const char* policy = R"(
policy:
  credits: { tok: {} }
  plans: { pro: { default: true, entitlements: { chat: { limit: { credit: tok, value: 1 } } } } }
)";

Options logging_to(std::vector<std::string>& log) {
  Options options;
  options.log = [&log](std::string_view message) { log.emplace_back(message); };
  return options;
}

TEST(Log, AnAlternateIdThatIsLeftOutIsLogged) {
  std::vector<std::string> log;
  auto opened = Limitr::open(policy, logging_to(log));
  ASSERT_TRUE(opened.ok());
  ASSERT_TRUE(opened->create_customer("ann", {.alts = {"a", "a", "ann"}}).ok());
  EXPECT_TRUE(log.empty()) << "nothing was left out: " << log[0];
  ASSERT_TRUE(opened->create_customer("bob", {.alts = {"a", "b", "ann"}}).ok());
  EXPECT_EQ(log, (std::vector<std::string>{
                     "customer `bob` is made without the alternate ID `a`, which belongs to "
                     "customer `ann`",
                     "customer `bob` is made without the alternate ID `ann`, which belongs to "
                     "customer `ann`"}));
  EXPECT_EQ(opened->customer("b").value()->at("id"), "bob");
  EXPECT_EQ(opened->customer("a").value()->at("id"), "ann");
}

TEST(Log, WarningsOfThePolicyAreLogged) {
  std::vector<std::string> log;
  ASSERT_TRUE(Limitr::open("policy: {credit: {}}", logging_to(log)).ok());
  EXPECT_EQ(log, (std::vector<std::string>{
                     "1:10: policy.credit: unknown key `credit`: did you mean `credits`?"}));
}

TEST(SetPlan, SaysWhereANumberIsNone) {
  auto opened = Limitr::open(policy);
  ASSERT_TRUE(opened.ok());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Json plan = {
      {"entitlements", {{"chat", {{"limit", {{"credit", "tok"}, {"value", nan}}}}}}}};
  const auto set = opened->set_plan("pro", plan);
  ASSERT_FALSE(set.ok());
  EXPECT_EQ(set.error().to_string(),
            "policy.plans.pro.entitlements.chat.limit.value: `nan` is not a finite number");
}

}  // namespace
}  // namespace limitr
