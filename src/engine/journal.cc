// SPDX-License-Identifier: Apache-2.0
#include "engine/journal.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

#include <fmt/format.h>

#include "engine/engine.h"
#include "state/record.h"

namespace limitr::engine {
namespace {

using state::Customer;
using state::RememberedRequest;
using std::chrono::steady_clock;

constexpr Millis backoff_min{50};
constexpr Millis backoff_max{2000};
// Those who come later than that many failures after their own have been waiting for a minute.
constexpr std::size_t failures_kept = 1024;

store::Owner this_process(Timestamp now) {
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (gethostname(host.data(), HOST_NAME_MAX) != 0) host = {'?'};
  return {.host = host.data(), .process = getpid(), .since = now};
}

// Remembered requests are rows of their own: they do not go back with their customer.
Customer copy_without_requests(Customer& customer) {
  std::vector<RememberedRequest> requests;
  if (customer.rest) requests.swap(customer.rest->requests);
  Customer copy = customer;
  if (customer.rest) requests.swap(customer.rest->requests);
  return copy;
}

// Puts a customer back to what it was; requests that came since are forgotten.
void restore(Customer& customer, Customer safe) {
  std::vector<RememberedRequest> requests;
  if (customer.rest) requests = std::move(customer.rest->requests);
  const std::uint64_t written = safe.rest ? safe.rest->requests_written : 0;
  std::erase_if(requests,
                [&](const RememberedRequest& request) { return request.number > written; });
  customer = std::move(safe);
  if (!requests.empty()) customer.own_rest().requests = std::move(requests);
}

store::StoredRequest stored(const RememberedRequest& request) {
  return {.number = request.number,
          .id = request.id,
          .fingerprint = request.fingerprint,
          .answer = request.answer,
          .at = request.at};
}

RememberedRequest remembered(const store::StoredRequest& request) {
  return {.number = request.number,
          .id = request.id,
          .fingerprint = request.fingerprint,
          .answer = request.answer,
          .at = request.at};
}

// What the store's error means to a caller whose change it did not take.
Error not_taken(const Error& error) {
  const bool is_final = error.code == ErrorCode::store_fenced;
  return {.code = is_final ? error.code : ErrorCode::store_unavailable,
          .message = "the store did not take the change, and nothing has changed: " + error.message,
          .where = error.where};
}

}  // namespace

Journal::Journal(Engine& engine, std::unique_ptr<store::Store> store, const Options& options)
    : engine_(engine),
      store_(std::move(store)),
      durability_(options.durability),
      interval_(std::max(options.write_interval, Millis(1))),
      timeout_(options.store_timeout),
      owner_(this_process(engine.now())) {}

Journal::~Journal() {
  if (is_open_) {
    if (auto closed = close(); !closed.ok()) {
      engine_.log("closing the store: " + closed.error().to_string());
    }
  }
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
  if (again_) let_go(*again_);
  for (Shard& shard : engine_.shards()) {
    for (const auto& slots : shard.queue.slots) {
      for (Slot* slot : slots) slot->release();
    }
    for (const Queue::Safe& kept : shard.queue.safe) kept.slot->release();
  }
}

Result<void> Journal::open() {
  Result<store::Opened> opened = store_->open(store::Access::own, owner_);
  if (!opened.ok()) return std::move(opened).error();
  base_ = opened->last_group;
  if (opened->weaker) engine_.log("the store may lose what it has taken: " + *opened->weaker);
  for (const Error& damage : opened->damage) engine_.log(damage.to_string());
  std::optional<Error> refused;
  const auto visit = [&](store::StoredCustomer stored) {
    if (stored.damage) {
      const bool is_lost = stored.record.empty();
      engine_.log(fmt::format("{} `{}`: {}", is_lost ? "not loaded:" : "loaded without a request:",
                              stored.id, stored.damage->to_string()));
      if (is_lost) return true;
    }
    Result<Customer> customer = state::read_customer(stored.record, engine_.names());
    if (!customer.ok()) {
      refused = customer.error();
      refused->where = fmt::format("{}: {}", stored.id, refused->where);
      return false;
    }
    if (!stored.requests.empty()) {
      state::CustomerRest& rest = customer->own_rest();
      for (const store::StoredRequest& request : stored.requests) {
        rest.requests.push_back(remembered(request));
      }
      rest.requests_written = rest.requests.back().number;
    }
    engine_.insert_stored(*std::move(customer));
    return true;
  };
  if (auto scanned = store_->scan(visit); !scanned.ok()) return scanned;
  if (refused) return *refused;
  if (opened->estimates) engine_.merge_estimates(*opened->estimates);
  is_up_ = is_open_ = true;
  writer_ = std::thread([this] { run(); });
  return {};
}

std::uint64_t Journal::group_of(const Slot& slot) const {
  // Marked groups lie at most a few behind the current one.
  const std::uint64_t now = current();
  return now - static_cast<std::uint32_t>(low(now) - slot.group);
}

void Journal::mark(Slot& slot, std::uint64_t group, bool is_new) {
  Queue& queue = engine_.shard(slot.shard).queue;
  if (slot.queued) {
    if (slot.group == low(group)) return;
    // INVARIANT 2: the group before is being gathered, and gets what it was cut for.
    queue.written.push_back(write_of(slot));
  } else {
    queued_.fetch_add(1, std::memory_order_relaxed);
  }
  if (is_sync() && slot.group == 0) {
    queue.safe.push_back(
        {&slot, is_new ? std::nullopt : std::optional(copy_without_requests(slot.customer))});
    slot.retain();
  }
  slot.queued = true;
  slot.group = low(group);
  slot.retain();
  queue.slots[group & 1].push_back(&slot);
}

// REQUIRES: the slot's shard is locked.
store::CustomerWrite Journal::write_of(Slot& slot) {
  store::CustomerWrite write;
  write.id = slot.customer.id;
  if (slot.removed) return write;
  write.record = state::to_record(slot.customer, engine_.names());
  if (!slot.customer.rest) return write;
  state::CustomerRest& rest = *slot.customer.rest;
  write.alt_ids = rest.alt_ids;
  for (const RememberedRequest& request : rest.requests) {
    if (request.number > rest.requests_written) write.new_requests.push_back(stored(request));
  }
  if (!rest.requests.empty()) rest.requests_written = rest.requests.back().number;
  write.first_request =
      rest.requests.empty() ? rest.requests_written + 1 : rest.requests.front().number;
  return write;
}

Result<void> Journal::wait(std::uint64_t group) {
  for (;;) {
    // In this order: a group that failed is known to have before one after it is safe.
    const bool is_past = group <= safe_.load(std::memory_order_acquire);
    std::uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex_);
      seen = finished_;
      if (auto failure = failure_of(group)) return *std::move(failure);
    }
    if (is_past) return {};
    if (std::unique_lock writing(writing_, std::try_to_lock); writing) {
      if (group > safe_.load(std::memory_order_acquire)) (void)write_group();
      finish_writing(std::move(writing));
      continue;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ != seen; });
  }
}

void Journal::finish_writing(std::unique_lock<std::mutex> writing) {
  writing.unlock();
  {
    const std::lock_guard lock(mutex_);
    ++finished_;
  }
  changed_.notify_all();
}

void Journal::set_policy(std::string document) {
  const std::lock_guard lock(mutex_);
  policy_ = std::move(document);
}

Result<void> Journal::flush() {
  std::unique_lock writing(writing_);
  const bool is_behind = again_.has_value();
  Result<void> written = write_group();
  if (is_behind && written.ok()) written = write_group();
  finish_writing(std::move(writing));
  return written;
}

Result<void> Journal::close() {
  Result<void> flushed = flush();
  const std::lock_guard writing(writing_);
  Result<void> closed = store_->close();
  is_up_ = is_open_ = false;
  return flushed.ok() ? std::move(closed) : std::move(flushed);
}

// Writes what nobody waits for, and opens the store again when it has failed.
void Journal::run() {
  const Millis pause = durability_ == Durability::interval ? interval_ : Millis(100);
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, pause, [this] { return stop_; });
      if (stop_) return;
    }
    if (durability_ == Durability::manual) continue;
    std::unique_lock writing(writing_);
    if (!is_open_ || !has_work()) continue;
    (void)write_group();
    finish_writing(std::move(writing));
  }
}

bool Journal::has_work() const {
  return queued_.load(std::memory_order_relaxed) > 0 || again_ || !is_up_;
}

Result<void> Journal::write_group() {
  if (!is_open_) {
    const Error closed{.code = ErrorCode::store_unavailable,
                       .message = "the engine was closed, and nothing has changed"};
    if (is_sync()) refuse(gather(), closed);
    return closed;
  }
  if (!is_up_) {
    if (auto opened = reopen(); !opened.ok()) {
      if (is_sync()) refuse(gather(), opened.error());
      return opened;
    }
  }
  Flight flight;
  if (again_) {
    flight = *std::exchange(again_, std::nullopt);
  } else {
    flight = gather();
  }
  if (flight.empty()) return {};
  Result<void> written = commit(flight.group);
  if (!written.ok() && written.error().code == ErrorCode::outcome_unknown) {
    is_up_ = false;
    const Result<bool> found = look_up(flight.group.number);
    if (found.ok() && *found) {
      written = {};
    } else if (found.ok()) {
      written = not_taken(written.error());
    }
  }
  if (written.ok()) {
    settle(flight);
    return {};
  }
  fail(std::move(flight), written.error());
  return written;
}

Result<void> Journal::commit(const store::Group& group) {
  if (group.empty()) return {};
  return store_->commit(group);
}

Journal::Flight Journal::gather() {
  Flight flight;
  const std::uint64_t group = number_.fetch_add(1, std::memory_order_seq_cst);
  flight.group.number = base_ + group;
  const auto shards = static_cast<std::uint32_t>(engine_.shards().size());
  for (std::uint32_t shard = 0; shard < shards; ++shard) gather_shard(shard, flight);
  if (estimates_changed_.exchange(false, std::memory_order_relaxed)) {
    flight.group.estimates = engine_.estimates_text();
  }
  const std::lock_guard lock(mutex_);
  flight.group.policy = std::exchange(policy_, std::nullopt);
  return flight;
}

// What the shard has for the group joins it. Those that a later group has taken over since have
// been written for it already.
void Journal::gather_shard(std::uint32_t shard, Flight& flight) {
  const std::uint64_t group = flight.group.number - base_;
  Shard& of = engine_.shard(shard);
  const std::lock_guard lock(of.mutex);
  Queue& queue = of.queue;
  std::vector<Slot*>& slots = queue.slots[group & 1];
  if (slots.empty()) return;
  std::vector<store::CustomerWrite>& customers = flight.group.customers;
  std::move(queue.written.begin(), queue.written.end(), std::back_inserter(customers));
  queue.written.clear();
  for (Slot* slot : slots) {
    if (slot->queued && slot->group == low(group)) {
      customers.push_back(write_of(*slot));
      slot->queued = false;
      queued_.fetch_sub(1, std::memory_order_relaxed);
    }
    flight.slots.push_back(slot);
  }
  slots.clear();
}

// The group is safe: what its customers were before is forgotten.
void Journal::settle(Flight& flight) {
  const std::uint64_t group = flight.group.number - base_;
  customers_written_ += flight.group.customers.size();
  for (Slot* slot : flight.slots) {
    Shard& shard = engine_.shard(slot->shard);
    const std::lock_guard lock(shard.mutex);
    const auto safe = std::find_if(shard.queue.safe.begin(), shard.queue.safe.end(),
                                   [&](const Queue::Safe& kept) { return kept.slot == slot; });
    if (slot->group == low(group)) {
      slot->group = 0;
      if (safe != shard.queue.safe.end()) {
        shard.queue.safe.erase(safe);
        slot->release();
      }
    } else if (safe != shard.queue.safe.end()) {
      // It has changed again meanwhile: from now on this group's state is what is safe.
      const auto write =
          std::find_if(flight.group.customers.rbegin(), flight.group.customers.rend(),
                       [&](const store::CustomerWrite& w) { return w.id == slot->customer.id; });
      safe->customer.reset();
      if (write != flight.group.customers.rend() && write->record) {
        safe->customer = *state::read_customer(*write->record, engine_.names());
        const std::uint64_t requests = slot->customer.more().requests_written;
        if (requests != 0) safe->customer->own_rest().requests_written = requests;
      }
    }
    slot->release();
  }
  flight.slots.clear();
  safe_.store(group, std::memory_order_release);
}

void Journal::let_go(Flight& flight) {
  for (Slot* slot : flight.slots) slot->release();
  flight.slots.clear();
}

void Journal::note_down(const Error& error) {
  is_up_ = false;
  down_ = error;
  backoff_ = std::clamp(backoff_ * 2, backoff_min, backoff_max);
  next_try_ = steady_clock::now() + backoff_;
}

// The store did not take the group, or did not say.
void Journal::fail(Flight flight, const Error& error) {
  note_down(error);
  engine_.log("the store has failed: " + error.to_string());
  if (is_sync() && error.code != ErrorCode::outcome_unknown) {
    return refuse(std::move(flight), not_taken(error));
  }
  if (is_sync()) {
    const std::uint64_t group = flight.group.number - base_;
    add_failure(safe_.load(std::memory_order_relaxed) + 1, group, error);
  }
  again_ = std::move(flight);
}

// Nothing of the group, or of what was built on it, is going to be written. While the outcome of an
// earlier one is unknown, memory stays as it is: nobody is answered from it, and reopen() settles
// it.
void Journal::refuse(Flight flight, const Error& error) {
  if (flight.group.estimates) note_estimates();
  if (flight.group.policy) {
    const std::lock_guard lock(mutex_);
    if (!policy_) policy_ = std::move(flight.group.policy);
  }
  if (!again_) take_back();
  const std::uint64_t last = number_.load(std::memory_order_relaxed) - 1;
  add_failure(safe_.load(std::memory_order_relaxed) + 1, last, error);
  let_go(flight);
}

// INVARIANT 4: all that is not safe goes back, and is queued to be written again: the store may
// have got hold of some of it. Calls that come meanwhile wait for their locks.
void Journal::take_back() {
  std::vector<std::unique_lock<std::mutex>> locks;
  for (Shard& shard : engine_.shards()) locks.emplace_back(shard.mutex);
  const std::uint64_t next = number_.fetch_add(1, std::memory_order_seq_cst) + 1;
  for (Shard& shard : engine_.shards()) {
    for (const Queue::Safe& kept : shard.queue.safe) engine_.unlist(*kept.slot);
  }
  for (Shard& shard : engine_.shards()) {
    Queue& queue = shard.queue;
    queue.written.clear();
    std::vector<Slot*> waiting = std::move(queue.slots[0]);
    waiting.insert(waiting.end(), queue.slots[1].begin(), queue.slots[1].end());
    queue.slots = {};
    std::vector<Queue::Safe> safe = std::move(queue.safe);
    queue.safe.clear();
    for (Queue::Safe& kept : safe) {
      if (kept.slot->queued) queued_.fetch_sub(1, std::memory_order_relaxed);
      kept.slot->queued = false;
      kept.slot->group = 0;
      if (!kept.customer) continue;
      restore(kept.slot->customer, *std::move(kept.customer));
      engine_.list(*kept.slot);
    }
    for (const Queue::Safe& kept : safe) {
      // Another one of its ID is there again, and says all there is to say of it.
      if (kept.slot->removed && shard.customers.contains(std::string_view(kept.slot->customer.id)))
        continue;
      mark(*kept.slot, next, /*is_new=*/kept.slot->removed);
    }
    for (const Queue::Safe& kept : safe) kept.slot->release();
    for (Slot* slot : waiting) slot->release();
  }
}

Result<void> Journal::reopen() {
  if (steady_clock::now() < next_try_ && down_) return not_taken(*down_);
  Result<store::Opened> opened = store_->open(store::Access::own, owner_);
  if (!opened.ok()) {
    note_down(opened.error());
    return not_taken(*down_);
  }
  const std::uint64_t expected = base_ + safe_.load(std::memory_order_relaxed);
  if (again_ && (is_sync() || opened->last_group >= again_->group.number)) {
    // A group whose outcome nobody knew stands or falls. What was built on it falls.
    Flight flight = *std::exchange(again_, std::nullopt);
    if (opened->last_group >= flight.group.number) settle(flight);
    if (is_sync()) refuse(std::move(flight), not_taken(*down_));
  } else if (opened->last_group < expected) {
    engine_.log(
        fmt::format("the store has lost what it had taken (group {} is its last, {} was): "
                    "all customers are written again",
                    opened->last_group, expected));
    engine_.mark_all();
  }
  is_up_ = true;
  down_.reset();
  backoff_ = Millis(0);
  return {};
}

Result<bool> Journal::look_up(std::uint64_t group) {
  const auto deadline = steady_clock::now() + timeout_;
  for (Millis pause = backoff_min;; pause = std::min(pause * 2, backoff_max)) {
    Result<store::Opened> opened = store_->open(store::Access::own, owner_);
    if (opened.ok()) {
      is_up_ = true;
      return opened->last_group >= group;
    }
    if (steady_clock::now() + pause >= deadline) return std::move(opened).error();
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, pause, [this] { return stop_; })) return opened.error();
  }
}

void Journal::add_failure(std::uint64_t first, std::uint64_t last, const Error& error) {
  if (first > last) return;
  const std::lock_guard lock(mutex_);
  failures_.push_back({first, last, error});
  if (failures_.size() > failures_kept) failures_.pop_front();
}

// REQUIRES: mutex_ is held.
std::optional<Error> Journal::failure_of(std::uint64_t group) const {
  for (const Failure& failure : failures_) {
    if (failure.first <= group && group <= failure.last) return failure.error;
  }
  return std::nullopt;
}

}  // namespace limitr::engine
