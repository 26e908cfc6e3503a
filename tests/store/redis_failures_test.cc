// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends.h"
#include "redis_server.h"
#include "socket_server.h"
#include "store/redis/redis_store.h"

// What the store in Redis does with servers that are killed, stopped or cut off, and with what is
// no server.
namespace limitr::store {
namespace {

using ::testing::HasSubstr;

class RedisFailures : public ::testing::Test {
protected:
  /// A store that reaches the server through the proxy.
  std::unique_ptr<Store> store_behind_proxy(Millis timeout = Millis(5'000)) {
    RedisOptions options = server_.options();
    options.socket = proxy_path_;
    options.command_timeout = timeout;
    return redis_store(options);
  }

  RedisServer server_;
  const std::string proxy_path_ = server_.folder() + "/proxy.sock";
  Proxy proxy_{proxy_path_, server_.socket()};
};

TEST_F(RedisFailures, AnAnswerThatIsLostIsUnknownAndTheLastGroupTells) {
  const auto store = store_behind_proxy();
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  must_commit(*store, a_group(2, {put("ann", "A2")}));
  std::uint64_t last = 2;
  // As a transaction, for ann is known; then by a script.
  for (const std::string id : {"ann", "bob"}) {
    proxy_.lose_answer();
    const auto lost = store->commit(a_group(++last, {put(id, "lost")}));
    ASSERT_EQ(failure(lost), ErrorCode::outcome_unknown);
    EXPECT_TRUE(proxy_.has_lost());
    EXPECT_EQ(failure(store->commit(a_group(last + 1, {put(id, "late")}))),
              ErrorCode::store_unavailable);
    EXPECT_EQ(open_own(*store).last_group, last);
    EXPECT_EQ(record_of(*store, id), "lost");
  }
}

TEST_F(RedisFailures, WhatNeverReachedTheServerWasNotWritten) {
  const auto store = store_behind_proxy();
  open_own(*store);
  proxy_.cut(true);
  // The store sees that it is closed before it sends, or, while that is under way, cannot know.
  ErrorCode code = ErrorCode::outcome_unknown;
  EXPECT_TRUE(comes_true([&] {
    const auto refused = store->renew();
    if (!refused.ok()) code = refused.error().code;
    return !refused.ok();
  }));
  EXPECT_EQ(code, ErrorCode::store_unavailable);
  EXPECT_EQ(failure(store->open(Access::own, an_owner())), ErrorCode::store_unavailable);
  proxy_.cut(false);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
}

// The server has taken an owner whom it could not tell.
TEST_F(RedisFailures, WhoLostTheAnswerToOpeningOpensAgainAtOnce) {
  const auto store = store_behind_proxy();
  proxy_.lose_answer_to("\r\nown\r\n");
  EXPECT_EQ(failure(store->open(Access::own, an_owner())), ErrorCode::store_unavailable);
  EXPECT_TRUE(proxy_.has_lost());
  const auto other = redis_store(server_.options());
  EXPECT_EQ(failure(other->open(Access::own, an_owner())), ErrorCode::store_owned);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
}

TEST_F(RedisFailures, TransactionsWhoseAnswerIsLostAreGivenAgain) {
  const auto store = store_behind_proxy();
  const auto other = redis_store(server_.options());
  ASSERT_TRUE(store->open(Access::share, an_owner()).ok());
  ASSERT_TRUE(other->open(Access::share, an_owner()).ok());
  std::vector<Transaction> many;
  for (std::uint64_t i = 1; i <= 200; ++i) {
    many.push_back(writes(i, 0, put("customer " + std::to_string(i), "R")));
  }
  proxy_.lose_answer();
  ASSERT_EQ(failure(store->exchange(many)), ErrorCode::outcome_unknown);
  // All of it came before the answer was lost, or only a part of it.
  const auto written = [&] { return read_one(*other, "customer 1"); };
  ASSERT_TRUE(comes_true([&] { return written().has_value(); }));
  const std::uint64_t version = written()->version;
  ASSERT_TRUE(
      exchange_one(*other, writes(1, version, put("customer 1", "other"))).value().is_written);
  ASSERT_TRUE(store->open(Access::share, an_owner()).ok());
  const auto again = store->exchange(many);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  for (const Exchanged& one : *again) EXPECT_TRUE(one.is_written);
  EXPECT_EQ(again->front().versions, std::vector{version});
  EXPECT_EQ(record_of(*other, "customer 1"), "other");
  EXPECT_EQ(scan_all(*other).size(), 200U);
}

TEST_F(RedisFailures, AServerThatStandsStillIsNotWaitedForForEver) {
  const auto store = store_behind_proxy(Millis(200));
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  must_commit(*store, a_group(2, {put("ann", "A2")}));
  std::uint64_t last = 2;
  // As a transaction, for ann is known; then by a script.
  for (const std::string id : {"ann", "bob"}) {
    server_.pause();
    const auto unknown = store->commit(a_group(++last, {put(id, "late")}));
    EXPECT_EQ(failure(unknown), ErrorCode::outcome_unknown);
    EXPECT_THAT(unknown.error().message, HasSubstr("no answer within 200 ms"));
    const std::string ids[] = {"ann"};
    EXPECT_EQ(failure(store->read(ids)), ErrorCode::store_unavailable);
    EXPECT_EQ(failure(store->open(Access::own, an_owner())), ErrorCode::store_unavailable);
    server_.resume();
    ASSERT_TRUE(comes_true([&] { return store->open(Access::own, an_owner()).ok(); }));
    EXPECT_EQ(*store->last_group(), last);
  }
}

TEST_F(RedisFailures, ReadersComeBackByThemselves) {
  const auto store = redis_store(server_.options());
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  EXPECT_EQ(record_of(*store, "ann"), "A1");
  server_.kill();
  const std::string ids[] = {"ann"};
  EXPECT_EQ(failure(store->read(ids)), ErrorCode::store_unavailable);
  EXPECT_EQ(failure(store->scan([](const StoredCustomer&) { return true; })),
            ErrorCode::store_unavailable);
  EXPECT_EQ(failure(store->commit(a_group(2, {put("ann", "A2")}))), ErrorCode::store_unavailable)
      << "nothing was sent";
  server_.start();
  EXPECT_EQ(record_of(*store, "ann"), "A1");
  EXPECT_EQ(open_own(*store).last_group, 1U);
}

/// One that nobody listens on now.
std::uint16_t free_port() {
  const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
  ::sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::socklen_t size = sizeof address;
  auto* any = reinterpret_cast<::sockaddr*>(&address);
  EXPECT_EQ(::bind(listening, any, size), 0);
  EXPECT_EQ(::getsockname(listening, any, &size), 0);
  ::close(listening);
  return ntohs(address.sin_port);
}

// There, unlike on a Unix socket, what is sent to a server that is gone seems to arrive.
TEST(RedisOverTcp, WhatIsSentToAServerThatIsGoneWasNotWritten) {
  const std::uint16_t port = free_port();
  RedisServer server({"--port", std::to_string(port), "--bind", "127.0.0.1"});
  const auto options = read_redis_url("redis://127.0.0.1:" + std::to_string(port) + "/1");
  ASSERT_TRUE(options.ok());
  const auto store = redis_store(*options);
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1")}));
  EXPECT_EQ(record_of(*store, "ann"), "A1");
  server.kill();
  const auto refused = store->commit(a_group(2, {put("ann", "A2")}));
  ASSERT_EQ(failure(refused), ErrorCode::store_unavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("redis://127.0.0.1:" + std::to_string(port)));
  EXPECT_EQ(failure(store->open(Access::own, an_owner())), ErrorCode::store_unavailable);
  server.start();
  EXPECT_EQ(open_own(*store).last_group, 1U);
}

TEST_F(RedisFailures, WhatIsNoRedisServerIsSaidToBeNone) {
  struct Case {
    const char* why;
    std::function<void(int)> serve;
    const char* message;
  };
  const auto read_some = [](int connection) {
    char bytes[4096];
    return ::read(connection, bytes, sizeof bytes) > 0;
  };
  const auto say = [](int connection, std::string_view text) {
    [[maybe_unused]] const auto said = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
  };
  const Case cases[] = {
      {"another protocol",
       [&](int connection) {
         if (read_some(connection)) say(connection, "HTTP/1.1 400 Bad Request\r\n\r\n");
       },
       "is no Redis server"},
      {"closes at once", [](int) {}, "was lost"},
      {"closes in the middle of an answer",
       [&](int connection) {
         if (read_some(connection)) say(connection, "$100\r\nhal");
       },
       "has closed it"},
      {"never answers",
       [&](int connection) {
         while (read_some(connection)) {
         }
       },
       "no answer within 100 ms"},
      {"never ends to answer",
       [&](int connection) {
         for (read_some(connection); ::send(connection, "+", 1, MSG_NOSIGNAL) == 1;) {
         }
       },
       "no answer within 100 ms"},
      {"answers everything alike",
       [&](int connection) {
         while (read_some(connection)) {
           for (int i = 0; i < 16; ++i) say(connection, "+OK\r\n");
         }
       },
       ""},
      {"says that it loads",
       [&](int connection) {
         while (read_some(connection)) say(connection, "-LOADING Redis is loading\r\n");
       },
       "LOADING Redis is loading"},
  };
  int number = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    RedisOptions options;
    options.socket = server_.folder() + "/fake" + std::to_string(++number);
    options.command_timeout = Millis(100);
    SocketServer fake(options.socket, c.serve);
    const auto store = redis_store(options);
    const auto opened = store->open(Access::own, an_owner());
    EXPECT_FALSE(opened.ok());
    if (opened.ok()) continue;
    EXPECT_NE(opened.error().code, ErrorCode::outcome_unknown);
    EXPECT_THAT(opened.error().message, HasSubstr(c.message));
    EXPECT_EQ(failure(store->commit(a_group(1, {}))), ErrorCode::store_unavailable);
  }
}

/// What a thread knows to be written.
struct Known {
  std::uint64_t number = 0;
  std::vector<std::uint64_t> versions = {0, 0};
};

std::string pair_member(int thread, int member) {
  return "thread " + std::to_string(thread) + " member " + std::to_string(member);
}

Transaction pair_of(int thread, std::uint64_t number, const std::vector<std::uint64_t>& versions) {
  Transaction transaction{.number = number, .parts = {}};
  for (int member = 0; member < 2; ++member) {
    CustomerWrite write = put(pair_member(thread, member), std::to_string(number));
    write.new_requests = {a_request(number)};
    write.first_request = number;
    const std::string id = write.id;
    transaction.parts.push_back({.id = id,
                                 .version = versions[static_cast<std::size_t>(member)],
                                 .write = std::move(write)});
  }
  return transaction;
}

TEST_F(RedisFailures, AServerThatIsKilledUnderExchangesLosesNothingAnswered) {
  constexpr int threads = 3;
  std::vector<std::unique_ptr<Store>> stores;
  std::vector<Known> known(threads);
  for (int i = 0; i < threads; ++i) stores.push_back(redis_store(server_.options()));
  for (int round = 0; round < 5; ++round) {
    std::vector<std::atomic<int>> answered(threads);
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i) {
      ASSERT_TRUE(stores[static_cast<std::size_t>(i)]->open(Access::share, an_owner()).ok());
      running.emplace_back([&, i] {
        Store& store = *stores[static_cast<std::size_t>(i)];
        Known& mine = known[static_cast<std::size_t>(i)];
        for (;;) {
          const auto exchanged = exchange_one(store, pair_of(i, mine.number + 1, mine.versions));
          if (!exchanged.ok()) return;
          ASSERT_TRUE(exchanged->is_written);
          mine = {.number = mine.number + 1, .versions = exchanged->versions};
          ++answered[static_cast<std::size_t>(i)];
        }
      });
    }
    EXPECT_TRUE(comes_true([&] {
      return std::ranges::all_of(answered, [&](const auto& count) { return count > 5 * round; });
    }));
    server_.kill();
    for (std::thread& thread : running) thread.join();
    server_.start();
    for (int i = 0; i < threads; ++i) {
      Store& store = *stores[static_cast<std::size_t>(i)];
      Known& mine = known[static_cast<std::size_t>(i)];
      ASSERT_TRUE(store.open(Access::share, an_owner()).ok());
      const auto first = read_one(store, pair_member(i, 0));
      const auto second = read_one(store, pair_member(i, 1));
      ASSERT_TRUE(first && second);
      EXPECT_EQ(first->record, second->record) << "half a transaction";
      EXPECT_EQ(first->requests, second->requests);
      const std::uint64_t there = std::stoull(first->record);
      EXPECT_GE(there, mine.number);
      EXPECT_LE(there, mine.number + 1);
      // Given again, it is written now, or was already.
      const auto again = exchange_one(store, pair_of(i, mine.number + 1, mine.versions));
      ASSERT_TRUE(again.ok());
      EXPECT_TRUE(again->is_written);
      const bool was_there = there > mine.number;
      EXPECT_EQ(again->versions[0] == first->version, was_there);
      mine = {.number = mine.number + 1, .versions = again->versions};
      EXPECT_EQ(record_of(store, pair_member(i, 1)), std::to_string(mine.number));
    }
  }
}

TEST_F(RedisFailures, AServerThatIsKilledUnderCommitsTearsNoGroup) {
  constexpr int customers = 40;
  const auto store = redis_store(server_.options());
  for (int round = 0; round < 5; ++round) {
    std::uint64_t answered = open_own(*store).last_group;
    std::atomic<int> commits = 0;
    std::thread writer([&] {
      for (;; ++commits) {
        Group group = a_group(answered + 1, {});
        for (int i = 0; i < customers; ++i) {
          group.customers.push_back(put(std::to_string(i), std::to_string(group.number)));
        }
        if (!store->commit(group).ok()) return;
        answered = group.number;
      }
    });
    EXPECT_TRUE(comes_true([&] { return commits > 10 * (round + 1); }));
    server_.kill();
    writer.join();
    server_.start();
    const Opened opened = open_own(*store);
    EXPECT_GE(opened.last_group, answered);
    EXPECT_LE(opened.last_group, answered + 1);
    const auto all = scan_all(*store);
    EXPECT_EQ(all.size(), static_cast<std::size_t>(customers));
    for (const StoredCustomer& customer : all) {
      EXPECT_EQ(customer.record, std::to_string(opened.last_group));
    }
  }
}

// As the power may leave it: whatever was written last is not all there.
TEST_F(RedisFailures, AnAppendOnlyFileThatIsCutHasWholeGroups) {
  const auto store = redis_store(server_.options());
  open_own(*store);
  must_commit(*store, a_group(1, {put("ann", "A1", {"x"}), put("bob", "B1")}));
  const std::string file = server_.folder() + "/appendonlydir/appendonly.aof.1.incr.aof";
  const auto before = std::filesystem::file_size(file);
  Group group = a_group(2, {put("ann", "A2", {"y"}), removal("bob"), put("cyd", "C2")});
  group.customers[0].new_requests = {a_request(1)};
  must_commit(*store, group);
  const auto after = std::filesystem::file_size(file);
  server_.kill();
  std::filesystem::copy_file(file, file + ".whole");
  for (int i = 0; i <= 12; ++i) {
    const auto size = before + (after - before) * static_cast<std::uintmax_t>(i) / 12;
    std::filesystem::copy_file(file + ".whole", file,
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(file, size);
    server_.start();
    const bool is_whole = i == 12;
    EXPECT_EQ(open_own(*store).last_group, is_whole ? 2U : 1U) << size;
    EXPECT_EQ(record_of(*store, "ann"), is_whole ? "A2" : "A1");
    EXPECT_EQ(record_of(*store, "x"), is_whole ? "-" : "A1");
    EXPECT_EQ(record_of(*store, "bob"), is_whole ? "-" : "B1");
    EXPECT_EQ(record_of(*store, "cyd"), is_whole ? "C2" : "-");
    server_.kill();
  }
}

}  // namespace
}  // namespace limitr::store
