// SPDX-License-Identifier: Apache-2.0
#include "server/admin.h"

#include <map>
#include <set>

#include <gmock/gmock.h>

namespace limitr::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* policy_json =
    R"({"policy":{"plans":{"free":{"default":true,"entitlements":{"chat":{}}}}}})";
constexpr const char* other_policy_yaml = "policy: { plans: { pro: { default: true } } }";

class AdminTest : public ::testing::Test {
protected:
  void SetUp() override {
    auto control = Control::open("memory:");
    ASSERT_TRUE(control.ok()) << control.error().to_string();
    control_ = *std::move(control);
    ASSERT_TRUE(control_->project_create("acme").ok());
    ASSERT_TRUE(control_->project_create("other").ok());
  }

  Caller caller(const std::string& project, Scopes scopes) {
    const auto made = control_->token_create({.project = project, .name = "ci", .scopes = scopes});
    EXPECT_TRUE(made.ok());
    const auto found = control_->authenticate(made->text);
    EXPECT_TRUE(found.ok());
    return *found;
  }
  Caller admin(const std::string& project = "default") { return caller(project, {.admin = true}); }

  Json ask(const Caller& by, std::string_view what, const Json& args = Json::object()) {
    const auto value = run_admin(*control_, by, what, args);
    EXPECT_TRUE(value.ok()) << what << ": " << value.error().to_string();
    return value.ok() ? *value : Json();
  }
  Error refused(const Caller& by, std::string_view what, const Json& args = Json::object()) {
    const auto value = run_admin(*control_, by, what, args);
    EXPECT_FALSE(value.ok()) << what << ": " << value.value().dump();
    return value.ok() ? Error{} : value.error();
  }

  std::unique_ptr<Control> control_;
};

TEST_F(AdminTest, PushesAndRollsBackPoliciesInItsName) {
  const Caller by = admin();
  EXPECT_EQ(ask(by, "push", {{"document", policy_json}, {"message", "first"}}),
            Json({{"version", 1}, {"new", true}}));
  EXPECT_EQ(ask(by, "push", {{"document", other_policy_yaml}, {"format", "yaml"}})["version"], 2);
  EXPECT_EQ(ask(by, "push", {{"document", other_policy_yaml}, {"format", "yaml"}})["new"], false);
  EXPECT_EQ(ask(by, "rollback", {{"version", 1}})["version"], 3);
  const Json versions = ask(by, "versions")["versions"];
  ASSERT_EQ(versions.size(), 3U);
  EXPECT_EQ(versions[2]["message"], "first");
  EXPECT_EQ(versions[2]["who"], "ci (token " + by.token_id + ")");
  EXPECT_EQ(versions[0]["active"], true);
  EXPECT_EQ(versions[2]["active"], false);
  EXPECT_EQ(Json::parse(ask(by, "policy")["document"].get<std::string>()),
            Json::parse(policy_json));
  EXPECT_THAT(ask(by, "policy", {{"version", 2}})["document"].get<std::string>(), HasSubstr("pro"));
  const Json differences = ask(by, "diff", {{"before", 1}, {"after", 2}})["differences"];
  ASSERT_EQ(differences.size(), 2U);
  EXPECT_EQ(differences[0]["kind"], "removed");
  EXPECT_EQ(differences[1]["path"], "policy.plans.pro");
}

TEST_F(AdminTest, ATokenThatItMadeIsShownOnceAndCanBeRevoked) {
  const Caller by = admin();
  const Json made =
      ask(by, "token_create", {{"name", "app"}, {"scopes", {"engine", "read"}}, {"kind", "test"}});
  const auto text = made["token"].get<std::string>();
  EXPECT_EQ(control_->authenticate(text)->scopes, (Scopes{.engine = true, .read = true}));
  const Json tokens = ask(by, "token_list")["tokens"];
  EXPECT_THAT(tokens.dump(), Not(HasSubstr(text.substr(9, 20))));
  ASSERT_EQ(tokens.size(), 2U);
  EXPECT_EQ(ask(by, "token_revoke", {{"id", made["id"]}})["scopes"], Json({"engine", "read"}));
  EXPECT_FALSE(control_->authenticate(text).ok());
}

TEST_F(AdminTest, ATokenMayExpireByTheClock) {
  const Json made =
      ask(admin(), "token_create", {{"name", "app"}, {"scopes", {"engine"}}, {"expires", "+30d"}});
  const auto caller = control_->authenticate(made["token"].get<std::string>());
  ASSERT_TRUE(caller.ok() && caller->expires);
  EXPECT_GT(*caller->expires, control_->now() + std::chrono::hours(24 * 29));
}

/// What each message needs to be asked at all.
std::map<std::string, Json> arguments() {
  return {{"push", {{"document", policy_json}}},
          {"versions", Json::object()},
          {"policy", {{"version", 1}}},
          {"diff", {{"before", 1}, {"after", 1}}},
          {"rollback", {{"version", 1}}},
          {"project_create", {{"name", "fresh"}}},
          {"project_list", Json::object()},
          {"token_create", {{"name", "app"}, {"scopes", {"engine"}}}},
          {"token_list", Json::object()},
          {"token_revoke", {{"id", "0123456789abcdef"}}},
          {"in_doubt_list", Json::object()},
          {"in_doubt_release", {{"customer", "ann"}}},
          {"engines", Json::object()},
          {"status", Json::object()}};
}

TEST_F(AdminTest, EachNeedsItsScope) {
  const std::set<std::string> reading = {"versions",   "policy",        "diff",    "project_list",
                                         "token_list", "in_doubt_list", "engines", "status"};
  const std::uint64_t before = *control_->change_count();
  const Caller engine = caller("acme", {.engine = true});
  const Caller reader = caller("acme", {.read = true});
  for (const auto& [what, args] : arguments()) {
    EXPECT_EQ(is_reading(what), reading.contains(what)) << what;
    EXPECT_EQ(refused(engine, what, args).code, ErrorCode::unauthorized) << what;
    const auto value = run_admin(*control_, reader, what, args,
                                 [](auto, auto, auto&) -> Result<Json> { return Json(); });
    const bool is_refused = !value.ok() && value.error().code == ErrorCode::unauthorized;
    EXPECT_EQ(is_refused, !is_reading(what)) << what;
  }
  EXPECT_EQ(*control_->change_count(), before + 2);  // The two tokens.
}

TEST_F(AdminTest, NoTokenReachesAnotherProject) {
  ask(admin("other"), "push", {{"document", policy_json}, {"message", "foreign-byte"}});
  const Caller foreign_token = caller("other", {.engine = true});
  const std::uint64_t before = *control_->change_count();
  std::vector<Caller> callers = {admin("acme"), caller("acme", {.read = true, .admin = true}),
                                 caller("default", {.engine = true, .read = true})};
  for (const Caller& by : callers) {
    for (auto [what, args] : arguments()) {
      if (what == "project_list") {
        EXPECT_EQ(ask(by, what)["projects"].size(), 1U);
        continue;
      }
      if (what != "project_create") args["project"] = "other";
      if (what == "token_revoke") args["id"] = foreign_token.token_id;
      const Error error = refused(by, what, args);
      EXPECT_EQ(error.code, ErrorCode::unauthorized) << what;
      EXPECT_THAT(error.to_string(), Not(HasSubstr("foreign-byte")));
      EXPECT_THAT(error.to_string(), Not(HasSubstr("other` ")));
    }
  }
  // Not by its ID alone either.
  EXPECT_EQ(refused(callers[0], "token_revoke", {{"id", foreign_token.token_id}}).code,
            ErrorCode::invalid_argument);
  EXPECT_TRUE(*control_->is_valid(foreign_token.token_id, control_->now()));
  EXPECT_EQ(*control_->change_count(), before + 3);  // The three tokens.
}

TEST_F(AdminTest, AnAdministratorOfDefaultReachesAll) {
  const Caller by = admin();
  EXPECT_EQ(ask(by, "project_create", {{"name", "fresh"}})["name"], "fresh");
  EXPECT_EQ(ask(by, "project_list")["projects"].size(), 4U);
  EXPECT_EQ(ask(by, "push", {{"document", policy_json}, {"project", "fresh"}})["version"], 1);
  EXPECT_EQ(ask(by, "versions", {{"project", "fresh"}})["versions"].size(), 1U);
  const Json made =
      ask(by, "token_create", {{"name", "theirs"}, {"scopes", {"admin"}}, {"project", "fresh"}});
  EXPECT_EQ(control_->authenticate(made["token"].get<std::string>())->project, "fresh");
  EXPECT_EQ(refused(by, "versions", {{"project", "nobody"}}).code, ErrorCode::invalid_argument);
}

TEST_F(AdminTest, SaysWhatIsWrongWithArguments) {
  struct Case {
    const char* what;
    Json args;
    const char* says;
  };
  const Caller by = admin();
  for (const Case& c : {
           Case{"explode", Json::object(), "nothing to do called `explode`"},
           Case{"push", Json::object(), "missing argument `document`"},
           Case{"push", {{"document", 1}}, "args.document: expected text"},
           Case{"push", {{"document", "{"}}, "the policy has"},
           Case{"push", {{"document", policy_json}, {"format", "xml"}}, "`xml` is no format"},
           Case{"push", {{"document", policy_json}, {"mesage", "x"}}, "mesage"},
           Case{"push", Json::array(), "must be an object"},
           Case{"push", {{"document", policy_json}, {"project", 7}}, "args.project"},
           Case{"status", {{"project", 7}}, "args.project"},
           Case{"status", Json::object(), "asked of a running server"},
           Case{"in_doubt_release", Json::object(), "missing argument `customer`"},
           Case{"in_doubt_list", {{"customer", 7}}, "args.customer: expected text"},
           Case{"rollback", {{"version", 1.5}}, "whole number"},
           Case{"rollback", {{"version", -1}}, "whole number"},
           Case{"rollback", {{"version", 1e300}}, "whole number"},
           Case{"rollback", {{"version", 7}}, "no version 7"},
           Case{"token_create", {{"name", "a"}, {"scopes", {"root"}}}, "`root` is no scope"},
           Case{"token_create", {{"name", "a"}, {"scopes", Json::array()}}, "needs a scope"},
           Case{"token_create",
                {{"name", "a"}, {"scopes", {"read"}}, {"kind", "x"}},
                "live or test"},
           Case{"token_create", {{"name", "a"}, {"scopes", {"read"}}, {"expires", 5}}, "expired"},
           Case{"token_create", {{"name", "a"}, {"scopes", {"read"}}, {"expires", "soon"}}, "soon"},
       }) {
    SCOPED_TRACE(std::string(c.what) + " " + c.args.dump());
    EXPECT_THAT(refused(by, c.what, c.args).to_string(), HasSubstr(c.says));
  }
  EXPECT_EQ(ask(by, "versions", Json())["versions"], Json::array());
}

TEST_F(AdminTest, WhatARunningServerKnowsIsAskedOfIt) {
  const auto running = [](std::string_view what, std::string_view project,
                          const Json& args) -> Result<Json> {
    return Json{{"what", what}, {"project", project}, {"args", args}};
  };
  const auto value =
      run_admin(*control_, caller("acme", {.read = true}), "engines", {{"limit", 3}}, running);
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, Json({{"what", "engines"}, {"project", "acme"}, {"args", {{"limit", 3}}}}));
}

}  // namespace
}  // namespace limitr::server
