// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "base/test_seed.h"
#include "drawn_groups.h"

// What src/store/store.h promises of every store. spec: state.md, Stores
namespace limitr::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StoreContract : public ::testing::TestWithParam<Backend> {
protected:
  void SetUp() override { open_own(*store_); }

  /// As the next process finds it.
  void reopen() {
    ASSERT_TRUE(store_->close().ok());
    store_ = place_->store();
    opened_ = open_own(*store_);
  }

  std::vector<std::string> ids() {
    std::vector<std::string> found;
    for (const StoredCustomer& customer : scan_all(*store_)) found.push_back(customer.id);
    return found;
  }

  const std::unique_ptr<Place> place_ = GetParam().make();
  std::unique_ptr<Store> store_ = place_->store();
  Opened opened_;
};

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract, ::testing::ValuesIn(backends()), backend_name);

TEST_P(StoreContract, ANewStoreIsEmpty) {
  reopen();
  EXPECT_EQ(opened_.last_group, 0U);
  EXPECT_EQ(opened_.customers, 0U);
  EXPECT_EQ(opened_.estimates, std::nullopt);
  EXPECT_EQ(opened_.policy, std::nullopt);
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_EQ(*store_->last_group(), 0U);
  EXPECT_EQ(record_of(*store_, "ann"), "-");
}

TEST_P(StoreContract, WhatWasCommittedIsThereAfterReopening) {
  Group group = a_group(1, {put("ann", "A1", {"ann@x"}), put("bob", "B1")});
  group.customers[0].new_requests = {a_request(1), a_request(2)};
  group.estimates = "E1";
  group.policy = "P1";
  must_commit(*store_, group);
  must_commit(*store_, a_group(2, {put("bob", "B2")}));
  reopen();
  EXPECT_EQ(opened_.last_group, 2U);
  EXPECT_EQ(opened_.customers, 2U);
  EXPECT_EQ(opened_.estimates, "E1");
  EXPECT_EQ(opened_.policy, "P1");
  const auto all = scan_all(*store_);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].record, "A1");
  EXPECT_EQ(all[0].version, 1U);
  EXPECT_THAT(all[0].requests, ElementsAre(a_request(1), a_request(2)));
  EXPECT_EQ(all[0].damage, std::nullopt);
  EXPECT_EQ(all[1].record, "B2");
  EXPECT_EQ(all[1].version, 2U);
  EXPECT_EQ(record_of(*store_, "ann@x"), "A1");
}

TEST_P(StoreContract, TextsAreReplacedAndKeptByGroupsWithoutThem) {
  Group first = a_group(1, {});
  first.estimates = "E1";
  first.policy = "P1";
  must_commit(*store_, first);
  Group second = a_group(2, {put("ann", "A")});
  second.policy = "P2";
  must_commit(*store_, second);
  reopen();
  EXPECT_EQ(opened_.estimates, "E1");
  EXPECT_EQ(opened_.policy, "P2");
}

TEST_P(StoreContract, AGroupReplacesWhatItNamesAndNothingElse) {
  must_commit(*store_, a_group(1, {put("ann", "A1"), put("bob", "B1"), put("cyd", "C1")}));
  must_commit(*store_, a_group(2, {put("bob", "B2")}));
  EXPECT_EQ(record_of(*store_, "ann"), "A1");
  EXPECT_EQ(record_of(*store_, "bob"), "B2");
  EXPECT_EQ(record_of(*store_, "cyd"), "C1");
  EXPECT_EQ(*store_->last_group(), 2U);
}

TEST_P(StoreContract, ScanGoesInTheOrderOfBytesAndStopsWhenAsked) {
  must_commit(*store_,
              a_group(1, {put("b", "1"), put("", "0"), put("B", "2"), put("\xc3\xa9", "3"),
                          put("ab", "4"), put("a", "5"), put(std::string("a\0b", 3), "6")}));
  EXPECT_THAT(ids(), ElementsAre("", "B", "a", std::string("a\0b", 3), "ab", "b", "\xc3\xa9"));
  int seen = 0;
  ASSERT_TRUE(store_->scan([&](const StoredCustomer&) { return ++seen < 3; }).ok());
  EXPECT_EQ(seen, 3);
}

TEST_P(StoreContract, AScanBeginsAfterAnyId) {
  const std::vector<std::string> all = {
      "",  "B",        "\\x41", "a", std::string("a\0b", 3), "ab", "b", std::string(5'000, 'c'),
      "d", "\xc3\xa9", "\xff"};
  Group group = a_group(1, {});
  for (const std::string& id : all) group.customers.push_back(put(id, "1", {"alt " + id}));
  must_commit(*store_, group);
  const auto after = [&](const std::string& id) {
    std::vector<std::string> found;
    const auto scanned = store_->scan_after(id, [&](const StoredCustomer& customer) {
      found.push_back(customer.id);
      return true;
    });
    EXPECT_TRUE(scanned.ok()) << scanned.error().to_string();
    return found;
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto rest = all.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    EXPECT_EQ(after(all[i]), std::vector<std::string>(rest, all.end())) << i;
  }
  EXPECT_EQ(after("aa"), after(std::string("a\0b", 3))) << "also where nobody has the ID";
  const std::vector<std::string> last = {"\xc3\xa9", "\xff"};
  EXPECT_EQ(after(std::string("d\0", 2)), last);
  EXPECT_THAT(after("\xff\xff"), IsEmpty());
  int seen = 0;
  ASSERT_TRUE(store_->scan_after("a", [&](const StoredCustomer&) { return ++seen < 3; }).ok());
  EXPECT_EQ(seen, 3);
}

TEST_P(StoreContract, AnyTextIsAnId) {
  const std::vector<std::string> odd = {
      std::string("nul\0inside", 10),
      "it's",
      "\"double\"",
      "x'; DROP TABLE customers; --",
      "\xf0\x9f\x90\xb1",
      "100%_",
      "line\nbreak",
      std::string(5'000, 'l'),
      "\xff\xfe not UTF-8",
  };
  Group group = a_group(1, {});
  for (const std::string& id : odd) {
    group.customers.push_back(put(id, "record of " + id, {"alt " + id}));
    group.customers.back().new_requests = {a_request(1, id, "answer of " + id)};
  }
  must_commit(*store_, group);
  reopen();
  for (const std::string& id : odd) {
    for (const std::string& name : {id, "alt " + id}) {
      const auto found = read_one(*store_, name);
      ASSERT_TRUE(found) << name;
      EXPECT_EQ(found->id, id);
      EXPECT_EQ(found->record, "record of " + id);
      EXPECT_THAT(found->requests, ElementsAre(a_request(1, id, "answer of " + id)));
    }
  }
}

TEST_P(StoreContract, ReadGivesEachCustomerOnceAndLeavesOutWhoIsNotThere) {
  must_commit(*store_, a_group(1, {put("ann", "A", {"a1", "a2"}), put("bob", "B", {"b1"})}));
  const std::string wanted[] = {"a1", "nobody", "ann", "b1", "a2"};
  const auto found = store_->read(wanted);
  ASSERT_TRUE(found.ok());
  std::vector<std::string> names;
  for (const StoredCustomer& customer : *found) names.push_back(customer.id);
  std::ranges::sort(names);
  EXPECT_THAT(names, ElementsAre("ann", "bob"));
  EXPECT_THAT(*store_->read({}), IsEmpty());
}

TEST_P(StoreContract, AlternateIdsAreThoseOfTheLastWrite) {
  must_commit(*store_, a_group(1, {put("ann", "A", {"x", "y"})}));
  must_commit(*store_, a_group(2, {put("ann", "A", {"y", "z"})}));
  reopen();
  EXPECT_EQ(record_of(*store_, "x"), "-");
  EXPECT_EQ(record_of(*store_, "y"), "A");
  EXPECT_EQ(record_of(*store_, "z"), "A");
  must_commit(*store_, a_group(3, {put("ann", "A")}));
  EXPECT_EQ(record_of(*store_, "y"), "-");
  EXPECT_EQ(record_of(*store_, "ann"), "A");
}

// Whichever of the two comes first in the group.
TEST_P(StoreContract, AnAlternateIdMovesBetweenCustomersOfOneGroup) {
  must_commit(*store_, a_group(1, {put("ann", "A", {"x", "a"}), put("bob", "B", {"y"})}));
  must_commit(*store_, a_group(2, {put("ann", "A", {"y", "a"}), put("bob", "B", {"x"})}));
  EXPECT_EQ(record_of(*store_, "x"), "B");
  EXPECT_EQ(record_of(*store_, "y"), "A");
  must_commit(*store_, a_group(3, {put("bob", "B", {"y"}), put("ann", "A", {"x"})}));
  reopen();
  EXPECT_EQ(record_of(*store_, "x"), "A");
  EXPECT_EQ(record_of(*store_, "y"), "B");
  EXPECT_EQ(record_of(*store_, "a"), "-");
  EXPECT_EQ(scan_all(*store_).size(), 2U);
}

TEST_P(StoreContract, ARemovedCustomersAlternateIdMayBecomeAnothers) {
  must_commit(*store_, a_group(1, {put("ann", "A", {"x"})}));
  must_commit(*store_, a_group(2, {removal("ann"), put("x", "X", {"ann"})}));
  EXPECT_EQ(record_of(*store_, "x"), "X");
  EXPECT_EQ(record_of(*store_, "ann"), "X");
}

TEST_P(StoreContract, RequestsAreAddedAndForgotten) {
  Group group = a_group(1, {put("ann", "A1")});
  group.customers[0].new_requests = {a_request(1), a_request(2), a_request(3)};
  must_commit(*store_, group);
  group = a_group(2, {put("ann", "A2")});
  group.customers[0].new_requests = {a_request(4)};
  group.customers[0].first_request = 3;
  must_commit(*store_, group);
  EXPECT_THAT(read_one(*store_, "ann")->requests, ElementsAre(a_request(3), a_request(4)));
  must_commit(*store_, a_group(3, {put("ann", "A3")}));
  reopen();
  EXPECT_THAT(scan_all(*store_)[0].requests, ElementsAre(a_request(3), a_request(4)));
  EXPECT_EQ(store_->status()->requests, 2U);
}

// After a failure, an engine writes the same ones again.
TEST_P(StoreContract, ARequestOfTheSameNumberIsReplaced) {
  Group group = a_group(1, {put("ann", "A")});
  group.customers[0].new_requests = {a_request(1), a_request(2)};
  must_commit(*store_, group);
  group.number = 2;
  group.customers[0].new_requests = {a_request(2, "other", "false"), a_request(3)};
  must_commit(*store_, group);
  EXPECT_THAT(read_one(*store_, "ann")->requests,
              ElementsAre(a_request(1), a_request(2, "other", "false"), a_request(3)));
  EXPECT_EQ(store_->status()->requests, 3U);
}

TEST_P(StoreContract, RemovalTakesAllThatIsKeptOfACustomer) {
  Group group = a_group(1, {put("ann", "A", {"x"}), put("bob", "B", {"y"})});
  for (CustomerWrite& write : group.customers) write.new_requests = {a_request(1)};
  must_commit(*store_, group);
  must_commit(*store_, a_group(2, {removal("ann"), removal("nobody")}));
  must_commit(*store_, a_group(3, {put("ann", "again")}));
  reopen();
  EXPECT_EQ(record_of(*store_, "x"), "-");
  EXPECT_EQ(record_of(*store_, "y"), "B");
  EXPECT_THAT(read_one(*store_, "ann")->requests, IsEmpty());
  EXPECT_EQ(read_one(*store_, "bob")->requests.size(), 1U);
  EXPECT_EQ(store_->status()->requests, 1U);
}

// The later one says what is there.
TEST_P(StoreContract, AnIdMayComeTwiceInAGroup) {
  Group group = a_group(1, {put("ann", "A", {"x"}), put("cid", "C")});
  group.customers[0].new_requests = {a_request(1)};
  must_commit(*store_, group);
  group = a_group(2, {removal("ann"), removal("ann"), put("ann", "A2", {"y"}), removal("bob"),
                      put("bob", "B", {"x"}), put("cid", "C2"), removal("cid")});
  group.customers[2].new_requests = {a_request(2)};
  must_commit(*store_, group);
  reopen();
  EXPECT_EQ(record_of(*store_, "ann"), "A2");
  EXPECT_EQ(record_of(*store_, "y"), "A2");
  EXPECT_EQ(record_of(*store_, "x"), "B");
  EXPECT_EQ(record_of(*store_, "cid"), "-");
  EXPECT_THAT(read_one(*store_, "ann")->requests, ElementsAre(a_request(2)));
  EXPECT_EQ(scan_all(*store_).size(), 2U);
  EXPECT_EQ(store_->status()->customers, 2U);
  EXPECT_EQ(store_->status()->requests, 1U);
}

TEST_P(StoreContract, WhateverGroupsSayIsThere) {
  DrawnGroups drawn(printed_seed());
  for (std::uint64_t rounds = number_from("LIMITR_ROUNDS", 100); rounds > 0; --rounds) {
    must_commit(*store_, drawn.next());
    ASSERT_NO_FATAL_FAILURE(expect_kept(*store_, drawn));
    if (rounds % 10 == 0) reopen();
  }
}

TEST_P(StoreContract, ALargeRecordComesBackAsItWas) {
  std::string large(1'000'000, 'x');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * i % 251);
  must_commit(*store_, a_group(1, {put("ann", large), put("bob", "")}));
  reopen();
  EXPECT_TRUE(record_of(*store_, "ann") == large);
  EXPECT_EQ(record_of(*store_, "bob"), "");
}

TEST_P(StoreContract, ALargeGroupIsOneGroup) {
  Group group = a_group(7, {});
  for (int i = 0; i < 10'000; ++i) {
    group.customers.push_back(put("customer " + std::to_string(i), std::to_string(i)));
  }
  must_commit(*store_, group);
  reopen();
  EXPECT_EQ(opened_.customers, 10'000U);
  EXPECT_EQ(opened_.last_group, 7U);
  EXPECT_EQ(record_of(*store_, "customer 1234"), "1234");
  EXPECT_EQ(scan_all(*store_).size(), 10'000U);
}

// Every group moves one between two customers: whoever sees half of one sees another sum.
TEST_P(StoreContract, ReadsAndScansSeeWholeGroupsWhileGroupsAreWritten) {
  constexpr int groups = 300;
  must_commit(*store_, a_group(1, {put("a", "0"), put("m", "0"), put("z", "0")}));
  std::atomic<bool> done = false;
  std::atomic<int> torn = 0;
  const auto are_equal = [](const std::vector<StoredCustomer>& all) {
    return all.size() == 3 && all[0].record == all[1].record && all[1].record == all[2].record;
  };
  std::thread scanner([&] {
    while (!done) torn += !are_equal(scan_all(*store_));
  });
  std::thread reader([&] {
    const std::string ids[] = {"a", "m", "z"};
    while (!done) torn += !are_equal(*store_->read(ids));
  });
  for (int i = 2; i < groups; ++i) {
    const std::string text = std::to_string(i);
    must_commit(*store_, a_group(static_cast<std::uint64_t>(i),
                                 {put("z", text), put("a", text), put("m", text)}));
  }
  done = true;
  scanner.join();
  reader.join();
  EXPECT_EQ(torn, 0);
}

TEST_P(StoreContract, AScanSeesOneMomentHoweverLongItTakes) {
  must_commit(*store_, a_group(1, {put("a", "1"), put("b", "1"), put("c", "1")}));
  std::vector<std::string> records;
  const auto scanned = store_->scan([&](const StoredCustomer& customer) {
    if (records.empty()) {
      must_commit(*store_, a_group(2, {put("b", "2"), removal("c"), put("d", "2")}));
      EXPECT_EQ(record_of(*store_, "b"), "2");
    }
    records.push_back(customer.record);
    return true;
  });
  ASSERT_TRUE(scanned.ok());
  EXPECT_THAT(records, ElementsAre("1", "1", "1"));
}

TEST_P(StoreContract, ASecondOwnerIsToldWhoOwnsTheStore) {
  must_commit(*store_, a_group(1, {put("ann", "A")}));
  const auto other = place_->store();
  const auto refused = other->open(Access::own, an_owner("other-host"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::store_owned);
  EXPECT_THAT(refused.error().message, HasSubstr("process 4711 on test-host"));
  must_commit(*store_, a_group(2, {put("ann", "A2")}));

  ASSERT_TRUE(store_->close().ok());
  EXPECT_EQ(open_own(*other).last_group, 2U);
  EXPECT_EQ(failure(store_->open(Access::own, an_owner())), ErrorCode::store_owned);
}

TEST_P(StoreContract, OwnershipEndsWithTheStore) {
  store_.reset();
  store_ = place_->store();
  open_own(*store_);
}

TEST_P(StoreContract, TheOwnerMayOpenAgain) {
  must_commit(*store_, a_group(1, {put("ann", "A")}));
  EXPECT_EQ(open_own(*store_).last_group, 1U);
  must_commit(*store_, a_group(2, {put("ann", "A2")}));
  EXPECT_EQ(record_of(*store_, "ann"), "A2");
}

TEST_P(StoreContract, ReadersSeeWhatTheOwnerHasWrittenAndWriteNothing) {
  must_commit(*store_, a_group(1, {put("ann", "A1", {"x"})}));
  const auto reader = place_->store();
  const auto opened = reader->open(Access::read, an_owner("reader"));
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  EXPECT_EQ(opened->last_group, 1U);
  EXPECT_EQ(record_of(*reader, "x"), "A1");
  must_commit(*store_, a_group(2, {put("ann", "A2")}));
  EXPECT_EQ(record_of(*reader, "ann"), "A2");
  EXPECT_EQ(*reader->last_group(), 2U);
  EXPECT_FALSE(reader->commit(a_group(3, {put("ann", "no")})).ok());
  EXPECT_EQ(record_of(*store_, "ann"), "A2");
  ASSERT_TRUE(reader->close().ok());
  must_commit(*store_, a_group(3, {put("ann", "A3")}));
}

TEST_P(StoreContract, ANeverOpenedStoreTakesNothing) {
  const auto other = place_->store();
  const auto committed = other->commit(a_group(1, {put("ann", "A")}));
  ASSERT_FALSE(committed.ok());
  EXPECT_EQ(committed.error().code, ErrorCode::store_unavailable);
  EXPECT_EQ(record_of(*store_, "ann"), "-");
}

TEST_P(StoreContract, StatusSaysWhatIsThere) {
  Group group = a_group(5, {put("ann", "A"), put("bob", "B")});
  group.customers[0].new_requests = {a_request(1), a_request(2)};
  must_commit(*store_, group);
  const auto status = store_->status();
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->kind, GetParam().name);
  EXPECT_EQ(status->last_group, 5U);
  EXPECT_EQ(status->customers, 2U);
  EXPECT_EQ(status->requests, 2U);
  EXPECT_GT(status->bytes, 0U);
  ASSERT_TRUE(status->owner);
  EXPECT_EQ(status->owner->host, "test-host");
  EXPECT_EQ(status->owner->process, 4711);
  EXPECT_EQ(status->owner->since, an_owner().since);

  ASSERT_TRUE(store_->close().ok());
  ASSERT_TRUE(store_->open(Access::read, an_owner()).ok());
  EXPECT_EQ(store_->status()->owner, std::nullopt);
  EXPECT_EQ(store_->status()->customers, 2U);
}

}  // namespace
}  // namespace limitr::store
