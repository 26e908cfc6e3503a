// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "backends.h"
#include "engine/manual_clock.h"
#include "open/open_store.h"
#include "sqlite_file.h"
#include "store/checksum.h"

#ifdef LIMITR_REDIS
#include "redis_server.h"
#endif
#ifdef LIMITR_POSTGRES
#include "postgres_server.h"
#endif

// What earlier versions have written is read by this one as it was meant, and goes on from there;
// what a later one has written is refused by its name. data/README.md says what is kept.
// spec: state.md, Snapshot and load; Record fields
namespace limitr::store {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// What one version has written, in one form; and a copy of it that may be written to.
class Form {
public:
  explicit Form(std::string folder) : folder_(std::move(folder)) {}
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;
  virtual ~Form() = default;

  /// The store that holds the copy; empty: it is a text to load.
  virtual std::string url() const { return {}; }
  virtual std::string text() const { return {}; }
  /// What is not in this form.
  virtual bool has_requests() const { return true; }
  /// Makes of the copy what a much later version might have written.
  virtual void make_later() {}

protected:
  std::string kept(const std::string& name) const { return folder_ + "/" + name; }
  /// A copy in a folder of its own.
  std::string copied(const std::string& name) const {
    fs::copy_file(kept(name), scratch_.file(name));
    return scratch_.file(name);
  }

  const std::string folder_;
  const TestFolder scratch_;
};

constexpr const char* later_version = "4711";

class Snapshot final : public Form {
public:
  using Form::Form;
  std::string text() const override { return bytes_of(kept("customers.json")); }
  bool has_requests() const override { return false; }
};

class Export final : public Form {
public:
  using Form::Form;
  std::string text() const override { return bytes_of(kept("export.json")); }
};

class SqliteForm final : public Form {
public:
  using Form::Form;
  std::string url() const override { return "sqlite:" + path_; }
  void make_later() override {
    SqliteFile(path_).run(std::string("UPDATE limitr SET value = ") + later_version +
                          " WHERE key = 'schema'; PRAGMA user_version = " + later_version);
  }

private:
  const std::string path_ = copied("state.db");
};

class FileForm final : public Form {
public:
  explicit FileForm(std::string folder) : Form(std::move(folder)) {
    EXPECT_GT(fs::file_size(copied("state.json.journal")), 1000U) << "there is nothing to fold";
  }
  std::string url() const override { return "file:" + path_; }
  void make_later() override {
    const std::string bytes = bytes_of(path_);
    const std::string before = R"("body":{"schema":)";
    const std::size_t at = bytes.rfind(before);
    ASSERT_NE(at, std::string::npos);
    const std::size_t rest = bytes.find(',', at);
    const std::string body =
        R"({"schema":)" + std::string(later_version) + bytes.substr(rest, bytes.size() - rest - 3);
    char sum[17];
    std::snprintf(sum, sizeof sum, "%016llx",
                  static_cast<unsigned long long>(Checksum().add(body).value()));
    const std::size_t line = bytes.rfind('\n', at) + 1;
    write_bytes(path_, bytes.substr(0, line) + R"("store":{"sum":")" + sum + R"(","body":)" + body +
                           "}}\n");
  }

private:
  const std::string path_ = copied("state.json");
};

#ifdef LIMITR_REDIS
class RedisForm final : public Form {
public:
  explicit RedisForm(std::string folder) : Form(std::move(folder)) {
    server().ask({"FLUSHALL"});
    std::ifstream in(kept("redis.txt"));
    std::size_t keys = 0;
    for (std::string line; std::getline(in, line); ++keys) server().ask(Json::parse(line));
    EXPECT_EQ(server().texts({"KEYS", "*"}).size(), keys);
  }
  std::string url() const override { return "redis:///0?socket=" + server().socket(); }
  void make_later() override { server().ask({"HSET", "limitr:owner", "schema", later_version}); }

private:
  // Not the one that others share: it is emptied.
  static RedisServer& server() {
    static RedisServer server;
    return server;
  }
};
#endif

#ifdef LIMITR_POSTGRES
class PostgresForm final : public Form {
public:
  explicit PostgresForm(std::string folder) : Form(std::move(folder)) {
    PostgresSession(server().url()).run("CREATE DATABASE " + database_);
    const std::string command = "'" LIMITR_POSTGRES_BIN
                                "/psql' -q -o /dev/null -v ON_ERROR_STOP=1 -f '" +
                                kept("postgres.sql") + "' '" + url() + "'";
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
  ~PostgresForm() override {
    PostgresSession(server().url()).run("DROP DATABASE " + database_ + " WITH (FORCE)");
  }
  std::string url() const override {
    return "postgres://postgres@/" + database_ + "?host=" + server().folder();
  }
  void make_later() override {
    PostgresSession(url()).run(std::string("UPDATE limitr.limitr SET value = '") + later_version +
                               "' WHERE key = 'schema'");
  }

private:
  static PostgresServer& server() { return PostgresServer::shared(); }
  const std::string database_ = "kept";
};
#endif

template <typename F>
std::unique_ptr<Form> make(const std::string& folder) {
  return std::make_unique<F>(folder);
}

struct Kept {
  std::string name;  ///< As in postgres_0_1.
  std::string folder;
  std::unique_ptr<Form> (*make)(const std::string& folder);
};

std::ostream& operator<<(std::ostream& out, const Kept& kept) { return out << kept.name; }

using Forms = std::vector<std::pair<std::string, std::unique_ptr<Form> (*)(const std::string&)>>;

Forms forms_of_stores() {
  return {
      {"sqlite", make<SqliteForm>},
      {"file", make<FileForm>},
#ifdef LIMITR_REDIS
      {"redis", make<RedisForm>},
#endif
#ifdef LIMITR_POSTGRES
      {"postgres", make<PostgresForm>},
#endif
  };
}

Forms forms() {
  Forms all = forms_of_stores();
  all.insert(all.end(), {{"snapshot", make<Snapshot>}, {"export", make<Export>}});
  return all;
}

/// Those forms, of each version that there is a folder of.
std::vector<Kept> all_versions(const Forms& forms) {
  std::vector<Kept> all;
  for (const auto& entry : fs::directory_iterator(LIMITR_KEPT)) {
    if (!entry.is_directory()) continue;
    std::string version = entry.path().filename().string();
    std::replace(version.begin(), version.end(), '.', '_');
    for (const auto& [name, make] : forms) {
      all.push_back({name + "_" + version, entry.path().string(), make});
    }
  }
  return all;
}

/// Whether a later version may have this beside what was written: it says nothing.
bool says_nothing(const Json& value) {
  return value.is_null() || value == 0 || value == false || value == "" ||
         (value.is_structured() && value.empty());
}

/// All that was written must be there as it was; a field that is new may be there too. Each
/// difference is a failure of its own, with its path.
void expect_kept(const Json& written, const Json& found, const std::string& path) {
  if (written.is_object() && found.is_object()) {
    for (const auto& [key, value] : written.items()) {
      if (found.contains(key)) {
        // A record says the format that it is in now.
        if (key != "format") expect_kept(value, found[key], path + "/" + key);
      } else {
        ADD_FAILURE() << path << "/" << key << " is lost: " << value;
      }
    }
    for (const auto& [key, value] : found.items()) {
      EXPECT_TRUE(written.contains(key) || says_nothing(value))
          << path << "/" << key << " was not there: " << value;
    }
  } else if (written.is_array() && found.is_array() && written.size() == found.size()) {
    for (std::size_t i = 0; i < written.size(); ++i) {
      expect_kept(written[i], found[i], path + "/" + std::to_string(i));
    }
  } else {
    EXPECT_EQ(written, found) << path;
  }
}

/// Requests stand together customer by customer, who may be in any order.
Json by_customer(const Json& requests) {
  Json sorted = Json::object();
  for (const Json& request : requests) {
    sorted[request["customer"].get<std::string>()].push_back(request);
  }
  return sorted;
}

class KeptTest : public ::testing::TestWithParam<Kept> {
protected:
  std::string kept(const std::string& name) const {
    return bytes_of(GetParam().folder + "/" + name);
  }

  Options options(bool load_all) const {
    Options options;
    options.clock = clock_;
    options.store = form_->url();
    options.load_all = load_all && !options.store.empty();
    options.log = [](std::string_view line) { ADD_FAILURE() << line; };
    return options;
  }

  /// With today's policy, in which an entitlement has another name.
  Limitr open(bool load_all = false) const {
    Result<Limitr> opened = Limitr::open(kept("policy.yaml"), options(load_all));
    if (!opened.ok()) throw std::runtime_error(opened.error().to_string());
    if (!form_->url().empty()) return *std::move(opened);
    const Result<LoadReport> report = opened->load_customers(form_->text());
    EXPECT_TRUE(report.ok());
    EXPECT_EQ(report->loaded, written_["customers"].size());
    for (const auto& refused : report->refused) ADD_FAILURE() << refused.error.to_string();
    return *std::move(opened);
  }

  static Json exported(Limitr& limitr) {
    Json all = Json::parse(*limitr.export_state());
    all["requests"] = by_customer(all["requests"]);
    return all;
  }

  static void expect_balanced(Limitr& limitr) {
    const auto findings = limitr.fsck();
    ASSERT_TRUE(findings.ok()) << findings.error().to_string();
    for (const AuditFinding& finding : *findings) {
      ADD_FAILURE() << finding.customer << ": " << finding.field << ": " << finding.message;
    }
  }

  Result<Decision> repeat(Limitr& limitr) const {
    const Json& call = facts_["repeat"];
    const auto request = call["request"].get<std::string>();
    return limitr.allow(call["customer"].get<std::string>(), call["entitlement"].get<std::string>(),
                        call["value"].get<double>(), {.request = request});
  }

  const Json facts_ = Json::parse(kept("facts.json"));
  const Json written_ = Json::parse(kept("export.json"));
  const std::shared_ptr<ManualClock> clock_ =
      std::make_shared<ManualClock>(facts_["written_at"].get<std::int64_t>());
  const std::unique_ptr<Form> form_ = GetParam().make(GetParam().folder);
};

TEST_P(KeptTest, EachRecordIsReadAsItWasWritten) {
  for (const bool load_all : {false, true}) {
    SCOPED_TRACE(load_all ? "all at once" : "on demand");
    Limitr limitr = open(load_all);
    const Json found = exported(limitr);
    expect_kept(written_["customers"], found["customers"], "customers");
    if (form_->has_requests()) {
      expect_kept(by_customer(written_["requests"]), found["requests"], "requests");
      expect_kept(written_["estimates"], found["estimates"], "estimates");
    }
    expect_balanced(limitr);
  }
}

TEST_P(KeptTest, ARememberedRequestStillCountsOnce) {
  if (!form_->has_requests()) return;  // A snapshot of customers has none.
  Limitr limitr = open();
  const Json before = exported(limitr);
  const auto again = repeat(limitr);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_TRUE(again->repeated);
  EXPECT_TRUE(again->allowed);
  EXPECT_EQ(exported(limitr), before);
}

TEST_P(KeptTest, WhatWasUsedUnderAnOldNameCounts) {
  Limitr limitr = open();
  for (const auto& [before, after] : facts_["renamed"].items()) {
    int renamed = 0;
    for (const auto& [id, customer] : written_["customers"].items()) {
      if (!customer["meters"].contains(before)) continue;
      const Read<double> now = limitr.value(id, after.get<std::string>());
      ASSERT_TRUE(now.ok() && now->has_value()) << id;
      EXPECT_EQ(**now, customer["meters"][before]["value"].get<double>()) << id;
      renamed += **now > 0 ? 1 : 0;
    }
    EXPECT_GT(renamed, 0);
  }
}

TEST_P(KeptTest, TheEngineGoesOnFromThere) {
  Json after;
  {
    Limitr limitr = open();
    clock_->advance(Millis(std::chrono::minutes(1)).count());
    for (const auto& [id, customer] : written_["customers"].items()) {
      const auto used = limitr.allow(id, "chat", 1);
      EXPECT_TRUE(used.ok() && used->allowed) << id;
    }
    EXPECT_TRUE(limitr.create_customer("one more").ok());
    for (const auto& [before, name] : facts_["renamed"].items()) {
      const auto used = limitr.allow("ann", name.get<std::string>(), 1);
      EXPECT_TRUE(used.ok() && used->allowed) << name;
    }
    after = exported(limitr);
    expect_balanced(limitr);
    if (form_->url().empty()) return;
    const auto closed = limitr.close();
    ASSERT_TRUE(closed.ok()) << closed.error().to_string();
  }
  Limitr limitr = open();
  EXPECT_EQ(exported(limitr), after);
  EXPECT_TRUE(repeat(limitr)->repeated);
}

class KeptStoreTest : public KeptTest {};

TEST_P(KeptStoreTest, OpensWithThePolicyThatItKeeps) {
  Result<Limitr> limitr = Limitr::open_stored(options(false));
  ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
  const Result<Limitr> given = Limitr::open(kept("policy.written.yaml"));
  EXPECT_EQ(limitr->policy(), given->policy());
}

TEST_P(KeptStoreTest, WhatALaterVersionHasWrittenIsRefusedByName) {
  form_->make_later();
  for (const Access access : {Access::own, Access::read}) {
    const auto store = store_at(form_->url());
    ASSERT_TRUE(store.ok()) << store.error().to_string();
    const auto opened = (*store)->open(access, an_owner());
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(opened.error().message, HasSubstr(later_version));
    EXPECT_THAT(opened.error().message, HasSubstr(" 1")) << "what this version reads";
  }
}

std::string name_of(const ::testing::TestParamInfo<Kept>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Versions, KeptTest, ::testing::ValuesIn(all_versions(forms())), name_of);
INSTANTIATE_TEST_SUITE_P(Versions, KeptStoreTest,
                         ::testing::ValuesIn(all_versions(forms_of_stores())), name_of);

}  // namespace
}  // namespace limitr::store
