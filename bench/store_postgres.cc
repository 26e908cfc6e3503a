// SPDX-License-Identifier: Apache-2.0
// Question: what does a call cost that is safe in PostgreSQL, next to the statement that everybody
// writes who counts there: add where it fits, and put the same bytes in the same row?

#include <poll.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <span>

#include <libpq-fe.h>

#include "benches.h"
#ifdef LIMITR_CLOUD_POSTGRES
#include "cloud_server.h"
#endif
#include "data_set.h"
#include "store_calls.h"

namespace limitr::bench {

namespace {

constexpr std::string_view our_schema = "limitr_bench";
constexpr std::string_view peer_schema = "limitr_bench_peer";
constexpr std::size_t clients = 64;

struct Free {
  void operator()(PGconn* session) const noexcept { PQfinish(session); }
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Reply = std::unique_ptr<PGresult, Free>;

// One session of the comparator.
class Session {
public:
  explicit Session(const std::string& url) : session_(PQconnectdb(url.c_str())) {
    if (PQstatus(session_.get()) != CONNECTION_OK) give_up();
    run("SET client_min_messages = warning");
  }

  Reply run(const std::string& sql) { return checked(PQexec(session_.get(), sql.c_str())); }
  /// The statement that send() sends.
  void prepare(const std::string& sql) {
    checked(PQprepare(session_.get(), "call", sql.c_str(), 0, nullptr));
  }
  void send(const std::string& id, const std::string& record) {
    const std::array<const char*, 2> values = {id.c_str(), record.c_str()};
    if (PQsendQueryPrepared(session_.get(), "call", 2, values.data(), nullptr, nullptr, 0) != 1) {
      give_up();
    }
  }
  /// What has come; none where it is not whole yet. REQUIRES: there is something to read.
  Reply receive_some() {
    if (PQconsumeInput(session_.get()) != 1) give_up();
    if (PQisBusy(session_.get()) != 0) return {};
    Reply reply = checked(PQgetResult(session_.get()));
    while (const Reply rest{PQgetResult(session_.get())}) {
    }
    return reply;
  }
  int descriptor() const { return PQsocket(session_.get()); }

private:
  [[noreturn]] void give_up() const {
    stop({.code = ErrorCode::io_failed,
          .message = fmt::format("PostgreSQL: {}", PQerrorMessage(session_.get()))});
  }
  Reply checked(PGresult* raw) const {
    Reply reply(raw);
    const ExecStatusType status = PQresultStatus(reply.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) give_up();
    return reply;
  }

  std::unique_ptr<PGconn, Free> session_;
};

// The benches' schemas, which are gone with this. Schemas of that name that are there already end
// the program: it does not know whose they are.
class PostgresPlace {
public:
  explicit PostgresPlace(const std::string& url)
      : url_(without_schema(url)), session_(url_), tidy_(claim()) {}

  Session& session() { return session_; }
  const std::string& peer_url() const { return url_; }
  /// Of our store.
  std::string url() const {
    return fmt::format("{}{}schema={}", url_, url_.find('?') == std::string::npos ? '?' : '&',
                       our_schema);
  }

private:
  static std::string without_schema(const std::string& url) {
    for (const std::string_view own : {"schema=", "lease="}) {
      if (url.find(own) == std::string::npos) continue;
      stop({.code = ErrorCode::invalid_argument,
            .message = fmt::format("the URL says `{}`: the benches have schemas of their own, "
                                   "`{}` and `{}`",
                                   own, our_schema, peer_schema)});
    }
    return url;
  }
  std::function<void()> claim() {
    const Reply found = session_.run(fmt::format(
        "SELECT nspname FROM pg_namespace WHERE nspname IN ('{}', '{}')", our_schema, peer_schema));
    if (PQntuples(found.get()) > 0) {
      const std::string name = PQgetvalue(found.get(), 0, 0);
      stop({.code = ErrorCode::invalid_argument,
            .message = fmt::format("the database has a schema `{0}`: where a run was broken off "
                                   "and left it, `DROP SCHEMA {0} CASCADE`; else name another "
                                   "database",
                                   name)});
    }
    session_.run(fmt::format("CREATE SCHEMA {}", peer_schema));
    return [this] {
      session_.run(fmt::format("DROP SCHEMA IF EXISTS {}, {} CASCADE", our_schema, peer_schema));
    };
  }

  const std::string url_;
  Session session_;
  const Tidy tidy_;
};

// The comparator: a statement that adds where it fits, prepared in a number of sessions, each of
// which has a call on its way.
class PostgresPeer {
public:
  PostgresPeer(PostgresPlace& place, const std::vector<std::string>& ids, double limit,
               std::size_t count)
      : records_(ids) {
    // Room for new versions beside the rows, as our store's table has it.
    place.session().run(
        fmt::format("CREATE TABLE {}.customers (id text PRIMARY KEY, value float8 NOT NULL,"
                    " max float8 NOT NULL, record text NOT NULL) WITH (fillfactor = 50)",
                    peer_schema));
    place.session().prepare(fmt::format("INSERT INTO {}.customers VALUES ($1, {}, {}, $2)",
                                        peer_schema, calls_before, limit));
    for (const std::string& id : ids) {
      place.session().send(id, records_.next(id));
      pollfd waiting = {.fd = place.session().descriptor(), .events = POLLIN, .revents = 0};
      do {
        poll(&waiting, 1, -1);
      } while (!place.session().receive_some());
    }
    for (std::size_t i = 0; i < count; ++i) {
      sessions_.emplace_back(place.peer_url());
      sessions_.back().prepare(
          fmt::format("UPDATE {}.customers SET value = value + 1, record = $2"
                      " WHERE id = $1 AND value + 1 <= max RETURNING value",
                      peer_schema));
    }
  }

  /// How many of these calls were allowed.
  std::uint64_t call(const std::vector<std::string>& keys) {
    std::vector<pollfd> waiting;
    std::size_t next = 0;
    for (Session& session : sessions_) {
      if (next == keys.size()) break;
      send(session, keys[next++]);
      waiting.push_back({.fd = session.descriptor(), .events = POLLIN, .revents = 0});
    }
    std::uint64_t allowed = 0;
    for (std::size_t answered = 0; answered < keys.size();) {
      if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
      for (std::size_t i = 0; i < waiting.size(); ++i) {
        if (waiting[i].revents == 0) continue;
        const Reply reply = sessions_[i].receive_some();
        if (!reply) continue;
        ++answered;
        if (PQntuples(reply.get()) == 1) ++allowed;
        if (next < keys.size()) send(sessions_[i], keys[next++]);
      }
    }
    return allowed;
  }
  double meter(const std::string& id) {
    const Reply row = sessions_.front().run(
        fmt::format("SELECT value FROM {}.customers WHERE id = '{}'", peer_schema, id));
    return PQntuples(row.get()) == 1 ? std::strtod(PQgetvalue(row.get(), 0, 0), nullptr) : -1;
  }

private:
  void send(Session& session, const std::string& id) { session.send(id, records_.next(id)); }

  Records records_;
  std::vector<Session> sessions_;
};

}  // namespace

Row postgres_sync_64(const Size& size, const std::string& store, Checks& checks) {
  PostgresPlace place(store);
  const std::vector<std::string> ids = customer_ids(0, size.of(1000, 100));
  const std::vector<std::string> keys = random_keys(ids, size.of(10'000, 1000));
  const double limit = binding_limit(static_cast<double>(keys.size() * (size.runs() + 1)) /
                                     static_cast<double>(ids.size()));
  put_customers(place.url(), ids.size(), limit);
  PostgresPeer peer(place, ids, limit, clients);
  Figures figures;
  {
    Limitr limitr = engine_at(place.url(), limit);
    required(limitr.warm(ids));
    const auto theirs = [&] {
      const Stopwatch watch;
      const std::uint64_t allowed = peer.call(keys);
      return Sample{static_cast<double>(keys.size()) / watch.seconds(), allowed};
    };
    figures = alternate(
        size.runs(), checks, [&] { return time_in_flight(limitr, keys, clients); }, theirs);
  }
  const std::vector<double> meters = stored_meters(place.url(), ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    checks.same(fmt::format("stored meter of {}", ids[i]), meters[i], peer.meter(ids[i]));
  }
  return {.name = "postgres_sync_64",
          .value = figures.ours,
          .unit = "calls/s",
          .lower_is_better = false,
          .comparator = Comparator{"UPDATE, 64 clients", *figures.comparator},
          .ratio = figures.ratio,
          .goal = {Goal::Of::ratio, Goal::Op::at_least, 3},
          .runs = figures.runs};
}

#ifdef LIMITR_CLOUD_POSTGRES
Row cloud_one_hot(const Size& size, const std::string& store, Checks& checks) {
  PostgresPlace place(store);
  const std::vector<std::string> ids = customer_ids(0, 1);
  SharedCalls work{.customers = ids.size(), .calls = size.of(10'000, 1000), .in_flight = clients};
  const std::vector<std::string> keys = random_keys(ids, work.calls);
  // Reached in the last run.
  work.limit =
      calls_before + static_cast<double>(work.calls) * (static_cast<double>(size.runs()) + 0.5);
  put_customers(place.url(), ids.size(), work.limit);
  PostgresPeer peer(place, ids, work.limit, clients);
  Figures figures;
  {
    const CloudServer server(place.url(), work.limit);
    Sharers sharers(server.url(), work);
    const auto theirs = [&] {
      const Stopwatch watch;
      const std::uint64_t allowed = peer.call(keys);
      return Sample{static_cast<double>(keys.size()) / watch.seconds(), allowed};
    };
    figures = alternate(size.runs(), checks, [&] { return sharers.call(); }, theirs);
    checks.is_true("both engines have closed", sharers.finish());
  }
  const double meter = stored_meters(place.url(), ids)[0];
  checks.same("stored meter", meter, peer.meter(ids[0]));
  checks.same("stored meter, and the limit", meter, work.limit);
  return {.name = "cloud_one_hot",
          .value = figures.ours,
          .unit = "calls/s",
          .lower_is_better = false,
          .comparator = Comparator{"UPDATE, 64 clients", *figures.comparator},
          .ratio = figures.ratio,
          .goal = {Goal::Of::ratio, Goal::Op::at_least, 10},
          .runs = figures.runs};
}
#endif

}  // namespace limitr::bench
