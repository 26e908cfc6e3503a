// SPDX-License-Identifier: Apache-2.0
#include "server/recall_notice.h"

#include <set>

#include <gtest/gtest.h>

namespace limitr::server {
namespace {

std::optional<PeerRecall> joined(const std::vector<std::string>& notices) {
  RecallNotices all;
  std::optional<PeerRecall> found;
  for (const std::string& notice : notices) {
    EXPECT_FALSE(found) << "there before its last piece";
    found = all.add(notice);
  }
  return found;
}

TEST(RecallNotice, IsReadAsItWasWritten) {
  std::string odd = "line\n\"quote\" ";
  odd.push_back('\0');
  std::string wide;
  for (int i = 0; i < 9'000; ++i) wide += "\xc3\xa9";
  std::vector<std::string> many;
  for (int i = 0; i < 3'000; ++i) many.push_back("customer-" + std::to_string(i));
  for (const std::vector<std::string>& ids : {std::vector<std::string>{},
                                              {"ann"},
                                              {odd, ""},
                                              {wide},
                                              {std::string(100'000, 'x')},
                                              many}) {
    const PeerRecall recall = {.project = "acme", .homes = {.engine = odd, .ids = ids}};
    const auto notices = notices_of(recall, 7);
    const auto read = joined(notices);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->project, "acme");
    EXPECT_EQ(read->homes.engine, odd);
    EXPECT_EQ(read->homes.ids, ids);
    EXPECT_EQ(std::set<std::string>(notices.begin(), notices.end()).size(), notices.size());
    for (const std::string& notice : notices) EXPECT_LT(notice.size(), 8'000U);
  }
}

TEST(RecallNotice, WhatLostItsFirstPiecesIsPassedOver) {
  const PeerRecall recall = {.project = "p",
                             .homes = {.engine = "e", .ids = {std::string(20'000, 'x')}}};
  const auto first = notices_of(recall, 0);
  const auto second = notices_of(recall, 1);
  ASSERT_EQ(first.size(), 3U);
  RecallNotices all;
  EXPECT_FALSE(all.add(first[1]));
  EXPECT_FALSE(all.add(first[2]));
  EXPECT_FALSE(all.add(first[0]));
  EXPECT_FALSE(all.add(second[1]));
  EXPECT_FALSE(all.add(second[2]));
  EXPECT_FALSE(all.add(second[0]));
  EXPECT_FALSE(all.add(second[1]));
  EXPECT_TRUE(all.add(second[2]));
}

TEST(RecallNotice, NonsenseIsPassedOver) {
  RecallNotices all;
  for (const char* none :
       {"", ":", "0.0/1", "0.0/1:", "0.0/1:{}", "a.0/1:{}", "0.-1/1:{}", "0.0/1x:{}", "0.0/1:[1]",
        "0.0/1:{\"project\":1,\"engine\":\"e\",\"ids\":[]}",
        "0.0/1:{\"project\":\"p\",\"engine\":\"e\",\"ids\":[1]}",
        "0.0/1:{\"project\":\"p\",\"engine\":\"e\"}", "99999999999999999999.0/1:{}"}) {
    EXPECT_FALSE(all.add(none)) << none;
  }
}

}  // namespace
}  // namespace limitr::server
