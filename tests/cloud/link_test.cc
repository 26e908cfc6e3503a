// SPDX-License-Identifier: Apache-2.0
#include "cloud/link.h"

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_server.h"

namespace limitr::cloud {
namespace {

using ::testing::ContainsRegex;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::ServerSettings;

constexpr Millis patience{20'000};

// What a test waits for.
class Log {
public:
  void add(std::string_view message) {
    {
      const std::lock_guard lock(mutex_);
      messages_.emplace_back(message);
    }
    changed_.notify_all();
  }
  bool wait_for(std::string_view text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] {
      return std::any_of(messages_.begin(), messages_.end(), [&](const std::string& message) {
        return message.find(text) != std::string::npos;
      });
    });
  }

  std::vector<std::string> messages() {
    const std::lock_guard lock(mutex_);
    return messages_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> messages_;
};

class LinkTest : public ::testing::Test {
protected:
  LinkOptions options(const FakeServer& server) {
    return {.token = "good",
            .address = server.address(),
            .limitr = "1.2.3",
            .log = [this](std::string_view message) { log_.add(message); }};
  }
  std::unique_ptr<Link> connected(const FakeServer& server) {
    Result<std::unique_ptr<Link>> link = Link::connect(options(server));
    if (!link.ok()) {
      ADD_FAILURE() << link.error().to_string();
      std::abort();
    }
    return *std::move(link);
  }
  static Error failure(LinkOptions options) {
    const Result<std::unique_ptr<Link>> link = Link::connect(std::move(options));
    if (link.ok()) {
      ADD_FAILURE() << "it is connected";
      return {};
    }
    return link.error();
  }
  // The next connection of a server that had `seen` greetings.
  static void reconnected(FakeServer& server, std::size_t seen, const Link& link) {
    ASSERT_FALSE(server.wait_for("hello", seen + 1).empty());
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!link.is_connected() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    ASSERT_TRUE(link.is_connected());
  }

  Log log_;
};

TEST_F(LinkTest, GreetsAndIsWelcome) {
  FakeServer server;
  server.set([](ServerSettings& settings) {
    settings.welcome.policy = {.version = 3, .document = R"({"a" :1})"};
  });
  LinkOptions with = options(server);
  with.policy = "v7";
  with.deny_unconnected = false;
  const Result<std::unique_ptr<Link>> link = Link::connect(with);
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  EXPECT_TRUE((*link)->is_connected());
  EXPECT_TRUE((*link)->is_leased());
  EXPECT_EQ((*link)->server(), "test");
  EXPECT_EQ((*link)->max_message(), std::size_t{1} << 20);
  EXPECT_EQ((*link)->policy().version, 3U);
  EXPECT_EQ((*link)->policy().document, R"({"a" :1})");
  EXPECT_EQ((*link)->engine().size(), 32U);
  const Result<wire::Request> hello = wire::decode_request(server.wait_for("hello", 1));
  ASSERT_TRUE(hello.ok());
  const auto& said = std::get<wire::Hello>(hello->body);
  EXPECT_EQ(said.engine, (*link)->engine());
  EXPECT_EQ(said.policy, "v7");
  EXPECT_EQ(said.limitr, "1.2.3");
  EXPECT_EQ(said.protocol, 1);
  EXPECT_FALSE(said.deny_unconnected);
}

TEST_F(LinkTest, ConnectsAnewWhereTheServerClosesAfterTheTicket) {
  FakeServer server;
  server.set([](ServerSettings& settings) { settings.keeps_connection = false; });
  EXPECT_TRUE(connected(server)->is_connected());
}

TEST_F(LinkTest, EachEngineIsAnother) {
  FakeServer server;
  EXPECT_NE(connected(server)->engine(), connected(server)->engine());
}

TEST_F(LinkTest, SaysWhyThereIsNoFirstConnection) {
  FakeServer server;
  LinkOptions with = options(server);
  with.token = "bad";
  Error error = failure(with);
  EXPECT_EQ(error.code, ErrorCode::unauthorized);
  EXPECT_EQ(error.message, "the server does not accept the token: it was revoked");
  EXPECT_EQ(server.connections(), 0U);

  with = options(server);
  with.connect_timeout = Millis(300);
  server.set([](ServerSettings& settings) { settings.gives_tickets = false; });
  error = failure(with);
  EXPECT_EQ(error.code, ErrorCode::unconnected);
  EXPECT_THAT(error.message, HasSubstr("answered 503"));
  EXPECT_THAT(error.message, HasSubstr("come back later"));

  server.stop_listening();
  error = failure(with);
  EXPECT_EQ(error.code, ErrorCode::unconnected);
  EXPECT_THAT(error.message, HasSubstr("cannot connect to 127.0.0.1:"));
  EXPECT_THAT(error.message, HasSubstr("Connection refused"));

  with.address = "http://no.such.host.invalid:1";
  error = failure(with);
  EXPECT_EQ(error.code, ErrorCode::unconnected);

  with.address = "localhost";
  EXPECT_EQ(failure(with).code, ErrorCode::invalid_argument);
}

TEST_F(LinkTest, ConnectsToAServerThatComesUpMeanwhile) {
  FakeServer server;
  server.stop_listening();
  std::future<bool> is_connected =
      std::async(std::launch::async, [&] { return connected(server)->is_connected(); });
  server.listen_again();
  EXPECT_TRUE(is_connected.get());
}

TEST_F(LinkTest, GivesUpOnAServerThatSaysNothing) {
  FakeServer server;
  server.set([](ServerSettings& settings) {
    settings.answer = [](const wire::Request&) { return std::nullopt; };
  });
  LinkOptions with = options(server);
  with.connect_timeout = Millis(100);
  const Error error = failure(with);
  EXPECT_EQ(error.code, ErrorCode::unconnected);
  EXPECT_THAT(error.message, HasSubstr("did not answer within 100 ms"));
}

TEST_F(LinkTest, AWelcomeThatIsRefusedIsAnErrorOfTheServers) {
  FakeServer server;
  server.set([](ServerSettings& settings) {
    settings.answer = [](const wire::Request& request) {
      return wire::Reply{.n = request.n,
                         .body = wire::Failed{{.code = ErrorCode::invalid_argument,
                                               .message = "there is no version `v9`"}}};
    };
  });
  const Error error = failure(options(server));
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_EQ(error.message, "there is no version `v9`");
}

TEST_F(LinkTest, TakesCertificatesThatItTrustsOnly) {
  const std::string folder = ::testing::TempDir();
  const std::string good = folder + "limitr_link_good";
  const std::string other = folder + "limitr_link_other";
  testing::make_certificate(good, "IP:127.0.0.1");
  testing::make_certificate(other, "DNS:elsewhere.example");
  FakeServer server(good);
  LinkOptions with = options(server);
  with.connect_timeout = Millis(300);
  EXPECT_THAT(with.address, HasSubstr("https://"));
  EXPECT_THAT(failure(with).message, HasSubstr("is not accepted: self"));
  with.ca_file = good + ".pem";
  const Result<std::unique_ptr<Link>> link = Link::connect(with);
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  EXPECT_TRUE((*link)->ask_for<wire::Rows>(wire::Read{{"ann"}}, patience).ok());
  EXPECT_TRUE((*link)->close(patience).ok());

  FakeServer elsewhere(other);
  with.address = elsewhere.address();
  with.ca_file = other + ".pem";
  Error error = failure(with);
  EXPECT_EQ(error.code, ErrorCode::unconnected);
  EXPECT_THAT(error.message, HasSubstr("is not accepted"));
  with.ca_file = folder + "limitr_no_such_file";
  error = failure(with);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_THAT(error.message, HasSubstr(with.ca_file));

  FakeServer plain;
  with = options(plain);
  with.address.replace(0, 4, "https");
  with.connect_timeout = Millis(300);
  EXPECT_THAT(failure(with).message, HasSubstr("no TLS connection"));
}

// Goal: answers find who asked, in whatever order they come.
TEST_F(LinkTest, AnswersComeInAnyOrder) {
  FakeServer server;
  std::vector<wire::Request> held;
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (!std::holds_alternative<wire::Read>(request.body)) return server.answer_of(request);
      held.push_back(request);
      if (held.size() < 8) return std::nullopt;
      for (std::size_t i = held.size() - 1; i > 0; --i) {
        const std::string& id = std::get<wire::Read>(held[i].body).ids[0];
        std::thread([&server, n = held[i].n, id] {
          server.say({.n = n, .body = wire::Rows{{{.id = id}}, false}});
        }).detach();
      }
      const std::string& id = std::get<wire::Read>(held[0].body).ids[0];
      return wire::Reply{.n = held[0].n, .body = wire::Rows{{{.id = id}}, false}};
    };
  });
  const std::unique_ptr<Link> link = connected(server);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, id = fmt::to_string(i)] {
      const auto rows = link->ask_for<wire::Rows>(wire::Read{{id}}, patience);
      if (rows.ok() && rows->rows.at(0).id == id) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
}

TEST_F(LinkTest, ManyThreadsAskAtOnce) {
  FakeServer server;
  const std::unique_ptr<Link> link = connected(server);
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 200; ++j) {
        if (link->ask_for<wire::Rows>(wire::Read{{"ann"}}, patience).ok()) ++answered;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 1600);
}

TEST_F(LinkTest, WhatBreaksBetweenRequestAndAnswerIsUnknown) {
  FakeServer server;
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (std::holds_alternative<wire::Exchange>(request.body)) return std::nullopt;
      return server.answer_of(request);
    };
  });
  const std::unique_ptr<Link> link = connected(server);
  std::future<Result<wire::Reply>> asked =
      std::async(std::launch::async, [&] { return link->ask(wire::Exchange{}, patience); });
  ASSERT_FALSE(server.wait_for("exchange", 1).empty());
  server.cut();
  const Result<wire::Reply> reply = asked.get();
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::outcome_unknown);
  reconnected(server, 1, *link);
  EXPECT_TRUE(link->ask_for<wire::Rows>(wire::Read{{"ann"}}, patience).ok());
  EXPECT_TRUE(log_.wait_for("no connection to the Cloud server"));
  EXPECT_TRUE(log_.wait_for("connected to the Cloud server again"));
}

TEST_F(LinkTest, WhatIsAskedWithoutAConnectionFailsAtOnceAndWasNotSent) {
  FakeServer server;
  const std::unique_ptr<Link> link = connected(server);
  server.stop_listening();
  server.cut();
  ASSERT_TRUE(log_.wait_for("no connection to the Cloud server"));
  const Result<wire::Reply> reply = link->ask(wire::Exchange{}, patience);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::unconnected);
  EXPECT_EQ(server.count("exchange"), 0U);
  EXPECT_FALSE(link->is_connected());
  EXPECT_TRUE(link->is_leased()) << "the lease outlives the connection";
  const std::string before = link->engine();
  server.listen_again();
  reconnected(server, 1, *link);
  EXPECT_EQ(link->engine(), before);
}

TEST_F(LinkTest, AnAnswerThatIsLateIsUnknownAndForgotten) {
  FakeServer server;
  std::promise<wire::Request> held;
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (!std::holds_alternative<wire::Exchange>(request.body)) return server.answer_of(request);
      held.set_value(request);
      return std::nullopt;
    };
  });
  const std::unique_ptr<Link> link = connected(server);
  const Result<wire::Reply> reply = link->ask(wire::Exchange{}, Millis(20));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::outcome_unknown);
  ASSERT_FALSE(server.wait_for("exchange", 1).empty());
  server.say(server.answer_of(held.get_future().get()));
  EXPECT_TRUE(link->ask_for<wire::Rows>(wire::Read{{"ann"}}, patience).ok());
  EXPECT_EQ(server.count("hello"), 1U);
}

TEST_F(LinkTest, ErrorsOfTheServerAreThoseOfTheCall) {
  FakeServer server;
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (!std::holds_alternative<wire::Read>(request.body)) return server.answer_of(request);
      return wire::Reply{
          .n = request.n,
          .body = wire::Failed{{.code = ErrorCode::data_corrupt, .message = "m", .where = "w"}}};
    };
  });
  const std::unique_ptr<Link> link = connected(server);
  const auto rows = link->ask_for<wire::Rows>(wire::Read{{"ann"}}, patience);
  ASSERT_FALSE(rows.ok());
  EXPECT_EQ(rows.error().code, ErrorCode::data_corrupt);
  EXPECT_EQ(rows.error().to_string(), "w: m");
}

TEST_F(LinkTest, WhatCannotBeReadHarmsNobodyElse) {
  FakeServer server;
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (!std::holds_alternative<wire::Read>(request.body)) return server.answer_of(request);
      std::thread([&server, n = request.n] {
        server.say("garbage");
        server.say(R"({"type":"sing"})");
        server.say(fmt::format(R"({{"type":"rows","n":{},"rows":7}})", n));
      }).detach();
      return std::nullopt;
    };
  });
  const std::unique_ptr<Link> link = connected(server);
  const auto rows = link->ask_for<wire::Rows>(wire::Read{{"ann"}}, patience);
  ASSERT_FALSE(rows.ok());
  EXPECT_THAT(rows.error().message, HasSubstr("rows: expected a list"));
  const auto other = link->ask_for<wire::Recalled>(wire::Scan{}, patience);
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message, HasSubstr("another message than asked"));
  EXPECT_EQ(server.count("hello"), 1U);
}

TEST_F(LinkTest, AMessageThatIsTooLargeIsNotSent) {
  FakeServer server;
  server.set([](ServerSettings& settings) { settings.welcome.max_message = 1000; });
  const std::unique_ptr<Link> link = connected(server);
  const Result<wire::Reply> reply = link->ask(wire::Read{{std::string(1000, 'a')}}, patience);
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(server.count("read"), 0U);
}

TEST_F(LinkTest, LargeMessagesPass) {
  FakeServer server;
  server.set([](ServerSettings& settings) {
    settings.welcome.max_message = 100U << 20;
    // A renewal waits behind it, longer than a short lease where a sanitizer makes all slow.
    settings.welcome.lease = Millis(300'000);
  });
  const std::unique_ptr<Link> link = connected(server);
  const std::string large(20U << 20, 'a');
  const auto estimates = link->ask_for<wire::Estimates>(wire::Estimates{large}, 3 * patience);
  ASSERT_TRUE(estimates.ok()) << estimates.error().to_string();
  EXPECT_EQ(estimates->text, large);
}

TEST_F(LinkTest, RenewsItsLeaseBySaying) {
  FakeServer server;
  server.set([](ServerSettings& settings) { settings.welcome.lease = Millis(300); });
  const std::unique_ptr<Link> link = connected(server);
  EXPECT_FALSE(server.wait_for("renew", 3).empty());
  EXPECT_EQ(server.count("hello"), 1U);
}

TEST_F(LinkTest, AServerThatGoesSilentIsLeftAndTheLeaseEnds) {
  FakeServer server;
  server.set([&](ServerSettings& settings) {
    settings.welcome.lease = Millis(300);
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (!std::holds_alternative<wire::Hello>(request.body)) return std::nullopt;
      if (server.count("hello") > 1) return std::nullopt;
      return server.answer_of(request);
    };
  });
  const std::unique_ptr<Link> link = connected(server);
  EXPECT_FALSE(server.wait_for("hello", 2).empty());
  EXPECT_TRUE(log_.wait_for("the server said nothing for too long"));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (link->is_leased() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(link->is_leased());
}

// Goal: whoever reads the log knows what to do, and the server is left alone. When it is tried
// again is in the tests of Session.
TEST_F(LinkTest, ATokenThatIsRevokedIsSaidOnceAndTriedSeldom) {
  FakeServer server;
  const std::unique_ptr<Link> link = connected(server);
  server.close(4001, "the token was revoked");
  ASSERT_TRUE(log_.wait_for("the server closed the connection (4001: the token was revoked)"));
  const std::vector<std::string> said = log_.messages();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], HasSubstr("`limitr token create` makes one"));
  EXPECT_THAT(said[0], ContainsRegex("tried again in ([345][0-9]|60) s"));
  const Error error = link->ask(wire::Renew{}, patience).error();
  EXPECT_EQ(error.code, ErrorCode::unauthorized);
  EXPECT_THAT(error.message, HasSubstr("the token was revoked"));
  EXPECT_EQ(link->unconnected().code, ErrorCode::unauthorized);
  EXPECT_EQ(link->close(patience).error().code, ErrorCode::unauthorized);
  EXPECT_EQ(server.count("hello"), 1U);
}

TEST_F(LinkTest, ATicketThatIsRefusedLaterIsTriedSeldomToo) {
  FakeServer server;
  const std::unique_ptr<Link> link = connected(server);
  server.set([](ServerSettings& settings) { settings.token = "another"; });
  server.cut();
  ASSERT_TRUE(log_.wait_for("the server does not accept the token: it was revoked"));
  EXPECT_THAT(log_.messages().back(), ContainsRegex("tried again in ([345][0-9]|60) s"));
  EXPECT_EQ(link->ask(wire::Renew{}, patience).error().code, ErrorCode::unauthorized);
}

TEST_F(LinkTest, TellsWhatTheServerSaysByItself) {
  FakeServer server;
  server.set(
      [](ServerSettings& settings) { settings.welcome.policy = {.version = 1, .document = "{}"}; });
  const std::unique_ptr<Link> link = connected(server);
  std::promise<std::vector<std::string>> recalled;
  std::promise<std::uint64_t> policy;
  link->notices().on_recall([&](std::vector<std::string> ids) {
    // A handler may ask the server.
    EXPECT_TRUE(link->ask_for<wire::Rows>(wire::Read{ids}, patience).ok());
    recalled.set_value(std::move(ids));
  });
  server.say({.n = {}, .body = wire::PolicyVersion{2, "{}"}});
  server.say({.n = {}, .body = wire::RecallCustomers{{"ann", "bob"}}});
  EXPECT_EQ(recalled.get_future().get(), (std::vector<std::string>{"ann", "bob"}));
  // The policy came before anyone listened.
  link->notices().on_policy([&](const wire::PolicyVersion& now) { policy.set_value(now.version); });
  EXPECT_EQ(policy.get_future().get(), 2U);
  link->notices().on_recall(nullptr);
}

TEST_F(LinkTest, KeepsRowsThatOthersHaveChangedUntilTheyAreTakenAndNotTooMany) {
  FakeServer server;
  const std::unique_ptr<Link> link = connected(server);
  const auto say = [&](std::string id, std::uint64_t version, std::size_t bytes) {
    wire::ChangedRows changed;
    changed.rows.emplace_back();
    changed.rows[0].id = std::move(id);
    changed.rows[0].version = version;
    changed.rows[0].record = R"({"x":")" + std::string(bytes, 'x') + R"("})";
    server.say({.n = {}, .body = std::move(changed)});
  };
  const auto take = [&] {
    // What was said before has come when this is answered.
    EXPECT_TRUE(link->ask(wire::Renew{}, patience).ok());
    return link->take_changed();
  };
  EXPECT_TRUE(take().empty());
  say("ann", 1, 10);
  say("ann", 2, 10);
  const auto rows = take();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].version, 2U);
  EXPECT_TRUE(take().empty());

  for (std::uint64_t i = 0; i < 600; ++i) say(std::to_string(i), 1, 10);
  EXPECT_EQ(take().size(), 600U - 512U) << "all before them were dropped";
  std::size_t bytes = 0;
  for (std::uint64_t i = 0; i < 100; ++i) say(std::to_string(i), 1, 200'000);
  for (const store::StoredCustomer& row : take()) bytes += row.record.size();
  EXPECT_GT(bytes, 0U);
  EXPECT_LT(bytes, 10'000'000U);
}

TEST_F(LinkTest, APolicyThatChangedMeanwhileIsToldAfterReconnecting) {
  FakeServer server;
  server.set(
      [](ServerSettings& settings) { settings.welcome.policy = {.version = 1, .document = "{}"}; });
  const std::unique_ptr<Link> link = connected(server);
  std::promise<std::uint64_t> policy;
  link->notices().on_policy([&](const wire::PolicyVersion& now) { policy.set_value(now.version); });
  server.cut();
  reconnected(server, 1, *link);  // The same policy: nothing is told.
  server.set([](ServerSettings& settings) { settings.welcome.policy.version = 2; });
  server.cut();
  EXPECT_EQ(policy.get_future().get(), 2U);
  link->notices().on_policy(nullptr);
}

TEST_F(LinkTest, SaysGoodByeAndIsGone) {
  FakeServer server;
  const std::unique_ptr<Link> link = connected(server);
  EXPECT_TRUE(link->close(patience).ok());
  EXPECT_EQ(server.count("bye"), 1U);
  EXPECT_FALSE(link->is_connected());
  EXPECT_FALSE(link->is_leased());
  EXPECT_EQ(link->ask(wire::Renew{}, patience).error().code, ErrorCode::unconnected);
  EXPECT_EQ(link->close(patience).error().code, ErrorCode::unconnected);
  EXPECT_EQ(server.count("hello"), 1U);
}

TEST_F(LinkTest, EndsWhileItTriesToConnect) {
  FakeServer server;
  std::unique_ptr<Link> link = connected(server);
  server.stop_listening();
  server.cut();
  ASSERT_TRUE(log_.wait_for("Connection refused"));
  link.reset();
}

// Goal: callers whose link ends under them are told, not left waiting.
TEST_F(LinkTest, WhoWaitsWhenItEndsIsTold) {
  FakeServer server;
  server.set([&](ServerSettings& settings) {
    settings.answer = [&](const wire::Request& request) -> std::optional<wire::Reply> {
      if (std::holds_alternative<wire::Read>(request.body)) return std::nullopt;
      return server.answer_of(request);
    };
  });
  const std::unique_ptr<Link> link = connected(server);
  std::future<Result<wire::Reply>> asked =
      std::async(std::launch::async, [&] { return link->ask(wire::Read{{"ann"}}, patience); });
  ASSERT_FALSE(server.wait_for("read", 1).empty());
  EXPECT_TRUE(link->close(patience).ok());
  EXPECT_EQ(asked.get().error().code, ErrorCode::outcome_unknown);
}

}  // namespace
}  // namespace limitr::cloud
