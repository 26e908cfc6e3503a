// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <limitr/result.h>
#include <limitr/time.h>
#include "cloud/notices.h"
#include "wire/messages.h"

namespace limitr::cloud {

struct LinkOptions {
  std::string token = {};
  std::string address = {};
  std::string policy = {};  ///< A version; empty: the active one.
  bool deny_unconnected = true;
  Millis connect_timeout{5000};  ///< For the first connection, and for each try to have another.
  std::string ca_file = {};      ///< Empty: the certificates that the system trusts.
  std::string limitr = {};       ///< The version of the library.
  std::function<void(std::string_view message)> log = {};  ///< REQUIRES: not empty.
};

/// The largest message that is taken from a server.
inline constexpr std::size_t max_reply = std::size_t{64} << 20;

/// A connection to a server that is made again whenever it breaks, for ever, by one engine. See
/// docs/protocol.md. Threads: any.
class Link {
public:
  using Body = decltype(wire::Request::body);

  /// Connects, and waits as long as the options say; where it fails, also for the system to finish
  /// looking for the host. Errors: unauthorized: the token is none; invalid_argument: an address, a
  /// file of certificates or a version of the policy that cannot be; unconnected: why there was no
  /// connection within the time.
  static Result<std::unique_ptr<Link>> connect(LinkOptions options);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Sends a request and waits for its answer, that long at most. Errors: those that the server
  /// answers with; unconnected, unauthorized: the server was never sent it; outcome_unknown: it
  /// was, and has not answered; invalid_argument: it is larger than a message may be, and was not
  /// sent.
  Result<wire::Reply> ask(Body body, Millis timeout);
  /// The same, for a request that is text already and has a next_number().
  Result<wire::Reply> ask(std::uint64_t n, std::string text, Millis timeout);
  std::uint64_t next_number();
  /// What a reply, to a request that can only be answered with a T, says.
  template <typename T>
  static Result<T> only(Result<wire::Reply> reply) {
    if (!reply.ok()) return std::move(reply).error();
    if (T* answer = std::get_if<T>(&reply->body)) return std::move(*answer);
    return unexpected();
  }
  template <typename T>
  Result<T> ask_for(Body body, Millis timeout) {
    return only<T>(ask(std::move(body), timeout));
  }

  /// The incarnation of this engine.
  const std::string& engine() const;
  bool is_connected() const;
  bool is_leased() const;
  /// Why there is no connection: unconnected; unauthorized, where the server does not accept the
  /// token any more. Errors of ask() say it too.
  Error unconnected() const;
  /// What the last server said of itself.
  std::string server() const;
  std::size_t max_message() const;
  /// The policy that came with the first connection. Each later one is given to the handler of
  /// notices().on_policy().
  wire::PolicyVersion policy() const;
  Notices& notices();
  /// As store::Homes::take_changed().
  std::vector<store::StoredCustomer> take_changed();

  /// Says good-bye, if it is connected, and lets go: everything fails from now on. Errors:
  /// unconnected, outcome_unknown: the server counts on this engine until its lease ends.
  Result<void> close(Millis timeout);

private:
  class Impl;
  explicit Link(std::unique_ptr<Impl> impl);
  static Error unexpected();

  std::unique_ptr<Impl> impl_;
};

}  // namespace limitr::cloud
