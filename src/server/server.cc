// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <fmt/format.h>

#include <limitr/limitr.h>
#include "env/boot_clock.h"
#include "open/open_store.h"
#include "server/admin.h"
#include "server/hub.h"
#include "server/in_doubt.h"
#include "server/keeper.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/tickets.h"
#include "wire/messages.h"

#ifdef LIMITR_POSTGRES
#include "server/postgres_peers.h"
#endif

// Three threads, and what each has to itself:
//
//   io       sockets, hubs, tickets: all that must never wait
//   keeper   the rows: waits for the store
//   control  tokens, projects, policies: waits for what Control keeps
//
// They hand each other work and results, and share nothing that changes but figures.
namespace limitr::server {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds tick_every{1000};
constexpr std::chrono::milliseconds poll_every{500};
constexpr std::chrono::minutes sweep_every{1};
constexpr std::chrono::milliseconds sweep_pause{10};  // between pages: the rows are for engines
constexpr std::size_t most_unsent = std::size_t{1} << 20;  // by whoever is told what others changed
constexpr std::chrono::seconds drain_time{10};             // for what is on its way
constexpr std::chrono::seconds part_time{4};               // for connections to close

Moment now() {
  return {.steady = std::chrono::duration_cast<Millis>(env::BootClock::now().time_since_epoch()),
          .wall = system_clock()->now()};
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

/// Has as many files as it may: each connection is one. How many connections there is room for, of
/// those that are wanted: whoever comes beyond that is told so, and not left waiting.
std::size_t raise_file_limit(std::size_t connections) {
  ::rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return connections;
  const ::rlim_t soft = std::exchange(limit.rlim_cur, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = soft;
  constexpr std::size_t others = 64;
  const std::size_t wanted = connections + others;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted) return connections;
  const std::size_t fits = std::max<std::size_t>(limit.rlim_cur, 2 * others) - others;
  log(Level::warning, "few_files",
      {{"connections", std::to_string(fits)},
       {"open_files", std::to_string(limit.rlim_cur)},
       {"advice", fmt::format("for {} connections (--max-connections) let it open {} files: ulimit "
                              "-Hn, or LimitNOFILE= of systemd",
                              connections, wanted)}});
  return fits;
}

HttpResponse http_failure(const Error& error) {
  const unsigned status = error.code == ErrorCode::unauthorized       ? 401
                          : error.code == ErrorCode::invalid_argument ? 400
                                                                      : 503;
  return http_error(status, to_string(error.code), error.to_string());
}

class Server final : public Sockets {
public:
  Server(const ServeOptions& options, const std::function<void(const Ready&)>& ready)
      : options_(options), tell_ready_(ready), attempts_(options.max_failed_attempts) {}

  Result<RowCounts> run() {
    add_routes();
    ListenerOptions listen = options_.listen;
    listen.max_connections = raise_file_limit(listen.max_connections);
    auto listener = Listener::open(io_, listen, routes_, *this);
    if (!listener.ok()) return std::move(listener).error();
    listener_ = *std::move(listener);
    signals_.async_wait([this](error_code failed, int signal) {
      if (!failed) drain(signal == SIGINT ? "SIGINT" : "SIGTERM");
    });
    listener_->start();
    on_control([this]() -> Then {
      const Result<Ready> opened = open();
      return [this, opened] { has_opened(opened); };
    });
    io_.run();
    control_thread_.join();
#ifdef LIMITR_POSTGRES
    peers_.reset();
#endif
    const RowCounts written = keeper_.stop();
    if (failure_) return *failure_;
    return written;
  }

private:
  using Then = std::function<void()>;

  struct Connection {
    std::shared_ptr<Socket> socket;
    std::string project;
  };

  // ---- Threads

  /// Runs `job` on the control thread, and what it returns on this one.
  template <typename Job>
  void on_control(Job job) {
    ++jobs_;
    asio::post(control_thread_, [this, job = std::move(job)]() mutable {
      asio::post(io_, [this, then = Then(job())] {
        --jobs_;
        then();
        go_on_draining();
      });
    });
  }

  /// Runs `question` on the io thread, and waits for its answer. REQUIRES: within on_control().
  template <typename Question>
  auto ask_io(const Question& question) -> decltype(question()) {
    std::promise<decltype(question())> answer;
    asio::post(io_, [&] { answer.set_value(question()); });
    return answer.get_future().get();
  }

  // ---- Opening, on the control thread

  Result<Ready> open() {
    if (auto started = keeper_.start(std::string(default_project)); !started.ok()) {
      return std::move(started).error();
    }
    auto control = Control::open(options_.store);
    if (!control.ok()) return std::move(control).error();
    control_ = *std::move(control);
    if (auto met = meet_peers(); !met.ok()) return std::move(met).error();
    Ready ready{.url = listener_->url(), .first_token = std::nullopt};
    if (!options_.policy_file.empty()) {
      stamp_ = stamp_of(options_.policy_file);
      auto pushed = push_file();
      if (!pushed.ok()) {
        const auto active = control_->active_policy(default_project);
        if (!active.ok() || !*active) return std::move(pushed).error();
        log_bad_policy(pushed.error());
      }
    }
    const auto tokens = control_->token_list(default_project);
    if (!tokens.ok()) return tokens.error();
    if (tokens->empty()) {
      auto made = control_->token_create(
          {.name = "first", .scopes = {.engine = true, .read = true, .admin = true}});
      if (!made.ok()) return std::move(made).error();
      ready.first_token = std::move(made->text);
    }
    return ready;
  }

  Result<void> meet_peers() {
#ifdef LIMITR_POSTGRES
    if (access_to(options_.store) != store::Access::share) return {};
    auto peers = PostgresPeers::open(
        {.store_url = options_.store,
         .on_recall =
             [this](const std::string& project, const wire::HomeOf& homes) {
               asio::post(io_, [this, project, homes] {
                 const auto hub = hubs_.find(project);
                 if (hub == hubs_.end()) return;
                 hub->second->recalled_by_peer(homes, now());
                 act();
               });
             },
         .log =
             [](std::string_view message) {
               log(Level::warning, "peers", {{"message", std::string(message)}});
             }});
    if (!peers.ok()) return std::move(peers).error();
    peers_ = *std::move(peers);
#endif
    return {};
  }

  void has_opened(const Result<Ready>& opened) {
    if (!opened.ok()) return fail(opened.error());
    if (is_draining_) return;
    is_ready_ = true;
    log(Level::info, "ready", {{"url", opened->url}, {"version", std::string(Limitr::version())}});
    tell_ready_(*opened);
    tick();
    poll();
    sweep();
  }

  Result<std::unique_ptr<Rows>> make_rows(const std::string& project) const {
    // Control may not be there yet: the rows of `default` are opened before it, as they say who
    // owns them.
    const std::string url =
        project == default_project ? options_.store : control_->store_url_of(project);
    auto store = store_at(url);
    if (!store.ok()) return std::move(store).error();
    return std::make_unique<Rows>(*std::move(store), access_to(url), owner_);
  }

  // ---- The file of the policy, on the control thread

  Result<void> push_file() {
    auto read = options_.read_policy();
    if (!read.ok()) return std::move(read).error();
    auto pushed =
        control_->push(default_project, read->text, read->format, "--policy", options_.policy_file);
    if (!pushed.ok()) {
      Error error = std::move(pushed).error();
      error.message = fmt::format("{}: {}", options_.policy_file, error.message);
      return error;
    }
    if (pushed->is_new) {
      log(Level::info, "policy_pushed",
          {{"file", options_.policy_file}, {"version", std::to_string(pushed->version)}});
    }
    return {};
  }

  void log_bad_policy(const Error& error) const {
    log(Level::error, "policy_not_taken",
        {{"file", options_.policy_file}, {"error", error.to_string()}});
  }

  /// What is different about a file that was written to.
  static std::string stamp_of(const std::string& file) {
    struct ::stat found = {};
    if (::stat(file.c_str(), &found) != 0) return "none";
    return fmt::format("{} {} {} {}", found.st_ino, found.st_size, found.st_mtim.tv_sec,
                       found.st_mtim.tv_nsec);
  }

  void look_at_file() {
    if (options_.policy_file.empty()) return;
    std::string stamp = stamp_of(options_.policy_file);
    if (stamp == stamp_) return;
    stamp_ = std::move(stamp);
    if (auto pushed = push_file(); !pushed.ok()) log_bad_policy(pushed.error());
  }

  // ---- What Control knows, as it changes

  struct News {
    std::vector<std::pair<std::string, wire::PolicyVersion>> policies;
    std::vector<std::string> revoked;
  };

  void poll() {
    if (is_draining_) return;
    poll_timer_.expires_after(poll_every);
    poll_timer_.async_wait([this](error_code stopped) {
      if (!stopped) look_for_news([this] { poll(); });
    });
  }

  void look_for_news(Then then) {
    std::map<std::string, std::uint64_t> versions;
    std::vector<std::string> tokens;
    for (const auto& [project, hub] : hubs_) {
      versions[project] = hub->policy_version();
      std::ranges::move(hub->token_ids(), std::back_inserter(tokens));
    }
    on_control([this, versions, tokens, then = std::move(then)]() -> Then {
      look_at_file();
      return [this, news = news_of(versions, tokens), then] {
        take(news);
        then();
      };
    });
  }

  News news_of(const std::map<std::string, std::uint64_t>& versions,
               const std::vector<std::string>& tokens) {
    News news;
    const auto count = control_->change_count();
    if (!count.ok()) {
      log(Level::error, "control_failed", {{"error", count.error().to_string()}});
      return news;
    }
    bool is_known = true;
    // Also where nothing changed: who came meanwhile may not have been asked about.
    if (*count == seen_changes_ && tokens == seen_tokens_ && versions == seen_versions_)
      return news;
    for (const auto& [project, version] : versions) {
      auto active = control_->active_policy(project);
      is_known = is_known && active.ok();
      if (active.ok() && *active && (*active)->version != version) {
        news.policies.emplace_back(project, **std::move(active));
      }
    }
    for (const std::string& token : tokens) {
      const auto valid = control_->is_valid(token, system_clock()->now());
      is_known = is_known && valid.ok();
      if (valid.ok() && !*valid) news.revoked.push_back(token);
    }
    if (is_known) {
      seen_changes_ = *count;
      seen_tokens_ = tokens;
      seen_versions_ = versions;
    }
    return news;
  }

  void take(const News& news) {
    for (const auto& [project, policy] : news.policies) {
      log(Level::info, "policy",
          {{"project", project}, {"version", std::to_string(policy.version)}});
      hubs_.at(project)->set_policy(policy);
    }
    for (const auto& [project, hub] : hubs_) hub->revoked(news.revoked);
    act();
  }

  void tick() {
    if (is_draining_) return;
    for (const auto& [project, hub] : hubs_) hub->tick(now());
    act();
    tell_peers();
    tick_timer_.expires_after(tick_every);
    tick_timer_.async_wait([this](error_code stopped) {
      if (!stopped) tick();
    });
  }

  // ---- HTTP

  void add_routes() {
    routes_.add("GET", "/healthz", [](const HttpRequest&, const Routes::Respond& respond) {
      respond(http_json({{"status", "ok"}}));
    });
    routes_.add("GET", "/readyz", [this](const HttpRequest&, const Routes::Respond& respond) {
      respond(is_serving() ? http_json({{"status", "ready"}}) : not_serving());
    });
    routes_.add("GET", "/metrics", [this](const HttpRequest&, const Routes::Respond& respond) {
      show_metrics(respond);
    });
    routes_.add("POST", "/wss/ticket",
                [this](const HttpRequest& request, const Routes::Respond& respond) {
                  give_ticket(request, respond);
                });
    routes_.add("GET", "/wss", [](const HttpRequest&, const Routes::Respond& respond) {
      respond(http_error(426, "upgrade_required", "this is for WebSocket connections"));
    });
  }

  bool is_serving() const { return is_ready_ && !is_draining_; }

  HttpResponse not_serving() const {
    HttpResponse response = is_draining_ ? http_error(503, "stopping", "the server stops")
                                         : http_error(503, "starting", "the store is not open yet");
    response.retry_after = Millis(1000);
    return response;
  }

  void show_metrics(const Routes::Respond& respond) {
    if (!is_serving()) return respond(not_serving());
    ++jobs_;
    keeper_.look([this, respond](std::vector<RowFigures> rows) {
      asio::post(io_, [this, respond, rows = std::move(rows)]() mutable {
        --jobs_;
        Figures figures{.connections = listener_->connections(),
                        .refused_tokens = refused_tokens_,
                        .closed = closed_,
                        .projects = {},
                        .rows = std::move(rows)};
        for (const auto& [project, hub] : hubs_) {
          figures.projects.push_back({.project = project,
                                      .sessions = hub->sessions(),
                                      .leases = hub->leased(now()).size(),
                                      .policy_version = hub->policy_version(),
                                      .away_serving = hub->away_serving(now()),
                                      .in_doubt = in_doubt_of(project),
                                      .counts = hub->counts()});
        }
        respond({.body = metrics_.text(figures),
                 .content_type = "text/plain; version=0.0.4; charset=utf-8"});
        go_on_draining();
      });
    });
  }

  /// Why this address may not try; none: it may.
  std::optional<HttpResponse> too_often(const std::string& who) const {
    const Millis wait = attempts_.wait(who, now().steady);
    if (wait <= Millis(0)) return std::nullopt;
    HttpResponse response =
        http_error(429, "too_many_attempts",
                   "too many tokens from this address were no good (--max-failed-attempts)");
    response.retry_after = wait;
    return response;
  }

  void refused(const std::string& who) {
    ++refused_tokens_;
    attempts_.failed(who, now().steady);
  }

  void give_ticket(const HttpRequest& request, const Routes::Respond& respond) {
    if (!is_serving()) return respond(not_serving());
    const std::string who = Attempts::who(request.address);
    if (auto wait = too_often(who)) return respond(*std::move(wait));
    const Json body = Json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    if (!body.is_object() || !body.contains("token") || !body["token"].is_string()) {
      return respond(
          http_error(400, "invalid_argument", "the body must be JSON: {\"token\": \"...\"}"));
    }
    on_control([this, respond, who, address = request.address,
                token = body["token"].get<std::string>()]() -> Then {
      Result<Caller> caller = control_->authenticate(token);
      Result<std::optional<wire::PolicyVersion>> policy = std::optional<wire::PolicyVersion>();
      if (caller.ok()) policy = control_->active_policy(caller->project);
      return [=, this] { has_authenticated(respond, who, address, caller, policy); };
    });
  }

  void has_authenticated(const Routes::Respond& respond, const std::string& who,
                         const std::string& address, const Result<Caller>& caller,
                         const Result<std::optional<wire::PolicyVersion>>& policy) {
    if (!caller.ok()) {
      if (caller.error().code == ErrorCode::unauthorized) refused(who);
      log(Level::warning, "token_refused",
          {{"address", address}, {"error", caller.error().to_string()}});
      return respond(http_failure(caller.error()));
    }
    if (!policy.ok()) return respond(http_failure(policy.error()));
    if (!is_serving()) return respond(not_serving());
    Hub& hub = hub_of(caller->project);
    if (*policy && (*policy)->version > hub.policy_version()) hub.set_policy(**policy);
    act();
    const auto ticket = tickets_.issue(*caller, now().steady);
    if (!ticket.ok()) return respond(http_failure(ticket.error()));
    respond(http_json({{"ticket", *ticket}, {"expires_in", Tickets::lasts.count() / 1000}}));
  }

  Hub& hub_of(const std::string& project) {
    auto& hub = hubs_[project];
    if (!hub) {
      hub = std::make_unique<Hub>(HubOptions{.project = project,
                                             .server = owner_.host,
                                             .lease = options_.lease,
                                             .most_requests = options_.max_requests,
                                             .max_message = options_.listen.max_message},
                                  started_, peers_of(project));
    }
    return *hub;
  }

  // ---- Other servers

  Peers* peers_of([[maybe_unused]] const std::string& project) const {
#ifdef LIMITR_POSTGRES
    if (peers_) return &peers_->of(project);
#endif
    return nullptr;
  }

  /// Tells them whose lease runs here.
  void tell_peers() {
#ifdef LIMITR_POSTGRES
    if (!peers_) return;
    std::vector<LeasedEngine> all;
    for (const auto& [project, hub] : hubs_) {
      for (Leased& one : hub->leased(now())) {
        all.push_back({.project = project,
                       .engine = std::move(one.engine),
                       .left = one.left,
                       .deny_unconnected = one.deny_unconnected});
      }
    }
    peers_->renew(std::move(all));
#endif
  }

  // ---- Sockets

  std::variant<Caller, HttpResponse> admit(const HttpRequest& request) override {
    if (!is_serving()) return not_serving();
    if (request.path != "/wss")
      return http_error(404, "not_found", "there is nothing at this path");
    const std::string who = Attempts::who(request.address);
    if (auto wait = too_often(who)) return *std::move(wait);
    auto caller = tickets_.redeem(in_query(request.query, "ticket"), now().steady);
    if (caller) return *std::move(caller);
    refused(who);
    log(Level::warning, "ticket_refused", {{"address", request.address}});
    return http_error(401, "unauthorized",
                      "the ticket is unknown, used or over: ask for one at /wss/ticket");
  }

  void opened(SessionId id, std::shared_ptr<Socket> socket, Caller caller) override {
    Hub& hub = hub_of(caller.project);
    connections_[id] = {.socket = std::move(socket), .project = caller.project};
    hub.connected(id, std::move(caller), now());
    act();
  }

  void received(SessionId id, std::string_view text) override {
    if (is_draining_) return;
    Hub& hub = *hubs_.at(connections_.at(id).project);
    message_bytes_ = text.size();
    Result<wire::Request> request = wire::decode_request(text);
    if (request.ok()) {
      hub.received(id, *std::move(request), now());
    } else {
      hub.received_nonsense(id, wire::number_of(text), request.error());
    }
    act();
  }

  void closed(SessionId id) override {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    hubs_.at(found->second.project)->disconnected(id);
    connections_.erase(found);
    act();
    go_on_draining();
  }

  void closing(SessionId id, wire::Close code, const std::string& reason) override {
    ++closed_[static_cast<unsigned>(code)];
    if (code == wire::Close::normal || code == wire::Close::going_away) return;
    log(Level::warning, "session_closed",
        {{"session", std::to_string(id)},
         {"code", std::to_string(static_cast<unsigned>(code))},
         {"reason", reason}});
  }

  // ---- What hubs want done

  void act() {
    std::uint64_t arrivals = 0;
    for (const auto& [project, hub] : hubs_) {
      arrivals += hub->arrivals();
      // To refuse one makes another.
      for (auto outputs = hub->take(); !outputs.empty(); outputs = hub->take()) {
        for (Output& output : outputs) {
          std::visit([&, name = project](auto& one) { act(name, one); }, output);
        }
      }
    }
    if (std::exchange(arrivals_, arrivals) != arrivals) tell_peers();
  }

  void act(const std::string&, const Send& send) {
    const auto found = connections_.find(send.session);
    if (found == connections_.end()) return;
    found->second.socket->send(std::make_shared<const std::string>(wire::encode(send.reply)));
  }

  void act(const std::string&, const Broadcast& broadcast) {
    const auto text = std::make_shared<const std::string>(wire::encode(broadcast.reply));
    for (const SessionId id : broadcast.sessions) {
      const auto found = connections_.find(id);
      if (found != connections_.end()) found->second.socket->send(text);
    }
  }

  void act(const std::string&, const Cut& cut) {
    const auto found = connections_.find(cut.session);
    if (found != connections_.end()) found->second.socket->close(cut.code, cut.reason);
  }

  void act(const std::string& project, Work& work) {
    if (const auto* admin = std::get_if<wire::Admin>(&work.what)) {
      return administer(project, work, *admin);
    }
    if (const auto* policy = std::get_if<PolicyAt>(&work.what)) {
      on_control(
          [this, project, id = work.session, n = work.n, version = policy->version]() -> Then {
            auto found = control_->policy(project, version);
            return [=, this] { finished(project, id, n, found); };
          });
      return;
    }
    if (inbound_ + message_bytes_ > options_.max_inbound) {
      hubs_.at(project)->finished(
          work.session, work.n,
          wire::Failed{{.code = ErrorCode::store_unavailable,
                        .message = fmt::format("{} bytes wait for the store already: try again "
                                               "later (--max-inbound)",
                                               inbound_)}},
          now());
      return;
    }
    ++jobs_;
    inbound_ += message_bytes_;
    keeper_.ask(project, std::move(work), message_bytes_);
  }

  void administer(const std::string& project, const Work& work, const wire::Admin& admin) {
    on_control(
        [this, project, id = work.session, n = work.n, caller = work.caller, admin]() -> Then {
          Result<Json> done =
              run_admin(*control_, caller, admin.what, admin.args,
                        [this](std::string_view what, std::string_view of, const Json& args) {
                          return run_here(what, std::string(of), args);
                        });
          return [=, this] {
            if (done.ok()) {
              finished(project, id, n, Result<wire::Done>(wire::Done{*done}));
            } else {
              finished(project, id, n, Result<wire::Done>(done.error()));
            }
            // What it changed is told at once.
            look_for_news([] {});
          };
        });
  }

  /// REQUIRES: within on_control().
  Result<Json> run_here(std::string_view what, const std::string& project, const Json& args) {
    if (what == "engines") return ask_io([&] { return engines(project); });
    if (what == "status") return status(project);
    if (what == "in_doubt_list") return in_doubt_list(project, args);
    if (what == "in_doubt_release") return in_doubt_release(project, args);
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("this server cannot do `{}`", what)};
  }

  /// Those that are connected or away, and those of whom something is in doubt.
  Json engines(const std::string& project) {
    const auto hub = hubs_.find(project);
    Json all = hub == hubs_.end() ? Json::array() : hub->second->engines(now());
    const InDoubtFigures in_doubt = in_doubt_of(project);
    std::set<std::string> named;
    for (Json& one : all) {
      const std::string name = one["engine"];
      named.insert(name);
      const auto of = in_doubt.engines.find(name);
      one["in_doubt"] =
          json_of(of == in_doubt.engines.end() ? InDoubtFigures::Units() : of->second);
    }
    for (const auto& [name, of] : in_doubt.engines) {
      if (named.contains(name)) continue;
      all.push_back(
          {{"engine", name}, {"connected", false}, {"lease", 0}, {"in_doubt", json_of(of)}});
    }
    return {{"engines", std::move(all)}};
  }

  Json status(const std::string& project) {
    Json status = ask_io([&]() -> Json {
      const auto hub = hubs_.find(project);
      const InDoubtFigures in_doubt = in_doubt_of(project);
      Json in_all = json_of(in_doubt.units);
      in_all["customers"] = in_doubt.customers;
      Json exposure = json_of(in_doubt.released);
      exposure["engines"] = hub == hubs_.end() ? 0 : hub->second->away_serving(now());
      Json found = {{"sessions", 0},
                    {"leases", 0},
                    {"policy_version", 0},
                    {"in_doubt", std::move(in_all)},
                    {"exposure", std::move(exposure)}};
      if (hub == hubs_.end()) return found;
      found["sessions"] = hub->second->sessions();
      found["leases"] = hub->second->leased(now()).size();
      found["policy_version"] = hub->second->policy_version();
      return found;
    });
    std::promise<std::vector<RowFigures>> promise;
    keeper_.look([&](std::vector<RowFigures> all) { promise.set_value(std::move(all)); });
    for (const RowFigures& rows : promise.get_future().get()) {
      if (rows.project != project) continue;
      status["customers"] = rows.customers;
      status["transactions_written"] = rows.counts.transactions;
      status["transactions_conflicting"] = rows.counts.conflicts;
    }
    status["server"] = owner_.host;
    status["version"] = Limitr::version();
    return status;
  }

  /// Which of these engines are lost, and how many others are away.
  struct Word {
    std::set<std::string, std::less<>> lost;
    std::size_t engines_away = 0;
  };

  /// REQUIRES: within on_control().
  Word word_on(const std::string& project, const std::vector<std::string>& engines) {
    return ask_io([&] {
      const Hub& hub = hub_of(project);
      Word word{.lost = {}, .engines_away = hub.away_serving(now())};
      std::ranges::copy_if(engines, std::inserter(word.lost, word.lost.end()),
                           [&](const std::string& one) { return hub.is_lost(one, now()); });
      return word;
    });
  }

  /// Has the keeper use the rows, and waits for what comes of it. REQUIRES: within on_control().
  template <typename Use>
  auto ask_rows(const std::string& project, const Use& use) {
    using Answer = decltype(use(std::declval<Rows&>()));
    std::promise<Answer> answer;
    keeper_.with_rows(project, [&](Result<Rows*> rows) {
      answer.set_value(rows.ok() ? use(**rows) : Answer(std::move(rows).error()));
    });
    return answer.get_future().get();
  }

  Result<Json> in_doubt_list(const std::string& project, const Json& args) {
    const std::string customer = text_in(args, "customer");
    const auto page = ask_rows(project, [&](Rows& rows) {
      return customer.empty() ? read_doubtful(rows, text_in(args, "after"), /*with_homes=*/true)
                              : read_doubtful_of(rows, customer);
    });
    if (!page.ok()) return page.error();
    const Word word = word_on(project, homes_in(*page));
    return list_in_doubt(*page, [&](std::string_view engine) { return word.lost.contains(engine); },
                         {.limit = limit_of(args), .engines_away = word.engines_away});
  }

  Result<Json> in_doubt_release(const std::string& project, const Json& args) {
    const std::string customer = text_in(args, "customer");
    const auto home = ask_rows(project, [&](Rows& rows) { return home_of(rows, customer); });
    if (!home.ok()) return home.error();
    const bool is_lost = word_on(project, std::vector{*home}).lost.contains(*home);
    const auto released = ask_rows(project, [&](Rows& rows) {
      return release_in_doubt(rows, customer, text_in(args, "engine"), is_lost ? *home : "");
    });
    if (!released.ok()) return released.error();
    // So that it notices, and reports, also where it is not asked for the customer again.
    if (released->interrupted) {
      const wire::HomeOf homes{.engine = *released->interrupted, .ids = {released->customer}};
      asio::post(io_, [this, project, homes] {
        hub_of(project).recall(homes, now());
        act();
      });
    }
    return json_of(*released);
  }

  // ---- Sums of what is in doubt, page by page, one project after the other

  InDoubtFigures in_doubt_of(const std::string& project) const {
    const auto found = in_doubt_.find(project);
    return found == in_doubt_.end() ? InDoubtFigures() : found->second;
  }

  void sweep() {
    std::vector<std::string> projects = {std::string(default_project)};
    for (const auto& [project, hub] : hubs_) {
      if (project != default_project) projects.push_back(project);
    }
    sweep_page({.projects = std::move(projects), .after = {}, .sum = {}});
  }

  struct Sweep {
    std::vector<std::string> projects;  // those that are left, the present one last
    std::string after;
    InDoubtFigures sum;
  };

  void sweep_page(Sweep sweep) {
    if (is_draining_) return;
    ++jobs_;
    const std::string project = sweep.projects.back();
    keeper_.with_rows(project, [this, sweep = std::move(sweep)](Result<Rows*> rows) mutable {
      auto page = rows.ok() ? read_doubtful(**rows, sweep.after, /*with_homes=*/false)
                            : Result<DoubtfulRows>(std::move(rows).error());
      if (page.ok()) sweep.sum.add(*page);
      const bool has_more = page.ok() && page->has_more;
      if (has_more) sweep.after = std::move(page->after);
      asio::post(io_, [this, sweep = std::move(sweep), has_more, is_known = page.ok()]() mutable {
        --jobs_;
        has_swept(std::move(sweep), has_more, is_known);
        go_on_draining();
      });
    });
  }

  // What cannot be read now stays as it was summed up last.
  void has_swept(Sweep sweep, bool has_more, bool is_known) {
    if (is_draining_) return;
    if (!has_more) {
      if (is_known) in_doubt_[sweep.projects.back()] = std::move(sweep.sum);
      sweep.projects.pop_back();
      sweep.after.clear();
      sweep.sum = {};
    }
    const bool is_done = sweep.projects.empty();
    sweep_timer_.expires_after(is_done ? std::chrono::milliseconds(sweep_every) : sweep_pause);
    sweep_timer_.async_wait([this, is_done, sweep = std::move(sweep)](error_code stopped) mutable {
      if (stopped) return;
      is_done ? this->sweep() : sweep_page(std::move(sweep));
    });
  }

  template <typename T>
  void finished(const std::string& project, SessionId id, std::uint64_t n,
                const Result<T>& result) {
    Hub& hub = *hubs_.at(project);
    if (result.ok()) {
      hub.finished(id, n, *result, now());
    } else {
      hub.finished(id, n, wire::Failed{result.error()}, now());
    }
    act();
  }

  void has_finished(std::vector<Finished> all) {
    for (Finished& one : all) {
      --jobs_;
      inbound_ -= one.bytes;
      hubs_.at(one.project)->finished(one.session, one.n, std::move(one.answer), now());
    }
    act();
    go_on_draining();
  }

  // Whoever does not read what was sent before can do without; and what nobody has asked for is not
  // to end a connection.
  void tell(ProjectChanged all) {
    const std::size_t most = std::min(most_unsent, options_.listen.max_outbound);
    for (ChangedFor& one : all.changed) {
      const auto connection = connections_.find(one.engine);
      if (connection == connections_.end()) continue;
      std::size_t bytes = connection->second.socket->unsent();
      // What is around a row as text is less than a record.
      for (const store::StoredCustomer& row : one.rows) bytes += 2 * wire::size_of(row);
      if (bytes > most) continue;
      hubs_.at(all.project)->changed(one.engine, {std::move(one.rows)});
    }
    act();
  }

  // ---- The end

  void fail(const Error& error) {
    if (!failure_) failure_ = error;
    log(Level::error, "failed", {{"error", error.to_string()}});
    drain("a failure");
  }

  // What is on its way is finished and answered; then everyone is told to go.
  void drain(const std::string& why) {
    if (is_draining_) return;
    is_draining_ = true;
    log(Level::info, "draining", {{"why", why}});
    // A second one ends us at once.
    signals_.clear();
    listener_->stop();
    poll_timer_.cancel();
    tick_timer_.cancel();
    sweep_timer_.cancel();
    end_timer_.expires_after(drain_time);
    end_timer_.async_wait([this](error_code stopped) {
      if (!stopped) part();
    });
    go_on_draining();
  }

  void go_on_draining() {
    if (!is_draining_) return;
    if (!is_parting_ && jobs_ == 0) part();
    if (is_parting_ && connections_.empty() && jobs_ == 0) io_.stop();
  }

  void part() {
    if (is_parting_) return;
    is_parting_ = true;
    for (const auto& [project, hub] : hubs_) hub->drain();
    act();
    end_timer_.expires_after(part_time);
    end_timer_.async_wait([this](error_code stopped) {
      if (!stopped) io_.stop();
    });
    go_on_draining();
  }

  const ServeOptions& options_;
  const std::function<void(const Ready&)>& tell_ready_;
  const store::Owner owner_{
      .host = host_name(), .process = ::getpid(), .since = system_clock()->now()};
  const Moment started_ = now();
  asio::io_context io_{1};  // before all that uses it
  asio::thread_pool control_thread_{1};
  Routes routes_;
  Metrics metrics_;
  Keeper keeper_{KeeperHooks{
      .make_rows = [this](const std::string& project) { return make_rows(project); },
      .deliver =
          [this](std::vector<Finished> all) {
            asio::post(io_,
                       [this, all = std::move(all)]() mutable { has_finished(std::move(all)); });
          },
      .tell =
          [this](ProjectChanged changed) {
            asio::post(
                io_, [this, changed = std::move(changed)]() mutable { tell(std::move(changed)); });
          },
      .exchanged = [this](std::chrono::nanoseconds took) { metrics_.exchanged(took); },
      .taken_over =
          [this](const Error& error) {
            asio::post(io_, [this, error] {
              fail({.code = ErrorCode::store_fenced,
                    .message = "the store was taken over: " + error.message});
            });
          }}};
  std::unique_ptr<Control> control_;  // of the control thread, once it is there
#ifdef LIMITR_POSTGRES
  std::unique_ptr<PostgresPeers> peers_;  // where the store is shared
#endif
  std::string stamp_;               // of the policy's file; the control thread's
  std::uint64_t seen_changes_ = 0;  // the control thread's, as the next two
  std::vector<std::string> seen_tokens_;
  std::map<std::string, std::uint64_t> seen_versions_;

  Tickets tickets_;
  Attempts attempts_;
  std::map<std::string, std::unique_ptr<Hub>> hubs_;  // by project
  std::map<std::string, InDoubtFigures> in_doubt_;    // by project, as summed up last
  std::map<SessionId, Connection> connections_;
  std::map<unsigned, std::uint64_t> closed_;
  std::uint64_t refused_tokens_ = 0;
  std::uint64_t arrivals_ = 0;     // of all hubs, when peers were told
  std::size_t message_bytes_ = 0;  // of what was received last
  std::size_t inbound_ = 0;        // bytes of what the keeper was asked, and has not answered
  std::size_t jobs_ = 0;           // handed to other threads, and not back yet
  bool is_ready_ = false;
  bool is_draining_ = false;
  bool is_parting_ = false;
  std::optional<Error> failure_;

  asio::signal_set signals_{io_, SIGTERM, SIGINT};
  asio::steady_timer tick_timer_{io_};
  asio::steady_timer poll_timer_{io_};
  asio::steady_timer sweep_timer_{io_};
  asio::steady_timer end_timer_{io_};
  std::unique_ptr<Listener> listener_;
};

}  // namespace

Result<RowCounts> serve(const ServeOptions& options,
                        const std::function<void(const Ready&)>& ready) {
  return Server(options, ready).run();
}

}  // namespace limitr::server
