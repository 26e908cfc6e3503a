// SPDX-License-Identifier: Apache-2.0
#include "server/hub.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace limitr::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Scopes all_scopes{.engine = true, .read = true, .admin = true};

Caller a_caller(Scopes scopes = all_scopes, std::string token = "t1") {
  return {.token_id = std::move(token), .token_name = "n", .project = "default", .scopes = scopes};
}

class HubTest : public ::testing::Test {
protected:
  HubTest() { hub_.set_policy({.version = 3, .document = "{}"}); }

  Moment at(int ms) const { return {.steady = Millis(ms), .wall = Timestamp(Millis(1000 + ms))}; }

  std::vector<Output> ask(SessionId session, decltype(wire::Request::body) body, int ms = 0) {
    hub_.received(session, {.n = ++n_, .body = std::move(body)}, at(ms));
    return hub_.take();
  }

  std::vector<Output> greet(SessionId session, const std::string& engine, int ms = 0,
                            Caller caller = a_caller()) {
    hub_.connected(session, std::move(caller), at(ms));
    return ask(session, wire::Hello{.engine = engine}, ms);
  }

  static HubOptions options() {
    return {.project = "default", .server = "here", .lease = Millis(10'000), .most_requests = 2};
  }

  Hub hub_{options(), Moment{}};
  std::uint64_t n_ = 0;
};

template <typename Body>
const Body* sent(const std::vector<Output>& outputs, SessionId session) {
  for (const Output& output : outputs) {
    const auto* send = std::get_if<Send>(&output);
    if (send == nullptr || send->session != session) continue;
    if (const auto* body = std::get_if<Body>(&send->reply.body)) return body;
  }
  return nullptr;
}

const Cut* cut(const std::vector<Output>& outputs, SessionId session) {
  for (const Output& output : outputs) {
    const auto* one = std::get_if<Cut>(&output);
    if (one != nullptr && one->session == session) return one;
  }
  return nullptr;
}

const Work* work(const std::vector<Output>& outputs) {
  for (const Output& output : outputs) {
    if (const auto* one = std::get_if<Work>(&output)) return one;
  }
  return nullptr;
}

TEST_F(HubTest, AHelloIsWelcomedWithPolicyAndLease) {
  const auto outputs = greet(1, "e1", 5);
  ASSERT_THAT(outputs, SizeIs(1));
  const auto* welcome = sent<wire::Welcome>(outputs, 1);
  ASSERT_NE(welcome, nullptr);
  EXPECT_EQ(welcome->project, "default");
  EXPECT_EQ(welcome->server, "here");
  EXPECT_EQ(welcome->lease, Millis(10'000));
  EXPECT_EQ(welcome->now, Timestamp(Millis(1005)));
  EXPECT_EQ(welcome->policy.version, 3U);
  EXPECT_EQ(std::get<Send>(outputs[0]).reply.n, n_);
}

TEST_F(HubTest, WhatComesFirstIsAHelloOfOurProtocol) {
  hub_.connected(1, a_caller(), at(0));
  EXPECT_EQ(cut(ask(1, wire::Renew{}), 1)->code, wire::Close::broken_rule);
  EXPECT_THAT(ask(1, wire::Renew{}), IsEmpty()) << "it is forgotten";
  hub_.connected(2, a_caller(), at(0));
  const auto outputs = ask(2, wire::Hello{.protocol = 2, .engine = "e"});
  EXPECT_EQ(cut(outputs, 2)->code, wire::Close::wrong_version);
  EXPECT_THAT(cut(outputs, 2)->reason, HasSubstr("speaks version 1"));
  hub_.connected(3, a_caller(), at(0));
  EXPECT_NE(cut(ask(3, wire::Hello{}), 3), nullptr);
  hub_.connected(4, a_caller(), at(0));
  hub_.received_nonsense(4, 7, {.code = ErrorCode::invalid_argument, .message = "no JSON"});
  EXPECT_EQ(cut(hub_.take(), 4)->reason, "no JSON");
  greet(5, "e5");
  hub_.received_nonsense(5, 7, {.code = ErrorCode::invalid_argument, .message = "no JSON"});
  const auto told = hub_.take();
  EXPECT_NE(sent<wire::Failed>(told, 5), nullptr);
  EXPECT_EQ(cut(told, 5), nullptr);
  EXPECT_NE(cut(ask(5, wire::Hello{.engine = "e5"}), 5), nullptr) << "a second hello";
}

TEST_F(HubTest, WhoSaysNoHelloInTimeIsCut) {
  hub_.connected(1, a_caller(), at(0));
  greet(2, "e2");
  hub_.tick(at(9'999));
  EXPECT_THAT(hub_.take(), IsEmpty());
  hub_.tick(at(10'000));
  const auto outputs = hub_.take();
  EXPECT_THAT(outputs, SizeIs(1));
  EXPECT_EQ(cut(outputs, 1)->code, wire::Close::broken_rule);
}

TEST_F(HubTest, WithoutAPolicyNobodyIsWelcomeButWhoMayPushOne) {
  Hub hub(options(), at(0));
  hub.connected(2, a_caller(), at(0));
  hub.received(2, {.n = 1, .body = wire::Hello{.engine = "a"}}, at(0));
  EXPECT_EQ(sent<wire::Welcome>(hub.take(), 2)->policy.version, 0U);
  hub.connected(1, a_caller({.engine = true, .read = true}), at(0));
  hub.received(1, {.n = 1, .body = wire::Hello{.engine = "e"}}, at(0));
  auto outputs = hub.take();
  EXPECT_EQ(sent<wire::Failed>(outputs, 1)->error.code, ErrorCode::policy_invalid);
  hub.set_policy({.version = 1});
  hub.received(1, {.n = 2, .body = wire::Hello{.engine = "e"}}, at(0));
  EXPECT_NE(sent<wire::Welcome>(hub.take(), 1), nullptr);
}

TEST_F(HubTest, APolicyReachesThoseWhoFollowIt) {
  greet(1, "e1");
  hub_.connected(2, a_caller(), at(0));
  const auto outputs = ask(2, wire::Hello{.engine = "e2", .policy = "1"});
  ASSERT_NE(work(outputs), nullptr);
  EXPECT_EQ(std::get<PolicyAt>(work(outputs)->what).version, 1U);
  hub_.finished(2, n_, wire::PolicyVersion{.version = 1, .document = "{}"}, at(0));
  const auto welcomed = hub_.take();
  EXPECT_EQ(sent<wire::Welcome>(welcomed, 2)->policy.version, 1U);
  hub_.connected(3, a_caller(), at(0));
  EXPECT_NE(sent<wire::Failed>(ask(3, wire::Hello{.engine = "e3", .policy = "new"}), 3), nullptr);
  hub_.set_policy({.version = 4, .document = "{}"});
  const auto pushed = hub_.take();
  ASSERT_THAT(pushed, SizeIs(1));
  const auto& broadcast = std::get<Broadcast>(pushed[0]);
  EXPECT_THAT(broadcast.sessions, ElementsAre(1));
  EXPECT_EQ(std::get<wire::PolicyVersion>(broadcast.reply.body).version, 4U);
}

TEST_F(HubTest, WorkIsHandedOutAndAnswered) {
  greet(1, "e1");
  const auto outputs = ask(1, wire::Read{{"ann"}});
  ASSERT_THAT(outputs, SizeIs(1));
  EXPECT_THAT(std::get<wire::Read>(work(outputs)->what).ids, ElementsAre("ann"));
  EXPECT_EQ(work(outputs)->n, n_);
  hub_.finished(1, n_, wire::Rows{}, at(0));
  const auto answered = hub_.take();
  EXPECT_NE(sent<wire::Rows>(answered, 1), nullptr);
  EXPECT_EQ(std::get<Send>(answered[0]).reply.n, n_);
  // One who left is not answered.
  ask(1, wire::Read{{"ann"}});
  hub_.disconnected(1);
  hub_.finished(1, n_, wire::Rows{}, at(0));
  EXPECT_THAT(hub_.take(), IsEmpty());
}

TEST_F(HubTest, TooManyRequestsOnTheirWayEndTheConnection) {
  greet(1, "e1");
  ask(1, wire::Read{});
  ask(1, wire::Read{});
  hub_.finished(1, n_, wire::Rows{}, at(0));
  hub_.take();
  EXPECT_EQ(cut(ask(1, wire::Read{}), 1), nullptr);
  const auto outputs = ask(1, wire::Read{});
  EXPECT_EQ(cut(outputs, 1)->code, wire::Close::broken_rule);
  EXPECT_THAT(cut(outputs, 1)->reason, HasSubstr("--max-requests"));
}

TEST_F(HubTest, TokensReachAsFarAsTheirScopes) {
  greet(1, "e1", 0, a_caller({.read = true}));
  EXPECT_THAT(hub_.leased(at(0)), IsEmpty()) << "it is no engine";
  const std::vector<decltype(wire::Request::body)> requests = {
      wire::Read{}, wire::Exchange{}, wire::RecallHomes{}, wire::Scan{}, wire::Estimates{}};
  for (const auto& request : requests) {
    const auto outputs = ask(1, request);
    ASSERT_THAT(outputs, SizeIs(1));
    EXPECT_EQ(sent<wire::Failed>(outputs, 1)->error.code, ErrorCode::unauthorized);
  }
  EXPECT_NE(work(ask(1, wire::Admin{.what = "push"})), nullptr) << "that is asked elsewhere";
}

TEST_F(HubTest, ALeaseRunsFromTheLastMessage) {
  greet(1, "e1", 20'000);
  EXPECT_FALSE(hub_.is_lost("e1", at(29'999)));
  EXPECT_TRUE(hub_.is_lost("e1", at(30'000)));
  const auto outputs = ask(1, wire::Renew{}, 25'000);
  EXPECT_EQ(sent<wire::Renewed>(outputs, 1)->lease, Millis(10'000));
  EXPECT_FALSE(hub_.is_lost("e1", at(34'999)));
  // Its connection ends, and its lease runs on.
  hub_.disconnected(1);
  hub_.tick(at(34'999));
  EXPECT_FALSE(hub_.is_lost("e1", at(34'999)));
  ASSERT_THAT(hub_.leased(at(34'999)), SizeIs(1));
  EXPECT_EQ(hub_.leased(at(34'999))[0].left, Millis(1));
  EXPECT_THAT(hub_.leased(at(35'000)), IsEmpty());
  EXPECT_TRUE(hub_.is_lost("e1", at(35'000)));
  hub_.tick(at(35'000));
  EXPECT_THAT(hub_.engines(at(35'000)), IsEmpty());
  // It may come back.
  greet(2, "e1", 36'000);
  EXPECT_FALSE(hub_.is_lost("e1", at(36'000)));
}

TEST_F(HubTest, AServerThatStartsWaitsForEnginesThatItDoesNotKnow) {
  EXPECT_FALSE(hub_.is_lost("before", at(9'999)));
  EXPECT_TRUE(hub_.is_lost("before", at(10'000)));
  greet(1, "e1", 100);
  const auto outputs = ask(1, wire::Bye{}, 200);
  EXPECT_NE(sent<wire::Done>(outputs, 1), nullptr);
  EXPECT_EQ(cut(outputs, 1)->code, wire::Close::normal);
  EXPECT_TRUE(hub_.is_lost("e1", at(200))) << "it said bye";
  hub_.tick(at(10'000));
  EXPECT_TRUE(hub_.is_lost("e1", at(10'000)));
}

TEST_F(HubTest, WhoComesAndGoesIsToldOn) {
  const auto before = hub_.arrivals();
  greet(1, "e1");
  ask(1, wire::Renew{});
  EXPECT_EQ(hub_.arrivals(), before + 1);
  ask(1, wire::Bye{});
  EXPECT_EQ(hub_.arrivals(), before + 2);
}

TEST_F(HubTest, ANewerConnectionTakesThePlaceOfTheOlder) {
  greet(1, "e1");
  const auto outputs = greet(2, "e1");
  EXPECT_NE(sent<wire::Welcome>(outputs, 2), nullptr);
  EXPECT_EQ(cut(outputs, 1)->code, wire::Close::broken_rule);
  // What comes late of the older one changes nothing.
  hub_.disconnected(1);
  greet(3, "e3");
  const auto recalled = ask(3, wire::RecallHomes{{{.engine = "e1", .ids = {"ann"}}}});
  EXPECT_NE(sent<wire::RecallCustomers>(recalled, 2), nullptr);
}

TEST_F(HubTest, ARecallReachesTheHome) {
  greet(1, "e1", 20'000);
  greet(2, "e2", 20'000);
  const wire::RecallHomes recall{
      {{.engine = "e1", .ids = {"ann", "bob"}}, {.engine = "gone", .ids = {"cyd"}}}};
  const auto outputs = ask(2, recall, 20'000);
  EXPECT_THAT(sent<wire::RecallCustomers>(outputs, 1)->ids, ElementsAre("ann", "bob"));
  EXPECT_THAT(sent<wire::Recalled>(outputs, 2)->lost, ElementsAre("gone"));
  // Asked again at once, the home is not told again; a little later it is.
  EXPECT_EQ(sent<wire::RecallCustomers>(ask(2, recall, 20'010), 1), nullptr);
  EXPECT_NE(sent<wire::RecallCustomers>(ask(2, recall, 20'020), 1), nullptr);
  // Who is away is waited for, until its lease ends.
  hub_.disconnected(1);
  const auto away = ask(2, recall, 29'999);
  EXPECT_THAT(sent<wire::Recalled>(away, 2)->lost, ElementsAre("gone"));
  const auto late = ask(2, recall, 30'000);
  EXPECT_THAT(sent<wire::Recalled>(late, 2)->lost, ElementsAre("e1", "gone"));
}

TEST_F(HubTest, ARevokedOrExpiredTokenEndsItsConnections) {
  greet(1, "e1", 0, a_caller(all_scopes, "t1"));
  greet(2, "e2", 0, a_caller(all_scopes, "t2"));
  Caller short_lived = a_caller(all_scopes, "t3");
  short_lived.expires = Timestamp(Millis(2000));
  greet(3, "e3", 0, short_lived);
  EXPECT_THAT(hub_.token_ids(), ElementsAre("t1", "t2", "t3"));
  hub_.revoked(std::vector<std::string>{"t2", "other"});
  auto outputs = hub_.take();
  EXPECT_THAT(outputs, SizeIs(1));
  EXPECT_EQ(cut(outputs, 2)->code, wire::Close::revoked);
  hub_.tick(at(999));
  EXPECT_THAT(hub_.take(), IsEmpty());
  hub_.tick(at(1000));
  outputs = hub_.take();
  EXPECT_EQ(cut(outputs, 3)->code, wire::Close::revoked);
  EXPECT_EQ(hub_.sessions(), 1U);
}

TEST_F(HubTest, AServerThatStopsTellsEveryone) {
  greet(1, "e1");
  greet(2, "e2");
  hub_.drain();
  const auto outputs = hub_.take();
  EXPECT_EQ(cut(outputs, 1)->code, wire::Close::going_away);
  EXPECT_EQ(cut(outputs, 2)->code, wire::Close::going_away);
  hub_.connected(3, a_caller(), at(0));
  EXPECT_EQ(cut(hub_.take(), 3)->code, wire::Close::going_away);
}

class OnePeer final : public Peers {
public:
  bool is_alive(std::string_view engine) const override { return engine == "there"; }
  void recall(const wire::HomeOf& homes) override { recalled.push_back(homes.engine); }
  std::vector<std::string> recalled;
};

TEST_F(HubTest, OtherServersAreAskedForTheirEngines) {
  OnePeer peer;
  Hub hub(options(), at(0), &peer);
  hub.set_policy({.version = 1});
  hub.connected(1, a_caller(), at(20'000));
  hub.received(1, {.n = 1, .body = wire::Hello{.engine = "e1"}}, at(20'000));
  hub.received(1,
               {.n = 2,
                .body = wire::RecallHomes{{{.engine = "there", .ids = {"ann"}},
                                           {.engine = "gone", .ids = {"bob"}}}}},
               at(20'000));
  EXPECT_THAT(sent<wire::Recalled>(hub.take(), 1)->lost, ElementsAre("gone"));
  EXPECT_THAT(peer.recalled, ElementsAre("there"));
  hub.recalled_by_peer({.engine = "e1", .ids = {"cyd"}}, at(20'000));
  EXPECT_THAT(sent<wire::RecallCustomers>(hub.take(), 1)->ids, ElementsAre("cyd"));
}

TEST_F(HubTest, EnginesThatServeWithoutAConnectionAreKnownWhileTheyAreAway) {
  const auto come = [&](SessionId session, const std::string& engine, bool denies, int ms) {
    hub_.connected(session, a_caller(), at(ms));
    ask(session, wire::Hello{.engine = engine, .deny_unconnected = denies}, ms);
  };
  come(1, "loose", false, 0);
  come(2, "strict", true, 0);
  come(3, "polite", false, 0);
  EXPECT_EQ(hub_.away_serving(at(0)), 0U);
  ask(3, wire::Bye{});
  hub_.disconnected(1);
  hub_.disconnected(2);
  EXPECT_EQ(hub_.away_serving(at(1)), 1U) << "cut off, while its lease runs";
  hub_.tick(at(10'000));
  EXPECT_EQ(hub_.away_serving(at(10'000)), 1U) << "when it is over, too";
  const Json engines = hub_.engines(at(12'000));
  ASSERT_EQ(engines.size(), 1U);
  EXPECT_EQ(engines[0]["engine"], "loose");
  EXPECT_EQ(engines[0]["away"], 2'000);

  come(4, "loose", false, 20'000);
  EXPECT_EQ(hub_.away_serving(at(20'000)), 0U) << "it is back";
  hub_.disconnected(4);
  hub_.tick(at(40'000));
  constexpr int day = 24 * 3'600'000;
  hub_.tick(at(40'000 + day - 1));
  EXPECT_EQ(hub_.away_serving(at(40'000 + day - 1)), 1U);
  hub_.tick(at(40'000 + day));
  EXPECT_EQ(hub_.away_serving(at(40'000 + day)), 0U) << "nobody waits for ever";
}

TEST_F(HubTest, WhoIsConnectedElsewhereIsNotAway) {
  OnePeer peer;
  Hub hub(options(), at(0), &peer);
  hub.set_policy({.version = 1});
  for (const char* engine : {"there", "nowhere"}) {
    const SessionId session = engine[0] == 't' ? 1 : 2;
    hub.connected(session, a_caller(), at(0));
    hub.received(session,
                 {.n = 1, .body = wire::Hello{.engine = engine, .deny_unconnected = false}}, at(0));
    hub.disconnected(session);
  }
  hub.tick(at(10'000));
  EXPECT_EQ(hub.away_serving(at(10'000)), 1U);
  EXPECT_EQ(hub.engines(at(10'000))[0]["engine"], "nowhere");
}

TEST_F(HubTest, NoMoreThanTenThousandAreRememberedThatAreAway) {
  for (int i = 0; i < 10'003; ++i) {
    hub_.connected(1, a_caller(), at(i));
    ask(1, wire::Hello{.engine = std::to_string(i), .deny_unconnected = false}, i);
    hub_.disconnected(1);
  }
  for (int ms = 10'000; ms <= 30'000; ms += 1'000) hub_.tick(at(ms));
  EXPECT_EQ(hub_.away_serving(at(30'000)), 10'000U);
}

TEST_F(HubTest, RequestsAreCountedByType) {
  greet(1, "e1");
  ask(1, wire::Renew{});
  ask(1, wire::Renew{});
  EXPECT_EQ(hub_.counts().requests[0], 1U);
  EXPECT_EQ(hub_.counts().requests[6], 2U);
  EXPECT_EQ(request_names[6], "renew");
  EXPECT_EQ(hub_.policy_version(), 3U);
}

}  // namespace
}  // namespace limitr::server
