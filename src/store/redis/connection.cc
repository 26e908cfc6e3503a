// SPDX-License-Identifier: Apache-2.0
#include "store/redis/connection.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <fmt/format.h>

namespace limitr::store::redis {
namespace {

using std::chrono::steady_clock;

::timeval to_timeval(Millis time) {
  return {.tv_sec = time.count() / 1000, .tv_usec = time.count() % 1000 * 1000};
}

/// Of a call that may be made again.
bool is_passing(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

std::string text_of(int error) { return std::generic_category().message(error); }

// What the server answers before it has done anything.
constexpr std::string_view refusals[] = {"READONLY", "MISCONF",    "OOM",         "LOADING",
                                         "BUSY",     "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS",
                                         "NOAUTH",   "NOPERM",     "NOSCRIPT",    "WRONGPASS",
                                         "MOVED",    "ASK",        "TRYAGAIN"};

std::string_view advice(std::string_view refusal) {
  if (refusal == "READONLY") return "this is a replica: name its primary";
  if (refusal == "MISCONF") return "look after the disk of the server";
  if (refusal == "OOM") return "give the server more memory";
  if (refusal == "NOAUTH" || refusal == "WRONGPASS") return "look after user and password";
  if (refusal == "MOVED" || refusal == "ASK" || refusal == "TRYAGAIN") {
    return "the slot of the key is being moved: try again; in a Redis Cluster the user needs the "
           "right to INFO";
  }
  if (refusal == "NOPERM") return "give the user the rights in docs/stores.md";
  return "try again";
}

}  // namespace

void Command::clear() {
  count_ = 0;
  if (arguments_.capacity() > most_kept) arguments_ = {};
  arguments_.clear();
}

Command& Command::add(std::string_view argument) { return add(argument, {}); }

Command& Command::add(std::string_view head, std::string_view tail) {
  ++count_;
  const fmt::format_int size(head.size() + tail.size());
  arguments_.append(1, '$').append(size.data(), size.size()).append("\r\n");
  arguments_.append(head).append(tail).append("\r\n");
  return *this;
}

Command& Command::add(std::uint64_t argument) {
  const fmt::format_int text(argument);
  return add(std::string_view(text.data(), text.size()));
}

Command& Command::add(std::int64_t argument) {
  const fmt::format_int text(argument);
  return add(std::string_view(text.data(), text.size()));
}

Command& Command::add_all(const Command& other) {
  return add_encoded(other.count_, other.arguments_);
}

Command& Command::add_encoded(std::size_t count, std::string_view arguments) {
  count_ += count;
  arguments_.append(arguments);
  return *this;
}

void Command::append_to(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", count_);
  out.append(arguments_);
}

void Batch::add(const Command& command) {
  command.append_to(out_);
  ++wanted_;
}

std::string place_of(const RedisOptions& options) {
  if (!options.socket.empty()) {
    return fmt::format("redis:///{}?socket={}", options.database, options.socket);
  }
  return fmt::format("redis://{}:{}/{}", options.host, options.port, options.database);
}

bool says(const Value& error, std::string_view word) {
  if (!error.is_error()) return false;
  // What an ACL keeps from a script is said in another way.
  if (word == "NOPERM" &&
      error.text().find("The user executing the script can't") != std::string_view::npos) {
    return true;
  }
  // Before Redis 7 the error of a script has that of its command inside.
  return error.text().starts_with(word) ||
         error.text().find(fmt::format("-{} ", word)) != std::string_view::npos;
}

Error error_of(const Value& error, const std::string& place) {
  for (const std::string_view refusal : refusals) {
    if (!says(error, refusal)) continue;
    return {.code = ErrorCode::store_unavailable,
            .message = fmt::format("`{}` answers: {}; {}", place, error.text(), advice(refusal))};
  }
  if (says(error, "WRONGTYPE")) {
    return {.code = ErrorCode::data_corrupt,
            .message = fmt::format("`{}`: a key of ours holds what is not ours: {}; use another "
                                   "prefix, or restore a backup",
                                   place, error.text())};
  }
  return {.code = ErrorCode::outcome_unknown,
          .message = fmt::format("`{}` answers: {}", place, error.text())};
}

Connection::Connection(redisContext* context, const RedisOptions& options)
    : context_(context), timeout_(options.command_timeout), place_(place_of(options)) {}

Result<std::unique_ptr<Connection>> Connection::open(const RedisOptions& options) {
  const ::timeval timeout = to_timeval(options.connect_timeout);
  redisContext* context = options.socket.empty()
                              ? redisConnectWithTimeout(options.host.c_str(), options.port, timeout)
                              : redisConnectUnixWithTimeout(options.socket.c_str(), timeout);
  if (!context) return Error{.code = ErrorCode::store_unavailable, .message = "out of memory"};
  std::unique_ptr<Connection> connection(new Connection(context, options));
  if (context->err != 0) {
    return Error{
        .code = ErrorCode::store_unavailable,
        .message = fmt::format("`{}` cannot be reached: {}", connection->place_, context->errstr)};
  }
  if (options.socket.empty()) redisEnableKeepAlive(context);
  if (auto greeted = connection->greet(options); !greeted.ok()) return std::move(greeted).error();
  return connection;
}

Result<void> Connection::greet(const RedisOptions& options) {
  std::vector<Command> commands;
  if (!options.password.empty()) {
    Command& auth = commands.emplace_back().add("AUTH");
    if (!options.user.empty()) auth.add(options.user);
    auth.add(options.password);
  }
  commands.emplace_back().add("SELECT").add(std::uint64_t{options.database});
  const Result<std::vector<Reply>> replies = run(commands);
  if (!replies.ok()) {
    return Error{.code = ErrorCode::store_unavailable, .message = replies.error().message};
  }
  for (const Reply& reply : *replies) {
    if (!reply.value().is_error()) continue;
    Error error = error_of(reply.value(), place_);
    // The server is well, and will not take it the next time either.
    const bool is_ours = error.code != ErrorCode::store_unavailable ||
                         says(reply.value(), "NOAUTH") || says(reply.value(), "WRONGPASS");
    if (is_ours) error.code = ErrorCode::invalid_argument;
    return error;
  }
  return {};
}

// A server that was restarted, or has closed what was idle, has told so before anything is sent.
bool Connection::is_gone() const {
  char byte = 0;
  const auto got = ::recv(context_->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || !is_passing(errno);
}

Error Connection::lost(std::string_view why, bool is_sent) const {
  return {.code = is_sent ? ErrorCode::outcome_unknown : ErrorCode::store_unavailable,
          .message = fmt::format("the connection to `{}` was lost: {}", place_, why)};
}

// Sends what the socket takes now.
Result<void> Connection::send_some(std::string_view out, std::size_t& sent) const {
  const auto put =
      ::send(context_->fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (put < 0 && !is_passing(errno)) return lost(text_of(errno), sent > 0);
  if (put > 0) sent += static_cast<std::size_t>(put);
  return {};
}

// Takes what is there now, and the replies that are whole with it.
Result<void> Connection::receive_some(std::size_t wanted, std::vector<Reply>& replies) {
  const auto got = ::recv(context_->fd, in_.data(), in_.size(), MSG_DONTWAIT);
  if (got < 0 && is_passing(errno)) return {};
  if (got < 0) return lost(text_of(errno), true);
  if (got == 0) return lost("the server has closed it", true);
  redisReader* reader = context_->reader;
  redisReaderFeed(reader, in_.data(), static_cast<std::size_t>(got));
  while (replies.size() < wanted) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
      return lost(fmt::format("what answers is no Redis server ({})", reader->errstr), true);
    }
    if (!reply) break;
    replies.emplace_back(static_cast<redisReply*>(reply));
  }
  return {};
}

void Connection::move_some(Batch& batch, short ready) {
  Result<void> moved;
  if (ready & POLLOUT) moved = send_some(batch.out_, batch.sent_);
  if (moved.ok() && (ready & ~POLLOUT)) moved = receive_some(batch.wanted_, batch.replies);
  if (moved.ok()) return;
  batch.failure = std::move(moved).error();
  if (batch.sent_ == 0) batch.failure->code = ErrorCode::store_unavailable;
}

// How long a batch may take, for which its connection must still be there. Sends what there is room
// for, which is mostly all.
Millis Connection::begin(Batch& batch) {
  if (!batch.is_over() && is_gone()) batch.failure = lost("the server has closed it", false);
  if (!batch.is_over()) move_some(batch, POLLOUT);
  // A second more for every 8 MB.
  return timeout_ + Millis(static_cast<std::int64_t>(batch.out_.size() / 8'000));
}

void Connection::run_all(std::span<Batch> batches, Millis longer) {
  Millis timeout(0);
  for (Batch& batch : batches) timeout = std::max(timeout, batch.connection_->begin(batch));
  timeout += longer;
  const auto deadline = steady_clock::now() + timeout;
  std::vector<::pollfd> ready;
  std::vector<Batch*> running;
  for (;;) {
    ready.clear();
    running.clear();
    for (Batch& batch : batches) {
      if (batch.is_over()) continue;
      const bool is_sending = batch.sent_ < batch.out_.size();
      ready.push_back({.fd = batch.connection_->context_->fd,
                       .events = static_cast<short>(is_sending ? POLLIN | POLLOUT : POLLIN),
                       .revents = 0});
      running.push_back(&batch);
    }
    if (running.empty()) return;
    const auto left = std::chrono::ceil<Millis>(deadline - steady_clock::now());
    const int polled =
        left.count() > 0 ? ::poll(ready.data(), ready.size(), static_cast<int>(left.count())) : 0;
    if (polled < 0 && is_passing(errno)) continue;
    const std::string why = polled < 0    ? text_of(errno)
                            : polled == 0 ? fmt::format("no answer within {} ms", timeout.count())
                                          : std::string();
    for (std::size_t i = 0; i < running.size(); ++i) {
      Batch& batch = *running[i];
      if (polled <= 0) {
        batch.failure = batch.connection_->lost(why, batch.sent_ > 0);
      } else if (ready[i].revents != 0) {
        batch.connection_->move_some(batch, ready[i].revents);
      }
    }
  }
}

Result<std::vector<Reply>> Connection::run(std::span<const Command> commands, Millis longer) {
  Batch batch(*this);
  batch.out_ = std::exchange(out_, {});
  std::size_t bytes = 0;
  for (const Command& command : commands) bytes += command.bytes() + 24;
  batch.reserve(bytes);
  for (const Command& command : commands) batch.add(command);
  run_all(std::span(&batch, 1), longer);
  if (batch.out_.capacity() <= most_kept) out_ = std::move(batch.out_);
  out_.clear();
  if (batch.failure) return *std::move(batch.failure);
  return std::move(batch.replies);
}

Result<Reply> Connection::run(const Command& command) {
  Result<std::vector<Reply>> replies = run(std::span(&command, 1));
  if (!replies.ok()) return std::move(replies).error();
  return std::move(replies->front());
}

}  // namespace limitr::store::redis
