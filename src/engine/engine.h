// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_set.h>

#include <limitr/limitr.h>
#include "base/text_map.h"
#include "core/decide.h"
#include "core/estimates.h"
#include "engine/dispatcher.h"
#include "engine/journal.h"
#include "engine/requests.h"
#include "engine/sharing.h"
#include "engine/slot.h"
#include "env/random_ids.h"
#include "env/system_time.h"
#include "policy/policy.h"
#include "state/changes.h"

// The shell around core: finds and locks the customers of a call, applies what core decided, and
// sends the events. The methods of Limitr are built on it, one file a group.
//
// INVARIANTS
// 1. A customer is read and changed only under its shard's lock. A call that touches several holds
//    the locks of all of them from before it decides until everything is applied, so nobody ever
//    sees half of it.
// 2. Locks are taken in the order of the shards' numbers, or only tried.
// 3. No lock is held while a handler or host function runs.
// 4. A call sees one policy: that of its caller's shard, under whose lock it stays.
// 5. An ID, and an alternate ID, is listed in the shard of its own hash; no text is listed as both.
// 6. While a snapshot is being taken, a customer that it does not have yet is written to it
//    before it is changed.
// 7. Where customers are read from a store on demand, one that is in memory is what counts. Only
// one
//    that is as the store has it, and that nobody refers to, is let go; and nothing that was read
//    is listed in a shard that a customer has left since before it was read.
namespace limitr::engine {

using PolicyPointer = std::shared_ptr<const policy::Policy>;
using state::Customer;
using state::Family;

/// An ID whose hash is known.
struct HashedId {
  std::string_view id;
  std::size_t hash;
};

struct SlotHash {
  using is_transparent = void;
  std::size_t operator()(const HashedId& id) const { return id.hash; }
  std::size_t operator()(const Slot* slot) const { return TextHash()(slot->customer.id); }
  std::size_t operator()(std::string_view id) const { return TextHash()(id); }
};
struct SlotEqual {
  using is_transparent = void;
  bool operator()(const Slot* a, const Slot* b) const { return a == b; }
  bool operator()(const Slot* slot, std::string_view id) const {
    // It is hardly ever another one: what comes behind the ID is fetched while the ID is compared.
    slot->prefetch();
    return slot->customer.id == id;
  }
  bool operator()(std::string_view id, const Slot* slot) const { return (*this)(slot, id); }
  bool operator()(const Slot* slot, const HashedId& id) const { return (*this)(slot, id.id); }
  bool operator()(const HashedId& id, const Slot* slot) const { return (*this)(slot, id.id); }
};

/// What a snapshot has gathered: `"ID":record` and remembered requests, each joined by commas.
struct SnapshotText {
  std::string records = {};
  std::string requests = {};
  std::vector<std::uint64_t> groups = {};  ///< The journal's that it rests on, and not safe then.
};

/// The customers of one hash range. Each on cache lines of its own.
struct alignas(64) Shard {
  std::mutex mutex;
  PolicyPointer policy;
  absl::flat_hash_set<Slot*, SlotHash, SlotEqual> customers;
  TextMap<std::string> alts;   ///< Alternate ID -> the customer's own.
  SnapshotText snapshot;       ///< What the running snapshot got ahead of its turn.
  std::vector<Slot*> removed;  ///< Kept until the running snapshot ends.
  Journal::Queue queue;        ///< What is on its way to the store.
  std::uint64_t left_in = 0;   ///< The journal's last group that took away an ID listed here.
  // On demand only.
  std::vector<Slot*> leaving;  ///< Removed, while the store may have them still. Retained.
  std::vector<Slot*> loaded;   ///< Those that can be let go.
  std::size_t hand = 0;        ///< In `loaded`: where the search for one to let go stopped.
};

/// The locks of some shards. Lets go of them at its end, or earlier.
class ShardLocks {
public:
  explicit ShardLocks(std::span<Shard> shards) : shards_(shards.data()) {}
  [[gnu::always_inline]] ~ShardLocks() { unlock(); }
  ShardLocks(const ShardLocks&) = delete;
  ShardLocks& operator=(const ShardLocks&) = delete;

  /// Holds that shard's lock too. Where it cannot be had in order without waiting, lets go of all,
  /// takes them again in order together with it, and returns false: what was read is stale.
  bool add(std::uint32_t shard) {
    if (first_ == shard) return true;
    if (first_ != none) return add_another(shard);
    shards_[shard].mutex.lock();
    first_ = shard;
    return true;
  }
  /// Holds that shard's lock too, if it can be had at once.
  bool try_add(std::uint32_t shard);
  [[gnu::always_inline]] void unlock() {
    if (first_ == none) return;
    if (!held_.empty()) return unlock_all();
    shards_[first_].mutex.unlock();
    first_ = none;
  }
  /// Lets go of all while `work` runs, and takes them again: what was read is stale.
  template <typename Work>
  void without(const Work& work) {
    const std::vector<std::uint32_t> held(this->held().begin(), this->held().end());
    unlock();
    work();
    for (const std::uint32_t shard : held) add(shard);
  }
  /// The shards that are held, ascending.
  std::span<const std::uint32_t> held() const {
    if (held_.empty()) return {&first_, first_ == none ? std::size_t{0} : std::size_t{1}};
    return held_;
  }

private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  bool add_another(std::uint32_t shard);
  void unlock_all();

  Shard* const shards_;
  std::uint32_t first_ = none;       // the one that was locked first
  std::vector<std::uint32_t> held_;  // all of them; empty while there is but one
};

/// Who makes a call: by ID, or by the slot of a handle.
struct Who {
  std::string_view id;
  Slot* slot = nullptr;
};

class Engine;

/// While one stands on a thread, what the thread asks of this engine is answered from customers at
/// home here, if at all: the store is not asked, and nothing is marked to be confirmed.
class AtHome {
public:
  explicit AtHome(const Engine& engine);
  ~AtHome() { current_ = outer_; }
  AtHome(const AtHome&) = delete;
  AtHome& operator=(const AtHome&) = delete;

  /// While one stands, none does: what must be confirmed after all is.
  class Pause {
  public:
    Pause() : paused_(std::exchange(current_, nullptr)) {}
    ~Pause() { current_ = paused_; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

  private:
    AtHome* const paused_;
  };

  /// The one that stands on this thread, for that engine; null: none.
  static AtHome* of(const Engine& engine) {
    return current_ != nullptr && &current_->engine_ == &engine ? current_ : nullptr;
  }
  /// Whether all that was asked could be answered so. Otherwise nothing that was returned counts.
  bool holds() const { return holds_; }
  void give_up() { holds_ = false; }
  /// The one around it, for the same engine.
  AtHome* outer() const {
    return outer_ != nullptr && &outer_->engine_ == &engine_ ? outer_ : nullptr;
  }
  /// Something was changed: what comes after cannot be made again from the start.
  void note_change() { has_changed_ = true; }
  bool has_changed() const { return has_changed_; }

private:
  static thread_local AtHome* current_;
  const Engine& engine_;
  AtHome* const outer_;
  bool holds_ = true;
  bool has_changed_ = false;
};

/// A customer, locked, together with those its refs reach where they were asked for.
class Locked {
public:
  [[gnu::always_inline]] inline explicit Locked(Engine& engine);
  [[gnu::always_inline]] ~Locked() {
    if (fetching_ != nullptr) let_go_of_fetched();
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

  // Where customers are read on demand, each of these reads what is missing; it lets go of the
  // locks meanwhile. They also return false when that fails: failure() tells.

  /// Locks the customer of that ID or alternate ID; false where there is none.
  bool find(std::string_view id) { return list(id); }
  /// The same by a handle's slot; false where the customer was deleted and not made again.
  bool find(Slot* slot);
  [[gnu::always_inline]] bool find(const Who& who) {
    return who.slot != nullptr ? find(who.slot) : find(who.id);
  }
  /// find(), and everyone the refs reach.
  bool find_family(const Who& who) {
    do {
      if (!find(who)) return false;
    } while (!follow_refs());
    return failure() == nullptr && !is_given_up();
  }
  bool find_family(std::string_view id) { return find_family(Who{id}); }
  /// Locks the shards of a draft that is in none yet, and everyone its refs reach; false where
  /// the draft's ID is known by now.
  bool find_refs_of(Customer& draft);

  /// find_family() for an edit: the family's caller is `draft`, a copy of the customer that
  /// `prepare` has changed; the refs followed are the draft's.
  template <typename Prepare>
  bool find_draft(std::string_view id, Customer& draft, const Prepare& prepare) {
    do {
      if (!list(id)) return false;
      draft = slot().customer;
      prepare(draft);
      family_.emplace(draft);
    } while (!follow_refs());
    return failure() == nullptr;
  }
  bool find_draft(std::string_view id, Customer& draft) {
    return find_draft(id, draft, [](Customer&) {});
  }

  /// Locks the shards of these IDs, and has whoever they lead to in memory. What was found before
  /// stays locked, but may have changed. False: it failed.
  bool know(std::span<const std::string> ids);
  /// How often locks were let go of: what was read before is stale.
  std::uint32_t times_let_go() const { return times_let_go_; }

  /// Why the store could not be asked; null: it was not needed, or has answered.
  const Error* failure() const {
    return fetching_ != nullptr && fetching_->failure ? &*fetching_->failure : nullptr;
  }
  /// The answer of a call whose customer was not found; ends as Engine::finish() does.
  template <typename T>
  Result<T> none(T answer) {
    if (failure() != nullptr) return *failure();
    if (auto finished = finish(); !finished.ok()) return std::move(finished).error();
    return answer;
  }
  /// Engine::finish(), without events.
  Result<void> finish();
  /// The last group that somebody was found in, or had left in, besides the family; 0: none.
  std::uint64_t rests_on() const { return rests_on_; }
  /// Requests that the call is about to push out of those that the caller remembers. They are moved
  /// from where the journal may want them back.
  void note_pushed_out(std::span<state::RememberedRequest> requests);
  std::vector<state::RememberedRequest> pushed_out() {
    if (fetching_ == nullptr) return {};
    return std::exchange(fetching_->pushed_out, {});
  }

  const policy::Policy& policy() const { return **policy_; }
  PolicyPointer policy_pointer() const;
  /// The customer found, or none before that and for drafts.
  Slot& slot() { return *slot_; }
  /// The draft has become the customer of that slot.
  void take(Slot& slot) { slot_ = &slot; }
  /// The slots of the family's caller, null for a draft, and of its other members.
  const Slot* caller_slot() const { return slot_; }
  std::span<Slot* const> relatives() const { return relatives_; }
  Family& family() { return *family_; }
  const Family& family() const { return *family_; }
  ShardLocks& locks() { return locks_; }
  /// Not null: the call is answered from customers at home here.
  AtHome* at_home() const { return at_home_; }
  void unlock() { locks_.unlock(); }
  /// To be called before the first change: lets a running snapshot have what stands now.
  inline void before_change();

private:
  bool list(std::string_view id);
  void touch();
  bool is_unknown(const Slot& slot);
  /// Whether a try to answer at home has ended. Whoever was found is not to be touched then:
  /// nothing of it is marked to be written.
  bool is_given_up() const { return at_home_ != nullptr && !at_home_->holds(); }
  bool follow_refs();
  bool is_nobodys(std::string_view id) const;
  void note_nobody(std::string_view id);
  bool fetch(std::string_view id);
  bool lock(std::uint32_t shard);
  inline void note_found(Slot& slot);
  void note_shared(Slot& slot);
  void note_change();
  void let_go_of_fetched();

  // What is known of customers that were not in memory, and what else most calls need nothing of.
  struct Fetching {
    // An ID that nobody had in the store, as long as no customer has left its shard since.
    struct Nobody {
      std::string id;
      std::uint32_t departures;
    };
    std::vector<Nobody> nobodies;
    std::vector<Slot*> pinned;  // retained
    std::optional<Error> failure;
    std::vector<state::RememberedRequest> pushed_out;
  };

  Engine& engine_;
  ShardLocks locks_;
  AtHome* const at_home_;
  std::uint32_t times_let_go_ = 0;
  std::uint64_t rests_on_ = 0;
  std::unique_ptr<Fetching> fetching_;
  const PolicyPointer* policy_ = nullptr;
  Slot* slot_ = nullptr;          // of the family's caller; null for a draft
  std::vector<Slot*> relatives_;  // of its other members
  std::optional<Family> family_;
};

/// What the rate functions of one policy returned; they say nothing of another.
class HostRates {
public:
  HostRates() = default;
  HostRates(PolicyPointer policy, std::vector<double> values)
      : policy_(std::move(policy)), values_(std::move(values)) {}

  /// A rate for each pair of that policy, or none: its own figures count.
  std::span<const double> of(const policy::Policy& policy) const {
    return policy_.get() == &policy ? std::span<const double>(values_) : std::span<const double>();
  }

private:
  PolicyPointer policy_;
  std::vector<double> values_;
};

class Engine {
public:
  static constexpr std::uint32_t shard_bits = 8;

  Engine(const PolicyPointer& policy, std::shared_ptr<SymbolTable> names, Options options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[gnu::always_inline]] Timestamp now() const {
    return clock_ != nullptr ? clock_->now() : env::system_time();
  }
  SymbolTable& names() { return *names_; }
  const std::shared_ptr<SymbolTable>& shared_names() const { return names_; }
  const Options& options() const { return options_; }
  void log(std::string_view message) const { options_.log(message); }
  Dispatcher& dispatcher() { return dispatcher_; }
  core::IdSource& ids() { return ids_; }
  /// Drawn at random for each engine.
  std::uint64_t number() const { return ids_.engine(); }
  std::span<Shard> shards() { return shards_; }
  Shard& shard(std::uint32_t index) { return shards_[index]; }
  static std::uint32_t shard_of(std::string_view id) { return shard_of_hash(TextHash()(id)); }
  /// The top bits: the table inside the shard uses the others.
  static std::uint32_t shard_of_hash(std::size_t hash) {
    return static_cast<std::uint32_t>(hash >> (64 - shard_bits));
  }

  // Every call of Limitr that concerns customers runs as one of these: once where they are this
  // engine's own, again where others who share them were first.

  /// A call that changes nothing.
  template <typename Body>
  auto read(const Body& body, std::string_view about = {}) -> decltype(body()) {
    if (sharing_ == nullptr) return body();
    if (decides_at_home()) {
      AtHome at_home(*this);
      auto answer = body();
      if (at_home.holds() || gives_up_outside(at_home)) return answer;
    } else if (gives_up()) {
      return cannot_wait();
    }
    const AtHome::Pause confirmed;
    return sharing_->run(body, /*changes=*/false, about);
  }
  /// A call that may change something. Error also: store_unavailable, where too much waits to be
  /// written already, and cannot be.
  /// `about`: as of Sharing::run().
  template <typename Body>
  auto change(const Body& body, std::string_view about = {}) -> decltype(body()) {
    if (is_plain_) return body();
    if (sharing_ != nullptr) {
      if (gives_up()) return cannot_wait();
      const AtHome::Pause confirmed;
      return sharing_->run(body, /*changes=*/true, about);
    }
    if (auto room = journal_->make_room(); !room.ok()) return std::move(room).error();
    return body();
  }

  /// What a call has left to do when it lets go of its locks.
  struct Rest {
    std::uint64_t group = 0;  ///< Of the journal, to be waited for; 0: none.
    std::optional<Dispatcher::Batch> batch;
  };
  /// While one stands on a thread, calls that the thread makes of this engine do not wait: what
  /// complete() would have done for them is left in a list. What they return is not safe before
  /// that is completed, in its order. Calls that a host function makes meanwhile do wait, but for
  /// their events. Only where there is a journal.
  class Deferral {
  public:
    Deferral(const Engine& engine, std::vector<Rest>& rests);
    ~Deferral();
    Deferral(const Deferral&) = delete;
    Deferral& operator=(const Deferral&) = delete;

  private:
    friend class Engine;
    /// The one that stands on this thread, for calls of that engine; null: none.
    static Deferral* of(const Engine& engine);
    static thread_local Deferral* current_;
    const Engine& engine_;
    std::vector<Rest>& rests_;
    Deferral* const outer_;
  };
  /// For a call that is made on behalf of another: where it does not hold under the call's locks,
  /// nothing is decided or changed, and the answer is that of an unknown customer. What is decided
  /// counts once as that other call, whatever the input's options say.
  struct Condition {
    std::function<bool(const Locked&, Timestamp now)> holds;
    Once once;
  };
  /// Decides a call and, with `commit`, applies it. The one way of check and allow alike.
  Result<Decision> decide(const Who& who, core::CallInput& input, bool commit,
                          const Condition* condition = nullptr) {
    if (is_plain_) {
      const bool is_bare = condition == nullptr && input.settles == nullptr &&
                           input.options->request.empty() && !input.options->event_data &&
                           !calls_host_.load(std::memory_order_relaxed);
      return is_bare ? decide_bare(who, input, commit) : decide_once(who, input, commit, condition);
    }
    if (sharing_ != nullptr) return decide_shared(who, input, commit, condition);
    const auto body = [&] { return decide_once(who, input, commit, condition); };
    return commit ? change(body) : read(body);
  }
  /// The same where all that the call touches is at home here, and has room for it; none: it must
  /// be confirmed.
  std::optional<Result<Decision>> decide_at_home(const Who& who, core::CallInput& input,
                                                 bool commit);
  /// Where a call is made that must not wait, and has not changed anything yet: gives that up.
  bool gives_up() {
    AtHome* outer = AtHome::of(*this);
    if (outer == nullptr || outer->has_changed()) return false;
    outer->give_up();
    return true;
  }
  bool gives_up_outside(const AtHome& inner) {
    AtHome* outer = inner.outer();
    if (outer == nullptr || outer->has_changed()) return false;
    outer->give_up();
    return true;
  }
  static Error cannot_wait() {
    return {.code = ErrorCode::store_unavailable,
            .message = "the call was not made: it would wait"};
  }
  /// Whether the connection to a Cloud server, which was lost just now, is there again after a
  /// short while. At once false for a call that others wait for.
  bool waits_for_connection();
  /// Whether somebody of that ID is in memory, and no call that is not confirmed yet has to do with
  /// it.
  bool has_in_memory(std::string_view id);
  /// Whether calls may be answered without asking the store at all now.
  bool decides_at_home() {
    Homes* homes = sharing_->homes();
    if (homes == nullptr || sharing_->is_leading() || !homes->port().is_leased()) return false;
    const AtHome* outer = AtHome::of(*this);
    return outer == nullptr || outer->holds();
  }
  /// Whether a call by this customer can touch others, so that its refs must be followed.
  bool reaches_others(const policy::Policy& policy, const Customer& customer,
                      const core::EntitlementKey& key) const {
    return customer.rest && !customer.rest->refs.empty() && refs_count(policy, customer, key);
  }
  /// Locks the caller, and everyone whom the call can touch; false where there is no caller.
  [[gnu::always_inline]] bool find(Locked& locked, const Who& who,
                                   const core::EntitlementKey& key) const {
    const bool found = locked.find(who);
    if (!found || !reaches_others(locked.policy(), locked.slot().customer, key)) return found;
    return locked.find_family(who);
  }
  /// A handle to a slot. REQUIRES: the slot's shard is locked.
  static Handle make_handle(Slot& slot, Symbol entitlement);
  static Who who(const Handle& handle) { return {{}, handle.slot_}; }
  static Symbol entitlement(const Handle& handle) { return Symbol{handle.entitlement_}; }

  /// Finds plan, entitlement, owner and limit of a read by a locked family; brings renamed and
  /// expired things up to date first.
  core::Target resolve(Locked& locked, const core::EntitlementKey& key, Timestamp now);
  /// What a credit's cost function returns; none: it has none of ours, or it failed, which is
  /// logged. REQUIRES: no lock is held.
  std::optional<double> call_overhead_fn(const policy::Credit& credit, double units,
                                         const Json& event_data) const;
  /// What the cost function of the credit that a call would be metered in returns, if any.
  /// REQUIRES: no lock is held.
  std::optional<double> host_overhead(const Who& who, const core::CallInput& input);
  /// What the policy's rate functions return now. Runs them: REQUIRES no lock is held.
  HostRates rates() const;

  /// Takes the call's place in the order of its customers' changes, and lets go of the locks.
  Rest let_go(Locked& locked, std::vector<Event> events);
  /// Waits until what the call has changed, or was answered from, is safe, and sends its events;
  /// under a Deferral, leaves that for later. Errors: those of Journal::wait(); no event is sent
  /// then.
  Result<void> complete(Rest rest);
  /// Both. Every call that has a store ends so.
  Result<void> finish(Locked& locked, std::vector<Event> events = {}) {
    return complete(let_go(locked, std::move(events)));
  }
  /// finish(), and the answer.
  template <typename T>
  Result<T> answer(Locked& locked, T value) {
    if (auto finished = finish(locked); !finished.ok()) return std::move(finished).error();
    return value;
  }
  /// Sends events that are about no customer.
  void send(std::vector<Event> events);

  // Customers. REQUIRES: the shards concerned are locked.

  /// Lists a new customer and its alternate IDs.
  Slot& insert(Customer customer);
  /// Lists a customer whose ID nobody has, as put_record() would, but with one look-up and one
  /// lock. False, and nothing has changed: it takes put_record(). REQUIRES: no shard is locked.
  bool insert_plain(Customer& customer);
  /// Room for that many customers in all.
  void reserve(std::size_t customers);
  /// Puts an edited customer in the place of a listed one of the same ID. REQUIRES also the shards
  /// of the alternate IDs by which the two differ.
  void replace(Slot& slot, Customer customer);
  /// replace(), and then the events that `events(customer, list)` adds to a list, if anyone
  /// listens. Lets go of the locks.
  template <typename Events>
  Result<void> put(Locked& locked, Customer draft, const Events& events) {
    Slot& slot = locked.slot();
    replace(slot, std::move(draft));
    std::vector<Event> list;
    if (dispatcher_.has_handlers()) events(std::as_const(slot.customer), list);
    return finish(locked, std::move(list));
  }
  /// Puts a customer in the place of a listed one of its ID, or lists it; then as put(), but for
  /// complete().
  template <typename Events>
  Rest put_listed(Locked& locked, Customer customer, const Events& events) {
    auto& customers = shards_[shard_of(customer.id)].customers;
    const auto known = customers.find(std::string_view(customer.id));
    Slot* slot = known == customers.end() ? nullptr : *known;
    if (slot != nullptr) {
      replace(*slot, std::move(customer));
    } else {
      slot = &insert(std::move(customer));
    }
    locked.take(*slot);
    std::vector<Event> list;
    if (dispatcher_.has_handlers()) events(std::as_const(slot->customer), list);
    return let_go(locked, std::move(list));
  }
  void erase(Slot& slot);
  /// Lists a customer that comes out of the store.
  Slot& insert_stored(Customer customer);
  /// Takes a customer off the lists, or puts it back on them: the journal's way back. REQUIRES: all
  /// shards are locked, or the customer's and those of its alternate IDs.
  void unlist(Slot& slot);
  void list(Slot& slot);
  /// Queues every customer to be written, with all requests that are remembered.
  void mark_all();
  /// The customer whose ID or alternate ID that is, or none.
  std::optional<std::string> owner_of(std::string_view id);
  /// A customer in memory by its own ID. REQUIRES: it is there.
  Slot& listed(std::string_view id) { return **shards_[shard_of(id)].customers.find(id); }
  void note_shared_caps(const Customer& customer);

  // The policy.

  PolicyPointer policy() const;
  /// Puts a policy in place, shard after shard, while calls go on.
  void set_policy(const PolicyPointer& policy);
  /// Held by whoever makes a new policy from the present one.
  std::mutex& policy_change() { return policy_change_; }
  /// From now on the policy is what a Cloud server gives, and calls that change it are errors.
  /// `stop` ends that: when it returns, nobody gives one any more. Called before the engine is
  /// used.
  void leave_policy_to_server(std::function<void()> stop) { stop_policies_ = std::move(stop); }
  bool is_policy_servers() const { return stop_policies_ != nullptr; }

  // Snapshots.

  /// Lets the running snapshot, if any, have customers before they change: all that one call may
  /// change at once, so that the snapshot's cut lies between calls.
  /// And queues them for the journal.
  void before_change(Slot* caller, std::span<Slot* const> relatives = {}) {
    if (hears_of_changes()) {
      note_change(caller, relatives, snapshot_.load(std::memory_order_relaxed));
    }
  }
  /// Whether anyone asks what changes: a snapshot, or a store.
  bool hears_of_changes() const {
    return snapshot_.load(std::memory_order_relaxed) != 0 || journal_ != nullptr ||
           sharing_ != nullptr;
  }
  /// Appends every customer's record and remembered requests: a consistent cut. On demand, it is
  /// what the store has once all that waits is written; errors are those of Store::scan() then, and
  /// of Journal::flush().
  Result<void> append_snapshot(SnapshotText& text);

  // Statistics over all customers.

  std::optional<state::EstimateStats> policy_estimate(Symbol entitlement,
                                                      const std::string& segment) const;
  /// Calls `visit(entitlement, its segments)` for each.
  void each_entitlement_estimates(
      const std::function<void(Symbol, const std::vector<state::EstimateStats>&)>& visit) const;
  void learn(Symbol entitlement, const core::Sample& sample, double value, double overhead,
             Timestamp now);
  void log_unlearned(std::string_view customer, const policy::Entitlement& entitlement);
  void merge_estimate(std::string_view entitlement, const state::EstimateStats& stats);
  std::string estimates_text() const;
  /// Takes over estimates_text(), as far as it can be read.
  void merge_estimates(std::string_view text);

  // The store.

  /// Keeps the state in that store from now on, alone or shared with others. What is in it is read
  /// on demand, or at once where the options say so. Called once, before the engine is used.
  Result<void> keep_in(std::unique_ptr<store::Store> store);
  /// Null: the state is kept nowhere, or shared.
  Journal* journal() { return journal_.get(); }
  /// Null: nobody else has these customers.
  Sharing* sharing() { return sharing_.get(); }
  /// Keeps the document of the policy in force in the store, if there is one.
  void keep_policy(std::string document);
  /// Writes all that waits.
  Result<void> flush();
  /// flush(), and Store::fold().
  Result<void> fold();
  Result<std::uint64_t> close();

  // On demand. See on_demand.cc.

  /// Not all customers are in memory: those that are not are in the store.
  bool is_on_demand() const { return is_on_demand_; }
  /// Reads these customers from the store, where they are not in memory; all that are there by then
  /// are added to `pinned`, if given, and retained. REQUIRES: no lock is held.
  /// Errors: those of Store::read(); what is damaged is logged, and is not there.
  Result<void> load(std::span<const std::string> ids, std::vector<Slot*>* pinned = nullptr);
  /// load(), and everyone their refs reach.
  Result<void> warm(std::span<const std::string> ids);
  /// How many customers have left that shard: deleted, or let go.
  std::uint32_t departures(std::uint32_t shard) const {
    return departures_[shard].load(std::memory_order_acquire);
  }
  /// REQUIRES: the slot's shard is locked.
  void note_departure(std::uint32_t shard) {
    departures_[shard].fetch_add(1, std::memory_order_release);
  }
  /// A customer was removed, and the store does not know yet; or does by now. REQUIRES: the slot's
  /// shard is locked.
  void note_leaving(Slot& slot);
  void forget_leaving(Slot& slot);

private:
  /// While one stands on a thread, the thread is in a host function.
  class HostCall {
  public:
    HostCall() { ++running_; }
    ~HostCall() { --running_; }
    HostCall(const HostCall&) = delete;
    HostCall& operator=(const HostCall&) = delete;

  private:
    friend class Engine;
    static thread_local int running_;
  };

  Result<Decision> decide_shared(const Who& who, core::CallInput& input, bool commit,
                                 const Condition* condition);
  // A plain call is all in one function: what it calls is inlined by request, for what is around a
  // call costs as much as deciding it.
  Result<Decision> decide_bare(const Who& who, core::CallInput& input, bool commit);
  Result<Decision> decide_once(const Who& who, core::CallInput& input, bool commit,
                               const Condition* condition);
  class Ids final : public core::IdSource {
  public:
    std::string next() override { return random_.next(); }
    std::uint64_t engine() const { return random_.engine(); }

  private:
    env::RandomIds random_;
  };

  void note_change(Slot* caller, std::span<Slot* const> relatives, std::uint32_t running);
  void note_left(const Slot& slot, std::string_view id);
  void write_ahead(Slot* slot, std::uint32_t running);
  std::uint64_t unsafe_group(const Locked& locked) const;
  void append_record(SnapshotText& text, Slot& slot, std::uint32_t running);
  void note_unsafe(SnapshotText& text, std::uint64_t group) const;
  Result<void> append_stored(SnapshotText& text);
  bool refs_count(const policy::Policy& policy, const Customer& customer,
                  const core::EntitlementKey& key) const;
  bool list_loaded(Loaded& loaded, std::span<const std::uint32_t> departures,
                   const std::function<void(Slot&)>& pin);
  Slot* find_loaded(std::string_view id, ShardLocks& locks);
  void note_loaded(Slot& slot);
  void make_room(ShardLocks& locks);
  bool let_go_of(Slot& slot, ShardLocks& locks);
  [[gnu::always_inline]] inline Result<Decision> decide_and_finish(Locked& locked, bool counts,
                                                                   core::CallInput& input,
                                                                   bool commit, const Once* once);
  [[gnu::always_inline]] inline Result<Decision> decide_locked(
      Locked& locked, core::CallInput& input, bool commit, const Once* once,
      std::optional<std::vector<Event>>& events);
  void teach(Locked& locked, const core::Outcome& outcome, Timestamp now);
  void settle_names(Locked& locked, const core::EntitlementKey& key);

  const Options options_;
  const std::shared_ptr<const Clock> clock_;  // null: the system's
  const std::shared_ptr<SymbolTable> names_;
  std::vector<Shard> shards_;
  Dispatcher dispatcher_;
  Ids ids_;
  std::atomic<bool> has_shared_caps_{false};
  std::atomic<bool> calls_host_{false};  // the policy names a host function of ours
  std::atomic<std::uint32_t> snapshot_{0};
  std::uint32_t snapshots_taken_ = 0;  // guarded by snapshot_mutex_
  std::mutex snapshot_mutex_;
  std::mutex policy_change_;
  mutable std::mutex estimates_mutex_;
  absl::flat_hash_map<Symbol, std::vector<state::EstimateStats>> estimates_;  // guarded by it
  bool is_plain_ = true;  // no call is run more than once, or refused for what waits to be written
  bool is_on_demand_ = false;
  std::function<void()> stop_policies_;  // empty: the policy is the engine's own
  std::array<std::atomic<std::uint32_t>, std::size_t{1} << shard_bits> departures_{};
  std::unique_ptr<Journal> journal_;  // null: there is no store, or it is shared
  std::unique_ptr<Sharing> sharing_;  // null: nobody else has these customers
};

// Only who shares customers has some at home.
Locked::Locked(Engine& engine)
    : engine_(engine),
      locks_(engine.shards()),
      at_home_(engine.sharing() == nullptr ? nullptr : AtHome::of(engine)) {}

void Locked::before_change() {
  if (engine_.hears_of_changes()) note_change();
}

void Locked::note_found(Slot& slot) {
  // Written only where it differs: a line that is only read need not be written back.
  if (!slot.used) slot.used = true;
  if (engine_.sharing() != nullptr) note_shared(slot);
}

/// Puts a record in the place of any customer of its ID, as loading does: no event. The group that
/// is to be waited for, or 0. Errors: alias_taken, where the ID or an alternate ID is another
/// customer's.
Result<std::uint64_t> put_record(Engine& engine, Customer record);

}  // namespace limitr::engine
