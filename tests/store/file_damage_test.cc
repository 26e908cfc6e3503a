// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limitr/json.h>

#include "backends.h"
#include "base/test_seed.h"
#include "faulty_files.h"
#include "store/file/file_store.h"

// Damage is named and kept aside, and never given out for what was written.
// LIMITR_FLIPS asks for more of it, LIMITR_SEED plays one run's choices again.
namespace limitr::store {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Anew: over a file that is there, some file systems write what is in it to the disk first.
void write_bytes(const std::string& path, const std::string& bytes) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
}

void flip(std::string& bytes, std::mt19937_64& random) {
  for (std::uint64_t flips = random() % 3 + 1; flips > 0; --flips) {
    char& byte = bytes[random() % bytes.size()];
    byte = static_cast<char>(byte ^ (1 << random() % 8));
  }
}

std::string record_text(int number, std::uint64_t group) {
  return "{\"id\":\"customer " + std::to_string(number) + "\",\"group\":" + std::to_string(group) +
         ",\"text\":\"" + std::string(50, static_cast<char>('a' + number)) + "\"}";
}

/// A state that the store was in, as a scan and open() gave it.
struct State {
  std::map<std::string, StoredCustomer> customers;
  Opened opened;
};

class FileDamage : public ::testing::Test {
protected:
  static constexpr int customers = 8;
  static constexpr std::uint64_t folded = 2;  // Groups that stand in the JSON.
  static constexpr std::uint64_t groups = 10;

  void SetUp() override {
    auto store = file_store({.path = path_, .files = &files_});
    open_own(*store);
    for (std::uint64_t i = 1; i <= groups; ++i) {
      must_commit(*store, group(i));
      State& state = states_[i];
      for (StoredCustomer& customer : scan_all(*store)) state.customers[customer.id] = customer;
      const auto reader = file_store({.path = path_, .files = &files_});
      state.opened = *reader->open(Access::read, an_owner());
      if (i == folded) {
        ASSERT_TRUE(store->close().ok());
        open_own(*store);
      }
    }
    json_ = bytes_of(path_);
    journal_ = bytes_of(journal_path_);
    ASSERT_TRUE(store->close().ok());
    final_ = bytes_of(path_);
  }

  /// The first has all; each later one some, and takes one away.
  static Group group(std::uint64_t number) {
    Group group = a_group(number, {});
    for (int i = 0; i < customers; ++i) {
      if (number > 1 && (static_cast<std::uint64_t>(i) + number) % 3 != 0) continue;
      const std::string id = "customer " + std::to_string(i);
      group.customers.push_back(put(id, record_text(i, number),
                                    {"alt " + std::to_string(i), std::to_string(number) + id}));
      group.customers.back().new_requests = {a_request(2 * number), a_request(2 * number + 1)};
      group.customers.back().first_request = number;
    }
    if (number == 5) group.customers.push_back(removal("customer 0"));
    if (number % 2 == 1) group.estimates = "{\"chat\":" + std::to_string(number) + "}";
    if (number % 4 == 1) group.policy = "{\"plans\":" + std::to_string(number) + "}";
    return group;
  }

  void write_both(const std::string& json, const std::string& journal) {
    write_bytes(path_, json);
    write_bytes(journal_path_, journal);
  }

  /// Only the JSON, of all groups.
  void write_final(const std::string& json) {
    write_bytes(path_, json);
    fs::remove(journal_path_);
  }

  static void replace(std::string& bytes, const std::string& from, const std::string& to) {
    const std::size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, to.size(), to);
  }

  // What damaged files may do: fail, or name what is damaged. What they give without a word must be
  // what was written, by one group and no other.
  void judge(Access access) {
    const auto store = file_store({.path = path_, .files = &files_});
    const auto opened = store->open(access, an_owner());
    if (!opened.ok()) {
      ++failed_;
      // With its last member, the format may have become another one.
      EXPECT_TRUE(opened.error().code == ErrorCode::data_corrupt ||
                  opened.error().message.ends_with("and this limitr reads format 1"))
          << opened.error().to_string();
      return;
    }
    const auto state = states_.find(opened->last_group);
    ASSERT_NE(state, states_.end()) << "a group that never was: " << opened->last_group;
    last_ = opened->last_group;
    const std::set<std::string> named = judge(*store, *opened, state->second);
    if (access == Access::own) judge_later(*store, named);
  }

  std::set<std::string> judge(Store& store, const Opened& opened, const State& wanted) {
    std::set<std::string> named;
    const auto all = scan_all(store);
    EXPECT_EQ(all.size(), wanted.customers.size());
    for (const StoredCustomer& found : all) {
      const auto there = wanted.customers.find(found.id);
      if (there == wanted.customers.end()) {
        ADD_FAILURE() << "a customer that was not there: " << found.id;
        continue;
      }
      const StoredCustomer& good = there->second;
      if (found.damage) {
        named.insert(found.id);
        EXPECT_EQ(found.damage->code, ErrorCode::data_corrupt);
        EXPECT_TRUE(found.record.empty() || found.record == good.record);
        EXPECT_THAT(good.requests, ::testing::IsSupersetOf(found.requests));
      } else {
        EXPECT_EQ(found.record, good.record) << found.id;
        EXPECT_EQ(found.version, good.version);
        EXPECT_EQ(found.requests, good.requests);
      }
      const auto by_alt = read_one(store, "alt " + found.id.substr(9));
      EXPECT_TRUE(by_alt && by_alt->id == found.id);
    }
    EXPECT_TRUE(named.empty() || !opened.damage.empty());
    if (opened.damage.empty()) {
      ++unharmed_;
      EXPECT_EQ(opened.estimates, wanted.opened.estimates);
      EXPECT_EQ(opened.policy, wanted.opened.policy);
    } else {
      ++named_;
      for (const auto& [text, good] : {std::pair(opened.estimates, wanted.opened.estimates),
                                       std::pair(opened.policy, wanted.opened.policy)}) {
        EXPECT_TRUE(!text || text == good);
      }
    }
    return named;
  }

  // Nothing more is lost when it is written to, and what is damaged is named until it is written.
  void judge_later(Store& store, std::set<std::string> named) {
    must_commit(store, a_group(groups + 1, {put("customer 3", record_text(3, groups + 1))}));
    ASSERT_TRUE(store.close().ok());
    ASSERT_TRUE(store.open(Access::own, an_owner()).ok());
    named.erase("customer 3");
    std::set<std::string> still_named;
    for (const StoredCustomer& customer : scan_all(store)) {
      if (customer.damage) still_named.insert(customer.id);
    }
    EXPECT_EQ(still_named, named);
    EXPECT_EQ(record_of(store, "customer 3"), record_text(3, groups + 1));
  }

  void print() const {
    std::printf("unharmed %d, named %d, failed %d\n", unharmed_, named_, failed_);
  }

  const TestFolder folder_;
  const std::string path_ = folder_.file("s.json");
  const std::string journal_path_ = path_ + ".journal";
  FaultyFiles files_;  // Not armed: none of this asks for a disk that syncs.
  std::map<std::uint64_t, State> states_;
  std::string json_;     // Of two groups.
  std::string journal_;  // Of the others.
  std::string final_;    // Of all.
  std::uint64_t last_ = 0;
  int unharmed_ = 0;
  int named_ = 0;
  int failed_ = 0;
};

TEST_F(FileDamage, ADamagedRecordIsNamedAndKeptAsideAndTheRestLoads) {
  std::string json = final_;
  replace(json, "dddd\"}", "ddDd\"}");
  write_final(json);
  const auto store = file_store({.path = path_, .files = &files_});
  const Opened opened = open_own(*store);
  ASSERT_EQ(opened.damage.size(), 1U);
  const auto found = read_one(*store, "alt 3");
  ASSERT_TRUE(found && found->damage);
  EXPECT_EQ(found->id, "customer 3");
  EXPECT_EQ(found->record, "");
  EXPECT_EQ(found->damage->code, ErrorCode::data_corrupt);
  EXPECT_THAT(found->damage->message, HasSubstr("customer `customer 3`"));
  EXPECT_EQ(record_of(*store, "customer 4"), states_[groups].customers["customer 4"].record);

  // Where the message says, it can be looked at.
  const std::string& message = found->damage->message;
  const std::size_t from = message.rfind(" `") + 2;
  EXPECT_EQ(bytes_of(message.substr(from, message.rfind('`') - from)), json);

  // Also after it was written anew, until the customer is.
  ASSERT_TRUE(store->close().ok());
  EXPECT_TRUE(open_own(*store).damage.empty());
  EXPECT_EQ(read_one(*store, "customer 3")->damage->message, message);
  must_commit(*store, a_group(groups + 1, {put("customer 3", "new")}));
  EXPECT_EQ(read_one(*store, "customer 3")->damage, std::nullopt);
  ASSERT_TRUE(store->close().ok());
  open_own(*store);
  EXPECT_EQ(record_of(*store, "customer 3"), "new");
  EXPECT_EQ(read_one(*store, "customer 3")->damage, std::nullopt);
}

TEST_F(FileDamage, AReaderNamesDamageAndWritesNothing) {
  std::string json = final_;
  replace(json, "dddd\"}", "ddDd\"}");
  write_final(json);
  const auto store = file_store({.path = path_, .files = &files_});
  ASSERT_TRUE(store->open(Access::read, an_owner()).ok());
  EXPECT_TRUE(read_one(*store, "customer 3")->damage);
  ASSERT_TRUE(store->close().ok());
  EXPECT_EQ(bytes_of(path_), json);
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    names.insert(entry.path().filename().string());
  }
  EXPECT_EQ(names, (std::set<std::string>{"s.json", "s.json.owner"}));
}

TEST_F(FileDamage, ADamagedAnswerLeavesItsCustomerGood) {
  std::string json = final_;
  replace(json, R"("answer":true)", R"("answer":trUe)");
  write_final(json);
  const auto store = file_store({.path = path_, .files = &files_});
  open_own(*store);
  int damaged = 0;
  for (const StoredCustomer& customer : scan_all(*store)) {
    const StoredCustomer& good = states_[groups].customers[customer.id];
    EXPECT_EQ(customer.record, good.record);
    EXPECT_EQ(customer.requests.size(), good.requests.size() - (customer.damage ? 1 : 0));
    damaged += customer.damage.has_value();
  }
  EXPECT_EQ(damaged, 1);
}

TEST_F(FileDamage, ADamagedTextIsNamedWheneverTheStoreOpens) {
  std::string json = final_;
  replace(json, R"({"chat":9})", R"({"chat":8})");
  write_final(json);
  const auto store = file_store({.path = path_, .files = &files_});
  for (int i = 0; i < 2; ++i) {
    const Opened opened = open_own(*store);
    EXPECT_EQ(opened.estimates, std::nullopt);
    EXPECT_EQ(opened.policy, R"({"plans":9})");
    ASSERT_FALSE(opened.damage.empty());
    EXPECT_THAT(opened.damage[0].message, HasSubstr("`estimates`"));
    ASSERT_TRUE(store->close().ok());
  }
}

// A later group has the customer's record, but not the requests of the damaged one.
TEST_F(FileDamage, ADamagedGroupLosesWhatNoLaterOneHas) {
  std::string journal = journal_;
  replace(journal, record_text(3, 6), "X");
  write_both(json_, journal);
  const auto store = file_store({.path = path_, .files = &files_});
  EXPECT_EQ(open_own(*store).last_group, groups);
  for (const StoredCustomer& customer : scan_all(*store)) {
    const StoredCustomer& good = states_[groups].customers[customer.id];
    EXPECT_EQ(customer.record, good.record);
    if (customer.id == "customer 3") {
      ASSERT_TRUE(customer.damage);
      EXPECT_THAT(customer.damage->message, HasSubstr("requests"));
    } else {
      EXPECT_EQ(customer.damage, std::nullopt);
      EXPECT_EQ(customer.requests, good.requests);
    }
  }
  EXPECT_EQ(bytes_of(path_ + ".damaged-" + std::to_string(3) + ".journal"), journal);
}

TEST_F(FileDamage, WhereNobodyKnowsWhomAGroupChangedNothingIsLoaded) {
  std::string journal = journal_;
  replace(journal, "alt 3", "alt X");  // In the index of its frame.
  write_both(json_, journal);
  const auto refused = file_store({.path = path_, .files = &files_})->open(Access::own, an_owner());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::data_corrupt);
  EXPECT_THAT(refused.error().message, HasSubstr("damaged behind group 2"));
  EXPECT_EQ(bytes_of(path_), json_);
  EXPECT_EQ(bytes_of(journal_path_), journal);
}

TEST_F(FileDamage, AJournalThatBreaksOffAnywhereGivesTheStateBefore) {
  constexpr std::size_t header = 32;
  last_ = groups;
  write_both(json_, journal_);
  for (std::size_t size = journal_.size(); size >= header && !HasFailure(); --size) {
    SCOPED_TRACE("size " + std::to_string(size));
    fs::resize_file(journal_path_, size);
    const std::uint64_t before = last_;
    judge(Access::read);
    EXPECT_TRUE(last_ == before || last_ + 1 == before);
    if (size % 64 != 0) continue;
    judge(Access::own);
    write_both(json_, journal_);
  }
  EXPECT_EQ(last_, folded);
  EXPECT_EQ(named_, 0);
  EXPECT_EQ(failed_, 0);
  // Without its header, nobody knows what it was.
  for (std::size_t size = header; size-- > 0;) {
    fs::resize_file(journal_path_, size);
    judge(Access::read);
  }
  EXPECT_EQ(failed_, static_cast<int>(header));
}

TEST_F(FileDamage, AJsonThatBreaksOffAnywhereIsRefused) {
  write_both(json_, journal_);
  for (std::size_t size = json_.size(); size-- > 0 && !HasFailure();) {
    SCOPED_TRACE("size " + std::to_string(size));
    fs::resize_file(path_, size);
    const auto store = file_store({.path = path_, .files = &files_});
    EXPECT_EQ(failure(store->open(Access::read, an_owner())), ErrorCode::data_corrupt);
  }
}

// Nothing is given out that nothing proves; who wants it all the same is told how.
TEST_F(FileDamage, WhereOnlyTheLastLineIsHurtTheErrorSaysHowToTakeTheRest) {
  std::string hurt = final_;
  replace(hurt, "\"store\":{", "\"store\":x");
  for (const std::string& json : {hurt, final_.substr(0, final_.size() - 20)}) {
    write_final(json);
    const auto refused = file_store({.path = path_})->open(Access::own, an_owner());
    ASSERT_EQ(failure(refused), ErrorCode::data_corrupt);
    const std::string& message = refused.error().message;
    const std::size_t begin = message.find("`sed ") + 1;
    ASSERT_NE(begin, 0U) << message;
    const std::string command = message.substr(begin, message.find('`', begin) - begin);
    ASSERT_EQ(std::system((command + " > '" + path_ + "2'").c_str()), 0);
    fs::rename(path_ + "2", path_);
    const auto store = file_store({.path = path_});
    open_own(*store);
    for (const auto& [id, written] : states_[groups].customers) {
      EXPECT_EQ(Json::parse(record_of(*store, id)), Json::parse(written.record));
    }
  }
}

TEST_F(FileDamage, NoFlippedBitBecomesAWrongRecord) {
  std::mt19937_64 random(printed_seed());
  const std::uint64_t rounds = number_from("LIMITR_FLIPS", 4'000);
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    std::string json = json_;
    std::string journal = journal_;
    if (random() % 2 == 0) flip(json, random);
    if (random() % 2 == 0) flip(journal, random);
    write_both(json, journal);
    SCOPED_TRACE("round " + std::to_string(round));
    judge(round % 40 == 0 ? Access::own : Access::read);
  }
  print();
}

TEST_F(FileDamage, NoFlippedBitOfTheJsonAloneBecomesAWrongRecord) {
  std::mt19937_64 random(printed_seed());
  const std::uint64_t rounds = number_from("LIMITR_FLIPS", 4'000);
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    std::string json = final_;
    flip(json, random);
    write_final(json);
    SCOPED_TRACE("round " + std::to_string(round));
    last_ = groups;
    judge(round % 40 == 0 ? Access::own : Access::read);
    EXPECT_EQ(last_, groups);
  }
  print();
}

}  // namespace
}  // namespace limitr::store
