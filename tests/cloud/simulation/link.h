// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actor.h"
#include "servers.h"
#include "store/store.h"
#include "wire/messages.h"

namespace limitr::simulation {

/// What one engine knows of the servers, in place of the program's own connection. Everything that
/// waits does so in the engine's actor.
class Link final : public store::Store, public store::Homes, public Client {
public:
  Link(World& world, Servers& servers, Actor& actor, std::string engine, double share, bool denies,
       std::string local_file)
      : world_(world),
        servers_(servers),
        actor_(actor),
        engine_(std::move(engine)),
        share_(share),
        denies_(denies),
        local_file_(std::move(local_file)) {}

  /// Connects, and again when the connection is gone, until the process dies.
  void live();
  /// The process dies: nothing it waits for comes any more.
  void die() {
    is_dead_ = true;
    leave();
  }
  bool is_dead() const { return is_dead_; }
  /// The process stands still until that time: what is done meanwhile is done after it.
  void stand_still(Millis until) { stands_until_ = until; }
  bool stands_still() const { return world_.now() < stands_until_; }
  /// The connection breaks.
  void leave();

  // store::Store

  Result<store::Opened> open(store::Access access, const store::Owner& owner) override;
  Result<void> commit(const store::Group& group) override;
  Result<std::vector<store::Exchanged>> exchange(
      std::span<const store::Transaction> transactions) override;
  store::Homes* homes() override { return this; }
  Result<std::uint64_t> last_group() override { return 0; }
  Result<std::vector<store::StoredCustomer>> read(std::span<const std::string> ids) override;
  Result<void> scan_after(const std::optional<std::string>& after,
                          const std::function<bool(store::StoredCustomer)>& visit) override;
  Result<store::Status> status() override { return store::Status{}; }
  Result<void> close() override;

  // store::Homes

  std::string_view engine() const override { return engine_; }
  bool is_leased() const override { return was_opened_ && world_.now() < leased_until_; }
  bool is_connected() const override { return session_ != 0 && is_greeted_; }
  Millis running_time() const override;
  void pause(Millis time) override;
  bool is_stepped() const override { return true; }
  double room_share() const override { return share_; }
  bool denies_unconnected() const override { return denies_; }
  std::string local_file() const override { return local_file_; }
  std::vector<store::StoredCustomer> take_changed() override { return std::exchange(changed_, {}); }
  Result<std::vector<std::string>> recall(std::span<const store::Home> homes) override;
  void on_recall(std::function<void(std::vector<std::string>)> handler) override {
    recalled_ = std::move(handler);
  }

  // Client

  void received(server::SessionId session, std::string message) override;
  void disconnected(server::SessionId session) override;

private:
  using Reply = decltype(wire::Reply::body);

  void connect();
  void stay_alive();
  void take(wire::Reply reply);
  Result<Reply> ask(decltype(wire::Request::body) body);
  std::uint64_t send(decltype(wire::Request::body) body);

  World& world_;
  Servers& servers_;
  Actor& actor_;
  const std::string engine_;
  const double share_;
  const bool denies_;
  const std::string local_file_;
  std::vector<store::StoredCustomer> changed_;
  server::SessionId session_ = 0;  // 0: there is no connection
  Millis connected_at_{0};
  bool is_greeted_ = false;
  bool was_opened_ = false;
  bool is_dead_ = false;
  Millis stands_until_{0};
  Millis leased_until_{0};
  mutable std::int64_t looks_when_dead_ = 0;
  std::uint64_t n_ = 0;
  std::map<std::uint64_t, Millis> sent_at_;  // of those that extend the lease
  std::map<std::uint64_t, std::optional<Reply>> waiting_;
  std::function<void(std::vector<std::string>)> recalled_;
};

}  // namespace limitr::simulation
