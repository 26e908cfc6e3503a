// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

// What stands between a store and its server, or in the server's place.
namespace limitr::store {

inline ::sockaddr_un address_of(const std::string& path) {
  ::sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

/// Listens on a Unix socket and serves each connection on a thread of its own.
class SocketServer {
public:
  /// `serve` gets a connection, which is closed behind it, and ends when the other side does.
  SocketServer(std::string path, std::function<void(int)> serve)
      : path_(std::move(path)), serve_(std::move(serve)) {
    const ::sockaddr_un address = address_of(path_);
    listening_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(::bind(listening_, reinterpret_cast<const ::sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listening_, 16), 0);
    thread_ = std::thread([this] { accept_all(); });
  }
  SocketServer(const SocketServer&) = delete;
  SocketServer& operator=(const SocketServer&) = delete;
  /// REQUIRES: whoever was connected has closed.
  ~SocketServer() {
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    for (std::thread& connection : connections_) connection.join();
    ::close(listening_);
  }

private:
  void accept_all() {
    for (;;) {
      const int connection = ::accept(listening_, nullptr, nullptr);
      if (connection < 0) return;
      connections_.emplace_back([this, connection] {
        serve_(connection);
        ::close(connection);
      });
    }
  }

  const std::string path_;
  const std::function<void(int)> serve_;
  int listening_ = -1;
  std::thread thread_;
  std::list<std::thread> connections_;
};

/// Passes on what goes between a store and its server, and cuts the connection where it is told to.
class Proxy {
public:
  Proxy(std::string path, std::string target)
      : target_(std::move(target)),
        server_(std::move(path), [this](int client) { pass(client); }) {}

  /// The next answer of the server is lost, and its connection with it.
  void lose_answer() { loses_answer_ = true; }
  /// The same, of the first request in which that text stands.
  void lose_answer_to(const char* text) { loses_answer_to_ = text; }
  bool has_lost() const { return !loses_answer_ && loses_answer_to_ == nullptr; }
  /// All connections end now, and nothing that comes reaches the server until they may again.
  void cut(bool is_cut) { is_cut_ = is_cut; }

private:
  bool copy(int from, int to) {
    char bytes[65'536];
    const auto got = ::read(from, bytes, sizeof bytes);
    const char* wanted = loses_answer_to_;
    const std::string_view text(bytes, got > 0 ? static_cast<std::size_t>(got) : 0);
    if (wanted && text.find(wanted) != std::string_view::npos) {
      loses_answer_to_ = nullptr;
      loses_answer_ = true;
    }
    for (::ssize_t put = 0; put < got;) {
      const auto some = ::send(to, bytes + put, static_cast<std::size_t>(got - put), MSG_NOSIGNAL);
      if (some <= 0) return false;
      put += some;
    }
    return got > 0;
  }

  void pass(int client) {
    const int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const ::sockaddr_un address = address_of(target_);
    if (::connect(server, reinterpret_cast<const ::sockaddr*>(&address), sizeof address) == 0) {
      for (bool goes_on = true; goes_on && !is_cut_;) {
        ::pollfd ready[] = {{.fd = client, .events = POLLIN, .revents = 0},
                            {.fd = server, .events = POLLIN, .revents = 0}};
        if (::poll(ready, 2, 10) <= 0) continue;
        if (is_cut_) break;
        if (ready[1].revents != 0) {
          if (loses_answer_.exchange(false)) break;
          goes_on = copy(server, client);
        }
        if (goes_on && ready[0].revents != 0) goes_on = copy(client, server);
      }
    }
    ::close(server);
  }

  const std::string target_;
  std::atomic<bool> loses_answer_ = false;
  std::atomic<const char*> loses_answer_to_ = nullptr;
  std::atomic<bool> is_cut_ = false;
  SocketServer server_;
};

}  // namespace limitr::store
