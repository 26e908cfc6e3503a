// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "store/store.h"
#include "wire/messages.h"

namespace limitr::testing {

/// What a server is set to, also while it runs.
struct ServerSettings {
  std::string token = "good";
  wire::Welcome welcome = {.project = "default",
                           .server = "test",
                           .lease = Millis(10'000),
                           .max_message = std::uint64_t{1} << 20};
  bool keeps_connection = true;  ///< After it gave a ticket.
  bool gives_tickets = true;     ///< False: 503.
  /// What is answered; empty: what the store says. None: no answer.
  std::function<std::optional<wire::Reply>(const wire::Request& request)> answer = {};
};

/// A server of the protocol on a port of its own, over a store in memory: it listens on a real
/// socket, and does what a test wants. Threads: any.
class FakeServer {
public:
  /// With a path of files NAME.pem (certificate) and NAME.key: TLS.
  explicit FakeServer(const std::string& certificate = {});
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  std::string address() const;
  void set(const std::function<void(ServerSettings&)>& change);
  /// What the store answers to a request.
  wire::Reply answer_of(const wire::Request& request);

  /// Breaks all connections off.
  void cut();
  /// Closes all connections, with that code.
  void close(std::uint16_t code, const std::string& reason);
  /// Sends to all connections.
  void say(const wire::Reply& message);
  void say(const std::string& text);
  /// Takes no connections, and takes them again.
  void stop_listening();
  void listen_again();

  /// Waits until that many requests of a type came, in all; the text of the last one. Empty: it
  /// took too long.
  std::string wait_for(const std::string& type, std::size_t count);
  std::size_t count(const std::string& type) const;
  std::size_t connections() const;

private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Makes NAME.pem and NAME.key, for that host, signed by itself.
void make_certificate(const std::string& name, const std::string& host);

}  // namespace limitr::testing
