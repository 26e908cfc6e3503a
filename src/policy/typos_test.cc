// SPDX-License-Identifier: Apache-2.0
#include "policy/typos.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

namespace limitr::policy {
namespace {

constexpr std::array<std::string_view, 7> keys = {
    "value", "mode", "reset_inc", "reset_sch", "grants_apply", "credit", "id"};

TEST(Typos, AreWhatIsOneOrTwoLettersFromAKey) {
  struct Case {
    const char* why;
    const char* key;
    const char* meant;
  };
  for (const Case& c : {Case{"two neighbours changed places", "valeu", "value"},
                        {"one letter too few", "credt", "credit"},
                        {"one too many", "credits", "credit"},
                        {"one is wrong", "mede", "mode"},
                        {"two are wrong in a long key", "grant_aply", "grants_apply"},
                        {"three are", "grant_apl", ""},
                        {"two are wrong in a short key", "valid", ""},
                        {"the nearest counts", "reset_snc", "reset_inc"},
                        {"of equals the first", "reset_c", "reset_inc"},
                        {"it is another word", "name", ""},
                        {"letters are told apart by case", "MODE", ""},
                        {"it is empty", "", ""}}) {
    EXPECT_EQ(meant_by(c.key, keys), c.meant) << c.why;
  }
  EXPECT_EQ(meant_by(std::string(1'000'000, 'x'), keys), "") << "however long it is";
  EXPECT_EQ(meant_by("value", {}), "");
}

}  // namespace
}  // namespace limitr::policy
