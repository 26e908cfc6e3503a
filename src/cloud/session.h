// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include <limitr/time.h>
#include "env/boot_clock.h"

namespace limitr::cloud {

/// When a client connects to its server, renews its lease, and holds a connection for dead. It
/// knows no socket: times and what happened come in, what is to be done comes out.
///
///             connecting()             welcomed()
///   resting ---------------> trying --------------> connected
///      ^                        |   broken()            |
///      '------------------------+-----------------------'
///
/// INVARIANTS
/// 1. The lease runs from when a message was sent that the server has answered: never later than
///    the server counts. It goes on without a connection, and ends a fifth earlier than the server
///    was last heard to say.
/// 2. The server is asked again and again, for ever, after pauses that grow from 0.1 to 10 seconds;
///    one that does not accept the token, after 30 to 60 seconds.
class Session {
public:
  using Moment = env::BootClock::time_point;
  enum class Task : std::uint8_t {
    none,
    connect,
    renew,
    cut,  ///< The connection is dead: the server has said nothing for too long.
  };
  static constexpr Millis min_pause{100};
  static constexpr Millis max_pause{10'000};
  static constexpr Millis refused_pause{60'000};

  /// The seed draws the pauses: engines that lose a server together do not come back together.
  Session(Moment now, std::uint64_t seed) : random_(seed), next_try_(now) {}

  /// What is to be done now.
  Task due(Moment now) const;
  /// When due() is to be asked again, if nothing happens before. Not while it tries.
  Moment next() const;

  void connecting() { state_ = State::trying; }
  /// The message that was sent then was answered with a welcome, and a lease of that length.
  void welcomed(Moment sent, Moment now, Millis lease);
  void renewing(Moment now) { renewal_sent_ = now; }
  /// Something came from the server.
  void heard(Moment now) { last_heard_ = now; }
  /// A message that was sent then was answered, with a new length of the lease where that tells it.
  void answered(Moment sent, std::optional<Millis> lease = {});
  /// The connection, or the try to have one.
  void broken(Moment now);
  /// The same, as the server does not accept the token: each try counts as a failed attempt of this
  /// address there, which has others.
  void refused(Moment now);

  /// Until when customers that are at home here may be decided on without asking.
  Moment leased_until() const { return leased_from_ + lease_ * 4 / 5; }

private:
  enum class State : std::uint8_t { resting, trying, connected };

  Moment dead_at() const;
  void rest(Moment now, Millis longest);

  std::mt19937_64 random_;
  State state_ = State::resting;
  Moment next_try_;
  int failures_ = 0;  // Since a connection that lasted.
  Moment connected_at_ = {};
  Moment leased_from_ = {};
  Millis lease_{0};
  Moment last_heard_ = {};
  std::optional<Moment> renewal_sent_ = {};  // Of one that is not answered.
};

}  // namespace limitr::cloud
