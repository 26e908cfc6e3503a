// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <limitr/result.h>

#include "store/redis/connection.h"
#include "store/redis/session.h"
#include "store/store.h"

// What scripts are told, and what their answers mean: in a server and in a cluster alike. `place`
// is for messages.
namespace limitr::store::redis {

/// Drawn anew each time.
std::string random_name();

/// The error of what has asked for nothing that could have been written.
Error without_outcome(Error error);

/// 0 where it is none.
std::uint64_t number_in(const Value& value);
/// Host, process and since, from the first of them on.
Owner owner_in(const Answer& answer, std::size_t at);

/// A customer of a group. `version`: which it gets; none: the script puts its row together.
void add_customer(Command& command, const CustomerWrite& write, bool is_in_cluster,
                  std::optional<std::uint64_t> version);
/// `clock`: a version that the server takes, if none above it is there.
void add_transaction(Command& command, const Transaction& transaction, std::uint64_t clock,
                     bool is_in_cluster = false);

/// How far before the server's clock the version of a write may be; it is that far where nothing
/// takes time.
inline constexpr std::chrono::microseconds versions_ahead{100'000};

/// The server's clock, as far as its answers tell: it is never before that.
class ServerClock {
public:
  /// An answer that has just come says that it is that late, in microseconds.
  void heard(const Value& time);
  /// versions_ahead of what it shows by now; 0 where nothing was heard.
  std::uint64_t version() const;

private:
  std::uint64_t time_ = 0;
  std::chrono::steady_clock::time_point at_;
};

/// The error of an answer that says who has taken over.
Error fenced(const Answer& answer, const std::string& place);
/// The answer of a script that has nothing to say but `ok` or `fenced`.
Result<void> must_be_ok(const Result<Answer>& answer, const std::string& place);
/// What the script `open` answers.
Result<Opened> read_opened(const Answer& answer, const std::string& prefix,
                           const std::string& place);
/// What became of one transaction.
Exchanged read_exchanged(const Value& value, const std::string& place);

}  // namespace limitr::store::redis
