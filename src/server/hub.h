// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <limitr/json.h>
#include <limitr/result.h>
#include <limitr/time.h>
#include "server/control.h"
#include "wire/messages.h"

// Who is connected to one project, whose lease runs, and who is asked to give what back. Nothing
// here is needed for limits to hold (docs/protocol.md, Why limits hold): it only decides how soon
// customers move. No sockets, threads or clocks: what happens comes in, what is to be done comes
// out.
namespace limitr::server {

/// When something happened.
struct Moment {
  Millis steady{0};     ///< By a clock that never goes back and runs on in suspend.
  Timestamp wall = {};  ///< What engines and people are told.
};

using SessionId = std::uint64_t;

/// To be sent to a session, in the order of these.
struct Send {
  SessionId session = 0;
  wire::Reply reply;
};
/// The same to each of these.
struct Broadcast {
  std::vector<SessionId> sessions;
  wire::Reply reply;
};
/// To be closed, after what was to be sent before. The hub has forgotten it.
struct Cut {
  SessionId session = 0;
  wire::Close code = wire::Close::normal;
  std::string reason;
};
/// A version of the policy that is not the active one.
struct PolicyAt {
  std::uint64_t version = 0;
};
/// To be done with the rows or with what Control keeps, and answered with finished().
struct Work {
  SessionId session = 0;
  std::uint64_t n = 0;
  Caller caller = {};
  std::variant<wire::Read, wire::Exchange, wire::Scan, wire::Estimates, wire::Admin, PolicyAt> what;
};
/// An engine whose lease runs.
struct Leased {
  std::string engine;
  Millis left{0};
  bool deny_unconnected = true;
};
using Output = std::variant<Send, Broadcast, Cut, Work>;

/// What the other servers of the same rows know of engines that are not connected here.
class Peers {
public:
  virtual ~Peers() = default;
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  /// Whether the engine's lease runs at one of them.
  virtual bool is_alive(std::string_view engine) const = 0;
  /// Has it asked for these, if it is connected to one of them.
  virtual void recall(const wire::HomeOf& homes) = 0;

protected:
  Peers() = default;
};

struct HubOptions {
  std::string project;
  std::string server = {};  ///< Our name, for people.
  Millis lease{4'000};
  Millis greeting{10'000};          ///< How long a session may take to say hello.
  std::size_t most_requests = 256;  ///< On their way, of one session.
  std::uint64_t max_message = 1 << 20U;
};

inline constexpr std::size_t request_types = std::variant_size_v<decltype(wire::Request::body)>;
/// As `type` says it, in the order of wire::Request::body.
inline constexpr std::array<std::string_view, request_types> request_names = {
    "hello", "read", "exchange", "recall", "scan", "estimates", "renew", "bye", "admin"};

struct HubCounts {
  std::array<std::uint64_t, request_types> requests{};
  std::uint64_t recalled = 0;  ///< Customers that engines were asked to give back.
  std::uint64_t failed = 0;    ///< Requests that were answered with an error.
};

///   connected()            hello              bye, a newer connection of the engine, a broken rule
///  -------------> waiting -------> greeted -------------------------------------------------> cut
///                    '- not in time: cut
///
/// An engine's lease does not end with its connection: only with time, or when it says bye.
class Hub {
public:
  /// `peers`: null where this is the only server. They must outlive the hub.
  Hub(HubOptions options, Moment started, Peers* peers = nullptr);

  // What happens. Whatever is said of a session that is not there any more is passed over.
  void connected(SessionId session, Caller caller, Moment now);
  void received(SessionId session, wire::Request request, Moment now);
  /// What was received could not be read, but for its number perhaps.
  void received_nonsense(SessionId session, std::optional<std::uint64_t> n, const Error& error);
  /// The answer to a Work.
  void finished(SessionId session, std::uint64_t n, decltype(wire::Reply::body) answer, Moment now);
  /// Others have changed rows that an engine has written.
  void changed(SessionId session, wire::ChangedRows rows);
  void disconnected(SessionId session);
  /// The policy that is active from now on. Until there is one, no engine is welcome.
  void set_policy(wire::PolicyVersion policy);
  /// These tokens were revoked.
  void revoked(std::span<const std::string> token_ids);
  /// Has an engine asked for these, wherever it is connected.
  void recall(const wire::HomeOf& homes, Moment now);
  /// Of another server: a recall for engines that are connected here.
  void recalled_by_peer(const wire::HomeOf& homes, Moment now);
  /// Wanted about once a second.
  void tick(Moment now);
  /// Everyone is told to go, and nobody may come any more.
  void drain();

  /// What is to be done since the last time.
  std::vector<Output> take();

  bool is_lost(std::string_view engine, Moment now) const;
  std::uint64_t policy_version() const { return policy_ ? policy_->version : 0; }
  std::size_t sessions() const { return sessions_.size(); }
  std::vector<Leased> leased(Moment now) const;
  /// Grows when an engine comes or says bye.
  std::uint64_t arrivals() const { return arrivals_; }
  /// Engines that go on without a connection, from their copies, and have none now, here or at
  /// another server; for a day, or until they come back or have said bye.
  std::size_t away_serving(Moment now) const;
  /// The tokens that sessions were opened with.
  std::vector<std::string> token_ids() const;
  /// For people.
  Json engines(Moment now) const;
  const HubCounts& counts() const { return counts_; }

private:
  struct Session {
    Caller caller;
    Millis connected{0};
    bool is_greeted = false;
    bool follows_policy = false;
    std::string engine = {};  // empty: none, or none yet
    std::string limitr = {};
    std::size_t requests = 0;  // on their way
  };
  struct Engine {
    Millis lease_end{0};
    bool deny_unconnected = true;
    SessionId session = 0;                   // 0: not connected
    std::map<std::string, Millis> recalled;  // when it was asked last
  };

  void handle(SessionId id, std::uint64_t n, wire::Hello& hello, Moment now);
  void handle(SessionId id, std::uint64_t n, wire::RecallHomes& recall, Moment now);
  void handle(SessionId id, std::uint64_t n, wire::Renew& renew, Moment now);
  void handle(SessionId id, std::uint64_t n, wire::Bye& bye, Moment now);
  void handle(SessionId id, std::uint64_t n, wire::Admin& admin, Moment now);
  template <typename Request>
  void handle(SessionId id, std::uint64_t n, Request& request, Moment now);

  bool may(SessionId id, std::uint64_t n, bool has_scope, std::string_view scope);
  void work(SessionId id, std::uint64_t n, decltype(Work::what) what);
  void settle(SessionId id, const wire::Hello& hello, Moment now);
  void welcome(SessionId id, std::uint64_t n, const wire::PolicyVersion& policy, Moment now);
  void ask_back(const wire::HomeOf& homes, Moment now);
  void forget_leases(Moment now);
  void note_away(const std::string& engine, Moment now);
  bool is_elsewhere(std::string_view engine) const;
  void send(SessionId id, std::optional<std::uint64_t> n, decltype(wire::Reply::body) body);
  void fail(SessionId id, std::optional<std::uint64_t> n, ErrorCode code, std::string message);
  void cut(SessionId id, wire::Close code, std::string reason);

  const HubOptions options_;
  const Millis started_;
  Peers* const peers_;
  std::optional<wire::PolicyVersion> policy_;
  // In order: the same input gives the same output.
  std::map<SessionId, Session> sessions_;
  std::map<std::string, Engine, std::less<>> engines_;  // whose lease runs, or who are connected
  /// Those of deny_unconnected false whose lease has ended: when they were seen last.
  std::map<std::string, Millis, std::less<>> away_;
  std::set<std::string, std::less<>> left_;  // said bye while unknown ones are waited for
  std::uint64_t arrivals_ = 0;
  bool is_draining_ = false;
  std::vector<Output> outputs_;
  HubCounts counts_;
};

}  // namespace limitr::server
