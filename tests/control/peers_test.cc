// SPDX-License-Identifier: Apache-2.0
#include "server/postgres_peers.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "postgres_server.h"
#include "server/control.h"

namespace limitr::server {
namespace {

using std::chrono::steady_clock;

/// Waits until it is so; the test fails where it never is.
bool eventually(const std::function<bool()>& is_so) {
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  while (!is_so()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // Nothing tells of it.
  }
  return true;
}

/// What a server was asked to have given back.
class Recalled {
public:
  void add(const std::string& project, const wire::HomeOf& homes) {
    const std::lock_guard lock(mutex_);
    for (const std::string& id : homes.ids) {
      all_.push_back(fmt::format("{}/{}/{}", project, homes.engine, id));
    }
    changed_.notify_all();
  }
  /// The next ones, when there are that many.
  std::vector<std::string> next(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return all_.size() >= count; });
    return std::exchange(all_, {});
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> all_;
};

class PeersOnPostgres : public ::testing::Test {
protected:
  static std::string new_url(const store::PostgresServer& server) {
    static int count = 0;
    const std::string url = server.url(fmt::format("&schema=peers_{}", ++count));
    const auto control = Control::open(url);
    EXPECT_TRUE(control.ok()) << control.error().to_string();
    return url;
  }

  std::unique_ptr<PostgresPeers> open(Recalled* recalled = nullptr, Millis slack = Millis(0)) {
    PeersOptions options = {.store_url = url_, .fresh = Millis(0), .slack = slack};
    if (recalled != nullptr) {
      options.on_recall = [recalled](const std::string& project, const wire::HomeOf& homes) {
        recalled->add(project, homes);
      };
    }
    auto peers = PostgresPeers::open(std::move(options));
    EXPECT_TRUE(peers.ok()) << peers.error().to_string();
    return peers.ok() ? *std::move(peers) : nullptr;
  }

  /// As a hub asks again and again. REQUIRES: `fresh` lets answers through.
  static bool becomes(PostgresPeers& peers, const std::string& project, const std::string& engine,
                      bool is_alive) {
    return eventually([&] { return peers.of(project).is_alive(engine) == is_alive; });
  }

  std::string in_table(const std::string& sql) {
    store::PostgresSession session(store::PostgresServer::shared().url());
    session.run("SET search_path = " + url_.substr(url_.find("schema=") + 7));
    return session.text(sql);
  }
  /// Until the table has these engines of any server, by name.
  bool has_engines(const std::string& names) {
    return eventually(
        [&] { return in_table("SELECT engine FROM limitr_engines ORDER BY engine") == names; });
  }

  std::string url_ = new_url(store::PostgresServer::shared());
};

class PeersThatAnswer : public PeersOnPostgres {
protected:
  std::unique_ptr<PostgresPeers> open_fresh() {
    auto peers = PostgresPeers::open({.store_url = url_, .fresh = Millis(100), .slack = Millis(0)});
    EXPECT_TRUE(peers.ok()) << peers.error().to_string();
    return peers.ok() ? *std::move(peers) : nullptr;
  }

  /// Alive by what the database said, not because it was not asked yet: it is asked for both, and
  /// knows of the other.
  bool is_known_alive(PostgresPeers& peers, const std::string& project, const std::string& engine) {
    static int count = 0;
    for (int i = 0; i < 5; ++i) {
      const std::string nobody = fmt::format("nobody {}", ++count);
      peers.of(project).is_alive(engine);
      if (!becomes(peers, project, nobody, false)) return false;
      if (!peers.of(project).is_alive(engine)) return false;
    }
    return true;
  }
};

constexpr Millis long_lease{600'000};

TEST_F(PeersThatAnswer, AnEngineIsAliveWhereverItHasALease) {
  const auto here = open_fresh();
  const auto there = open_fresh();
  EXPECT_TRUE(becomes(*there, "p", "e", false));
  here->renew({{.project = "p", .engine = "e", .left = long_lease}});
  ASSERT_TRUE(has_engines("e"));
  EXPECT_TRUE(becomes(*there, "p", "e", true));
  EXPECT_TRUE(is_known_alive(*there, "p", "e"));
  EXPECT_TRUE(becomes(*here, "p", "e", false)) << "its own engines are for its hub to know";
}

TEST_F(PeersThatAnswer, EnginesOfOtherProjectsAreOthers) {
  const auto here = open_fresh();
  const auto there = open_fresh();
  here->renew({{.project = "p", .engine = "e", .left = long_lease}});
  ASSERT_TRUE(has_engines("e"));
  EXPECT_TRUE(becomes(*there, "other", "e", false));
  EXPECT_TRUE(is_known_alive(*there, "p", "e"));
}

TEST_F(PeersThatAnswer, ALeaseEndsByTheDatabasesClock) {
  const auto here = open_fresh();
  const auto there = open_fresh();
  here->renew({{.project = "p", .engine = "ended", .left = long_lease},
               {.project = "p", .engine = "runs", .left = long_lease}});
  ASSERT_TRUE(has_engines("ended runs"));
  EXPECT_TRUE(is_known_alive(*there, "p", "ended"));
  in_table(
      "UPDATE limitr_engines SET lease_until = (extract(epoch FROM clock_timestamp()) * 1000)"
      " WHERE engine = 'ended'");
  EXPECT_TRUE(becomes(*there, "p", "ended", false));
  EXPECT_TRUE(is_known_alive(*there, "p", "runs"));
}

TEST_F(PeersThatAnswer, WhoSaidByeIsForgottenWithTheNextRenewal) {
  const auto here = open_fresh();
  const auto there = open_fresh();
  here->renew({{.project = "p", .engine = "a", .left = long_lease},
               {.project = "p", .engine = "b", .left = long_lease}});
  ASSERT_TRUE(has_engines("a b"));
  here->renew({{.project = "p", .engine = "b", .left = long_lease}});
  ASSERT_TRUE(has_engines("b"));
  EXPECT_TRUE(becomes(*there, "p", "a", false));
  EXPECT_TRUE(is_known_alive(*there, "p", "b"));
  here->renew({});
  EXPECT_TRUE(has_engines(""));
}

TEST_F(PeersThatAnswer, AnEngineThatMovedIsAliveAsLongAsOneOfItsLeasesRuns) {
  const auto here = open_fresh();
  const auto other = open_fresh();
  const auto there = open_fresh();
  here->renew({{.project = "p", .engine = "e", .left = long_lease}});
  other->renew({{.project = "p", .engine = "e", .left = long_lease}});
  ASSERT_TRUE(has_engines("e e"));
  here->renew({});
  ASSERT_TRUE(has_engines("e"));
  EXPECT_TRUE(is_known_alive(*there, "p", "e"));
  EXPECT_TRUE(is_known_alive(*here, "p", "e"));
}

TEST_F(PeersThatAnswer, ALeaseOutlivesItsServerAndItsRowIsClearedAwayLater) {
  const auto there = open_fresh();
  {
    const auto here = open_fresh();
    here->renew({{.project = "p", .engine = "e", .left = long_lease}});
    ASSERT_TRUE(has_engines("e"));
  }
  EXPECT_TRUE(is_known_alive(*there, "p", "e"));
  there->renew({{.project = "p", .engine = "mine", .left = long_lease}});
  ASSERT_TRUE(has_engines("e mine"));
  in_table("UPDATE limitr_engines SET lease_until = lease_until - 700000 WHERE engine = 'e'");
  EXPECT_TRUE(becomes(*there, "p", "e", false));
  there->renew({{.project = "p", .engine = "mine", .left = long_lease}});
  EXPECT_TRUE(has_engines("mine"));
}

TEST_F(PeersThatAnswer, NamesOfAnyBytesAreKeptApart) {
  const auto here = open_fresh();
  const auto there = open_fresh();
  const std::vector<std::string> odd = {std::string("a\0b", 3), "\\x6162", "\xff\xfe", "'; --", ""};
  std::vector<LeasedEngine> leased = {{.project = "p", .engine = "plain", .left = long_lease}};
  for (const std::string& name : odd) {
    leased.push_back({.project = "p", .engine = name, .left = long_lease});
  }
  leased.push_back(leased.front());  // Twice is no harm either.
  here->renew(leased);
  ASSERT_TRUE(eventually([&] { return in_table("SELECT count(*) FROM limitr_engines") == "6"; }));
  EXPECT_TRUE(becomes(*there, "p", "ab", false));
  for (const std::string& name : odd) {
    EXPECT_TRUE(is_known_alive(*there, "p", name));
    EXPECT_TRUE(becomes(*there, "p", name + "x", false));
  }
}

TEST_F(PeersOnPostgres, NobodyIsLostBeforeTheDatabaseWasAsked) {
  const auto there = open();  // No answer is ever fresh.
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(there->of("p").is_alive("nobody"));
}

TEST_F(PeersOnPostgres, ARecallReachesTheServerThatHasTheEngineAndNoOther) {
  Recalled first, second, asking;
  const auto here = open(&first);
  const auto other = open(&second);
  const auto there = open(&asking);
  here->renew({{.project = "p", .engine = "e", .left = long_lease}});
  other->renew({{.project = "p", .engine = "f", .left = long_lease},
                {.project = "q", .engine = "e", .left = long_lease}});
  const std::string odd("\0\"x", 3);
  ASSERT_TRUE(has_engines("e e f"));
  there->of("p").recall({.engine = "e", .ids = {"ann", odd}});
  EXPECT_THAT(first.next(2), ::testing::UnorderedElementsAre("p/e/ann", "p/e/" + odd));
  std::vector<std::string> ids;
  for (int i = 0; i < 2'000; ++i) ids.push_back(fmt::format("customer {}", i));
  ids.emplace_back(50'000, 'x');
  there->of("p").recall({.engine = "f", .ids = ids});
  const auto got = second.next(ids.size());
  EXPECT_EQ(got.size(), ids.size());
  for (const std::string& one : got) EXPECT_TRUE(one.starts_with("p/f/")) << one.substr(0, 50);
  // What comes last shows that nothing else has come before.
  there->of("p").recall({.engine = "e", .ids = {"last"}});
  EXPECT_THAT(first.next(1), ::testing::ElementsAre("p/e/last"));
  there->of("q").recall({.engine = "e", .ids = {"last"}});
  EXPECT_THAT(second.next(1), ::testing::ElementsAre("q/e/last"));
  EXPECT_TRUE(asking.next(0).empty());
}

TEST_F(PeersOnPostgres, WhileTheDatabaseIsAwayNobodyIsLostAndThenAllGoesOn) {
  store::PostgresServer server;
  url_ = new_url(server);
  Recalled recalled;
  std::atomic<int> logged = 0;
  auto here = PostgresPeers::open(
      {.store_url = url_,
       .fresh = Millis(0),
       .slack = Millis(0),
       .on_recall = [&](const auto& project, const auto& homes) { recalled.add(project, homes); }});
  auto there = PostgresPeers::open(
      {.store_url = url_, .fresh = Millis(100), .slack = Millis(0), .log = [&](std::string_view) {
         ++logged;
       }});
  ASSERT_TRUE(here.ok() && there.ok());
  ASSERT_TRUE(becomes(**there, "p", "nobody", false));
  server.kill();
  ASSERT_TRUE(eventually([&] {
    (*there)->renew({});
    return logged > 0;
  }));
  ASSERT_TRUE(becomes(**there, "p", "nobody", true));  // What was known is too old.
  for (int i = 0; i < 50; ++i) EXPECT_TRUE((*there)->of("p").is_alive("nobody"));
  server.start();
  ASSERT_TRUE(becomes(**there, "p", "nobody", false));
  EXPECT_TRUE(eventually([&] {
    (*here)->renew({{.project = "p", .engine = "e", .left = long_lease}});
    (*there)->of("p").recall({.engine = "e", .ids = {"ann"}});
    return !recalled.next(0).empty();
  }));
}

}  // namespace
}  // namespace limitr::server
