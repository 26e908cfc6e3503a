// SPDX-License-Identifier: Apache-2.0
#include "server/control.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <thread>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sqlite3.h>

#include "backends.h"
#include "open/open_store.h"
#ifdef LIMITR_POSTGRES
#include "postgres_server.h"
#endif

namespace limitr::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class SetClock final : public Clock {
public:
  Timestamp now() const override { return Timestamp(Millis(ms.load())); }
  std::atomic<std::int64_t> ms{1'764'100'000'000};
};

/// Where a server keeps what it has: a new place for each test.
class ControlPlace {
public:
  virtual ~ControlPlace() = default;
  virtual std::string url() const = 0;
  /// All bytes that are kept.
  virtual std::string bytes() = 0;
  /// Statements of another program.
  virtual void run(const std::string& sql) = 0;
};

class SqlitePlace final : public ControlPlace {
public:
  std::string url() const override { return "sqlite:" + folder_.file("limitr.db"); }
  std::string file() const { return folder_.file("limitr.db-cloud.db"); }
  std::string bytes() override {
    std::string all;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::ifstream in(entry.path(), std::ios::binary);
      all.append(std::istreambuf_iterator<char>(in), {});
    }
    return all;
  }
  void run(const std::string& sql) override {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(handle);
    sqlite3_close(handle);
  }

private:
  TestFolder folder_;
};

#ifdef LIMITR_POSTGRES
class PostgresPlace final : public ControlPlace {
public:
  PostgresPlace() {
    static int count = 0;
    schema_ = fmt::format("control_{}", ++count);
  }
  std::string url() const override {
    return store::PostgresServer::shared().url("&schema=" + schema_);
  }
  std::string bytes() override {
    return store::PostgresSession(store::PostgresServer::shared().url())
        .text(fmt::format("SELECT schema_to_xml('{}', true, false, '')", schema_));
  }
  void run(const std::string& sql) override {
    store::PostgresSession session(store::PostgresServer::shared().url());
    session.run("SET search_path = " + schema_);
    session.run(sql);
  }

private:
  std::string schema_;
};
#endif

struct Kind {
  std::string name;
  std::function<std::unique_ptr<ControlPlace>()> make;
};

std::vector<Kind> kinds() {
  return {
      {"sqlite", [] { return std::make_unique<SqlitePlace>(); }},
#ifdef LIMITR_POSTGRES
      {"postgres", [] { return std::make_unique<PostgresPlace>(); }},
#endif
  };
}

std::string policy_of(int value) {
  return fmt::format(
      "policy:\n  credits: {{ tok: {{}} }}\n  plans:\n    free:\n      default: true\n"
      "      entitlements: {{ chat: {{ limit: {{ credit: tok, value: {} }} }} }}\n",
      value);
}

class ControlTest : public ::testing::TestWithParam<Kind> {
protected:
  std::unique_ptr<Control> open() {
    auto control = Control::open(place_->url(), clock_);
    EXPECT_TRUE(control.ok()) << control.error().to_string();
    return control.ok() ? *std::move(control) : nullptr;
  }

  static std::uint64_t push(Control& control, const std::string& document,
                            const std::string& project = "default") {
    const auto pushed = control.push(project, document, Format::yaml, "ann");
    EXPECT_TRUE(pushed.ok()) << pushed.error().to_string();
    return pushed.ok() ? pushed->version : 0;
  }

  static CreatedToken token(Control& control, NewToken wanted) {
    if (wanted.name.empty()) wanted.name = "app";
    if (wanted.scopes == Scopes()) wanted.scopes.engine = true;
    const auto made = control.token_create(wanted);
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return made.ok() ? *made : CreatedToken();
  }

  static std::string refusal(Control& control, const std::string& token) {
    const auto caller = control.authenticate(token);
    if (caller.ok()) return {};
    EXPECT_EQ(caller.error().code, ErrorCode::unauthorized);
    EXPECT_THAT(caller.error().to_string(), Not(HasSubstr(token.substr(9, 20))));
    return caller.error().message;
  }

  const std::unique_ptr<ControlPlace> place_ = GetParam().make();
  const std::shared_ptr<SetClock> clock_ = std::make_shared<SetClock>();
};

INSTANTIATE_TEST_SUITE_P(On, ControlTest, ::testing::ValuesIn(kinds()),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(ControlTest, WhatIsNotThereIsMadeByOpenAlone) {
  for (int times = 0; times < 2; ++times) {
    const auto none = Control::open_existing(place_->url());
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(none.error().message, HasSubstr("nothing is there"));
  }
  push(*open(), policy_of(7));
  const auto there = Control::open_existing(place_->url());
  ASSERT_TRUE(there.ok()) << there.error().to_string();
  EXPECT_EQ((*there)->versions("default")->size(), 1U);
}

TEST_P(ControlTest, HasAProjectThatIsAlwaysThere) {
  for (int time = 0; time < 2; ++time) {
    const auto control = open();
    const auto projects = control->project_list();
    ASSERT_TRUE(projects.ok());
    ASSERT_EQ(projects->size(), 1U);
    EXPECT_EQ((*projects)[0].name, "default");
    EXPECT_EQ((*projects)[0].created, clock_->now());
  }
}

TEST_P(ControlTest, NamesOfProjectsArePlainAndTheirOwn) {
  const auto control = open();
  for (const std::string& name : {std::string("a"), std::string("acme-2"), std::string(40, 'x')}) {
    EXPECT_TRUE(control->project_create(name).ok()) << name;
    EXPECT_TRUE(control->project_find(name).ok()) << name;
    const auto again = control->project_create(name);
    ASSERT_FALSE(again.ok()) << name;
    EXPECT_THAT(again.error().message, HasSubstr("already"));
  }
  for (const std::string& name :
       {std::string(), std::string("A"), std::string("a_b"), std::string("a/b"), std::string("a'b"),
        std::string(41, 'x'), std::string("\0a", 2), std::string("\xff")}) {
    const auto made = control->project_create(name);
    ASSERT_FALSE(made.ok()) << name;
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_EQ(control->project_list()->size(), 4U);
  EXPECT_FALSE(control->project_find("'; DROP TABLE limitr_projects; --").ok());
}

TEST_P(ControlTest, ATokenOpensItsProjectAndSaysWhoItIs) {
  const auto control = open();
  ASSERT_TRUE(control->project_create("acme").ok());
  const CreatedToken made = token(*control, {.project = "acme",
                                             .name = "ci",
                                             .scopes = {.read = true, .admin = true},
                                             .kind = TokenKind::test});
  EXPECT_TRUE(made.text.starts_with("lim_test_"));
  const auto caller = open()->authenticate(made.text);  // As another process would.
  ASSERT_TRUE(caller.ok()) << caller.error().to_string();
  EXPECT_EQ(caller->project, "acme");
  EXPECT_EQ(caller->token_name, "ci");
  EXPECT_EQ(caller->token_id, made.token.id);
  EXPECT_EQ(caller->scopes, (Scopes{.read = true, .admin = true}));
  EXPECT_FALSE(caller->expires);
  const auto listed = control->token_list("acme");
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ((*listed)[0].kind, TokenKind::test);
  EXPECT_TRUE(control->token_list("default")->empty());
}

TEST_P(ControlTest, SaysWhyATokenIsRefusedAndNeverWhatItIs) {
  const auto control = open();
  const CreatedToken made = token(*control, {.expires = clock_->now() + std::chrono::seconds(10)});
  EXPECT_EQ(refusal(*control, made.text), "");
  std::string mistyped = made.text;
  std::swap(mistyped[20], mistyped[21]);
  if (mistyped != made.text) {
    EXPECT_THAT(refusal(*control, mistyped), HasSubstr("mistyped"));
  }
  EXPECT_THAT(refusal(*control, *make_token(TokenKind::live)), HasSubstr("wrong"));
  EXPECT_THAT(refusal(*control, "lim_live_' OR 1 = 1 --               "), HasSubstr("mistyped"));

  clock_->ms += 9'999;
  EXPECT_EQ(refusal(*control, made.text), "");
  EXPECT_TRUE(*control->is_valid(made.token.id, clock_->now()));
  clock_->ms += 1;
  EXPECT_THAT(refusal(*control, made.text), HasSubstr("expired"));
  EXPECT_FALSE(*control->is_valid(made.token.id, clock_->now()));

  const CreatedToken other = token(*control, {});
  ASSERT_TRUE(control->token_revoke("default", other.token.id).ok());
  EXPECT_THAT(refusal(*control, other.text), HasSubstr("revoked"));
  EXPECT_FALSE(*control->is_valid(other.token.id, clock_->now()));
  EXPECT_FALSE(*control->is_valid("nobody", clock_->now()));
}

TEST_P(ControlTest, ATokenIsRevokedOnceAndByItsOwnProject) {
  const auto control = open();
  ASSERT_TRUE(control->project_create("acme").ok());
  const CreatedToken made = token(*control, {.project = "acme"});
  const auto foreign = control->token_revoke("default", made.token.id);
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refusal(*control, made.text), "");
  // The token in the place of its ID is not repeated either.
  EXPECT_THAT(control->token_revoke("acme", made.text).error().message, Not(HasSubstr(made.text)));

  const Timestamp first = clock_->now();
  ASSERT_TRUE(control->token_revoke("acme", made.token.id).ok());
  clock_->ms += 1000;
  const auto again = control->token_revoke("acme", made.token.id);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->revoked, first);
}

TEST_P(ControlTest, ATokenThatWouldBeOfNoUseIsNotMade) {
  const auto control = open();
  const Scopes engine = {.engine = true};
  for (const NewToken& wrong :
       {NewToken{.name = "app"}, NewToken{.name = "", .scopes = engine},
        NewToken{.name = "two\nlines", .scopes = engine},
        NewToken{.name = std::string(201, 'x'), .scopes = engine},
        NewToken{.name = "\xff", .scopes = engine},
        NewToken{.project = "nobody", .name = "app", .scopes = engine},
        NewToken{.name = "app", .scopes = engine, .expires = clock_->now()}}) {
    const auto made = control->token_create(wrong);
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
  }
  EXPECT_TRUE(control->token_list("default")->empty());
}

// A canary: nobody who reads the database can use what is in it.
TEST_P(ControlTest, ATokenIsNowhereInWhatIsKept) {
  std::vector<std::string> tokens;
  {
    const auto control = open();
    for (int i = 0; i < 20; ++i) {
      const CreatedToken made = token(*control, {.name = fmt::format("app {}", i)});
      tokens.push_back(made.text);
      ASSERT_TRUE(control->authenticate(made.text).ok());
      if (i % 2 == 0) {
        ASSERT_TRUE(control->token_revoke("default", made.token.id).ok());
      }
    }
    const std::string bytes = place_->bytes();
    EXPECT_THAT(bytes, HasSubstr("app 19"));
    for (const std::string& text : tokens) {
      EXPECT_THAT(bytes, Not(HasSubstr(text.substr(9, 12))));
      EXPECT_THAT(bytes, Not(HasSubstr(text.substr(40))));
    }
  }
}

TEST_P(ControlTest, APolicyBecomesANewVersionWithWhoAndWhen) {
  const auto control = open();
  EXPECT_FALSE(*control->active_policy("default"));
  EXPECT_TRUE(control->versions("default")->empty());
  ASSERT_EQ(push(*control, policy_of(1)), 1U);
  clock_->ms += 60'000;
  const auto second =
      control->push("default", policy_of(2), Format::yaml, "bob", "twice as much \xc3\xa9");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->version, 2U);
  EXPECT_TRUE(second->is_new);

  const auto versions = open()->versions("default");
  ASSERT_TRUE(versions.ok());
  ASSERT_EQ(versions->size(), 2U);
  EXPECT_EQ((*versions)[0].version, 2U);
  EXPECT_EQ((*versions)[0].who, "bob");
  EXPECT_EQ((*versions)[0].message, "twice as much \xc3\xa9");
  EXPECT_EQ((*versions)[0].at, clock_->now());
  EXPECT_TRUE((*versions)[0].active);
  EXPECT_EQ((*versions)[1].who, "ann");
  EXPECT_EQ((*versions)[1].at, clock_->now() - std::chrono::minutes(1));
  EXPECT_FALSE((*versions)[1].active);

  const auto active = control->active_policy("default");
  ASSERT_TRUE(active.ok() && *active);
  EXPECT_EQ((*active)->version, 2U);
  EXPECT_TRUE(validate_policy((*active)->document, Format::json).empty());
  EXPECT_THAT(control->policy("default", 1)->document, HasSubstr(R"("value":1)"));
  EXPECT_FALSE(control->policy("default", 3).ok());
  EXPECT_FALSE(control->policy("default", 0).ok());
  const auto differences = control->diff("default", 1, 2);
  ASSERT_TRUE(differences.ok());
  ASSERT_EQ(differences->size(), 1U);
  EXPECT_EQ((*differences)[0].path, "policy.plans.free.entitlements.chat.limit.value");
  EXPECT_EQ((*differences)[0].after, Json(2));
}

TEST_P(ControlTest, TheSameDocumentIsNoNewVersionHoweverItIsWritten) {
  const auto control = open();
  ASSERT_EQ(push(*control, policy_of(1)), 1U);
  const std::string json = (*control->active_policy("default"))->document;
  for (const auto& [document, format] :
       {std::pair(policy_of(1), Format::yaml), std::pair("# a note\n" + policy_of(1), Format::yaml),
        std::pair(json, Format::json)}) {
    const auto pushed = control->push("default", document, format, "bob");
    ASSERT_TRUE(pushed.ok());
    EXPECT_EQ(pushed->version, 1U);
    EXPECT_FALSE(pushed->is_new);
  }
  EXPECT_EQ(control->versions("default")->size(), 1U);
}

TEST_P(ControlTest, PoliciesOfProjectsDoNotMeet) {
  const auto control = open();
  ASSERT_TRUE(control->project_create("acme").ok());
  ASSERT_EQ(push(*control, policy_of(1)), 1U);
  EXPECT_FALSE(*control->active_policy("acme"));
  ASSERT_EQ(push(*control, policy_of(5), "acme"), 1U);
  ASSERT_EQ(push(*control, policy_of(6), "acme"), 2U);
  EXPECT_EQ((*control->active_policy("default"))->version, 1U);
  EXPECT_FALSE(control->policy("default", 2).ok());
  EXPECT_FALSE(control->rollback("default", 2, "ann").ok());
  for (const auto& failed : {control->push("nobody", policy_of(1), Format::yaml, "ann"),
                             control->rollback("nobody", 1, "ann")}) {
    ASSERT_FALSE(failed.ok());
    EXPECT_THAT(failed.error().message, HasSubstr("no project `nobody`"));
  }
  EXPECT_FALSE(control->versions("nobody").ok());
  EXPECT_FALSE(control->active_policy("nobody").ok());
  EXPECT_FALSE(control->policy("nobody", 1).ok());
  EXPECT_FALSE(control->token_list("nobody").ok());
}

TEST_P(ControlTest, RollbackMakesAnEarlierDocumentTheNewestVersion) {
  const auto control = open();
  for (const int value : {1, 2, 3}) push(*control, policy_of(value));
  const auto back = control->rollback("default", 1, "eve");
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->version, 4U);
  EXPECT_TRUE(back->is_new);
  EXPECT_EQ(control->policy("default", 4)->document, control->policy("default", 1)->document);
  const auto versions = control->versions("default");
  EXPECT_EQ((*versions)[0].who, "eve");
  EXPECT_EQ((*versions)[0].message, "rollback to version 1");
  EXPECT_EQ(versions->size(), 4U);

  EXPECT_FALSE(control->rollback("default", 4, "eve")->is_new);  // It is active already.
  EXPECT_FALSE(control->rollback("default", 9, "eve").ok());
  EXPECT_FALSE(control->rollback("default", UINT64_MAX, "eve").ok());
  EXPECT_EQ(control->versions("default")->size(), 4U);
}

TEST_P(ControlTest, AnInvalidPolicyIsRefusedWithAllProblemsAndStoresNothing) {
  const auto control = open();
  push(*control, policy_of(1));
  const auto wrong = control->push("default",
                                   "policy:\n  hold_ttl: -1\n  request_limit: 0.5\n"
                                   "  plans: { free: { default: true } }\n",
                                   Format::yaml, "ann");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::policy_invalid);
  EXPECT_THAT(wrong.error().message,
              AllOf(HasSubstr("2 problems"), HasSubstr("hold_ttl"), HasSubstr("request_limit")));
  for (const std::string& none : {std::string("{"), std::string(), std::string("policy: 1"),
                                  std::string("a: 1"), std::string("policy: { plans: \xff }")}) {
    const auto refused = control->push("default", none, Format::yaml, "ann");
    ASSERT_FALSE(refused.ok()) << none;
    EXPECT_EQ(refused.error().code, ErrorCode::policy_invalid) << none;
  }
  const auto huge = control->push("default", std::string((16 << 20) + 1, ' '), Format::yaml, "ann");
  ASSERT_FALSE(huge.ok());
  EXPECT_EQ(huge.error().code, ErrorCode::document_too_large);
  EXPECT_FALSE(control->push("default", policy_of(2), Format::yaml, "").ok());
  EXPECT_FALSE(control->push("default", policy_of(2), Format::yaml, "ann", "a\nb").ok());
  EXPECT_EQ(control->versions("default")->size(), 1U);
}

TEST_P(ControlTest, EveryChangeOfAnybodyIsNoticed) {
  const auto watching = open();
  const auto changing = open();
  std::uint64_t count = *watching->change_count();
  EXPECT_EQ(*watching->change_count(), count);
  const auto is_noticed = [&] {
    const std::uint64_t before = std::exchange(count, *watching->change_count());
    return count != before;
  };
  push(*changing, policy_of(1));
  EXPECT_TRUE(is_noticed());
  push(*changing, policy_of(2));
  EXPECT_TRUE(is_noticed());
  EXPECT_TRUE(changing->rollback("default", 1, "ann").ok());
  EXPECT_TRUE(is_noticed());
  EXPECT_TRUE(changing->project_create("acme").ok());
  EXPECT_TRUE(is_noticed());
  const CreatedToken made = token(*changing, {});
  EXPECT_TRUE(is_noticed());
  EXPECT_TRUE(watching->authenticate(made.text).ok());
  EXPECT_FALSE(is_noticed());
  EXPECT_TRUE(changing->token_revoke("default", made.token.id).ok());
  EXPECT_TRUE(is_noticed());
  EXPECT_FALSE(*watching->is_valid(made.token.id, clock_->now()));
  EXPECT_FALSE(changing->rollback("default", 99, "ann").ok());
  EXPECT_FALSE(is_noticed());
}

TEST_P(ControlTest, ThreadsAndProcessesAtOnceLoseNothing) {
  constexpr int processes = 2;
  constexpr int threads = 2;
  constexpr int each = 10;
  open();
  std::vector<::pid_t> children;
  for (int process = 0; process < processes; ++process) {
    const ::pid_t child = ::fork();
    if (child == 0) {
      const auto control = Control::open(place_->url(), clock_);
      if (!control.ok()) std::_Exit(1);
      std::atomic<int> failures = 0;
      std::vector<std::jthread> all;
      for (int thread = 0; thread < threads; ++thread) {
        all.emplace_back([&, thread] {
          for (int i = 0; i < each; ++i) {
            const int number = (process * threads + thread) * each + i + 1;
            failures += !(*control)->push("default", policy_of(number), Format::yaml, "ann").ok();
            failures += !(*control)->active_policy("default").ok();
          }
        });
      }
      all.clear();
      std::_Exit(failures == 0 ? 0 : 2);
    }
    children.push_back(child);
  }
  for (const ::pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  const auto control = open();
  const auto versions = control->versions("default");
  ASSERT_TRUE(versions.ok());
  ASSERT_EQ(versions->size(), static_cast<std::size_t>(processes * threads * each));
  std::set<std::string> documents;
  for (const PolicyEntry& entry : *versions) {
    documents.insert(control->policy("default", entry.version)->document);
  }
  EXPECT_EQ(documents.size(), versions->size());
  EXPECT_EQ(versions->front().version, versions->size());
}

TEST_P(ControlTest, TwoThatComeFirstMakeOneSetOfTables) {
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> all;
    for (int i = 0; i < 4; ++i) {
      all.emplace_back([&] {
        const auto control = Control::open(place_->url(), clock_);
        failures += !control.ok() || !(*control)->project_find("default").ok();
      });
    }
  }
  EXPECT_EQ(failures, 0);
}

// Whoever is killed has pushed a version, or has not; what is there can always be read.
TEST_P(ControlTest, AKilledPushLeavesWhatCanBeRead) {
  push(*open(), policy_of(1));
  std::string padding(200'000, 'x');
  std::uint64_t told = 1;
  for (int round = 0; round < 8; ++round) {
    int pipe[2] = {-1, -1};
    ASSERT_EQ(::pipe(pipe), 0);
    const ::pid_t child = ::fork();
    if (child == 0) {
      const auto control = Control::open(place_->url(), clock_);
      if (!control.ok()) std::_Exit(1);
      for (int i = 0;; ++i) {
        const std::string document = fmt::format(
            "{}\n  notifications: {{ n: {{ events: [meter-changed], fn: f, description: {}{}-{} }} "
            "}}\n",
            policy_of(i + 2), padding, round, i);
        const auto pushed = (*control)->push("default", document, Format::yaml, "ann");
        if (!pushed.ok()) std::_Exit(2);
        if (::write(pipe[1], &pushed->version, sizeof pushed->version) < 0) std::_Exit(3);
      }
    }
    ::close(pipe[1]);
    // Killed in the middle of whatever comes after so many answers.
    for (int answers = 0; answers <= round % 3; ++answers) {
      ASSERT_EQ(::read(pipe[0], &told, sizeof told), static_cast<::ssize_t>(sizeof told));
    }
    ::usleep(static_cast<::useconds_t>(round) * 700);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    std::uint64_t more = 0;
    while (::read(pipe[0], &more, sizeof more) == sizeof more) told = more;
    ::close(pipe[0]);

    const auto control = open();
    const auto versions = control->versions("default");
    ASSERT_TRUE(versions.ok()) << versions.error().to_string();
    EXPECT_GE(versions->front().version, told);
    EXPECT_LE(versions->front().version, told + 1);
    for (const PolicyEntry& entry : *versions) {
      EXPECT_TRUE(control->policy("default", entry.version).ok());
    }
  }
}

TEST_P(ControlTest, WhatWasChangedByOthersIsNamedAndNotUsed) {
  const auto control = open();
  push(*control, policy_of(1));
  const CreatedToken made = token(*control, {});
  place_->run("UPDATE limitr_tokens SET scopes = 'admin'");
  const auto caller = control->authenticate(made.text);
  ASSERT_FALSE(caller.ok());
  EXPECT_EQ(caller.error().code, ErrorCode::data_corrupt);
  place_->run("UPDATE limitr_policies SET document = replace(document, ':1', ':9')");
  const auto active = control->active_policy("default");
  ASSERT_FALSE(active.ok());
  EXPECT_EQ(active.error().code, ErrorCode::data_corrupt);
  EXPECT_THAT(active.error().message, HasSubstr("version 1"));
}

TEST_P(ControlTest, TablesOfANewerVersionAreLeftAlone) {
  open();
  place_->run("UPDATE limitr_cloud SET version = 2");
  const auto control = Control::open(place_->url(), clock_);
  ASSERT_FALSE(control.ok());
  EXPECT_EQ(control.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(control.error().message, HasSubstr("newer limitr"));
}

TEST_P(ControlTest, CustomersOfEachProjectHaveAStoreOfTheirOwn) {
  const auto control = open();
  EXPECT_EQ(control->store_url_of("default"), place_->url());
  ASSERT_TRUE(control->project_create("acme-2").ok());
  for (const char* project : {"default", "acme-2"}) {
    auto store = store_at(control->store_url_of(project));
    ASSERT_TRUE(store.ok()) << store.error().to_string();
    store::open_own(**store);
    EXPECT_TRUE(store::scan_all(**store).empty());
    store::must_commit(**store, store::a_group(1, {store::put(project, "{}")}));
  }
  EXPECT_TRUE(open()->project_find("acme-2").ok());
}

#ifdef LIMITR_POSTGRES
TEST(ControlOn, postgresServerThatComesBackIsUsedAgain) {
  store::PostgresServer server;
  const auto control = Control::open(server.url());
  ASSERT_TRUE(control.ok()) << control.error().to_string();
  ASSERT_TRUE((*control)->push("default", policy_of(1), Format::yaml, "ann").ok());
  server.kill();
  const auto gone = (*control)->push("default", policy_of(2), Format::yaml, "ann");
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, ErrorCode::store_unavailable);
  EXPECT_FALSE((*control)->change_count().ok());
  server.start();
  EXPECT_TRUE((*control)->change_count().ok());
  server.kill();
  server.start();
  const auto back = (*control)->push("default", policy_of(2), Format::yaml, "ann");
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(back->version, 2U);
}
#endif

TEST(ControlPlaces, EachUrlHasItsOwn) {
  struct Case {
    const char* url;
    const char* of_acme;
  };
  TestFolder folder;
  const auto at = [&](const std::string& name) { return "sqlite:" + folder.file(name); };
  for (const auto& [url, of_acme] :
       {std::pair(at("limitr.db"), at("limitr.acme.db")), std::pair(at("plain"), at("plain.acme")),
        std::pair(at("a.b.db"), at("a.b.acme.db")), std::pair(at(".hidden"), at(".hidden.acme")),
        std::pair(std::string("memory:"), std::string("memory:.acme"))}) {
    const auto control = Control::open(url);
    ASSERT_TRUE(control.ok()) << control.error().to_string();
    EXPECT_EQ((*control)->store_url_of("acme"), of_acme);
    EXPECT_EQ((*control)->store_url_of("default"), url);
  }
}

TEST(ControlPlaces, StoresThatHaveNoneSayWhatToUse) {
  for (const char* url : {"file:/tmp/a.json", "redis://localhost", "limitr.db", "", "sqlite:"}) {
    const auto control = Control::open(url);
    ASSERT_FALSE(control.ok()) << url;
    EXPECT_EQ(control.error().code, ErrorCode::invalid_argument) << url;
  }
  EXPECT_THAT(Control::open("file:/tmp/a.json").error().message,
              HasSubstr("use sqlite: or postgres:"));
}

TEST(ControlPlaces, AnotherProgramsFileIsLeftAlone) {
  TestFolder folder;
  const std::string file = folder.file("a.db-cloud.db");
  std::ofstream(file) << "no database at all, but long enough to be looked at as one; "
                      << std::string(200, 'x');
  const auto none = Control::open("sqlite:" + folder.file("a.db"));
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::invalid_argument);
  std::filesystem::remove(file);
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &handle), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(handle, "CREATE TABLE theirs (a)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(handle);
  const auto theirs = Control::open("sqlite:" + folder.file("a.db"));
  ASSERT_FALSE(theirs.ok());
  EXPECT_THAT(theirs.error().message, HasSubstr("another program's"));
}

TEST(ControlPlaces, AFileThatIsGoneIsNotWrittenTo) {
  TestFolder folder;
  const auto control = Control::open("sqlite:" + folder.file("a.db"));
  ASSERT_TRUE(control.ok());
  std::filesystem::remove(folder.file("a.db-cloud.db"));
  const auto pushed = (*control)->push("default", policy_of(1), Format::yaml, "ann");
  ASSERT_FALSE(pushed.ok());
  EXPECT_THAT(pushed.error().message, HasSubstr("removed or replaced"));
}

}  // namespace
}  // namespace limitr::server
