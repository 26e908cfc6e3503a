// SPDX-License-Identifier: Apache-2.0
#include "servers.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "store/memory_store.h"

namespace limitr::simulation {
namespace {

using server::Moment;
using server::SessionId;

std::string new_name() {
  static std::atomic<std::uint64_t> last{0};
  return fmt::format("simulation {}", ++last);
}

std::unique_ptr<server::Rows> open_rows(const std::string& name) {
  auto rows =
      std::make_unique<server::Rows>(store::memory_store(name), store::Access::share,
                                     store::Owner{.host = "simulated", .process = 1, .since = {}});
  if (!rows->open().ok()) std::abort();
  return rows;
}

// A record without what a rule rests on.
std::string without(const std::string& record, Bug bug) {
  Json json = Json::parse(record);
  if (!json.contains("cloud")) return record;
  Json& cloud = json["cloud"];
  if (bug == Bug::room && cloud.contains("home")) {
    cloud["home"]["room"] = {{"meters", Json::object()}, {"caps", Json::object()}};
  }
  if (bug == Bug::numbering) {
    cloud["by"] = Json::array();
    if (cloud.contains("home")) cloud["home"]["report"] = 0;
    for (Json& doubt : cloud["doubts"]) doubt["report"] = 0;
  }
  return json.dump();
}

}  // namespace

class Servers::OtherServers final : public server::Peers {
public:
  OtherServers(Servers& all, std::size_t self) : all_(all), self_(self) {}

  bool is_alive(std::string_view engine) const override {
    for (std::size_t i = 0; i < all_.servers_.size(); ++i) {
      if (i == self_ || !all_.servers_[i].hub) continue;
      // One that has just started cannot tell of engines it does not know; we can for it.
      const Json known = all_.servers_[i].hub->engines(all_.moment());
      for (const Json& one : known) {
        if (one["engine"] == engine && one["lease"].get<std::int64_t>() > 0) return true;
      }
    }
    return false;
  }
  void recall(const wire::HomeOf& homes) override {
    for (std::size_t i = 0; i < all_.servers_.size(); ++i) {
      if (i == self_) continue;
      all_.world_.after(all_.delay(), [all = &all_, i, homes] {
        if (!all->servers_[i].hub) return;
        all->servers_[i].hub->recalled_by_peer(homes, all->moment());
        all->carry_out(i);
      });
    }
  }

private:
  Servers& all_;
  const std::size_t self_;
};

Servers::Servers(World& world, std::size_t count, Bug bug)
    : world_(world), bug_(bug), name_(new_name()), servers_(count), auditor_(open_rows(name_)) {
  for (std::size_t i = 0; i < count; ++i) {
    servers_[i].peers = std::make_unique<OtherServers>(*this, i);
    restart(i);
  }
}

Servers::~Servers() = default;

Moment Servers::moment() const { return {.steady = world_.now(), .wall = Timestamp(world_.now())}; }

void Servers::restart(std::size_t index) {
  Server& server = servers_[index];
  if (server.hub) return;
  ++server.life;
  server.rows = open_rows(name_);
  server.hub = std::make_unique<server::Hub>(
      server::HubOptions{.project = "default", .lease = bug_ == Bug::lease ? Millis(1) : lease},
      moment(), server.peers.get());
  server.hub->set_policy({.version = 1, .document = "{}"});
}

void Servers::crash(std::size_t index) {
  Server& server = servers_[index];
  server.hub.reset();
  server.rows.reset();
  for (const auto& [id, session] : sessions_) {
    if (session.server == index) end(id);
  }
}

// The client hears of it in a while.
void Servers::end(SessionId id) {
  Client* client = sessions_.at(id).client;
  world_.after(delay(), [this, id, client] {
    if (sessions_.erase(id) != 0) client->disconnected(id);
  });
}

bool Servers::is_live(SessionId id) const {
  const auto session = sessions_.find(id);
  if (session == sessions_.end()) return false;
  const Server& server = servers_[session->second.server];
  return server.hub != nullptr && server.life == session->second.life;
}

SessionId Servers::connect(Client& client) {
  std::vector<std::size_t> up;
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    if (is_up(i)) up.push_back(i);
  }
  if (up.empty()) return 0;
  const Cut cut = cuts_[&client];
  if (cut.to_server || cut.from_server) return 0;
  const std::size_t chosen =
      up[static_cast<std::size_t>(world_.between(0, static_cast<std::int64_t>(up.size()) - 1))];
  const SessionId id = ++last_session_;
  sessions_[id] = {chosen, servers_[chosen].life, &client};
  server::Caller caller;
  caller.token_id = "simulated";
  caller.project = "default";
  caller.scopes.engine = true;
  servers_[chosen].hub->connected(id, caller, moment());
  return id;
}

void Servers::disconnect(SessionId id) {
  world_.after(delay(), [this, id] {
    const auto session = sessions_.find(id);
    if (session == sessions_.end()) return;
    if (is_live(id)) servers_[session->second.server].hub->disconnected(id);
    sessions_.erase(id);
  });
}

void Servers::cut(const Client& client, bool to_server, bool from_server) {
  cuts_[&client] = {to_server, from_server};
}

void Servers::send(SessionId id, std::string message) {
  const auto session = sessions_.find(id);
  if (session == sessions_.end() || cuts_[session->second.client].to_server) return;
  if (world_.chance(faults_.loss)) return;
  const int times = world_.chance(faults_.twice) ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    world_.after(delay(), [this, id, message] { deliver(id, message); });
  }
}

void Servers::deliver(SessionId id, const std::string& message) {
  if (!is_live(id)) return;
  const std::size_t server = sessions_.at(id).server;
  Result<wire::Request> request = wire::decode_request(message);
  if (!request.ok()) std::abort();
  servers_[server].hub->received(id, *std::move(request), moment());
  carry_out(server);
}

void Servers::carry_out(std::size_t index) {
  for (server::Output& output : servers_[index].hub->take()) {
    if (auto* send = std::get_if<server::Send>(&output)) {
      answer(send->session, wire::encode(send->reply));
    } else if (auto* cut = std::get_if<server::Cut>(&output)) {
      if (sessions_.contains(cut->session)) end(cut->session);
    } else {
      const std::uint64_t life = servers_[index].life;
      world_.after(delay(), [this, index, life, work = std::get<server::Work>(output)] {
        if (servers_[index].hub && servers_[index].life == life) do_work(index, work);
      });
    }
  }
}

void Servers::answer(SessionId id, std::string message) {
  const auto session = sessions_.find(id);
  if (session == sessions_.end() || cuts_[session->second.client].from_server) return;
  if (world_.chance(faults_.loss)) return;
  const int times = world_.chance(faults_.twice) ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    world_.after(delay(), [this, id, message] {
      const auto found = sessions_.find(id);
      if (found != sessions_.end()) found->second.client->received(id, message);
    });
  }
}

void Servers::do_work(std::size_t index, const server::Work& work) {
  Server& server = servers_[index];
  decltype(wire::Reply::body) reply;
  if (const auto* read = std::get_if<wire::Read>(&work.what)) {
    reply = wire::Rows{.rows = *server.rows->read(read->ids)};
  } else if (const auto* exchange = std::get_if<wire::Exchange>(&work.what)) {
    std::vector<store::Transaction> transactions = exchange->transactions;
    for (store::Transaction& transaction : transactions) {
      for (store::Part& part : transaction.parts) {
        if (part.write && part.write->record && bug_ != Bug::none) {
          part.write->record = without(*part.write->record, bug_);
        }
        if (bug_ != Bug::fencing) continue;
        const auto now = *server.rows->read({&part.id, 1});
        if (!now.empty() && part.write) part.version = now.front().version;
      }
    }
    const std::vector<server::SessionId> from(transactions.size(), work.session);
    auto results = *server.rows->exchange(std::move(transactions), from);
    reply = wire::Exchangeds{std::move(results)};
    if (written_) written_();
  } else {
    reply = wire::Failed{{.code = ErrorCode::invalid_argument, .message = "not simulated"}};
  }
  server.hub->finished(work.session, work.n, std::move(reply), moment());
  for (server::ChangedFor& changed : server.rows->take_changed()) {
    server.hub->changed(changed.engine, {std::move(changed.rows)});
  }
  carry_out(index);
}

std::vector<store::StoredCustomer> Servers::rows() { return auditor_->scan("", 1000)->rows; }

void Servers::put(const std::string& id, const std::string& record) {
  store::CustomerWrite write;
  write.id = id;
  write.record = record;
  store::Part part{.id = id, .version = 0};
  part.write = write;
  const store::Transaction transaction{.number = 1, .parts = {part}};
  if (!(*auditor_->exchange({transaction})).front().is_written) std::abort();
}

}  // namespace limitr::simulation
