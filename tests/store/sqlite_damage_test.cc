// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "base/test_seed.h"
#include "sqlite_file.h"
#include "store/sqlite/sqlite_store.h"

// Damage is named and kept aside, and never given out for what was written.
// LIMITR_FLIPS asks for more of it, LIMITR_SEED plays one run's choices again.
namespace limitr::store {
namespace {

using ::testing::HasSubstr;

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// With up to three bits flipped, or without its end.
std::string broken(std::string bytes, std::mt19937_64& random) {
  if (random() % 8 == 0) {
    bytes.resize(random() % bytes.size());
    return bytes;
  }
  for (std::uint64_t flips = random() % 3 + 1; flips > 0; --flips) {
    char& byte = bytes[random() % bytes.size()];
    byte = static_cast<char>(byte ^ (1 << random() % 8));
  }
  return bytes;
}

std::string record_text(int number) {
  return "{\"id\":\"customer " + std::to_string(number) + "\",\"value\":\"" +
         std::string(200, static_cast<char>('a' + number)) + "\"}";
}

class SqliteDamage : public ::testing::Test {
protected:
  static constexpr int customers = 20;

  void SetUp() override {
    const auto store = sqlite_store({.path = path_});
    open_own(*store);
    Group group = a_group(1, {});
    for (int i = 0; i < customers; ++i) {
      const std::string id = "customer " + std::to_string(i);
      group.customers.push_back(put(id, record_text(i), {"alt " + std::to_string(i)}));
      group.customers.back().new_requests = {a_request(1), a_request(2)};
    }
    group.estimates = "the estimates";
    group.policy = "the policy";
    must_commit(*store, group);
    for (StoredCustomer& customer : scan_all(*store)) written_[customer.id] = customer;
  }

  /// Replaces the only place where these bytes stand. REQUIRES: nobody has the file open.
  void damage(const std::string& from, const std::string& to) {
    std::string bytes = bytes_of(path_);
    const std::size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos);
    ASSERT_EQ(bytes.find(from, at + 1), std::string::npos);
    bytes.replace(at, to.size(), to);
    write_bytes(path_, bytes);
  }

  std::unique_ptr<Store> opened() {
    auto store = sqlite_store({.path = path_});
    opened_ = open_own(*store);
    return store;
  }

  const TestFolder folder_;
  const std::string path_ = folder_.file("s.db");
  std::map<std::string, StoredCustomer> written_;
  Opened opened_;
};

TEST_F(SqliteDamage, ADamagedRecordIsNamedAndKeptAsideAndTheRestLoads) {
  damage("ddddd\"}", "ddddD\"}");
  const auto store = opened();
  int good = 0;
  for (const StoredCustomer& customer : scan_all(*store)) {
    if (customer.id != "customer 3") {
      EXPECT_EQ(customer.damage, std::nullopt);
      EXPECT_EQ(customer.record, written_[customer.id].record);
      ++good;
      continue;
    }
    ASSERT_TRUE(customer.damage);
    EXPECT_EQ(customer.damage->code, ErrorCode::data_corrupt);
    EXPECT_THAT(customer.damage->message, HasSubstr("customer `customer 3`"));
    EXPECT_EQ(customer.record, "");
  }
  EXPECT_EQ(good, customers - 1);
  EXPECT_TRUE(read_one(*store, "alt 3")->damage);
  const auto kept = "SELECT count(*), kind, id, content LIKE '%ddddD\"}' FROM damaged";
  EXPECT_EQ(SqliteFile(path_).text(kept), "1|customer|customer 3|1");

  // Written anew, it is good again; what was set aside stays.
  must_commit(*store, a_group(2, {put("customer 3", "new")}));
  EXPECT_EQ(record_of(*store, "customer 3"), "new");
  EXPECT_EQ(SqliteFile(path_).text(kept), "1|customer|customer 3|1");
}

TEST_F(SqliteDamage, AReaderNamesDamageAndWritesNothing) {
  damage("ddddd\"}", "ddddD\"}");
  const auto store = sqlite_store({.path = path_});
  ASSERT_TRUE(store->open(Access::read, an_owner()).ok());
  const auto damaged = read_one(*store, "customer 3");
  ASSERT_TRUE(damaged->damage);
  EXPECT_THAT(damaged->damage->message, HasSubstr("whoever opens the store to write keeps a copy"));
  ASSERT_TRUE(store->close().ok());
  EXPECT_EQ(SqliteFile(path_).text("SELECT count(*) FROM damaged"), "0");
}

TEST_F(SqliteDamage, ADamagedRequestLeavesItsCustomerGood) {
  SqliteFile(path_).run(
      "UPDATE requests SET answer = 'no' WHERE customer = 'customer 5' AND number = 1");
  const auto store = opened();
  const auto found = read_one(*store, "customer 5");
  ASSERT_TRUE(found && found->damage);
  EXPECT_EQ(found->damage->code, ErrorCode::data_corrupt);
  EXPECT_EQ(found->record, record_text(5));
  EXPECT_EQ(found->requests, std::vector{a_request(2)});
  EXPECT_EQ(SqliteFile(path_).text("SELECT kind, content FROM damaged"), "request|no");
}

TEST_F(SqliteDamage, AnAlternateIdThatLeadsAstrayLeadsNowhere) {
  SqliteFile(path_).run("UPDATE alt_ids SET customer = 'customer 2' WHERE alt = 'alt 1'");
  const auto store = opened();
  const auto found = read_one(*store, "alt 1");
  ASSERT_TRUE(found && found->damage);
  EXPECT_EQ(found->id, "alt 1");
  EXPECT_EQ(found->record, "");
}

TEST_F(SqliteDamage, ADamagedTextIsNamedWhenTheStoreOpens) {
  damage("the estimates", "the estimatez");
  const auto store = opened();
  EXPECT_EQ(opened_.estimates, std::nullopt);
  EXPECT_EQ(opened_.policy, "the policy");
  ASSERT_EQ(opened_.damage.size(), 1U);
  EXPECT_THAT(opened_.damage[0].message, HasSubstr("`estimates`"));
  EXPECT_EQ(SqliteFile(path_).text("SELECT content FROM damaged"), "the estimatez");
}

TEST_F(SqliteDamage, RowsThatVanishAreMissed) {
  for (const char* sql : {"DELETE FROM customers WHERE id = 'customer 7'",
                          "DELETE FROM requests WHERE customer = 'customer 8'",
                          "DELETE FROM alt_ids WHERE alt = 'alt 9'"}) {
    SqliteFile(path_).run(sql);
    const auto store = opened();
    const auto scanned = store->scan([](const StoredCustomer&) { return true; });
    ASSERT_FALSE(scanned.ok()) << sql;
    EXPECT_EQ(scanned.error().code, ErrorCode::data_corrupt);
    EXPECT_THAT(scanned.error().message, HasSubstr("has lost rows"));
  }
}

TEST_F(SqliteDamage, WithoutAGoodOwnerRowNothingIsWritten) {
  SqliteFile(path_).run("UPDATE owner SET last_group = 0");
  const auto refused = sqlite_store({.path = path_})->open(Access::own, an_owner());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::data_corrupt);
}

/// What a damaged file may do: fail, or name what is damaged. What it gives without a word must be
/// what was written.
class Judge {
public:
  explicit Judge(const std::map<std::string, StoredCustomer>& written) : written_(written) {}

  void judge(const std::string& path) {
    const auto store = sqlite_store({.path = path});
    const auto opened = store->open(Access::own, an_owner());
    if (!opened.ok()) return fault(opened.error());
    if (opened->last_group != 1) ADD_FAILURE() << "another last group";
    if (opened->damage.empty()) {
      EXPECT_EQ(opened->estimates, "the estimates");
      EXPECT_EQ(opened->policy, "the policy");
    }
    const bool is_complete = scan(*store);
    for (const auto& [id, customer] : written_) {
      read(*store, id, id, is_complete);
      read(*store, "alt " + id.substr(9), id, is_complete);
    }
    judge_commit(*store, is_complete);
  }

  int named = 0;
  int failed = 0;
  int unharmed = 0;

private:
  void fault(const Error& error) {
    ++failed;
    EXPECT_FALSE(error.message.empty());
    EXPECT_NE(error.code, ErrorCode::store_owned);
  }

  bool is_good(const StoredCustomer& found) {
    if (found.damage) {
      ++named;
      return false;
    }
    const auto wanted = written_.find(found.id);
    if (wanted == written_.end()) {
      ADD_FAILURE() << "a customer that never was";
      return false;
    }
    EXPECT_EQ(found.record, wanted->second.record);
    EXPECT_EQ(found.version, 1U);
    for (const StoredRequest& request : found.requests) {
      EXPECT_THAT(wanted->second.requests, ::testing::Contains(request));
    }
    return true;
  }

  /// Whether all are there and good.
  bool scan(Store& store) {
    std::size_t good = 0;
    std::size_t requests = 0;
    std::size_t damaged = 0;
    const auto scanned = store.scan([&](const StoredCustomer& customer) {
      is_good(customer) ? ++good : ++damaged;
      requests += customer.requests.size();
      return true;
    });
    if (!scanned.ok()) {
      fault(scanned.error());
      return false;
    }
    EXPECT_GE(good + damaged, written_.size());
    if (damaged > 0) return false;
    ++unharmed;
    EXPECT_EQ(requests, 2 * written_.size());
    return true;
  }

  // Where keys are damaged, looking up may miss what is there: the scan has said so.
  void read(Store& store, const std::string& name, const std::string& id, bool is_complete) {
    const std::string names[] = {name};
    const auto found = store.read(names);
    if (!found.ok()) return fault(found.error());
    if (found->empty()) {
      EXPECT_FALSE(is_complete) << name;
    } else if (is_good(found->front())) {
      EXPECT_EQ(found->front().id, id);
      EXPECT_TRUE(!is_complete || found->front().requests.size() == 2U);
    }
  }

  void judge_commit(Store& store, bool is_complete) {
    const auto committed = store.commit(a_group(2, {put("customer 1", "new")}));
    if (!committed.ok() || !is_complete) return;
    const std::string names[] = {"customer 1"};
    const auto found = store.read(names);
    if (!found.ok()) return fault(found.error());
    ASSERT_EQ(found->size(), 1U);
    if (!found->front().damage) {
      EXPECT_EQ(found->front().record, "new");
    }
  }

  const std::map<std::string, StoredCustomer>& written_;
};

TEST_F(SqliteDamage, NoFlippedBitOrMissingEndBecomesAWrongRecord) {
  std::mt19937_64 random(printed_seed());
  const std::uint64_t rounds = number_from("LIMITR_FLIPS", 2'000);
  const std::string good = bytes_of(path_);
  Judge judge(written_);
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path_ + suffix);
    write_bytes(path_, broken(good, random));
    SCOPED_TRACE("round " + std::to_string(round));
    judge.judge(path_);
  }
  std::printf("unharmed %d, named %d, failed %d\n", judge.unharmed, judge.named, judge.failed);
}

/// A process that commits ten groups and dies, and leaves its journal behind.
void commit_and_die(const std::string& path) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    const auto store = sqlite_store({.path = path});
    if (!store->open(Access::own, an_owner()).ok()) std::_Exit(1);
    for (std::uint64_t i = 2; i < 12; ++i) {
      const std::string text = std::to_string(i);
      if (!store->commit(a_group(i, {put("left", text), put("right", text)})).ok()) std::_Exit(1);
    }
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
}

// What a broken journal gives is a state that there was: groups, whole and in their order.
TEST_F(SqliteDamage, ABrokenJournalGivesAnEarlierState) {
  std::mt19937_64 random(printed_seed());
  const std::uint64_t rounds = number_from("LIMITR_FLIPS", 2'000) / 10;
  commit_and_die(path_);
  const std::string file = bytes_of(path_);
  const std::string journal = bytes_of(path_ + "-wal");
  ASSERT_GT(journal.size(), 10U * 4'096U);
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    std::filesystem::remove(path_ + "-shm");
    write_bytes(path_, file);
    write_bytes(path_ + "-wal", broken(journal, random));
    SCOPED_TRACE("round " + std::to_string(round));
    const auto store = sqlite_store({.path = path_});
    const auto opened = store->open(Access::own, an_owner());
    if (!opened.ok()) continue;
    const std::string wanted = opened->last_group < 2 ? "-" : std::to_string(opened->last_group);
    EXPECT_LE(opened->last_group, 11U);
    EXPECT_EQ(record_of(*store, "left"), wanted);
    EXPECT_EQ(record_of(*store, "right"), wanted);
  }
}

}  // namespace
}  // namespace limitr::store
