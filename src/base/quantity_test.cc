// SPDX-License-Identifier: Apache-2.0
#include "base/quantity.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "base/amount.h"
#include "base/test_vectors.h"

// spec: policy.md, Numbers with units
namespace limitr {
namespace {

Unit unit(std::string_view name) { return Unit::find(name).value(); }

Result<double> read(std::string_view text, Unit in) { return quantity(text, in); }

std::string refusal(std::string_view text, std::string_view in) {
  const Result<double> result = read(text, unit(in));
  if (result.ok()) return "accepted";
  EXPECT_EQ(result.error().code, ErrorCode::invalid_value);
  return result.error().message;
}

TEST(Quantity, AnswersLikeTheReferenceEngine) {
  std::size_t rows = 0;
  for (const Json& row : read_vectors("units.ndjson")) {
    SCOPED_TRACE(row.dump());
    const auto text = row["value"].get<std::string>();
    const auto expected = row["expect"].get<double>();
    const Result<double> result = read(text, unit(row["units"].get<std::string>()));
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_NEAR(*result, expected, 1e-9 * std::max(1.0, std::fabs(expected)));
    ++rows;
  }
  EXPECT_GT(rows, 300U);
}

TEST(Quantity, TheSameUnitGivesExactlyTheNumber) {
  for (const char* name : {"ns", "us", "days", "MB", "YiB", "oz", "F", "pdeg", "um"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(*read(std::string("0.1") + name, unit(name)), 0.1);
  }
  EXPECT_EQ(*read("0.1 megabytes", unit("MB")), 0.1);
  EXPECT_EQ(*read("0.1", unit("MB")), 0.1) << "a bare number is already in the unit";
}

TEST(Quantity, EveryLongNameIsItsShortOne) {
  struct Case {
    std::string_view name;
    std::string_view same;
  };
  for (const Case& c :
       {Case{"bytes", "byte"}, Case{"yobibyte", "YiB"}, Case{"zettabytes", "ZB"},
        Case{"hour", "hr"}, Case{"minute", "min"}, Case{"microsecond", "us"},
        Case{"hectometers", "hm"}, Case{"decameter", "dcm"}, Case{"foot", "ft"},
        Case{"yards", "yd"}, Case{"gigatonnes", "Gt"}, Case{"pounds", "lb"}, Case{"tons", "Ton"},
        Case{"ounce", "oz"}, Case{"celsius", "C"}, Case{"degrees", "deg"}, Case{"radian", "rad"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(unit(c.name), unit(c.same));
    EXPECT_EQ(unit(c.name).name(), c.same);
  }
}

TEST(Quantity, ReadsNumbersAsUsersWriteThem) {
  struct Case {
    const char* why;
    const char* text;
    double expected;
  };
  for (const Case& c : {Case{"underscores", "1_000_000", 1e6}, Case{"white space", " -3\t", -3},
                        Case{"a plus sign", "+.5", 0.5}, Case{"an open fraction", "5.", 5},
                        Case{"an exponent", "1.5E+3", 1500}, Case{"a tiny one", "1e-3", 0.001},
                        Case{"zero", "0", 0}, Case{"many digits", "0.1000000000000000055", 0.1}}) {
    SCOPED_TRACE(c.why);
    const Result<double> result = read(c.text, Unit());
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(*result, c.expected);
  }
}

TEST(Quantity, AnExponentNeedsDigitsElseItIsAUnit) {
  EXPECT_EQ(*read("1EB", unit("byte")), 1e18);
  EXPECT_EQ(*read("1e3 EB", unit("EB")), 1000);
  EXPECT_EQ(refusal("1e", "MB"), "\"1e\" has an unknown unit \"e\"");
}

TEST(Quantity, RefusesWhatIsNoNumber) {
  for (const char* text :
       {"",    " ",   "-",    "+",   ".",     "_1",  "e5",  "lots", "--1",  "+-1", "1..2",
        "1 2", "1,5", "0x10", "1e+", "1 MB!", "nan", "inf", "-inf", "1MB2", "MB"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(read(text, unit("MB")).ok());
  }
  EXPECT_EQ(refusal("lots", "float"), "\"lots\" is not a number");
  EXPECT_EQ(refusal("nan", "float"), "\"nan\" is not a number");
}

TEST(Quantity, RefusesAUnitThatDoesNotFit) {
  EXPECT_EQ(refusal("5s", "MB"), "\"5s\" cannot be converted to MB");
  EXPECT_EQ(refusal("5 parsecs", "km"), "\"5 parsecs\" has an unknown unit \"parsecs\"");
  EXPECT_EQ(refusal("5mb", "MB"), "\"5mb\" has an unknown unit \"mb\"");
  for (const char* plain : {"float", "int"}) {
    EXPECT_NE(refusal("5MB", plain).find("set stof_units"), std::string::npos);
    EXPECT_NE(refusal("5x", plain).find("unknown unit"), std::string::npos);
  }
}

TEST(Quantity, RefusesWhatIsBeyondADouble) {
  EXPECT_NE(refusal("1e999", "float").find("beyond the range"), std::string::npos);
  EXPECT_NE(refusal("-1e999MB", "MB").find("beyond the range"), std::string::npos);
  EXPECT_NE(refusal("1e300YB", "bit").find("beyond the range"), std::string::npos);
  EXPECT_NE(refusal(std::string(100'000, '1'), "float").find("characters"), std::string::npos);
}

TEST(Quantity, ShortensWhatItQuotesAtACharacter) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\xC3\xA9";
  const std::string message = refusal(text, "float");
  EXPECT_LT(message.size(), 200U);
  EXPECT_NO_THROW(Json(message).dump()) << "the message must still be UTF-8";
}

TEST(Quantity, WholeNumbersAreCutTowardZero) {
  EXPECT_EQ(*quantity(Value(5.9), unit("int")), 5);
  EXPECT_EQ(*quantity(Value(-5.9), unit("int")), -5);
  EXPECT_EQ(*quantity(Value("5.9"), unit("int")), 5);
  EXPECT_FALSE(std::signbit(*quantity(Value(-0.4), unit("int")))) << "no negative zero";
  EXPECT_EQ(*quantity(Value(5.9), unit("MB")), 5.9);
}

TEST(Quantity, NumbersMustBeFinite) {
  for (const double number : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL, -HUGE_VAL}) {
    ASSERT_FALSE(quantity(Value(number), Unit()).ok());
    EXPECT_EQ(quantity(Value(number), Unit()).error().code, ErrorCode::invalid_value);
    EXPECT_FALSE(duration(Value(number)).ok());
  }
}

TEST(Quantity, AsWrittenReadsTheUnitButDoesNotApplyIt) {
  EXPECT_EQ(*quantity_as_written("2GB"), 2);
  EXPECT_EQ(*quantity_as_written("1.53days"), 1.53);
  EXPECT_FALSE(quantity_as_written("2 parsecs").ok());
}

TEST(Duration, IsTimeOrMilliseconds) {
  EXPECT_EQ(*duration("30days"), Millis(2'592'000'000));
  EXPECT_EQ(*duration("10min"), Millis(600'000));
  EXPECT_EQ(*duration("86400000"), Millis(86'400'000));
  EXPECT_EQ(*duration(86'400'000), Millis(86'400'000));
  EXPECT_EQ(*duration("-1day"), Millis(-86'400'000));
  EXPECT_EQ(*duration("1500us"), Millis(2)) << "to the nearest millisecond";
  EXPECT_EQ(*duration("0.4ms"), Millis(0));
  EXPECT_FALSE(duration("5MB").ok());
  EXPECT_FALSE(duration("soon").ok());
  EXPECT_FALSE(duration(1e18).ok()) << "sums of moments must not overflow";
  EXPECT_FALSE(duration("1e12 days").ok());
}

TEST(Unit, KnowsItsName) {
  EXPECT_EQ(Unit().name(), "float");
  EXPECT_TRUE(Unit().is_float());
  EXPECT_TRUE(unit("int").is_int());
  EXPECT_EQ(unit("int").name(), "int");
  EXPECT_EQ(unit("mebibytes").name(), "MiB");
  EXPECT_FALSE(Unit::find("parsecs"));
  EXPECT_FALSE(Unit::find(""));
  EXPECT_FALSE(Unit::find("mb")) << "units are written with their own letters";
}

}  // namespace
}  // namespace limitr
