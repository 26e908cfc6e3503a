// SPDX-License-Identifier: Apache-2.0
#include "server/hub.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace limitr::server {
namespace {

using wire::Close;

/// Engines that wait for a customer ask again and again; its home is told this often at most.
constexpr Millis recall_pause{20};
constexpr std::size_t max_engine_name = 64;
/// How long an engine counts as away: it is not known whether it runs at all.
constexpr Millis away_time = std::chrono::hours(24);
constexpr std::size_t most_away = 10'000;

/// The version that a hello asks for; 0: the text is none.
std::uint64_t version_of(std::string_view text) {
  std::uint64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  return error == std::errc() && end == text.data() + text.size() ? version : 0;
}

}  // namespace

Hub::Hub(HubOptions options, Moment started, Peers* peers)
    : options_(std::move(options)), started_(started.steady), peers_(peers) {}

void Hub::connected(SessionId session, Caller caller, Moment now) {
  sessions_[session] = {.caller = std::move(caller), .connected = now.steady};
  if (is_draining_) cut(session, Close::going_away, "the server stops");
}

void Hub::received(SessionId session, wire::Request request, Moment now) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || is_draining_) return;
  ++counts_.requests[request.body.index()];
  if (!found->second.is_greeted && !std::holds_alternative<wire::Hello>(request.body)) {
    cut(session, Close::broken_rule, "a hello comes first");
    return;
  }
  if (const auto engine = engines_.find(found->second.engine); engine != engines_.end()) {
    engine->second.lease_end = now.steady + options_.lease;
  }
  std::visit([&](auto& body) { handle(session, request.n, body, now); }, request.body);
}

void Hub::received_nonsense(SessionId session, std::optional<std::uint64_t> n, const Error& error) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || is_draining_) return;
  if (!found->second.is_greeted) {
    cut(session, Close::broken_rule, error.to_string());
    return;
  }
  ++counts_.failed;
  send(session, n, wire::Failed{error});
}

void Hub::handle(SessionId id, std::uint64_t n, wire::Hello& hello, Moment now) {
  Session& session = sessions_.at(id);
  if (session.is_greeted) return cut(id, Close::broken_rule, "a second hello");
  if (hello.protocol != wire::protocol_version) {
    return cut(
        id, Close::wrong_version,
        fmt::format("this server speaks version {} of the protocol", wire::protocol_version));
  }
  if (hello.engine.empty() || hello.engine.size() > max_engine_name) {
    return cut(id, Close::broken_rule,
               fmt::format("`engine` has 1 to {} characters", max_engine_name));
  }
  session.limitr = std::move(hello.limitr);
  session.follows_policy = hello.policy.empty();
  if (session.caller.scopes.engine) settle(id, hello, now);
  if (session.follows_policy) {
    // Whoever may push one must be able to come before there is one.
    if (policy_ || !session.caller.scopes.engine || session.caller.scopes.admin) {
      return welcome(id, n, policy_.value_or(wire::PolicyVersion{}), now);
    }
    return fail(id, n, ErrorCode::policy_invalid,
                fmt::format("the project `{}` has no policy yet: push one", options_.project));
  }
  const std::uint64_t version = version_of(hello.policy);
  if (version == 0) {
    return fail(id, n, ErrorCode::invalid_argument,
                fmt::format("`{}` is no version of a policy", hello.policy));
  }
  work(id, n, PolicyAt{version});
}

// The engine is alive, and its newest connection counts.
void Hub::settle(SessionId id, const wire::Hello& hello, Moment now) {
  const std::string& name = hello.engine;
  Session& session = sessions_.at(id);
  if (const auto other = engines_.find(session.engine); other != engines_.end()) {
    other->second.session = 0;
  }
  Engine& engine = engines_[name];
  const SessionId before = std::exchange(engine.session, id);
  engine.lease_end = now.steady + options_.lease;
  engine.deny_unconnected = hello.deny_unconnected;
  engine.recalled.clear();
  ++arrivals_;
  left_.erase(name);
  away_.erase(name);
  session.engine = name;
  if (before == 0 || before == id) return;
  sessions_.at(before).engine.clear();
  cut(before, Close::broken_rule, "a newer connection of this engine took its place");
}

void Hub::welcome(SessionId id, std::uint64_t n, const wire::PolicyVersion& policy, Moment now) {
  sessions_.at(id).is_greeted = true;
  send(id, n,
       wire::Welcome{.project = options_.project,
                     .server = options_.server,
                     .lease = options_.lease,
                     .now = now.wall,
                     .max_message = options_.max_message,
                     .policy = policy});
}

void Hub::handle(SessionId id, std::uint64_t n, wire::RecallHomes& recall, Moment now) {
  if (!may(id, n, sessions_.at(id).caller.scopes.engine, "engine")) return;
  wire::Recalled answer;
  for (const wire::HomeOf& homes : recall.homes) {
    if (is_lost(homes.engine, now)) {
      answer.lost.push_back(homes.engine);
      continue;
    }
    this->recall(homes, now);
  }
  send(id, n, std::move(answer));
}

void Hub::recall(const wire::HomeOf& homes, Moment now) {
  ask_back(homes, now);
  if (peers_ != nullptr) peers_->recall(homes);
}

void Hub::recalled_by_peer(const wire::HomeOf& homes, Moment now) { ask_back(homes, now); }

void Hub::ask_back(const wire::HomeOf& homes, Moment now) {
  const auto engine = engines_.find(homes.engine);
  if (engine == engines_.end() || engine->second.session == 0) return;
  wire::RecallCustomers asked;
  for (const std::string& id : homes.ids) {
    const auto [at, is_new] = engine->second.recalled.try_emplace(id, now.steady);
    if (!is_new && now.steady - at->second < recall_pause) continue;
    at->second = now.steady;
    asked.ids.push_back(id);
  }
  if (asked.ids.empty()) return;
  counts_.recalled += asked.ids.size();
  send(engine->second.session, std::nullopt, std::move(asked));
}

void Hub::handle(SessionId id, std::uint64_t n, wire::Renew&, Moment now) {
  send(id, n, wire::Renewed{.lease = options_.lease, .now = now.wall});
}

void Hub::handle(SessionId id, std::uint64_t n, wire::Bye&, Moment now) {
  Session& session = sessions_.at(id);
  if (!session.engine.empty()) {
    if (now.steady < started_ + options_.lease) left_.insert(session.engine);
    engines_.erase(session.engine);
    session.engine.clear();
    ++arrivals_;
  }
  send(id, n, wire::Done{});
  cut(id, Close::normal, "good-bye");
}

// Its scope is checked where it is done.
void Hub::handle(SessionId id, std::uint64_t n, wire::Admin& admin, Moment) {
  work(id, n, std::move(admin));
}

// All that is done with rows.
template <typename Request>
void Hub::handle(SessionId id, std::uint64_t n, Request& request, Moment) {
  if (!may(id, n, sessions_.at(id).caller.scopes.engine, "engine")) return;
  work(id, n, std::move(request));
}

bool Hub::may(SessionId id, std::uint64_t n, bool has_scope, std::string_view scope) {
  if (has_scope) return true;
  fail(id, n, ErrorCode::unauthorized,
       fmt::format("this needs a token with the scope `{}`", scope));
  return false;
}

void Hub::work(SessionId id, std::uint64_t n, decltype(Work::what) what) {
  Session& session = sessions_.at(id);
  if (session.requests >= options_.most_requests) {
    return cut(
        id, Close::broken_rule,
        fmt::format("more than {} requests on their way (--max-requests)", options_.most_requests));
  }
  ++session.requests;
  outputs_.emplace_back(
      Work{.session = id, .n = n, .caller = session.caller, .what = std::move(what)});
}

void Hub::finished(SessionId session, std::uint64_t n, decltype(wire::Reply::body) answer,
                   Moment now) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  --found->second.requests;
  if (const auto* policy = std::get_if<wire::PolicyVersion>(&answer)) {
    return welcome(session, n, *policy, now);
  }
  if (std::holds_alternative<wire::Failed>(answer)) ++counts_.failed;
  send(session, n, std::move(answer));
}

void Hub::changed(SessionId session, wire::ChangedRows rows) {
  if (sessions_.contains(session)) send(session, std::nullopt, std::move(rows));
}

void Hub::disconnected(SessionId session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  // The lease runs on: the engine may come back, and decides by itself meanwhile.
  if (const auto engine = engines_.find(found->second.engine); engine != engines_.end()) {
    engine->second.session = 0;
  }
  sessions_.erase(found);
}

void Hub::set_policy(wire::PolicyVersion policy) {
  policy_ = std::move(policy);
  Broadcast pushed{.sessions = {}, .reply = {.n = std::nullopt, .body = *policy_}};
  for (const auto& [id, session] : sessions_) {
    if (session.is_greeted && session.follows_policy) pushed.sessions.push_back(id);
  }
  if (!pushed.sessions.empty()) outputs_.emplace_back(std::move(pushed));
}

void Hub::revoked(std::span<const std::string> token_ids) {
  const std::set<std::string_view> ids(token_ids.begin(), token_ids.end());
  std::vector<SessionId> gone;
  for (const auto& [id, session] : sessions_) {
    if (ids.contains(session.caller.token_id)) gone.push_back(id);
  }
  for (const SessionId id : gone) cut(id, Close::revoked, "the token was revoked");
}

void Hub::tick(Moment now) {
  std::vector<std::pair<SessionId, bool>> gone;
  for (const auto& [id, session] : sessions_) {
    const bool has_expired = session.caller.expires && *session.caller.expires <= now.wall;
    const bool is_late = !session.is_greeted && now.steady - session.connected >= options_.greeting;
    if (has_expired || is_late) gone.emplace_back(id, has_expired);
  }
  for (const auto& [id, has_expired] : gone) {
    if (has_expired) {
      cut(id, Close::revoked, "the token has expired");
    } else {
      cut(id, Close::broken_rule, "no welcome in time: a hello comes first");
    }
  }
  forget_leases(now);
  for (auto& [name, engine] : engines_) {
    std::erase_if(engine.recalled,
                  [&](const auto& one) { return now.steady - one.second >= recall_pause; });
  }
  if (now.steady >= started_ + options_.lease) left_.clear();
}

void Hub::forget_leases(Moment now) {
  std::erase_if(away_, [&](const auto& one) { return now.steady - one.second >= away_time; });
  std::erase_if(engines_, [&](const auto& one) {
    const auto& [name, engine] = one;
    if (engine.session != 0 || engine.lease_end > now.steady) return false;
    if (!engine.deny_unconnected) note_away(name, now);
    return true;
  });
}

void Hub::note_away(const std::string& engine, Moment now) {
  if (away_.size() >= most_away) {
    away_.erase(std::ranges::min_element(away_, {}, [](const auto& one) { return one.second; }));
  }
  away_[engine] = now.steady;
}

bool Hub::is_elsewhere(std::string_view engine) const {
  return peers_ != nullptr && peers_->is_alive(engine);
}

std::size_t Hub::away_serving(Moment now) const {
  const auto gone =
      std::ranges::count_if(away_, [&](const auto& one) { return !is_elsewhere(one.first); });
  const auto cut_off = std::ranges::count_if(engines_, [&](const auto& one) {
    const auto& [name, engine] = one;
    return engine.session == 0 && !engine.deny_unconnected &&
           (engine.lease_end > now.steady || !is_elsewhere(name));
  });
  return static_cast<std::size_t>(gone + cut_off);
}

void Hub::drain() {
  is_draining_ = true;
  std::vector<SessionId> all;
  for (const auto& [id, session] : sessions_) all.push_back(id);
  for (const SessionId id : all) cut(id, Close::going_away, "the server stops");
}

std::vector<Output> Hub::take() { return std::exchange(outputs_, {}); }

bool Hub::is_lost(std::string_view engine, Moment now) const {
  const auto known = engines_.find(engine);
  const bool is_leased = known != engines_.end() && known->second.lease_end > now.steady;
  if (is_leased || (peers_ != nullptr && peers_->is_alive(engine))) return false;
  if (known != engines_.end() || left_.contains(engine)) return true;
  // What was before we started is forgotten: it may have a lease from then.
  return now.steady >= started_ + options_.lease;
}

std::vector<Leased> Hub::leased(Moment now) const {
  std::vector<Leased> all;
  for (const auto& [name, engine] : engines_) {
    const Millis left = engine.lease_end - now.steady;
    if (left <= Millis(0)) continue;
    all.push_back({.engine = name, .left = left, .deny_unconnected = engine.deny_unconnected});
  }
  return all;
}

std::vector<std::string> Hub::token_ids() const {
  std::set<std::string> ids;
  for (const auto& [id, session] : sessions_) ids.insert(session.caller.token_id);
  return {ids.begin(), ids.end()};
}

Json Hub::engines(Moment now) const {
  Json all = Json::array();
  for (const auto& [name, engine] : engines_) {
    Json one = {{"engine", name},
                {"connected", engine.session != 0},
                {"lease", std::max(Millis(0), engine.lease_end - now.steady).count()},
                {"deny_unconnected", engine.deny_unconnected}};
    if (engine.session != 0) {
      const Session& session = sessions_.at(engine.session);
      one["limitr"] = session.limitr;
      one["token"] = session.caller.token_id;
    }
    all.push_back(std::move(one));
  }
  for (const auto& [name, since] : away_) {
    if (is_elsewhere(name)) continue;
    all.push_back({{"engine", name},
                   {"connected", false},
                   {"lease", 0},
                   {"deny_unconnected", false},
                   {"away", (now.steady - since).count()}});
  }
  return all;
}

void Hub::send(SessionId id, std::optional<std::uint64_t> n, decltype(wire::Reply::body) body) {
  outputs_.emplace_back(Send{.session = id, .reply = {.n = n, .body = std::move(body)}});
}

void Hub::fail(SessionId id, std::optional<std::uint64_t> n, ErrorCode code, std::string message) {
  ++counts_.failed;
  send(id, n, wire::Failed{{.code = code, .message = std::move(message)}});
}

void Hub::cut(SessionId id, Close code, std::string reason) {
  disconnected(id);
  outputs_.emplace_back(Cut{.session = id, .code = code, .reason = std::move(reason)});
}

}  // namespace limitr::server
