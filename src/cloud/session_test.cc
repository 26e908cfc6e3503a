// SPDX-License-Identifier: Apache-2.0
#include "cloud/session.h"

#include <gtest/gtest.h>

namespace limitr::cloud {
namespace {

using Moment = Session::Moment;
using Task = Session::Task;

constexpr Moment at(std::int64_t ms) { return Moment(Millis(ms)); }

// One that was welcomed at 1,000, with a lease of 9 seconds from 900.
Session connected() {
  Session session(at(0), 1);
  session.connecting();
  session.welcomed(at(900), at(1'000), Millis(9'000));
  return session;
}

TEST(Session, ConnectsAtOnce) {
  Session session(at(5), 1);
  EXPECT_EQ(session.due(at(5)), Task::connect);
  session.connecting();
  EXPECT_EQ(session.due(at(100'000)), Task::none);
}

// Goal: no pause is longer or shorter than it may be, and none is given up.
TEST(Session, TriesForEverAfterPausesThatGrow) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    Session session(at(0), seed);
    Moment now = at(0);
    std::int64_t most = 100;
    for (int tries = 0; tries < 100; ++tries) {
      ASSERT_EQ(session.due(now), Task::connect);
      session.connecting();
      session.broken(now);
      const std::int64_t pause = std::chrono::duration_cast<Millis>(session.next() - now).count();
      EXPECT_GE(pause, most / 2);
      EXPECT_LE(pause, most);
      EXPECT_EQ(session.due(session.next() - Millis(1)), Task::none);
      now = session.next();
      most = std::min<std::int64_t>(most * 2, 10'000);
    }
  }
}

TEST(Session, PausesOfTwoEnginesDiffer) {
  Session one(at(0), 1);
  Session other(at(0), 2);
  int same = 0;
  for (int tries = 0; tries < 20; ++tries) {
    one.broken(at(0));
    other.broken(at(0));
    same += one.next() == other.next() ? 1 : 0;
  }
  EXPECT_LT(same, 10);
}

// Goal: a token that is revoked does not use up what its address may get wrong.
TEST(Session, ATokenThatIsNotAcceptedIsTriedSeldom) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    Session session(at(0), seed);
    session.connecting();
    session.welcomed(at(0), at(0), Millis(9'000));
    session.refused(at(1'000));
    EXPECT_EQ(session.due(at(30'999)), Task::none);
    EXPECT_GE(session.next(), at(31'000));
    EXPECT_LE(session.next(), at(61'000));
    EXPECT_EQ(session.due(session.next()), Task::connect);
    EXPECT_EQ(session.leased_until(), at(7'200)) << "the lease runs on";
    const Moment now = session.next();
    session.connecting();
    session.broken(now);
    EXPECT_LE(session.next(), now + Millis(100)) << "the server has gone meanwhile";
  }
}

TEST(Session, PausesAreShortAgainAfterAConnectionThatLasted) {
  const auto pause_after = [](Millis lasted) {
    Session session(at(0), 1);
    for (int tries = 0; tries < 20; ++tries) session.broken(at(0));
    session.connecting();
    session.welcomed(at(0), at(0), Millis(9'000));
    session.broken(at(0) + lasted);
    return session.next() - (at(0) + lasted);
  };
  EXPECT_LE(pause_after(Millis(10'000)), Millis(100));
  EXPECT_GE(pause_after(Millis(9'999)), Millis(5'000)) << "it takes us and drops us";
}

TEST(Session, TheLeaseCountsFromSendingAndEndsAFifthEarlier) {
  Session session = connected();
  EXPECT_EQ(session.leased_until(), at(900 + 7'200));
  session.answered(at(2'000));
  EXPECT_EQ(session.leased_until(), at(2'000 + 7'200));
  session.answered(at(1'500));
  EXPECT_EQ(session.leased_until(), at(2'000 + 7'200)) << "an answer was late";
  session.answered(at(3'000), Millis(5'000));
  EXPECT_EQ(session.leased_until(), at(3'000 + 4'000)) << "the server has made leases shorter";
}

TEST(Session, HasNoLeaseBeforeItIsWelcome) {
  EXPECT_LE(Session(at(5'000), 1).leased_until(), at(0));
}

TEST(Session, TheLeaseOutlivesTheConnection) {
  Session session = connected();
  session.broken(at(1'500));
  EXPECT_EQ(session.leased_until(), at(900 + 7'200));
}

TEST(Session, RenewsAThirdOfTheLeaseAfterWhatWasLastAnswered) {
  Session session = connected();
  EXPECT_EQ(session.next(), at(900 + 3'000));
  EXPECT_EQ(session.due(at(3'899)), Task::none);
  EXPECT_EQ(session.due(at(3'900)), Task::renew);
  session.answered(at(2'000));
  EXPECT_EQ(session.due(at(3'900)), Task::none) << "every message extends the lease";
  EXPECT_EQ(session.due(at(5'000)), Task::renew);
  session.renewing(at(5'000));
  EXPECT_EQ(session.due(at(5'000)), Task::none);
  session.answered(at(5'000), Millis(9'000));
  EXPECT_EQ(session.next(), at(8'000));
}

TEST(Session, AConnectionThatSaysNothingIsDead) {
  Session session = connected();
  session.renewing(at(3'900));
  EXPECT_EQ(session.due(at(6'899)), Task::none);
  EXPECT_EQ(session.due(at(6'900)), Task::cut);
  session.heard(at(6'000));
  EXPECT_EQ(session.due(at(6'900)), Task::none) << "it says something, if slowly";
  EXPECT_EQ(session.due(at(9'000)), Task::cut);
  EXPECT_GT(session.leased_until(), at(6'900)) << "there is time left to connect again";
  session.broken(at(9'000));
  session.connecting();
  session.welcomed(at(9'100), at(9'200), Millis(9'000));
  EXPECT_EQ(session.due(at(9'200)), Task::none);
}

TEST(Session, AnAnswerToWhatWasSentBeforeARenewalIsNoneToIt) {
  Session session = connected();
  session.renewing(at(3'900));
  session.answered(at(3'000));
  EXPECT_EQ(session.due(at(6'900)), Task::cut);
  session.answered(at(4'000));
  EXPECT_EQ(session.due(at(6'900)), Task::none);
}

}  // namespace
}  // namespace limitr::cloud
