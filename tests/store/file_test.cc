// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "backends.h"
#include "store/checksum.h"
#include "store/file/file_store.h"

// What the store in a JSON file does beside the contract. spec: state.md, Stores
namespace limitr::store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr const char* policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans: { pro: { default: true, entitlements: { chat: {
    limit: { credit: tok, value: 100 }, estimate_segment: model } } } }
)";

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string record(const std::string& id, int value) {
  return R"({"id":")" + id + R"(","alt_ids":["alt )" + id + R"("],"value":)" +
         std::to_string(value) + "}";
}

class FileStoreTest : public ::testing::Test {
protected:
  static std::unique_ptr<Store> at(const std::string& path) { return file_store({.path = path}); }

  static Error refusal(const std::string& path, Access access = Access::own) {
    const auto opened = at(path)->open(access, an_owner());
    if (opened.ok()) {
      ADD_FAILURE() << path << " was opened";
      return {.code = ErrorCode::io_failed, .message = {}};
    }
    return opened.error();
  }

  /// A closed file of group 1: ann with two requests, bob, estimates and a policy.
  void write_some() {
    const auto store = at(path_);
    open_own(*store);
    Group group =
        a_group(1, {put("ann", record("ann", 1), {"alt ann"}), put("bob", record("bob", 2))});
    group.customers[0].new_requests = {a_request(1), a_request(2, "again", R"({"margin":1})")};
    group.estimates = R"({"chat":{}})";
    group.policy = R"({"plans":{}})";
    must_commit(*store, group);
    ASSERT_TRUE(store->close().ok());
  }

  void replace_in_file(const std::string& from, const std::string& to) {
    std::string bytes = bytes_of(path_);
    const std::size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write_bytes(path_, bytes.replace(at, from.size(), to));
  }

  /// As somebody does who has changed it by hand.
  void remove_store_member() {
    const std::string bytes = bytes_of(path_);
    write_bytes(path_, bytes.substr(0, bytes.rfind(",\n\"store\":")) + "}");
  }

  const TestFolder folder_;
  const std::string path_ = folder_.file("s.json");
  const std::string journal_ = path_ + ".journal";
};

Options kept_at(const std::string& path) {
  Options options;
  options.store = "file:" + path;
  options.log = [](std::string_view message) { ADD_FAILURE() << message; };
  return options;
}

/// Customers with alternate IDs, refs, holds, estimates and remembered requests.
void use(Limitr& limitr) {
  ASSERT_TRUE(limitr.create_customer("org", {}).ok());
  ASSERT_TRUE(limitr.create_customer("ann", {.refs = {{"org"}}, .alts = {"ann@x", "a"}}).ok());
  for (int i = 0; i < 20; ++i) {
    const std::string request = "call " + std::to_string(i);
    CallOptions call;
    call.request = request;
    ASSERT_TRUE(limitr.allow(i % 2 == 0 ? "a" : "org", "chat", 1, call).ok());
  }
  ASSERT_TRUE(limitr.create_customer("gone", {}).ok());
  ASSERT_TRUE(limitr.delete_customer("gone").ok());
}

/// An export, its requests in an order of their own: an engine has its customers in none.
Json in_order(const std::string& exported) {
  Json json = Json::parse(exported);
  Json& requests = json.at("requests");
  std::sort(requests.begin(), requests.end());
  json.erase("store");
  return json;
}

TEST_F(FileStoreTest, AfterClosingTheJsonAloneIsCompleteAndLoads) {
  auto kept = Limitr::open(policy, kept_at(path_));
  ASSERT_TRUE(kept.ok()) << kept.error().to_string();
  use(*kept);
  const Json exported = in_order(*kept->export_state());
  ASSERT_EQ(exported.at("requests").size(), 20U);
  ASSERT_TRUE(kept->close().ok());
  EXPECT_FALSE(fs::exists(journal_));

  const Json file = in_order(bytes_of(path_));
  for (const char* member : {"format", "customers", "estimates", "requests"}) {
    EXPECT_EQ(file.at(member), exported.at(member));
  }
  auto plain = Limitr::open(policy);
  const auto report = plain->load_customers(bytes_of(path_));
  ASSERT_TRUE(report.ok()) << report.error().to_string();
  EXPECT_EQ(report->loaded, 2U);
  EXPECT_TRUE(report->refused.empty());
  EXPECT_EQ(in_order(*plain->export_state()), exported);
  CallOptions again;
  again.request = "call 3";
  EXPECT_TRUE(plain->allow("org", "chat", 1, again)->repeated);
}

TEST_F(FileStoreTest, AnExportBecomesAStore) {
  auto plain = Limitr::open(policy);
  use(*plain);
  const std::string exported = *plain->export_state();
  write_bytes(path_, exported);
  for (int i = 0; i < 2; ++i) {  // Once as it was exported, once as it was written anew.
    auto kept = Limitr::open(policy, kept_at(path_));
    ASSERT_TRUE(kept.ok()) << kept.error().to_string();
    EXPECT_EQ(in_order(*kept->export_state()), in_order(exported));
  }
}

TEST_F(FileStoreTest, AFileThatNamesNoPathIsRefused) {
  const auto opened = Limitr::open(policy, kept_at(""));
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(opened.error().message, HasSubstr("`file:` names no file"));
}

TEST_F(FileStoreTest, WhatStandsInTheJsonComesBackAsItWas) {
  write_some();
  const auto store = at(path_);
  const Opened opened = open_own(*store);
  EXPECT_EQ(opened.last_group, 1U);
  EXPECT_EQ(opened.estimates, R"({"chat":{}})");
  EXPECT_EQ(opened.policy, R"({"plans":{}})");
  const auto ann = read_one(*store, "alt ann");
  ASSERT_TRUE(ann);
  EXPECT_EQ(ann->version, 1U);
  EXPECT_EQ(ann->record, record("ann", 1));
  EXPECT_EQ(ann->requests, (std::vector{a_request(1), a_request(2, "again", R"({"margin":1})")}));
  // Not from the record: the store does not look into what it keeps.
  EXPECT_EQ(record_of(*store, "alt bob"), "-");
  EXPECT_EQ(Json::parse(bytes_of(path_)).at("policy"), Json::parse(R"({"plans":{}})"));
}

// Under its new customer an alternate ID stays, whoever had it before.
TEST_F(FileStoreTest, AnAlternateIdThatMovedStaysMovedInTheJson) {
  {
    const auto store = at(path_);
    open_own(*store);
    must_commit(*store, a_group(1, {put("zoe", "{}", {"x"}), put("ann", "{}")}));
    must_commit(*store, a_group(2, {put("ann", R"({"a":1})", {"x"})}));
  }
  const auto store = at(path_);
  open_own(*store);
  EXPECT_EQ(record_of(*store, "x"), R"({"a":1})");
}

TEST_F(FileStoreTest, AFileThatWasChangedByHandIsTakenWithoutItsLastMember) {
  write_some();
  replace_in_file(R"("value":2)", R"("value":77777)");
  const Error error = refusal(path_);
  EXPECT_EQ(error.code, ErrorCode::data_corrupt);
  EXPECT_THAT(error.message, HasSubstr("remove its last member, `store`"));
  remove_store_member();
  const auto store = at(path_);
  const Opened opened = open_own(*store);
  EXPECT_EQ(opened.last_group, 1U);
  EXPECT_EQ(opened.policy, R"({"plans":{}})");
  EXPECT_EQ(opened.estimates, R"({"chat":{}})");
  EXPECT_EQ(record_of(*store, "bob"), record("bob", 77777));
  EXPECT_EQ(record_of(*store, "alt bob"), record("bob", 77777));
  EXPECT_EQ(read_one(*store, "ann")->requests,
            (std::vector{a_request(1), a_request(2, "again", R"({"margin":1})")}));
  EXPECT_EQ(opened.damage.size(), 0U);
  must_commit(*store, a_group(2, {put("bob", record("bob", 3))}));
}

TEST_F(FileStoreTest, AnEditorThatWritesTheFileInItsOwnWayIsNoticed) {
  write_some();
  write_bytes(path_, Json::parse(bytes_of(path_)).dump(2));
  EXPECT_THAT(refusal(path_).message, HasSubstr("remove its last member, `store`"));
  Json without = Json::parse(bytes_of(path_));
  without.erase("store");
  write_bytes(path_, without.dump(2));
  const auto store = at(path_);
  open_own(*store);
  EXPECT_EQ(Json::parse(record_of(*store, "ann")), Json::parse(record("ann", 1)));
}

TEST_F(FileStoreTest, WhatIsNoStoresFileIsRefusedAndLeftAlone) {
  struct Case {
    const char* why;
    std::string text;
    ErrorCode code;
    const char* says;
  };
  const Case cases[] = {
      {"empty", "", ErrorCode::data_corrupt, "cannot be read"},
      {"no JSON", "hello", ErrorCode::data_corrupt, "cannot be read"},
      {"breaks off", R"({"format":1,"customers":{"ann":{"id":"a)", ErrorCode::data_corrupt,
       "cannot be read"},
      {"more text behind", R"({"format":1} {})", ErrorCode::data_corrupt, "cannot be read"},
      {"a list", "[]", ErrorCode::invalid_argument, "no export"},
      {"a bare map", R"({"customers":{}})", ErrorCode::invalid_argument, "no `format`"},
      {"another format", R"({"format":2,"customers":{}})", ErrorCode::invalid_argument, "format"},
      {"something else", R"({"format":1,"custmers":{}})", ErrorCode::data_corrupt, "`custmers`"},
      {"a customer twice", R"({"format":1,"customers":{"a":{},"b":{},"a":{}}})",
       ErrorCode::data_corrupt, "`a` twice"},
      {"a record that is none", R"({"format":1,"customers":{"a":1}})", ErrorCode::data_corrupt,
       "cannot be read"},
      {"a request of nobody",
       R"({"format":1,"customers":{},"requests":[{"customer":"a","request":"r"}]})",
       ErrorCode::data_corrupt, "`a`, who is not there"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    write_bytes(path_, c.text);
    for (const Access access : {Access::own, Access::read}) {
      const Error error = refusal(path_, access);
      EXPECT_EQ(error.code, c.code);
      EXPECT_THAT(error.message, HasSubstr(c.says));
    }
    EXPECT_EQ(bytes_of(path_), c.text);
    EXPECT_FALSE(fs::exists(journal_));
  }
}

TEST_F(FileStoreTest, AFileCannotBeShared) {
  EXPECT_EQ(refusal(path_, Access::share).code, ErrorCode::invalid_argument);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(FileStoreTest, AFileThatIsNotThereIsNotRead) {
  const Error error = refusal(path_, Access::read);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("no such file"));
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(FileStoreTest, SpellingsOfOnePathMeetOneOwner) {
  fs::create_directory(folder_.file("real"));
  fs::create_directory_symlink("real", folder_.file("link"));
  const auto owner = at(folder_.file("real/s.json"));
  open_own(*owner);
  EXPECT_EQ(refusal(folder_.file("link/s.json")).code, ErrorCode::store_owned);
  EXPECT_EQ(refusal(folder_.file("real/../link/./s.json")).code, ErrorCode::store_owned);
}

// The lock can be taken away by removing its file; the epoch cannot.
TEST_F(FileStoreTest, AnOwnerWhoseLockWasRemovedIsFencedByItsSuccessor) {
  const auto stale = at(path_);
  open_own(*stale);
  must_commit(*stale, a_group(1, {put("ann", "A1")}));
  fs::remove(path_ + ".owner");
  const auto successor = at(path_);
  EXPECT_EQ(open_own(*successor).last_group, 1U);
  must_commit(*successor, a_group(2, {put("ann", "A2")}));
  EXPECT_EQ(failure(stale->commit(a_group(3, {put("ann", "stale")}))), ErrorCode::store_fenced);
  EXPECT_EQ(record_of(*successor, "ann"), "A2");
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_owned);
  must_commit(*successor, a_group(4, {put("ann", "A4")}));
}

TEST_F(FileStoreTest, AStaleOwnerThatClosesOrOpensAgainTakesNothingFromItsSuccessor) {
  for (const bool closes : {true, false}) {
    const auto stale = at(path_);
    const std::uint64_t last = open_own(*stale).last_group;
    must_commit(*stale, a_group(last + 1, {put("ann", "A")}));
    fs::remove(path_ + ".owner");
    const auto successor = at(path_);
    open_own(*successor);
    must_commit(*successor, a_group(last + 2, {put("ann", "B")}));
    const auto answer =
        closes ? failure(stale->close()) : failure(stale->open(Access::own, an_owner()));
    EXPECT_EQ(answer, closes ? ErrorCode::store_fenced : ErrorCode::store_owned);
    must_commit(*successor, a_group(last + 3, {put("ann", "C")}));
    ASSERT_TRUE(successor->close().ok());
    const auto next = at(path_);
    EXPECT_EQ(open_own(*next).last_group, last + 3);
    EXPECT_EQ(record_of(*next, "ann"), "C");
  }
}

TEST_F(FileStoreTest, AnOwnerWhoseLockWasRemovedTakesItAgainUnlessAnotherCame) {
  const auto stale = at(path_);
  open_own(*stale);
  fs::remove(path_ + ".owner");
  open_own(*stale);  // Nobody has come.
  EXPECT_EQ(failure(at(path_)->open(Access::own, an_owner())), ErrorCode::store_owned);
  fs::remove(path_ + ".owner");
  open_own(*at(path_));  // Somebody came and went.
  EXPECT_EQ(failure(stale->open(Access::own, an_owner())), ErrorCode::store_fenced);
  open_own(*stale);
}

// Whoever commits while another takes over is in what that one reads, or is refused.
TEST_F(FileStoreTest, NothingAnsweredIsLostBetweenAStaleOwnerAndItsSuccessors) {
  std::uint64_t last = 0;
  auto owner = at(path_);
  open_own(*owner);
  for (int round = 0; round < 5; ++round) {
    std::atomic<bool> has_begun = false;
    std::thread stale([&] {
      for (int i = 0; i < 20'000; ++i) {
        const auto group = a_group(last + 1, {put("ann", std::to_string(last + 1))});
        if (!owner->commit(group).ok()) break;
        ++last;
        has_begun = true;
      }
      has_begun = true;
    });
    while (!has_begun) std::this_thread::yield();
    fs::remove(path_ + ".owner");
    auto successor = at(path_);
    const Opened opened = open_own(*successor);
    stale.join();
    EXPECT_EQ(opened.last_group, last);
    owner = std::move(successor);
  }
}

TEST_F(FileStoreTest, AFileThatWasReplacedTakesNothing) {
  for (const std::string& moved : {path_, journal_}) {
    const auto store = at(path_);
    open_own(*store);
    must_commit(*store, a_group(1, {put("ann", "A1")}));
    fs::rename(moved, folder_.file("moved"));
    const auto refused = store->commit(a_group(2, {put("ann", "A2")}));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::store_unavailable);
    EXPECT_THAT(refused.error().message, HasSubstr("removed or replaced"));
    fs::rename(folder_.file("moved"), moved);
    EXPECT_EQ(open_own(*store).last_group, 1U);
  }
}

TEST_F(FileStoreTest, TheJournalIsFoldedWhenItOutgrowsTheJson) {
  const auto store = at(path_);
  open_own(*store);
  const std::string text = R"({"text":")" + std::string(10'000, '.') + R"("})";
  std::uint64_t largest = 0;
  for (std::uint64_t i = 1; i <= 300; ++i) {
    must_commit(*store, a_group(i, {put("customer " + std::to_string(i % 150), text)}));
    largest = std::max(largest, fs::file_size(journal_));
  }
  EXPECT_GT(largest, 1'040'000U);
  EXPECT_LT(largest, 1'600'000U);
  EXPECT_LT(fs::file_size(journal_), 1'100'000U);
  EXPECT_GT(fs::file_size(path_), 1'000'000U);
  EXPECT_EQ(store->status()->bytes, fs::file_size(path_) + fs::file_size(journal_));
}

TEST_F(FileStoreTest, AReaderBesideTheOwnerSeesWholeGroupsAlsoOverFolds) {
  const auto store = at(path_);
  open_own(*store);
  std::atomic<bool> done = false;
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!done) {
      const auto view = at(path_);
      const auto opened = view->open(Access::read, an_owner());
      ASSERT_TRUE(opened.ok()) << opened.error().to_string();
      EXPECT_GE(opened->last_group, last);
      EXPECT_TRUE(opened->damage.empty());
      last = opened->last_group;
      for (int i = 0; i < 3; ++i) {
        const auto all = scan_all(*view);
        if (all.empty()) break;
        ASSERT_EQ(all.size(), 2U);
        EXPECT_EQ(all[0].record, all[1].record);
        EXPECT_EQ(all[0].version, all[1].version);
        EXPECT_GE(all[0].version, last);
        last = all[0].version;
      }
    }
  });
  for (std::uint64_t i = 1; i <= 150; ++i) {
    const std::string text =
        R"({"group":)" + std::to_string(i) + R"(,"text":")" + std::string(20'000, '.') + R"("})";
    must_commit(*store, a_group(i, {put("left", text), put("right", text)}));
    if (i % 40 == 0) {
      ASSERT_TRUE(store->close().ok());
      open_own(*store);
    }
  }
  done = true;
  reader.join();
}

/// Does something once, when a file that ends so is about to be opened.
class Between final : public file::FileSystem {
public:
  Between(std::string suffix, std::function<void()> act)
      : suffix_(std::move(suffix)), act_(std::move(act)) {}

  int open(const std::string& path, int flags) override {
    if (act_ && path.ends_with(suffix_)) std::exchange(act_, nullptr)();
    return FileSystem::open(path, flags);
  }

private:
  const std::string suffix_;
  std::function<void()> act_;
};

// The JSON that it has open is the old one then, and the journal gone or a new one.
TEST_F(FileStoreTest, AReaderThatMeetsTheOwnerBetweenTheFilesLooksAgain) {
  const auto store = at(path_);
  for (const bool reopens : {false, true}) {
    const std::uint64_t last = open_own(*store).last_group;
    must_commit(*store, a_group(last + 1, {put("ann", std::to_string(last + 1))}));
    Between files(".journal", [&] {
      EXPECT_TRUE(store->close().ok());
      if (reopens) open_own(*store);
    });
    const auto reader = file_store({.path = path_, .files = &files});
    const auto opened = reader->open(Access::read, an_owner());
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    EXPECT_EQ(opened->last_group, last + 1);
    EXPECT_EQ(record_of(*reader, "ann"), std::to_string(last + 1));
  }
}

TEST_F(FileStoreTest, AJournalThatWasFoldedBeforeItsProcessDiedSaysNothingMore) {
  const auto store = at(path_);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  const std::string folded = bytes_of(journal_);
  ASSERT_TRUE(store->close().ok());
  write_bytes(journal_, folded);
  const auto reader = at(path_);
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_EQ(record_of(*reader, "ann"), "A1");
  EXPECT_EQ(open_own(*store).last_group, 1U);
  EXPECT_EQ(record_of(*store, "ann"), "A1");
}

TEST_F(FileStoreTest, FilesOfDifferentStatesAreNotMixed) {
  write_some();
  const std::string older = bytes_of(path_);
  std::string journal;
  {
    const auto store = at(path_);
    open_own(*store);
    must_commit(*store, a_group(2, {put("ann", "A2")}));
    journal = bytes_of(journal_);
  }
  write_bytes(path_, older);
  write_bytes(journal_, journal);
  EXPECT_EQ(refusal(path_).code, ErrorCode::data_corrupt);
  EXPECT_THAT(refusal(path_, Access::read).message, HasSubstr("belongs to another state"));
  remove_store_member();
  EXPECT_THAT(refusal(path_).message, HasSubstr("changed by hand"));
  fs::remove(path_);
  EXPECT_THAT(refusal(path_).message, HasSubstr("without the file that it belongs to"));
  EXPECT_EQ(bytes_of(journal_), journal);
  write_bytes(path_, older);
  fs::remove(journal_);
  EXPECT_EQ(open_own(*at(path_)).last_group, 1U);
}

TEST_F(FileStoreTest, ANewerSchemaIsNamed) {
  write_some();
  const std::string bytes = bytes_of(path_);
  const std::size_t at = bytes.rfind(R"({"schema":1,)");
  ASSERT_NE(at, std::string::npos);
  const std::string body = R"({"schema":9)" + bytes.substr(at + 11, bytes.size() - at - 14);
  char sum[17];
  std::snprintf(sum, sizeof sum, "%016llx",
                static_cast<unsigned long long>(Checksum().add(body).value()));
  const std::size_t line = bytes.rfind('\n', at) + 1;
  write_bytes(path_,
              bytes.substr(0, line) + R"("store":{"sum":")" + sum + R"(","body":)" + body + "}}\n");
  const Error error = refusal(path_);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr("newer limitr (files of version 9; this one knows 1)"));
}

TEST_F(FileStoreTest, ANewerJournalIsNamed) {
  const TestFolder other;
  const std::string path = other.file("s.json");
  {
    const auto store = at(path_);
    open_own(*store);
    must_commit(*store, a_group(1, {put("ann", record("ann", 1))}));
    write_bytes(path, bytes_of(path_));
    write_bytes(path + ".journal", bytes_of(journal_).replace(0, 8, "limitrJ2"));
  }
  const std::string before = bytes_of(path + ".journal");
  EXPECT_THAT(refusal(path).message,
              HasSubstr("a journal of version 2 does, and this limitr knows version 1"));
  EXPECT_EQ(bytes_of(path + ".journal"), before);
}

// spec: state.md, Stores: folded at close, at flush and when it outgrows it.
TEST_F(FileStoreTest, AfterAFlushTheJsonAloneIsComplete) {
  constexpr std::size_t empty = 32;
  for (const Durability durability : {Durability::sync, Durability::manual}) {
    Options options = kept_at(path_);
    options.durability = durability;
    auto limitr = Limitr::open(policy, options);
    ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
    ASSERT_TRUE(limitr->create_customer("ann").ok());
    ASSERT_TRUE(limitr->allow("ann", "chat", 2).ok());
    EXPECT_GE(fs::file_size(journal_), durability == Durability::sync ? empty + 1 : empty);
    ASSERT_TRUE(limitr->flush().ok());
    EXPECT_EQ(fs::file_size(journal_), empty);
    const auto written = fs::last_write_time(path_);
    ASSERT_TRUE(limitr->flush().ok());
    EXPECT_EQ(fs::last_write_time(path_), written) << "there was nothing to write";
    const TestFolder other;
    fs::copy_file(path_, other.file("copy.json"));
    ASSERT_TRUE(limitr->allow("ann", "chat", 1).ok());
    const double used = limitr->value("ann", "chat")->value_or(-1);
    auto copy = Limitr::open(policy, kept_at(other.file("copy.json")));
    ASSERT_TRUE(copy.ok()) << copy.error().to_string();
    EXPECT_EQ(copy->value("ann", "chat")->value_or(-1), used - 1);
    ASSERT_TRUE(limitr->close().ok());
  }
}

TEST_F(FileStoreTest, TheJournalIsForThoseWhoMayReadTheJson) {
  write_some();
  fs::permissions(path_, static_cast<fs::perms>(0640));
  const auto store = at(path_);
  open_own(*store);
  EXPECT_EQ(fs::status(path_).permissions(), static_cast<fs::perms>(0640));
  EXPECT_EQ(fs::status(journal_).permissions(), static_cast<fs::perms>(0640));
}

TEST_F(FileStoreTest, EachOpeningNamesItsOwner) {
  open_own(*at(path_));
  const auto store = at(path_);
  ASSERT_TRUE(store->open(Access::own, an_owner("second")).ok());
  const auto reader = at(path_);
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_EQ(reader->status()->owner->host, "second");
  EXPECT_EQ(Json::parse(bytes_of(path_)).at("store").at("body").at("epoch"), 2);
}

}  // namespace
}  // namespace limitr::store
