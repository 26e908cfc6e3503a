// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <limitr/options.h>
#include <limitr/result.h>
#include "base/text_map.h"
#include "engine/backoff.h"
#include "engine/dispatcher.h"
#include "engine/homes.h"
#include "engine/slot.h"
#include "engine/stored.h"
#include "store/store.h"

// Customers that other engines use at the same time, in a store that all of them share.
//
//   calls that wait:      decide on what is in memory    exchange with the store
//   one round    ------------------------------------> ------------------------------> answered
//                  ^                                                    | somebody was first
//                  '---- what the store has now is put in memory <------'
//
// INVARIANTS
// 1. One thread at a time leads: it runs all calls that wait, one after the other, and is the only
//    one to read or change customers. Who leads changes under leading_.
// 2. Nobody is answered before the store has said that all that the call has looked at, customers
//    and IDs that nobody has, is what the store has; and has taken what it changed in the same
//    step.
// 3. Calls of a round that have looked at the same customers stand or fall together. What falls is
//    undone in memory, and run again on what the store has now.
//    Those that stand are answered when their round ends.
// 4. A call that fails because the store does has changed nothing in memory. Where nobody knows
//    whether the store took it, memory forgets whom it concerned; with homes, the same transaction
//    is sent until the store has answered, and nobody looks at those customers before.
// 5. With homes, other threads answer calls of customers that are at home here and that no running
//    round has looked at. So whatever a leader changes in memory, it changes under the shards'
//    locks.
namespace limitr::engine {

class Engine;
class ShardLocks;

class Sharing {
public:
  Sharing(Engine& engine, std::unique_ptr<store::Store> store, const Options& options);
  /// stop(), unless that was done.
  ~Sharing();
  /// Closes, unless that was done, and answers all who are still waiting. The engine must still
  /// know that it shares, for their calls need it.
  void stop();
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

  /// Opens the store. Called once, before anything else.
  Result<void> open();
  /// Settles what engines before this one have left in the local file, from now on. Called once,
  /// when calls may be made.
  void settle_left();

  /// Runs a call as often as it takes, and returns the answer that counts; its events are sent
  /// then. A call that a call makes, through a host function, is a part of it. Errors also: those
  /// of Store::exchange(); store_unavailable, where others change what it rests on for too long.
  /// `about`: whom it is likely to need, so that they are read together with those of others.
  template <typename Body>
  auto run(const Body& body, bool changes, std::string_view about = {}) -> decltype(body()) {
    using Answer = decltype(body());
    if (is_leading()) {
      if (running_ != nullptr) running_->changes = running_->changes || changes;
      return body();
    }
    std::optional<Answer> answer;
    Task task{
        .body = [&] { answer.emplace(body()); }, .changes = changes, .about = std::string(about)};
    execute(task);
    if (task.failure) return *std::move(task.failure);
    return *std::move(answer);
  }
  /// The same without waiting: `then` is given what went wrong with the store, if anything, on a
  /// thread of the engine's own. False, and neither is kept: as many wait already as may.
  bool run_later(std::function<void()> body, std::function<void(const std::optional<Error>&)> then,
                 std::string about);
  /// Whether calls are made that wait their turn and that nobody waits for.
  bool has_later() const { return later_waiting_.load(std::memory_order_acquire) != 0; }
  /// What the worker does each time it wakes.
  /// How long it may sleep then; none: until something happens.
  std::optional<Millis> step();
  /// Null: each call is confirmed.
  Homes* homes() { return homes_.get(); }
  bool is_leading() const { return leader_.load() == std::this_thread::get_id(); }

  // What the running call does. REQUIRES: this thread leads.

  void note_found(Slot& slot);
  void note_nobody(std::string_view id);
  /// Somebody has given up that ID. Within the same call nobody can be made of it.
  void note_left(std::string_view id);
  bool has_left(std::string_view id) const;
  /// Whether this round has found already that nobody has that ID.
  bool is_nobodys(std::string_view id, std::uint32_t departures) const {
    const auto known = nobodies_.find(id);
    return known != nobodies_.end() && known->second == departures;
  }
  /// The customer is going to change or, with `is_new`, was just listed.
  void mark(Slot& slot, bool is_new = false);
  void note_loaded(Slot& slot, std::uint64_t version);
  /// The customer leaves memory.
  void forget(Slot& slot) { known_.erase(&slot); }
  /// Events of the call, to be sent when it counts, in the order of these shards' changes.
  void hold_back(Dispatcher::Batch batch, std::span<const std::uint32_t> shards);

  // As of Journal.

  Result<std::vector<Loaded>> read(std::span<const std::string> ids);
  Result<void> scan(const std::function<void(const store::StoredCustomer&)>& visit);
  void set_policy(std::string document);
  void note_estimates() { estimates_changed_.store(true, std::memory_order_relaxed); }
  Result<void> flush();
  /// Errors also: invalid_argument, for a call that is a part of another.
  Result<void> close();
  std::uint64_t customers_written() const { return customers_written_; }

private:
  struct Settling;
  struct Task {
    std::function<void()> body;
    bool changes = false;  // or may, as far as the calls that it has made so far show
    std::string about = {};
    Settling* settling = nullptr;                                // a call of the leader's own
    std::function<void(const std::optional<Error>&)> then = {};  // none: somebody waits
    Millis retry_at{0};  // by the clock of the homes: others are to give back what it needs
    int recalls = 0;
    bool was_cut_off = false;  // the connection broke off while this run was reading
    bool was_tried = false;    // by answer_at_home()
    bool is_done = false;      // guarded by mutex_, and so are the next two
    bool leads_next = false;
    std::condition_variable wakes = {};  // whoever waits for it
    std::optional<Error> failure = {};
    bool runs_alone = false;  // in a round of its own
    // Set when it falls for the first time: when it is given up.
    std::optional<Millis> deadline = {};
    // What this run has looked at, and its events.
    std::vector<Slot*> found = {};  // each retained
    std::vector<std::string> nobodies = {};
    std::vector<std::string> left = {};
    struct Held {
      Dispatcher::Batch batch;
      std::vector<std::uint32_t> shards;
    };
    std::vector<Held> held = {};
    std::vector<Dispatcher::Batch> batches = {};  // to be run by whoever the answer is for
  };
  struct Settling {
    std::string customer;
    state::Unreported unreported;
    std::optional<Error> failure;
    Task task{.body = {}, .changes = true, .settling = this};
  };
  // What is known of a customer in memory.
  struct Known {
    std::uint64_t version = 0;                     // 0: it is new
    std::uint64_t read_in = 0;                     // the round that it was read in
    std::unique_ptr<state::Customer> before = {};  // of one that is dirty and not new
    std::optional<Millis> others_until = {};       // when somebody else was last seen to write it
    bool is_dirty = false;
  };
  // Calls of a round that stand or fall together.
  struct Component {
    std::vector<Task*> tasks;
    std::vector<Slot*> slots;
    std::vector<std::string> nobodies;
    bool is_dirty = false;
    bool is_torn = false;    // one is made of an ID that another has given up
    bool is_report = false;  // of one customer, whom no call has looked at
  };
  // What was sent, or is to be.
  struct Sent {
    Component component;
    store::Transaction transaction;
    bool was_resent = false;      // it may have been taken before
    bool was_unanswered = false;  // before: whatever fails now, it may have been taken
  };

  void execute(Task& task);
  void work();

  // Runs one round of those that wait; how long until there is something to do, where there was
  // not. REQUIRES: leading_ is held, and finish_leading() follows.
  std::optional<Millis> lead();
  std::vector<Task*> take_tasks(std::optional<Millis>& wait);
  std::optional<Millis> wait_for_later();
  std::vector<Task*> run_round(std::vector<Task*> tasks);
  void run_bodies(std::span<Task* const> tasks);
  void run_adrift(std::span<Task* const> tasks, const Error& why);
  void answer_at_home();
  void leave_untried(std::vector<Task*>& tasks, std::vector<Task*>& left);
  void run_again(Component& component, std::vector<Task*>& left);
  void run_each_alone(Component& component, std::vector<Task*>& left);
  std::optional<store::Transaction> transaction_to_send(Component& component,
                                                        std::vector<Task*>& left);
  Result<void> exchange_all(std::vector<Sent> sent, std::vector<Task*>& left);
  void settle(Sent& sent, const store::Exchanged& exchanged, std::vector<Task*>& left);
  void settle_report(Sent& sent, const store::Exchanged& exchanged);
  bool was_taken(const Sent& sent, const store::Exchanged& exchanged) const;
  bool tells(const store::Exchanged& exchanged) const;
  void adopt(Sent& sent, const store::Exchanged& exchanged);
  std::vector<Component> components_of(std::span<Task* const> tasks);
  bool has_broken_off(const Error& error) const;
  bool was_cut_off(const Component& component) const;
  bool needs_exchange(const Component& component) const;
  static bool changes(const Component& component);
  bool is_elsewhere(const Component& component) const;
  void recall(std::vector<Component> components, std::vector<Task*>& left);
  store::Transaction transaction_of(const Component& component);
  void add_reports(std::vector<Sent>& sent);
  void settle_later(Slot& slot);
  void settle_one(Settling& one);
  void note_settled();
  void add_settling(std::vector<Task*>& tasks);
  void settle_all();
  Result<std::vector<store::Exchanged>> exchange(std::span<Sent> sent);
  Result<std::vector<store::Exchanged>> exchange_until_known(
      std::span<const store::Transaction> transactions, Millis patience, bool& is_resent);
  Millis running_time() const;
  void keep(Component& component, const store::Exchanged& exchanged);
  void undo(const Component& component);
  void forget_all(const Component& component);
  std::optional<Error> take_over(const std::vector<store::StoredCustomer>& current);
  void take_changed();
  void fail(Component& component, const Error& error);
  void leave_unanswered(Sent& sent, const Error& error);
  void let_go(const Component& component);
  void answer(std::span<Task* const> tasks);
  bool is_given_up(Task& task) const;
  void clear(Task& task);
  Result<void> be_up();
  Result<void> write_texts();
  Result<void> write_all();
  Result<void> report_all();
  void finish_leading(std::unique_lock<std::mutex> leading);
  void wake_next();
  void note_down(const Error& error);
  void keep_lease();
  Known& known(Slot& slot) { return known_[&slot]; }
  void lock(ShardLocks& locks, const state::Customer& customer) const;

  Engine& engine_;
  const std::unique_ptr<store::Store> store_;
  std::unique_ptr<Homes> homes_;
  const Millis timeout_;
  const std::size_t max_waiting_;
  const store::Owner owner_;

  std::mutex leading_;  // held by whoever leads
  std::atomic<std::thread::id> leader_{};
  Task* running_ = nullptr;
  absl::flat_hash_map<Slot*, Known> known_;
  std::vector<Sent> unanswered_;
  std::vector<std::unique_ptr<Settling>> settling_;
  // IDs that nobody has, found in this round, and how many customers had left their shards.
  TextMap<std::uint32_t> nobodies_;
  std::uint64_t round_ = 0;
  std::uint64_t transactions_ = 0;
  std::uint64_t customers_written_ = 0;
  bool is_open_ = false;
  bool is_up_ = false;
  Backoff backoff_;
  Millis renew_every_{0};
  std::chrono::steady_clock::time_point next_renewal_;
  std::atomic<bool> estimates_changed_{false};
  std::atomic<bool> unreachable_{false};  // reports wait until the store can be asked again
  std::atomic<bool> has_untried_{false};  // there are calls for answer_at_home()

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Task*> queue_;                   // guarded by mutex_; those of run_later() owned
  std::size_t later_ = 0;                      // guarded by mutex_: of run_later(), not answered
  std::atomic<std::size_t> later_waiting_{0};  // of run_later(), `then` not called
  bool later_came_ = false;                    // guarded by mutex_: the worker is to lead for them
  std::uint64_t later_made_ = 0;               // guarded by mutex_
  std::uint64_t later_done_ = 0;               // guarded by mutex_
  std::vector<std::unique_ptr<Task>> answered_;  // guarded by mutex_: those whose `then` is due
  std::optional<std::string> policy_;            // guarded by mutex_: to be written
  bool stop_ = false;                            // guarded by mutex_
  std::thread worker_;
};

}  // namespace limitr::engine
