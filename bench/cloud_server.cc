// SPDX-License-Identifier: Apache-2.0
#include "cloud_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "data_set.h"
#include "heap.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

// What follows `before` in a line; none: it is not in it.
std::optional<std::string> rest_after(const std::string& line, std::string_view before) {
  const std::size_t at = line.find(before);
  if (at == std::string::npos) return std::nullopt;
  return line.substr(at + before.size());
}

std::string limitr_program() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const std::string program = self.parent_path() / "limitr";
  if (failed || access(program.c_str(), X_OK) != 0) {
    stop({.code = ErrorCode::io_failed,
          .message = fmt::format("there is no `{}`, which the benches of Cloud start", program)});
  }
  return program;
}

std::string write_policy(std::string path, double limit) {
  std::ofstream(path) << data_set_policy(limit);
  return path;
}

// What GET gives, with its head; empty where there is no answer.
std::string get(std::uint16_t port, std::string_view path) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string request =
      fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
  std::string answer;
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      send(connection, request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size())) {
    std::array<char, 4096> some{};
    for (ssize_t size = 0; (size = recv(connection, some.data(), some.size(), 0)) > 0;) {
      answer.append(some.data(), static_cast<std::size_t>(size));
    }
  }
  close(connection);
  return answer;
}

}  // namespace

CloudServer::CloudServer(const std::string& store, double limit)
    : tidy_([this] {
        if (!process_) return;
        process_->terminate();
        while (process_->hear()) {
        }
        process_->finish();
      }) {
  const std::string policy = write_policy(folder_.file("policy.yaml"), limit);
  process_.emplace(std::vector<std::string>{"serve", "--listen", "127.0.0.1:0", "--policy", policy,
                                            "--store", store},
                   Program{.path = limitr_program(), .log = folder_.file("log")});
  while (address_.empty()) {
    const std::optional<std::string> line = process_->hear();
    if (!line) give_up("the server did not start");
    if (auto token = rest_after(*line, "shown this once: ")) token_ = *std::move(token);
    if (auto address = rest_after(*line, "Serving at ")) address_ = *std::move(address);
  }
  url_ = fmt::format("cloud:{}@{}", token_, address_);
}

Limitr CloudServer::engine() const { return cloud_engine_at(url_); }

void CloudServer::push(double limit) {
  const std::string policy = write_policy(folder_.file("pushed.yaml"), limit);
  Child pushing({"push", "--address", address_, "--token", token_, policy},
                {.path = limitr_program(), .log = folder_.file("log")});
  const std::optional<std::string> said = pushing.hear();
  if (!pushing.finish() || !said) give_up("the policy was not pushed");
}

std::size_t CloudServer::requests() const {
  std::uint16_t port = 0;
  const std::string_view number = std::string_view(address_).substr(address_.rfind(':') + 1);
  std::from_chars(number.data(), number.data() + number.size(), port);
  std::istringstream metrics(get(port, "/metrics"));
  std::size_t requests = 0;
  bool is_there = false;
  for (std::string line; std::getline(metrics, line);) {
    if (!line.starts_with("limitr_requests_total{")) continue;
    is_there = true;
    if (line.find("type=\"renew\"") != std::string::npos) continue;
    requests += static_cast<std::size_t>(std::strtod(line.c_str() + line.rfind(' '), nullptr));
  }
  if (!is_there) give_up("the server did not say how many requests it had");
  return requests;
}

double CloudServer::resident_bytes() const { return bench::resident_bytes(process_->process()); }

void CloudServer::give_up(std::string_view what) const {
  std::ostringstream log;
  log << std::ifstream(folder_.file("log")).rdbuf();
  stop({.code = ErrorCode::io_failed, .message = fmt::format("{}: {}", what, log.str())});
}

}  // namespace limitr::bench
