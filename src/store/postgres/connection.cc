// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/connection.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include <poll.h>

#include <fmt/format.h>

namespace limitr::store::postgres {
namespace {

// A transaction goes out as a whole, together with its end, unless it is larger than this: a
// process that is stopped between the two would keep the rows locked that its statements have
// locked.
constexpr std::size_t most_waiting = std::size_t{1} << 20;

using SteadyClock = std::chrono::steady_clock;

// The server's own limit comes first: then it is known what has happened.
constexpr Millis answer_margin{1'000};

struct Meaning {
  std::string_view state;  // its beginning
  ErrorCode code;
  std::string_view advice;
};

constexpr Meaning meanings[] = {
    {"LM001", ErrorCode::store_fenced, ""},
    {"28", ErrorCode::invalid_argument, "look after user and password"},
    {"3D", ErrorCode::invalid_argument, "make the database first"},
    {"42501", ErrorCode::invalid_argument, "docs/stores.md says what the user must be allowed"},
    {"42", ErrorCode::data_corrupt, "these are not the tables of limitr: restore a backup"},
    {"XX001", ErrorCode::data_corrupt, "restore a backup"},
    {"XX002", ErrorCode::data_corrupt, "REINDEX its tables, or restore a backup"},
    {"25006", ErrorCode::store_unavailable, "it takes no writes: is it a standby?"},
    {"57014", ErrorCode::store_unavailable, "it took too long: try again"},
    {"53", ErrorCode::store_unavailable, "look after its disk, memory and connections"},
    {"54", ErrorCode::invalid_argument, "it is more than PostgreSQL takes"},
};

Meaning meaning_of(std::string_view state) {
  for (const Meaning& meaning : meanings) {
    if (state.starts_with(meaning.state)) return meaning;
  }
  return {.state = state, .code = ErrorCode::store_unavailable, .advice = "try again"};
}

std::string_view field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text != nullptr ? text : "";
}

// A server that ends a connection of which nothing is asked says so, and closes it a moment later.
void note_end(void* is_ending, const PGresult* notice) {
  const std::string_view severity = field(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity == "FATAL" || severity == "PANIC") *static_cast<bool*>(is_ending) = true;
}

// What libpq says of a connection that was refused holds no code. Whatever names the server's
// FATAL of these beginnings is no outage.
bool is_refused_for_good(std::string_view message) {
  for (const std::string_view sign :
       {"password authentication failed", "no password supplied", "does not exist",
        "no pg_hba.conf entry", "authentication failed", "is not permitted to log in"}) {
    const std::size_t fatal = message.find("FATAL:");
    if (message.find(sign) != std::string_view::npos &&
        (fatal != std::string_view::npos || sign == "no password supplied")) {
      return true;
    }
  }
  return false;
}

}  // namespace

Error Connection::broken(std::string_view what) {
  is_broken_ = true;
  return {.code = ErrorCode::store_unavailable,
          .message = fmt::format("`{}`: {}", address_.name, address_.shown(what))};
}

Error Connection::failed(const PGresult* result) {
  state_ = field(result, PG_DIAG_SQLSTATE);
  const std::string_view severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (state_.empty()) return broken(PQresultErrorMessage(result));
  if (severity == "FATAL" || severity == "PANIC") is_broken_ = true;
  const Meaning meaning = meaning_of(state_);
  const std::string_view message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  if (meaning.advice.empty()) {
    return {.code = meaning.code, .message = fmt::format("`{}`: {}", address_.name, message)};
  }
  return {.code = meaning.code,
          .message = fmt::format("`{}`: {} (PostgreSQL code {}); {}", address_.name,
                                 address_.shown(message), state_, meaning.advice)};
}

Result<void> Connection::wait(bool to_write) {
  const auto deadline = SteadyClock::now() + silence_ + answer_margin;
  while (true) {
    const auto left = std::chrono::ceil<Millis>(deadline - SteadyClock::now());
    if (left <= Millis(0)) return broken("the server does not answer");
    ::pollfd waiting = {.fd = PQsocket(handle_.get()),
                        .events = static_cast<short>(to_write ? POLLIN | POLLOUT : POLLIN),
                        .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return broken("its socket cannot be waited for");
    if (ready <= 0) continue;
    if ((waiting.revents & ~POLLOUT) != 0 && PQconsumeInput(handle_.get()) == 0) {
      return broken(PQerrorMessage(handle_.get()));
    }
    return {};
  }
}

Result<void> Connection::connect(Millis timeout) {
  const auto deadline = SteadyClock::now() + timeout * static_cast<std::int64_t>(address_.hosts);
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status != PGRES_POLLING_OK) {
    if (status == PGRES_POLLING_FAILED || PQstatus(handle_.get()) == CONNECTION_BAD) {
      const std::string message = PQerrorMessage(handle_.get());
      Error error = broken(message);
      if (is_refused_for_good(message)) error.code = ErrorCode::invalid_argument;
      return error;
    }
    const auto left = std::chrono::ceil<Millis>(deadline - SteadyClock::now());
    if (left <= Millis(0)) return broken("the server does not answer");
    ::pollfd waiting = {
        .fd = PQsocket(handle_.get()),
        .events = static_cast<short>(status == PGRES_POLLING_READING ? POLLIN : POLLOUT),
        .revents = 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return broken("its socket cannot be waited for");
    if (ready > 0) status = PQconnectPoll(handle_.get());
  }
  return {};
}

// Every statement of ours looks rows up by their keys: how, does not depend on what the server
// guesses of a table that has just grown.
Result<void> Connection::settle_in(Millis timeout) {
  PQsetNoticeReceiver(handle_.get(), note_end, &is_ending_);
  if (PQsetnonblocking(handle_.get(), 1) != 0 || PQenterPipelineMode(handle_.get()) != 1) {
    return broken(PQerrorMessage(handle_.get()));
  }
  const std::string milliseconds = std::to_string(timeout.count());
  const std::pair<std::string_view, std::string_view> settings[] = {
      {"search_path", "pg_catalog"},
      {"statement_timeout", milliseconds},
      {"default_transaction_isolation", "read committed"},
      {"client_min_messages", "error"},
      {"plan_cache_mode", "force_generic_plan"},
      {"enable_seqscan", "off"},
      {"enable_hashjoin", "off"},
      {"enable_mergejoin", "off"},
      {"enable_bitmapscan", "off"},
      {"jit", "off"},
  };
  std::string sql = "SELECT ";
  for (const auto& [name, value] : settings) {
    if (name != settings[0].first) sql += ", ";
    sql += fmt::format("pg_catalog.set_config('{}', '{}', false)", name, value);
  }
  if (auto sent = send_once(sql); !sent.ok()) return sent;
  if (auto set = finish(); !set.ok()) return std::move(set).error();
  return {};
}

Result<std::unique_ptr<Connection>> Connection::open(const Address& address,
                                                     const Timeouts& timeouts) {
  std::vector<const char*> names;
  std::vector<const char*> values;
  for (const auto& [name, value] : address.settings) {
    if (name == "client_encoding") continue;
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  for (const auto& [name, value] :
       {std::pair("client_encoding", "UTF8"), std::pair("fallback_application_name", "limitr")}) {
    names.push_back(name);
    values.push_back(value);
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  std::unique_ptr<Connection> connection(
      new Connection(address, timeouts, PQconnectStartParams(names.data(), values.data(), 0)));
  if (!connection->handle_) return connection->broken("out of memory");
  if (auto up = connection->connect(timeouts.connect); !up.ok()) return std::move(up).error();
  if (auto set = connection->settle_in(timeouts.silence); !set.ok()) return std::move(set).error();
  return connection;
}

Result<void> Connection::flush() {
  waiting_bytes_ = 0;
  while (true) {
    const int left = PQflush(handle_.get());
    if (left < 0) return broken(PQerrorMessage(handle_.get()));
    if (left == 0) return {};
    // Answers that are not taken in would keep the server from reading on.
    if (auto ready = wait(true); !ready.ok()) return ready;
  }
}

Result<void> Connection::begin_sending() {
  is_ended_ = false;
  state_.clear();
  if (is_broken_) return broken("the connection was lost");
  if (!sent_.empty()) return {};
  // A server that went away while nothing was asked of it is noticed before anything is sent.
  ::pollfd idle = {.fd = PQsocket(handle_.get()), .events = POLLIN, .revents = 0};
  while (::poll(&idle, 1, 0) > 0) {
    if (PQconsumeInput(handle_.get()) == 0) return broken(PQerrorMessage(handle_.get()));
    [[maybe_unused]] const int read = PQisBusy(handle_.get());
    if (is_ending_) return broken("the server has ended the connection");
  }
  return {};
}

Result<void> Connection::send(const std::string& sql, const Values& values) {
  if (auto begun = begin_sending(); !begun.ok()) return begun;
  std::string name;
  if (const auto known = prepared_.find(sql); known != prepared_.end()) {
    name = known->second;
  } else if (const auto coming = preparing_.find(sql); coming != preparing_.end()) {
    name = coming->second;
  } else {
    name = fmt::format("limitr_{}", prepared_.size() + preparing_.size());
    if (PQsendPrepare(handle_.get(), name.c_str(), sql.c_str(), 0, nullptr) != 1) {
      return broken(PQerrorMessage(handle_.get()));
    }
    preparing_[sql] = name;
    sent_.push_back({.is_preparing = true, .sql = sql});
  }
  const std::vector<const char*> pointers = values.pointers();
  const std::vector<int> lengths = values.lengths();
  const std::vector<int> formats(values.size(), 1);
  if (PQsendQueryPrepared(handle_.get(), name.c_str(), static_cast<int>(values.size()),
                          pointers.data(), lengths.data(), formats.data(), 1) != 1) {
    return broken(PQerrorMessage(handle_.get()));
  }
  sent_.push_back({.is_preparing = false, .sql = {}});
  for (const int length : lengths) waiting_bytes_ += static_cast<std::size_t>(length);
  return waiting_bytes_ > most_waiting ? flush() : Result<void>();
}

Result<void> Connection::send_once(const std::string& sql) {
  if (auto begun = begin_sending(); !begun.ok()) return begun;
  if (PQsendQueryParams(handle_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 1) !=
      1) {
    return broken(PQerrorMessage(handle_.get()));
  }
  sent_.push_back({.is_preparing = false, .sql = {}});
  return {};
}

Result<PGresult*> Connection::next_result() {
  while (PQisBusy(handle_.get()) != 0) {
    if (auto ready = wait(false); !ready.ok()) return std::move(ready).error();
  }
  return PQgetResult(handle_.get());
}

Result<void> Connection::take(const Sent& sent, std::vector<Rows>& all) {
  std::optional<Error> error;
  while (true) {
    Result<PGresult*> next = next_result();
    if (!next.ok()) return std::move(next).error();
    if (*next == nullptr) break;
    Rows rows(*next);
    switch (PQresultStatus(*next)) {
      case PGRES_COMMAND_OK:
      case PGRES_TUPLES_OK:
        if (sent.is_preparing) {
          prepared_.insert(preparing_.extract(sent.sql));
        } else {
          all.push_back(std::move(rows));
        }
        break;
      case PGRES_PIPELINE_ABORTED: break;
      default:
        if (!error) error = failed(*next);
        if (is_broken_) return *error;
    }
  }
  if (error) return *error;
  return {};
}

Result<std::vector<Rows>> Connection::finish() {
  if (is_broken_) return broken("the connection was lost");
  is_ended_ = true;
  if (PQpipelineSync(handle_.get()) != 1) return broken(PQerrorMessage(handle_.get()));
  if (auto flushed = flush(); !flushed.ok()) return std::move(flushed).error();
  std::vector<Rows> all;
  std::optional<Error> error;
  for (const Sent& sent : std::exchange(sent_, {})) {
    auto taken = take(sent, all);
    if (!taken.ok() && !error) error = std::move(taken).error();
    if (is_broken_) return *error;
  }
  // What ends the transaction may fail as well.
  while (true) {
    Result<PGresult*> last = next_result();
    if (!last.ok()) return std::move(last).error();
    if (*last == nullptr) {
      if (PQstatus(handle_.get()) == CONNECTION_BAD) return broken(PQerrorMessage(handle_.get()));
      continue;
    }
    const Rows rows(*last);
    if (PQresultStatus(*last) == PGRES_PIPELINE_SYNC) break;
    if (!error) error = failed(*last);
    if (is_broken_) return *error;
  }
  preparing_.clear();
  if (error) return *error;
  return all;
}

Result<std::vector<Notified>> Connection::take_notified() {
  if (is_broken_) return broken("the connection was lost");
  if (PQconsumeInput(handle_.get()) == 0) return broken(PQerrorMessage(handle_.get()));
  std::vector<Notified> all;
  while (PGnotify* notify = PQnotifies(handle_.get())) {
    all.push_back({.channel = notify->relname, .payload = notify->extra});
    PQfreemem(notify);
  }
  return all;
}

Result<Rows> Connection::run(const std::string& sql, const Values& values) {
  if (auto sent = send(sql, values); !sent.ok()) return std::move(sent).error();
  Result<std::vector<Rows>> rows = finish();
  if (!rows.ok()) return std::move(rows).error();
  return std::move(rows->front());
}

}  // namespace limitr::store::postgres
