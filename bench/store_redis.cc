// SPDX-License-Identifier: Apache-2.0
// Question: what does a call cost that is safe in Redis, next to the script that everybody writes
// who counts there: check, add, and put the same bytes under the same key?

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <optional>

#include <hiredis/hiredis.h>

#include "benches.h"
#include "data_set.h"
#include "sharers.h"
#include "store/redis/redis_store.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

constexpr std::string_view our_prefix = "limitr_bench";
constexpr std::string_view peer_prefix = "limitr_bench_peer:";
constexpr std::size_t customers = 1000;
constexpr std::size_t connections = 50;
constexpr std::size_t in_flight_each = 32;

struct Free {
  void operator()(redisContext* context) const noexcept { redisFree(context); }
  void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, Free>;
using Words = std::initializer_list<std::string_view>;

[[noreturn]] void give_up(std::string_view why) {
  stop({.code = ErrorCode::io_failed, .message = fmt::format("Redis: {}", why)});
}

// One connection of the comparator.
class Connection {
public:
  explicit Connection(const store::RedisOptions& options) {
    context_.reset(options.socket.empty() ? redisConnect(options.host.c_str(), options.port)
                                          : redisConnectUnix(options.socket.c_str()));
    if (!context_ || context_->err != 0) give_up(context_ ? context_->errstr : "out of memory");
    if (!options.password.empty() && options.user.empty()) run({"AUTH", options.password});
    if (!options.password.empty() && !options.user.empty()) {
      run({"AUTH", options.user, options.password});
    }
    if (options.database != 0) run({"SELECT", std::to_string(options.database)});
  }

  Reply run(Words words) {
    send(words);
    return receive();
  }
  /// Sends, and does not wait for the reply.
  void send(Words words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const std::string_view word : words) {
      texts.push_back(word.data());
      sizes.push_back(word.size());
    }
    redisAppendCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(),
                           sizes.data());
    for (int done = 0; done == 0;) {
      if (redisBufferWrite(context_.get(), &done) != REDIS_OK) give_up(context_->errstr);
    }
  }
  Reply receive() {
    void* reply = nullptr;
    if (redisGetReply(context_.get(), &reply) != REDIS_OK) give_up(context_->errstr);
    return checked(reply);
  }
  /// What has come; none where the reply is not whole yet. REQUIRES: there is something to read.
  Reply receive_some() {
    void* reply = nullptr;
    if (redisBufferRead(context_.get()) != REDIS_OK ||
        redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) {
      give_up(context_->errstr);
    }
    return reply == nullptr ? Reply() : checked(reply);
  }
  int descriptor() const { return context_->fd; }

private:
  static Reply checked(void* raw) {
    Reply reply(static_cast<redisReply*>(raw));
    if (reply->type == REDIS_REPLY_ERROR) give_up(std::string_view(reply->str, reply->len));
    return reply;
  }

  std::unique_ptr<redisContext, Free> context_;
};

std::string_view text_of(const Reply& reply) {
  return reply->str == nullptr ? std::string_view() : std::string_view(reply->str, reply->len);
}

// The benches' keys on the server, which are gone with this. Keys of that name that are there
// already end the program: it does not know whose they are.
class RedisPlace {
public:
  explicit RedisPlace(const std::string& url)
      : url_(url), options_(read(url)), connection_(options_), tidy_([this] { remove_all(); }) {}

  const store::RedisOptions& options() const { return options_; }
  Connection& connection() { return connection_; }
  /// Of our store.
  std::string url() const {
    return fmt::format("{}{}prefix={}", url_, url_.find('?') == std::string::npos ? '?' : '&',
                       our_prefix);
  }

private:
  static store::RedisOptions read(const std::string& url) {
    if (url.find("prefix=") != std::string::npos) {
      stop({.code = ErrorCode::invalid_argument,
            .message = fmt::format("the URL names a `prefix`: the benches use `{}`", our_prefix)});
    }
    store::RedisOptions options = required(store::read_redis_url(url));
    Connection connection(options);
    if (!keys(connection).empty()) {
      stop({.code = ErrorCode::invalid_argument,
            .message = fmt::format("the database has keys that begin with `{}`: where a run was "
                                   "broken off and left them, remove them; else name another one",
                                   our_prefix)});
    }
    return options;
  }
  static std::vector<std::string> keys(Connection& connection) {
    std::vector<std::string> found;
    std::string cursor = "0";
    do {
      const Reply page = connection.run(
          {"SCAN", cursor, "MATCH", fmt::format("{}*", our_prefix), "COUNT", "1000"});
      cursor.assign(page->element[0]->str, page->element[0]->len);
      const redisReply& list = *page->element[1];
      for (std::size_t i = 0; i < list.elements; ++i) {
        found.emplace_back(list.element[i]->str, list.element[i]->len);
      }
    } while (cursor != "0");
    return found;
  }
  void remove_all() {
    for (const std::string& key : keys(connection_)) connection_.run({"DEL", key});
  }

  const std::string url_;
  const store::RedisOptions options_;
  Connection connection_;
  const Tidy tidy_;
};

// While this lives the server syncs nothing, which concerns everybody whose keys it has.
class WithoutSync {
public:
  explicit WithoutSync(RedisPlace& place)
      : connection_(place.connection()),
        setting_(setting(place)),
        tidy_([this] { connection_.run({"CONFIG", "SET", "appendfsync", setting_}); }) {
    connection_.run({"CONFIG", "SET", "appendfsync", "no"});
  }

private:
  static std::string setting(RedisPlace& place) {
    const Reply keyspace = place.connection().run({"INFO", "keyspace"});
    if (text_of(keyspace).find("db") != std::string_view::npos) {
      stop({.code = ErrorCode::invalid_argument,
            .message = "there are keys on the server: this bench sets `appendfsync no` for the "
                       "time that it takes, and wants a server of its own"});
    }
    const Reply pair = place.connection().run({"CONFIG", "GET", "appendfsync"});
    return {pair->element[1]->str, pair->element[1]->len};
  }

  Connection& connection_;
  const std::string setting_;
  const Tidy tidy_;
};

// The comparator: a script that checks and adds, called over a number of connections, each of which
// has a call on its way.
class RedisPeer {
public:
  RedisPeer(RedisPlace& place, const std::vector<std::string>& ids, double limit, std::size_t count)
      : records_(ids), limit_(fmt::format("{}", limit)) {
    constexpr std::string_view script = R"(
local value = redis.call('HGET', KEYS[1], 'value') + 1
if value > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'value', value, 'record', ARGV[2])
return 1)";
    script_ = text_of(place.connection().run({"SCRIPT", "LOAD", script}));
    for (const std::string& id : ids) {
      place.connection().run(
          {"HSET", key(id), "value", fmt::format("{}", calls_before), "record", records_.next(id)});
    }
    for (std::size_t i = 0; i < count; ++i) connections_.emplace_back(place.options());
  }

  /// How many of these calls were allowed.
  std::uint64_t call(const std::vector<std::string>& keys) {
    std::vector<pollfd> waiting;
    std::size_t next = 0;
    for (Connection& connection : connections_) {
      if (next == keys.size()) break;
      send(connection, keys[next++]);
      waiting.push_back({.fd = connection.descriptor(), .events = POLLIN, .revents = 0});
    }
    std::uint64_t allowed = 0;
    for (std::size_t answered = 0; answered < keys.size();) {
      if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
      for (std::size_t i = 0; i < waiting.size(); ++i) {
        if (waiting[i].revents == 0) continue;
        const Reply reply = connections_[i].receive_some();
        if (!reply) continue;
        ++answered;
        if (reply->integer == 1) ++allowed;
        if (next < keys.size()) send(connections_[i], keys[next++]);
      }
    }
    return allowed;
  }
  /// One call after the other, on one connection.
  std::uint64_t call_one_by_one(const std::vector<std::string>& keys) {
    std::uint64_t allowed = 0;
    for (const std::string& id : keys) {
      send(connections_.front(), id);
      if (connections_.front().receive()->integer == 1) ++allowed;
    }
    return allowed;
  }
  double meter(const std::string& id) {
    const Reply value = connections_.front().run({"HGET", key(id), "value"});
    return std::strtod(std::string(text_of(value)).c_str(), nullptr);
  }

private:
  static std::string key(const std::string& id) { return std::string(peer_prefix) + id; }
  void send(Connection& connection, const std::string& id) {
    connection.send({"EVALSHA", script_, "1", key(id), limit_, records_.next(id)});
  }

  Records records_;
  const std::string limit_;
  std::string script_;
  std::vector<Connection> connections_;
};

void compare_meters(const std::string& url, const std::vector<std::string>& ids, RedisPeer& peer,
                    Checks& checks) {
  const std::vector<double> meters = stored_meters(url, ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    checks.same(fmt::format("stored meter of {}", ids[i]), meters[i], peer.meter(ids[i]));
  }
}

// The calls of a bench, and the limit that a few of its customers reach.
struct Workload {
  Workload(std::size_t customer_count, std::size_t call_count, std::size_t runs)
      : ids(customer_ids(0, customer_count)),
        keys(random_keys(ids, call_count)),
        limit(binding_limit(static_cast<double>(call_count * (runs + 1)) /
                            static_cast<double>(customer_count))) {}

  std::vector<std::string> ids;
  std::vector<std::string> keys;
  double limit;
};

Sample calls_a_second(RedisPeer& peer, const std::vector<std::string>& keys) {
  const Stopwatch watch;
  const std::uint64_t allowed = peer.call(keys);
  return {static_cast<double>(keys.size()) / watch.seconds(), allowed};
}

Options shared_options() {
  return {.shared = true, .accept_weaker = true, .log = [](std::string_view) {}};
}

}  // namespace

Row redis_sync_64(const Size& size, const std::string& store, Checks& checks) {
  RedisPlace place(store);
  const Workload work(size.of(customers, 100), size.of(10'000, 1000), size.runs());
  put_customers(place.url(), work.ids.size(), work.limit);
  RedisPeer peer(place, work.ids, work.limit, connections);
  Figures figures;
  {
    Limitr limitr = engine_at(place.url(), work.limit);
    required(limitr.warm(work.ids));
    figures = alternate(
        size.runs(), checks, [&] { return time_in_flight(limitr, work.keys, 64); },
        [&] { return calls_a_second(peer, work.keys); });
  }
  compare_meters(place.url(), work.ids, peer, checks);
  return row_of("redis_sync_64", figures, "calls/s", "script, 50 connections",
                {Goal::Of::ratio, Goal::Op::at_least, 2});
}

Row redis_shared_1(const Size& size, const std::string& store, Checks& checks) {
  RedisPlace place(store);
  const WithoutSync without_sync(place);
  const Workload work(size.of(customers, 100), size.of(10'000, 500), size.runs());
  put_customers(place.url(), work.ids.size(), work.limit);
  RedisPeer peer(place, work.ids, work.limit, 1);
  Figures figures;
  {
    Limitr limitr = engine_at(place.url(), work.limit, shared_options());
    required(limitr.warm(work.ids));
    const auto theirs = [&] {
      const Stopwatch watch;
      const std::uint64_t allowed = peer.call_one_by_one(work.keys);
      return Sample{watch.seconds() * 1e6 / static_cast<double>(work.keys.size()), allowed};
    };
    figures =
        alternate(size.runs(), checks, [&] { return time_one_by_one(limitr, work.keys); }, theirs);
  }
  compare_meters(place.url(), work.ids, peer, checks);
  return row_of("redis_shared_1", figures, "us", "script, 1 connection",
                {Goal::Of::ratio, Goal::Op::at_most, 1.5});
}

Row redis_shared_64(const Size& size, const std::string& store, Checks& checks) {
  RedisPlace place(store);
  const WithoutSync without_sync(place);
  const Workload work(size.of(customers, 100), size.of(40'000, 1000), size.runs());
  put_customers(place.url(), work.ids.size(), work.limit);
  RedisPeer peer(place, work.ids, work.limit, connections);
  Figures figures;
  {
    Sharers sharers(place.url(), {.customers = work.ids.size(),
                                  .calls = work.keys.size(),
                                  .in_flight = in_flight_each,
                                  .limit = work.limit});
    figures = alternate(
        size.runs(), checks, [&] { return sharers.call(); },
        [&] { return calls_a_second(peer, work.keys); });
  }
  compare_meters(place.url(), work.ids, peer, checks);
  return row_of("redis_shared_64", figures, "calls/s", "script, 50 connections",
                {Goal::Of::ratio, Goal::Op::at_least, 1});
}

}  // namespace limitr::bench
