// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "base/test_seed.h"
#include "drawn_groups.h"

// What src/store/store.h promises of every store that can be shared. spec: state.md, Stores
namespace limitr::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Transaction a_transaction(std::uint64_t number, std::vector<Part> parts) {
  return {.number = number, .parts = std::move(parts)};
}

/// Writes the customer of this part.
Part writes(std::uint64_t version, CustomerWrite write) {
  std::string id = write.id;
  return {.id = std::move(id), .version = version, .write = std::move(write)};
}

/// Only asks that the customer is still what it was.
Part stays(std::string id, std::uint64_t version) {
  return {.id = std::move(id), .version = version};
}

/// Fails the test where the exchange fails.
std::vector<Exchanged> must_exchange(Store& store, const std::vector<Transaction>& transactions) {
  Result<std::vector<Exchanged>> exchanged = store.exchange(transactions);
  if (!exchanged.ok()) {
    ADD_FAILURE() << exchanged.error().to_string();
    return std::vector<Exchanged>(transactions.size());
  }
  EXPECT_EQ(exchanged->size(), transactions.size());
  exchanged->resize(transactions.size());
  return *std::move(exchanged);
}

Exchanged exchange_one(Store& store, const Transaction& transaction) {
  return must_exchange(store, {transaction}).front();
}

class SharedContract : public ::testing::TestWithParam<Backend> {
protected:
  void SetUp() override {
    open_shared(*store_, "host-one");
    open_shared(*other_, "host-two");
  }

  static void open_shared(Store& store, const std::string& host) {
    const auto opened = store.open(Access::share, an_owner(host));
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  }

  /// Writes one customer, of whom this must be the version now, and gives the new one.
  std::uint64_t write(std::uint64_t version, CustomerWrite write) {
    const Exchanged exchanged =
        exchange_one(*store_, a_transaction(++number_, {writes(version, std::move(write))}));
    EXPECT_TRUE(exchanged.is_written);
    return exchanged.versions.size() == 1 ? exchanged.versions[0] : 0;
  }

  const std::unique_ptr<Place> place_ = GetParam().make();
  std::unique_ptr<Store> store_ = place_->store();
  std::unique_ptr<Store> other_ = place_->store();
  std::uint64_t number_ = 0;  // of the last transaction of `store_`
};

INSTANTIATE_TEST_SUITE_P(Stores, SharedContract, ::testing::ValuesIn(backends_that_are_shared()),
                         backend_name);

TEST_P(SharedContract, WhatOneWritesTheOtherReads) {
  CustomerWrite ann = put("ann", "A1", {"x"});
  ann.new_requests = {a_request(1)};
  const std::uint64_t version = write(0, ann);
  EXPECT_GT(version, 0U);
  const auto found = read_one(*other_, "x");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, "ann");
  EXPECT_EQ(found->version, version);
  EXPECT_EQ(found->record, "A1");
  EXPECT_THAT(found->requests, ElementsAre(a_request(1)));
  const auto all = scan_all(*other_);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].version, version);
}

// Exchanges of several transactions, of one customer each, by both in turn.
TEST_P(SharedContract, WhateverTransactionsSayIsThere) {
  DrawnGroups drawn(printed_seed());
  const std::array<Store*, 2> stores = {store_.get(), other_.get()};
  std::map<std::string, std::uint64_t> versions;
  std::vector<Transaction> waiting;
  std::size_t exchanges = 0;
  const auto exchange = [&] {
    const auto exchanged = must_exchange(*stores[exchanges++ % 2], waiting);
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      ASSERT_TRUE(exchanged[i].is_written) << waiting[i].parts[0].id;
      ASSERT_EQ(exchanged[i].versions.size(), 1U);
      versions[waiting[i].parts[0].id] = exchanged[i].versions[0];
    }
    waiting.clear();
  };
  for (std::uint64_t rounds = number_from("LIMITR_ROUNDS", 300); rounds > 0; --rounds) {
    for (const CustomerWrite& write : drawn.next(1).customers) {
      // The next one of a customer names the version that the last one got.
      const bool is_waiting = std::ranges::any_of(
          waiting, [&](const Transaction& one) { return one.parts[0].id == write.id; });
      if (is_waiting) {
        ASSERT_NO_FATAL_FAILURE(exchange());
      }
      waiting.push_back(a_transaction(++number_, {writes(versions[write.id], write)}));
    }
    if (rounds % 4 != 0) continue;
    ASSERT_NO_FATAL_FAILURE(exchange());
    ASSERT_NO_FATAL_FAILURE(expect_kept(*stores[exchanges % 2], drawn));
  }
}

TEST_P(SharedContract, AWriteGetsAVersionAboveTheLast) {
  const std::uint64_t first = write(0, put("ann", "A1"));
  const std::uint64_t second = write(first, put("ann", "A2"));
  EXPECT_GT(second, first);
  EXPECT_EQ(read_one(*other_, "ann")->version, second);
}

TEST_P(SharedContract, AStaleWriteIsRefusedAndGivenWhatIsCurrent) {
  const std::uint64_t first = write(0, put("ann", "A1"));
  CustomerWrite ann = put("ann", "A2");
  ann.new_requests = {a_request(1), a_request(2)};
  const std::uint64_t second = write(first, ann);
  const Exchanged refused =
      exchange_one(*other_, a_transaction(1, {writes(first, put("ann", "stale"))}));
  EXPECT_FALSE(refused.is_written);
  ASSERT_EQ(refused.current.size(), 1U);
  EXPECT_EQ(refused.current[0].id, "ann");
  EXPECT_EQ(refused.current[0].version, second);
  EXPECT_EQ(refused.current[0].record, "A2");
  EXPECT_THAT(refused.current[0].requests, ElementsAre(a_request(1), a_request(2)));
  EXPECT_EQ(record_of(*store_, "ann"), "A2");
  // Decided again on that, it is written.
  EXPECT_TRUE(
      exchange_one(*other_, a_transaction(2, {writes(second, put("ann", "fresh"))})).is_written);
  EXPECT_EQ(record_of(*store_, "ann"), "fresh");
}

TEST_P(SharedContract, AllPartsAreWrittenOrNone) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  const std::uint64_t bob = write(0, put("bob", "B1"));
  const std::uint64_t cyd = write(0, put("cyd", "C1"));
  const std::uint64_t newer = write(cyd, put("cyd", "C2"));
  const Exchanged refused = exchange_one(
      *other_, a_transaction(1, {writes(ann, put("ann", "A2")), writes(cyd, put("cyd", "no")),
                                 writes(bob, removal("bob")), writes(0, put("dan", "D1"))}));
  EXPECT_FALSE(refused.is_written);
  ASSERT_EQ(refused.current.size(), 1U) << "only what is not as it was";
  EXPECT_EQ(refused.current[0].id, "cyd");
  EXPECT_EQ(record_of(*store_, "ann"), "A1");
  EXPECT_EQ(record_of(*store_, "bob"), "B1");
  EXPECT_EQ(record_of(*store_, "dan"), "-");

  const Exchanged written = exchange_one(
      *other_, a_transaction(2, {writes(ann, put("ann", "A2")), writes(newer, put("cyd", "C3")),
                                 writes(bob, removal("bob")), writes(0, put("dan", "D1"))}));
  ASSERT_TRUE(written.is_written);
  ASSERT_EQ(written.versions.size(), 4U);
  EXPECT_EQ(written.versions[0], read_one(*store_, "ann")->version);
  EXPECT_EQ(written.versions[1], read_one(*store_, "cyd")->version);
  EXPECT_EQ(written.versions[2], 0U);
  EXPECT_EQ(written.versions[3], read_one(*store_, "dan")->version);
  EXPECT_EQ(record_of(*store_, "ann"), "A2");
  EXPECT_EQ(record_of(*store_, "bob"), "-");
  EXPECT_EQ(record_of(*store_, "cyd"), "C3");
  EXPECT_EQ(record_of(*store_, "dan"), "D1");
}

TEST_P(SharedContract, APartThatOnlyStaysHoldsTheOthersBack) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  const std::uint64_t bob = write(0, put("bob", "B1"));
  const Exchanged written = exchange_one(
      *store_, a_transaction(++number_, {stays("ann", ann), writes(bob, put("bob", "B2"))}));
  ASSERT_TRUE(written.is_written);
  EXPECT_EQ(written.versions[0], ann);
  EXPECT_EQ(read_one(*store_, "ann")->version, ann);
  const std::uint64_t newer = write(ann, put("ann", "A2"));
  const Exchanged refused = exchange_one(
      *other_,
      a_transaction(1, {stays("ann", ann), writes(written.versions[1], put("bob", "B3"))}));
  EXPECT_FALSE(refused.is_written);
  ASSERT_EQ(refused.current.size(), 1U);
  EXPECT_EQ(refused.current[0].version, newer);
  EXPECT_EQ(record_of(*store_, "bob"), "B2");
}

TEST_P(SharedContract, ATransactionThatOnlyAsksIsAnswered) {
  const std::uint64_t ann = write(0, put("ann", "A1", {"x"}));
  const Exchanged same =
      exchange_one(*other_, a_transaction(1, {stays("ann", ann), stays("nobody", 0)}));
  EXPECT_TRUE(same.is_written);
  EXPECT_THAT(same.versions, ElementsAre(ann, 0U));
  EXPECT_FALSE(exchange_one(*other_, a_transaction(2, {stays("ann", 0)})).is_written);
  EXPECT_THAT(must_exchange(*other_, {}), IsEmpty());
}

TEST_P(SharedContract, AnIdNobodyHasMustStillBeNobodys) {
  const std::uint64_t ann = write(0, put("ann", "A1", {"x"}));
  // Somebody's own ID, and somebody's alternate one.
  for (const std::string taken : {"ann", "x"}) {
    const Exchanged refused = exchange_one(
        *other_, a_transaction(taken == "ann" ? 1 : 2, {writes(0, put(taken, "mine"))}));
    EXPECT_FALSE(refused.is_written) << taken;
    ASSERT_EQ(refused.current.size(), 1U) << taken;
    EXPECT_EQ(refused.current[0].id, "ann");
    EXPECT_EQ(refused.current[0].version, ann);
    EXPECT_EQ(refused.current[0].record, "A1");
  }
  EXPECT_EQ(scan_all(*store_).size(), 1U);
}

TEST_P(SharedContract, ACustomerThatIsGoneIsGivenAsNobody) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  EXPECT_EQ(write(ann, removal("ann")), 0U);
  const Exchanged refused =
      exchange_one(*other_, a_transaction(1, {writes(ann, put("ann", "back"))}));
  EXPECT_FALSE(refused.is_written);
  ASSERT_EQ(refused.current.size(), 1U);
  EXPECT_EQ(refused.current[0].id, "ann");
  EXPECT_EQ(refused.current[0].version, 0U);
  EXPECT_EQ(refused.current[0].record, "");
  EXPECT_EQ(record_of(*store_, "ann"), "-");
}

TEST_P(SharedContract, ACustomerWhoBecameAnAlternateIdIsGivenAsThatCustomer) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  write(ann, removal("ann"));
  const std::uint64_t bob = write(0, put("bob", "B1", {"ann"}));
  const Exchanged refused =
      exchange_one(*other_, a_transaction(1, {writes(ann, put("ann", "back"))}));
  EXPECT_FALSE(refused.is_written);
  ASSERT_EQ(refused.current.size(), 1U);
  EXPECT_EQ(refused.current[0].id, "bob");
  EXPECT_EQ(refused.current[0].version, bob);
}

TEST_P(SharedContract, AlternateIdsAreThoseOfTheLastWrite) {
  std::uint64_t ann = write(0, put("ann", "A1", {"x", "y"}));
  ann = write(ann, put("ann", "A2", {"y", "z"}));
  EXPECT_EQ(record_of(*other_, "x"), "-");
  EXPECT_EQ(record_of(*other_, "y"), "A2");
  EXPECT_EQ(record_of(*other_, "z"), "A2");
  // From one to another in one transaction, whichever comes first.
  const std::uint64_t bob = write(0, put("bob", "B1", {"x"}));
  const Exchanged moved =
      exchange_one(*other_, a_transaction(1, {writes(ann, put("ann", "A3", {"x"})),
                                              writes(bob, put("bob", "B2", {"y", "z"}))}));
  ASSERT_TRUE(moved.is_written);
  EXPECT_EQ(record_of(*store_, "x"), "A3");
  EXPECT_EQ(record_of(*store_, "y"), "B2");
  EXPECT_EQ(record_of(*store_, "z"), "B2");
}

TEST_P(SharedContract, RemovalTakesAllThatIsKeptOfACustomer) {
  CustomerWrite full = put("ann", "A1", {"x"});
  full.new_requests = {a_request(1)};
  const std::uint64_t ann = write(0, full);
  write(ann, removal("ann"));
  EXPECT_EQ(record_of(*other_, "ann"), "-");
  EXPECT_EQ(record_of(*other_, "x"), "-");
  write(0, put("ann", "again"));
  EXPECT_THAT(read_one(*other_, "ann")->requests, IsEmpty());
  EXPECT_EQ(other_->status()->customers, 1U);
  EXPECT_EQ(other_->status()->requests, 0U);
}

TEST_P(SharedContract, RequestsAreAddedAndForgotten) {
  CustomerWrite full = put("ann", "A1");
  full.new_requests = {a_request(1), a_request(2), a_request(3)};
  const std::uint64_t ann = write(0, full);
  full = put("ann", "A2");
  full.new_requests = {a_request(4)};
  full.first_request = 3;
  write(ann, full);
  EXPECT_THAT(read_one(*other_, "ann")->requests, ElementsAre(a_request(3), a_request(4)));
}

TEST_P(SharedContract, AVersionNeverComesAgain) {
  std::uint64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    const std::uint64_t made = write(0, put("ann", "A"));
    EXPECT_GT(made, last) << "of a customer who is made again";
    last = write(made, put("ann", "A2"));
    EXPECT_GT(last, made);
    write(last, removal("ann"));
  }
}

TEST_P(SharedContract, TransactionsOfOneExchangeFollowEachOther) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  const auto answers =
      must_exchange(*store_, {a_transaction(number_ + 1, {writes(ann, put("ann", "A2"))}),
                              a_transaction(number_ + 2, {writes(ann, put("ann", "stale"))}),
                              a_transaction(number_ + 3, {writes(0, put("bob", "B1"))}),
                              a_transaction(number_ + 4, {writes(0, put("bob", "late"))})});
  EXPECT_TRUE(answers[0].is_written);
  EXPECT_FALSE(answers[1].is_written);
  ASSERT_EQ(answers[1].current.size(), 1U);
  EXPECT_EQ(answers[1].current[0].record, "A2");
  EXPECT_EQ(answers[1].current[0].version, answers[0].versions[0]);
  EXPECT_TRUE(answers[2].is_written);
  EXPECT_FALSE(answers[3].is_written);
  EXPECT_EQ(record_of(*other_, "ann"), "A2");
  EXPECT_EQ(record_of(*other_, "bob"), "B1");
}

TEST_P(SharedContract, ManyTransactionsOfOneExchangeAreEachAnswered) {
  std::vector<Transaction> many;
  for (std::uint64_t i = 0; i < most_transactions; ++i) {
    // Every fourth is refused.
    many.push_back(a_transaction(
        i + 1, {writes(i % 4 == 3 ? 9 : 0, put("customer " + std::to_string(i), "R"))}));
  }
  const auto answers = must_exchange(*store_, many);
  for (std::size_t i = 0; i < many.size(); ++i) {
    ASSERT_EQ(answers[i].is_written, i % 4 != 3) << i;
    ASSERT_EQ(answers[i].is_written ? answers[i].versions.size() : answers[i].current.size(), 1U);
  }
  EXPECT_EQ(scan_all(*other_).size(), most_transactions / 4 * 3);
  // And given again, which nobody can tell from the first time.
  const auto again = must_exchange(*store_, many);
  for (std::size_t i = 0; i < many.size(); ++i) {
    ASSERT_EQ(again[i].is_written, answers[i].is_written) << i;
    ASSERT_EQ(again[i].versions, answers[i].versions) << i;
  }
  many.push_back(a_transaction(most_transactions + 1, {}));
  EXPECT_EQ(failure(store_->exchange(many)), ErrorCode::invalid_argument);
}

// As after an answer that was lost, whatever others have done since.
TEST_P(SharedContract, ATransactionThatIsGivenAgainIsNotWrittenAgain) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  const Transaction transaction = a_transaction(
      ++number_, {writes(ann, put("ann", "A2")), stays("nobody", 0), writes(0, put("bob", "B1"))});
  const Exchanged first = exchange_one(*store_, transaction);
  ASSERT_TRUE(first.is_written);
  for (const bool is_reopened : {false, true}) {
    if (is_reopened) open_shared(*store_, "host-one");
    const Exchanged again = exchange_one(*store_, transaction);
    EXPECT_TRUE(again.is_written);
    EXPECT_EQ(again.versions, first.versions);
    EXPECT_EQ(read_one(*other_, "ann")->version, first.versions[0]);
  }
  std::uint64_t version = first.versions[0];
  for (std::uint64_t i = 1; i <= 50; ++i) {
    const Exchanged others =
        exchange_one(*other_, a_transaction(i, {writes(version, put("ann", "B"))}));
    ASSERT_TRUE(others.is_written);
    version = others.versions[0];
  }
  const Exchanged again = exchange_one(*store_, transaction);
  EXPECT_TRUE(again.is_written);
  EXPECT_EQ(again.versions, first.versions);
  EXPECT_EQ(record_of(*other_, "ann"), "B") << "what others wrote since";
}

TEST_P(SharedContract, ARemovalThatIsGivenAgainTakesNobodyElse) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  const Transaction transaction = a_transaction(++number_, {writes(ann, removal("ann"))});
  ASSERT_TRUE(exchange_one(*store_, transaction).is_written);
  EXPECT_TRUE(exchange_one(*store_, transaction).is_written);
  ASSERT_TRUE(exchange_one(*other_, a_transaction(1, {writes(0, put("ann", "again"))})).is_written);
  const Exchanged again = exchange_one(*store_, transaction);
  EXPECT_TRUE(again.is_written);
  EXPECT_THAT(again.versions, ElementsAre(0U));
  EXPECT_EQ(record_of(*other_, "ann"), "again");
}

TEST_P(SharedContract, NumbersBelongToTheirStoreObject) {
  ASSERT_TRUE(exchange_one(*store_, a_transaction(1, {writes(0, put("ann", "A"))})).is_written);
  ASSERT_TRUE(exchange_one(*other_, a_transaction(1, {writes(0, put("bob", "B"))})).is_written);
  EXPECT_EQ(record_of(*store_, "bob"), "B");
  // A refused one was not written; its number tells nothing.
  const Transaction refused = a_transaction(2, {writes(0, put("bob", "mine"))});
  EXPECT_FALSE(exchange_one(*store_, refused).is_written);
  EXPECT_FALSE(exchange_one(*store_, refused).is_written);
}

TEST_P(SharedContract, TwoThatAddToOneCounterLoseNothing) {
  constexpr int times = 200;
  const auto add = [](Store& store) {
    std::uint64_t number = 0;
    StoredCustomer counter{.id = "counter", .record = "0"};
    for (int i = 0; i < times;) {
      const std::string next = std::to_string(std::stoi(counter.record) + 1);
      const Exchanged exchanged = exchange_one(
          store, a_transaction(++number, {writes(counter.version, put("counter", next))}));
      if (exchanged.is_written) {
        counter.record = next;
        counter.version = exchanged.versions.at(0);
        ++i;
      } else if (exchanged.current.size() == 1) {
        counter = exchanged.current[0];
      } else {
        ADD_FAILURE() << "neither written nor told what is there";
        return;
      }
    }
  };
  std::thread second([&] { add(*other_); });
  add(*store_);
  second.join();
  EXPECT_EQ(record_of(*store_, "counter"), std::to_string(2 * times));
}

TEST_P(SharedContract, TextsAreThoseOfTheLastWhoWroteThem) {
  Group group;
  group.estimates = "E1";
  group.policy = "P1";
  must_commit(*store_, group);
  group.policy.reset();
  group.estimates = "E2";
  must_commit(*other_, group);
  const auto opened = store_->open(Access::share, an_owner("host-one"));
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened->estimates, "E2");
  EXPECT_EQ(opened->policy, "P1");
}

TEST_P(SharedContract, AnOwnerIsToldWhoShares) {
  ASSERT_TRUE(other_->close().ok());
  const auto owner = place_->store();
  const auto refused = owner->open(Access::own, an_owner("owner-host"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::store_owned);
  EXPECT_THAT(refused.error().message, HasSubstr("process 4711 on host-one"));
  write(0, put("ann", "A"));
  ASSERT_TRUE(store_->close().ok());
  open_own(*owner);
  EXPECT_EQ(record_of(*owner, "ann"), "A");
}

TEST_P(SharedContract, WhoSharesIsToldWhoOwns) {
  ASSERT_TRUE(other_->close().ok());
  ASSERT_TRUE(store_->close().ok());
  open_own(*store_);
  const auto refused = other_->open(Access::share, an_owner("host-two"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::store_owned);
  EXPECT_THAT(refused.error().message, HasSubstr("process 4711 on test-host"));
  EXPECT_FALSE(store_->exchange(std::vector{a_transaction(1, {stays("ann", 0)})}).ok())
      << "an owner commits";
  must_commit(*store_, a_group(*store_->last_group() + 1, {put("ann", "A")}));
  ASSERT_TRUE(store_->close().ok());
  open_shared(*other_, "host-two");
  EXPECT_EQ(record_of(*other_, "ann"), "A");
}

TEST_P(SharedContract, TheOnlyOneWhoSharesMayOwnAndShareAgain) {
  ASSERT_TRUE(other_->close().ok());
  open_own(*store_);
  EXPECT_EQ(failure(other_->open(Access::share, an_owner("host-two"))), ErrorCode::store_owned);
  open_shared(*store_, "host-one");
  open_shared(*other_, "host-two");
}

TEST_P(SharedContract, AnOwnerGoesOnAboveWhatWasShared) {
  const std::uint64_t ann = write(0, put("ann", "A1"));
  ASSERT_TRUE(other_->close().ok());
  const Opened opened = open_own(*store_);
  EXPECT_GE(opened.last_group, ann);
  EXPECT_EQ(opened.customers, 1U);
  must_commit(*store_, a_group(opened.last_group + 1, {put("ann", "A2")}));
  open_shared(*store_, "host-one");
  EXPECT_EQ(read_one(*store_, "ann")->version, opened.last_group + 1);
  EXPECT_GT(write(opened.last_group + 1, put("ann", "A3")), opened.last_group + 1);
  EXPECT_GT(write(0, put("bob", "B")), opened.last_group + 1);
}

TEST_P(SharedContract, WhoDoesNotShareExchangesNothing) {
  const std::vector transactions = {a_transaction(1, {writes(0, put("ann", "A"))})};
  const auto closed = place_->store();
  EXPECT_EQ(failure(closed->exchange(transactions)), ErrorCode::store_unavailable);
  const auto reader = place_->store();
  ASSERT_TRUE(reader->open(Access::read, an_owner()).ok());
  EXPECT_FALSE(reader->exchange(transactions).ok());
  ASSERT_TRUE(other_->close().ok());
  EXPECT_FALSE(other_->exchange(transactions).ok());
  EXPECT_EQ(record_of(*store_, "ann"), "-");
}

TEST_P(SharedContract, WhoSharesTellsThatItIsAlive) {
  EXPECT_TRUE(store_->renew().ok());
  EXPECT_TRUE(other_->renew().ok());
}

}  // namespace
}  // namespace limitr::store
