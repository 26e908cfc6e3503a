// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <limitr/error.h>
#include <limitr/time.h>
#include "core/decide.h"
#include "engine/slot.h"
#include "engine/unreported_file.h"
#include "state/cloud.h"
#include "store/homes.h"

// Customers that are at home with this engine: which calls it may answer by itself, and what it
// says of them to the store. docs/protocol.md has the rules by these numbers.
//
//                      prepare()                    confirmed()
//   at the server ----------------> on its way ------------------> at home: use()
//         ^                                                           |
//         '------- confirmed(), where the version gives it back <-----'
//
// INVARIANTS
// 1. A customer is at home here from when the store has confirmed a version that says so, until a
//    version that does not is prepared, or the store has refused one of ours.
// 2. What was answered without asking and is in no confirmed version is, for each meter and cap, at
//    most what the newest confirmed version sets aside, and at most what one that is on its way
//    does from when it was prepared.
// 3. What was answered and not confirmed is never forgotten: it is in a stay, or in a list of what
//    is to be settled. Where there is a local file, it is there too before it is answered, and
//    stays there until the store has confirmed it.
namespace limitr::engine {

class Engine;
class Locked;

class Homes {
public:
  Homes(Engine& engine, store::Homes& port);
  ~Homes();
  Homes(const Homes&) = delete;
  Homes& operator=(const Homes&) = delete;

  /// Opens the local file, where there is to be one. Errors: those of UnreportedFile::open().
  Result<void> open_file();
  /// What engines before this one have left there is to be settled from now on. Whether there is
  /// anything.
  bool take_left();
  /// Others may have the file.
  void close_file();

  std::string_view engine() const { return port_.engine(); }
  store::Homes& port() const { return port_; }

  // Calls that are answered without asking. REQUIRES: the customers' shards are locked.

  /// Whether calls of the customer may be.
  static bool is_here(const Slot& slot) {
    if (slot.in_round != Slot::Round::none || slot.customer.cloud == nullptr) return false;
    const state::Cloud& cloud = *slot.customer.cloud;
    return cloud.stay && cloud.stay->is_confirmed && !cloud.stay->is_recalled;
  }
  /// Whether what a call changes of customers that are here fits into their room.
  bool covers(const Locked& locked, const core::Outcome& outcome) const;
  /// Counts what a call that is covered has changed.
  void use(Locked& locked, const core::Outcome& outcome);
  /// The customer was brought up to date, no more.
  void touch(Slot& slot);

  // Calls that are confirmed. REQUIRES: this thread leads, and the slot's shard is locked.

  /// What such a call has changed says what room is needed for the next.
  void note_decided(Locked& locked, const core::Outcome& outcome);
  /// Whether the customer is at home here, whatever calls are looking at it.
  bool stays(const Slot& slot) const {
    return slot.customer.cloud != nullptr && slot.customer.cloud->stay &&
           slot.customer.cloud->stay->is_confirmed;
  }
  /// Whether nothing rests on the version that is here: it is neither at home nor being looked at,
  /// and nothing that was used is unreported. REQUIRES: its shard is locked, no more.
  static bool is_at_rest(const Slot& slot) {
    if (slot.in_round != Slot::Round::none) return false;
    if (slot.customer.cloud == nullptr || !slot.customer.cloud->stay) return true;
    const state::Stay& stay = *slot.customer.cloud->stay;
    return !stay.is_confirmed && !stay.is_adrift && stay.kept == nullptr;
  }
  /// `now` is undone, for `was`, or for nobody: what it has been told meanwhile, that is told too.
  void undone(state::Customer* was, state::Customer& now);
  /// While it is set, calls are decided without a connection and without room.
  void set_adrift(bool is_adrift) { is_adrift_ = is_adrift; }
  bool is_adrift() const { return is_adrift_; }
  /// While it is set, calls are made only to say why there is no connection.
  void set_cut_off(const Error* why) { cut_off_ = why; }
  const Error* cut_off() const { return cut_off_; }
  /// A call without a connection has changed the customer: what it used is to be added to what the
  /// store has.
  void note_adrift(Slot& slot);
  /// Whether somebody else is the home.
  bool is_elsewhere(const Slot& slot) const;
  /// Whether it was used without a connection while somebody else is the home.
  bool is_owed_elsewhere(const Slot& slot) const;
  /// A version of the customer is going to be written by that transaction: signs it, and sets the
  /// room anew. `others_until`: as others_wrote() said when it was read.
  void prepare(Slot& slot, std::uint64_t number, std::optional<Millis> others_until);
  /// The store has it.
  void confirmed(Slot& slot);
  /// It was not sent at all, or certainly not taken, and the customer stays what it is.
  void not_taken(Slot& slot);
  /// The store had it, and has another's version by now: lost() follows.
  void taken(Slot& slot);
  /// The store has another's version: what was used here and is in no version is to be
  /// settled, by a call of the leader's own.
  void lost(Slot& slot);
  /// The time now, where somebody else wrote the customer last.
  std::optional<Millis> others_wrote(const Slot& slot) const;
  /// The store says that the customer's home is lost.
  void lose(Slot& slot);

  // What is to be reported.

  /// Those that have something to report, each retained.
  std::vector<Slot*> take_due();
  /// Whether there is something to report of one that was due; prepare() follows then. REQUIRES:
  /// its shard is locked.
  bool begin_report(Slot& slot);
  /// One that cannot be reported on now.
  void put_back(Slot* slot);
  /// How long the next report may wait; none: there is nothing to report.
  std::optional<Millis> wait() const;
  /// From now on, every version that is prepared gives its customer back. All that are here are
  /// due.
  void give_back_all();
  /// Others want these.
  void recall(std::span<const std::string> customers);
  /// Makes those that have room and were idle for long due.
  void shrink_idle();
  std::vector<std::pair<std::string, state::Unreported>> take_unsettled();
  std::size_t unsettled() const {
    const std::lock_guard lock(mutex_);
    return unsettled_.size();
  }
  void put_back_unsettled(std::string customer, state::Unreported unreported);
  /// It is going to be settled by that transaction.
  void settle_by(const state::Unreported& unreported, std::uint64_t number);
  /// It may be settled by that transaction, whose answer was lost.
  void may_be_settled_by(state::Unreported& unreported, std::uint64_t number) const;
  /// The store has it.
  void settled(const state::Unreported& unreported);

  /// Called when a report is urgent.
  void on_urgent(std::function<void()> wake) { wake_ = std::move(wake); }

private:
  struct Recalled {
    Millis at{0};     // when it was given back
    Millis alone{0};  // how long an engine must be alone before it takes the customer again
  };

  Slot& slot_of(Locked& locked, state::Family::Index who) const;
  const Slot& slot_of(const Locked& locked, state::Family::Index who) const;
  void count(Locked& locked, const core::Outcome& outcome, bool is_used);
  void make_due(Slot& slot, bool is_urgent);
  void size_room(state::Customer& customer, bool takes) const;
  void keep_use(state::Stay& stay);
  void end_kept(state::Stay& stay);
  void note_given_back(const std::string& customer, const state::Stay& stay);
  bool may_take(const Slot& slot, std::optional<Millis> others_until) const;

  Engine& engine_;
  store::Homes& port_;
  const double share_;
  std::unique_ptr<UnreportedFile> file_;  // null: there is none; written by the leader
  std::function<void()> wake_;
  bool gives_back_ = false;
  bool is_adrift_ = false;
  const Error* cut_off_ = nullptr;

  // Leader's.
  absl::flat_hash_set<Slot*> here_;  // each retained
  absl::flat_hash_map<std::string, Recalled> recalled_;
  std::deque<std::pair<Slot*, Millis>> watched_;  // each retained, and since when

  mutable std::mutex mutex_;
  std::vector<Slot*> due_;           // each retained; guarded by mutex_
  std::optional<Millis> due_since_;  // guarded by mutex_
  std::atomic<bool> is_urgent_{false};
  std::vector<std::pair<std::string, state::Unreported>> unsettled_;  // guarded by mutex_
};

}  // namespace limitr::engine
