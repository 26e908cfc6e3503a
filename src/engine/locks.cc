// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/engine.h"

namespace limitr::engine {
namespace {

// The number of a slot among those gathered so far. Few, as a rule; refs may also be many.
class Numbers {
public:
  std::optional<Family::Index> find(const absl::InlinedVector<Slot*, 4>& slots, const Slot* slot) {
    constexpr std::size_t few = 16;
    if (slots.size() <= few) {
      const auto found = std::find(slots.begin(), slots.end(), slot);
      if (found == slots.end()) return std::nullopt;
      return static_cast<Family::Index>(found - slots.begin());
    }
    for (; known_ < slots.size(); ++known_) {
      by_slot_.emplace(slots[known_], static_cast<Family::Index>(known_));
    }
    const auto found = by_slot_.find(slot);
    return found == by_slot_.end() ? std::nullopt : std::optional(found->second);
  }

private:
  absl::flat_hash_map<const Slot*, Family::Index> by_slot_;
  std::size_t known_ = 0;
};

}  // namespace

bool ShardLocks::add_to_held(std::uint32_t shard) {
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

Locked::Locked(Engine& engine) : engine_(engine), locks_(engine.shards()) {}

// Finds the customer of an ID or alternate ID and makes it the only one gathered.
bool Locked::list(std::string_view id) {
  slots_.clear();
  for (;;) {
    const std::size_t hash = TextHash()(id);
    const std::uint32_t index = Engine::shard_of_hash(hash);
    locks_.add(index);
    Shard& shard = engine_.shard(index);
    if (const auto found = shard.customers.find(id, hash); found != shard.customers.end()) {
      slots_.push_back(*found);
      break;
    }
    const auto alt = shard.alts.find(id);
    if (alt == shard.alts.end()) return false;
    const std::uint32_t home = Engine::shard_of(alt->second);
    if (!locks_.add(home)) continue;
    slots_.push_back(*engine_.shard(home).customers.find(std::string_view(alt->second)));
    break;
  }
  policy_ = &engine_.shard(slot().shard).policy;
  family_.emplace(slot().customer);
  return true;
}

bool Locked::find(Slot* slot) {
  slots_.clear();
  locks_.add(slot->shard);
  if (slot->removed) return false;
  slots_.push_back(slot);
  policy_ = &engine_.shard(slot->shard).policy;
  family_.emplace(slot->customer);
  return true;
}

bool Locked::find_refs_of(Customer& draft) {
  const std::uint32_t home = Engine::shard_of(draft.id);
  do {
    locks_.add(home);
    if (engine_.owner_of(draft.id)) return false;
    slots_.assign(1, nullptr);
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
      auto number = numbers.find(slots_, slot);
      if (!number) {
        number = family_->add(slot->customer);
        slots_.push_back(slot);
      }
      family_->add_ref(who, *number);
    }
  }
  return true;
}

// Every shard that is held has the policy in force, whether or not a customer was found in it.
PolicyPointer Locked::policy_pointer() const { return engine_.shard(locks_.held().front()).policy; }

void Locked::before_change() {
  engine_.before_change(std::span<Slot* const>(slots_.data(), slots_.size()));
}

}  // namespace limitr::engine
