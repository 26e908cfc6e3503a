// SPDX-License-Identifier: Apache-2.0
#include "store/redis/plain_groups.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/redis/calls.h"
#include "store/redis/rows.h"

namespace limitr::store::redis {
namespace {

// Those who are written most are soon known again.
constexpr std::size_t most_known = 65'536;

// A brace in an ID makes the tag of its key another one, which only the scripts know.
bool has_plain_key(std::string_view id) { return id.find_first_of("{}") == std::string_view::npos; }

// What HMGET of holder and scans says.
bool is_held(const Value& value, std::string_view holder) {
  return value.size() == 2 && value[0].text() == holder && value[1].text() == "0";
}

}  // namespace

bool PlainGroups::can_write(const Group& group) const {
  if (is_refused_ || group.customers.empty() || group.estimates || group.policy) return false;
  return std::ranges::all_of(group.customers, [this](const CustomerWrite& write) {
    if (!write.record || !write.new_requests.empty()) return false;
    const auto known = known_.find(write.id);
    return known != known_.end() && known->second.alt_ids == write.alt_ids &&
           known->second.first_request == write.first_request;
  });
}

void PlainGroups::add_watch(std::vector<Command>& commands) const {
  commands.emplace_back().add("WATCH").add(owner_key());
  commands.emplace_back().add("HMGET").add(owner_key()).add("holder").add("scans");
}

// A transaction of nothing comes first: where the user may not begin any, what is sent within one
// is done at once.
Result<void> PlainGroups::watch(Connection& connection, std::string_view holder) {
  std::vector<Command> commands;
  commands.emplace_back().add("MULTI");
  commands.emplace_back().add("EXEC");
  add_watch(commands);
  const Result<std::vector<Reply>> replies = connection.run(commands);
  if (!replies.ok()) return without_outcome(replies.error());
  is_refused_ =
      std::ranges::any_of(*replies, [](const Reply& reply) { return reply.value().is_error(); });
  is_watching_ = !is_refused_ && is_held(replies->back().value(), holder);
  return {};
}

Result<bool> PlainGroups::write(Connection& connection, std::string_view holder, const Group& group,
                                Millis longer) {
  if (!is_watching_) {
    if (auto watched = watch(connection, holder); !watched.ok()) return watched.error();
    if (!is_watching_) return false;
  }
  std::vector<Command> commands;
  commands.emplace_back().add("MULTI");
  commands.emplace_back().add("HSET").add(owner_key()).add("last_group").add(group.number);
  rows_.add("MSET");
  for (const CustomerWrite& write : group.customers) {
    rows_.add(fmt::format("{}:{{{}}}:c:{}", prefix_, write.id, write.id));
    rows_.add(row_head(customer_row(write), group.number), *write.record);
  }
  commands.push_back(std::move(rows_));
  commands.emplace_back().add("EXEC");
  add_watch(commands);
  const Result<std::vector<Reply>> replies = connection.run(commands, longer);
  rows_ = std::move(commands[2]);
  rows_.clear();
  if (!replies.ok()) return replies.error();
  is_watching_ = is_held(replies->back().value(), holder);
  const Value begun = (*replies)[0].value();
  const Value done = (*replies)[3].value();
  if (!begun.is_error()) {
    // What is refused when it is sent is not tried when all of it is to be done.
    if (says(done, "EXECABORT")) {
      is_refused_ = true;
      return false;
    }
    if (done.is_nothing()) return false;
    if (done.size() == 2 && !done[0].is_error() && !done[1].is_error()) return true;
  }
  return Error{.code = ErrorCode::outcome_unknown,
               .message = fmt::format("`{}` answers a transaction with what is no answer{}{}",
                                      connection.place(), done.is_error() ? ": " : "",
                                      done.is_error() ? done.text() : "")};
}

void PlainGroups::note_written(const Group& group) {
  if (known_.size() + group.customers.size() > most_known) known_.clear();
  for (const CustomerWrite& write : group.customers) {
    if (write.record && has_plain_key(write.id) && known_.size() < most_known) {
      known_.insert_or_assign(write.id, Known{write.alt_ids, write.first_request});
    } else {
      known_.erase(write.id);
    }
  }
}

void PlainGroups::forget() {
  known_.clear();
  is_watching_ = is_refused_ = false;
}

}  // namespace limitr::store::redis
