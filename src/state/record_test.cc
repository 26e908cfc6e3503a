// SPDX-License-Identifier: Apache-2.0
#include "state/record.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

// spec: state.md, Record fields
namespace limitr::state {
namespace {

// Every field of a record, none of them at its default.
constexpr std::string_view full_record =
    R"({"id":"ann","plan":"pro","type":"team","label":"Ann \"A\" \u00e9","refs":["org1","org2"],)"
    R"("alt_ids":["ann@x"],"meters":{"chat":{"credit":"tok","started":1000,"value":12.5,)"
    R"("overhead":0.25,"history":[{"ts":1001,"delta":5},{"ts":1002,"delta":-1.5},)"
    R"({"ts":1003,"delta":9}],"ewma_rate":1e-7,"governor_tokens":3.5,"governor_last_refill":1003,)"
    R"("holds":{"h1":{"value":2,"overhead":0.5,"expires":9000,"basis":7,"segment":"gpt"},)"
    R"("h2":{"value":3,"overhead":0,"expires":9001,"basis":null,"segment":""}},)"
    R"("estimates":{"all":{"samples":12,"alpha":0.1,"value_mean":4,"value_var":2,)"
    R"("overhead_mean":1,"overhead_var":0.5,"per_basis":true,"source":"cloud","updated":1003}}},)"
    R"("old":{"credit":"","started":-5,"value":0,"overhead":null,"history":[],"ewma_rate":null,)"
    R"("governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null}},)"
    R"("overrides":{"chat":{"credit":"tok","mode":"soft","value":50,"increment":2,"minimum":-3,)"
    R"("hard_trailing":true,"grants_apply":false,"resets":true,"reset_inc":86400000,)"
    R"("reset_sch":null,"override_expires_on":99999,"governor_enabled":true,)"
    R"("governor_capacity":10,"governor_refill_rate":0.5,"ewma_alpha":0.4}},)"
    R"("grants":{"z":{"id":"z","credit":"tok","topup":"extra","created_on":10,"granted_on":20,)"
    R"("starting_value":100,"value":40,"resets":true,"reset_inc":null,"reset_sch":"monthly:31",)"
    R"("last_reset":30,"reset_mode":"rollover","rollover_min":1,"rollover_max":50,)"
    R"("rollover_pct":0.5,"max_balance":140,"reset_catchup_cap":3,"expires_on":99999,"seq":1,)"
    R"("drawn":70,"added":20,"lost":10},"a":{"id":"a","credit":"usd","topup":null,"created_on":5,)"
    R"("granted_on":5,"starting_value":1,"value":1,"resets":false,"reset_inc":null,)"
    R"("reset_sch":null,"last_reset":null,"reset_mode":"hard","rollover_min":null,)"
    R"("rollover_max":null,"rollover_pct":null,"max_balance":null,"reset_catchup_cap":null,)"
    R"("expires_on":null,"seq":2,"drawn":0,"added":0,"lost":0}},)"
    R"("caps":{"c":{"id":"c","credit":"rune","value":9.75,"meter_value":1.25,)"
    R"("exchangeable":true,"overage_only":true,"ignore_grants":true,"observe_only":true,)"
    R"("overhead_cost":true,"follow_decrements":true,"hard_trailing":true,"shared":true,)"
    R"("shared_with":["user"],"scope":["chat","old"],"started":7,"created_on":6,"resets":true,)"
    R"("reset_inc":null,"reset_sch":"weekly:mon","last_reset":8,"expires_on":99,"seq":4}},)"
    R"("metadata":{"a":[1,2.5,{"b":null}],"z":"text"},"format":1})";

class Record : public ::testing::Test {
protected:
  SymbolTable names_;

  Customer read(std::string_view text) {
    Result<Customer> customer = read_customer(text, names_);
    EXPECT_TRUE(customer.ok()) << customer.error().to_string() << "\n" << text;
    return customer.ok() ? *std::move(customer) : Customer();
  }
  std::string rewritten(std::string_view text) { return to_record(read(text), names_); }
  // Where a record is refused, or that it is not.
  std::string refused_at(std::string_view text) {
    const Result<Customer> customer = read_customer(text, names_);
    if (customer.ok()) return "accepted";
    EXPECT_EQ(customer.error().code, ErrorCode::record_invalid);
    EXPECT_FALSE(customer.error().message.empty());
    return customer.error().where;
  }
};

// The full record with the value at a path replaced.
Json with(const std::string& path, const Json& value) {
  Json record = Json::parse(full_record);
  record[Json::json_pointer(path)] = value;
  return record;
}
std::string dotted(std::string path) {
  std::replace(path.begin(), path.end(), '/', '.');
  return path.substr(1);
}

// Goal: every record decodes and re-encodes to the same bytes. spec: state.md, Books that balance
TEST_F(Record, WritesTheBytesItWasReadFrom) {
  const std::string text = rewritten(full_record);
  EXPECT_EQ(Json::parse(text), Json::parse(full_record)) << "nothing is lost or changed";
  EXPECT_EQ(rewritten(text), text);
  const std::string expected_start = R"({"id":"ann","plan":"pro","type":"team",)";
  EXPECT_EQ(text.substr(0, expected_start.size()), expected_start) << "in the order of the spec";
}

TEST_F(Record, AnIncrementWithItsUnitIsKeptAsWritten) {
  const std::string text = rewritten(with("/overrides/chat/increment", "2 MB").dump());
  EXPECT_EQ(Json::parse(text)["overrides"]["chat"]["increment"], "2 MB");
  EXPECT_EQ(refused_at(with("/overrides/chat/increment", "2 parsecs").dump()),
            "overrides.chat.increment");
}

TEST_F(Record, WhatIsAbsentTakesItsDefault) {
  const std::string text = rewritten(R"({"id":"a","meters":{"e":{}},"grants":{"g":{}}})");
  const Json record = Json::parse(text);
  EXPECT_EQ(record["type"], "user");
  EXPECT_EQ(record["label"], "User");
  EXPECT_EQ(record["plan"], "");
  EXPECT_EQ(record["refs"], Json::array());
  EXPECT_EQ(record["metadata"], nullptr);
  EXPECT_EQ(record["meters"]["e"]["value"], 0);
  EXPECT_EQ(record["meters"]["e"]["overhead"], nullptr);
  EXPECT_EQ(rewritten(text), text);
}

TEST_F(Record, KeepsFieldsThatAreNotOurs) {
  const Json ours = Json::parse(rewritten(full_record));
  const Json strange = {{"deep", {1, "two", nullptr}}, {"flag", true}};
  for (const char* place :
       {"", "/meters/chat", "/meters/old", "/overrides/chat", "/grants/z", "/caps/c"}) {
    SCOPED_TRACE(place);
    Json record = ours;
    record[Json::json_pointer(place)]["x_unknown"] = strange;
    const std::string text = rewritten(record.dump());
    EXPECT_EQ(Json::parse(text), record);
    EXPECT_EQ(rewritten(text), text);
  }
}

// Goal: a field of the wrong type is refused with its path, never guessed at.
TEST_F(Record, RefusesEveryFieldOfAnotherType) {
  const Json flat = Json::parse(full_record).flatten();
  std::size_t fields = 0;
  for (const auto& [path, value] : flat.items()) {
    if (path.starts_with("/metadata") || value.is_null()) continue;
    SCOPED_TRACE(path);
    // A list is refused with the place of the list; its elements have no name.
    std::string place = dotted(path);
    if (place.starts_with("meters.chat.history.")) {
      place = "meters.chat.history" + place.substr(place.rfind('.'));
    } else if (std::isdigit(static_cast<unsigned char>(place.back())) != 0 &&
               place[place.size() - 2] == '.') {
      place.resize(place.size() - 2);
    }
    for (const Json& wrong : {Json::array({Json::array()}), Json(Json::object())}) {
      EXPECT_EQ(refused_at(with(path, wrong).dump()), place) << wrong;
    }
    if (value.is_number()) {
      EXPECT_EQ(refused_at(with(path, true).dump()), place);
      EXPECT_EQ(refused_at(with(path, "soon").dump()), place);
    } else {
      EXPECT_EQ(refused_at(with(path, 7).dump()), place);
    }
    ++fields;
  }
  EXPECT_GT(fields, 70U);
}

TEST_F(Record, RefusesWhatHasTheRightTypeButNoMeaning) {
  struct Case {
    const char* why;
    const char* path;
    Json value;
  };
  for (const Case& c :
       {Case{"no ID", "/id", ""}, Case{"a mode of another system", "/overrides/chat/mode", "firm"},
        Case{"a reset mode likewise", "/grants/z/reset_mode", "soft"},
        Case{"no schedule", "/caps/c/reset_sch", "monthly:32"},
        Case{"a duration that is none", "/overrides/chat/reset_inc", "5MB"},
        Case{"a duration of nothing", "/overrides/chat/reset_inc", 0},
        Case{"a negative duration", "/overrides/chat/reset_inc", -1},
        Case{"a time beyond all times", "/meters/chat/started", 1e17},
        Case{"half a sample", "/meters/chat/estimates/all/samples", 1.5},
        Case{"a negative place", "/grants/z/seq", -1},
        Case{"an ID other than its key", "/grants/z/id", "y"},
        Case{"likewise of a cap", "/caps/c/id", "y"}, Case{"a format of the future", "/format", 2},
        Case{"metadata", "/metadata", "text"}, Case{"metadata", "/metadata", Json::array()}}) {
    SCOPED_TRACE(c.why);
    EXPECT_EQ(refused_at(with(c.path, c.value).dump()), dotted(c.path));
  }
}

TEST_F(Record, RefusesNumbersThatAreNone) {
  for (const char* number : {"NaN", "Infinity", "-Infinity", "1e999", "0x10", "01", "+1", ".5"}) {
    SCOPED_TRACE(number);
    const std::string text = std::string(R"({"id":"a","meters":{"e":{"value":)") + number + "}}}";
    EXPECT_NE(refused_at(text), "accepted");
  }
}

TEST_F(Record, AFormatOfTheFutureIsNamedBesideOurs) {
  const Result<Customer> customer = read_customer(with("/format", 2).dump(), names_);
  ASSERT_FALSE(customer.ok());
  EXPECT_EQ(customer.error().message, "expected format 1, not 2");
}

// Goal: which of two of the same name counts would be a guess.
TEST_F(Record, RefusesNamesThatStandTwice) {
  struct Case {
    const char* text;
    const char* where;
  };
  for (const Case& c :
       {Case{R"({"id":"a","meters":{"e":{"value":1},"e":{"value":2}}})", "meters"},
        Case{R"({"id":"a","meters":{"e":{"value":1},"\u0065":{"value":2}}})", "meters"},
        Case{R"({"id":"a","meters":{"e":{"value":1}},"meters":{"e":{"value":2}}})", "meters"},
        Case{R"({"id":"a","overrides":{"e":{"credit":"c"},"e":{"credit":"c"}}})", "overrides"},
        Case{R"({"id":"a","grants":{"g":{"value":1},"g":{"value":2}}})", "grants"},
        Case{R"({"id":"a","caps":{"c":{"value":1},"c":{"value":2}}})", "caps"}}) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(refused_at(c.text), c.where);
  }
}

// Goal: grants and caps keep the order they were added in, which decides ties.
TEST_F(Record, SeqKeepsTheOrder) {
  const auto order = [&](const char* grants) {
    std::string ids;
    const Customer customer = read(std::string(R"({"id":"a","grants":)") + grants + "}");
    std::uint64_t last = 0;
    for (const Grant& grant : customer.more().grants) {
      EXPECT_GT(grant.seq, last);
      last = grant.seq;
      ids += grant.id;
    }
    return ids;
  };
  EXPECT_EQ(order(R"({"a":{"seq":9},"b":{"seq":2},"c":{"seq":5}})"), "bca");
  EXPECT_EQ(order(R"({"a":{"created_on":30},"b":{"created_on":10},"c":{"created_on":20}})"), "bca")
      << "without seq: by created_on";
  EXPECT_EQ(order(R"({"c":{"created_on":5},"a":{"created_on":5},"b":{"created_on":5}})"), "cab")
      << "equally old: as they stand in the text";
  EXPECT_EQ(order(R"({"a":{"seq":1,"created_on":9},"b":{"created_on":5}})"), "ba")
      << "seq only counts where all have it";
  EXPECT_EQ(order(R"({"a":{"seq":9e15,"created_on":9},"b":{"seq":1,"created_on":5}})"), "ba");
  EXPECT_LT(read(R"({"id":"a","caps":{"c":{"seq":9e15}}})").more().caps.at(0).seq, 1000U)
      << "the next one has a number too";
}

TEST_F(Record, AGrantWithoutBooksGetsBalancedOnes) {
  for (const char* values :
       {R"("starting_value":10,"value":4)", R"("starting_value":10,"value":25)",
        R"("starting_value":10,"value":-3)"}) {
    SCOPED_TRACE(values);
    const Customer customer = read(std::string(R"({"id":"a","grants":{"g":{)") + values + "}}}");
    const Grant& grant = customer.more().grants.at(0);
    EXPECT_EQ(grant.starting_value + grant.added, grant.value + grant.drawn + grant.lost);
  }
}

TEST_F(Record, RefusesAGrantWhoseBooksNoNumberHolds) {
  EXPECT_EQ(refused_at(R"({"id":"a","grants":{"g":{"starting_value":1e308,"value":-1e308}}})"),
            "grants.g.value");
}

// Goal: what is not ours keeps its bytes too. A reader takes "-0" for a whole number.
TEST_F(Record, NegativeZerosAreKept) {
  const std::string text = rewritten(R"({"id":"a","meters":{"e":{"value":-0.0}},"x":-0.0})");
  EXPECT_NE(text.find(R"("x":-0.0)"), std::string::npos);
  EXPECT_EQ(rewritten(text), text);
}

std::string nested(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') +
         std::string(static_cast<std::size_t>(levels), ']');
}

// Goal: what is kept as JSON is later walked on the stack.
TEST_F(Record, RefusesWhatIsNestedTooDeep) {
  EXPECT_EQ(refused_at(R"({"id":"a","metadata":{"m":)" + nested(60) + "}}"), "accepted");
  for (const int levels : {70, 500, 2000, 200'000}) {
    SCOPED_TRACE(levels);
    EXPECT_NE(refused_at(R"({"id":"a","metadata":{"m":)" + nested(levels) + "}}"), "accepted");
    EXPECT_NE(refused_at(R"({"id":"a","unknown":)" + nested(levels) + "}"), "accepted");
    EXPECT_NE(refused_at(R"({"id":"a","meters":{"e":{"unknown":)" + nested(levels) + "}}}"),
              "accepted");
  }
}

TEST_F(Record, RefusesWhatIsNoRecord) {
  for (const std::string_view text :
       {std::string_view(""), std::string_view("null"), std::string_view("7"),
        std::string_view("[]"), std::string_view("{"), std::string_view("{}"),
        std::string_view(R"({"id":"a"}})"), std::string_view(R"({"id":"a"} {"id":"b"})"),
        std::string_view(R"({"id":"a",})"), std::string_view(R"({"id":"a" "plan":"p"})"),
        std::string_view(R"({id:"a"})"), std::string_view(R"({'id':'a'})"),
        std::string_view("{\"id\":\"a\xff\"}"), std::string_view("{\"id\":\"a\0\"}", 10),
        std::string_view(R"({"id":"\ud800"})"), std::string_view(R"({"id":"a","\ud800":1})"),
        std::string_view("{\"id\":\"a\nb\"}"), std::string_view("\xef\xbb\xbf{")}) {
    SCOPED_TRACE(text);
    EXPECT_NE(refused_at(text), "accepted");
  }
}

// A snapshot's reader, and what it was told.
struct Told {
  std::vector<Customer> loaded;
  std::map<std::string, Error> refused;
  std::size_t estimates = 0;
  std::vector<std::string> requests;
  bool ok = false;
};

Told read_all(std::string_view text, SymbolTable& names) {
  Told told;
  const RecordSink sink{
      .loaded = [&](Customer customer) { told.loaded.push_back(std::move(customer)); },
      .refused = [&](std::string id,
                     Error error) { told.refused.emplace(std::move(id), std::move(error)); },
      .estimate = [&](std::string_view, const EstimateStats&) { ++told.estimates; },
      .request =
          [&](std::string_view customer, const RememberedRequest& request) {
            told.requests.push_back(std::string(customer) + "/" + request.id);
          }};
  told.ok = read_snapshot(text, names, sink).ok();
  return told;
}

TEST_F(Record, SnapshotsComeInThreeShapes) {
  for (const char* text :
       {R"({"a":{"id":"a"},"b":{"id":"b"}})", R"([{"id":"a"},{"id":"b"}])",
        R"({"format":1,"customers":{"a":{"id":"a"},"b":{"id":"b"}},"estimates":{},"requests":[]})",
        R"({"format":1,"customers":[{"id":"a"},{"id":"b"}]})"}) {
    SCOPED_TRACE(text);
    const Told told = read_all(text, names_);
    EXPECT_TRUE(told.ok);
    ASSERT_EQ(told.loaded.size(), 2U);
    EXPECT_EQ(told.loaded[0].id, "a");
    EXPECT_EQ(told.loaded[1].id, "b");
    EXPECT_TRUE(told.refused.empty());
  }
  EXPECT_TRUE(read_all("{}", names_).ok);
  EXPECT_TRUE(read_all("[]", names_).ok);
  for (const char* text : {"", "7", "null", "\"a\"", R"({"format":2,"customers":{}})"}) {
    EXPECT_FALSE(read_all(text, names_).ok) << text;
  }
}

TEST_F(Record, ACustomerMayBeCalledFormat) {
  const Told told =
      read_all(R"({"format":{"id":"format"},"customers":{"id":"customers"}})", names_);
  EXPECT_EQ(told.loaded.size(), 2U);
}

TEST_F(Record, ExportsCarryEstimatesAndRequests) {
  const Told told = read_all(
      R"({"format":1,"customers":{},"estimates":{"e":{"all":{"samples":3},"x":{"samples":1}}},)"
      R"("requests":[{"customer":"a","request":"r1","fingerprint":"00ff","answer":{},"at":5}]})",
      names_);
  EXPECT_TRUE(told.ok);
  EXPECT_EQ(told.estimates, 2U);
  EXPECT_EQ(told.requests, std::vector<std::string>{"a/r1"});
}

// Goal: an answer is written again as it stands, and must not break the text around it.
TEST_F(Record, RequestsWithoutAnAnswerAreRefused) {
  for (const char* answer : {R"("at":5)", R"("answer":null)", R"("answer":7)",
                             R"("answer":{"allowed" true})", R"("answer":{"allowed":"yes"})"}) {
    SCOPED_TRACE(answer);
    const Told told = read_all(std::string(R"({"format":1,"customers":[{"id":"a"}],"requests":)") +
                                   R"([{"customer":"a","request":"r",)" + answer + "}]}",
                               names_);
    EXPECT_TRUE(told.ok);
    EXPECT_TRUE(told.refused.contains("requests[0]"));
    EXPECT_EQ(told.loaded.size(), 1U);
    EXPECT_TRUE(told.requests.empty());
  }
}

TEST_F(Record, ABadRecordNeverKeepsTheGoodOnesOut) {
  const Told map = read_all(
      R"({"a":{"id":"a"},"b":{"id":"b","refs":7},"c":{"id":"x"},"d":5,"e":{"id":"e"}})", names_);
  ASSERT_EQ(map.loaded.size(), 2U);
  EXPECT_EQ(map.loaded[1].id, "e");
  ASSERT_EQ(map.refused.size(), 3U);
  EXPECT_EQ(map.refused.at("b").where, "refs");
  EXPECT_EQ(map.refused.at("c").where, "id") << "its id is another than its key";
  const Told list = read_all(R"([{"id":"a"},{"plan":"p"},{"id":"c","refs":7},{"id":"d"}])", names_);
  EXPECT_EQ(list.loaded.size(), 2U);
  EXPECT_TRUE(list.refused.contains("[1]"));
  EXPECT_TRUE(list.refused.contains("c"));
}

std::string snapshot_of_three(SymbolTable& names) {
  std::string text = "{";
  for (const char* id : {"ann", "bob", "\\u00e9va"}) {
    Json record = Json::parse(full_record);
    record["id"] = Json::parse("\"" + std::string(id) + "\"");
    const std::string key = record["id"].dump();
    const Result<Customer> customer = read_customer(record.dump(), names);
    text += (text.size() > 1 ? "," : "") + key + ":" + to_record(*customer, names);
  }
  return text + "}";
}

// Goal: a damaged snapshot is told from a good one, or loads what it says; it never crashes and
// never loads customers under IDs that are not in it.
TEST_F(Record, TruncatedSnapshotsAreToldFromWholeOnes) {
  const std::string text = snapshot_of_three(names_);
  for (std::size_t length = 0; length < text.size(); ++length) {
    // A copy of its own, so that a sanitizer sees reads past its end.
    const Told told = read_all(std::string(text, 0, length), names_);
    EXPECT_FALSE(told.ok) << "cut at " << length;
    for (const Customer& customer : told.loaded) {
      EXPECT_NE(text.find(to_record(customer, names_)), std::string::npos);
    }
  }
}

TEST_F(Record, FlippedBitsNeverLoadOtherCustomers) {
  const std::string text = snapshot_of_three(names_);
  const std::set<std::string> ids = {"ann", "bob", "\u00e9va"};
  std::size_t other_ids = 0;
  for (std::size_t place = 0; place < text.size(); ++place) {
    const int bit = static_cast<int>(place % 8);
    std::string flipped = text;
    flipped[place] = static_cast<char>(static_cast<unsigned char>(flipped[place]) ^ (1U << bit));
    SymbolTable names;
    const Told told = read_all(flipped, names);
    EXPECT_LE(told.loaded.size(), 3U);
    for (const Customer& customer : told.loaded) {
      if (!ids.contains(customer.id)) ++other_ids;
      const std::string record = to_record(customer, names);
      const Result<Customer> again = read_customer(record, names);
      ASSERT_TRUE(again.ok()) << "what loads can be written and read: bit " << bit << " of "
                              << place;
      EXPECT_EQ(to_record(*again, names), record);
    }
  }
  EXPECT_EQ(other_ids, 0U) << "an ID stands twice: one flipped bit cannot change both";
}

// Goal: a text that is one giant name is read within the parser's memory.
TEST_F(Record, GiantNamesAreOnlyNames) {
  const std::string giant(1 << 20, 'x');
  const Told told = read_all("{\"" + giant + "\":{\"id\":\"" + giant + "\"}}", names_);
  ASSERT_EQ(told.loaded.size(), 1U);
  EXPECT_EQ(told.loaded[0].id, giant);
  EXPECT_EQ(read_all("{\"" + giant + "\":7}", names_).refused.size(), 1U);
}

TEST_F(Record, IdentityHasNoState) {
  std::string text;
  JsonWriter json(text);
  write_identity(json, read(full_record), names_);
  const Json identity = Json::parse(text);
  EXPECT_EQ(identity.size(), 7U);
  EXPECT_FALSE(identity.contains("meters"));
  EXPECT_EQ(identity["metadata"]["z"], "text");
}

}  // namespace
}  // namespace limitr::state
