// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/hub.h"
#include "server/rows.h"
#include "world.h"

namespace limitr::simulation {

/// A safety rule that is switched off, to see that the simulation finds it.
enum class Bug : std::uint8_t {
  none,
  room,         ///< What a home may use is not set aside.
  incarnation,  ///< A restarted engine takes the name of the one before it.
  numbering,    ///< Whoever wrote a version, and which report it was, is not told.
  fencing,      ///< A version is replaced by whoever comes, whatever version they name.
  lease,        ///< An engine is called lost while its lease runs.
};

/// What carries messages of one engine.
class Client {
public:
  virtual ~Client() = default;
  virtual void received(server::SessionId session, std::string message) = 0;
  virtual void disconnected(server::SessionId session) = 0;
};

struct NetworkFaults {
  double loss = 0;
  double twice = 0;
  Millis longest_delay{5};
};

/// One or more servers over one store, as the program has them but for their sockets.
class Servers {
public:
  Servers(World& world, std::size_t count, Bug bug);
  ~Servers();

  static constexpr Millis lease{3000};

  /// A session at a server that is up; 0: none is.
  server::SessionId connect(Client& client);
  /// Something is sent by a client; it may be lost, late, or come twice.
  void send(server::SessionId session, std::string message);
  /// The client has left; the server hears of it in a while.
  void disconnect(server::SessionId session);

  void crash(std::size_t server);
  void restart(std::size_t server);
  std::size_t count() const { return servers_.size(); }
  bool is_up(std::size_t server) const { return servers_[server].hub != nullptr; }
  /// From the client to its server, or back, nothing passes.
  void cut(const Client& client, bool to_server, bool from_server);
  NetworkFaults& faults() { return faults_; }

  /// What the store has, past all servers.
  std::vector<store::StoredCustomer> rows();
  /// Called when the store may have new versions.
  void on_written(std::function<void()> look) { written_ = std::move(look); }
  void put(const std::string& id, const std::string& record);

private:
  class OtherServers;
  struct Server {
    std::unique_ptr<OtherServers> peers;
    std::unique_ptr<server::Hub> hub;
    std::unique_ptr<server::Rows> rows;
    std::uint64_t life = 0;
  };
  struct Session {
    std::size_t server;
    std::uint64_t life;
    Client* client;
  };
  struct Cut {
    bool to_server = false;
    bool from_server = false;
  };

  server::Moment moment() const;
  void deliver(server::SessionId session, const std::string& message);
  void carry_out(std::size_t server);
  void do_work(std::size_t server, const server::Work& work);
  void answer(server::SessionId session, std::string message);
  void end(server::SessionId session);
  bool is_live(server::SessionId session) const;
  Millis delay() { return Millis(world_.between(0, faults_.longest_delay.count())); }

  World& world_;
  const Bug bug_;
  const std::string name_;
  NetworkFaults faults_;
  std::vector<Server> servers_;
  std::map<server::SessionId, Session> sessions_;
  std::map<const Client*, Cut> cuts_;
  server::SessionId last_session_ = 0;
  std::unique_ptr<server::Rows> auditor_;
  std::function<void()> written_;
};

}  // namespace limitr::simulation
