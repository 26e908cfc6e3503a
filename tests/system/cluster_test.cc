// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "redis_cluster.h"
#include "site.h"
#include "store/redis/slots.h"

// An engine that shares its state with others in a Redis Cluster: what is in one slot goes on
// whatever becomes of what is not.
namespace limitr::system_tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::string_view policy = R"(
policy:
  credits: { tok: { price: { amount: 1 } } }
  plans:
    pro:
      default: true
      entitlements:
        own: { limit: { credit: tok, value: 1e9 } }
        shared: { scope: org, limit: { credit: tok, value: 1e9 } }
)";

class SharedInCluster : public ::testing::Test {
protected:
  SharedInCluster() {
    Options options;
    options.store = site_->url();
    options.shared = true;
    options.log = [](std::string_view) {};
    limitr_.emplace(open_engine(policy, options));
  }

  /// Calls from several threads, each about one customer, and gives how many are allowed.
  int call_all(const std::vector<std::string>& ids, int times) {
    std::atomic<int> allowed = 0;
    std::vector<std::thread> threads;
    for (const std::string& id : ids) {
      threads.emplace_back([&, id] {
        for (int i = 0; i < times; ++i) {
          const auto answer = limitr_->allow(id, "own", 1);
          if (answer.ok()) {
            ++allowed;
          } else {
            ADD_FAILURE() << id << ": " << answer.error().to_string();
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return allowed;
  }

  const std::unique_ptr<Site> site_ = make_site("redis_cluster");
  std::optional<Limitr> limitr_;
};

TEST_F(SharedInCluster, ACallAcrossSlotsIsAnErrorAndDisturbsNoOther) {
  ASSERT_TRUE(limitr_->create_customer("{acme}org", {.type = "org"}).ok());
  ASSERT_TRUE(limitr_->create_customer("{acme}ann", {.refs = {{"{acme}org"}}}).ok());
  ASSERT_TRUE(limitr_->create_customer("bob", {}).ok());
  ASSERT_TRUE(*limitr_->allow("{acme}ann", "shared", 1));
  const auto refused = limitr_->create_customer("cyd", {.refs = {{"{acme}org"}}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("`cyd`"), HasSubstr("`{acme}org`"), HasSubstr("the same tag")));

  std::atomic<bool> is_over = false;
  std::thread across([&] {
    while (!is_over) {
      EXPECT_FALSE(limitr_->create_customer("cyd", {.refs = {{"{acme}org"}}}).ok());
    }
  });
  EXPECT_EQ(call_all({"{acme}org", "{acme}ann", "bob"}, 200), 600);
  is_over = true;
  across.join();
  EXPECT_EQ(number(limitr_->value("{acme}org", "own")), 200);
  EXPECT_LT(number(limitr_->value("cyd", "own")), 0) << "nobody is there";
}

TEST_F(SharedInCluster, WhereOneMasterIsGoneTheRestGoesOn) {
  store::RedisCluster& cluster = store::RedisCluster::shared();
  const auto node_of = [&](const std::string& id) {
    return cluster.node_of(store::redis::slot_of(id));
  };
  // A site's prefix is that of its URL.
  const std::string url = site_->url();
  const std::size_t from = url.find("prefix=") + 7;
  const std::size_t meta = node_of(url.substr(from, url.find('&', from) - from));
  const std::size_t gone = (meta + 1) % store::RedisCluster::size;
  std::vector<std::string> away;
  std::vector<std::string> there;
  for (int i = 0; away.size() < 3 || there.size() < 3; ++i) {
    const std::string id = "customer " + std::to_string(i);
    (node_of(id) == gone ? away : there).push_back(id);
    ASSERT_TRUE(limitr_->create_customer(id, {}).ok());
  }
  cluster.node(gone).kill();
  std::atomic<bool> is_over = false;
  std::thread unlucky([&] {
    while (!is_over) {
      const auto answer = limitr_->allow(away[0], "own", 1);
      ASSERT_FALSE(answer.ok());
      EXPECT_EQ(answer.error().code, ErrorCode::store_unavailable);
    }
  });
  EXPECT_EQ(call_all(there, 100), static_cast<int>(there.size()) * 100);
  is_over = true;
  unlucky.join();
  cluster.node(gone).start();
  cluster.wait_until_ok();
  EXPECT_EQ(call_all(away, 1), static_cast<int>(away.size()));
  EXPECT_EQ(number(limitr_->value(away[0], "own")), 1);
}

// A replica takes over that had not got all: of what there is once, or of other slots alone.
// spec: state.md, a store that went back in time
class OwnedInCluster : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(OfTheMetaSlot, OwnedInCluster, ::testing::Bool());

TEST_P(OwnedInCluster, WhatAMasterHadNotPassedOnIsWrittenAgain) {
  store::RedisCluster cluster;
  const std::size_t meta = cluster.node_of(store::redis::slot_of("limitr"));
  const std::size_t master = GetParam() ? meta : (meta + 1) % store::RedisCluster::size;
  const std::size_t replica = cluster.add_replica(master);
  std::string said;
  Options options;
  options.store =
      "redis:///0?socket=" + cluster.node((master + 1) % store::RedisCluster::size).socket();
  options.log = [&](std::string_view line) { said += line; };
  std::vector<std::string> ids;
  {
    Limitr limitr = open_engine(policy, options);
    for (int i = 0; i < 12; ++i) {
      ids.push_back("customer " + std::to_string(i));
      ASSERT_TRUE(limitr.create_customer(ids.back(), {}).ok());
      ASSERT_TRUE(*limitr.allow(ids.back(), "own", 1));
    }
    cluster.cut_off_replica(replica, master);
    for (const std::string& id : ids) ASSERT_TRUE(*limitr.allow(id, "own", 1));
    cluster.let_take_over(replica, master);
    EXPECT_TRUE(comes_true([&] { return limitr.ensure_customer("made after it", {}).ok(); }));
    ASSERT_TRUE(limitr.close().ok());
  }
  EXPECT_THAT(said, HasSubstr(" has lost what it had taken"));
  Limitr limitr = open_engine(policy, options);
  for (const std::string& id : ids) EXPECT_EQ(number(limitr.value(id, "own")), 2) << id;
}

}  // namespace
}  // namespace limitr::system_tests
