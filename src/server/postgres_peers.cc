// SPDX-License-Identifier: Apache-2.0
#include "server/postgres_peers.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "env/descriptor.h"
#include "env/random_ids.h"
#include "server/recall_notice.h"
#include "store/postgres/connection.h"
#include "store/postgres/keys.h"
#include "store/postgres/schema.h"

namespace limitr::server {
namespace {

using PeerClock = std::chrono::steady_clock;

constexpr store::postgres::Timeouts peer_timeouts{.connect = Millis(2'000),
                                                  .silence = Millis(5'000)};
constexpr Millis reconnect_pause{250};
// Of engines that nobody asks about any more.
constexpr Millis forgotten_after{10'000};

constexpr const char* now_ms = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

}  // namespace

// One thread has the connection; what others want is left for it under the mutex.
class PostgresPeers::Impl {
public:
  /// Engines choose their names, so those of two projects may be the same.
  struct Key {
    std::string project;
    std::string engine;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  explicit Impl(PeersOptions options, store::postgres::Address address)
      : options_(std::move(options)),
        address_(std::move(address)),
        table_(store::postgres::quoted(address_.schema) + ".limitr_engines"),
        server_(env::RandomIds().next()),
        channel_("limitr_" + server_),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    wake();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> start() {
    if (!wake_.is_open()) return env::io_error("wait", "eventfd");
    if (auto connected = connect(); !connected.ok()) return connected;
    thread_ = std::thread([this] { work(); });
    return {};
  }

  bool is_alive(const Key& key) {
    const std::lock_guard lock(mutex_);
    Looked& looked = looked_[key];
    const bool is_fresh = looked.at && PeerClock::now() - *looked.at < options_.fresh;
    if (is_fresh) return looked.is_alive;
    looked.is_wanted = true;
    wake();
    return true;
  }

  void recall(const Key& key, const std::vector<std::string>& ids) {
    const std::lock_guard lock(mutex_);
    std::set<std::string>& wanted = recalls_[key];
    wanted.insert(ids.begin(), ids.end());
    wake();
  }

  void renew(std::vector<LeasedEngine> engines) {
    const std::lock_guard lock(mutex_);
    leased_ = std::move(engines);
    wake();
  }

  Peers& of(std::string_view project);

private:
  class OfProject;
  struct Looked {
    bool is_alive = true;
    std::optional<PeerClock::time_point> at = {};  ///< When the last look began; none yet.
    bool is_wanted = false;                        ///< Asked for since.
  };

  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_.number(), &one, sizeof one);
  }

  Result<void> connect() {
    auto opened = store::postgres::Connection::open(address_, peer_timeouts);
    if (!opened.ok()) return std::move(opened).error();
    // What is lost with the database's machine is renewed within a second.
    auto set = (*opened)->run("SELECT set_config('synchronous_commit', 'off', false)");
    if (!set.ok()) return std::move(set).error();
    auto heard = (*opened)->run(fmt::format("LISTEN \"{}\"", channel_));
    if (!heard.ok()) return std::move(heard).error();
    connection_ = *std::move(opened);
    return {};
  }

  void work() {
    bool was_away = false;
    while (true) {
      if (is_stopping()) return;
      Result<void> done = connection_ ? Result<void>() : connect();
      if (done.ok()) done = do_what_is_wanted();
      if (done.ok()) {
        was_away = false;
        wait();
        continue;
      }
      if (!was_away) log(done.error().to_string());
      was_away = true;
      connection_.reset();
      pause();
    }
  }

  bool is_stopping() {
    const std::lock_guard lock(mutex_);
    return is_stopping_;
  }

  void log(std::string_view message) const {
    if (options_.log) options_.log(fmt::format("other servers cannot be asked: {}", message));
  }

  Result<void> do_what_is_wanted() {
    if (auto renewed = put_leases(); !renewed.ok()) return renewed;
    if (auto looked = look(); !looked.ok()) return looked;
    if (auto told = tell(); !told.ok()) return told;
    return hear();
  }

  /// One statement for all of them.
  Result<void> put_leases() {
    std::optional<std::vector<LeasedEngine>> leased;
    {
      const std::lock_guard lock(mutex_);
      leased = std::exchange(leased_, std::nullopt);
    }
    if (!leased) return {};
    store::postgres::Array projects(store::postgres::Array::Of::text);
    store::postgres::Array engines(store::postgres::Array::Of::text);
    store::postgres::Array left(store::postgres::Array::Of::bigint);
    store::postgres::Array denying(store::postgres::Array::Of::bigint);
    for (const LeasedEngine& engine : *leased) {
      projects.add(engine.project);
      engines.add(store::postgres::column_text(engine.engine));
      left.add((engine.left + options_.slack).count());
      denying.add(std::int64_t{engine.deny_unconnected ? 1 : 0});
    }
    const auto put = connection_->run(
        fmt::format(
            "WITH mine AS (SELECT DISTINCT ON (project, engine) project, engine, left_ms, denying"
            " FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])"
            " AS given (project, engine, left_ms, denying)),"
            " gone AS (DELETE FROM {0} WHERE (server = $1::text AND (project, engine) NOT IN"
            " (SELECT project, engine FROM mine)) OR (server <> $1::text AND lease_until < {1} - "
            "60000))"
            " INSERT INTO {0} AS there (project, engine, server, lease_until, deny_unconnected)"
            " SELECT project, engine, $1::text, {1} + left_ms, denying = 1 FROM mine"
            " ON CONFLICT (project, engine, server) DO UPDATE SET"
            " lease_until = excluded.lease_until, deny_unconnected = excluded.deny_unconnected",
            table_, now_ms),
        store::postgres::Values().add(server_).add(projects).add(engines).add(left).add(denying));
    if (!put.ok()) return put.error();
    return {};
  }

  /// Who of those that were asked for has a lease elsewhere.
  Result<void> look() {
    const PeerClock::time_point began = PeerClock::now();
    std::vector<Key> wanted;
    {
      const std::lock_guard lock(mutex_);
      for (auto& [key, looked] : looked_) {
        if (std::exchange(looked.is_wanted, false)) wanted.push_back(key);
      }
    }
    if (wanted.empty()) return {};
    store::postgres::Array projects(store::postgres::Array::Of::text);
    store::postgres::Array engines(store::postgres::Array::Of::text);
    for (const Key& key : wanted) {
      projects.add(key.project);
      engines.add(store::postgres::column_text(key.engine));
    }
    const auto rows = connection_->run(
        fmt::format("SELECT t.project, t.engine FROM unnest($1::text[], $2::text[])"
                    " AS wanted (project, engine) JOIN {} t USING (project, engine)"
                    " WHERE t.server <> $3::text AND t.lease_until > {}",
                    table_, now_ms),
        store::postgres::Values().add(projects).add(engines).add(server_));
    if (!rows.ok()) return rows.error();
    std::set<Key> alive;
    for (int row = 0; row < rows->size(); ++row) {
      alive.insert({.project = std::string(rows->text(row, 0)),
                    .engine = store::postgres::text_of(rows->text(row, 1))});
    }
    keep(wanted, alive, began);
    return {};
  }

  void keep(const std::vector<Key>& wanted, const std::set<Key>& alive,
            PeerClock::time_point began) {
    const std::lock_guard lock(mutex_);
    for (const Key& key : wanted) {
      Looked& looked = looked_[key];
      looked.is_alive = alive.contains(key);
      looked.at = began;
    }
    std::erase_if(looked_, [&](const auto& one) {
      return !one.second.is_wanted && one.second.at && began - *one.second.at > forgotten_after;
    });
  }

  /// Tells the servers that have the engines.
  Result<void> tell() {
    std::vector<PeerRecall> all;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [key, ids] : recalls_) {
        all.push_back({.project = key.project,
                       .homes = {.engine = key.engine, .ids = {ids.begin(), ids.end()}}});
      }
      recalls_.clear();
    }
    if (all.empty()) return {};
    const std::string sql = fmt::format(
        "SELECT count(pg_notify('limitr_' || server, $3::text)) FROM {} WHERE project = $1::text"
        " AND engine = $2::text AND server <> $4::text AND lease_until > {}",
        table_, now_ms);
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (const std::string& piece : notices_of(all[i], i)) {
        auto sent =
            connection_->send(sql, store::postgres::Values()
                                       .add(all[i].project)
                                       .add(store::postgres::column_text(all[i].homes.engine))
                                       .add(piece)
                                       .add(server_));
        if (!sent.ok()) return sent;
      }
    }
    const auto told = connection_->finish();
    if (!told.ok()) return told.error();
    return {};
  }

  Result<void> hear() {
    const auto notified = connection_->take_notified();
    if (!notified.ok()) return notified.error();
    for (const store::postgres::Notified& notice : *notified) {
      const auto recall = notices_.add(notice.payload);
      if (recall && options_.on_recall) options_.on_recall(recall->project, recall->homes);
    }
    return {};
  }

  /// Until something is wanted, or heard.
  void wait() const {
    ::pollfd waiting[] = {{.fd = wake_.number(), .events = POLLIN, .revents = 0},
                          {.fd = connection_->socket(), .events = POLLIN, .revents = 0}};
    ::poll(waiting, 2, -1);
    take_wake();
  }

  /// Before the next try to connect; a stop ends it.
  void pause() {
    const auto end = PeerClock::now() + reconnect_pause;
    while (!is_stopping()) {
      const auto left = std::chrono::ceil<Millis>(end - PeerClock::now());
      if (left <= Millis(0)) return;
      ::pollfd waiting = {.fd = wake_.number(), .events = POLLIN, .revents = 0};
      ::poll(&waiting, 1, static_cast<int>(left.count()));
      take_wake();
    }
  }

  void take_wake() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto read = ::read(wake_.number(), &count, sizeof count);
  }

  const PeersOptions options_;
  const store::postgres::Address address_;
  const std::string table_;
  const std::string server_;  // Of this object: two are never the same.
  const std::string channel_;
  const env::Descriptor wake_;
  std::unique_ptr<store::postgres::Connection> connection_;  // the thread's
  RecallNotices notices_;                                    // likewise

  std::mutex mutex_;
  bool is_stopping_ = false;  // guarded by mutex_, like all of these
  std::optional<std::vector<LeasedEngine>> leased_;
  std::map<Key, Looked> looked_;
  std::map<Key, std::set<std::string>> recalls_;
  std::map<std::string, std::unique_ptr<OfProject>, std::less<>> projects_;
  std::thread thread_;
};

class PostgresPeers::Impl::OfProject final : public Peers {
public:
  OfProject(Impl& all, std::string_view project) : all_(all), project_(project) {}

  bool is_alive(std::string_view engine) const override {
    return all_.is_alive({project_, std::string(engine)});
  }
  void recall(const wire::HomeOf& homes) override {
    all_.recall({project_, homes.engine}, homes.ids);
  }

private:
  Impl& all_;
  const std::string project_;
};

Peers& PostgresPeers::Impl::of(std::string_view project) {
  const std::lock_guard lock(mutex_);
  auto found = projects_.find(project);
  if (found == projects_.end()) {
    found = projects_.emplace(project, std::make_unique<OfProject>(*this, project)).first;
  }
  return *found->second;
}

PostgresPeers::PostgresPeers(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresPeers::~PostgresPeers() = default;

Result<std::unique_ptr<PostgresPeers>> PostgresPeers::open(PeersOptions options) {
  Result<store::postgres::Address> address = store::postgres::read_address(options.store_url);
  if (!address.ok()) return std::move(address).error();
  auto impl = std::make_unique<Impl>(std::move(options), *std::move(address));
  if (auto started = impl->start(); !started.ok()) return std::move(started).error();
  return std::unique_ptr<PostgresPeers>(new PostgresPeers(std::move(impl)));
}

Peers& PostgresPeers::of(std::string_view project) { return impl_->of(project); }

void PostgresPeers::renew(std::vector<LeasedEngine> engines) { impl_->renew(std::move(engines)); }

}  // namespace limitr::server
