// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include <limitr/result.h>
#include <limitr/time.h>
#include "server/control.h"
#include "server/http.h"
#include "server/hub.h"
#include "wire/messages.h"

namespace boost::asio {
class io_context;
}

// Sockets: HTTP and WebSocket on one port, and the bounds of both.
namespace limitr::server {

struct ListenerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 4242;  ///< 0: any that is free.
  std::string tls_cert = {};  ///< A file with a chain of certificates, or empty: no TLS.
  std::string tls_key = {};
  bool is_behind_proxy = false;  ///< Whoever asks is named by the last of X-Forwarded-For.
  std::size_t max_connections = 20'000;
  std::size_t max_message = 1 << 20U;
  std::size_t max_body = 64 << 10U;
  std::size_t max_outbound = 8 << 20U;  ///< Bytes that wait to be sent to one connection.
  std::size_t max_pings = 20;           ///< Of one connection, in a second.
  Millis handshake{10'000};             ///< For a request to be there, TLS and all.
  Millis idle{30'000};                  ///< A ping is sent after half of it.
};

/// A WebSocket connection.
class Socket {
public:
  virtual ~Socket() = default;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  /// Sends a text frame after those before. Nothing, once it is closing.
  virtual void send(std::shared_ptr<const std::string> text) = 0;
  /// Bytes that wait to be read.
  virtual std::size_t unsent() const = 0;
  /// After what is still to be sent, as far as that goes within a few seconds.
  virtual void close(wire::Close code, const std::string& reason) = 0;

protected:
  Socket() = default;
};

/// What becomes of WebSocket connections. All is called on the thread that runs the io_context.
class Sockets {
public:
  virtual ~Sockets() = default;
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  /// Whose connection a request would be, or how it is refused.
  virtual std::variant<Caller, HttpResponse> admit(const HttpRequest& request) = 0;
  virtual void opened(SessionId id, std::shared_ptr<Socket> socket, Caller caller) = 0;
  virtual void received(SessionId id, std::string_view text) = 0;
  /// Once for each that was opened, whoever closed it.
  virtual void closed(SessionId id) = 0;
  /// It is being closed by us.
  virtual void closing(SessionId id, wire::Close code, const std::string& reason) = 0;

protected:
  Sockets() = default;
};

/// Threads: the one that runs the io_context, which must end before `routes` and `sockets` do.
class Listener {
public:
  /// Listens, and accepts nobody yet. Errors: invalid_argument, io_failed: what is wrong with the
  /// address, the certificate or the key.
  static Result<std::unique_ptr<Listener>> open(boost::asio::io_context& io,
                                                const ListenerOptions& options,
                                                const Routes& routes, Sockets& sockets);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  /// The address as a URL.
  std::string url() const;
  void start();
  /// Nobody new; requests that are here are answered, and their connections closed.
  void stop();
  std::size_t connections() const;

private:
  struct Parts;
  explicit Listener(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace limitr::server
