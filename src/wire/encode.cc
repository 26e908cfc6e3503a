// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <span>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "wire/messages.h"

namespace limitr::wire {
namespace {

using store::Exchanged;
using store::Part;
using store::StoredCustomer;
using store::StoredRequest;
using store::Transaction;

// JSON as it stands; nothing is null, which reads back as nothing.
void write_raw(JsonWriter& json, std::string_view name, std::string_view text) {
  json.key(name).raw(text.empty() ? "null" : text);
}

template <typename List>
void write_list(JsonWriter& json, std::string_view name, const List& list) {
  json.key(name).begin_array();
  for (const auto& element : list) json.value(element);
  json.end_array();
}

template <typename List, typename Write>
void write_list(JsonWriter& json, std::string_view name, const List& list, const Write& write) {
  json.key(name).begin_array();
  for (const auto& element : list) write(json, element);
  json.end_array();
}

void write_error_members(JsonWriter& json, const Error& error) {
  json.field("code", to_string(error.code)).field("message", error.message);
  if (!error.where.empty()) json.field("where", error.where);
}

void write_error(JsonWriter& json, std::string_view name, const Error& error) {
  json.key(name).begin_object();
  write_error_members(json, error);
  json.end_object();
}

void write_request(JsonWriter& json, const StoredRequest& request) {
  json.begin_object().field("number", request.number).field("id", request.id);
  json.field("fingerprint", fmt::format("{:016x}", request.fingerprint));
  write_raw(json, "answer", request.answer);
  json.field("at", request.at).end_object();
}

void write_row(JsonWriter& json, const StoredCustomer& row) {
  json.begin_object().field("id", row.id).field("version", row.version);
  write_raw(json, "record", row.record);
  write_list(json, "requests", row.requests, write_request);
  if (row.damage) write_error(json, "damage", *row.damage);
  json.end_object();
}

void write_part(JsonWriter& json, const Part& part) {
  json.begin_object().field("id", part.id).field("version", part.version);
  if (part.write) {
    json.key("write").begin_object();
    if (part.write->record) write_raw(json, "record", *part.write->record);
    write_list(json, "alts", part.write->alt_ids);
    write_list(json, "requests", part.write->new_requests, write_request);
    json.field("first_request", part.write->first_request).end_object();
  }
  json.end_object();
}

void write_transaction(JsonWriter& json, const Transaction& transaction) {
  json.begin_object().field("number", transaction.number);
  write_list(json, "parts", transaction.parts, write_part);
  json.end_object();
}

void write_exchanged(JsonWriter& json, const Exchanged& result) {
  json.begin_object();
  if (result.failure) {
    write_error(json, "failure", *result.failure);
  } else if (result.is_written) {
    write_list(json, "versions", result.versions);
  } else {
    write_list(json, "current", result.current, write_row);
  }
  json.end_object();
}

void write_policy_members(JsonWriter& json, const PolicyVersion& policy) {
  json.field("version", policy.version);
  write_raw(json, "document", policy.document);
}

void write_home(JsonWriter& json, const HomeOf& home) {
  json.begin_object().field("engine", home.engine);
  write_list(json, "ids", home.ids);
  json.end_object();
}

// What the members around the texts of a row or part take, about.
constexpr std::size_t around = 160;

std::size_t size_of(std::span<const StoredRequest> requests) {
  return std::accumulate(requests.begin(), requests.end(), std::size_t{0},
                         [](std::size_t sum, const StoredRequest& request) {
                           return sum + request.id.size() + request.answer.size() + around;
                         });
}

std::size_t size_of(std::span<const StoredCustomer> rows) {
  std::size_t size = 0;
  for (const StoredCustomer& row : rows) {
    size += row.id.size() + row.record.size() + around + size_of(row.requests);
  }
  return size;
}

std::size_t size_of(const Transaction& transaction) {
  std::size_t size = around;
  for (const Part& part : transaction.parts) {
    size += part.id.size() + around;
    if (!part.write) continue;
    if (part.write->record) size += part.write->record->size();
    size += size_of(part.write->new_requests);
  }
  return size;
}

// Writes the members of a message that are its own, and says how large it will be, where that is
// more than a little.
class RequestWriter {
public:
  RequestWriter(std::string& out, std::uint64_t n) : out_(out), json_(out), n_(n) {}

  void operator()(const Hello& hello) {
    begin("hello").field("protocol", hello.protocol).field("engine", hello.engine);
    json_.field("limitr", hello.limitr);
    if (!hello.policy.empty()) json_.field("policy", hello.policy);
    json_.field("deny_unconnected", hello.deny_unconnected).end_object();
  }
  void operator()(const Read& read) {
    write_list(begin("read"), "ids", read.ids);
    json_.end_object();
  }
  void operator()(const Exchange& exchange) { write(exchange.transactions); }
  void write(std::span<const Transaction> transactions) {
    std::size_t size = around;
    for (const Transaction& transaction : transactions) size += size_of(transaction);
    out_.reserve(size);
    write_list(begin("exchange"), "transactions", transactions, write_transaction);
    json_.end_object();
  }
  void operator()(const RecallHomes& recall) {
    write_list(begin("recall"), "homes", recall.homes, write_home);
    json_.end_object();
  }
  void operator()(const Scan& scan) {
    begin("scan").field("after", scan.after).field("limit", scan.limit).end_object();
  }
  void operator()(const Estimates& estimates) {
    begin("estimates");
    if (estimates.text) json_.field("text", *estimates.text);
    json_.end_object();
  }
  void operator()(const Renew&) { begin("renew").end_object(); }
  void operator()(const Bye&) { begin("bye").end_object(); }
  void operator()(const Admin& admin) {
    begin("admin").field("do", admin.what).field("args", admin.args).end_object();
  }

private:
  JsonWriter& begin(std::string_view type) {
    return json_.begin_object().field("type", type).field("n", n_);
  }

  std::string& out_;
  JsonWriter json_;
  std::uint64_t n_;
};

class ReplyWriter {
public:
  ReplyWriter(std::string& out, std::optional<std::uint64_t> n) : out_(out), json_(out), n_(n) {}

  void operator()(const Welcome& welcome) {
    begin("welcome").field("protocol", welcome.protocol).field("project", welcome.project);
    json_.field("server", welcome.server).field("lease", welcome.lease).field("now", welcome.now);
    json_.field("max_message", welcome.max_message).key("policy").begin_object();
    write_policy_members(json_, welcome.policy);
    json_.end_object().end_object();
  }
  void operator()(const Rows& rows) {
    out_.reserve(size_of(rows.rows) + around);
    write_list(begin("rows"), "rows", rows.rows, write_row);
    json_.field("more", rows.more).end_object();
  }
  void operator()(const Exchangeds& exchangeds) {
    std::size_t size = around;
    for (const Exchanged& result : exchangeds.results) size += size_of(result.current) + around;
    out_.reserve(size);
    write_list(begin("exchanged"), "results", exchangeds.results, write_exchanged);
    json_.end_object();
  }
  void operator()(const Recalled& recalled) {
    write_list(begin("recalled"), "lost", recalled.lost);
    json_.end_object();
  }
  void operator()(const Estimates& estimates) {
    begin("estimates");
    if (estimates.text) json_.field("text", *estimates.text);
    json_.end_object();
  }
  void operator()(const Renewed& renewed) {
    begin("renewed").field("lease", renewed.lease).field("now", renewed.now).end_object();
  }
  void operator()(const Done& done) {
    begin("done");
    if (!done.value.is_null()) json_.field("value", done.value);
    json_.end_object();
  }
  void operator()(const RecallCustomers& recall) {
    write_list(begin("recall"), "ids", recall.ids);
    json_.end_object();
  }
  void operator()(const ChangedRows& changed) {
    out_.reserve(size_of(changed.rows) + around);
    write_list(begin("changed"), "rows", changed.rows, write_row);
    json_.end_object();
  }
  void operator()(const PolicyVersion& policy) {
    begin("policy");
    write_policy_members(json_, policy);
    json_.end_object();
  }
  void operator()(const Failed& failed) {
    begin("error");
    write_error_members(json_, failed.error);
    json_.end_object();
  }

private:
  JsonWriter& begin(std::string_view type) {
    json_.begin_object().field("type", type);
    if (n_) json_.field("n", *n_);
    return json_;
  }

  std::string& out_;
  JsonWriter json_;
  std::optional<std::uint64_t> n_;
};

}  // namespace

std::string encode(const Request& request) {
  std::string out;
  std::visit(RequestWriter(out, request.n), request.body);
  return out;
}

std::string encode_exchange(std::uint64_t n, std::span<const Transaction> transactions) {
  std::string out;
  RequestWriter(out, n).write(transactions);
  return out;
}

std::string encode(const Reply& reply) {
  std::string out;
  std::visit(ReplyWriter(out, reply.n), reply.body);
  return out;
}

}  // namespace limitr::wire
