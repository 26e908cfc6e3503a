// SPDX-License-Identifier: Apache-2.0
#include "cloud/address.h"

#include <gtest/gtest.h>

namespace limitr::cloud {
namespace {

TEST(Address, IsReadFromAUrl) {
  struct Case {
    const char* text;
    bool is_tls;
    const char* host;
    const char* port;
    const char* prefix;
    const char* authority;
  };
  const Case cases[] = {
      {"http://localhost:4242", false, "localhost", "4242", "", "localhost:4242"},
      {"https://limits.example.org", true, "limits.example.org", "443", "",
       "limits.example.org:443"},
      {"http://10.0.0.1/", false, "10.0.0.1", "80", "", "10.0.0.1:80"},
      {"https://h:1/a/b/", true, "h", "1", "/a/b", "h:1"},
      {"http://[::1]:65535", false, "::1", "65535", "", "[::1]:65535"},
      {"https://[fe80::2]/x", true, "fe80::2", "443", "/x", "[fe80::2]:443"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const Result<Address> address = parse_address(c.text);
    ASSERT_TRUE(address.ok()) << address.error().to_string();
    EXPECT_EQ(address->is_tls, c.is_tls);
    EXPECT_EQ(address->host, c.host);
    EXPECT_EQ(address->port, c.port);
    EXPECT_EQ(address->prefix, c.prefix);
    EXPECT_EQ(address->authority(), c.authority);
  }
}

TEST(Address, ThatCannotBeIsNamed) {
  for (const char* text :
       {"", "localhost:4242", "ws://localhost", "http://", "http://:1", "http://a:0",
        "http://a:", "http://a:65536", "http://a:1x", "http://a:1:2", "http://user@a", "http://a b",
        "http://a/x?y", "http://a/\r\nHost: b", "http://[::1", "http://[::1]x", "http://[]:1"}) {
    const Result<Address> address = parse_address(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(address.error().message.find(text), std::string::npos);
  }
}

}  // namespace
}  // namespace limitr::cloud
