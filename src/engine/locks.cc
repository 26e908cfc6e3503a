// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/engine.h"

namespace limitr::engine {
namespace {

// The number of a slot among those gathered so far. Few, as a rule; refs may also be many.
class Numbers {
public:
  std::optional<Family::Index> find(const Slot* caller, const std::vector<Slot*>& relatives,
                                    const Slot* slot) {
    if (slot == caller) return Family::caller;
    constexpr std::size_t few = 16;
    if (relatives.size() <= few) {
      const auto found = std::find(relatives.begin(), relatives.end(), slot);
      if (found == relatives.end()) return std::nullopt;
      return static_cast<Family::Index>(found - relatives.begin() + 1);
    }
    for (; known_ < relatives.size(); ++known_) {
      by_slot_.emplace(relatives[known_], static_cast<Family::Index>(known_ + 1));
    }
    const auto found = by_slot_.find(slot);
    return found == by_slot_.end() ? std::nullopt : std::optional(found->second);
  }

private:
  absl::flat_hash_map<const Slot*, Family::Index> by_slot_;
  std::size_t known_ = 0;
};

}  // namespace

bool ShardLocks::add_another(std::uint32_t shard) {
  if (held_.empty()) held_.push_back(first_);
  std::mutex& mutex = shards_[shard].mutex;
  if (shard > held_.back()) {
    mutex.lock();
    held_.push_back(shard);
    return true;
  }
  const auto place = std::lower_bound(held_.begin(), held_.end(), shard);
  if (place != held_.end() && *place == shard) return true;
  if (mutex.try_lock()) {
    held_.insert(place, shard);
    return true;
  }
  for (const std::uint32_t held : held_) shards_[held].mutex.unlock();
  held_.insert(place, shard);
  for (const std::uint32_t held : held_) shards_[held].mutex.lock();
  return false;
}

bool ShardLocks::try_add(std::uint32_t shard) {
  if (first_ == none) return add(shard);
  if (first_ == shard) return true;
  if (held_.empty()) held_.push_back(first_);
  const auto place = std::lower_bound(held_.begin(), held_.end(), shard);
  if (place != held_.end() && *place == shard) return true;
  if (!shards_[shard].mutex.try_lock()) return false;
  held_.insert(place, shard);
  return true;
}

void ShardLocks::unlock_all() {
  for (const std::uint32_t shard : held_) shards_[shard].mutex.unlock();
  held_.clear();
  first_ = none;
}

thread_local AtHome* AtHome::current_ = nullptr;

AtHome::AtHome(const Engine& engine) : engine_(engine), outer_(std::exchange(current_, this)) {}

void Locked::note_shared(Slot& slot) {
  if (at_home_ == nullptr) return engine_.sharing()->note_found(slot);
  if (!Homes::is_here(slot)) at_home_->give_up();
}

void Locked::note_change() {
  if (at_home_ == nullptr) {
    engine_.before_change(slot_, relatives_);
  } else if (at_home_->holds()) {
    touch();
  }
}

Result<void> Locked::finish() { return engine_.finish(*this); }

void Locked::note_pushed_out(std::span<state::RememberedRequest> requests) {
  if (engine_.journal() == nullptr || !engine_.journal()->is_sync()) return;
  if (fetching_ == nullptr) fetching_ = std::make_unique<Fetching>();
  std::move(requests.begin(), requests.end(), std::back_inserter(fetching_->pushed_out));
}

// Whether nobody knows what the customer is: the store has not answered the last call on it, and
// cannot be asked. failure() then. REQUIRES: customers are shared.
bool Locked::is_unknown(const Slot& slot) {
  const Homes* homes = engine_.sharing()->homes();
  const Error* cut_off = homes != nullptr && at_home_ == nullptr ? homes->cut_off() : nullptr;
  if (slot.in_round != Slot::Round::unanswered && cut_off == nullptr) return false;
  if (at_home_ != nullptr) {
    at_home_->give_up();
    return false;
  }
  if (fetching_ == nullptr) fetching_ = std::make_unique<Fetching>();
  fetching_->failure =
      cut_off != nullptr ? *cut_off
                         : Error{.code = ErrorCode::unconnected,
                                 .message = "the server has not said what became of the last call"};
  slot_ = nullptr;
  return true;
}

// What is in memory of those found differs from what the store has, and is to be written.
void Locked::touch() {
  Homes& homes = *engine_.sharing()->homes();
  if (slot_ != nullptr) homes.touch(*slot_);
  for (Slot* slot : relatives_) homes.touch(*slot);
}

// Whoever had the ID may have lost it in a group that is not safe yet.
void Locked::note_nobody(std::string_view id) {
  rests_on_ = std::max(rests_on_, engine_.shard(Engine::shard_of(id)).left_in);
}

bool Locked::lock(std::uint32_t shard) {
  if (locks_.add(shard)) return true;
  ++times_let_go_;
  return false;
}

void Locked::let_go_of_fetched() {
  locks_.unlock();
  for (Slot* slot : fetching_->pinned) slot->release();
}

// Whether an ID that leads to nobody in memory leads to nobody in the store either. REQUIRES: its
// shard is locked.
bool Locked::is_nobodys(std::string_view id) const {
  if (!engine_.is_on_demand()) return true;
  if (at_home_ != nullptr) {
    at_home_->give_up();
    return true;
  }
  const std::uint32_t departures = engine_.departures(Engine::shard_of(id));
  const auto is_it = [&](const Fetching::Nobody& nobody) {
    return nobody.id == id && nobody.departures == departures;
  };
  const Sharing* sharing = engine_.sharing();
  const bool is_known = (sharing != nullptr && sharing->is_nobodys(id, departures)) ||
                        (fetching_ != nullptr && std::any_of(fetching_->nobodies.begin(),
                                                             fetching_->nobodies.end(), is_it));
  if (is_known && engine_.sharing() != nullptr) engine_.sharing()->note_nobody(id);
  return is_known;
}

// Asks the store who has an ID, and keeps whoever it is in memory until the call ends: however many
// a call needs, it has all of them at last. All locks are let go of meanwhile. False: failure().
bool Locked::fetch(std::string_view id) {
  if (fetching_ == nullptr) fetching_ = std::make_unique<Fetching>();
  Fetching::Nobody nobody{.id = std::string(id),
                          .departures = engine_.departures(Engine::shard_of(id))};
  Result<void> loaded;
  locks_.without([&] { loaded = engine_.load({&nobody.id, 1}, &fetching_->pinned); });
  ++times_let_go_;
  if (!loaded.ok()) {
    fetching_->failure = std::move(loaded).error();
    return false;
  }
  std::vector<Fetching::Nobody>& nobodies = fetching_->nobodies;
  std::erase_if(nobodies, [&](const Fetching::Nobody& earlier) { return earlier.id == nobody.id; });
  nobodies.push_back(std::move(nobody));
  return true;
}

bool Locked::know(std::span<const std::string> ids) {
  std::uint32_t before = 0;
  do {
    before = times_let_go_;
    for (const std::string& id : ids) lock(Engine::shard_of(id));
    for (const std::string& id : ids) {
      if (const auto owner = engine_.owner_of(id)) {
        if (!lock(Engine::shard_of(*owner))) break;
        Slot& slot = engine_.listed(*owner);
        if (engine_.sharing() != nullptr && is_unknown(slot)) return false;
        note_found(slot);
        if (slot.group != 0) rests_on_ = std::max(rests_on_, engine_.journal()->group_of(slot));
      } else if (!is_nobodys(id) && !fetch(id)) {
        return false;
      }
    }
  } while (before != times_let_go_);
  return true;
}

// Finds the customer of an ID or alternate ID and makes it the only one gathered.
bool Locked::list(std::string_view id) {
  relatives_.clear();
  for (;;) {
    const std::size_t hash = TextHash()(id);
    const std::uint32_t index = Engine::shard_of_hash(hash);
    lock(index);
    Shard& shard = engine_.shard(index);
    const HashedId hashed{id, hash};
    // Both parts of the table at once: it would read one only after the other.
    shard.customers.prefetch(hashed);
    if (const auto found = shard.customers.find(hashed); found != shard.customers.end()) {
      slot_ = *found;
      break;
    }
    const auto alt = shard.alts.find(id);
    if (alt == shard.alts.end()) {
      if (is_nobodys(id)) {
        note_nobody(id);
        slot_ = nullptr;
        return false;
      }
      if (!fetch(id)) return false;
      continue;
    }
    const std::uint32_t home = Engine::shard_of(alt->second);
    if (!lock(home)) continue;
    slot_ = &engine_.listed(alt->second);
    break;
  }
  if (engine_.sharing() != nullptr && is_unknown(*slot_)) return false;
  note_found(*slot_);
  if (is_given_up()) return false;
  policy_ = &engine_.shard(slot().shard).policy;
  family_.emplace(slot().customer);
  return true;
}

bool Locked::find(Slot* slot) {
  relatives_.clear();
  lock(slot->shard);
  // Whoever has the ID by now is who the handle means.
  if (slot->removed) return list(slot->customer.id);
  slot_ = slot;
  if (engine_.sharing() != nullptr && is_unknown(*slot_)) return false;
  note_found(*slot_);
  if (is_given_up()) return false;
  policy_ = &engine_.shard(slot->shard).policy;
  family_.emplace(slot->customer);
  return true;
}

bool Locked::find_refs_of(Customer& draft) {
  const std::uint32_t home = Engine::shard_of(draft.id);
  do {
    slot_ = nullptr;
    relatives_.clear();
    if (!know({&draft.id, 1}) || engine_.owner_of(draft.id)) return false;
    policy_ = &engine_.shard(home).policy;
    family_.emplace(draft);
  } while (!follow_refs());
  return failure() == nullptr;
}

// Gathers everyone the refs reach, breadth first. False: a lock could not be had in order, or the
// store was asked, and all were let go of meanwhile: whoever was found must be found again. The
// locks and customers needed so far are held by then, so this ends. True also where the store could
// not be asked: failure().
bool Locked::follow_refs() {
  Numbers numbers;
  for (Family::Index who = 0; who < family_->size(); ++who) {
    for (const std::string& ref : (*family_)[who].more().refs) {
      const std::uint32_t index = Engine::shard_of(ref);
      if (!lock(index)) return false;
      const auto owner = engine_.owner_of(ref);
      if (!owner) {
        if (!is_nobodys(ref)) return !fetch(ref);
        note_nobody(ref);
        continue;
      }
      const std::uint32_t home = Engine::shard_of(*owner);
      if (!lock(home)) return false;
      Slot* slot = &engine_.listed(*owner);
      if (engine_.sharing() != nullptr && is_unknown(*slot)) return true;
      note_found(*slot);
      auto number = numbers.find(slot_, relatives_, slot);
      if (!number) {
        number = family_->add(slot->customer);
        relatives_.push_back(slot);
      }
      family_->add_ref(who, *number);
    }
  }
  return true;
}

// Every shard that is held has the policy in force, whether or not a customer was found in it.
PolicyPointer Locked::policy_pointer() const { return engine_.shard(locks_.held().front()).policy; }

}  // namespace limitr::engine
