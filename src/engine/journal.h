// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <limitr/options.h>
#include <limitr/result.h>
#include "engine/backoff.h"
#include "engine/pace.h"
#include "engine/slot.h"
#include "engine/stored.h"
#include "state/customer.h"
#include "store/store.h"

// Keeps in a store what changes in memory: group by group, each a cut between calls.
//
//             mark()             gather()           commit()
//   clean ------------> queued ------------> flying ------------> clean
//                         ^                    |  the store failed: back to what is safe,
//                         '--------------------'  and queued to be written again
//
// INVARIANTS
// 1. A customer is marked under its shard's lock before a call first changes it. All that one call
//    marks joins one group: the number is read once all of its locks are held.
// 2. A group is gathered shard by shard while calls go on. A customer of it that a call of the next
//    group wants to change is written for the group first. So a group holds whole calls only.
// 3. Groups are written in order, one at a time. What is safe is a prefix of them.
// 4. With sync durability, what a queued or flying customer was when it was last safe is kept, and
//    memory goes back to that when its group fails; whoever waits for the group, or a later one, is
//    told so. Nobody is told of a change before it is safe.
// 5. With interval and manual durability memory is never taken back: a group that failed is written
//    again before any other.
namespace limitr::engine {

class Engine;

class Journal {
public:
  /// What a shard has in the works. Guarded by the shard's lock.
  struct Queue {
    /// Customers marked for a group, by its number's last bit, in the order in which they were.
    std::array<std::vector<Slot*>, 2> slots;
    /// What customers were when the group that is being gathered was cut, where one after it has
    /// taken them over since.
    struct Written {
      Slot* slot;
      store::CustomerWrite write;
    };
    std::vector<Written> written;
    /// What customers were when they were last safe; none: not there.
    struct Safe {
      Slot* slot;
      std::optional<state::Customer> customer;
      /// Requests that were remembered when it was last safe, and have been pushed out since.
      std::vector<state::RememberedRequest> pushed_out = {};
    };
    std::vector<Safe> safe;  // each retained
  };

  Journal(Engine& engine, std::unique_ptr<store::Store> store, const Options& options);
  /// stop(), unless that was done.
  ~Journal();
  /// Closes, unless that was done, and answers all who are still waiting; what cannot be written is
  /// logged. The engine must still know its journal, for calls that nobody waits for need it.
  void stop();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// Opens the store; where the options say so, reads every customer into the engine. Called once,
  /// before anything else.
  Result<void> open();
  /// What the store has: read_from() and scan_from().
  Result<std::vector<Loaded>> read(std::span<const std::string> ids);
  Result<void> scan(const std::function<void(const store::StoredCustomer&)>& visit);

  /// The group that marks join now. A call reads it once, when it holds all of its locks.
  std::uint64_t current() const { return number_.load(std::memory_order_relaxed); }
  /// REQUIRES: the slot's shard is locked, and the customer is as it was before the call or, with
  /// `is_new`, was just listed.
  void mark(Slot& slot, std::uint64_t group, bool is_new = false);
  /// A marked customer remembers these requests no longer: they come back with what it was.
  /// REQUIRES: the slot's shard is locked.
  void note_pushed_out(const Slot& slot, std::vector<state::RememberedRequest> requests);
  /// The group that a marked slot's changes are in. REQUIRES: slot.group != 0, its shard is locked.
  std::uint64_t group_of(const Slot& slot) const;
  /// Another engine has taken the store over: nothing that is in memory counts any more.
  bool is_fenced() const { return is_fenced_.load(std::memory_order_acquire); }
  static Error fenced();
  bool is_sync() const { return durability_ == Durability::sync; }
  bool is_safe(std::uint64_t group) const { return group <= safe_.load(std::memory_order_acquire); }
  /// With interval durability, and as many customers waiting to be written as may: writes them.
  /// Errors: those of flush(); nothing has changed then.
  Result<void> make_room();
  /// Waits until that group is safe, writing it where nobody does yet. Errors: store_unavailable:
  /// the group was not written, and memory is as it was before; outcome_unknown.
  Result<void> wait(std::uint64_t group);

  void set_policy(std::string document);
  /// Calls that nobody waits for: `begin` decides one and returns its group, `complete` is called
  /// when that is settled. Both by the journal's own thread, in this order over all calls. False,
  /// and neither is kept: as many wait already as may.
  bool run_later(std::function<std::uint64_t()> begin, std::function<void()> complete);
  /// Notes that the statistics over all customers have changed.
  void note_estimates() { estimates_changed_.store(true, std::memory_order_relaxed); }

  /// Writes all that waits. Errors: those of wait().
  Result<void> flush();
  /// flush(), and Store::fold(). Errors: of both.
  Result<void> fold();
  /// flush(), and lets go of the store. Waits for the calls of run_later(), but where they may be
  /// waiting for this thread: in a handler, and in what `complete` does.
  Result<void> close();
  std::uint64_t customers_written() const { return customers_written_; }

private:
  // A group on its way.
  struct Flight {
    store::Group group;
    std::vector<Slot*> slots;  // retained
    bool empty() const { return group.empty() && slots.empty(); }
  };
  // What a group takes along besides customers.
  enum class With : std::uint8_t {
    due,  // what is due by now
    all,  // all that has changed
  };
  // Groups that failed: those who come late are told.
  struct Failure {
    std::uint64_t first;
    std::uint64_t last;
    Error error;
  };

  // A call that nobody waits for.
  struct Later {
    std::function<std::uint64_t()> begin;
    std::function<void()> complete;
  };

  void run();
  std::vector<Later> take_later(Millis pause);
  void run_those(const std::vector<Later>& calls);
  bool has_work() const;           // REQUIRES: writing_ is held.
  bool estimates_are_due() const;  // the same

  // REQUIRES: writing_ is held.
  Result<void> write_all();
  Result<void> write_group(With with = With::due);
  Flight gather(With with);
  void gather_shard(std::uint32_t shard, Flight& flight);
  void settle(Flight& flight);
  void fail(Flight flight, const Error& error);
  void refuse(Flight flight, const Error& error);
  void take_back();
  void note_down(const Error& error);
  static void let_go(Flight& flight);
  Result<void> commit(const store::Group& group);
  Result<void> reopen();
  void write_again(std::string_view why);
  void write_lost_again();
  Error fence();
  void keep_lease();
  // Whether the store has a group that it may or may not have taken; asks until the time is out.
  Result<bool> look_up(std::uint64_t group);
  void finish_writing(std::unique_lock<std::mutex> writing);

  void add_failure(std::uint64_t first, std::uint64_t last, const Error& error);
  std::optional<Error> failure_of(std::uint64_t group) const;

  Engine& engine_;
  const std::unique_ptr<store::Store> store_;
  const Durability durability_;
  const Millis interval_;
  const Millis timeout_;
  const bool load_all_;
  const std::size_t max_unwritten_;
  const store::Owner owner_;

  std::atomic<std::uint64_t> number_{1};    // of the group that is being marked for
  std::atomic<std::uint64_t> safe_{0};      // the last group that is
  std::atomic<std::size_t> queued_{0};      // customers
  std::atomic<std::size_t> again_size_{0};  // customers of `again_`, or while it is being written
  std::atomic<bool> estimates_changed_{false};
  std::uint64_t customers_written_ = 0;

  std::mutex writing_;            // held by whoever writes a group
  std::uint64_t base_ = 0;        // the store's number of a group is this much larger than ours
  std::uint64_t last_taken_ = 0;  // guarded by writing_: the store's last group, as far as known
  bool is_up_ = false;            // guarded by writing_: the store took its last group
  std::atomic<bool> is_fenced_{false};
  Backoff backoff_;                                       // guarded by writing_
  Millis renew_every_{0};                                 // 0: there is no lease
  std::chrono::steady_clock::time_point next_renewal_;    // guarded by writing_
  std::chrono::steady_clock::time_point next_estimates_;  // guarded by writing_
  std::optional<Flight>
      again_;  // guarded by writing_: to be written, or looked up, before any other

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable later_came_;  // what run() waits for
  std::uint64_t finished_ = 0;          // guarded by mutex_: how often writing has ended
  std::deque<Failure> failures_;        // guarded by mutex_
  std::optional<std::string> policy_;   // guarded by mutex_: to be written
  std::vector<Later> later_;            // guarded by mutex_
  Pace later_pace_;                     // guarded by mutex_
  std::uint64_t later_made_ = 0;        // guarded by mutex_
  std::uint64_t later_done_ = 0;        // guarded by mutex_
  bool stop_ = false;                   // guarded by mutex_
  std::thread writer_;
  bool is_open_ = false;  // guarded by writing_
};

}  // namespace limitr::engine
