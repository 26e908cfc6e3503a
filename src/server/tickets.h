// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <limitr/result.h>
#include <limitr/time.h>
#include "server/control.h"

// How a token becomes a connection, and how often one may be guessed. Times are of a clock that
// never goes back.
namespace limitr::server {

/// Threads: one at a time.
class Tickets {
public:
  static constexpr Millis lasts{30'000};
  static constexpr std::size_t most = 100'000;

  /// 256 random bits as 64 hexadecimal digits. Errors: store_unavailable: too many are open
  /// already; io_failed: the machine has no random bits.
  Result<std::string> issue(Caller caller, Millis now);
  /// Once, and in time; none: there is no such ticket.
  std::optional<Caller> redeem(std::string_view ticket, Millis now);

private:
  struct Ticket {
    Caller caller;
    Millis expires{0};
  };
  void forget_over(Millis now);

  std::map<std::string, Ticket, std::less<>> tickets_;
  std::deque<std::string> issued_;  // in the order in which they end, redeemed ones too
};

/// Failed attempts, by address: each has some at once, which come back with time.
/// Threads: one at a time.
class Attempts {
public:
  explicit Attempts(std::size_t per_minute) : per_minute_(per_minute) {}

  /// How long the address has to wait before it may try; 0: it may.
  Millis wait(const std::string& address, Millis now) const;
  void failed(const std::string& address, Millis now);

  /// What stands for an address: of IPv6 its network, as whoever has one has all of it.
  static std::string who(std::string_view address);

private:
  static constexpr std::size_t most = 10'000;

  std::int64_t count() const { return static_cast<std::int64_t>(per_minute_); }
  /// How long it takes until one is back, rounded up: in no minute are there more.
  Millis each() const { return (Millis(60'000) + Millis(count() - 1)) / count(); }

  const std::size_t per_minute_;
  std::map<std::string, Millis> until_;  // when all attempts are back
  Millis cleared_{0};                    // of those who have them all back
};

}  // namespace limitr::server
