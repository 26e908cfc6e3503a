// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <algorithm>
#include <utility>

namespace limitr::simulation {
namespace {

constexpr Millis reconnect_every{50};
constexpr Millis answer_timeout{200};
constexpr Millis greeting_timeout{400};

Error gone() {
  return {.code = ErrorCode::unconnected, .message = "there is no connection to the server"};
}
Error unknown() {
  return {.code = ErrorCode::outcome_unknown, .message = "the connection broke before the answer"};
}

}  // namespace

void Link::live() {
  if (is_dead_) return;
  if (session_ != 0 && !is_greeted_ && world_.now() >= connected_at_ + greeting_timeout) leave();
  if (session_ == 0) connect();
  if (session_ != 0 && is_greeted_) stay_alive();
  world_.after(session_ == 0 ? reconnect_every : Servers::lease / 6, [this] { live(); });
}

void Link::connect() {
  is_greeted_ = false;
  connected_at_ = world_.now();
  session_ = servers_.connect(*this);
  if (session_ == 0) return;
  send(wire::Hello{.engine = engine_, .limitr = "simulated"});
}

void Link::stay_alive() { send(wire::Renew{}); }

void Link::leave() {
  if (session_ == 0) return;
  servers_.disconnect(session_);
  session_ = 0;
  is_greeted_ = false;
}

std::uint64_t Link::send(decltype(wire::Request::body) body) {
  const std::uint64_t n = ++n_;
  sent_at_[n] = world_.now();
  servers_.send(session_, wire::encode(wire::Request{.n = n, .body = std::move(body)}));
  return n;
}

void Link::disconnected(server::SessionId session) {
  if (session != session_) return;
  session_ = 0;
  is_greeted_ = false;
}

void Link::received(server::SessionId session, std::string message) {
  if (is_dead_ || session != session_) return;
  if (stands_still()) {
    world_.after(stands_until_ - world_.now(),
                 [this, session, message] { received(session, message); });
    return;
  }
  Result<wire::Reply> reply = wire::decode_reply(message);
  if (!reply.ok()) std::abort();
  take(*std::move(reply));
}

void Link::take(wire::Reply reply) {
  if (auto* customers = std::get_if<wire::RecallCustomers>(&reply.body)) {
    if (recalled_) recalled_(std::move(customers->ids));
    return;
  }
  if (auto* changed = std::get_if<wire::ChangedRows>(&reply.body)) {
    changed_ = std::move(changed->rows);
    return;
  }
  if (!reply.n) return;
  if (const auto sent = sent_at_.find(*reply.n); sent != sent_at_.end()) {
    // A fifth early, from when it was sent.
    leased_until_ = std::max(leased_until_, sent->second + Servers::lease * 4 / 5);
    sent_at_.erase(sent);
  }
  if (std::holds_alternative<wire::Welcome>(reply.body)) is_greeted_ = true;
  if (const auto waiting = waiting_.find(*reply.n); waiting != waiting_.end()) {
    if (!waiting->second) waiting->second = std::move(reply.body);
  }
}

Result<Link::Reply> Link::ask(decltype(wire::Request::body) body) {
  if (is_dead_ || !is_connected()) return gone();
  const server::SessionId session = session_;
  const std::uint64_t n = send(std::move(body));
  waiting_[n] = std::nullopt;
  const Millis deadline = world_.now() + answer_timeout;
  world_.after(answer_timeout, [] {});
  actor_.block([&] {
    return waiting_[n] || is_dead_ ||
           (!stands_still() && (session_ != session || world_.now() >= deadline));
  });
  std::optional<Reply> reply = std::move(waiting_[n]);
  waiting_.erase(n);
  if (is_dead_) return unknown();
  if (!reply) {
    if (session_ == session) leave();
    return unknown();
  }
  if (auto* failed = std::get_if<wire::Failed>(&*reply)) return failed->error;
  return *std::move(reply);
}

Result<store::Opened> Link::open(store::Access, const store::Owner&) {
  // An engine is made before its link comes to live.
  const bool is_first = !std::exchange(was_opened_, true);
  if (is_dead_ || (!is_first && !is_connected())) return gone();
  return store::Opened{};
}

Result<void> Link::commit(const store::Group&) { return {}; }

Result<std::vector<store::Exchanged>> Link::exchange(
    std::span<const store::Transaction> transactions) {
  Result<Reply> reply = ask(wire::Exchange{{transactions.begin(), transactions.end()}});
  if (!reply.ok()) return std::move(reply).error();
  return std::get<wire::Exchangeds>(*reply).results;
}

Result<std::vector<store::StoredCustomer>> Link::read(std::span<const std::string> ids) {
  Result<Reply> reply = ask(wire::Read{{ids.begin(), ids.end()}});
  if (!reply.ok()) return gone();
  return std::get<wire::Rows>(*reply).rows;
}

Result<void> Link::scan_after(const std::optional<std::string>&,
                              const std::function<bool(store::StoredCustomer)>&) {
  return {};
}

Result<void> Link::close() {
  if (!is_dead_ && is_connected()) (void)ask(wire::Bye{});
  return {};
}

Result<std::vector<std::string>> Link::recall(std::span<const store::Home> homes) {
  wire::RecallHomes recall;
  for (const store::Home& home : homes) recall.homes.push_back({home.engine, {home.customer}});
  Result<Reply> reply = ask(std::move(recall));
  if (!reply.ok()) return gone();
  return std::get<wire::Recalled>(*reply).lost;
}

// The clock of a dead process runs away, so that whatever waits there comes to its end.
Millis Link::running_time() const {
  return is_dead_ ? world_.now() + Millis(60'000) * ++looks_when_dead_ : world_.now();
}

void Link::pause(Millis time) {
  if (is_dead_) return;
  const Millis until = world_.now() + std::max(time, Millis(1));
  world_.after(until - world_.now(), [] {});
  actor_.block([&] { return is_dead_ || (!stands_still() && world_.now() >= until); });
}

}  // namespace limitr::simulation
