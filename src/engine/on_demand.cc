// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/engine.h"

// Customers that are read from the store when they are first used, and let go of when others need
// their room.
//
// Reading takes no lock, so what was read may be older than what has happened since. A customer
// that was in memory meanwhile has left it again, or is still there, or still on its way out of the
// store: each of them is looked at, under the lock, before anything is listed.
namespace limitr::engine {

Result<void> Engine::load(std::span<const std::string> ids, std::vector<Slot*>* pinned) {
  if (AtHome* at_home = AtHome::of(*this)) {
    at_home->give_up();
    return {};
  }
  const auto pin = [&](Slot& slot) {
    if (pinned == nullptr) return;
    slot.retain();
    pinned->push_back(&slot);
  };
  std::vector<std::string> wanted;
  for (const std::string& id : ids) {
    ShardLocks locks(shards_);
    if (Slot* slot = find_loaded(id, locks)) {
      pin(*slot);
    } else {
      wanted.push_back(id);
    }
  }
  std::array<std::uint32_t, std::size_t{1} << shard_bits> before{};
  while (!wanted.empty()) {
    for (std::uint32_t shard = 0; shard < before.size(); ++shard) before[shard] = departures(shard);
    Result<std::vector<Loaded>> read =
        journal_ != nullptr ? journal_->read(wanted) : sharing_->read(wanted);
    if (!read.ok()) return std::move(read).error();
    wanted.clear();
    for (Loaded& loaded : *read) {
      std::string id = loaded.customer.id;
      if (!list_loaded(loaded, before, pin)) wanted.push_back(std::move(id));
    }
  }
  return {};
}

Result<void> Engine::warm(std::span<const std::string> ids) {
  if (!is_on_demand_) return {};
  constexpr std::size_t customers_a_read = 1000;
  absl::flat_hash_set<std::string> seen(ids.begin(), ids.end());
  std::vector<std::string> wanted(seen.begin(), seen.end());
  while (!wanted.empty()) {
    const auto first =
        wanted.end() - static_cast<std::ptrdiff_t>(std::min(wanted.size(), customers_a_read));
    const std::vector<std::string> some(first, wanted.end());
    wanted.erase(first, wanted.end());
    std::vector<Slot*> pinned;
    const Result<void> loaded = load(some, &pinned);
    for (Slot* slot : pinned) {
      {
        const std::lock_guard lock(shards_[slot->shard].mutex);
        for (const std::string& ref : slot->customer.more().refs) {
          if (seen.insert(ref).second) wanted.push_back(ref);
        }
      }
      slot->release();
    }
    if (!loaded.ok()) return loaded;
  }
  return {};
}

bool Engine::waits_for_connection() {
  if (sharing_->is_leading()) return false;
  store::Homes& port = sharing_->homes()->port();
  constexpr Millis longest{250};
  constexpr Millis look_every{5};
  for (Millis waited{0}; waited < longest && !port.is_connected(); waited += look_every) {
    port.pause(look_every);
  }
  return port.is_connected();
}

bool Engine::has_in_memory(std::string_view id) {
  ShardLocks locks(shards_);
  const Slot* slot = find_loaded(id, locks);
  return slot != nullptr && slot->in_round == Slot::Round::none;
}

// Whoever has that ID in memory, locked; null: nobody.
Slot* Engine::find_loaded(std::string_view id, ShardLocks& locks) {
  for (;;) {
    locks.add(shard_of(id));
    const auto owner = owner_of(id);
    if (!owner) return nullptr;
    const std::uint32_t home = shard_of(*owner);
    if (locks.add(home)) return &listed(*owner);
  }
}

// False: the customer may have changed in the store since it was read.
bool Engine::list_loaded(Loaded& loaded, std::span<const std::uint32_t> departures,
                         const std::function<void(Slot&)>& pin) {
  Customer& customer = loaded.customer;
  const std::uint32_t home = shard_of(customer.id);
  ShardLocks locks(shards_);
  locks.add(home);
  for (const std::string& alt : customer.more().alt_ids) locks.add(shard_of(alt));
  Shard& shard = shards_[home];
  Slot* slot = nullptr;
  if (const auto known = shard.customers.find(std::string_view(customer.id));
      known != shard.customers.end()) {
    slot = *known;
  } else {
    const bool is_leaving =
        std::any_of(shard.leaving.begin(), shard.leaving.end(),
                    [&](const Slot* gone) { return gone->customer.id == customer.id; });
    if (is_leaving) return true;
    if (this->departures(home) != departures[home]) return false;
    slot = &insert_stored(std::move(customer));
    if (sharing_ != nullptr) sharing_->note_loaded(*slot, loaded.version);
  }
  pin(*slot);
  make_room(locks);
  return true;
}

// Lets go of customers of the shards that are held, which were not used for long, while there are
// too many. The hand goes round: whoever was used since it last came by stays until it comes again.
void Engine::make_room(ShardLocks& locks) {
  if (options_.max_loaded == 0 || !is_on_demand_) return;
  constexpr std::size_t min_per_shard = 2;
  const std::size_t bound = std::max(min_per_shard, options_.max_loaded >> shard_bits);
  // Copied: looking for one may take more locks.
  const std::vector<std::uint32_t> held(locks.held().begin(), locks.held().end());
  for (const std::uint32_t index : held) {
    Shard& shard = shards_[index];
    // Twice around at most: those who must stay do, however many they are.
    for (std::size_t looks = 2 * shard.loaded.size(); looks > 0 && shard.loaded.size() > bound;
         --looks) {
      if (shard.hand >= shard.loaded.size()) shard.hand = 0;
      Slot& slot = *shard.loaded[shard.hand];
      if (!slot.used && let_go_of(slot, locks)) continue;
      slot.used = false;
      ++shard.hand;
    }
  }
}

// Lets go of a customer, unless it is in use or the store does not have it as it is.
bool Engine::let_go_of(Slot& slot, ShardLocks& locks) {
  if (slot.group != 0 || slot.queued || !slot.is_alone()) return false;
  // Where it is at home here, memory has what the store does not.
  if (slot.customer.cloud != nullptr && slot.customer.cloud->stay) return false;
  for (const std::string& alt : slot.customer.more().alt_ids) {
    if (!locks.try_add(shard_of(alt))) return false;
  }
  for (const std::string& alt : slot.customer.more().alt_ids) note_departure(shard_of(alt));
  note_departure(slot.shard);
  if (sharing_ != nullptr) sharing_->forget(slot);
  unlist(slot);
  return true;
}

void Engine::forget_leaving(Slot& slot) {
  std::vector<Slot*>& leaving = shards_[slot.shard].leaving;
  if (std::erase(leaving, &slot) == 0) return;
  note_departure(slot.shard);
  slot.release();
}

}  // namespace limitr::engine
