// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/limitr.h>

// Where whole engines keep their state, and what tests of them share.
namespace limitr::system_tests {

/// A store of its own, behind which a server may stand. The server is one for the whole process, in
/// which only one site is killed at a time.
class Site {
public:
  Site() = default;
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;
  virtual ~Site() = default;

  virtual std::string url() const = 0;

  /// Of other stores beside it, each named by what stands for `name`.
  virtual std::string url_of_many(const std::string& name) const = 0;

  // Of those with a server.

  /// As by kill -9, and again on the data that is there.
  virtual void kill() {}
  virtual void start() {}
  /// Where it listens.
  virtual std::string socket() const { return {}; }
  /// The name that its socket has in any folder, and the URL through a socket in that folder.
  virtual std::string socket_name() const { return {}; }
  virtual std::string url_through(const std::string&) const { return url(); }
  /// Cuts everybody who is connected.
  virtual void cut() {}
};

/// Kinds of stores that outlive a process: sqlite, file and, where they are built, redis,
/// redis_cluster, postgres.
std::vector<std::string> lasting_kinds();
/// Those with a server.
std::vector<std::string> server_kinds();

/// A new site of that kind. An owner, or sharer, that falls silent for `lease` is taken to be dead;
/// files know at once.
std::unique_ptr<Site> make_site(const std::string& kind, Millis lease = Millis(10'000));

/// Opens an engine, trying again where the store is owned or cannot be reached. Ends the process
/// where it cannot be had within a minute.
Limitr open_engine(std::string_view policy, const Options& options);

/// Tries until it is so; false where it is not within a minute.
bool comes_true(const std::function<bool()>& condition);

/// What a read says; -1: nothing, -2: it failed.
double number(const Read<double>& read);

}  // namespace limitr::system_tests
