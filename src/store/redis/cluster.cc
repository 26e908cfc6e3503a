// SPDX-License-Identifier: Apache-2.0
#include "store/redis/cluster.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "store/redis/calls.h"

namespace limitr::store::redis {
namespace {

using std::chrono::steady_clock;

constexpr Millis pause(2);  // before what a slot that is being moved has refused is sent again
constexpr int hurried_tries = 3;  // without one, where a slot has moved

}  // namespace

std::optional<Address> SlotMap::master_of(Slot slot) const {
  const std::lock_guard lock(mutex_);
  const std::uint16_t at = of_slot_[slot];
  return at == 0 ? std::nullopt : std::optional(masters_[at - 1U]);
}

std::string SlotMap::name_of_master(Slot slot) const {
  const std::lock_guard lock(mutex_);
  const std::uint16_t at = of_slot_[slot];
  return at == 0 ? std::string() : names_[at - 1U];
}

std::map<Address, Slot> SlotMap::masters() const {
  const std::lock_guard lock(mutex_);
  std::map<Address, Slot> all;
  for (std::size_t slot = 0; slot < slot_count; ++slot) {
    if (of_slot_[slot] != 0)
      all.try_emplace(masters_[of_slot_[slot] - 1U], static_cast<Slot>(slot));
  }
  return all;
}

bool SlotMap::learn(const Value& slots, const std::string& host) {
  const std::lock_guard lock(mutex_);
  masters_.clear();
  const std::vector<std::string> names_before = std::exchange(names_, {});
  const auto of_slot_before = of_slot_;
  of_slot_.fill(0);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const Value range = slots[i];
    if (range.size() < 3 || range[2].size() < 2) continue;
    Address master{.host = std::string(range[2][0].text()),
                   .port = static_cast<std::uint16_t>(range[2][1].number())};
    if (master.host.empty()) master.host = host;
    const auto found = std::find(masters_.begin(), masters_.end(), master);
    const auto at = static_cast<std::uint16_t>(found - masters_.begin() + 1);
    if (found == masters_.end()) {
      masters_.push_back(std::move(master));
      names_.emplace_back(range[2].size() > 2 ? range[2][2].text() : std::string_view());
    }
    const std::int64_t end = std::min<std::int64_t>(range[1].number(), slot_count - 1);
    for (std::int64_t slot = std::max<std::int64_t>(range[0].number(), 0); slot <= end; ++slot) {
      of_slot_[static_cast<std::size_t>(slot)] = at;
    }
  }
  if (names_ != names_before || of_slot_ != of_slot_before) ++changes_;
  is_doubted_ = masters_.empty();
  return !is_doubted_;
}

std::uint64_t SlotMap::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

bool SlotMap::is_doubted() const {
  const std::lock_guard lock(mutex_);
  return is_doubted_;
}

void SlotMap::set_doubted(bool is_doubted) {
  const std::lock_guard lock(mutex_);
  is_doubted_ = is_doubted;
}

std::string base_of(const std::string& prefix, Slot slot) {
  return fmt::format("{}:s:{{{}}}", prefix, tag_of(slot));
}

Cluster::Cluster(const RedisOptions& options, SlotMap& map, bool is_writing)
    : options_(options), map_(map), is_writing_(is_writing) {}

RedisOptions Cluster::options_at(const Address& address) const {
  RedisOptions options = options_;
  options.socket.clear();
  options.host = address.host;
  options.port = address.port;
  return options;
}

Result<std::unique_ptr<Session>> Cluster::connect(const RedisOptions& options) {
  Result<std::unique_ptr<Session>> session = Session::open(options);
  if (session.ok() && !(*session)->is_cluster()) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = fmt::format("`{}` is no longer a node of a Redis Cluster: close the "
                                        "store and open it anew",
                                        place_of(options))};
  }
  return session;
}

// What is wrong with a node that is there, so that nothing was written yet.
Result<void> Cluster::look_at(Session& session, Slot any_slot) {
  auto weakness = session.weakness();
  if (!weakness.ok()) return std::move(weakness).error();
  if (*weakness && !options_.accept_weaker) {
    return Error{.code = ErrorCode::store_weaker,
                 .message = **weakness +
                            ": what was answered may be lost; set the server so, or accept what is "
                            "weaker"};
  }
  if (*weakness && !weaker_) weaker_ = *std::move(weakness);
  const Result<Reply> checked = session.connection().run(
      session.call(Script::cluster_check, base_of(options_.prefix, any_slot)));
  if (!checked.ok()) return checked.error();
  const Value value = checked->value();
  // Where the slot is no longer there, its new master was looked at, or will be.
  if (!value.is_error() || says(value, "MOVED") || says(value, "ASK") || says(value, "TRYAGAIN")) {
    return {};
  }
  return error_of(value, session.place());
}

Result<Session*> Cluster::session_at(const Address& address, Slot any_slot) {
  std::unique_ptr<Session>& session = sessions_[address];
  if (session) return session.get();
  Result<std::unique_ptr<Session>> opened = connect(options_at(address));
  if (!opened.ok()) return without_outcome(std::move(opened).error());
  if (is_writing_) {
    if (auto looked = look_at(**opened, any_slot); !looked.ok()) {
      return without_outcome(std::move(looked).error());
    }
  }
  session = *std::move(opened);
  return session.get();
}

Result<void> Cluster::learn_from(Session& session, const std::string& host) {
  const Result<Reply> reply = session.connection().run(Command().add("CLUSTER").add("SLOTS"));
  if (!reply.ok()) return without_outcome(reply.error());
  if (reply->value().is_error()) return without_outcome(error_of(reply->value(), session.place()));
  if (map_.learn(reply->value(), host)) return {};
  return Error{.code = ErrorCode::store_unavailable,
               .message = fmt::format("`{}` knows no slots of its Redis Cluster", session.place())};
}

Result<void> Cluster::learn() {
  for (auto& [address, session] : sessions_) {
    if (!session) continue;
    if (learn_from(*session, address.host).ok()) return {};
    session.reset();
  }
  for (const auto& [address, slot] : map_.masters()) {
    const Result<Session*> session = session_at(address, slot);
    if (session.ok() && learn_from(**session, address.host).ok()) return {};
  }
  const Result<std::unique_ptr<Session>> session = connect(options_);
  if (!session.ok()) return without_outcome(session.error());
  return learn_from(**session, options_.host);
}

Result<void> Cluster::connect_all() {
  for (const auto& [address, slot] : map_.masters()) {
    const Result<Session*> session = session_at(address, slot);
    if (session.ok() || session.error().code == ErrorCode::store_unavailable) continue;
    return session.error();
  }
  return {};
}

Result<std::optional<std::string>> Cluster::weakness() {
  std::optional<std::string> all;
  for (const auto& [address, slot] : map_.masters()) {
    const Result<Session*> session = session_at(address, slot);
    if (!session.ok()) return session.error();
    auto one = (*session)->weakness();
    if (!one.ok()) return std::move(one).error();
    if (*one && !all) all = *std::move(one);
  }
  return all;
}

Result<Software> Cluster::software() {
  Software all;
  for (const auto& [address, slot] : map_.masters()) {
    const Result<Session*> session = session_at(address, slot);
    if (!session.ok()) continue;
    const Result<Software> one = (*session)->software();
    if (!one.ok()) return one.error();
    all.version = one->version;
    all.used_memory += one->used_memory;
  }
  return all;
}

// The calls of one run(), until each has its answer.
class Cluster::Run {
public:
  Run(Cluster& cluster, std::span<const Call> calls, Millis longer)
      : cluster_(cluster),
        calls_(calls),
        longer_(longer),
        deadline_(steady_clock::now() + cluster.options_.command_timeout + longer),
        answers_(calls.size()) {}

  std::vector<Result<Answer>> all() {
    std::vector<std::size_t> pending(calls_.size());
    for (std::size_t i = 0; i < pending.size(); ++i) pending[i] = i;
    for (int tries = 0; !pending.empty(); ++tries) {
      if (cluster_.map_.is_doubted()) {
        // Where nobody tells, the calls go where the map leads, and fail by themselves.
        [[maybe_unused]] const auto learnt = cluster_.learn();
      }
      must_wait_ = false;
      send(pending);
      std::erase_if(pending, [this](std::size_t i) { return answers_[i].has_value(); });
      if (pending.empty()) break;
      if (steady_clock::now() > deadline_) {
        for (const std::size_t i : pending) give_up_moving(i);
        break;
      }
      if (must_wait_ || tries >= hurried_tries) std::this_thread::sleep_for(pause);
    }
    std::vector<Result<Answer>> all;
    all.reserve(answers_.size());
    for (std::optional<Result<Answer>>& answer : answers_) all.push_back(*std::move(answer));
    return all;
  }

private:
  // What goes to one node.
  struct Share {
    Address address;
    Session* session;
    std::vector<std::size_t> calls;
  };

  void send(const std::vector<std::size_t>& pending) {
    std::map<Address, Share> by_node;
    for (const std::size_t i : pending) {
      const Slot slot = calls_[i].slot;
      const std::optional<Address> address = cluster_.map_.master_of(slot);
      if (!address) {
        cluster_.map_.doubt();
        answers_[i] = Error{.code = ErrorCode::store_unavailable,
                            .message = fmt::format("no node of the Redis Cluster at `{}` has slot "
                                                   "{}: look at CLUSTER INFO",
                                                   place_of(cluster_.options_), slot)};
        continue;
      }
      if (const auto failed = unreachable_.find(*address); failed != unreachable_.end()) {
        answers_[i] = failed->second;
        continue;
      }
      const auto found = by_node.find(*address);
      if (found != by_node.end()) {
        found->second.calls.push_back(i);
        continue;
      }
      const Result<Session*> session = cluster_.session_at(*address, slot);
      if (session.ok()) {
        by_node.emplace(*address, Share{*address, *session, {i}});
        continue;
      }
      // Its slots may have another master by now; if not, this is the answer.
      cluster_.map_.doubt();
      unreachable_.emplace(*address, session.error());
      if (session.error().code != ErrorCode::store_unavailable) answers_[i] = session.error();
    }
    exchange(by_node);
  }

  void exchange(const std::map<Address, Share>& by_node) {
    std::vector<const Share*> shares;
    std::vector<Batch> batches;
    for (const auto& [address, share] : by_node) {
      shares.push_back(&share);
      Batch& batch = batches.emplace_back(share.session->connection());
      for (const std::size_t i : share.calls) batch.add(command_of(calls_[i], *share.session));
    }
    Connection::run_all(batches, longer_);
    for (std::size_t i = 0; i < batches.size(); ++i) take(*shares[i], batches[i]);
  }

  static Command command_of(const Call& call, const Session& session) {
    if (!call.script) return call.arguments;
    Command command = session.call(*call.script, call.base);
    command.add_all(call.arguments);
    return command;
  }

  void take(const Share& share, Batch& batch) {
    bool is_missing = false;
    for (std::size_t i = 0; i < batch.replies.size(); ++i) {
      is_missing |= take_reply(share.calls[i], *share.session, std::move(batch.replies[i]));
    }
    if (batch.failure) {
      lose(share, *batch.failure, batch.replies.size());
    } else if (is_missing) {
      const auto loaded = share.session->load_scripts();
      if (!loaded.ok()) lose(share, without_outcome(loaded.error()), share.calls.size());
    }
  }

  /// Whether the script was missing.
  bool take_reply(std::size_t i, const Session& session, Reply reply) {
    const Value value = reply.value();
    if (!value.is_error()) {
      if (calls_[i].script && value.size() == 0) {
        answers_[i] = Error{.code = ErrorCode::outcome_unknown,
                            .message = fmt::format("`{}` answers a script with what is no answer",
                                                   session.place())};
      } else {
        answers_[i] = Answer(std::move(reply));
      }
      return false;
    }
    const bool has_moved = says(value, "MOVED");
    const bool is_moving = says(value, "ASK") || says(value, "TRYAGAIN");
    if (has_moved || is_moving) {
      cluster_.map_.doubt();
      must_wait_ |= is_moving;
      return false;
    }
    if (says(value, "NOSCRIPT")) return true;
    answers_[i] = error_of(value, session.place());
    return false;
  }

  /// The connection has failed; the first calls were answered.
  void lose(const Share& share, const Error& error, std::size_t answered) {
    cluster_.sessions_[share.address].reset();
    cluster_.map_.doubt();
    // What was closed before anything was sent is opened again, once.
    const bool is_sent = error.code != ErrorCode::store_unavailable;
    if (!is_sent && renewed_.insert(share.address).second) return;
    for (std::size_t i = answered; i < share.calls.size(); ++i) answers_[share.calls[i]] = error;
    unreachable_.emplace(share.address, without_outcome(error));
  }

  void give_up_moving(std::size_t i) {
    answers_[i] =
        Error{.code = ErrorCode::store_unavailable,
              .message = fmt::format("slot {} of the Redis Cluster at `{}` is being moved "
                                     "to another node: try again",
                                     calls_[i].slot, place_of(cluster_.options_))};
  }

  Cluster& cluster_;
  const std::span<const Call> calls_;
  const Millis longer_;
  const steady_clock::time_point deadline_;
  std::vector<std::optional<Result<Answer>>> answers_;
  std::map<Address, Error> unreachable_;
  std::set<Address> renewed_;
  bool must_wait_ = false;
};

std::vector<Result<Answer>> Cluster::run(std::span<const Call> calls, Millis longer) {
  return Run(*this, calls, longer).all();
}

Result<Answer> Cluster::run(const Call& call) {
  return std::move(run(std::span(&call, 1)).front());
}

}  // namespace limitr::store::redis
