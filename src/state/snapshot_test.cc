// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_seed.h"
#include "state/bracket_scan.h"
#include "state/record.h"

// Damaged snapshots: what is not damaged loads as it was written, and what does not load is told.
// LIMITR_FLIPS asks for more damage, LIMITR_SEED plays one run's choices again.
// spec: state.md, Snapshot and load
namespace limitr::state {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Loaded records as they are written again, with what was told beside them.
struct Told {
  std::vector<std::string> ids;
  std::vector<std::string> records;
  std::vector<std::pair<std::string, Error>> refused;
  std::vector<std::string> estimates;
  std::vector<std::string> requests;
  std::optional<Error> error;

  bool is_clean() const { return refused.empty() && !error; }
  const Error* refusal(std::string_view id) const {
    for (const auto& [name, why] : refused) {
      if (name == id) return &why;
    }
    return nullptr;
  }
  std::string text() const {
    std::string all;
    for (const std::string& record : records) all += record + "\n";
    for (const auto& [id, why] : refused) all += id + ": " + why.to_string() + "\n";
    for (const std::string& one : estimates) all += one + "\n";
    for (const std::string& one : requests) all += one + "\n";
    return all + (error ? error->to_string() : "ok");
  }
};

template <typename Text>
Told told_of(const Text& text) {
  Told told;
  SymbolTable names;
  const RecordSink sink{
      .loaded =
          [&](const Customer& customer) {
            told.ids.push_back(customer.id);
            told.records.push_back(to_record(customer, names));
          },
      .refused =
          [&](std::string id, Error why) {
            EXPECT_EQ(why.code, ErrorCode::record_invalid);
            EXPECT_FALSE(why.message.empty());
            EXPECT_TRUE(is_utf8(id + why.to_string()));
            EXPECT_EQ(why.message.find("No error"), std::string::npos) << why.message;
            told.refused.emplace_back(std::move(id), std::move(why));
          },
      .estimate =
          [&](std::string_view entitlement, const EstimateStats& stats) {
            told.estimates.push_back(std::string(entitlement) + "/" + stats.segment);
          },
      .request =
          [&](std::string_view customer, const RememberedRequest& request) {
            told.requests.push_back(std::string(customer) + "/" + request.id);
          }};
  const Result<void> read = read_snapshot(text, names, sink);
  if (!read.ok()) {
    EXPECT_FALSE(read.error().message.empty());
    EXPECT_EQ(read.error().message.find("No error"), std::string::npos) << read.error().message;
    told.error = read.error();
  }
  return told;
}

// The same of a text that comes in pieces of that size.
Told told_of_pieces(std::string_view text, std::size_t size) {
  std::size_t at = 0;
  const TextSource source = [&](std::span<char> room) -> Result<std::size_t> {
    const std::string_view piece = text.substr(at, std::min(size, room.size()));
    std::copy(piece.begin(), piece.end(), room.begin());
    at += piece.size();
    return piece.size();
  };
  return told_of(source);
}

// In whole texts, and however it comes in pieces, the same is told.
Told read_all(const std::string& text) {
  Told whole = told_of(std::string_view(text));
  EXPECT_EQ(told_of_pieces(text, 7).text(), whole.text()) << text;
  return whole;
}

enum class Form : std::uint8_t { map, list, exported };

// A snapshot, and where in it each record stands, its key included.
struct Written {
  std::string text;
  std::vector<std::string> ids;
  std::map<std::string, std::string> records;
  std::vector<std::pair<std::size_t, std::size_t>> places;

  // The record that byte is in.
  std::optional<std::size_t> at(std::size_t byte) const {
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (byte >= places[i].first && byte < places[i].second) return i;
    }
    return std::nullopt;
  }
  // Between the first record and the last.
  bool is_among_records(std::size_t byte) const {
    return byte >= places.front().first && byte < places.back().second;
  }
};

// Five of all kinds: with next to nothing, with whatever looks like a record and is none, with text
// that looks like structure.
std::vector<std::string> five_records() {
  return {
      R"({"id":"ann","plan":"pro"})",
      R"({"id":"bob","plan":"pro","label":"} ] \" , {\"id\":\"bob\"","meters":{"chat":{"credit":)"
      R"("tok","started":1000,"value":12.5,"overhead":0.25,"history":[{"ts":1001,"delta":5}],)"
      R"("ewma_rate":1e-7,"holds":{"h1":{"value":2,"overhead":0.5,"expires":9000}}}}})",
      R"({"id":"c\u00e9c\"il","plan":"pro","refs":["ann"],"alt_ids":["cecil@mail"],"grants":{"dan":)"
      R"({"id":"dan","credit":"tok","starting_value":10,"value":4,"drawn":6,"seq":1}},)"
      R"("caps":{"bob":{"id":"bob","credit":"tok","value":5}},)"
      R"("metadata":{"ann":{"id":"ann","plan":"free"},"list":[{"id":"x"},[1,2,{"y":null}]]}})",
      R"({"id":"dan","plan":"","type":"org","overrides":{"chat":{"credit":"tok","value":50}}})",
      R"({"id":"eve","plan":"pro","metadata":{"note":"}},\"zed\":{\"id\":\"zed\""}})"};
}

Written written(Form form) {
  Written out;
  SymbolTable names;
  out.text = form == Form::map ? "{" : form == Form::list ? "[" : R"({"format":1,"customers":{)";
  for (const std::string& text : five_records()) {
    const Result<Customer> customer = read_customer(text, names);
    EXPECT_TRUE(customer.ok()) << customer.error().to_string();
    const std::string record = to_record(*customer, names);
    if (!out.ids.empty()) out.text += ",";
    const std::size_t begin = out.text.size();
    if (form != Form::list) out.text += Json(customer->id).dump() + ":";
    out.text += record;
    out.places.emplace_back(begin, out.text.size());
    out.ids.push_back(customer->id);
    out.records[customer->id] = record;
  }
  out.text += form == Form::map    ? "}"
              : form == Form::list ? "]"
                                   : R"(},"estimates":{"chat":{"all":{"samples":3}}},"requests":[)"
                                     R"({"customer":"ann","request":"r1","fingerprint":"00ff",)"
                                     R"("answer":true,"at":5}]})";
  return out;
}

TEST(Snapshot, AllOfAWholeOneLoads) {
  for (const Form form : {Form::map, Form::list, Form::exported}) {
    const Written whole = written(form);
    const Told told = read_all(whole.text);
    EXPECT_TRUE(told.is_clean()) << told.text();
    EXPECT_EQ(told.ids, whole.ids);
    if (form == Form::exported) {
      EXPECT_THAT(told.estimates, ElementsAre("chat/all"));
      EXPECT_THAT(told.requests, ElementsAre("ann/r1"));
    }
  }
}

// Goal: of a text that breaks off, exactly the records that are complete load.
TEST(Snapshot, OfOneThatBreaksOffWhatIsCompleteLoads) {
  for (const Form form : {Form::map, Form::list, Form::exported}) {
    const Written whole = written(form);
    for (std::size_t length = 0; length < whole.text.size(); ++length) {
      SCOPED_TRACE(length);
      const Told told = read_all(whole.text.substr(0, length));
      std::vector<std::string> complete;
      for (std::size_t i = 0; i < whole.ids.size(); ++i) {
        if (whole.places[i].second <= length) complete.push_back(whole.ids[i]);
      }
      ASSERT_EQ(told.ids, complete) << told.text();
      for (std::size_t i = 0; i < told.ids.size(); ++i) {
        ASSERT_EQ(told.records[i], whole.records.at(told.ids[i]));
      }
      ASSERT_TRUE(told.error) << "the rest is missing";
      ASSERT_THAT(told.refused, IsEmpty());
    }
  }
}

// What must hold of a snapshot of which one byte is another:
// 1. What loads is what was written, but for the record that the byte is in: that one may read as
//    another one of the same ID (in a list, where an ID stands only once, also of another).
// 2. A byte of one record, or between two, keeps no other record out.
// 3. What does not load is told.
void expect_honest(const Written& whole, Form form, std::size_t place, const Told& told) {
  const auto hit = whole.at(place);
  std::vector<std::string> same;
  for (std::size_t i = 0; i < told.ids.size(); ++i) {
    const auto known = whole.records.find(told.ids[i]);
    if (known != whole.records.end() && known->second == told.records[i]) {
      same.push_back(told.ids[i]);
      continue;
    }
    ASSERT_TRUE(hit) << "not written: " << told.records[i];
    if (form != Form::list) {
      ASSERT_EQ(told.ids[i], whole.ids[*hit]);
    } else {
      ASSERT_TRUE(told.ids[i] == whole.ids[*hit] || known == whole.records.end());
    }
  }
  for (std::size_t i = 0; i < whole.ids.size() && whole.is_among_records(place); ++i) {
    const auto loaded = std::count(same.begin(), same.end(), whole.ids[i]);
    ASSERT_TRUE(hit == i || loaded == 1) << whole.ids[i];
  }
  ASSERT_LE(told.ids.size(), whole.ids.size());
  ASSERT_TRUE(told.ids.size() == whole.ids.size() || !told.is_clean());
}

TEST(Snapshot, ADamagedByteKeepsNoOtherRecordOut) {
  std::mt19937_64 random(printed_seed());
  const std::uint64_t flips = number_from("LIMITR_FLIPS", 10'000);
  const std::string_view structure = "\"\"\"{}[]:,\\ \n";
  for (std::uint64_t i = 0; i < flips; ++i) {
    const Form form = std::array{Form::map, Form::list, Form::exported}[random() % 3];
    static const std::array<Written, 3> snapshots = {written(Form::map), written(Form::list),
                                                     written(Form::exported)};
    const Written& whole = snapshots[static_cast<std::size_t>(form)];
    const std::size_t place = random() % whole.text.size();
    std::string damaged = whole.text;
    // A bit that flips, or the worst that could stand there.
    const char before = damaged[place];
    damaged[place] = random() % 2 == 0 ? static_cast<char>(before ^ (1 << random() % 8))
                                       : structure[random() % structure.size()];
    if (damaged[place] == before) continue;
    SCOPED_TRACE(fmt::format("byte {} of {}: {:02x} becomes {:02x}", place, static_cast<int>(form),
                             before, damaged[place]));
    const Told told = told_of(std::string_view(damaged));
    ASSERT_NO_FATAL_FAILURE(expect_honest(whole, form, place, told)) << told.text() << damaged;
    if (i % 8 != 0) continue;
    ASSERT_EQ(told_of_pieces(damaged, 1 + random() % 300).text(), told.text());
  }
}

// Goal: nobody has to guess what is wrong and where.
TEST(Snapshot, ARefusalNamesTheRecordTheReasonAndThePlace) {
  const std::string bad_utf8 =
      "{\"ann\":{\"id\":\"ann\"},\n\"bob\":{\"id\":\"bob\",\"label\":\"\xff\"},";
  const Told utf8 = read_all(bad_utf8 + R"("eve":{"id":"eve"}})");
  EXPECT_THAT(utf8.ids, ElementsAre("ann", "eve"));
  ASSERT_NE(utf8.refusal("bob"), nullptr) << utf8.text();
  EXPECT_THAT(utf8.refusal("bob")->message, HasSubstr("UTF-8"));
  EXPECT_THAT(utf8.refusal("bob")->message, HasSubstr("(line 2, byte 21)"));
  const Told number =
      read_all(R"({"ann":{"id":"ann","meters":{"chat":{"value":1.2.3}}},"eve":{"id":"eve"}})");
  EXPECT_THAT(number.ids, ElementsAre("eve"));
  ASSERT_NE(number.refusal("ann"), nullptr) << number.text();
  EXPECT_EQ(number.refusal("ann")->where, "meters.chat.value");
  const Told cut = read_all(R"({"ann":{"id":"ann"},"bob":{"id":"b)");
  EXPECT_THAT(cut.ids, ElementsAre("ann"));
  ASSERT_TRUE(cut.error);
  EXPECT_EQ(cut.error->message, "the text breaks off inside the record of `bob` (line 1, byte 34)");
}

TEST(Snapshot, ARecordIsAnObject) {
  const Told map =
      read_all(R"({"ann":5,"bob":[{"id":"bob"}],"cid":"x","dan":null,"eve":{"id":"eve"}})");
  EXPECT_THAT(map.ids, ElementsAre("eve"));
  for (const char* id : {"ann", "bob", "cid", "dan"}) {
    ASSERT_NE(map.refusal(id), nullptr) << id << map.text();
    EXPECT_THAT(map.refusal(id)->message, HasSubstr("a record must be an object"));
  }
  EXPECT_FALSE(map.error);
  const Told list = read_all(R"([7,{"id":"eve"},[]])");
  EXPECT_THAT(list.ids, ElementsAre("eve"));
  EXPECT_NE(list.refusal("[0]"), nullptr);
  EXPECT_NE(list.refusal("[2]"), nullptr);
  SymbolTable names;
  for (const char* text : {"5", "null", "[]", "\"ann\"", "true"}) {
    const Result<Customer> customer = read_customer(text, names);
    ASSERT_FALSE(customer.ok());
    EXPECT_EQ(customer.error().message, "a record must be an object");
  }
}

// Goal: what an object is is decided by what is in it, not by a name that a customer may have too.
TEST(Snapshot, AnExportIsToldFromAMapByItsStructure) {
  for (const char* format : {R"("1")", "2", "null", "[1]", "true", "1.5"}) {
    const Told told =
        read_all(fmt::format(R"({{"format":{},"customers":{{"ann":{{"id":"ann"}}}}}})", format));
    ASSERT_TRUE(told.error) << format;
    EXPECT_THAT(told.error->to_string(), HasSubstr("format: expected format 1"));
    EXPECT_THAT(told.ids, IsEmpty());
  }
  for (const char* text :
       {R"({"customers":{"ann":{"id":"ann"}},"format":1})",
        R"({"estimates":{"e":{"all":{"samples":1}}},"customers":[{"id":"ann"}],"format":1})",
        R"({"customers":{"meters":{"plan":"p","id":"meters"}},"format":1})",
        R"({"estimates":{},"requests":[],"format":1.0,"customers":{"ann":{"id":"ann"}}})"}) {
    const Told told = read_all(text);
    EXPECT_TRUE(told.is_clean()) << text << told.text();
    EXPECT_EQ(told.ids.size(), 1U);
  }
  for (const char* id : {"customers", "estimates", "requests", "format"}) {
    const std::string record = fmt::format(R"("{0}":{{"meters":{{}},"id":"{0}"}})", id);
    const Told told = read_all("{" + record + R"(,"ann":{"id":"ann"}})");
    EXPECT_TRUE(told.is_clean()) << told.text();
    EXPECT_THAT(told.ids, ElementsAre(id, "ann"));
  }
  EXPECT_EQ(read_all(R"({"customers":{"ann":{"id":"ann"}}})").error->to_string(),
            "format: expected format 1");
  EXPECT_EQ(read_all(R"({"format":2,"customers":{}})").error->to_string(),
            "format: expected format 1, not 2");
}

TEST(Snapshot, EmptyIdsAreRefused) {
  const Told told = read_all(
      R"([{"id":""},{"id":"ann","alt_ids":["a",""]},{"id":"bob","refs":[""]},{"plan":"p"}])");
  EXPECT_THAT(told.ids, ElementsAre("bob")) << "a ref may be to nobody, as in create_customer";
  EXPECT_EQ(told.refusal("[0]")->where, "id");
  EXPECT_EQ(told.refusal("ann")->where, "alt_ids");
  EXPECT_EQ(told.refusal("[3]")->where, "id");
  EXPECT_EQ(read_all(R"({"":{"id":""}})").refusal("[0]")->where, "id");
}

// Goal: one wrong entry of an export keeps no other out, either.
TEST(Snapshot, WrongRequestsAndEstimatesAreNamedAndSkipped) {
  const Told told = read_all(
      R"({"format":1,"estimates":{"e":{"a":{"samples":"x"},"b":5,"c":{"samples":1}},"f":7,)"
      R"("g":{"d":{"samples":2}}},"requests":[{"customer":"ann","request":"r1"},7,)"
      R"({"customer":"ann","request":"r2","fingerprint":"1","answer":true,"at":"x"},)"
      R"({"customer":"ann","request":"r3","fingerprint":"1","answer":true,"at":5}],)"
      R"("customers":{"ann":{"id":"ann"}}})");
  EXPECT_FALSE(told.error) << told.text();
  EXPECT_THAT(told.estimates, ElementsAre("e/c", "g/d"));
  EXPECT_THAT(told.requests, ElementsAre("ann/r3"));
  EXPECT_THAT(told.ids, ElementsAre("ann"));
  ASSERT_EQ(told.refused.size(), 6U) << told.text();
  EXPECT_EQ(told.refusal("estimates.e.a")->where, "samples");
  EXPECT_NE(told.refusal("estimates.e.b"), nullptr);
  EXPECT_NE(told.refusal("estimates.f"), nullptr);
  EXPECT_EQ(told.refusal("requests[0]")->where, "answer");
  EXPECT_THAT(told.refusal("requests[1]")->message, HasSubstr("a request must be an object"));
  EXPECT_EQ(told.refusal("requests[2]")->where, "at");
  const Told sections =
      read_all(R"({"format":1,"customers":5,"estimates":[],"requests":{},"x":1})");
  EXPECT_EQ(sections.refused.size(), 4U) << sections.text();
}

// Goal: a record that only looks whole because a bracket is missing does not take others with it.
TEST(Snapshot, AMissingBracketSwallowsNobody) {
  for (const Form form : {Form::map, Form::list, Form::exported}) {
    const Written whole = written(form);
    for (std::size_t i = 0; i + 1 < whole.ids.size(); ++i) {
      SCOPED_TRACE(whole.ids[i]);
      std::string text = whole.text;
      text.erase(whole.places[i].second - 1, 1);
      const Told told = read_all(text);
      EXPECT_EQ(told.ids.size(), whole.ids.size() - 1) << told.text();
      EXPECT_EQ(std::count(told.ids.begin(), told.ids.end(), whole.ids[i]), 0);
      ASSERT_FALSE(told.refused.empty());
      EXPECT_EQ(told.refused.front().first, whole.ids[i]);
    }
  }
}

// Goal: what stands inside a record is never taken for one, whatever it looks like.
TEST(Snapshot, WhatLooksLikeARecordInsideOneIsNone) {
  const Written whole = written(Form::map);
  const std::string inner = whole.records.at("eve");
  for (const char* value : {"1", "\"x\"", "7x"}) {
    const std::string text = fmt::format(
        R"({{"ann":{{"id":"ann","metadata":{{"eve":{}}},"plan":{}}},"bob":{{"id":"bob"}}}})", inner,
        value);
    const Told told = read_all(text);
    EXPECT_EQ(std::count(told.ids.begin(), told.ids.end(), "eve"), 0) << text;
    EXPECT_EQ(std::count(told.ids.begin(), told.ids.end(), "bob"), 1) << text;
  }
}

TEST(Snapshot, ARecordHasABound) {
  const std::string large(max_record_bytes, 'x');
  const std::string text =
      R"({"ann":{"id":"ann"},"bob":{"id":"bob","label":")" + large + R"("},"eve":{"id":"eve"}})";
  for (const Told& told : {told_of(std::string_view(text)), told_of_pieces(text, 1U << 20U)}) {
    EXPECT_THAT(told.ids, ElementsAre("ann", "eve"));
    EXPECT_FALSE(told.error);
    ASSERT_NE(told.refusal("bob"), nullptr);
    EXPECT_THAT(told.refusal("bob")->message, HasSubstr("larger than 64 MiB"));
  }
}

TEST(Snapshot, ASourceThatFailsSaysWhy) {
  const std::string text = R"({"ann":{"id":"ann"},"bob":{"id":"bob"}})";
  bool has_begun = false;
  const TextSource source = [&](std::span<char> room) -> Result<std::size_t> {
    if (has_begun) return Error{.code = ErrorCode::io_failed, .message = "the disk is gone"};
    has_begun = true;
    std::copy(text.begin(), text.begin() + 30, room.begin());
    return std::size_t{30};
  };
  const Told told = told_of(source);
  EXPECT_THAT(told.ids, ElementsAre("ann"));
  ASSERT_TRUE(told.error);
  EXPECT_EQ(told.error->code, ErrorCode::io_failed);
}

// Goal: hostile text is given up on, not looked at for hours.
TEST(Snapshot, NestedBeginningsOfRecordsEnd) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += R"("a":{"id":"a",)";
  EXPECT_TRUE(told_of(std::string_view(text)).error);
}

// The same as looking at each byte.
std::size_t end_by_bytes(std::string_view text) {
  int depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
  }
  return BracketScan::not_yet;
}

TEST(BracketScan, FindsWhatLookingAtEachByteFinds) {
  std::mt19937_64 random(printed_seed());
  constexpr std::string_view bytes = "{[}]\"\\abcdefgh,:  1234567\n\x7f\x80\xff";
  for (int i = 0; i < 20'000; ++i) {
    // The rarer the brackets, the longer the value.
    const std::size_t rare = 1 + random() % 40;
    std::string text = "{";
    for (std::size_t length = random() % 400; length > 0; --length) {
      text += random() % rare == 0 ? bytes[random() % 6] : bytes[random() % bytes.size()];
      if (random() % rare != 0) text += 'x';
    }
    SCOPED_TRACE(text);
    ASSERT_EQ(BracketScan().scan(text), end_by_bytes(text));
    BracketScan in_pieces;
    std::size_t at = 0;
    std::size_t end = BracketScan::not_yet;
    while (at < text.size() && end == BracketScan::not_yet) {
      const std::string_view piece = std::string_view(text).substr(at, random() % 150);
      const std::size_t found = in_pieces.scan(piece);
      if (found != BracketScan::not_yet) end = at + found;
      at += piece.size();
    }
    ASSERT_EQ(end, end_by_bytes(text));
  }
}

}  // namespace
}  // namespace limitr::state
