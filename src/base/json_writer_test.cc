// SPDX-License-Identifier: Apache-2.0
#include "base/json_writer.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace limitr {
namespace {

TEST(JsonWriter, SeparatesFieldsAndElements) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("a", 1).field("b", "x").key("c").begin_array();
  json.value(true).null().begin_object().end_object().begin_array().end_array();
  json.end_array().field("d", false).end_object();
  EXPECT_EQ(out, R"({"a":1,"b":"x","c":[true,null,{},[]],"d":false})");
}

TEST(JsonWriter, NumbersReadBackAsTheSameDouble) {
  struct Case {
    double number;
    const char* text;
  };
  for (const Case& c :
       {Case{0, "0"}, Case{-0.0, "-0.0"}, Case{0.1, "0.1"}, Case{1e14, "100000000000000"},
        Case{-3, "-3"}, Case{1e300, "1e+300"}, Case{0.1 + 0.2, "0.30000000000000004"},
        Case{HUGE_VAL, "null"}, Case{std::numeric_limits<double>::quiet_NaN(), "null"}}) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(to_json_text(c.number), c.text);
    if (std::isfinite(c.number)) {
      const auto again = Json::parse(to_json_text(c.number)).get<double>();
      EXPECT_EQ(again, c.number);
      EXPECT_EQ(std::signbit(again), std::signbit(c.number));
    }
  }
  EXPECT_EQ(to_json_text(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(to_json_text(Json(std::numeric_limits<std::uint64_t>::max())), "18446744073709551615");
}

TEST(JsonWriter, EveryTextReadsBackAsItself) {
  std::string all;
  for (char c = 0; c >= 0 && c < 0x7f; ++c) all.push_back(c);
  all += "\x7f \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80";
  EXPECT_EQ(Json::parse(to_json_text(all)).get<std::string>(), all);
  EXPECT_EQ(to_json_text("a\"b\\c\n\x01"), R"("a\"b\\c\n\u0001")");
}

TEST(JsonWriter, InvalidUtf8IsReplaced) {
  const std::string replacement = "\xEF\xBF\xBD";
  for (const char* broken : {"\x80", "\xC0\xAF", "\xE2\x82", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                             "\xF8\x88\x80\x80\x80", "\xFF"}) {
    const auto read = Json::parse(to_json_text(broken)).get<std::string>();
    EXPECT_EQ(read.substr(0, 3), replacement);
  }
}

TEST(JsonWriter, AbsentIsNull) {
  EXPECT_EQ(to_json_text(MaybeAmount()), "null");
  EXPECT_EQ(to_json_text(MaybeAmount(2.5)), "2.5");
  EXPECT_EQ(to_json_text(MaybeTime()), "null");
  EXPECT_EQ(to_json_text(timestamp_from_ms(1'700'000'000'000)), "1700000000000");
  EXPECT_EQ(to_json_text(std::optional<std::string>()), "null");
}

TEST(JsonWriter, WritesDynamicValues) {
  const Json value = {{"list", {1, 2.5, nullptr, "x"}}, {"flag", true}, {"none", Json::object()}};
  EXPECT_EQ(Json::parse(to_json_text(value)), value);
}

}  // namespace
}  // namespace limitr
