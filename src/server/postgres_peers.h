// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/json.h>
#include <limitr/result.h>
#include <limitr/time.h>
#include "server/hub.h"

namespace limitr::server {

/// An engine whose lease runs at this server.
struct LeasedEngine {
  std::string project;
  std::string engine;
  Millis left{0};  ///< Of its lease.
  bool deny_unconnected = true;
};

struct PeersOptions {
  std::string store_url;  ///< Of PostgreSQL. REQUIRES: a Control was opened on it.
  /// How long an answer about an engine is good for.
  Millis fresh{200};
  /// By how much a lease runs longer in the database: as long as renew() may be late.
  Millis slack{1000};
  /// By a thread of its own: a server that has the engines' customers asks for them.
  std::function<void(const std::string& project, const wire::HomeOf& homes)> on_recall = {};
  std::function<void(std::string_view message)> log = {};
};

/// The other servers on the same PostgreSQL schema, over a table there and notices between them.
///
/// INVARIANTS
/// 1. An engine is called alive until a look at the database that began after it was asked for says
///    otherwise. So nobody is lost because the database cannot be reached, or has not been asked.
/// 2. Leases end by the database's clock, the same for all servers.
/// 3. A recall that gets lost is no loss: who wants a customer asks again.
class PostgresPeers {
public:
  /// Errors: those of a PostgreSQL store. Later it is tried again when the database is away.
  static Result<std::unique_ptr<PostgresPeers>> open(PeersOptions options);
  PostgresPeers(const PostgresPeers&) = delete;
  PostgresPeers& operator=(const PostgresPeers&) = delete;
  /// The leases of this server's engines run on: they go to other servers now.
  ~PostgresPeers();

  /// What a project's hub asks; it lives as long as this does. Threads: any; never blocks.
  Peers& of(std::string_view project);
  /// All whose lease runs here, of all projects: wanted every second, and when one comes or says
  /// bye. The others are forgotten. Threads: any; never blocks.
  void renew(std::vector<LeasedEngine> engines);

private:
  class Impl;
  explicit PostgresPeers(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace limitr::server
