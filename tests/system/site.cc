// SPDX-License-Identifier: Apache-2.0
#include "site.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "backends.h"

#ifdef LIMITR_REDIS
#include "redis_cluster.h"
#include "redis_server.h"
#endif
#ifdef LIMITR_POSTGRES
#include "postgres_server.h"
#endif

namespace limitr::system_tests {
namespace {

int next_number() {
  static int number = 0;
  return ++number;
}

class FileSite final : public Site {
public:
  explicit FileSite(std::string kind) : kind_(std::move(kind)) {}
  std::string url() const override { return url_of_many("state"); }
  std::string url_of_many(const std::string& name) const override {
    return kind_ + ":" + folder_.file(name);
  }

private:
  const std::string kind_;
  const TestFolder folder_;
};

#ifdef LIMITR_REDIS
class RedisSite final : public Site {
public:
  explicit RedisSite(Millis lease)
      : prefix_("site" + std::to_string(next_number())), lease_(lease) {}
  std::string url() const override { return url_of(socket(), prefix_); }
  std::string url_of_many(const std::string& name) const override {
    return url_of(socket(), prefix_ + "_" + name);
  }
  void kill() override { server().kill(); }
  void start() override { server().start(); }
  std::string socket() const override { return server().socket(); }
  std::string socket_name() const override { return "redis.sock"; }
  std::string url_through(const std::string& folder) const override {
    return url_of(folder + "/" + socket_name(), prefix_);
  }
  void cut() override { server().ask({"CLIENT", "KILL", "TYPE", "normal"}); }

private:
  static store::RedisServer& server() { return store::RedisServer::shared(); }
  std::string url_of(const std::string& socket, const std::string& prefix) const {
    return "redis:///0?socket=" + socket + "&prefix=" + prefix +
           "&lease=" + std::to_string(lease_.count());
  }

  const std::string prefix_;
  const Millis lease_;
};

// What is killed is one node after the other, and what is connected through is the first one alone.
class RedisClusterSite final : public Site {
public:
  explicit RedisClusterSite(Millis lease)
      : prefix_("site" + std::to_string(next_number())), lease_(lease) {}
  std::string url() const override { return url_of(socket(), prefix_); }
  std::string url_of_many(const std::string& name) const override {
    return url_of(socket(), prefix_ + "_" + name);
  }
  void kill() override { cluster().node(++killed_ % store::RedisCluster::size).kill(); }
  void start() override {
    cluster().node(killed_ % store::RedisCluster::size).start();
    cluster().wait_until_ok();
  }
  std::string socket() const override { return cluster().node(0).socket(); }
  std::string socket_name() const override { return "redis.sock"; }
  std::string url_through(const std::string& folder) const override {
    return url_of(folder + "/" + socket_name(), prefix_);
  }
  void cut() override {
    for (std::size_t i = 0; i < store::RedisCluster::size; ++i) {
      cluster().node(i).ask({"CLIENT", "KILL", "TYPE", "normal"});
    }
  }

private:
  static store::RedisCluster& cluster() { return store::RedisCluster::shared(); }
  std::string url_of(const std::string& socket, const std::string& prefix) const {
    return "redis:///0?socket=" + socket + "&prefix=" + prefix +
           "&lease=" + std::to_string(lease_.count());
  }

  const std::string prefix_;
  const Millis lease_;
  std::size_t killed_ = 0;
};
#endif

#ifdef LIMITR_POSTGRES
class PostgresSite final : public Site {
public:
  explicit PostgresSite(Millis lease)
      : schema_("site_" + std::to_string(next_number())), lease_(lease) {
    (void)server();
  }
  std::string url() const override { return url_of(server().folder(), schema_); }
  std::string url_of_many(const std::string& name) const override {
    return url_of(server().folder(), schema_ + "_" + name);
  }
  void kill() override { server().kill(); }
  void start() override { server().start(); }
  std::string socket() const override { return server().folder() + "/" + socket_name(); }
  std::string socket_name() const override { return ".s.PGSQL.5432"; }
  std::string url_through(const std::string& folder) const override {
    return url_of(folder, schema_);
  }
  void cut() override {
    store::PostgresSession(server().url())
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
  }

private:
  static store::PostgresServer& server() { return store::PostgresServer::shared(); }
  std::string url_of(const std::string& folder, const std::string& schema) const {
    return "postgres://postgres@/postgres?host=" + folder + "&schema=" + schema +
           "&lease=" + std::to_string(lease_.count());
  }

  const std::string schema_;
  const Millis lease_;
};
#endif

}  // namespace

std::vector<std::string> lasting_kinds() {
  std::vector<std::string> kinds = {"sqlite", "file"};
  const std::vector<std::string> servers = server_kinds();
  kinds.insert(kinds.end(), servers.begin(), servers.end());
  return kinds;
}

std::vector<std::string> server_kinds() {
  return {
#ifdef LIMITR_REDIS
      "redis",
      "redis_cluster",
#endif
#ifdef LIMITR_POSTGRES
      "postgres",
#endif
  };
}

std::unique_ptr<Site> make_site(const std::string& kind, [[maybe_unused]] Millis lease) {
#ifdef LIMITR_REDIS
  if (kind == "redis") return std::make_unique<RedisSite>(lease);
  if (kind == "redis_cluster") return std::make_unique<RedisClusterSite>(lease);
#endif
#ifdef LIMITR_POSTGRES
  if (kind == "postgres") return std::make_unique<PostgresSite>(lease);
#endif
  return std::make_unique<FileSite>(kind);
}

Limitr open_engine(std::string_view policy, const Options& options) {
  std::optional<Error> why;
  std::optional<Limitr> engine;
  comes_true([&] {
    Result<Limitr> opened = Limitr::open(policy, options);
    if (opened.ok()) {
      engine.emplace(*std::move(opened));
      return true;
    }
    why = opened.error();
    return why->code != ErrorCode::store_owned && why->code != ErrorCode::store_unavailable;
  });
  if (engine) return *std::move(engine);
  // In a child no test could go on either.
  std::fprintf(stderr, "%s cannot be opened: %s\n", options.store.c_str(),
               why->to_string().c_str());
  std::abort();
}

bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // Leaves the machine to the others.
  }
  return true;
}

double number(const Read<double>& read) { return read.ok() ? read->value_or(-1) : -2; }

}  // namespace limitr::system_tests
