// SPDX-License-Identifier: Apache-2.0
#include "store/redis/calls.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "store/owner_lock.h"
#include "store/redis/rows.h"

namespace limitr::store::redis {

namespace {

// What a customer's write says, behind the operation.
void add_write(Command& command, const CustomerWrite& write, bool is_in_cluster,
               std::optional<std::uint64_t> version) {
  const CustomerRow row = customer_row(write, is_in_cluster);
  if (version && row.alt_ids.empty() && write.first_request == 0 && write.new_requests.empty()) {
    command.add("-").add(row_head(row, *version), *write.record);
    return;
  }
  if (version) {
    command.add("").add(row.alt_ids).add(row_head(row, *version), *write.record);
  } else {
    command.add(row.sum).add(row.alt_ids).add(*write.record);
  }
  command.add(write.first_request).add(std::uint64_t{write.new_requests.size()});
  for (const StoredRequest& request : write.new_requests) {
    command.add(request.number).add(request_row(write.id, request));
  }
}

}  // namespace

std::string random_name() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}", random(), random(), random());
}

Error without_outcome(Error error) {
  if (error.code == ErrorCode::outcome_unknown) error.code = ErrorCode::store_unavailable;
  return error;
}

std::uint64_t number_in(const Value& value) { return to_number(value.text()).value_or(0); }

Owner owner_in(const Answer& answer, std::size_t at) {
  if (answer.size() < at + 3) return {};
  const auto number = [](const Value& value) {
    const std::string text(value.text());
    return static_cast<std::int64_t>(std::strtoll(text.c_str(), nullptr, 10));
  };
  return {.host = std::string(answer[at].text()),
          .process = number(answer[at + 1]),
          .since = Timestamp(Millis(number(answer[at + 2])))};
}

void add_customer(Command& command, const CustomerWrite& write, bool is_in_cluster,
                  std::optional<std::uint64_t> version) {
  command.add(write.id).add(write.record ? "1" : "0");
  if (write.record) add_write(command, write, is_in_cluster, version);
}

void add_transaction(Command& command, const Transaction& transaction, std::uint64_t clock,
                     bool is_in_cluster) {
  command.add(transaction.number).add(std::uint64_t{transaction.parts.size()});
  for (const Part& part : transaction.parts) {
    command.add(part.id).add(part.version);
    if (!part.write) {
      command.add("-");
    } else if (!part.write->record) {
      command.add("0");
    } else {
      const std::uint64_t above = part.version == damaged_version ? 0 : part.version + 1;
      // What is no version would be another operation.
      const std::uint64_t version = std::max({clock, above, std::uint64_t{1}});
      command.add(version);
      add_write(command, *part.write, is_in_cluster, version);
    }
  }
}

void ServerClock::heard(const Value& time) {
  time_ = number_in(time);
  at_ = std::chrono::steady_clock::now();
}

std::uint64_t ServerClock::version() const {
  if (time_ == 0) return 0;
  const auto since = std::chrono::steady_clock::now() - at_;
  const auto later = std::chrono::duration_cast<std::chrono::microseconds>(since + versions_ahead);
  return time_ + static_cast<std::uint64_t>(later.count());
}

Error fenced(const Answer& answer, const std::string& place) {
  return {.code = ErrorCode::store_fenced,
          .message = fmt::format("another engine has taken over the store at `{}`: {}", place,
                                 to_text(owner_in(answer, 1)))};
}

Result<void> must_be_ok(const Result<Answer>& answer, const std::string& place) {
  if (!answer.ok()) return answer.error();
  if (answer->word() == "fenced") return fenced(*answer, place);
  if (answer->word() == "ok") return {};
  return Error{.code = ErrorCode::outcome_unknown,
               .message = fmt::format("`{}` answers `{}`", place, answer->word())};
}

Result<Opened> read_opened(const Answer& answer, const std::string& prefix,
                           const std::string& place) {
  const std::string_view word = answer.word();
  if (word == "owned" || word == "shared") {
    return Error{.code = ErrorCode::store_owned,
                 .message = fmt::format("the store at `{}` is {} by {}", place, word,
                                        to_text(owner_in(answer, 1)))};
  }
  if (word == "schema") {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("the store at `{}` has the form {}, and this version "
                                        "reads 1",
                                        place, answer[1].text())};
  }
  if (word == "missing") {
    return Error{
        .code = ErrorCode::invalid_argument,
        .message = fmt::format("there is no store with the prefix `{}` at `{}`", prefix, place)};
  }
  const bool is_whole = word == "ok" && answer.size() == 7;
  const auto last_group = is_whole ? to_number(answer[1].text()) : std::nullopt;
  const auto customers = is_whole ? to_number(answer[2].text()) : std::nullopt;
  if (!last_group || !customers || !to_number(answer[6].text())) {
    return Error{.code = ErrorCode::data_corrupt,
                 .message = fmt::format("the key `{}:owner` at `{}` is damaged or missing: "
                                        "restore a backup",
                                        prefix, place)};
  }
  Opened opened{.last_group = *last_group,
                .customers = *customers,
                .estimates = std::nullopt,
                .policy = std::nullopt};
  const auto read_text = [&](const char* name, const Value& row, auto& text) {
    if (!row.is_text()) return;
    text = read_text_row(name, row.text());
    if (text) return;
    opened.damage.push_back(
        {.code = ErrorCode::data_corrupt,
         .message = fmt::format("the key `{}:t:{}` at `{}` is not what was written", prefix, name,
                                place)});
  };
  read_text("estimates", answer[4], opened.estimates);
  read_text("policy", answer[5], opened.policy);
  return opened;
}

Exchanged read_exchanged(const Value& value, const std::string& place) {
  Exchanged exchanged;
  exchanged.is_written = value.is_text();
  for (std::string_view rest = value.text(); !rest.empty();) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    exchanged.versions.push_back(to_number(rest.substr(0, end)).value_or(0));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    const Value part = value[i];
    if (part.size() != 3) continue;
    if (part[1].text().empty()) {
      exchanged.current.push_back({.id = std::string(part[0].text())});
    } else {
      exchanged.current.push_back(
          read_customer_row(part[0].text(), part[1].text(), part[2], place));
    }
  }
  return exchanged;
}

}  // namespace limitr::store::redis
