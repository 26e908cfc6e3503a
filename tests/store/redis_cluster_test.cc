// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "redis_cluster.h"
#include "store/redis/cluster.h"
#include "store/redis/intent.h"
#include "store/redis/redis_store.h"
#include "store/redis/rows.h"
#include "store/redis/slots.h"

// What a store in a Redis Cluster does besides what every store does: where its keys are, and what
// happens when slots move, nodes are gone, and parts of a group come late.
namespace limitr::store {
namespace {

using redis::Slot;
using redis::slot_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(RedisClusterSlots, AreThoseOfRedis) {
  for (const std::string id : {"", "ann", "{team}a", "a{team}b", "{}", "{}a", "a}b", "a}b{team}c",
                               "{a{b}c}", "{a", "a{}b{c}", "\xf0\x9f\x90\xb1", "line\nbreak"}) {
    EXPECT_EQ(slot_of(id), RedisCluster::shared().number({"CLUSTER", "KEYSLOT", id})) << id;
  }
  for (std::size_t slot = 0; slot < redis::slot_count; ++slot) {
    ASSERT_EQ(slot_of(redis::tag_of(static_cast<Slot>(slot))), slot);
  }
}

class RedisClusterTest : public ::testing::Test {
protected:
  RedisClusterTest() {
    static int number = 0;
    options_ = cluster_.options("cluster" + std::to_string(++number));
    options_.command_timeout = Millis(1'000);
    store_ = redis_store(options_);
  }
  void TearDown() override { cluster_.wait_until_ok(); }

  /// An ID that begins so, whose slot that node has.
  std::string id_on(std::size_t node, const std::string& begin) const {
    for (int i = 0;; ++i) {
      std::string id = begin + std::to_string(i);
      if (cluster_.node_of(slot_of(id)) == node) return id;
    }
  }
  std::size_t meta_node() const { return cluster_.node_of(slot_of(options_.prefix)); }
  /// Two that have not what the store has once.
  std::pair<std::size_t, std::size_t> other_nodes() const {
    return {(meta_node() + 1) % RedisCluster::size, (meta_node() + 2) % RedisCluster::size};
  }

  /// What the node of that slot answers.
  std::string ask(Slot slot, const std::vector<std::string>& command) {
    return cluster_.node(cluster_.node_of(slot)).ask(command);
  }
  std::string key(std::string_view id, const std::string& name) const {
    return redis::base_of(options_.prefix, slot_of(id)) + ":" + name;
  }
  std::string meta_key(const std::string& name) const {
    return options_.prefix + ":{" + options_.prefix + "}:" + name;
  }

  Opened open_shared(Store& store) {
    Result<Opened> opened = store.open(Access::share, an_owner());
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().to_string());
    return opened.ok() ? *std::move(opened) : Opened{};
  }

  RedisCluster& cluster_ = RedisCluster::shared();
  RedisOptions options_;
  std::unique_ptr<Store> store_;
};

// The slot of a customer is what the document says, whatever its ID is.
TEST_F(RedisClusterTest, AllOfACustomerIsInTheSlotOfItsId) {
  open_own(*store_);
  const std::vector<std::string> ids = {"", "ann", "{team}a", "a}b", "{}", "a}b{team}c", "{a{b}c}"};
  Group group = a_group(1, {});
  for (const std::string& id : ids) {
    group.customers.push_back(put(id, "R", {"alt of " + id}));
    group.customers.back().new_requests = {a_request(1)};
  }
  must_commit(*store_, group);
  for (const std::string& id : ids) {
    const auto keys_of = [&](const std::string& text) {
      const Slot slot = slot_of(text);
      return ask(slot, {"CLUSTER", "GETKEYSINSLOT", std::to_string(slot), "1000"});
    };
    EXPECT_THAT(keys_of(id), AllOf(HasSubstr(options_.prefix + ":s:{"), HasSubstr(":c:" + id),
                                   HasSubstr(":q:" + id)));
    EXPECT_THAT(keys_of("alt of " + id), HasSubstr(":a:alt of " + id));
    EXPECT_EQ(record_of(*store_, "alt of " + id), "R");
  }
}

TEST_F(RedisClusterTest, AnyNodeNamesTheCluster) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1")}));
  for (std::size_t i = 0; i < RedisCluster::size; ++i) {
    const auto reader = redis_store(cluster_.options(options_.prefix, i));
    ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
    EXPECT_EQ(record_of(*reader, "ann"), "A1");
  }
}

TEST_F(RedisClusterTest, SettingsOfEveryNodeAreLookedAt) {
  cluster_.node(2).ask({"CONFIG", "SET", "appendfsync", "everysec"});
  const auto weak = store_->open(Access::own, an_owner());
  ASSERT_EQ(failure(weak), ErrorCode::store_weaker);
  EXPECT_THAT(weak.error().message, HasSubstr("appendfsync everysec"));
  options_.accept_weaker = true;
  EXPECT_TRUE(open_own(*redis_store(options_)).weaker);
  cluster_.node(2).ask({"CONFIG", "SET", "appendfsync", "always"});
  EXPECT_FALSE(open_own(*store_).weaker);
  cluster_.node(2).ask({"CONFIG", "SET", "maxmemory-policy", "volatile-lru"});
  EXPECT_EQ(failure(store_->open(Access::own, an_owner())), ErrorCode::store_weaker)
      << "what sharers have written last expires";
  cluster_.node(2).ask({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
}

TEST_F(RedisClusterTest, TheRightsInTheDocumentsAreEnough) {
  std::ifstream document(LIMITR_DOCS "/stores.md");
  for (std::string line; std::getline(document, line);) {
    if (!line.starts_with("ACL SETUSER")) continue;
    std::istringstream words(line);
    const std::vector<std::string> rights{std::istream_iterator<std::string>(words), {}};
    for (std::size_t i = 0; i < RedisCluster::size; ++i) {
      EXPECT_EQ(cluster_.node(i).ask(rights), "OK") << line;
    }
  }
  options_.prefix = "limitr:" + options_.prefix;
  options_.user = "limitr";
  options_.password = "secret";
  store_ = redis_store(options_);
  open_own(*store_);
  Group group = a_group(1, {put("ann", "A", {"x", "y"}), put("bob", "B")});
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
  EXPECT_EQ(record_of(*store_, "x"), "-");
  open_own(*store_);
  open_shared(*store_);
  for (const std::uint64_t number : {1U, 1U}) {
    EXPECT_TRUE(
        exchange_one(*store_, writes(number, 0, put("{cyd}", "C", {"{cyd}z"}))).value().is_written);
  }
  const std::uint64_t cyd = read_one(*store_, "{cyd}z")->version;
  EXPECT_TRUE(exchange_one(*store_, writes(2, cyd, removal("{cyd}"))).value().is_written);
  EXPECT_TRUE(store_->renew().ok());
  open_own(*store_);
}

TEST_F(RedisClusterTest, AnAlternateIdOfAnotherSlotCountsOnlyWhereTheCustomerHasIt) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1", {"x", "y"}), put("bob", "B1")}));
  must_commit(*store_, a_group(2, {put("ann", "A2", {"y"})}));
  EXPECT_EQ(ask(slot_of("x"), {"GET", key("x", "a:x")}), "-") << "nothing stays behind";
  // As one that was left there by an owner who died.
  ask(slot_of("x"), {"SET", key("x", "a:x"), redis::alt_row("x", "ann")});
  EXPECT_EQ(record_of(*store_, "x"), "-");
  must_commit(*store_, a_group(3, {removal("ann")}));
  EXPECT_EQ(record_of(*store_, "y"), "-");
  must_commit(*store_, a_group(4, {put("bob", "B2", {"y"})}));
  EXPECT_EQ(record_of(*store_, "y"), "B2");
}

TEST_F(RedisClusterTest, WhatASlotThatMovesHasIsWaitedForAndFollowed) {
  const auto [here, there] = other_nodes();
  const std::string ann = id_on(here, "ann");
  const Slot slot = slot_of(ann);
  open_own(*store_);
  must_commit(*store_, a_group(1, {put(ann, "A1"), put("bob", "B1")}));

  cluster_.begin_move(slot, there);
  cluster_.move_keys(slot, there, 1);
  const auto half = store_->commit(a_group(2, {put(ann, "A2"), put("bob", "B2")}));
  EXPECT_EQ(failure(half), ErrorCode::outcome_unknown) << "the group is written, and not applied";
  const std::string ids[] = {ann};
  EXPECT_EQ(failure(store_->read(ids)), ErrorCode::store_unavailable);
  const auto refused = store_->open(Access::own, an_owner());
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("is being moved"));
  cluster_.move_keys(slot, there, 1'000'000);
  cluster_.end_move(slot, there);

  EXPECT_EQ(open_own(*store_).last_group, 2U);
  EXPECT_EQ(record_of(*store_, ann), "A2");
  EXPECT_EQ(record_of(*store_, "bob"), "B2");
  // And back, which nobody notices.
  cluster_.move(slot, here);
  must_commit(*store_, a_group(3, {put(ann, "A3")}));
  EXPECT_EQ(record_of(*store_, ann), "A3");
  EXPECT_EQ(scan_all(*store_).size(), 2U);
}

TEST_F(RedisClusterTest, WhatIsSharedInASlotThatMovesIsNotWrittenHalf) {
  const auto [here, there] = other_nodes();
  const std::string ann = id_on(here, "{team") + "}ann";
  const std::string bob = ann.substr(0, ann.size() - 3) + "bob";
  const Slot slot = slot_of(ann);
  const std::size_t from = cluster_.node_of(slot);
  const std::size_t to = from == there ? here : there;
  open_shared(*store_);
  const auto made = exchange_one(*store_, writes(1, 0, put(ann, "A1")));
  ASSERT_TRUE(made.ok());
  cluster_.begin_move(slot, to);
  cluster_.move_keys(slot, to, 1);
  Transaction both{.number = 2, .parts = {}};
  both.parts.push_back({.id = ann, .version = made->versions[0], .write = put(ann, "A2")});
  both.parts.push_back({.id = bob, .version = 0, .write = put(bob, "B1")});
  const auto moving = exchange_one(*store_, both);
  ASSERT_TRUE(moving.ok() && moving->failure);
  EXPECT_EQ(moving->failure->code, ErrorCode::store_unavailable);
  cluster_.move_keys(slot, to, 1'000'000);
  cluster_.end_move(slot, to);
  open_shared(*store_);
  EXPECT_EQ(record_of(*store_, ann), "A1");
  EXPECT_EQ(record_of(*store_, bob), "-");
  EXPECT_TRUE(exchange_one(*store_, both).value().is_written);
  EXPECT_EQ(record_of(*store_, bob), "B1");
  cluster_.move(slot, from);
}

TEST_F(RedisClusterTest, WhereOneMasterIsGoneTheRestGoesOn) {
  const auto [gone, there] = other_nodes();
  const std::string ann = id_on(gone, "ann");
  const std::string bob = id_on(there, "bob");
  open_shared(*store_);
  const std::uint64_t version =
      exchange_one(*store_, writes(1, 0, put(ann, "A1"))).value().versions.at(0);
  ASSERT_TRUE(exchange_one(*store_, writes(2, 0, put(bob, "B1"))).ok());
  cluster_.node(gone).kill();
  const Transaction together[] = {writes(3, version, put(ann, "A2")),
                                  writes(4, 0, put(id_on(there, "beside"), "B1"))};
  const auto some = store_->exchange(together);
  ASSERT_TRUE(some.ok()) << some.error().to_string();
  ASSERT_TRUE((*some)[0].failure);
  EXPECT_EQ((*some)[0].failure->code, ErrorCode::store_unavailable);
  EXPECT_TRUE((*some)[1].is_written);
  const std::string ids[] = {ann};
  EXPECT_EQ(failure(store_->read(ids)), ErrorCode::store_unavailable);
  open_shared(*store_);
  const std::string next = id_on(there, "next");
  EXPECT_TRUE(exchange_one(*store_, writes(5, 0, put(next, "N1"))).value().is_written);
  EXPECT_EQ(record_of(*store_, bob), "B1");
  cluster_.node(gone).start();
  cluster_.wait_until_ok();
  open_shared(*store_);
  EXPECT_TRUE(exchange_one(*store_, writes(6, version, put(ann, "A2"))).value().is_written);
  EXPECT_EQ(record_of(*store_, ann), "A2");
}

// A connection that the server has closed meanwhile is opened again.
TEST_F(RedisClusterTest, AMasterThatWasRestartedIsFoundAgain) {
  const auto [restarted, there] = other_nodes();
  const std::string ann = id_on(restarted, "ann");
  open_own(*store_);
  must_commit(*store_, a_group(1, {put(ann, "A1")}));
  cluster_.node(restarted).kill();
  cluster_.node(restarted).start();
  cluster_.wait_until_ok();
  must_commit(*store_, a_group(2, {put(ann, "A2")}));
  EXPECT_EQ(record_of(*store_, ann), "A2");
}

class RedisClusterIntents : public RedisClusterTest {
protected:
  /// Commits a group of which a part cannot be applied, and lets its owner die.
  void leave_half(const std::string& ann, const std::string& bob, std::size_t gone) {
    options_.lease = Millis(50);
    auto owner = redis_store(options_);
    open_own(*owner);
    must_commit(*owner, a_group(1, {put(ann, "A1", {"x"}), put(bob, "B1")}));
    cluster_.node(gone).kill();
    EXPECT_EQ(failure(owner->commit(a_group(2, {put(ann, "A2", {"y"}), put(bob, "B2")}))),
              ErrorCode::outcome_unknown);
    cluster_.node(gone).start();
    cluster_.wait_until_ok();
    EXPECT_THAT(ask(slot_of(ann), {"GET", key(ann, "{" + ann + "}:c:" + ann)}), HasSubstr("A1"));
    EXPECT_THAT(ask(slot_of(bob), {"GET", key(bob, "{" + bob + "}:c:" + bob)}), HasSubstr("B2"));
  }
};

TEST_F(RedisClusterIntents, AreFinishedByTheNextOwner) {
  const auto [gone, there] = other_nodes();
  const std::string ann = id_on(gone, "ann");
  const std::string bob = id_on(there, "bob");
  leave_half(ann, bob, gone);
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::own, an_owner()).ok(); }));
  EXPECT_EQ(*store_->last_group(), 2U);
  EXPECT_EQ(record_of(*store_, ann), "A2");
  EXPECT_EQ(record_of(*store_, bob), "B2");
  EXPECT_EQ(record_of(*store_, "x"), "-");
  EXPECT_EQ(record_of(*store_, "y"), "A2");
  EXPECT_EQ(ask(slot_of(options_.prefix), {"LRANGE", meta_key("intent"), "0", "-1"}), "[]");
  must_commit(*store_, a_group(3, {put(ann, "A3")}));
}

TEST_F(RedisClusterIntents, AreFinishedByWhoSharesNext) {
  const auto [gone, there] = other_nodes();
  const std::string ann = id_on(gone, "ann");
  const std::string bob = id_on(there, "bob");
  leave_half(ann, bob, gone);
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::share, an_owner()).ok(); }));
  EXPECT_EQ(record_of(*store_, ann), "A2");
  EXPECT_EQ(record_of(*store_, bob), "B2");
}

// An owner that was paused between its intent and the parts goes on when others have written.
TEST_F(RedisClusterIntents, PartsThatComeLateChangeNothing) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1", {"x"}), put("bob", "B1")}));
  redis::SlotMap map;
  redis::Cluster late(options_, map, /*is_writing=*/false);
  ASSERT_TRUE(late.learn().ok());
  const auto parts_there = [&] {
    redis::Call call{.slot = slot_of(options_.prefix), .script = std::nullopt, .base = {}};
    call.arguments.add("LRANGE").add(meta_key("intent")).add("0").add("-1");
    const auto answer = late.run(call);
    EXPECT_TRUE(answer.ok());
    auto intent = redis::read_intent(answer->value(), "here");
    EXPECT_TRUE(intent.ok());
    return *std::move(intent);
  };
  const auto apply = [&](const redis::Intent& intent) {
    for (const auto& [slot, part] : intent.parts) {
      redis::Call call{.slot = slot,
                       .script = redis::Script::apply,
                       .base = redis::base_of(options_.prefix, slot)};
      call.arguments.add_all(part);
      EXPECT_TRUE(late.run(call).ok());
    }
  };
  const redis::Intent first = parts_there();
  EXPECT_EQ(first.group, 1U);
  EXPECT_EQ(first.parts.size(), 3U) << "of ann, of x and of bob";
  must_commit(*store_, a_group(2, {put("ann", "A2"), removal("bob")}));
  const redis::Intent second = parts_there();
  apply(first);
  EXPECT_EQ(record_of(*store_, "ann"), "A2");
  EXPECT_EQ(record_of(*store_, "bob"), "-") << "nobody comes back";
  EXPECT_EQ(record_of(*store_, "x"), "-");
  ASSERT_TRUE(store_->close().ok());
  // Nor over what is shared since.
  open_shared(*store_);
  EXPECT_TRUE(exchange_one(*store_, writes(1, 2, put("ann", "A3"))).value().is_written);
  apply(second);
  EXPECT_EQ(record_of(*store_, "ann"), "A3");
  EXPECT_EQ(scan_all(*store_).size(), 1U);
}

TEST_F(RedisClusterIntents, ThatAreDamagedAreNotApplied) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("ann", "A1")}));
  ASSERT_TRUE(store_->close().ok());
  ask(slot_of(options_.prefix), {"LSET", meta_key("intent"), "1", "0000000000000000 5 1\nrubbish"});
  const auto refused = store_->open(Access::own, an_owner());
  ASSERT_EQ(failure(refused), ErrorCode::data_corrupt);
  EXPECT_THAT(refused.error().message, HasSubstr("`intent`"));
}

TEST_F(RedisClusterTest, AGroupAfterTheMetaSlotWentBackIsAboveAllThatIsThere) {
  open_own(*store_);
  must_commit(*store_, a_group(7, {put("ann", "A7")}));
  ASSERT_TRUE(store_->close().ok());
  // As by a failover to a replica that had not got the last groups.
  ask(slot_of(options_.prefix), {"HSET", meta_key("owner"), "last_group", "5"});
  ask(slot_of(options_.prefix), {"DEL", meta_key("intent")});
  EXPECT_EQ(open_own(*store_).last_group, 7U);
  must_commit(*store_, a_group(8, {put("ann", "A8")}));
  EXPECT_EQ(record_of(*store_, "ann"), "A8");
}

TEST_F(RedisClusterTest, ASlotThatWentBackIsNoticedByWhoOwns) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("{x}a", "A1"), put("{x}b", "B1"), put("cyd", "C1")}));
  const auto take_back = [&] {
    ask(slot_of("{x}"), {"HSET", key("{x}", "owner"), "last_group", "1"});
  };
  // While it goes on.
  must_commit(*store_, a_group(2, {put("{x}a", "A2")}));
  take_back();
  EXPECT_FALSE(store_->has_lost());
  must_commit(*store_, a_group(3, {put("{x}b", "B3")}));
  EXPECT_TRUE(store_->has_lost());
  EXPECT_FALSE(store_->has_lost()) << "it was told";
  must_commit(*store_, a_group(4, {put("{x}a", "A4"), put("cyd", "C4")}));
  // While it is opened again.
  take_back();
  EXPECT_EQ(open_own(*store_).last_group, 4U);
  EXPECT_TRUE(store_->has_lost());
  // Who comes anew has nothing to compare it with.
  ASSERT_TRUE(store_->close().ok());
  take_back();
  store_ = redis_store(options_);
  open_own(*store_);
  EXPECT_FALSE(store_->has_lost());
}

// As by a failover to a replica that had not got which slots are used.
TEST_F(RedisClusterTest, SlotsThatTheMetaSlotForgotAreFoundAgain) {
  for (const Access access : {Access::own, Access::share}) {
    open_own(*store_);
    must_commit(*store_, a_group(*store_->last_group() + 1, {put("ann", "A1")}));
    ASSERT_TRUE(store_->close().ok());
    ask(slot_of(options_.prefix), {"DEL", meta_key("used")});
    ask(slot_of(options_.prefix), {"HSET", meta_key("owner"), "home", "another node"});
    const auto opened = store_->open(access, an_owner());
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened->customers, 1U);
    EXPECT_EQ(scan_all(*store_).size(), 1U);
    ASSERT_TRUE(store_->close().ok());
  }
}

TEST_F(RedisClusterTest, WhatIsSharedAcrossSlotsIsRefusedByName) {
  open_shared(*store_);
  Transaction across{.number = 1, .parts = {}};
  across.parts.push_back({.id = "ann", .version = 0, .write = put("ann", "A")});
  across.parts.push_back({.id = "bob", .version = 0});
  ASSERT_TRUE(store_->refusal(across));
  const auto refused = exchange_one(*store_, across);
  ASSERT_EQ(failure(refused), ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("`ann` and `bob`"), HasSubstr("give both IDs the same tag")));
  const Transaction alternate = writes(2, 0, put("ann", "A", {"ann@x"}));
  ASSERT_EQ(failure(exchange_one(*store_, alternate)), ErrorCode::invalid_argument);
  EXPECT_EQ(record_of(*store_, "ann"), "-");
  // The store goes on, also with what has the same tag.
  const Transaction tagged = writes(3, 0, put("{t}ann", "A", {"{t}ann@x"}));
  EXPECT_FALSE(store_->refusal(tagged));
  EXPECT_TRUE(exchange_one(*store_, tagged).value().is_written);
  EXPECT_EQ(record_of(*store_, "{t}ann@x"), "A");
}

TEST_F(RedisClusterTest, WhoSharesAndFallsSilentIsFencedOffInEverySlot) {
  options_.lease = Millis(50);
  const auto silent = redis_store(options_);
  open_shared(*silent);
  const std::uint64_t version =
      exchange_one(*silent, writes(1, 0, put("ann", "A1"))).value().versions.at(0);
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::own, an_owner()).ok(); }));
  EXPECT_GE(*store_->last_group(), version);
  EXPECT_EQ(failure(exchange_one(*silent, writes(2, version, put("ann", "late")))),
            ErrorCode::store_fenced);
  ASSERT_TRUE(store_->close().ok());
  // Also in a slot where nobody was yet; and what it did is not what the owner knew.
  const auto other = redis_store(options_);
  open_shared(*other);
  EXPECT_EQ(record_of(*other, "ann"), "A1");
  EXPECT_TRUE(exchange_one(*other, writes(1, version, put("ann", "A2"))).value().is_written);
}

TEST_F(RedisClusterTest, ASharerThatIsFencedOffWritesToNoNewSlot) {
  options_.lease = Millis(50);
  const auto silent = redis_store(options_);
  open_shared(*silent);
  ASSERT_TRUE(comes_true([&] { return store_->open(Access::own, an_owner()).ok(); }));
  EXPECT_EQ(failure(exchange_one(*silent, writes(1, 0, put("bob", "late")))),
            ErrorCode::store_fenced);
  EXPECT_EQ(record_of(*store_, "bob"), "-");
}

// Of as many of the last numbers as there may be transactions at once, in whatever slots they are.
TEST_F(RedisClusterTest, WhatASharerWroteLastIsForgottenWhenItIsOld) {
  open_shared(*store_);
  const auto ring = [&] {
    const std::string keys = ask(slot_of("ann"), {"KEYS", key("ann", "w:*")});  // in brackets
    return ask(slot_of("ann"), {"HKEYS", keys.substr(1, keys.size() - 2)});
  };
  std::uint64_t version =
      exchange_one(*store_, writes(1, 0, put("ann", "A1"))).value().versions.at(0);
  version = exchange_one(*store_, writes(2, version, put("ann", "A2"))).value().versions.at(0);
  EXPECT_EQ(ring(), "[1 last 2]");
  version = exchange_one(*store_, writes(4'098, version, put("ann", "A3"))).value().versions.at(0);
  EXPECT_EQ(ring(), "[2 last]");
  const auto again = exchange_one(*store_, writes(4'098, version - 1, put("ann", "A3")));
  EXPECT_TRUE(again.value().is_written);
  EXPECT_EQ(read_one(*store_, "ann")->version, version);
}

TEST_F(RedisClusterTest, LostKeysAreMissed) {
  open_own(*store_);
  must_commit(*store_, a_group(1, {put("{t}ann", "A"), put("{t}bob", "B")}));
  ask(slot_of("{t}"), {"ZREM", key("{t}", "ids"), "{t}bob"});
  const auto scanned = store_->scan([](const StoredCustomer&) { return true; });
  ASSERT_EQ(failure(scanned), ErrorCode::data_corrupt);
  EXPECT_THAT(scanned.error().message, HasSubstr("1 of 2 customers"));
}

TEST(RedisClusterUrl, HasNoDatabaseButTheFirst) {
  RedisOptions options = RedisCluster::shared().options("limitr");
  options.database = 1;
  const auto refused = redis_store(options)->open(Access::own, an_owner());
  ASSERT_EQ(failure(refused), ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().message, HasSubstr("SELECT is not allowed in cluster mode"));
}

}  // namespace
}  // namespace limitr::store
