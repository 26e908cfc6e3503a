// SPDX-License-Identifier: Apache-2.0
#include "redis_server.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <span>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "store/redis/connection.h"

namespace limitr::store {
namespace {

std::string to_text(const redis::Value& value) {
  if (!value.is_list()) return value.text().empty() ? "-" : std::string(value.text());
  std::string text = "[";
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (i > 0) text += ' ';
    text += to_text(value[i]);
  }
  return text + "]";
}

void add_texts(const redis::Value& value, std::vector<std::string>& texts) {
  if (!value.is_list()) texts.emplace_back(value.text());
  for (std::size_t i = 0; value.is_list() && i < value.size(); ++i) add_texts(value[i], texts);
}

}  // namespace

RedisServer::RedisServer(std::vector<std::string> settings) : settings_(std::move(settings)) {
  start();
}

RedisServer::~RedisServer() { kill(); }

RedisServer& RedisServer::shared() {
  static RedisServer server;
  return server;
}

void RedisServer::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(std::exchange(process_, -1), nullptr, 0);
}

void RedisServer::pause() {
  ::kill(process_, SIGSTOP);
  int status = 0;
  ::waitpid(process_, &status, WUNTRACED);
}

void RedisServer::resume() { ::kill(process_, SIGCONT); }

void RedisServer::start() {
  std::vector<std::string> arguments = {"redis-server",
                                        "--port",
                                        "0",
                                        "--unixsocket",
                                        socket(),
                                        "--dir",
                                        folder(),
                                        "--appendonly",
                                        "yes",
                                        "--save",
                                        "",
                                        "--appendfsync",
                                        "always",
                                        "--logfile",
                                        folder_.file("log")};
  arguments.insert(arguments.end(), settings_.begin(), settings_.end());
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const ::pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) std::_Exit(1);  // It was gone before we asked.
    const int nowhere = ::open("/dev/null", O_RDWR);
    for (const int end : {0, 1, 2}) ::dup2(nowhere, end);
    ::execvp("redis-server", pointers.data());
    std::_Exit(127);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (;;) {
    const std::string answer = ask({"PING"});  // Not while it loads.
    if (answer == "PONG") return;
    int status = 0;
    const bool is_gone = ::waitpid(process_, &status, WNOHANG) != 0;
    if (is_gone || std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "redis-server does not start: " << answer;
      if (is_gone) process_ = -1;
      return;
    }
    ::usleep(1'000);
  }
}

RedisOptions RedisServer::options(const std::string& prefix) const {
  RedisOptions options;
  options.socket = socket();
  options.prefix = prefix;
  return options;
}

std::string RedisServer::ask(const std::vector<std::string>& command) const {
  const auto connection = redis::Connection::open(options());
  if (!connection.ok()) return connection.error().message;
  redis::Command words;
  for (const std::string& word : command) words.add(word);
  const auto reply = (*connection)->run(words);
  return reply.ok() ? to_text(reply->value()) : reply.error().message;
}

std::vector<std::string> RedisServer::texts(const std::vector<std::string>& command) const {
  const auto connection = redis::Connection::open(options());
  if (!connection.ok()) return {};
  redis::Command words;
  for (const std::string& word : command) words.add(word);
  const auto reply = (*connection)->run(words);
  std::vector<std::string> texts;
  if (reply.ok()) add_texts(reply->value(), texts);
  return texts;
}

Transaction writes(std::uint64_t number, std::uint64_t version, CustomerWrite write) {
  std::string id = write.id;
  return {.number = number,
          .parts = {{.id = std::move(id), .version = version, .write = std::move(write)}}};
}

Result<Exchanged> exchange_one(Store& store, const Transaction& transaction) {
  Result<std::vector<Exchanged>> exchanged = store.exchange(std::span(&transaction, 1));
  if (!exchanged.ok()) return std::move(exchanged).error();
  return std::move(exchanged->front());
}

bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
  }
  return true;
}

}  // namespace limitr::store
