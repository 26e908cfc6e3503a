// SPDX-License-Identifier: Apache-2.0
#include "store/redis/rows.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "store/checksum.h"
#include "store/redis/slots.h"

namespace limitr::store::redis {
namespace {

constexpr std::uint64_t mask = (1ULL << 52) - 1;
constexpr std::size_t digits = 16;  // of a sum in hexadecimal

std::uint64_t content_sum(std::string_view id, std::string_view alt_ids, std::string_view record) {
  return Checksum().add(id).add(alt_ids).add(record).value() & mask;
}

/// The words of a line that ends with \n, from the front of a row, which it is taken off. Empty
/// where there is no such line.
std::vector<std::string_view> take_line(std::string_view& row, std::size_t words) {
  std::vector<std::string_view> line;
  const std::size_t end = row.find('\n');
  if (end == std::string_view::npos) return line;
  std::string_view rest = row.substr(0, end);
  row.remove_prefix(end + 1);
  for (;;) {
    const std::size_t space = rest.find(' ');
    line.push_back(rest.substr(0, space));
    if (space == std::string_view::npos) break;
    rest.remove_prefix(space + 1);
  }
  if (line.size() != words) line.clear();
  return line;
}

struct CustomerText {
  std::uint64_t version = 0;
  std::string_view record;
  bool is_good = false;
};

CustomerText read_customer_text(std::string_view id, std::string_view row) {
  const auto line = take_line(row, 3);
  if (line.empty()) return {.version = damaged_version, .record = {}};
  const auto version = to_number(line[0]);
  const auto sum = to_number(line[1]);
  const auto bytes = to_number(line[2]);
  if (!version || !bytes) return {.version = damaged_version, .record = {}};
  if (!sum || *bytes > row.size()) return {.version = *version, .record = {}};
  const std::string_view record = row.substr(*bytes);
  const std::uint64_t content = content_sum(id, row.substr(0, *bytes), record);
  return {.version = *version, .record = record, .is_good = sum_of(content, *version) == *sum};
}

std::optional<StoredRequest> read_request_row(std::string_view customer, std::string_view row) {
  const auto line = take_line(row, 5);
  if (line.empty()) return std::nullopt;
  const auto number = to_number(line[0]);
  const auto fingerprint = to_number(line[1]);
  const auto at = to_number(line[2]);
  const auto sum = to_number(line[3], 16);
  const auto bytes = to_number(line[4]);
  if (!number || !fingerprint || !at || !sum || !bytes || *bytes > row.size()) return std::nullopt;
  StoredRequest request{.number = *number,
                        .id = std::string(row.substr(0, *bytes)),
                        .fingerprint = *fingerprint,
                        .answer = std::string(row.substr(*bytes)),
                        .at = Timestamp(Millis(static_cast<std::int64_t>(*at)))};
  if (request_checksum(customer, request) != *sum) return std::nullopt;
  return request;
}

Error damage(std::string what, const std::string& place) {
  return {.code = ErrorCode::data_corrupt,
          .message = fmt::format("{} in `{}` is not what was written: restore a backup, or write "
                                 "the customer again",
                                 what, place)};
}

}  // namespace

std::optional<std::uint64_t> to_number(std::string_view text, int base) {
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || failed != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

std::uint64_t sum_of(std::uint64_t content, std::uint64_t version) {
  return (content + version) & mask;
}

CustomerRow customer_row(const CustomerWrite& write, bool is_in_cluster) {
  CustomerRow row;
  std::string elsewhere;
  for (const std::string& alt : write.alt_ids) {
    const bool is_elsewhere = is_in_cluster && slot_of(alt) != slot_of(write.id);
    fmt::format_to(std::back_inserter(is_elsewhere ? elsewhere : row.alt_ids), "{}{}{}{:016x}",
                   alt.size(), is_elsewhere ? ';' : ':', alt, record_checksum(alt, 0, write.id));
  }
  row.alt_ids += elsewhere;
  row.sum = content_sum(write.id, row.alt_ids, *write.record);
  return row;
}

std::string row_head(const CustomerRow& row, std::uint64_t version) {
  return fmt::format("{} {} {}\n{}", version, sum_of(row.sum, version), row.alt_ids.size(),
                     row.alt_ids);
}

std::string alt_row(std::string_view alt, std::string_view customer) {
  return fmt::format("{:016x} {}", record_checksum(alt, 0, customer), customer);
}

std::vector<std::string_view> alts_in(std::string_view alt_ids) {
  std::vector<std::string_view> alts;
  while (!alt_ids.empty()) {
    const std::size_t mark = alt_ids.find_first_of(":;");
    const auto size = to_number(alt_ids.substr(0, mark));
    if (mark == std::string_view::npos || !size) break;
    alt_ids.remove_prefix(mark + 1);
    if (*size > alt_ids.size() || alt_ids.size() - *size < digits) break;
    alts.push_back(alt_ids.substr(0, *size));
    alt_ids.remove_prefix(*size + digits);
  }
  return alts;
}

bool may_have(std::string_view row, std::string_view alt) {
  const auto line = take_line(row, 3);
  const auto bytes = line.empty() ? std::nullopt : to_number(line[2]);
  if (!bytes || *bytes > row.size()) return true;
  const std::vector<std::string_view> alts = alts_in(row.substr(0, *bytes));
  return std::find(alts.begin(), alts.end(), alt) != alts.end();
}

std::string request_row(std::string_view customer, const StoredRequest& request) {
  return fmt::format("{} {} {} {:016x} {}\n{}{}", request.number, request.fingerprint,
                     static_cast<std::uint64_t>(request.at.time_since_epoch().count()),
                     request_checksum(customer, request), request.id.size(), request.id,
                     request.answer);
}

std::string text_row(std::string_view name, std::string_view text) {
  return fmt::format("{:016x} {}", record_checksum(name, 0, text), text);
}

StoredCustomer read_customer_row(std::string_view id, std::string_view row, const Value& requests,
                                 const std::string& place) {
  StoredCustomer customer;
  customer.id = id;
  const CustomerText text = read_customer_text(id, row);
  customer.version = text.version;
  if (text.is_good) {
    customer.record = text.record;
  } else {
    customer.damage = damage(fmt::format("customer `{}`", id), place);
  }
  if (!requests.is_list() && !customer.damage) {
    customer.damage = damage(fmt::format("what is remembered for customer `{}`", id), place);
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    std::optional<StoredRequest> request = read_request_row(id, requests[i].text());
    if (request) {
      customer.requests.push_back(*std::move(request));
    } else if (!customer.damage) {
      customer.damage = damage(fmt::format("a request of customer `{}`", id), place);
    }
  }
  return customer;
}

bool leads_to(std::string_view alt, std::string_view row, std::string_view customer) {
  return row.size() > digits &&
         to_number(row.substr(0, digits), 16) == std::optional(record_checksum(alt, 0, customer));
}

std::optional<std::string> read_text_row(std::string_view name, std::string_view row) {
  if (row.size() <= digits) return std::nullopt;
  const std::string_view text = row.substr(digits + 1);
  if (to_number(row.substr(0, digits), 16) != std::optional(record_checksum(name, 0, text))) {
    return std::nullopt;
  }
  return std::string(text);
}

}  // namespace limitr::store::redis
