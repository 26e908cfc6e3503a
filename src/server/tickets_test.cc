// SPDX-License-Identifier: Apache-2.0
#include "server/tickets.h"

#include <string>

#include <gtest/gtest.h>

namespace limitr::server {
namespace {

Caller a_caller(std::string token) {
  return {.token_id = std::move(token), .token_name = "n", .project = "p", .scopes = {}};
}

// spec: cloud.md, Connecting
TEST(Tickets, OpenOneConnectionInTime) {
  Tickets tickets;
  const std::string first = *tickets.issue(a_caller("t1"), Millis(0));
  const std::string second = *tickets.issue(a_caller("t2"), Millis(10));
  EXPECT_EQ(first.size(), 64U);
  EXPECT_NE(first, second);
  EXPECT_FALSE(tickets.redeem("", Millis(0)));
  EXPECT_FALSE(tickets.redeem(first.substr(0, 63), Millis(0)));
  EXPECT_EQ(tickets.redeem(first, Millis(29'999))->token_id, "t1");
  EXPECT_FALSE(tickets.redeem(first, Millis(29'999))) << "twice";
  EXPECT_FALSE(tickets.redeem(second, Millis(30'010))) << "too late";
}

TEST(Tickets, AreBounded) {
  Tickets tickets;
  for (std::size_t i = 0; i < Tickets::most; ++i) ASSERT_TRUE(tickets.issue({}, Millis(0)).ok());
  EXPECT_FALSE(tickets.issue({}, Millis(29'999)).ok());
  EXPECT_TRUE(tickets.issue({}, Millis(30'000)).ok()) << "those before are over";
}

TEST(Attempts, ComeBackWithTime) {
  Attempts attempts(3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(attempts.wait("a", Millis(0)), Millis(0)) << i;
    attempts.failed("a", Millis(0));
  }
  EXPECT_EQ(attempts.wait("a", Millis(0)), Millis(20'000));
  EXPECT_EQ(attempts.wait("b", Millis(0)), Millis(0));
  EXPECT_EQ(attempts.wait("a", Millis(19'999)), Millis(1));
  EXPECT_EQ(attempts.wait("a", Millis(20'000)), Millis(0));
  attempts.failed("a", Millis(20'000));
  EXPECT_EQ(attempts.wait("a", Millis(20'000)), Millis(20'000));
  EXPECT_EQ(attempts.wait("a", Millis(90'000)), Millis(0));
}

// Goal: however many there are, a minute has no more.
TEST(Attempts, AreAsManyAsTheyMayBe) {
  for (const int most : {1, 2, 7, 249, 40'000, 60'000}) {
    SCOPED_TRACE(most);
    Attempts attempts(static_cast<std::size_t>(most));
    int made = 0;
    for (; made <= most && attempts.wait("a", Millis(0)) == Millis(0); ++made) {
      attempts.failed("a", Millis(0));
    }
    EXPECT_EQ(made, most);
  }
}

TEST(Attempts, OfOneNetworkAreOnes) {
  EXPECT_EQ(Attempts::who("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(Attempts::who("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2");
  EXPECT_EQ(Attempts::who("2001:db8:1:2::6"), "2001:db8:1:2");
  EXPECT_EQ(Attempts::who("2001:db8::6"), "2001:db8");
  EXPECT_EQ(Attempts::who("::1"), "");
  EXPECT_EQ(Attempts::who("::ffff:192.0.2.7"), "192.0.2.7");
}

// A table of addresses that is full takes new ones all the same.
TEST(Attempts, AreBounded) {
  Attempts attempts(1);
  for (int i = 0; i < 20'000; ++i) attempts.failed(std::to_string(i), Millis(0));
  attempts.failed("new", Millis(0));
  EXPECT_GT(attempts.wait("new", Millis(0)), Millis(0));
}

}  // namespace
}  // namespace limitr::server
