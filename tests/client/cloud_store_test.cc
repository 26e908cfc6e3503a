// SPDX-License-Identifier: Apache-2.0
#include "cloud/cloud_store.h"

#include <future>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_server.h"

namespace limitr::cloud {
namespace {

using store::Access;
using store::Exchanged;
using store::Transaction;
using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::ServerSettings;

constexpr Millis patience{20'000};
const store::Owner nobody{.host = "here", .process = 1, .since = {}};

std::unique_ptr<store::Store> opened(const FakeServer& server) {
  Result<std::unique_ptr<Link>> link =
      Link::connect({.token = "good", .address = server.address(), .log = [](std::string_view) {}});
  if (!link.ok()) std::abort();
  std::unique_ptr<store::Store> store = cloud_store(*std::move(link), {.timeout = patience});
  EXPECT_TRUE(store->open(Access::share, nobody).ok());
  return store;
}

Transaction change(std::uint64_t number, const std::string& id, std::uint64_t version = 0,
                   std::size_t bytes = 0) {
  store::CustomerWrite write{
      .id = id,
      .record = fmt::format(R"({{"id":"{}","text":"{}"}})", id, std::string(bytes, 'a')),
      .alt_ids = {},
      .new_requests = {},
      .first_request = 0};
  return {.number = number, .parts = {{.id = id, .version = version, .write = std::move(write)}}};
}

TEST(CloudStore, KeepsWhatIsExchanged) {
  FakeServer server;
  const auto store = opened(server);
  const auto made = store->exchange({{change(1, "ann"), change(2, "bob")}});
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  ASSERT_EQ(made->size(), 2U);
  EXPECT_TRUE((*made)[0].is_written);
  const std::uint64_t version = (*made)[0].versions.at(0);
  const auto torn = store->exchange({{change(3, "ann"), change(4, "ann", version)}});
  ASSERT_TRUE(torn.ok());
  EXPECT_FALSE((*torn)[0].is_written);
  EXPECT_EQ((*torn)[0].current.at(0).version, version);
  EXPECT_TRUE((*torn)[1].is_written);
  const auto read = store->read(std::vector<std::string>{"ann", "nobody"});
  ASSERT_TRUE(read.ok());
  ASSERT_EQ(read->size(), 1U);
  EXPECT_EQ((*read)[0].record, R"({"id":"ann","text":""})");
  EXPECT_TRUE(store->exchange({})->empty());
  EXPECT_TRUE(store->read({})->empty());
}

TEST(CloudStore, IsOnlyShared) {
  FakeServer server;
  const auto store = opened(server);
  EXPECT_EQ(store->open(Access::own, nobody).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store->open(Access::read, nobody).error().code, ErrorCode::invalid_argument);
  store::Group group;
  group.customers.push_back(*change(1, "ann").parts[0].write);
  EXPECT_EQ(store->commit(group).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store->status()->kind, "cloud");
  ASSERT_NE(store->homes(), nullptr);
}

TEST(CloudStore, EstimatesAreKeptAndThePolicyIsNot) {
  FakeServer server;
  const auto store = opened(server);
  store::Group group;
  group.estimates = R"({"a":1})";
  group.policy = "{}";
  EXPECT_TRUE(store->commit(group).ok());
  Result<std::unique_ptr<Link>> link =
      Link::connect({.token = "good", .address = server.address(), .log = [](std::string_view) {}});
  const auto another = cloud_store(*std::move(link), {.timeout = patience});
  const auto found = another->open(Access::share, nobody);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->estimates, R"({"a":1})");
}

TEST(CloudStore, WhatIsTooLargeForAMessageGoesInSeveral) {
  FakeServer server;
  server.set([](ServerSettings& settings) { settings.welcome.max_message = 2000; });
  const auto store = opened(server);
  std::vector<Transaction> transactions;
  std::vector<std::string> ids;
  for (std::uint64_t i = 1; i <= 21; ++i) {
    ids.push_back(fmt::format("customer {:03} {}", i, std::string(100, 'x')));
    transactions.push_back(change(i, ids.back(), 0, 300));
  }
  const auto made = store->exchange(transactions);
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  ASSERT_EQ(made->size(), 21U);
  for (const Exchanged& result : *made) EXPECT_TRUE(result.is_written);
  EXPECT_GT(server.count("exchange"), 5U);
  ids.push_back(ids.front());
  const auto read = store->read(ids);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->size(), 21U) << "each once";
  EXPECT_GT(server.count("read"), 1U);
}

TEST(CloudStore, ACustomerTooLargeForAMessageIsNamedAndNothingIsSent) {
  FakeServer server;
  server.set([](ServerSettings& settings) { settings.welcome.max_message = 2000; });
  const auto store = opened(server);
  Transaction large = change(2, "big", 0, 2000);
  large.parts.push_back({.id = "small"});
  EXPECT_EQ(store->refusal(change(1, "ann")), std::nullopt);
  const auto refused = store->refusal(large);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, ErrorCode::invalid_argument);
  EXPECT_THAT(refused->message, HasSubstr("`big`"));
  const auto made = store->exchange({{change(1, "ann"), large}});
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().message, refused->message);
  EXPECT_EQ(server.count("exchange"), 0U);
  std::string escaped(300, '"');
  EXPECT_EQ(store->refusal(change(3, escaped, 0, 200)), std::nullopt) << "it is counted as it is";
}

TEST(CloudStore, ScansInPages) {
  FakeServer server;
  const auto store = opened(server);
  std::vector<Transaction> transactions;
  for (std::uint64_t i = 1; i <= 2500; ++i) {
    transactions.push_back(change(i, fmt::format("c{:05}", i)));
  }
  ASSERT_TRUE(store->exchange(transactions).ok());
  std::vector<std::string> ids;
  ASSERT_TRUE(store
                  ->scan([&](store::StoredCustomer customer) {
                    ids.push_back(customer.id);
                    return true;
                  })
                  .ok());
  ASSERT_EQ(ids.size(), 2500U);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(server.count("scan"), 3U);
  std::size_t seen = 0;
  ASSERT_TRUE(store->scan([&](store::StoredCustomer) { return ++seen < 3; }).ok());
  EXPECT_EQ(seen, 3U);
}

// Goal: an exchange whose answer was lost is answered when it is given again.
TEST(CloudStore, AnExchangeThatWasCutOffIsGivenAgainAfterReopening) {
  FakeServer server;
  const auto store = opened(server);
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      wire::Reply reply = server.answer_of(request);
      if (!std::holds_alternative<wire::Exchange>(request.body)) return reply;
      if (server.count("exchange") > 1) return reply;
      return std::nullopt;
    };
  });
  std::future<Result<std::vector<Exchanged>>> asked =
      std::async(std::launch::async, [&] { return store->exchange({{change(1, "ann")}}); });
  ASSERT_FALSE(server.wait_for("exchange", 1).empty());
  server.stop_listening();
  server.cut();
  EXPECT_EQ(asked.get().error().code, ErrorCode::outcome_unknown);
  EXPECT_EQ(store->open(Access::share, nobody).error().code, ErrorCode::unconnected);
  EXPECT_EQ(store->exchange({{change(1, "ann")}}).error().code, ErrorCode::unconnected);
  server.listen_again();
  ASSERT_FALSE(server.wait_for("hello", 2).empty());
  while (!store->open(Access::share, nobody).ok()) std::this_thread::yield();
  const auto again = store->exchange({{change(1, "ann")}});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(store->read(std::vector<std::string>{"ann"})->size(), 1U);
}

TEST(CloudStore, ResultsThatCannotBeItsOwnAreNone) {
  FakeServer server;
  const auto store = opened(server);
  const std::vector<wire::Exchangeds> wrong = {
      {{}}, {{{.is_written = true}}}, {{{.is_written = true, .versions = {1}}, {}}}};
  for (const wire::Exchangeds& results : wrong) {
    server.set([&](ServerSettings& settings) {
      settings.answer = [&](const wire::Request& request) {
        return wire::Reply{.n = request.n, .body = results};
      };
    });
    EXPECT_EQ(store->exchange({{change(1, "ann")}}).error().code, ErrorCode::outcome_unknown);
  }
}

TEST(CloudStore, RecallsByEngineAndIsRecalled) {
  FakeServer server;
  const auto store = opened(server);
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (!std::holds_alternative<wire::RecallHomes>(request.body)) {
        return server.answer_of(request);
      }
      return wire::Reply{.n = request.n, .body = wire::Recalled{{"e2"}}};
    };
  });
  store::Homes& homes = *store->homes();
  EXPECT_TRUE(homes.is_connected());
  EXPECT_TRUE(homes.is_leased());
  const auto lost = homes.recall(std::vector<store::Home>{{.engine = "e1", .customer = "a"},
                                                          {.engine = "e2", .customer = "b"},
                                                          {.engine = "e1", .customer = "c"}});
  ASSERT_TRUE(lost.ok());
  EXPECT_THAT(*lost, ElementsAre("e2"));
  const auto asked = wire::decode_request(server.wait_for("recall", 1));
  const auto& by_engine = std::get<wire::RecallHomes>(asked->body).homes;
  ASSERT_EQ(by_engine.size(), 2U);
  EXPECT_EQ(by_engine[0].engine, "e1");
  EXPECT_THAT(by_engine[0].ids, ElementsAre("a", "c"));

  std::promise<std::vector<std::string>> recalled;
  homes.on_recall([&](std::vector<std::string> ids) { recalled.set_value(std::move(ids)); });
  server.say({.n = {}, .body = wire::RecallCustomers{{"x"}}});
  EXPECT_THAT(recalled.get_future().get(), ElementsAre("x"));
  homes.on_recall(nullptr);
}

TEST(CloudStore, SaysGoodByeWhenItCloses) {
  FakeServer server;
  const auto store = opened(server);
  EXPECT_TRUE(store->close().ok());
  EXPECT_EQ(server.count("bye"), 1U);
  EXPECT_EQ(store->open(Access::share, nobody).error().code, ErrorCode::unconnected);
  EXPECT_EQ(store->close().error().code, ErrorCode::unconnected);
}

}  // namespace
}  // namespace limitr::cloud
