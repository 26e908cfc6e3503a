// SPDX-License-Identifier: Apache-2.0
#include "policy/document.h"

#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/test_seed.h"
#include "policy/document_reader.h"
#include "policy/document_yaml_count.h"

// spec: policy.md; proof.md, Overload and parsers
namespace limitr::policy {
namespace {

Json read(std::string_view text, Format format, const DocumentBounds& bounds = {}) {
  const Result<Node> node = parse_document(text, format, bounds);
  EXPECT_TRUE(node.ok()) << node.error().to_string();
  return node.ok() ? to_json(*node) : Json();
}

Error refused(std::string_view text, Format format, const DocumentBounds& bounds = {}) {
  const Result<Node> node = parse_document(text, format, bounds);
  EXPECT_FALSE(node.ok()) << to_json(*node).dump().substr(0, 200);
  return node.ok() ? Error{ErrorCode::invalid_argument, "accepted"} : node.error();
}

bool contains(const Error& error, std::string_view part) {
  return error.message.find(part) != std::string::npos;
}

std::string repeated(std::string_view part, std::size_t times) {
  std::string text;
  text.reserve(part.size() * times);
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text;
}

// Not by operator+, whose inlined form gcc 12 warns of without a reason.
std::string around(std::string_view before, std::string_view middle, std::string_view behind) {
  std::string text(before);
  text += middle;
  text += behind;
  return text;
}

std::string numbered(std::string_view before, std::string_view behind, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) {
    text += around(before, std::to_string(i), behind);
  }
  return text;
}

// ------------------------------------------------------------------ one tree, three formats

TEST(Document, IsTheSameTreeInEachFormat) {
  const Json expected = {
      {"policy",
       {{"credits", {{"tok", {{"price", {{"amount", 0.01}}}, {"hidden", true}}}}},
        {"tiers", {1, 2.5, "x", {{"a", 1}}}}}}};
  EXPECT_EQ(
      read("policy:\n  credits:\n    tok:\n      price: { amount: 0.01 }\n      hidden: true\n"
           "  tiers: [1, 2.5, x, {a: 1}]\n",
           Format::yaml),
      expected);
  EXPECT_EQ(read(expected.dump(), Format::json), expected);
  EXPECT_EQ(read("[policy]\ntiers = [1, 2.5, \"x\", {a = 1}]\n[policy.credits.tok]\n"
                 "price.amount = 0.01\nhidden = true\n",
                 Format::toml),
            expected);
}

TEST(Document, MembersKeepTheirOrderAndPositions) {
  struct Case {
    Format format;
    const char* text;
    Position z, a;
  };
  for (const Case& c :
       {Case{Format::yaml, "z: 1\na:\n  - \xC3\xA9: 2\n", {1, 4}, {3, 3}},
        Case{Format::json, "{\"z\": 1,\n \"a\": [{\"\xC3\xA9\": 2}]}", {1, 7}, {2, 7}},
        Case{Format::toml, "z = 1\na = [{\"\xC3\xA9\" = 2}]\n", {1, 5}, {2, 5}}}) {
    SCOPED_TRACE(c.text);
    const Node node = parse_document(c.text, c.format, {}).value();
    const Node::Mapping& members = *node.as_mapping();
    ASSERT_EQ(members.size(), 2U);
    EXPECT_EQ(members[0].key, "z");
    EXPECT_EQ(members[0].key_position.line, 1U);
    EXPECT_EQ(members[0].key_position.column, c.format == Format::json ? 2U : 1U);
    EXPECT_EQ(members[0].value.position.line, c.z.line);
    EXPECT_EQ(members[0].value.position.column, c.z.column);
    EXPECT_EQ(members[1].value.position.line, c.a.line);
    EXPECT_EQ(members[1].value.position.column, c.a.column);
  }
}

TEST(Document, JsonPositionsCountCharactersNotBytes) {
  const Node node =
      parse_document("{\"a\\\"\xC3\xA9\": true , \"b\":\t-1.5e3}", Format::json, {}).value();
  EXPECT_EQ((*node.as_mapping())[0].value.position.column, 10U);
  EXPECT_EQ((*node.as_mapping())[1].key_position.column, 17U);
  EXPECT_EQ((*node.as_mapping())[1].value.position.column, 22U);
}

TEST(Document, AByteOrderMarkIsNoPartOfIt) {
  for (const Format format : {Format::yaml, Format::json}) {
    EXPECT_EQ(read("\xEF\xBB\xBF{\"a\": 1}", format), (Json{{"a", 1}}));
  }
  EXPECT_EQ(read("\xEF\xBB\xBF"
                 "a = 1",
                 Format::toml),
            (Json{{"a", 1}}));
}

TEST(Document, MayBeEmptyAndPointNowhere) {
  EXPECT_EQ(read(std::string_view(), Format::yaml), nullptr);
  EXPECT_EQ(read(std::string_view(), Format::toml), Json::object());
  EXPECT_FALSE(parse_document(std::string_view(), Format::json, {}).ok());
}

TEST(Document, FindsMembersAndNamesKinds) {
  const Node node =
      parse_document("{a: [], b: {}, c: x, d: 1, e: true, f: ~}", Format::yaml, {}).value();
  EXPECT_EQ(node.kind_name(), "a mapping");
  EXPECT_EQ(node.find("a")->kind_name(), "a list");
  EXPECT_EQ(node.find("c")->kind_name(), "text");
  EXPECT_EQ(node.find("d")->kind_name(), "a number");
  EXPECT_EQ(node.find("e")->kind_name(), "true or false");
  EXPECT_EQ(node.find("f")->kind_name(), "nothing");
  EXPECT_EQ(node.find("g"), nullptr);
  EXPECT_EQ(node.find("a")->find("x"), nullptr) << "a list has no members";
}

TEST(Document, FormatsAreKnownByTheirEnding) {
  EXPECT_EQ(format_of("a/policy.yaml"), Format::yaml);
  EXPECT_EQ(format_of("policy.yml"), Format::yaml);
  EXPECT_EQ(format_of("policy.json"), Format::json);
  EXPECT_EQ(format_of("policy.toml"), Format::toml);
  EXPECT_EQ(format_of("policy"), std::nullopt);
}

TEST(Document, WholeNumbersBecomeJsonIntegers) {
  const Json json =
      to_json(parse_document("[1, -0.0, 1.5, 9007199254740993e3]", Format::json, {}).value());
  EXPECT_TRUE(json[0].is_number_integer());
  EXPECT_TRUE(std::signbit(json[1].get<double>()));
  EXPECT_TRUE(json[2].is_number_float());
  EXPECT_TRUE(json[3].is_number_float());
}

// ------------------------------------------------------------------ YAML

TEST(Yaml, TypesPlainScalarsByTheCoreSchema) {
  struct Case {
    const char* text;
    Json expected;
  };
  for (const Case& c : std::initializer_list<Case>{{"", nullptr},
                                                   {"~", nullptr},
                                                   {"null", nullptr},
                                                   {"NULL", nullptr},
                                                   {"nULL", "nULL"},
                                                   {"true", true},
                                                   {"False", false},
                                                   {"yes", "yes"},
                                                   {"on", "on"},
                                                   {"12", 12},
                                                   {"+12", 12},
                                                   {"-12", -12},
                                                   {"012", 12},
                                                   {"0x1F", 31},
                                                   {"0o17", 15},
                                                   {"0b1", "0b1"},
                                                   {"1.5", 1.5},
                                                   {".5", 0.5},
                                                   {"5.", 5},
                                                   {"-.5e2", -50},
                                                   {"1e3", 1000},
                                                   {"1_000", "1_000"},
                                                   {"1e", "1e"},
                                                   {".", "."},
                                                   {"0x", "0x"},
                                                   {"0xG", "0xG"},
                                                   {"1.2.3", "1.2.3"},
                                                   {"2GB", "2GB"},
                                                   {"2026-03-01", "2026-03-01"},
                                                   {"\"12\"", "12"},
                                                   {"'true'", "true"},
                                                   {"!!str 12", "12"},
                                                   {"! 12", "12"},
                                                   {"!!int \"12\"", 12},
                                                   {"!!float 1", 1},
                                                   {"!!bool true", true},
                                                   {"!!null ~", nullptr},
                                                   {"\".inf\"", ".inf"},
                                                   {".infinity", ".infinity"}}) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(read(std::string("a: ") + c.text, Format::yaml)["a"], c.expected);
  }
}

TEST(Yaml, RefusesNumbersThatAreNone) {
  for (const char* text : {".inf", "-.INF", "+.Inf", ".nan", ".NaN", "!!float .inf"}) {
    SCOPED_TRACE(text);
    EXPECT_TRUE(contains(refused(around("a: ", std::string(text), ""), Format::yaml),
                         "not a finite number"));
  }
  EXPECT_TRUE(contains(refused("a: 1e999", Format::yaml), "beyond the range"));
  EXPECT_TRUE(contains(refused("a: 0xFFFFFFFFFFFFFFFFF", Format::yaml), "beyond the range"));
  EXPECT_TRUE(contains(refused("a: !!int x", Format::yaml), "does not fit its tag"));
  EXPECT_TRUE(contains(refused("a: !mine x", Format::yaml), "the tag `!mine`"));
  EXPECT_TRUE(contains(refused("a: !!set {x}", Format::yaml), "does not fit here"));
}

TEST(Yaml, AliasesCopyWhatTheirAnchorNames) {
  EXPECT_EQ(read("a: &a {x: [1, &b two]}\nc: *a\nd: *b\n*b : 3\n&k e: *k\n", Format::yaml),
            Json::parse(R"({"a":{"x":[1,"two"]},"c":{"x":[1,"two"]},"d":"two","two":3,"e":"e"})"));
  EXPECT_EQ(read("- &a [1]\n- &a [2]\n- *a\n", Format::yaml), Json::parse("[[1],[2],[2]]"))
      << "the later anchor of a name counts";
  EXPECT_EQ(read("- &a [&a [1], *a]\n", Format::yaml), Json::parse("[[[1],[1]]]"));
}

TEST(Yaml, RefusesWhatHasNoPlaceInAPolicy) {
  EXPECT_TRUE(contains(refused("a: &a [*a]", Format::yaml), "contains itself"));
  EXPECT_TRUE(contains(refused("a: &a {x: {y: *a}}", Format::yaml), "contains itself"));
  EXPECT_TRUE(contains(refused("a: *b", Format::yaml), "names no anchor"));
  EXPECT_TRUE(contains(refused("a: 1\n---\nb: 2\n", Format::yaml), "more than one"));
  EXPECT_TRUE(contains(refused("<<: {a: 1}", Format::yaml), "merge keys"));
  EXPECT_TRUE(contains(refused("? [a]\n: 1", Format::yaml), "a key must be text"));
  EXPECT_TRUE(contains(refused("a: &a [1]\n*a : 2", Format::yaml), "a key must be text"));
}

TEST(Yaml, SyntaxErrorsSayWhere) {
  const Error error = refused("a: 1\nb: [1, 2\nc: 3\n", Format::yaml);
  EXPECT_EQ(error.code, ErrorCode::policy_invalid);
  EXPECT_EQ(error.where.substr(0, 2), "3:");
  EXPECT_EQ(refused("a: 1\nb: \x01\n", Format::yaml).where, "2:4");
}

// ------------------------------------------------------------------ JSON and TOML

TEST(JsonDocument, SyntaxErrorsSayWhere) {
  const Error error = refused("{\n  \"a\": 1,\n  b: 2\n}", Format::json);
  EXPECT_EQ(error.code, ErrorCode::policy_invalid);
  EXPECT_EQ(error.where, "3:3");
  EXPECT_EQ(error.message.find("[json"), std::string::npos) << "no host-language names";
  EXPECT_TRUE(contains(refused("{} {}", Format::json), "syntax error"));
  EXPECT_TRUE(contains(refused("", Format::json), "syntax error"));
  EXPECT_TRUE(contains(refused("[NaN]", Format::json), "syntax error"));
  EXPECT_EQ(refused("[1e999]", Format::json).code, ErrorCode::policy_invalid);
}

TEST(JsonDocument, MessagesQuoteWholeCharacters) {
  for (const char* text : {"{\"a\"\xC6\x84:1}", "[\xC3\xA9]", "[1 \xE2\x82\xAC]"}) {
    SCOPED_TRACE(text);
    const Error error = refused(text, Format::json);
    EXPECT_TRUE(contains(error, "syntax error")) << error.message;
    EXPECT_NO_THROW(Json(error.message).dump()) << "the message must be UTF-8";
  }
}

TEST(TomlDocument, ReadsEveryKindOfValue) {
  EXPECT_EQ(
      read("a = 1979-05-27T07:32:00Z\nb = 1979-05-27\nc = 07:32:00\nd = 0x1F\n"
           "e = [[1, 2], [\"x\"]]\nf = '''x\ny'''\n\"g.h\" = true\n[[i]]\nj = 1\n[[i]]\nj = 2\n",
           Format::toml),
      Json::parse(R"({"a":"1979-05-27T07:32:00Z","b":"1979-05-27","c":"07:32:00","d":31,
                "e":[[1,2],["x"]],"f":"x\ny","g.h":true,"i":[{"j":1},{"j":2}]})"));
  EXPECT_TRUE(contains(refused("a = nan", Format::toml), "not a finite number"));
  EXPECT_TRUE(contains(refused("a = -inf", Format::toml), "not a finite number"));
  const Error error = refused("a = 1\nb = = 2\n", Format::toml);
  EXPECT_EQ(error.code, ErrorCode::policy_invalid);
  EXPECT_EQ(error.where.substr(0, 2), "2:");
}

// The scan in front of the parser must not take a valid document for a bomb.
TEST(TomlDocument, DepthIsWhatTheTreeHasAndNotWhatALineHas) {
  DocumentBounds bounds;
  bounds.max_depth = 4;
  bounds.max_nodes = 40;
  for (const std::string& text :
       {std::string("a = {b.c = 1, d.e = 2, f.g = 3, h.i = 4, j.k = 5}\n"),
        std::string("a = [\"\"\"x\"\"\"\", 'y]', \"\\\"[\", 1.5, 2.5, 3.5]\n[b]\nc = 1\n"),
        std::string("# [[[[[[\na = '[[[[[' # ]\nb = \"{{{{{{\"\nc = \"\"\"\n[[[[[[\n\"\"\"\n"),
        repeated("[[a]]\nb = 1.5\n", 12), std::string("[a.b.c]\nd = 1\n[e]\nf.g = {h = 2}\n"),
        std::string("a = [\n  {b = [1, 2]}, # {{{{\n  {b = []},\n]\n[c]\n[d]\n")}) {
    SCOPED_TRACE(text);
    read(text, Format::toml, bounds);
  }
  bounds.max_depth = 3;
  for (const char* text : {"[a.b.c]", "a.b.c.d = 1", "a = [[[1]]]", "a = {b = {c = {}}}",
                           "[a]\nb.c = {}", "[[a]]\nb = []", "a = [{b = []}]"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(refused(text, Format::toml, bounds).code, ErrorCode::document_too_large);
  }
}

// ------------------------------------------------------------------ bounds

TEST(Bounds, DuplicateKeysAreRefused) {
  for (const Format format : {Format::yaml, Format::json}) {
    const Error error = refused("{\"a\": 1,\n \"b\": 2, \"a\": 3}", format);
    EXPECT_TRUE(contains(error, "`a`")) << error.message;
    EXPECT_EQ(error.where, "2:10: a");
    EXPECT_EQ(refused("{\"x\": [{}, {\"a\": 1, \"a\": 3}]}", format).where, "1:21: x[1].a");
    const Error many = refused(around("{", numbered("\"k", "\": 1, ", 100), "\"k7\": 2}"), format);
    EXPECT_TRUE(contains(many, "`k7`")) << many.message;
  }
  EXPECT_EQ(refused("a = 1\na = 2\n", Format::toml).where.substr(0, 2), "2:");
}

TEST(Document, WhatIsWrongHasItsPlaceAndItsPath) {
  EXPECT_EQ(refused("a:\n  b: [1, {c: .nan}]\n", Format::yaml).where, "2:14: a.b[1].c");
  EXPECT_EQ(refused("a: 1\nb: {c: 1e999}\n", Format::yaml).where, "2:8: b.c");
  EXPECT_EQ(refused("{\"a\": {\"b\": [1, NaN]}}", Format::json).where, "1:17: a.b[1]");
  EXPECT_EQ(refused("a = 1\n[b]\nc = [1, nan]\n", Format::toml).where, "3:9: b.c[1]");
  const Json json = {{"policy", {{"plans", {{"p", {1, std::nan("")}}}}}}};
  EXPECT_EQ(to_node(json, {}).error().where, "policy.plans.p[1]");
  EXPECT_EQ(to_node(Json{{"a", "\xC3\x28"}}, {}).error().where, "a");
}

TEST(Bounds, InvalidUtf8IsRefusedWhereItIs) {
  struct Case {
    const char* why;
    std::string before;
    const char* wrong;
    const char* where;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"at the start", "", "\xFF", "1:1"},
           {"characters count, not bytes", "a: 1\nb: \xC3\xA9\xE2\x82\xAC", "\xC3\x28", "2:6"},
           {"a surrogate", "a: ", "\xED\xA0\x80", "1:4"},
           {"cut off", "a: ", "\xF0\x9F\x98", "1:4"},
           {"far behind", repeated("\xF0\x9F\x98\x80", 10'000) + "\n\n" + std::string(100, 'x'),
            "\x80", "3:101"},
           {"behind many lines", repeated("\xC3\xA9\n", 99'999), "\xC0\x80", "100000:1"}}) {
    SCOPED_TRACE(c.why);
    EXPECT_EQ(refused(c.before + c.wrong, Format::yaml).where, c.where);
    EXPECT_EQ(refused(around(c.before, c.wrong, repeated("x", 1000)), Format::yaml).where, c.where);
  }
  EXPECT_EQ(refused(std::string(4'000'000, '\x80'), Format::json).where, "1:1");
}

TEST(Bounds, WhatWouldOverflowTheStackIsNoBound) {
  DocumentBounds bounds;
  bounds.max_depth = DocumentBounds::deepest;
  read("{}", Format::json, bounds);
  ++bounds.max_depth;
  for (const Format format : {Format::yaml, Format::json, Format::toml}) {
    const Error error = refused("", format, bounds);
    EXPECT_EQ(error.code, ErrorCode::invalid_argument);
    EXPECT_TRUE(contains(error, "DocumentBounds::max_depth")) << error.message;
  }
  EXPECT_FALSE(to_node(Json::object(), bounds).ok());
}

TEST(Bounds, InvalidUtf8IsRefused) {
  for (const Format format : {Format::yaml, Format::json, Format::toml}) {
    EXPECT_TRUE(contains(refused("\"\xC3\x28\"", format), "UTF-8"));
    EXPECT_TRUE(contains(refused("\"\xED\xA0\x80\"", format), "UTF-8"));
  }
  EXPECT_FALSE(to_node(Json("\xC3\x28"), {}).ok());
}

TEST(Bounds, EachNamesItselfAndItsOption) {
  DocumentBounds bounds;
  bounds.max_bytes = 100;
  bounds.max_nodes = 10;
  bounds.max_depth = 3;
  struct Case {
    Format format;
    std::string deep, wide;
  };
  for (const Case& c : {Case{Format::yaml, "a: {b: {c: {}}}", "[1,2,3,4,5,6,7,8,9,10]"},
                        Case{Format::json, "[[[[]]]]", "[1,2,3,4,5,6,7,8,9,10]"},
                        Case{Format::toml, "a = [[[]]]", "a=[1,2,3,4,5,6,7,8,9]"}}) {
    SCOPED_TRACE(c.deep);
    const Error deep = refused(c.deep, c.format, bounds);
    EXPECT_EQ(deep.code, ErrorCode::document_too_large);
    EXPECT_TRUE(contains(deep, "deeper than 3") && contains(deep, "--max-depth"));
    const Error wide = refused(c.wide, c.format, bounds);
    EXPECT_EQ(wide.code, ErrorCode::document_too_large);
    EXPECT_TRUE(contains(wide, "more than 10 nodes") && contains(wide, "--max-nodes"));
    const Error large = refused(std::string(101, ' '), c.format, bounds);
    EXPECT_EQ(large.code, ErrorCode::document_too_large);
    EXPECT_TRUE(contains(large, "larger than 100 bytes") && contains(large, "--max-bytes"));
  }
  read("a: {b: {c: 1}}", Format::yaml, bounds);
  read("[1,2,3,4,5,6,7,8,9]", Format::json, bounds);
}

TEST(Bounds, HoldForJsonValuesToo) {
  DocumentBounds bounds;
  bounds.max_bytes = 100;
  bounds.max_nodes = 10;
  bounds.max_depth = 3;
  EXPECT_TRUE(contains(to_node(Json::parse("[[[[]]]]"), bounds).error(), "--max-depth"));
  EXPECT_TRUE(
      contains(to_node(Json::parse("[1,2,3,4,5,6,7,8,9,10]"), bounds).error(), "--max-nodes"));
  EXPECT_TRUE(contains(to_node(Json(std::string(101, 'x')), bounds).error(), "--max-bytes"));
  EXPECT_TRUE(contains(to_node(Json{{std::string(101, 'x'), 1}}, bounds).error(), "--max-bytes"));
  EXPECT_TRUE(contains(to_node(Json(HUGE_VAL), {}).error(), "finite"));
  EXPECT_TRUE(contains(to_node(Json::binary({1}), {}).error(), "binary"));
  const Json json = Json::parse(R"({"a": [1, 2.5, "x", null, true, {"b": {}}]})");
  EXPECT_EQ(to_json(to_node(json, {}).value()), json);
}

TEST(Bounds, AliasesMayAddTenTimesWhatIsWritten) {
  const std::string ten_of_ten = "a: &a [1,2,3,4,5,6,7,8]\nb: [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n";
  read(ten_of_ten, Format::yaml);
  DocumentBounds bounds;
  bounds.max_alias_factor = 2;
  const Error error = refused(ten_of_ten, Format::yaml, bounds);
  EXPECT_EQ(error.code, ErrorCode::document_too_large);
  EXPECT_TRUE(contains(error, "--max-alias-factor"));
  // A comment may hold nodes for all that is known before it is read, but does not.
  EXPECT_TRUE(
      contains(refused(around(ten_of_ten, "#", std::string(1000, ' ')), Format::yaml, bounds),
               "--max-alias-factor"));
}

TEST(Bounds, AliasesNestNoDeeperThanWhatIsWritten) {
  DocumentBounds bounds;
  bounds.max_depth = 4;
  read("a: &a [[1]]\nb: [*a]\n", Format::yaml, bounds);
  const Error error = refused("a: &a [[1]]\nb: [[*a]]\n", Format::yaml, bounds);
  EXPECT_TRUE(contains(error, "--max-depth")) << error.message;
}

TEST(Bounds, AliasesMayAddTenTimesTheTextToo) {
  const std::string text = around("a: &a ", std::string(1000, 'x'), "\nb: [");
  read(around(text, repeated("*a,", 8), "]"), Format::yaml);
  const Error error = refused(around(text, repeated("*a,", 20), "]"), Format::yaml);
  EXPECT_TRUE(contains(error, "--max-alias-factor")) << error.message;
}

TEST(Bounds, AliasesThatComeFirstMayBePaidForByWhatFollows) {
  std::string text = around("a: &a [1,2,3,4,5,6,7,8]\nb: [", repeated("*a,", 20), "]\nc:\n");
  refused(text, Format::yaml);
  read(text + repeated("- 1\n", 20), Format::yaml);
}

// Documents that were made to be large, deep or slow. None may exhaust the stack or the memory.
TEST(Hostile, YamlBombsAreRefused) {
  constexpr std::size_t many = 2'000'000;
  std::string laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 40; ++i) {
    laughs += around("a", std::to_string(i), ": ");
    laughs += around("&a", std::to_string(i), " [");
    laughs += repeated(around("*a", std::to_string(i - 1), ","), 9);
    laughs += "]\n";
  }
  std::string stairs;
  for (std::size_t i = 0; i < 1000; ++i) stairs += std::string(i, ' ') + "a:\n";
  for (const auto& [why, text, message] :
       {std::array<std::string, 3>{"lists", repeated("[", many), "--max-depth"},
        {"tables", repeated("{", many), "a key must be text"},
        {"mixed", repeated("[{", many), "a key must be text"},
        {"dashes", repeated("- ", many), "--max-depth"},
        {"questions", repeated("? ", many), "a key must be text"},
        {"keys in flow", repeated("{a: ", many), "--max-depth"},
        {"indentation", stairs, "--max-depth"},
        {"a billion laughs", laughs, "--max-alias-factor"},
        {"a long scalar, many times",
         around(around("a: &a ", std::string(10'000, 'x'), "\nb: ["), repeated("*a,", 10'000), "]"),
         "--max-alias-factor"},
        {"too many nodes", repeated("- 1\n", 1'100'000), "--max-nodes"},
        {"directives", numbered("%TAG !a", "! b\n", 100'000), "%TAG"}}) {
    SCOPED_TRACE(why);
    const Error error = refused(text, Format::yaml);
    EXPECT_TRUE(contains(error, message)) << error.message;
    EXPECT_LT(error.message.size(), 1000U);
  }
}

TEST(Hostile, YamlThatIsOnlyLargeIsRead) {
  read(around("a: ", std::string(4'000'000, 'x'), ""), Format::yaml);
  read(around("a: \"", repeated("x\n  ", 1'000'000), "\""), Format::yaml);
  read(repeated("#\n", 1'000'000), Format::yaml);
  read(around("a: x", std::string(4'000'000, '\n'), "b: y"), Format::yaml);
  read(numbered("- &a", " x\n", 100'000), Format::yaml);
  read(numbered("k", ": 1\n", 100'000), Format::yaml);
}

TEST(Bounds, JsonValuesAreCountedAsTheTreeHasThem) {
  DocumentBounds bounds;
  for (const char* text : {"1", "[]", "{}", "[ ]", "[1]", "[[], {}]", "{\"a\": {}}",
                           "[[[1, 2], [3]], \"a, [b\\\", c\"]",
                           "{\"a\": [1, {\"b\": null}], \"c\": \"\", \"d,e\": {\"f\": [ \n]}}"}) {
    SCOPED_TRACE(text);
    const auto nodes = [](const auto& self, const Json& json) -> std::size_t {
      std::size_t count = 1;
      if (json.is_structured()) {
        for (const Json& member : json) count += self(self, member);
      }
      return count;
    };
    bounds.max_nodes = nodes(nodes, Json::parse(text));
    read(text, Format::json, bounds);
    --bounds.max_nodes;
    EXPECT_TRUE(contains(refused(text, Format::json, bounds), "--max-nodes"));
  }
  bounds.max_nodes = 2;
  EXPECT_EQ(refused("[1,\n\xC3\xA9, 2]", Format::json, bounds).where, "2:1");
}

TEST(Hostile, JsonBombsAreRefused) {
  constexpr std::size_t many = 2'000'000;
  EXPECT_TRUE(contains(refused(repeated("[", many), Format::json), "--max-depth"));
  EXPECT_TRUE(contains(refused(repeated("{\"a\":", many), Format::json), "--max-depth"));
  EXPECT_TRUE(
      contains(refused(around("[", repeated("1,", many), "1]"), Format::json), "--max-nodes"));
  EXPECT_LT(refused(around("\"", std::string(many, 'x'), ""), Format::json).message.size(), 1000U);
  EXPECT_LT(refused(std::string(many, '1'), Format::json).message.size(), 1000U);
}

TEST(Hostile, TomlBombsAreRefused) {
  constexpr std::size_t many = 2'000'000;
  for (const auto& [text, message] :
       {std::array<std::string, 2>{around("[", repeated("a.", many), "a]"), "--max-depth"},
        {repeated("a.", many) + "a=1", "--max-depth"},
        {around("a={", repeated("b.", many), "c=1}"), "--max-depth"},
        {around("a=", repeated("[", many), ""), "--max-depth"},
        {around("a=", repeated("{a=", many), ""), "--max-depth"},
        {around("a=[", repeated("1,", many), "]"), "--max-nodes"},
        {around("a=[", repeated("[],", many), "]"), "--max-nodes"},
        {repeated("[[t]]\n", many), "--max-nodes"},
        {numbered("k", "=1\n", 1'100'000), "--max-nodes"}}) {
    SCOPED_TRACE(text.substr(0, 20));
    const Error error = refused(text, Format::toml);
    EXPECT_TRUE(contains(error, message)) << error.message;
  }
}

// Goal: whatever the look in front of the parser refuses, the parser would have refused too.
TEST(YamlCount, NeverCountsWhatIsNotThere) {
  std::mt19937_64 random(printed_seed());
  constexpr std::array<std::string_view, 36> pieces = {
      "a",      "b: ",  "c:",    "- ",    "-",   "\n", "\n",  "\n  ", "\n ",
      "\n    ", "\n- ", "\nk: ", "\n",    "[",   "]",  "{",   "}",    ",",
      ", ",     "\"",   "'",     "\"q\"", "'r'", ":",  "x:",  "#",    " # ",
      "|\n",    ">\n",  "1",     "---\n", " ",   "\\", "&n ", "*n",   "\xE2\x80\xA8"};
  std::size_t refused = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string text;
    // A few kinds of pieces at a time, so that whole structures come about.
    const std::size_t kinds = 2 + random() % 9;
    std::vector<std::string_view> some;
    while (some.size() < kinds) some.push_back(pieces[random() % pieces.size()]);
    for (std::size_t count = random() % 24; count > 0; --count) text += some[random() % kinds];
    for (std::size_t most = 0; most < 12 && find_yaml_excess(text, most); ++most) {
      DocumentBounds bounds;
      bounds.max_nodes = most;
      std::vector<Issue> flaws;
      ASSERT_FALSE(parse_yaml(text, bounds, &flaws).ok()) << most << " in\n" << text;
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000U);
}

TEST(YamlCount, FindsFloods) {
  for (const std::string_view one : {"- 1\n", "a: 1\n", "- a: 1\n  b: 2\n", "-\n", "- \"x\"\n"}) {
    std::string text;
    for (int i = 0; i < 1000; ++i) text += one;
    EXPECT_TRUE(find_yaml_excess(text, 999)) << one;
    EXPECT_TRUE(find_yaml_excess("x:\n  y: [1, 2]\n" + text, 999)) << one;
    EXPECT_FALSE(find_yaml_excess(text, 3000)) << one;
  }
  for (const std::string_view one : {"1,", "{a: 1},", "\"a,b\", ", "[],\n", "'it''s', "}) {
    std::string text = "a: [";
    for (int i = 0; i < 1000; ++i) text += one;
    EXPECT_TRUE(find_yaml_excess(text, 999)) << one;
    EXPECT_FALSE(find_yaml_excess(text, 1001)) << one;
  }
}

}  // namespace
}  // namespace limitr::policy
