// SPDX-License-Identifier: Apache-2.0
#include "server/token.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace limitr::server {
namespace {

std::string made(TokenKind kind = TokenKind::live) {
  const Result<std::string> token = make_token(kind);
  EXPECT_TRUE(token.ok());
  return token.ok() ? *token : std::string();
}

TEST(Token, SaysItsKindAndIsNeverMadeTwice) {
  EXPECT_TRUE(made().starts_with("lim_live_"));
  EXPECT_TRUE(made(TokenKind::test).starts_with("lim_test_"));
  std::set<std::string> all;
  for (int i = 0; i < 1000; ++i) all.insert(made());
  EXPECT_EQ(all.size(), 1000U);
}

TEST(Token, DrawsEachDigitAlikeOften) {
  std::map<char, int> count;
  constexpr int tokens = 2000;
  for (int i = 0; i < tokens; ++i) {
    for (const char digit : made().substr(9, 43)) ++count[digit];
  }
  EXPECT_EQ(count.size(), 62U);
  // 86,000 draws: each about 1,387 times, with a deviation of 37; ten of those are never seen.
  for (const auto& [digit, times] : count) EXPECT_NEAR(times, tokens * 43 / 62, 370) << digit;
}

TEST(Token, ShowsWhereItWasMistyped) {
  const std::string token = made();
  EXPECT_TRUE(is_well_formed(token));
  for (std::size_t at = 0; at < token.size(); ++at) {
    std::string other = token;
    other[at] = token[at] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(is_well_formed(other)) << at;
    other = token;
    other.erase(at, 1);
    EXPECT_FALSE(is_well_formed(other)) << at;
    if (at + 1 < token.size() && token[at] != token[at + 1]) {
      other = token;
      std::swap(other[at], other[at + 1]);
      EXPECT_FALSE(is_well_formed(other)) << at;
    }
  }
  for (const char* none : {"", "lim_live_", "lim_test_", "x", "lim_prod_123"}) {
    EXPECT_FALSE(is_well_formed(none)) << none;
  }
  EXPECT_FALSE(is_well_formed(token + " "));
}

TEST(Token, IsKeptAsItsSha256) {
  // FIPS 180-2, B.1
  EXPECT_EQ(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(is_same_hash("abc", "abc"));
  EXPECT_FALSE(is_same_hash("abc", "abd"));
  EXPECT_FALSE(is_same_hash("abc", "ab"));
}

TEST(Token, ScopesReadBackAsTheyAreWritten) {
  for (const char* text : {"", "engine", "read", "admin", "engine,read", "engine,read,admin"}) {
    const Result<Scopes> scopes = read_scopes(text);
    ASSERT_TRUE(scopes.ok()) << text;
    EXPECT_EQ(to_string(*scopes), text);
  }
  EXPECT_EQ(to_string(*read_scopes("admin,engine")), "engine,admin");
  for (const char* text : {"root", "engine,,read", "Admin", "engine read"}) {
    const Result<Scopes> scopes = read_scopes(text);
    ASSERT_FALSE(scopes.ok()) << text;
    EXPECT_EQ(scopes.error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace limitr::server
