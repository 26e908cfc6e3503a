// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <limitr/error.h>
#include <limitr/json.h>
#include <limitr/result.h>
#include <limitr/time.h>
#include "store/store.h"

// The messages of docs/protocol.md as data, and their text.
namespace limitr::wire {

inline constexpr int protocol_version = 1;

/// Close codes of a connection.
enum class Close : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  not_text = 1003,
  broken_rule = 1008,
  too_large = 1009,
  revoked = 4001,
  wrong_version = 4002,
  too_slow = 4003,
};

struct PolicyVersion {
  std::uint64_t version = 0;
  std::string document = {};  ///< JSON text, its members in the order in which they were written.
};

/// A customer that another engine is asked to give back.
struct HomeOf {
  std::string engine;
  std::vector<std::string> ids;
};

// From an engine.

struct Hello {
  int protocol = protocol_version;
  std::string engine = {};
  std::string limitr = {};
  std::string policy = {};  ///< Empty: the active one, and those that follow it.
  bool deny_unconnected = true;
};
struct Read {
  std::vector<std::string> ids;
};
struct Exchange {
  std::vector<store::Transaction> transactions;
};
struct RecallHomes {
  std::vector<HomeOf> homes;
};
struct Scan {
  std::string after = {};
  std::uint32_t limit = 1000;
};
struct Estimates {
  std::optional<std::string> text = {};
};
struct Renew {};
struct Bye {};
struct Admin {
  std::string what = {};
  Json args = {};
};
/// n: what the answer repeats.
struct Request {
  std::uint64_t n = 0;
  std::variant<Hello, Read, Exchange, RecallHomes, Scan, Estimates, Renew, Bye, Admin> body;
};

// From the server.

struct Welcome {
  int protocol = protocol_version;
  std::string project = {};
  std::string server = {};
  Millis lease{0};
  Timestamp now = {};
  std::uint64_t max_message = 0;
  PolicyVersion policy = {};
};
struct Rows {
  std::vector<store::StoredCustomer> rows = {};
  bool more = false;  ///< Of a scan: there are others after these.
};
struct Exchangeds {
  std::vector<store::Exchanged> results;
};
struct Recalled {
  std::vector<std::string> lost;  ///< Engines that are.
};
struct Renewed {
  Millis lease{0};
  Timestamp now = {};
};
struct Done {
  Json value = {};
};
/// Asked of an engine: what others want.
struct RecallCustomers {
  std::vector<std::string> ids;
};
/// About how much of memory a row takes.
inline std::size_t size_of(const store::StoredCustomer& row) {
  std::size_t size = row.id.size() + row.record.size();
  for (const store::StoredRequest& request : row.requests) {
    size += request.id.size() + request.answer.size();
  }
  return size;
}
/// Told to an engine: rows that it has written and others since, as they are now.
struct ChangedRows {
  std::vector<store::StoredCustomer> rows = {};
};
struct Failed {
  Error error;
};
/// n: of the request that it answers; none: nobody asked.
struct Reply {
  std::optional<std::uint64_t> n = {};
  std::variant<Welcome, Rows, Exchangeds, Recalled, Estimates, Renewed, Done, RecallCustomers,
               ChangedRows, PolicyVersion, Failed>
      body;
};

/// The most elements that a list of a message may have.
inline constexpr std::size_t most_elements = 100'000;
/// The most levels that JSON inside a message, such as a record, may nest: those of a customer's
/// metadata, and the record's own around them.
inline constexpr std::size_t most_levels = 80;

/// Records, answers and documents are written as they are, and read back byte for byte.
/// REQUIRES: they are JSON text; of a record or document, or empty, which reads back as such.
std::string encode(const Request& request);
std::string encode(const Reply& reply);
/// The text of an Exchange, without a copy of what is in it.
std::string encode_exchange(std::uint64_t n, std::span<const store::Transaction> transactions);
/// Errors: invalid_argument: what is wrong, and where in the message. Members that are not known
/// are skipped. Threads: any.
Result<Request> decode_request(std::string_view text);
Result<Reply> decode_reply(std::string_view text);
/// The `n` of a message that may be no good otherwise, for the error that answers it.
std::optional<std::uint64_t> number_of(std::string_view text);

}  // namespace limitr::wire
