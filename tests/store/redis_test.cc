// SPDX-License-Identifier: Apache-2.0
#include "store/redis/redis_store.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "redis_server.h"

// What the store in Redis does besides the contract.
namespace limitr::store {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A store on the shared server, under a prefix of its own.
class RedisStoreTest : public ::testing::Test {
protected:
  RedisStoreTest() {
    static int number = 0;
    options_ = RedisServer::shared().options("redis" + std::to_string(++number));
    store_ = redis_store(options_);
  }

  std::string ask(const std::vector<std::string>& command) {
    return RedisServer::shared().ask(command);
  }
  std::string key(const std::string& name) const { return options_.prefix + ":" + name; }

  /// How many groups the server has taken without a script.
  static int plain_groups() {
    constexpr std::string_view name = "cmdstat_mset:calls=";
    const std::string stats = RedisServer::shared().ask({"INFO", "commandstats"});
    const std::size_t at = stats.find(name);
    return at == std::string::npos ? 0 : std::atoi(stats.c_str() + at + name.size());
  }

  Error open_error(Store& store, Access access) {
    const auto opened = store.open(access, an_owner());
    EXPECT_FALSE(opened.ok());
    return opened.ok() ? Error{} : opened.error();
  }

  RedisOptions options_;
  std::unique_ptr<Store> store_;
};

TEST(RedisUrl, SaysWhereTheServerIs) {
  const auto full = read_redis_url("redis://ann:p%40ss@db1:6380/3?prefix=shop&lease=500");
  ASSERT_TRUE(full.ok()) << full.error().to_string();
  EXPECT_EQ(full->host, "db1");
  EXPECT_EQ(full->port, 6380);
  EXPECT_EQ(full->user, "ann");
  EXPECT_EQ(full->password, "p@ss");
  EXPECT_EQ(full->database, 3U);
  EXPECT_EQ(full->prefix, "shop");
  EXPECT_EQ(full->lease, Millis(500));
  const auto least = read_redis_url("redis://db1");
  ASSERT_TRUE(least.ok());
  EXPECT_EQ(least->port, 6379);
  EXPECT_EQ(least->prefix, "limitr");
  EXPECT_EQ(least->lease, Millis(10'000));
  EXPECT_EQ(read_redis_url("redis://:secret@[::1]:7000").value().host, "::1");
  EXPECT_EQ(read_redis_url("redis:///2?socket=%2Frun/r.sock").value().socket, "/run/r.sock");
}

TEST(RedisUrl, SaysWhatIsWrong) {
  struct Case {
    const char* url;
    const char* message;
  };
  for (const Case& c : {
           Case{"redis://db1?prefx=a", "no parameter `prefx`: there are prefix, lease and socket"},
           Case{"redis://db1?lease=soon", "`soon` is no lease"},
           Case{"redis://db1?lease=1", "`1` is no lease"},
           Case{"redis://db1?prefix={a}", "`{a}` is no prefix"},
           Case{"redis://db1?prefix=", "`` is no prefix"},
           Case{"redis://db1:port", "`port` is no port"},
           Case{"redis://db1:0", "`0` is no port"},
           Case{"redis://db1:65536", "`65536` is no port"},
           Case{"redis://db1:", "`` is no port"},
           Case{"redis://[::1", "`[::1` is no host"},
           Case{"redis://[::1]6379", "`[::1]6379` is no host"},
           Case{"redis://db1/first", "`first` is no number of a database"},
           Case{"redis://ann@db1", "before the `@` stands no password"},
           Case{"redis://ann:%4@db1", "a `%` in user or password"},
           Case{"redis://", "it names neither host nor socket"},
           Case{"redis://db1?socket=/a", "it names both host and socket"},
           Case{"redis:db1", "a URL begins with redis://"},
           Case{"rediss://db1", "this build has no TLS for Redis"},
       }) {
    const auto read = read_redis_url(c.url);
    ASSERT_FALSE(read.ok()) << c.url;
    EXPECT_EQ(read.error().code, ErrorCode::invalid_argument) << c.url;
    EXPECT_THAT(read.error().message, HasSubstr(c.message)) << c.url;
  }
  EXPECT_THAT(read_redis_url("redis://ann:secret@db1:x").error().message, Not(HasSubstr("secret")));
}

TEST_F(RedisStoreTest, NobodyIsThereToBeReached) {
  options_.socket = "/nowhere/redis.sock";
  const auto store = redis_store(options_);
  const Error error = open_error(*store, Access::own);
  EXPECT_EQ(error.code, ErrorCode::store_unavailable);
  EXPECT_THAT(error.message,
              HasSubstr("`redis:///0?socket=/nowhere/redis.sock` cannot be reached"));
}

TEST_F(RedisStoreTest, AReaderFindsNoStoreWhereThereIsNone) {
  EXPECT_THAT(open_error(*store_, Access::read).message, HasSubstr("there is no store"));
  EXPECT_EQ(ask({"KEYS", key("*")}), "[]");
}

TEST_F(RedisStoreTest, TwoPrefixesAreTwoStores) {
  open_own(*store_);
  options_.prefix += "x";
  const auto other = redis_store(options_);
  open_own(*other);
  must_commit(*store_, a_group(1, {put("ann", "A", {"x"})}));
  must_commit(*other, a_group(1, {put("ann", "B")}));
  EXPECT_EQ(record_of(*store_, "x"), "A");
  EXPECT_EQ(record_of(*other, "x"), "-");
}

TEST_F(RedisStoreTest, AClosedStoreLeavesOnlyItsKeys) {
  open_own(*store_);
  Group group = a_group(1, {put("ann", "A", {"x"}), put("user{acme}1", "B")});
  group.customers[0].new_requests = {a_request(1)};
  group.policy = "P";
  must_commit(*store_, group);
  scan_all(*store_);
  store_.reset();
  for (const char* name :
       {"owner", "ids", "t:policy", "a:x", "{ann}:c:ann", "{ann}:q:ann", "{acme}:c:user{acme}1"}) {
    EXPECT_NE(ask({"TYPE", key(name)}), "none") << name;
    ask({"DEL", key(name)});
  }
  EXPECT_EQ(ask({"KEYS", key("*")}), "[]");
}

TEST_F(RedisStoreTest, ScriptsThatTheServerForgetsAreLoadedAgain) {
  open_own(*store_);
  ask({"SCRIPT", "FLUSH"});
  must_commit(*store_, a_group(1, {put("ann", "A")}));
  ask({"SCRIPT", "FLUSH"});
  EXPECT_EQ(record_of(*store_, "ann"), "A");
  ASSERT_TRUE(store_->open(Access::share, an_owner()).ok());
  ask({"SCRIPT", "FLUSH"});
  std::vector<Transaction> many;
  for (std::uint64_t i = 1; i <= 500; ++i) {
    many.push_back(writes(i, 0, put("customer " + std::to_string(i), "R")));
  }
  const auto exchanged = store_->exchange(many);
  ASSERT_TRUE(exchanged.ok()) << exchanged.error().to_string();
  for (const Exchanged& one : *exchanged) EXPECT_TRUE(one.is_written);
  EXPECT_EQ(scan_all(*store_).size(), 501U);
}

TEST_F(RedisStoreTest, AGroupTooLargeForOneScriptIsStillOneGroup) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("customer 7", "before", {"x"})}));
  Group group = a_group(2, {removal("customer 7")});
  for (int i = 1000; i < 101'000; ++i) {
    group.customers.push_back(put("customer " + std::to_string(i), "record " + std::to_string(i)));
  }
  group.customers.back().new_requests = {a_request(1)};
  must_commit(*store_, group);
  EXPECT_EQ(store_->status()->customers, 100'000U);
  EXPECT_EQ(store_->status()->requests, 1U);
  EXPECT_EQ(record_of(*store_, "x"), "-");
  EXPECT_EQ(record_of(*store_, "customer 4321"), "record 4321");
  EXPECT_EQ(record_of(*store_, "customer 100999"), "record 100999");
  EXPECT_EQ(ask({"TYPE", key("stage")}), "none");
}

TEST_F(RedisStoreTest, WhoIsThereIsWrittenWithoutAScript) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1", {"x"}), put("bob", "B1")}));
  const int before = plain_groups();
  must_commit(*store_, a_group(2, {put("bob", "B2"), put("ann", "A2", {"x"}), put("bob", "B3")}));
  must_commit(*store_, a_group(3, {put("ann", "A3", {"x"})}));
  EXPECT_EQ(plain_groups(), before + 2);
  EXPECT_EQ(read_one(*store_, "x")->record, "A3");
  EXPECT_EQ(read_one(*store_, "x")->version, 3U);
  EXPECT_EQ(read_one(*store_, "bob")->record, "B3");
  EXPECT_EQ(read_one(*store_, "bob")->version, 2U);
  EXPECT_EQ(store_->last_group().value(), 3U);
  EXPECT_EQ(store_->status()->customers, 2U);
  ASSERT_TRUE(store_->renew().ok());
  must_commit(*store_, a_group(4, {put("ann", "A4", {"x"})}));
  EXPECT_EQ(plain_groups(), before + 3) << "also after the lease was renewed";
}

// What only a script knows how to do, with customers who are known.
TEST_F(RedisStoreTest, WhatIsMoreThanARecordIsWrittenByAScript) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1", {"x"}), put("bob", "B1"), put("cyd", "C1")}));
  const int before = plain_groups();
  must_commit(*store_, a_group(2, {put("ann", "A2", {"y"})}));
  EXPECT_EQ(record_of(*store_, "x"), "-");
  EXPECT_EQ(record_of(*store_, "y"), "A2");
  must_commit(*store_, a_group(3, {put("bob", "B3"), put("dan", "D3")}));
  Group group = a_group(4, {put("bob", "B4")});
  group.customers[0].new_requests = {a_request(1)};
  must_commit(*store_, group);
  EXPECT_THAT(read_one(*store_, "bob")->requests, ElementsAre(a_request(1)));
  group = a_group(5, {put("bob", "B5")});
  group.customers[0].first_request = 2;
  must_commit(*store_, group);
  EXPECT_THAT(read_one(*store_, "bob")->requests, IsEmpty());
  EXPECT_EQ(plain_groups(), before);
  group.number = 6;
  must_commit(*store_, group);
  EXPECT_EQ(plain_groups(), before + 1) << "nothing more is to be forgotten";
  must_commit(*store_, a_group(7, {removal("cyd")}));
  must_commit(*store_, a_group(8, {put("cyd", "C8")}));
  group = a_group(9, {put("cyd", "C9")});
  group.estimates = "E";
  must_commit(*store_, group);
  EXPECT_EQ(store_->status()->customers, 4U);
  EXPECT_EQ(scan_all(*store_).size(), 4U);
  EXPECT_EQ(plain_groups(), before + 1);
}

TEST_F(RedisStoreTest, BracesInAnIdLeadToOneKey) {
  open_own(*store_);
  const std::vector<std::string> ids = {"a}b", "{t}c", "{}d", "e{", "}{"};
  for (const std::uint64_t number : {1U, 2U, 3U}) {
    Group group = a_group(number, {});
    for (const std::string& id : ids) group.customers.push_back(put(id, std::to_string(number)));
    must_commit(*store_, group);
  }
  for (const std::string& id : ids) EXPECT_EQ(record_of(*store_, id), "3") << id;
  EXPECT_EQ(RedisServer::shared().texts({"KEYS", key("*:c:*")}).size(), ids.size());
}

TEST_F(RedisStoreTest, APlainGroupOfWhoWasTakenOverIsNotWritten) {
  for (const bool is_watching : {true, false}) {
    open_own(*store_);
    const std::uint64_t last = store_->last_group().value();
    must_commit(*store_, a_group(last + 1, {put("ann", "A1")}));
    const int before = plain_groups();
    if (is_watching) must_commit(*store_, a_group(last + 2, {put("ann", "A1")}));
    ask({"HSET", key("owner"), "holder", "another"});
    EXPECT_EQ(failure(store_->commit(a_group(last + 3, {put("ann", "late")}))),
              ErrorCode::store_fenced);
    EXPECT_EQ(plain_groups(), before + (is_watching ? 1 : 0));
    EXPECT_EQ(record_of(*store_, "ann"), "A1");
    ask({"HSET", key("owner"), "until", "0"});
  }
}

TEST_F(RedisStoreTest, AScanSeesOneMomentOfWhoIsWrittenPlainly) {
  open_own(*store_);
  const auto all = [](std::uint64_t number) {
    Group group = a_group(number, {});
    for (int i = 100; i < 700; ++i) {
      group.customers.push_back(put(std::to_string(i), std::to_string(number)));
    }
    return group;
  };
  must_commit(*store_, all(1));
  must_commit(*store_, all(2));
  const int before = plain_groups();
  int seen = 0;
  ASSERT_TRUE(store_
                  ->scan([&](const StoredCustomer& customer) {
                    if (seen % 200 == 0) {
                      must_commit(*store_, all(3 + static_cast<std::uint64_t>(seen) / 200));
                    }
                    EXPECT_EQ(customer.record, "2");
                    ++seen;
                    return true;
                  })
                  .ok());
  EXPECT_EQ(seen, 600);
  EXPECT_EQ(plain_groups(), before);
  must_commit(*store_, all(6));
  EXPECT_EQ(plain_groups(), before + 1);
}

// Over several pages, of which each was changed before it was read.
TEST_F(RedisStoreTest, AScanOfManyPagesSeesOneMoment) {
  constexpr int count = 1'200;
  open_own(*store_);
  const auto name = [](int i) { return "customer " + std::to_string(10'000 + i); };
  Group group = a_group(1, {});
  for (int i = 0; i < count; ++i) {
    group.customers.push_back(put(name(i), "1"));
    group.customers.back().new_requests = {a_request(1)};
  }
  must_commit(*store_, group);
  int seen = 0;
  const auto scanned = store_->scan([&](const StoredCustomer& customer) {
    if (seen == 0) {
      Group change = a_group(2, {});
      for (int i = 0; i < count; ++i) {
        // Some are changed, some removed, some removed and made again.
        change.customers.push_back(i % 3 == 0 ? put(name(i), "2") : removal(name(i)));
        change.customers.push_back(put(name(i) + "b", "new"));
      }
      must_commit(*store_, change);
      Group again = a_group(3, {});
      for (int i = 1; i < count; i += 3) again.customers.push_back(put(name(i), "3"));
      must_commit(*store_, again);
    }
    EXPECT_EQ(customer.id, name(seen));
    EXPECT_EQ(customer.record, "1");
    EXPECT_EQ(customer.version, 1U);
    EXPECT_THAT(customer.requests, ElementsAre(a_request(1)));
    ++seen;
    return true;
  });
  EXPECT_TRUE(scanned.ok()) << scanned.error().to_string();
  EXPECT_EQ(seen, count);
  EXPECT_EQ(scan_all(*store_).size(), static_cast<std::size_t>(count + count / 3 * 2));
  EXPECT_EQ(ask({"KEYS", key("s:*")}), "[]");
  EXPECT_EQ(ask({"HGET", key("owner"), "scans"}), "0");
}

TEST_F(RedisStoreTest, AScanThatWasForgottenFails) {
  open_own(*store_);
  Group group = a_group(1, {});
  for (int i = 0; i < 600; ++i) group.customers.push_back(put(std::to_string(i), "1"));
  must_commit(*store_, group);
  const auto scanned = store_->scan([&](const StoredCustomer&) {
    ask({"DEL", key("scans")});
    return true;
  });
  EXPECT_EQ(failure(scanned), ErrorCode::store_unavailable);
}

TEST_F(RedisStoreTest, TheScanOfOneThatDiedEndsWithItsLease) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1")}));
  ask({"HSET", key("scans"), "99", "1"});
  ask({"HSET", key("owner"), "scans", "1"});
  ask({"HSET", key("s:99"), "bob", ""});
  must_commit(*store_, a_group(2, {put("ann", "A2")}));
  EXPECT_EQ(ask({"KEYS", key("s*")}), "[]");
}

TEST_F(RedisStoreTest, DamageIsNamedAndNeverGivenOut) {
  open_own(*store_);
  Group group = a_group(1, {put("ann", "A", {"x"}), put("bob", "B"), put("cyd", "C"),
                            put("dan", "D"), put("eve", "E"), put("fay", "F")});
  for (CustomerWrite& write : group.customers) write.new_requests = {a_request(1), a_request(2)};
  group.estimates = "E";
  group.policy = "P";
  must_commit(*store_, group);
  const auto row = [&](const std::string& id) { return key("{" + id + "}:c:" + id); };
  ask({"APPEND", row("ann"), "!"});
  ask({"SETRANGE", row("bob"), "0", "2"});  // another version
  ask({"SET", row("cyd"), "nothing like it"});
  ask({"DEL", row("dan")});
  ask({"DEL", row("eve")});
  ask({"LPUSH", row("eve"), "of another type"});
  ask({"ZADD", key("{fay}:q:fay"), "1", "nothing like it"});
  ask({"APPEND", key("t:policy"), "!"});
  const auto all = scan_all(*store_);
  ASSERT_EQ(all.size(), 6U);
  for (const StoredCustomer& customer : all) {
    ASSERT_TRUE(customer.damage) << customer.id;
    EXPECT_EQ(customer.damage->code, ErrorCode::data_corrupt);
    EXPECT_THAT(customer.damage->message, HasSubstr("`" + customer.id + "`"));
    EXPECT_EQ(customer.record, customer.id == "fay" ? "F" : "") << customer.id;
  }
  EXPECT_THAT(all[5].requests, ElementsAre(a_request(1), a_request(2)));
  EXPECT_TRUE(read_one(*store_, "x")->damage);
  const Opened opened = open_own(*store_);
  EXPECT_EQ(opened.estimates, "E");
  EXPECT_EQ(opened.policy, std::nullopt);
  ASSERT_EQ(opened.damage.size(), 1U);
  EXPECT_THAT(opened.damage[0].message, HasSubstr("t:policy"));
  // Writing makes good.
  for (CustomerWrite& write : group.customers) write.new_requests.clear();
  group.customers.pop_back();
  group.number = 2;
  must_commit(*store_, group);
  for (const StoredCustomer& customer : scan_all(*store_)) {
    EXPECT_EQ(customer.damage.has_value(), customer.id == "fay") << customer.id;
  }
}

TEST_F(RedisStoreTest, AnAlternateIdThatLeadsElsewhereIsNamed) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A", {"x"}), put("bob", "B")}));
  ask({"SETRANGE", key("a:x"), "17", "bob"});
  const auto found = read_one(*store_, "x");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->record, "");
  ASSERT_TRUE(found->damage);
  EXPECT_THAT(found->damage->message, HasSubstr("a:x"));
}

TEST_F(RedisStoreTest, ADamagedCustomerOfASharedStoreIsWrittenOverKnowingly) {
  ASSERT_TRUE(store_->open(Access::share, an_owner()).ok());
  const std::uint64_t first =
      exchange_one(*store_, writes(1, 0, put("ann", "A"))).value().versions[0];
  ask({"SET", key("{ann}:c:ann"), "nothing like it"});
  for (const std::uint64_t version : {std::uint64_t{0}, first}) {
    const auto refused = exchange_one(*store_, writes(2, version, put("ann", "no")));
    ASSERT_TRUE(refused.ok());
    EXPECT_FALSE(refused->is_written);
    EXPECT_TRUE(refused->current.at(0).damage);
  }
  const std::uint64_t damaged = read_one(*store_, "ann")->version;
  const auto written = exchange_one(*store_, writes(3, damaged, put("ann", "good")));
  ASSERT_TRUE(written.ok());
  EXPECT_TRUE(written->is_written);
  EXPECT_EQ(record_of(*store_, "ann"), "good");
  EXPECT_GT(written->versions[0], first);
}

// Goal: a head that says nonsense is damage, and neither tears a group nor stops those beside it.
TEST_F(RedisStoreTest, ADamagedHeadStopsNobody) {
  for (const char* head : {"5 7 99999999999999999999\nx", "5 7 999999999\nx",
                           "99999999999999999999 7 0\nx", "99999999999999999999 7 3\nx"}) {
    SCOPED_TRACE(head);
    options_.prefix += "+";
    const std::string row = key("{bob}:c:bob");
    auto owner = redis_store(options_);
    open_own(*owner);
    must_commit(*owner, a_group(1, {put("ann", "1"), put("bob", "1")}));
    ask({"SET", row, head});
    must_commit(*owner, a_group(2, {put("ann", "2"), put("bob", "2", {"b"})}));
    EXPECT_EQ(record_of(*owner, "ann"), "2");
    EXPECT_EQ(record_of(*owner, "bob"), "2");
    ASSERT_TRUE(owner->close().ok());

    auto sharer = redis_store(options_);
    ASSERT_TRUE(sharer->open(Access::share, an_owner()).ok());
    ask({"SET", row, head});
    const std::uint64_t ann = read_one(*sharer, "ann")->version;
    const std::uint64_t bob = read_one(*sharer, "bob")->version;
    const std::vector<Transaction> both = {writes(1, ann, put("ann", "3")),
                                           writes(2, bob, put("bob", "3"))};
    const auto exchanged = sharer->exchange(both);
    ASSERT_TRUE(exchanged.ok()) << exchanged.error().to_string();
    EXPECT_TRUE(exchanged->at(0).is_written);
    EXPECT_TRUE(exchanged->at(1).is_written);
    EXPECT_EQ(record_of(*sharer, "ann"), "3");
    EXPECT_EQ(record_of(*sharer, "bob"), "3");
    ASSERT_TRUE(sharer->close().ok());
  }
}

TEST_F(RedisStoreTest, VersionsOfThoseWhoShareFollowTheServersClock) {
  constexpr std::uint64_t ahead = 100'000;
  const auto clock = [&]() -> std::uint64_t {
    return std::stoull(ask({"EVAL",
                            "local t = redis.call('TIME') "
                            "return string.format('%d', t[1] * 1000000 + t[2])",
                            "0"}));
  };
  ASSERT_TRUE(store_->open(Access::share, an_owner()).ok());
  std::uint64_t version = 0;
  // The first time the engine has not heard of the clock.
  for (std::uint64_t number = 1; number <= 3; ++number) {
    const std::uint64_t before = clock();
    const std::string record = fmt::format("A{}", number);
    const auto written = exchange_one(*store_, writes(number, version, put("ann", record)));
    ASSERT_TRUE(written.ok() && written->is_written);
    EXPECT_GE(written->versions[0], std::max(before, version + 1));
    EXPECT_LE(written->versions[0], std::max(clock(), version + 1) + ahead);
    version = written->versions[0];
    EXPECT_EQ(read_one(*store_, "ann")->version, version);
    EXPECT_EQ(read_one(*store_, "ann")->record, record);
  }
  // One of ID "bob" was removed whose version was far ahead.
  const std::uint64_t last = clock() + 60'000'000;
  ask({"HSET", key("owner"), "last_group", std::to_string(last)});
  const auto made = exchange_one(*store_, writes(4, 0, put("bob", "B")));
  ASSERT_TRUE(made.ok() && made->is_written);
  EXPECT_GT(made->versions[0], last);
  EXPECT_EQ(read_one(*store_, "bob")->record, "B");
  // Whoever owns numbers groups above all of them.
  ask({"HSET", key("owner"), "last_group", "1"});
  ASSERT_TRUE(store_->close().ok());
  EXPECT_GE(store_->open(Access::own, an_owner()).value().last_group, version);
}

TEST_F(RedisStoreTest, LostKeysAreMissed) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A"), put("bob", "B")}));
  ask({"ZREM", key("ids"), "bob"});
  const auto scanned = store_->scan([](const StoredCustomer&) { return true; });
  ASSERT_EQ(failure(scanned), ErrorCode::data_corrupt);
  EXPECT_THAT(scanned.error().message, HasSubstr("1 of 2 customers"));
  ask({"DEL", key("owner")});
  EXPECT_EQ(failure(store_->commit(a_group(2, {put("ann", "no")}))), ErrorCode::store_fenced);
  EXPECT_EQ(open_error(*store_, Access::own).code, ErrorCode::data_corrupt);
}

TEST_F(RedisStoreTest, KeysOfAnotherKindAreLeftAlone) {
  ask({"SET", key("owner"), "somebody's"});
  const Error error = open_error(*store_, Access::own);
  EXPECT_EQ(error.code, ErrorCode::data_corrupt);
  EXPECT_THAT(error.message, AllOf(HasSubstr("WRONGTYPE"), HasSubstr("use another prefix")));
  EXPECT_EQ(ask({"GET", key("owner")}), "somebody's");
  ask({"DEL", key("owner")});
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1")}));
  ask({"RENAME", key("ids"), key("ids away")});
  ask({"SET", key("ids"), "somebody's"});
  EXPECT_EQ(failure(store_->commit(a_group(2, {put("ann", "A2"), put("bob", "B")}))),
            ErrorCode::data_corrupt);
  ask({"RENAME", key("ids away"), key("ids")});
  EXPECT_EQ(open_own(*store_).last_group, 1U);
  EXPECT_EQ(record_of(*store_, "ann"), "A1") << "half a group";
}

TEST_F(RedisStoreTest, AStoreOfALaterFormIsLeftAlone) {
  ask({"HSET", key("owner"), "schema", "2"});
  EXPECT_THAT(open_error(*store_, Access::own).message, HasSubstr("has the form 2"));
}

TEST_F(RedisStoreTest, WhoFallsSilentIsFencedOff) {
  options_.lease = Millis(50);
  const auto silent = redis_store(options_);
  open_own(*silent);
  must_commit(*silent, a_group(1, {put("ann", "A1")}));
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::own, an_owner("next-host")).ok(); }));
  const auto late = silent->commit(a_group(2, {put("ann", "late")}));
  ASSERT_EQ(failure(late), ErrorCode::store_fenced);
  EXPECT_THAT(late.error().message, HasSubstr("process 4711 on next-host"));
  EXPECT_EQ(record_of(*store_, "ann"), "A1");
  must_commit(*store_, a_group(2, {put("ann", "A2")}));
  EXPECT_EQ(failure(silent->open(Access::own, an_owner())), ErrorCode::store_owned);
  ASSERT_TRUE(silent->close().ok());
  EXPECT_TRUE(store_->renew().ok()) << "who was fenced off has let go of another's";
}

TEST_F(RedisStoreTest, WhoFellSilentAndOpensAgainTakesNothingFromItsSuccessor) {
  options_.lease = Millis(50);
  const auto silent = redis_store(options_);
  open_own(*silent);
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::own, an_owner("next-host")).ok(); }));
  EXPECT_EQ(failure(silent->open(Access::own, an_owner())), ErrorCode::store_owned);
  must_commit(*store_, a_group(1, {put("ann", "A1")}));
}

TEST_F(RedisStoreTest, ALeaseLastsAsLongAsItIsRenewed) {
  options_.lease = Millis(1'000);
  const auto owner = redis_store(options_);
  EXPECT_EQ(open_own(*owner).renew_every, Millis(333));
  const std::string first = ask({"HGET", key("owner"), "until"});
  ASSERT_TRUE(comes_true(
      [&] { return owner->renew().ok() && ask({"HGET", key("owner"), "until"}) > first; }));
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::own, an_owner("next-host")).ok(); }));
  EXPECT_EQ(failure(owner->renew()), ErrorCode::store_fenced);
}

TEST_F(RedisStoreTest, WhoOwnsAndFallsSilentIsFencedOffByWhoShares) {
  options_.lease = Millis(50);
  const auto silent = redis_store(options_);
  open_own(*silent);
  must_commit(*silent, a_group(1, {put("ann", "A1")}));
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::share, an_owner()).ok(); }));
  const auto other = redis_store(options_);
  ASSERT_TRUE(other->open(Access::share, an_owner()).ok());
  EXPECT_EQ(failure(silent->commit(a_group(2, {put("ann", "late")}))), ErrorCode::store_fenced);
  EXPECT_TRUE(exchange_one(*store_, writes(1, 1, put("ann", "A2"))).value().is_written);
  EXPECT_TRUE(other->renew().ok()) << "who shares fences nobody off who shares";
  EXPECT_EQ(record_of(*store_, "ann"), "A2");
}

TEST_F(RedisStoreTest, WhoSharesAndFallsSilentIsFencedOffByAnOwner) {
  options_.lease = Millis(50);
  const auto silent = redis_store(options_);
  ASSERT_TRUE(silent->open(Access::share, an_owner("silent-host")).ok());
  ASSERT_TRUE(exchange_one(*silent, writes(1, 0, put("ann", "A1"))).ok());
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::own, an_owner()).ok(); }));
  const auto late = exchange_one(*silent, writes(2, 0, put("bob", "late")));
  ASSERT_EQ(failure(late), ErrorCode::store_fenced);
  EXPECT_THAT(late.error().message, HasSubstr("on test-host"));
  EXPECT_EQ(record_of(*store_, "bob"), "-");
  // Also after the owner has gone: what it did is not what the other one knows.
  ASSERT_TRUE(store_->close().ok());
  EXPECT_EQ(failure(silent->renew()), ErrorCode::store_unavailable);
  ASSERT_TRUE(silent->open(Access::share, an_owner()).ok());
  EXPECT_TRUE(silent->renew().ok());
}

TEST_F(RedisStoreTest, AnExchangeTellsThatItsSharerIsAlive) {
  ASSERT_TRUE(store_->open(Access::share, an_owner("busy-host")).ok());
  options_.lease = Millis(200);
  const auto busy = redis_store(options_);
  ASSERT_TRUE(store_->close().ok());
  ASSERT_TRUE(busy->open(Access::share, an_owner("busy-host")).ok());
  const auto first = ask({"HVALS", key("sharers")});
  std::uint64_t number = 0;
  EXPECT_TRUE(comes_true([&] {
    const auto exchanged = exchange_one(*busy, {.number = ++number, .parts = {{.id = "nobody"}}});
    return exchanged.ok() && ask({"HVALS", key("sharers")}) != first;
  }));
}

class RedisSettings : public ::testing::Test {
protected:
  Result<Opened> open(bool accept_weaker) {
    RedisOptions options = server_.options();
    options.accept_weaker = accept_weaker;
    options.user = user_;
    options.password = password_;
    store_ = redis_store(options);
    return store_->open(Access::own, an_owner());
  }

  RedisServer server_;
  std::string user_;
  std::string password_;
  std::unique_ptr<Store> store_;
};

TEST_F(RedisSettings, WeakerOnesAreNamed) {
  struct Case {
    std::vector<std::string> setting;
    const char* message;
  };
  for (const Case& c : {
           Case{{"appendfsync", "everysec"}, "appendfsync everysec (always is needed)"},
           Case{{"appendonly", "no"}, "appendonly no (yes is needed)"},
           Case{{"no-appendfsync-on-rewrite", "yes"}, "no-appendfsync-on-rewrite yes (no is"},
           Case{{"maxmemory-policy", "allkeys-lru"}, "maxmemory-policy allkeys-lru"},
       }) {
    server_.ask({"CONFIG", "SET", c.setting[0], c.setting[1]});
    const auto refused = open(false);
    ASSERT_EQ(failure(refused), ErrorCode::store_weaker) << c.message;
    EXPECT_THAT(refused.error().message, HasSubstr(c.message));
    const auto accepted = open(true);
    ASSERT_TRUE(accepted.ok());
    ASSERT_TRUE(accepted->weaker);
    EXPECT_THAT(*accepted->weaker, HasSubstr(c.message));
    EXPECT_EQ(store_->status()->weaker, accepted->weaker);
    server_.ask({"CONFIG", "SET", "appendfsync", "always", "appendonly", "yes",
                 "no-appendfsync-on-rewrite", "no", "maxmemory-policy", "noeviction"});
  }
  const auto strong = open(false);
  ASSERT_TRUE(strong.ok());
  EXPECT_EQ(strong->weaker, std::nullopt);
}

TEST_F(RedisSettings, WhatAUserMayNotSeeCannotBeKnown) {
  server_.ask({"ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-config", "-info"});
  user_ = "app";
  password_ = "secret";
  const auto refused = open(false);
  ASSERT_EQ(failure(refused), ErrorCode::store_weaker);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("does not tell its settings"), HasSubstr("NOPERM")));
  const auto accepted = open(true);
  ASSERT_TRUE(accepted.ok());
  EXPECT_TRUE(accepted->weaker);
  must_commit(*store_, a_group(1, {put("ann", "A")}));
}

TEST_F(RedisSettings, TheRightsInTheDocumentsAreEnough) {
  std::ifstream document(LIMITR_DOCS "/stores.md");
  std::vector<std::string> rights;
  for (std::string line; std::getline(document, line);) {
    if (!line.starts_with("ACL SETUSER")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) rights.push_back(word);
    break;  // Those of a cluster come after it.
  }
  ASSERT_GT(rights.size(), 6U);
  server_.ask(rights);
  user_ = "limitr";
  password_ = "secret";
  const auto opened = open(false);
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  Group group = a_group(1, {put("ann", "A", {"x"}), put("bob", "B")});
  group.customers[0].new_requests = {a_request(1), a_request(2)};
  group.policy = "P";
  must_commit(*store_, group);
  group.customers = {removal("bob"), put("ann", std::string(5'000'000, 'l'), {"y"})};
  group.customers[1].first_request = 2;
  ++group.number;
  ASSERT_TRUE(store_
                  ->scan([&](const StoredCustomer& customer) {
                    if (customer.id == "ann") must_commit(*store_, group);
                    return true;
                  })
                  .ok());
  EXPECT_EQ(store_->status()->customers, 1U);
  ASSERT_TRUE(store_->renew().ok());
  ASSERT_TRUE(store_->open(Access::share, an_owner()).ok());
  for (const std::uint64_t number : {1U, 1U}) {
    EXPECT_TRUE(
        exchange_one(*store_, writes(number, 0, put("cyd", "C", {"z"}))).value().is_written);
  }
  EXPECT_FALSE(exchange_one(*store_, writes(2, 1, put("ann", "A"))).value().is_written);
  const std::uint64_t cyd = read_one(*store_, "z")->version;
  EXPECT_TRUE(exchange_one(*store_, writes(3, cyd, removal("cyd"))).value().is_written);
  ASSERT_TRUE(store_->renew().ok());
  store_.reset();
}

TEST_F(RedisSettings, ARightThatIsMissingShowsBeforeAnythingIsWritten) {
  server_.ask({"ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-zadd"});
  user_ = "app";
  password_ = "secret";
  const auto refused = open(false);
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("give the user the rights"));
  EXPECT_EQ(server_.ask({"TYPE", "limitr:owner"}), "none");
}

TEST_F(RedisSettings, WithoutTheRightsToTransactionsScriptsDoAll) {
  for (const std::string right : {"-multi", "-exec", "-watch", "-mset"}) {
    server_.ask({"FLUSHALL"});
    server_.ask({"ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", right});
    user_ = "app";
    password_ = "secret";
    ASSERT_TRUE(open(false).ok());
    for (const std::uint64_t number : {1U, 2U, 3U}) {
      must_commit(*store_, a_group(number, {put("ann", std::to_string(number))}));
    }
    EXPECT_EQ(record_of(*store_, "ann"), "3") << right;
    EXPECT_EQ(store_->last_group().value(), 3U) << right;
  }
}

TEST_F(RedisSettings, AWrongPasswordIsSaidAndNotShown) {
  server_.ask({"CONFIG", "SET", "requirepass", "right"});
  for (const char* password : {"", "wrong"}) {
    password_ = password;
    const auto refused = open(false);
    ASSERT_EQ(failure(refused), ErrorCode::invalid_argument);
    EXPECT_THAT(refused.error().message,
                AllOf(HasSubstr("look after user and password"), Not(HasSubstr("`wrong`"))));
  }
  password_ = "right";
  EXPECT_TRUE(open(false).ok());
}

TEST_F(RedisSettings, AReplicaIsNoPlaceToWrite) {
  ASSERT_TRUE(open(false).ok());
  must_commit(*store_, a_group(1, {put("ann", "A1")}));
  server_.ask({"REPLICAOF", "127.0.0.1", "1"});
  const auto refused = store_->commit(a_group(2, {put("ann", "A2")}));
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("READONLY"));
  const auto opened = store_->open(Access::own, an_owner());
  ASSERT_EQ(failure(opened), ErrorCode::invalid_argument);
  EXPECT_THAT(opened.error().message, HasSubstr("is a replica: name its primary, 127.0.0.1:1"));
  server_.ask({"REPLICAOF", "NO", "ONE"});
  EXPECT_EQ(open_own(*store_).last_group, 1U);
  EXPECT_EQ(record_of(*store_, "ann"), "A1");
}

TEST_F(RedisSettings, AServerWithoutMemoryTakesNothing) {
  ASSERT_TRUE(open(false).ok());
  must_commit(*store_, a_group(1, {put("ann", "A1"), put("bob", "B1")}));
  server_.ask({"CONFIG", "SET", "maxmemory", "1"});
  const auto refused = store_->commit(a_group(2, {removal("bob"), put("ann", "A2")}));
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("OOM"));
  EXPECT_EQ(record_of(*store_, "ann"), "A1");
  EXPECT_EQ(record_of(*store_, "bob"), "B1");
  server_.ask({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(open_own(*store_).last_group, 1U);
  must_commit(*store_, a_group(2, {put("ann", "A2")}));
  must_commit(*store_, a_group(3, {put("ann", "A3")}));
  server_.ask({"CONFIG", "SET", "maxmemory", "1"});
  const auto also_refused = store_->commit(a_group(4, {put("ann", "A4")}));
  ASSERT_EQ(failure(also_refused), ErrorCode::store_unavailable);
  EXPECT_THAT(also_refused.error().message, HasSubstr("OOM"));
  EXPECT_EQ(record_of(*store_, "ann"), "A3");
}

}  // namespace
}  // namespace limitr::store
