// SPDX-License-Identifier: Apache-2.0
#include "wire/messages.h"

#include <limits>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace limitr::wire {
namespace {

using store::StoredCustomer;
using store::StoredRequest;

// Text that only survives where nobody reads it and writes it anew.
constexpr std::string_view record = R"({"id" : "ann",  "n":1.50, "t":"\u00e9\/ ", "n":2, "e":{ }})";

StoredRequest remembered(std::string answer) {
  return {.number = std::numeric_limits<std::uint64_t>::max(),
          .id = "r\"1",
          .fingerprint = 0xfedcba9876543210,
          .answer = std::move(answer),
          .at = Timestamp(Millis(1764100000000))};
}

StoredCustomer full_row() {
  return {
      .id = "ann",
      .version = 9007199254740993,  // no double
      .record = std::string(record),
      .requests = {remembered("true"), remembered("null"), remembered(R"([ 1.0 , {"a":"b"} ])")},
      .damage = Error{.code = ErrorCode::data_corrupt, .message = "torn", .where = "ann"}};
}

void expect_same(const Error& was, const Error& is) {
  EXPECT_EQ(was.code, is.code);
  EXPECT_EQ(was.message, is.message);
  EXPECT_EQ(was.where, is.where);
}

void expect_same(const StoredCustomer& was, const StoredCustomer& is) {
  EXPECT_EQ(was.id, is.id);
  EXPECT_EQ(was.version, is.version);
  EXPECT_EQ(was.record, is.record);
  EXPECT_EQ(was.requests, is.requests);
  ASSERT_EQ(was.damage.has_value(), is.damage.has_value());
  if (was.damage) expect_same(*was.damage, *is.damage);
}

template <typename T>
T sent(T body) {
  const std::string text = encode(Request{.n = 7, .body = std::move(body)});
  const Result<Request> read = decode_request(text);
  if (!read.ok()) {
    ADD_FAILURE() << read.error().to_string() << "\n" << text;
    return {};
  }
  EXPECT_EQ(read->n, 7U);
  EXPECT_EQ(number_of(text), 7U);
  EXPECT_EQ(encode(*read), text);
  return std::get<T>(read->body);
}

template <typename T>
T answered(T body, std::optional<std::uint64_t> n = 18446744073709551615U) {
  const std::string text = encode(Reply{.n = n, .body = std::move(body)});
  const Result<Reply> read = decode_reply(text);
  if (!read.ok()) {
    ADD_FAILURE() << read.error().to_string() << "\n" << text;
    return {};
  }
  EXPECT_EQ(read->n, n);
  EXPECT_EQ(number_of(text), n);
  EXPECT_EQ(encode(*read), text);
  return std::get<T>(read->body);
}

TEST(Messages, HelloComesAsItWasSent) {
  const Hello hello = sent(Hello{
      .protocol = 3, .engine = "4f", .limitr = "1.2", .policy = "v", .deny_unconnected = false});
  EXPECT_EQ(hello.protocol, 3);
  EXPECT_EQ(hello.engine, "4f");
  EXPECT_EQ(hello.limitr, "1.2");
  EXPECT_EQ(hello.policy, "v");
  EXPECT_FALSE(hello.deny_unconnected);
  EXPECT_EQ(sent(Hello{}).policy, "");
}

TEST(Messages, AnExchangeComesAsItWasSent) {
  store::CustomerWrite write{.id = "ann",
                             .record = std::string(record),
                             .alt_ids = {"a", "\xC3\xA9\n"},
                             .new_requests = {remembered("0.10")},
                             .first_request = 4};
  store::CustomerWrite removal{
      .id = "cat", .record = {}, .alt_ids = {}, .new_requests = {}, .first_request = 1};
  const Exchange exchange =
      sent(Exchange{{{.number = 3,
                      .parts = {{.id = "ann", .version = 18446744073709551615U, .write = write},
                                {.id = "bob", .version = 0}}},
                     {.number = 4, .parts = {{.id = "cat", .version = 1, .write = removal}}}}});
  ASSERT_EQ(exchange.transactions.size(), 2U);
  EXPECT_EQ(exchange.transactions[0].number, 3U);
  ASSERT_EQ(exchange.transactions[0].parts.size(), 2U);
  const store::Part& part = exchange.transactions[0].parts[0];
  EXPECT_EQ(part.id, "ann");
  EXPECT_EQ(part.version, 18446744073709551615U);
  ASSERT_TRUE(part.write);
  EXPECT_EQ(part.write->id, "ann");
  EXPECT_EQ(part.write->record, record);
  EXPECT_EQ(part.write->alt_ids, write.alt_ids);
  EXPECT_EQ(part.write->new_requests, write.new_requests);
  EXPECT_EQ(part.write->first_request, 4U);
  EXPECT_FALSE(exchange.transactions[0].parts[1].write);
  ASSERT_TRUE(exchange.transactions[1].parts[0].write);
  EXPECT_FALSE(exchange.transactions[1].parts[0].write->record);
}

TEST(Messages, TheOtherRequestsComeAsTheyWereSent) {
  EXPECT_EQ(sent(Read{{"a", ""}}).ids, (std::vector<std::string>{"a", ""}));
  const RecallHomes recall = sent(RecallHomes{{{"e1", {"a"}}, {"e2", {}}}});
  ASSERT_EQ(recall.homes.size(), 2U);
  EXPECT_EQ(recall.homes[0].engine, "e1");
  EXPECT_EQ(recall.homes[0].ids, std::vector<std::string>{"a"});
  const Scan scan = sent(Scan{.after = "z", .limit = 4294967295});
  EXPECT_EQ(scan.after, "z");
  EXPECT_EQ(scan.limit, 4294967295);
  EXPECT_EQ(sent(Estimates{R"({"a": 1})"}).text, R"({"a": 1})");
  EXPECT_EQ(sent(Estimates{}).text, std::nullopt);
  sent(Renew{});
  sent(Bye{});
  const Admin admin = sent(Admin{.what = "push", .args = Json{{"a", {1, -2.5, nullptr}}}});
  EXPECT_EQ(admin.what, "push");
  EXPECT_EQ(admin.args, (Json{{"a", {1, -2.5, nullptr}}}));
}

TEST(Messages, WelcomeComesAsItWasSent) {
  const Welcome welcome =
      answered(Welcome{.protocol = 1,
                       .project = "default",
                       .server = "s1",
                       .lease = Millis(10000),
                       .now = Timestamp(Millis(5)),
                       .max_message = 1U << 20,
                       .policy = {.version = 12, .document = R"({"policy" : {"z":1, "a":2}})"}});
  EXPECT_EQ(welcome.protocol, 1);
  EXPECT_EQ(welcome.project, "default");
  EXPECT_EQ(welcome.server, "s1");
  EXPECT_EQ(welcome.lease, Millis(10000));
  EXPECT_EQ(welcome.now, Timestamp(Millis(5)));
  EXPECT_EQ(welcome.max_message, 1U << 20);
  EXPECT_EQ(welcome.policy.version, 12U);
  EXPECT_EQ(welcome.policy.document, R"({"policy" : {"z":1, "a":2}})");
  EXPECT_EQ(answered(Welcome{}).policy.document, "");
}

TEST(Messages, RowsComeAsTheyWereSent) {
  const Rows rows = answered(Rows{.rows = {full_row(), {.id = "nobody"}}, .more = true});
  ASSERT_EQ(rows.rows.size(), 2U);
  expect_same(full_row(), rows.rows[0]);
  expect_same({.id = "nobody"}, rows.rows[1]);
  EXPECT_TRUE(rows.more);
  EXPECT_FALSE(answered(Rows{}).more);
}

TEST(Messages, ResultsOfAnExchangeComeAsTheyWereSent) {
  Exchangeds all;
  all.results.push_back({.is_written = true, .versions = {0, 18446744073709551615U}});
  all.results.push_back({.current = {full_row()}});
  all.results.push_back(
      {.failure = Error{.code = ErrorCode::store_unavailable, .message = "later"}});
  all.results.push_back({.is_written = true});
  const Exchangeds read = answered(all);
  ASSERT_EQ(read.results.size(), 4U);
  EXPECT_TRUE(read.results[0].is_written);
  EXPECT_EQ(read.results[0].versions, (std::vector<std::uint64_t>{0, 18446744073709551615U}));
  EXPECT_FALSE(read.results[1].is_written);
  ASSERT_EQ(read.results[1].current.size(), 1U);
  expect_same(full_row(), read.results[1].current[0]);
  EXPECT_FALSE(read.results[2].is_written);
  ASSERT_TRUE(read.results[2].failure);
  expect_same(*all.results[2].failure, *read.results[2].failure);
  EXPECT_TRUE(read.results[3].is_written);
}

TEST(Messages, TheOtherAnswersComeAsTheyWereSent) {
  EXPECT_EQ(answered(Recalled{{"e1"}}).lost, std::vector<std::string>{"e1"});
  EXPECT_EQ(answered(Estimates{"x"}).text, "x");
  const Renewed renewed = answered(Renewed{.lease = Millis(1), .now = Timestamp(Millis(-2))});
  EXPECT_EQ(renewed.lease, Millis(1));
  EXPECT_EQ(renewed.now, Timestamp(Millis(-2)));
  EXPECT_EQ(answered(Done{}).value, Json());
  EXPECT_EQ(answered(Done{Json::array({1})}).value, Json::array({1}));
  EXPECT_EQ(answered(RecallCustomers{{"ann"}}, std::nullopt).ids, std::vector<std::string>{"ann"});
  const ChangedRows changed = answered(ChangedRows{{full_row()}}, std::nullopt);
  ASSERT_EQ(changed.rows.size(), 1U);
  expect_same(full_row(), changed.rows[0]);
  const PolicyVersion policy = answered(PolicyVersion{3, R"({ })"}, std::nullopt);
  EXPECT_EQ(policy.version, 3U);
  EXPECT_EQ(policy.document, "{ }");
}

TEST(Messages, EveryErrorComesAsItWasSent) {
  for (int code = 1; code <= static_cast<int>(ErrorCode::unauthorized); ++code) {
    const Error error{.code = static_cast<ErrorCode>(code), .message = "m", .where = "w"};
    expect_same(error, answered(Failed{error}).error);
  }
  const Result<Reply> newer = decode_reply(R"({"type":"error","code":"brand_new","message":"m"})");
  ASSERT_TRUE(newer.ok()) << newer.error().to_string();
  EXPECT_EQ(std::get<Failed>(newer->body).error.code, ErrorCode::store_unavailable);
}

// Goal: what docs/protocol.md shows is what is written.
TEST(Messages, AreWrittenAsTheDocumentSays) {
  const Exchange exchange{
      {{.number = 8,
        .parts = {{.id = "ann",
                   .version = 2,
                   .write = store::CustomerWrite{.id = "ann",
                                                 .record = R"({"id":"ann"})",
                                                 .alt_ids = {"a"},
                                                 .new_requests = {{.number = 1,
                                                                   .id = "r",
                                                                   .fingerprint = 255,
                                                                   .answer = "true",
                                                                   .at = Timestamp(Millis(9))}},
                                                 .first_request = 1}}}}}};
  EXPECT_EQ(encode(Request{.n = 1, .body = exchange}),
            R"({"type":"exchange","n":1,"transactions":[{"number":8,"parts":[{"id":"ann",)"
            R"("version":2,"write":{"record":{"id":"ann"},"alts":["a"],"requests":[{"number":1,)"
            R"("id":"r","fingerprint":"00000000000000ff","answer":true,"at":9}],)"
            R"("first_request":1}}]}]})");
  EXPECT_EQ(encode(Reply{.n = {}, .body = PolicyVersion{1, "{}"}}),
            R"({"type":"policy","version":1,"document":{}})");
}

TEST(Messages, MembersMayStandInAnyOrderAndOthersAreSkipped) {
  const Result<Reply> read = decode_reply(
      " { \"x\":{\"type\":[1,{}]}, \"ne\\u0077\":null,\n\"rows\" : [ {\"version\":1,\"more\":2,"
      "\"requests\":[],\"record\": {\"id\":\"a\"} ,\"id\":\"a\"} ], \"n\":4 , \"type\":\"rows\" "
      "} ");
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(read->n, 4U);
  ASSERT_EQ(std::get<Rows>(read->body).rows.size(), 1U);
  EXPECT_EQ(std::get<Rows>(read->body).rows[0].record, R"({"id":"a"})");
  const Result<Request> renew = decode_request("{\"n\":1,\"t\\u0079pe\":\"renew\"}");
  ASSERT_FALSE(renew.ok());
  EXPECT_EQ(renew.error().where, "type");
}

std::string nested(std::size_t levels) {
  std::string text;
  for (std::size_t level = 1; level < levels; ++level) text += R"({"a":)";
  return text + "{}" + std::string(levels - 1, '}');
}

std::string of_record(const std::string& text) {
  return fmt::format(R"({{"type":"rows","n":1,"rows":[{{"id":"a","version":1,"record":{},)"
                     R"("requests":[]}}]}})",
                     text);
}

TEST(Messages, JsonInsideNestsNoDeeperThanItMay) {
  EXPECT_TRUE(decode_reply(of_record(nested(most_levels))).ok());
  const Result<Reply> deeper = decode_reply(of_record(nested(most_levels + 1)));
  ASSERT_FALSE(deeper.ok());
  EXPECT_EQ(deeper.error().to_string(), "rows.0.record: nests deeper than 80 levels");
  EXPECT_FALSE(decode_reply(of_record(nested(1'000'000))).ok());
  EXPECT_FALSE(decode_request(std::string(1'000'000, '[')).ok());
  const std::string unknown = fmt::format(R"({{"type":"renew","n":1,"x":{}}})", nested(1'000'000));
  EXPECT_EQ(decode_request(unknown).error().to_string(), "x: nests deeper than 80 levels");
  const std::string args =
      fmt::format(R"({{"type":"admin","n":1,"do":"x","args":{}}})", nested(most_levels + 1));
  EXPECT_FALSE(decode_request(args).ok());
}

// Goal: a text that is torn in a part that nobody reads is not taken for another message.
TEST(Messages, WhatIsSkippedIsJsonAllTheSame) {
  EXPECT_TRUE(decode_request(R"({"type":"renew","n":1,"later":{"a":[1,{}]},"x":null})").ok());
  for (const char* text : {
           R"({"type":"renew","n":1,"x":{"a":"b":[{}]"c}})",
           R"({"type":"renew","n":1,"x":[1 2]})",
           R"({"type":"renew","n":1,"x":tru})",
           R"({"type":"renew","n":1,"x":"a":1})",
           R"({"type":"admin","n":1,"do":"x","args":"a":1})",
           R"({"type":"exchange","n":1,"transactions":[{"number":1,"parts":[],"x":{"a","b":1}}]})",
       }) {
    const Result<Request> read = decode_request(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().code, ErrorCode::invalid_argument);
  }
}

std::string list_of(std::size_t count, std::string_view element) {
  std::string list = "[";
  for (std::size_t i = 0; i < count; ++i) list.append(i == 0 ? "" : ",").append(element);
  return list + "]";
}

TEST(Messages, ListsHaveNoMoreThanTheyMay) {
  const auto transactions = [](std::size_t count) {
    return decode_request(fmt::format(R"({{"type":"exchange","n":1,"transactions":{}}})",
                                      list_of(count, R"({"number":1,"parts":[]})")));
  };
  EXPECT_TRUE(transactions(store::most_transactions).ok());
  const Result<Request> more = transactions(store::most_transactions + 1);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().to_string(), "transactions: has more than 4096 elements");
  const Result<Request> ids = decode_request(
      fmt::format(R"({{"type":"read","n":1,"ids":{}}})", list_of(most_elements + 1, R"("a")")));
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().to_string(), "ids: has more than 100000 elements");
}

TEST(Messages, WhatIsWrongIsNamed) {
  struct Case {
    const char* text;
    const char* error;
  };
  const Case requests[] = {
      {R"({"n":1})", "type: is missing"},
      {R"({"type":1,"n":1})", "type: expected text"},
      {R"({"type":"renew"})", "n: is missing"},
      {R"({"type":"renew","n":-1})", "n: expected a whole number from 0 to 18446744073709551615"},
      {R"({"type":"renew","n":1.5})", "n: expected a whole number from 0 to 18446744073709551615"},
      {R"({"type":"renew","n":18446744073709551616})",
       "n: expected a whole number from 0 to 18446744073709551615"},
      {R"({"type":"rows","n":1})", "type: `rows` is no message to a server"},
      {R"({"type":"hello","n":1,"protocol":2147483648})",
       "protocol: expected a whole number from 0 to 2147483647"},
      {R"({"type":"hello","n":1,"protocol":1,"engine":"e","limitr":"l"})",
       "deny_unconnected: is missing"},
      {R"({"type":"hello","n":1,"deny_unconnected":null})",
       "deny_unconnected: expected true or false"},
      {R"({"type":"read","n":1})", "ids: is missing"},
      {R"({"type":"read","n":1,"ids":{}})", "ids: expected a list"},
      {R"({"type":"read","n":1,"ids":["a",2]})", "ids.1: expected text"},
      {R"({"type":"scan","n":1,"after":"","limit":4294967296})",
       "limit: expected a whole number from 0 to 4294967295"},
      {R"({"type":"recall","n":1,"homes":[{"ids":[]}]})", "homes.0.engine: is missing"},
      {R"({"type":"admin","n":1,"args":{}})", "do: is missing"},
      {R"({"type":"exchange","n":1,"transactions":[{"number":1,"parts":[{"id":"a","version":1},{"id":"a"}]}]})",
       "transactions.0.parts.1.version: is missing"},
      {R"({"type":"exchange","n":1,"transactions":[3]})", "transactions.0: expected an object"},
      {R"({"type":"exchange","n":1,"transactions":[{"number":1,"parts":[{"id":"a","version":1,"write":{"alts":[],"requests":[]}}]}]})",
       "transactions.0.parts.0.write.first_request: is missing"},
      {R"({"type":"exchange","n":1,"transactions":[{"number":1,"parts":[{"id":"a","version":1,"write":{"record":"x"}}]}]})",
       "transactions.0.parts.0.write.record: expected an object"},
      {R"({"type":"exchange","n":1,"transactions":[{"number":1,"parts":[{"id":"a","version":1,"write":{"record":null}}]}]})",
       "transactions.0.parts.0.write.record: expected an object"},
      {R"({"type":"exchange","n":1,"transactions":[{"number":1,"parts":[{"id":"a","version":1,"write":{"requests":[{"fingerprint":"12"}]}}]}]})",
       "transactions.0.parts.0.write.requests.0.fingerprint: expected 16 hexadecimal digits"},
      {R"({"type":"exchange","n":1,"transactions":[{"number":1,"parts":[{"id":"a","version":1,"write":{"requests":[{"at":1e300}]}}]}]})",
       "transactions.0.parts.0.write.requests.0.at: expected a time in whole milliseconds"},
      {"", "not JSON"},
      {"[]", "a message must be an object"},
      {"3", "a message must be an object"},
      {R"({"type":"renew","n":1} x)", "not JSON"},
      {R"({"type":"renew","n":1}{})", "more text behind a message"},
      {R"({"type":"renew","n":1)", "not JSON"},
      {R"({"type":"renew,"n":1})", "not JSON"},
      {"{\"type\":\"read\",\"n\":1,\"ids\":[\"\xff\"]}", "not JSON"},
      {"{\"type\":\"read\",\"n\":1,\"ids\":[\"\xed\xa0\x80\"]}", "not JSON"},
      {R"({"type":"read","n":1,"ids":["\ud800"]})", "ids.0: expected text"},
  };
  for (const Case& c : requests) {
    const Result<Request> read = decode_request(c.text);
    ASSERT_FALSE(read.ok()) << c.text;
    EXPECT_EQ(read.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(read.error().to_string().substr(0, std::string_view(c.error).size()), c.error)
        << c.text << "\n"
        << read.error().to_string();
  }
}

TEST(Messages, WhatIsWrongInARecordIsNamed) {
  for (const char* text : {R"({"a" 1})", R"({"a":tru})", R"({"a":1,})", R"({"a":"\q"})",
                           R"({"a":01})", R"({"a":[1}})", R"({a:1})", "{\"a\":\"\n\"}"}) {
    const Result<Reply> read = decode_reply(of_record(text));
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().code, ErrorCode::invalid_argument);
  }
  const Result<Reply> read = decode_reply(of_record(R"({"a":1e999})"));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().to_string(), "rows.0.record: has a number that is none, or out of range");
}

// Goal: no text, however cut or changed, does more than fail.
TEST(Messages, APieceOfAMessageIsAnError) {
  const std::string text =
      encode(Reply{.n = 1, .body = Exchangeds{{{.current = {full_row(), full_row()}}}}});
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(decode_reply(std::string_view(text).substr(0, size)).ok()) << size;
    std::string changed = text;
    changed[size] = static_cast<char>(changed[size] ^ 0x42);
    (void)decode_reply(changed);
    (void)number_of(changed);
  }
}

TEST(Messages, TheNumberOfABadMessageIsFound) {
  EXPECT_EQ(number_of(R"({"type":"sing","n":3})"), 3U);
  EXPECT_EQ(number_of(R"({"n":4})"), 4U);
  EXPECT_EQ(number_of(R"({"type":"renew"})"), std::nullopt);
  EXPECT_EQ(number_of(R"({"type":"renew","n":"x"})"), std::nullopt);
  EXPECT_EQ(number_of("hello"), std::nullopt);
}

}  // namespace
}  // namespace limitr::wire
