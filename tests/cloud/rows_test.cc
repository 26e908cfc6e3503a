// SPDX-License-Identifier: Apache-2.0
#include "server/rows.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "engine/faulty_store.h"

// What a Cloud server makes of a store: the promises of Store::exchange(), also where the store has
// one owner and knows no exchange. spec: cloud.md, The server
namespace limitr::server {
namespace {

using store::Access;
using store::Exchanged;
using store::Part;
using store::put;
using store::removal;
using store::Transaction;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Kind {
  store::Backend backend;
  Access access;
};

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const store::Backend& backend : store::backends()) {
    if (backend.name == "redis_cluster") continue;  // Which refuses what is on two of its servers.
    all.push_back({backend, Access::own});
    if (backend.is_shared) all.push_back({backend, Access::share});
  }
  return all;
}

std::string kind_name(const ::testing::TestParamInfo<Kind>& info) {
  return info.param.backend.name + (info.param.access == Access::own ? "_own" : "_share");
}

Transaction a_transaction(std::vector<Part> parts) { return {.parts = std::move(parts)}; }

Part writes(std::uint64_t version, store::CustomerWrite write) {
  std::string id = write.id;
  return {.id = std::move(id), .version = version, .write = std::move(write)};
}

Part stays(std::string id, std::uint64_t version) {
  return {.id = std::move(id), .version = version};
}

class RowsTest : public ::testing::TestWithParam<Kind> {
protected:
  void SetUp() override { make_rows(); }

  void make_rows() {
    rows_.reset();
    faults_ = std::make_shared<Faults>();
    auto faulty = std::make_unique<FaultyStore>(place_->store(), faults_);
    rows_ = std::make_unique<Rows>(std::move(faulty), GetParam().access, store::an_owner());
    const auto opened = rows_->open();
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  }

  std::vector<Exchanged> exchange(const std::vector<Transaction>& transactions) {
    auto exchanged = rows_->exchange(transactions);
    if (!exchanged.ok()) {
      ADD_FAILURE() << exchanged.error().to_string();
      return std::vector<Exchanged>(transactions.size());
    }
    EXPECT_EQ(exchanged->size(), transactions.size());
    return *std::move(exchanged);
  }

  Exchanged exchange_one(std::vector<Part> parts) {
    return exchange({a_transaction(std::move(parts))}).at(0);
  }

  std::uint64_t write(std::uint64_t version, store::CustomerWrite write) {
    const Exchanged exchanged = exchange_one({writes(version, std::move(write))});
    EXPECT_TRUE(exchanged.is_written);
    return exchanged.versions.size() == 1 ? exchanged.versions[0] : 0;
  }

  std::string record_of(const std::string& id) {
    const auto found = rows_->read({&id, 1});
    EXPECT_TRUE(found.ok());
    return found.ok() && found->size() == 1 ? found->front().record : "-";
  }

  const std::unique_ptr<store::Place> place_ = GetParam().backend.make();
  std::shared_ptr<Faults> faults_;
  std::unique_ptr<Rows> rows_;
};

INSTANTIATE_TEST_SUITE_P(Stores, RowsTest, ::testing::ValuesIn(kinds()), kind_name);

TEST_P(RowsTest, AStaleWriteIsRefusedAndGivenWhatIsCurrent) {
  const std::uint64_t first = write(0, put("ann", "1"));
  store::CustomerWrite newer = put("ann", "2");
  newer.new_requests = {store::a_request(1)};
  const std::uint64_t second = write(first, newer);
  EXPECT_GT(second, first);
  const Exchanged refused = exchange_one({writes(first, put("ann", "3"))});
  EXPECT_FALSE(refused.is_written);
  ASSERT_EQ(refused.current.size(), 1U);
  EXPECT_EQ(refused.current[0].version, second);
  EXPECT_EQ(refused.current[0].record, "2");
  EXPECT_THAT(refused.current[0].requests, ElementsAre(store::a_request(1)));
  EXPECT_EQ(record_of("ann"), "2");
}

TEST_P(RowsTest, AllPartsAreWrittenOrNone) {
  const std::uint64_t ann = write(0, put("ann", "1"));
  const std::uint64_t bob = write(0, put("bob", "1"));
  const Exchanged refused = exchange_one(
      {writes(ann, put("ann", "2")), stays("bob", bob + 1000), writes(0, put("cyd", "1"))});
  EXPECT_FALSE(refused.is_written);
  ASSERT_EQ(refused.current.size(), 1U);
  EXPECT_EQ(refused.current[0].id, "bob");
  EXPECT_EQ(record_of("ann"), "1");
  EXPECT_EQ(record_of("cyd"), "-");
  const Exchanged taken = exchange_one({writes(ann, put("ann", "2")), stays("bob", bob),
                                        writes(0, put("cyd", "1")), stays("dan", 0)});
  ASSERT_TRUE(taken.is_written);
  ASSERT_EQ(taken.versions.size(), 4U);
  EXPECT_GT(taken.versions[0], ann);
  EXPECT_EQ(taken.versions[1], bob);
  EXPECT_GT(taken.versions[2], 0U);
  EXPECT_EQ(taken.versions[3], 0U);
}

// Of one batch, the second that changes a customer is told what the first has made of it.
TEST_P(RowsTest, ASecondChangeInOneBatchIsAConflict) {
  const std::uint64_t ann = write(0, put("ann", "1"));
  const auto exchanged = exchange({a_transaction({writes(ann, put("ann", "first"))}),
                                   a_transaction({writes(ann, put("ann", "second"))}),
                                   a_transaction({writes(0, put("bob", "1"))}),
                                   a_transaction({stays("ann", ann), writes(0, put("cyd", "1"))})});
  EXPECT_TRUE(exchanged[0].is_written);
  EXPECT_FALSE(exchanged[1].is_written);
  ASSERT_EQ(exchanged[1].current.size(), 1U);
  EXPECT_EQ(exchanged[1].current[0].record, "first");
  EXPECT_EQ(exchanged[1].current[0].version, exchanged[0].versions[0]);
  EXPECT_TRUE(exchanged[2].is_written);
  EXPECT_FALSE(exchanged[3].is_written);
  EXPECT_EQ(record_of("ann"), "first");
  EXPECT_EQ(record_of("cyd"), "-");
}

// What goes on from a change of the same batch gets a version of its own.
TEST_P(RowsTest, WhoIsRemovedAndMadeInOneBatchGetsANewVersion) {
  const std::uint64_t ann = write(0, put("ann", "1", {"x"}));
  const auto exchanged = exchange(
      {a_transaction({writes(ann, removal("ann"))}), a_transaction({writes(0, put("ann", "2"))}),
       a_transaction({writes(0, put("x", "3"))}), a_transaction({writes(0, put("ann", "4"))})});
  ASSERT_TRUE(exchanged[0].is_written);
  EXPECT_THAT(exchanged[0].versions, ElementsAre(0U));
  ASSERT_TRUE(exchanged[1].is_written);
  EXPECT_GT(exchanged[1].versions[0], ann);
  EXPECT_TRUE(exchanged[2].is_written) << "nobody has the alternate ID any more";
  ASSERT_FALSE(exchanged[3].is_written);
  EXPECT_EQ(exchanged[3].current.at(0).record, "2");
  EXPECT_EQ(record_of("ann"), "2");
  EXPECT_EQ(record_of("x"), "3");
  const Exchanged same = exchange_one({stays("ann", exchanged[1].versions[0])});
  EXPECT_TRUE(same.is_written);
}

TEST_P(RowsTest, AnAlternateIdIsGivenAsItsCustomer) {
  const std::uint64_t ann = write(0, put("ann", "1", {"x", "y"}));
  const std::uint64_t bob = write(0, put("bob", "1", {"z"}));
  const auto exchanged =
      exchange({a_transaction({writes(0, put("x", "mine"))}),
                a_transaction({stays("ann", ann), stays("z", 0)}), a_transaction({stays("y", ann)}),
                a_transaction({stays("bob", bob), stays("nobody", 0)})});
  for (const std::size_t i : {0U, 1U, 2U}) {
    EXPECT_FALSE(exchanged[i].is_written) << i;
    ASSERT_EQ(exchanged[i].current.size(), 1U) << i;
    EXPECT_EQ(exchanged[i].current[0].id, i == 1 ? "bob" : "ann");
    EXPECT_EQ(exchanged[i].current[0].version, i == 1 ? bob : ann);
  }
  EXPECT_TRUE(exchanged[3].is_written);
  // It passes to another within one batch.
  const auto moved = exchange(
      {a_transaction({writes(bob, put("bob", "2", {"x"})), writes(ann, put("ann", "2", {"y"}))}),
       a_transaction({stays("x", 0)})});
  EXPECT_TRUE(moved[0].is_written);
  EXPECT_EQ(moved[1].current.at(0).id, "bob");
  EXPECT_EQ(record_of("x"), "2");
}

TEST_P(RowsTest, WhatIsNoTransactionIsRefusedAlone) {
  Part other = writes(0, put("ann", "1"));
  other.id = "bob";
  const auto exchanged =
      exchange({a_transaction({stays("ann", 0), stays("ann", 0)}), a_transaction({other}),
                a_transaction({}), a_transaction({writes(0, put("cyd", "1"))})});
  for (const std::size_t i : {0U, 1U}) {
    ASSERT_TRUE(exchanged[i].failure) << i;
    EXPECT_EQ(exchanged[i].failure->code, ErrorCode::invalid_argument);
  }
  EXPECT_TRUE(exchanged[2].is_written);
  EXPECT_TRUE(exchanged[3].is_written);
  EXPECT_EQ(record_of("ann"), "-");
  EXPECT_EQ(record_of("cyd"), "1");
}

TEST_P(RowsTest, AVersionNeverComesAgain) {
  std::uint64_t last = 0;
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t made = write(0, put("ann", "1"));
    EXPECT_GT(made, last);
    last = write(made, put("ann", "2"));
    EXPECT_GT(last, made);
    write(last, removal("ann"));
    if (GetParam().backend.outlives_process) make_rows();
  }
}

TEST_P(RowsTest, AScanGoesPageByPage) {
  for (const char* id : {"a", "b", "c", "d", "e"}) write(0, put(id, id));
  const auto ids = [&](const std::string& after, std::size_t limit, bool has_more) {
    const auto page = rows_->scan(after, limit);
    EXPECT_TRUE(page.ok());
    EXPECT_EQ(page->has_more, has_more);
    std::string all;
    for (const auto& row : page->rows) all += row.id;
    return all;
  };
  EXPECT_EQ(ids("", 2, true), "ab");
  EXPECT_EQ(ids("b", 2, true), "cd");
  EXPECT_EQ(ids("d", 2, false), "e");
  EXPECT_EQ(ids("", 5, false), "abcde");
  EXPECT_EQ(ids("e", 2, false), "");
  const std::string large(Rows::max_page_bytes, 'x');
  write(0, put("f", large));
  write(0, put("g", large));
  EXPECT_EQ(ids("d", 9, true), "e") << "what is large makes pages short";
  EXPECT_EQ(ids("e", 9, true), "f") << "but there is one in each";
}

// Engines that take turns are told what others have made of a row.
TEST_P(RowsTest, WhoWroteARowIsToldWhatOthersMakeOfIt) {
  constexpr server::SessionId one = 1;
  constexpr server::SessionId two = 2;
  const auto exchange_by = [&](server::SessionId engine, std::vector<Part> parts) {
    auto exchanged = rows_->exchange({a_transaction(std::move(parts))}, {&engine, 1});
    EXPECT_TRUE(exchanged.ok());
    return exchanged.ok() ? exchanged->front() : Exchanged();
  };
  store::CustomerWrite made = put("ann", "1");
  made.new_requests = {store::a_request(1)};
  const Exchanged first = exchange_by(one, {writes(0, made)});
  ASSERT_TRUE(first.is_written);
  EXPECT_THAT(rows_->take_changed(), IsEmpty()) << "nobody else has ever written the row";

  const Exchanged second = exchange_by(two, {writes(first.versions[0], put("ann", "2"))});
  ASSERT_TRUE(second.is_written);
  auto changed = rows_->take_changed();
  ASSERT_EQ(changed.size(), 1U) << "who has written this itself is not told";
  EXPECT_EQ(changed[0].engine, one);
  ASSERT_EQ(changed[0].rows.size(), 1U);
  EXPECT_EQ(changed[0].rows[0].version, second.versions[0]);
  EXPECT_EQ(changed[0].rows[0].record, "2");
  EXPECT_THAT(changed[0].rows[0].requests, ElementsAre(store::a_request(1)));
  EXPECT_THAT(rows_->take_changed(), IsEmpty());

  std::uint64_t version = second.versions[0];
  std::size_t told = 1;
  for (int i = 0; i < 9; ++i) {
    const Exchanged next = exchange_by(two, {writes(version, put("ann", "3"))});
    ASSERT_TRUE(next.is_written);
    version = next.versions[0];
    told += rows_->take_changed().size();
  }
  EXPECT_EQ(told, 4U) << "who does not write it any more is left alone";

  const Exchanged back = exchange_by(one, {writes(version, put("ann", "4"))});
  ASSERT_TRUE(back.is_written);
  faults_->refuse = 1;
  const Exchanged refused = exchange_by(two, {writes(version, put("ann", "x"))});
  EXPECT_FALSE(refused.failure) << refused.failure->to_string();
  ASSERT_EQ(refused.current.size(), 1U) << "the store is not asked";
  EXPECT_EQ(refused.current[0].record, "4");
  faults_->refuse = 0;
  EXPECT_THAT(rows_->take_changed(), IsEmpty()) << "it was told when it was refused";

  store::CustomerWrite removed = put("ann", "");
  removed.record.reset();
  EXPECT_TRUE(exchange_by(one, {writes(back.versions[0], removed)}).is_written);
  EXPECT_THAT(rows_->take_changed(), IsEmpty()) << "there is no row any more";
}

TEST_P(RowsTest, AStoreThatTakesNothingIsToldAndTriedAgain) {
  const std::uint64_t ann = write(0, put("ann", "1"));
  faults_->refuse = 1;
  const auto exchanged = exchange({a_transaction({writes(ann, put("ann", "2"))}),
                                   a_transaction({writes(ann, put("ann", "3"))})});
  for (const Exchanged& one : exchanged) {
    EXPECT_FALSE(one.is_written);
    ASSERT_TRUE(one.failure);
    EXPECT_EQ(one.failure->code, ErrorCode::store_unavailable);
    EXPECT_THAT(one.current, IsEmpty()) << "nobody is told of what was not written";
  }
  EXPECT_EQ(record_of("ann"), "1");
  EXPECT_GT(write(ann, put("ann", "2")), ann);
}

TEST_P(RowsTest, WhatBecameOfALostAnswerIsFoundOut) {
  const std::uint64_t ann = write(0, put("ann", "1"));
  faults_->lose_answer = 1;
  const std::uint64_t second = write(ann, put("ann", "2"));
  EXPECT_GT(second, ann);
  EXPECT_EQ(record_of("ann"), "2");
  faults_->lose_question = 1;
  auto lost = rows_->exchange(std::vector{a_transaction({writes(second, put("ann", "3"))})});
  ASSERT_TRUE(lost.ok());
  // A store that is shared was asked again, and took it then.
  if (GetParam().access == Access::own) {
    ASSERT_TRUE(lost->front().failure);
    EXPECT_EQ(lost->front().failure->code, ErrorCode::store_unavailable);
    EXPECT_EQ(record_of("ann"), "2");
    EXPECT_GT(write(second, put("ann", "3")), second);
  } else {
    EXPECT_TRUE(lost->front().is_written);
  }
  EXPECT_EQ(record_of("ann"), "3");
}

TEST_P(RowsTest, WhatNobodyKnowsIsSaidToBeUnknown) {
  const std::uint64_t ann = write(0, put("ann", "1"));
  faults_->lose_answer = 1;
  faults_->goes_when_lost = true;
  const auto lost = rows_->exchange(std::vector{a_transaction({writes(ann, put("ann", "2"))})});
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, ErrorCode::outcome_unknown);
  const std::string id = "ann";
  EXPECT_FALSE(rows_->read({&id, 1}).ok());
  const Exchanged away = exchange_one({writes(ann, put("ann", "3"))});
  ASSERT_TRUE(away.failure);
  EXPECT_EQ(away.failure->code, ErrorCode::store_unavailable);
  faults_->gone = false;
  const Exchanged late = exchange_one({writes(ann, put("ann", "3"))});
  ASSERT_EQ(late.current.size(), 1U);
  EXPECT_EQ(late.current[0].record, "2");
  EXPECT_GT(write(late.current[0].version, put("ann", "3")), late.current[0].version);
}

TEST_P(RowsTest, EstimatesAreKept) {
  EXPECT_FALSE(rows_->estimates()->has_value());
  ASSERT_TRUE(rows_->put_estimates("[1]").ok());
  EXPECT_EQ(*rows_->estimates(), "[1]");
  const std::uint64_t ann = write(0, put("ann", "1"));
  if (!GetParam().backend.outlives_process) return;
  make_rows();
  EXPECT_EQ(*rows_->estimates(), "[1]");
  EXPECT_GT(write(ann, put("ann", "2")), ann);
}

TEST_P(RowsTest, CountsSayWhatWasWritten) {
  const std::uint64_t ann = write(0, put("ann", "1"));
  exchange({a_transaction({writes(ann, put("ann", "2")), writes(0, put("bob", "1"))}),
            a_transaction({writes(ann, put("ann", "3"))}), a_transaction({stays("cyd", 0)})});
  EXPECT_EQ(rows_->counts().transactions, 3U);
  EXPECT_EQ(rows_->counts().customers, 3U);
  EXPECT_EQ(rows_->counts().conflicts, 1U);
  EXPECT_EQ(rows_->counts().commits, 2U);
}

TEST(RowsOfAFile, WhoTakesTheStoreOverIsNoticed) {
  const std::string name = "rows that are taken over";
  const auto backend = store::backends().front();
  const auto place = backend.make();
  Rows rows(place->store(), Access::own, store::an_owner());
  ASSERT_TRUE(rows.open().ok());
  ASSERT_FALSE(rows.is_taken_over());
  // Ownership ends, and another has it.
  ASSERT_TRUE(rows.close().ok());
  const auto other = place->store();
  store::open_own(*other);
  const auto exchanged = rows.exchange(std::vector{a_transaction({writes(0, put("ann", "1"))})});
  ASSERT_TRUE(exchanged.ok());
  EXPECT_TRUE(exchanged->front().failure);
  EXPECT_TRUE(rows.is_taken_over());
}

}  // namespace
}  // namespace limitr::server
