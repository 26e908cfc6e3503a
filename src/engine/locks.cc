// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

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

void ShardLocks::unlock_all() {
  for (const std::uint32_t shard : held_) shards_[shard].mutex.unlock();
  held_.clear();
  first_ = none;
}

Locked::Locked(Engine& engine) : engine_(engine), locks_(engine.shards()) {}

// Finds the customer of an ID or alternate ID and makes it the only one gathered.
bool Locked::list(std::string_view id) {
  relatives_.clear();
  for (;;) {
    const std::size_t hash = TextHash()(id);
    const std::uint32_t index = Engine::shard_of_hash(hash);
    locks_.add(index);
    Shard& shard = engine_.shard(index);
    const HashedId hashed{id, hash};
    // Both parts of the table at once: it would read one only after the other.
    shard.customers.prefetch(hashed);
    if (const auto found = shard.customers.find(hashed); found != shard.customers.end()) {
      slot_ = *found;
      slot_->prefetch_meters();
      break;
    }
    const auto alt = shard.alts.find(id);
    if (alt == shard.alts.end()) return false;
    const std::uint32_t home = Engine::shard_of(alt->second);
    if (!locks_.add(home)) continue;
    slot_ = *engine_.shard(home).customers.find(std::string_view(alt->second));
    break;
  }
  policy_ = &engine_.shard(slot().shard).policy;
  family_.emplace(slot().customer);
  return true;
}

bool Locked::find(Slot* slot) {
  relatives_.clear();
  locks_.add(slot->shard);
  // Whoever has the ID by now is who the handle means.
  if (slot->removed) return list(slot->customer.id);
  slot_ = slot;
  policy_ = &engine_.shard(slot->shard).policy;
  family_.emplace(slot->customer);
  return true;
}

bool Locked::find_refs_of(Customer& draft) {
  const std::uint32_t home = Engine::shard_of(draft.id);
  do {
    locks_.add(home);
    if (engine_.owner_of(draft.id)) return false;
    slot_ = nullptr;
    relatives_.clear();
    policy_ = &engine_.shard(home).policy;
    family_.emplace(draft);
  } while (!follow_refs());
  return true;
}

// Gathers everyone the refs reach, breadth first. False: a lock could not be had in order, all
// were let go of meanwhile, and whoever was found must be found again; the locks needed so far
// are held by then, so this ends.
bool Locked::follow_refs() {
  Numbers numbers;
  for (Family::Index who = 0; who < family_->size(); ++who) {
    for (const std::string& ref : (*family_)[who].more().refs) {
      const std::uint32_t index = Engine::shard_of(ref);
      if (!locks_.add(index)) return false;
      const auto owner = engine_.owner_of(ref);
      if (!owner) continue;
      const std::uint32_t home = Engine::shard_of(*owner);
      if (!locks_.add(home)) return false;
      Slot* slot = *engine_.shard(home).customers.find(std::string_view(*owner));
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
