// SPDX-License-Identifier: Apache-2.0
#include "engine/journal.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "engine/engine.h"
#include "state/record.h"

namespace limitr::engine {
namespace {

using state::Customer;
using state::RememberedRequest;
using std::chrono::steady_clock;

// Statistics over all customers change with nearly every call that teaches: they are written along
// at most this often, and at flush() and close().
constexpr Millis estimates_every{1000};
// How far an owner's numbers of groups are from its predecessor's, at most.
constexpr std::uint64_t numbers_apart = std::uint64_t{1} << 30;
// Those who come later than that many failures after their own have been waiting for a minute.
constexpr std::size_t failures_kept = 1024;

// Remembered requests are rows of their own: they do not go back with their customer.
Customer copy_without_requests(Customer& customer) {
  std::vector<RememberedRequest> requests;
  if (customer.rest) requests.swap(customer.rest->requests);
  Customer copy = customer;
  if (customer.rest) requests.swap(customer.rest->requests);
  return copy;
}

// Puts a customer back to what it was; requests that came since are forgotten, and those that were
// pushed out since are remembered again: they are the oldest.
void restore(Customer& customer, Customer safe, std::vector<RememberedRequest> pushed_out) {
  std::vector<RememberedRequest> requests = std::move(pushed_out);
  if (customer.rest) {
    std::move(customer.rest->requests.begin(), customer.rest->requests.end(),
              std::back_inserter(requests));
  }
  const std::uint64_t written = safe.rest ? safe.rest->requests_written : 0;
  std::erase_if(requests,
                [&](const RememberedRequest& request) { return request.number > written; });
  customer = std::move(safe);
  if (!requests.empty()) customer.own_rest().requests = std::move(requests);
}

}  // namespace

Journal::Journal(Engine& engine, std::unique_ptr<store::Store> store, const Options& options)
    : engine_(engine),
      store_(std::move(store)),
      durability_(options.durability),
      interval_(std::max(options.write_interval, Millis(1))),
      timeout_(options.store_timeout),
      load_all_(options.load_all),
      max_unwritten_(options.max_unwritten),
      owner_(this_process(engine.now())) {}

Journal::~Journal() {
  stop();
  if (again_) let_go(*again_);
  for (Shard& shard : engine_.shards()) {
    for (const auto& slots : shard.queue.slots) {
      for (Slot* slot : slots) slot->release();
    }
    for (const Queue::Safe& kept : shard.queue.safe) kept.slot->release();
  }
}

void Journal::stop() {
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
  later_came_.notify_all();
  if (writer_.joinable()) writer_.join();
}

Result<void> Journal::open() {
  Result<store::Opened> opened = store_->open(store::Access::own, owner_);
  if (!opened.ok()) return std::move(opened).error();
  // Two owners never write a group of the same number, whatever either knows of the other.
  base_ = opened->last_group + 1 + engine_.number() % numbers_apart;
  last_taken_ = opened->last_group;
  renew_every_ = opened->renew_every;
  log_opened(*opened, engine_.options().log);
  if (load_all_) {
    std::optional<Error> refused;
    const auto visit = [&](const store::StoredCustomer& stored) {
      if (refused) return;
      Result<Customer> customer = customer_of(stored, engine_.names());
      if (customer.ok()) {
        engine_.insert_stored(*std::move(customer));
      } else {
        refused = std::move(customer).error();
      }
    };
    if (auto scanned = scan(visit); !scanned.ok()) return scanned;
    if (refused) return *refused;
  }
  if (opened->estimates) engine_.merge_estimates(*opened->estimates);
  is_up_ = is_open_ = true;
  writer_ = std::thread([this] { run(); });
  return {};
}

Result<std::vector<Loaded>> Journal::read(std::span<const std::string> ids) {
  return read_from(*store_, ids, engine_.names(), engine_.options().log);
}

Result<void> Journal::scan(const std::function<void(const store::StoredCustomer&)>& visit) {
  return scan_from(*store_, visit, engine_.options().log);
}

std::uint64_t Journal::group_of(const Slot& slot) const {
  // Marked groups lie at most a few behind the current one.
  return marked_group(slot.group, current());
}

void Journal::mark(Slot& slot, std::uint64_t group, bool is_new) {
  Queue& queue = engine_.shard(slot.shard).queue;
  if (slot.queued) {
    if (slot.group == mark_of(group)) return;
    // INVARIANT 2: the group before is being gathered, and gets what it was cut for.
    queue.written.push_back({&slot, write_of(slot, engine_.names())});
  } else {
    queued_.fetch_add(1, std::memory_order_relaxed);
  }
  if (is_sync() && slot.group == 0) {
    queue.safe.push_back(
        {&slot, is_new ? std::nullopt : std::optional(copy_without_requests(slot.customer))});
    slot.retain();
  }
  slot.queued = true;
  slot.group = mark_of(group);
  slot.retain();
  queue.slots[group & 1].push_back(&slot);
}

void Journal::note_pushed_out(const Slot& slot, std::vector<RememberedRequest> requests) {
  std::vector<Queue::Safe>& safe = engine_.shard(slot.shard).queue.safe;
  const auto kept = std::find_if(safe.begin(), safe.end(),
                                 [&](const Queue::Safe& one) { return one.slot == &slot; });
  if (kept == safe.end()) return;
  std::move(requests.begin(), requests.end(), std::back_inserter(kept->pushed_out));
}

Result<void> Journal::wait(std::uint64_t group) {
  for (;;) {
    // In this order: a group that failed is known to have before one after it is safe.
    const bool is_past = is_safe(group);
    std::uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex_);
      seen = finished_;
      if (auto failure = failure_of(group)) return *std::move(failure);
    }
    if (is_past) return {};
    if (std::unique_lock writing(writing_, std::try_to_lock); writing) {
      if (!is_safe(group)) (void)write_group();
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
  Result<void> written = write_all();
  finish_writing(std::move(writing));
  return written;
}

Result<void> Journal::write_all() {
  const bool is_behind = again_.has_value();
  Result<void> written = write_group(With::all);
  if (is_behind && written.ok()) written = write_group(With::all);
  return written;
}

Result<void> Journal::fold() {
  std::unique_lock writing(writing_);
  Result<void> folded = write_all();
  if (folded.ok()) {
    folded = store_->fold();
    if (!folded.ok() && folded.error().code == ErrorCode::store_fenced) folded = fence();
  }
  finish_writing(std::move(writing));
  return folded;
}

Result<void> Journal::close() {
  const bool is_waited_for =
      writer_.get_id() == std::this_thread::get_id() || engine_.dispatcher().is_running_here();
  if (!is_waited_for) {
    // Those that were made before are answered first.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, made = later_made_] { return later_done_ >= made; });
  }
  Result<void> flushed = flush();
  std::unique_lock writing(writing_);
  // What a failover has taken since the lease was last renewed is written again.
  next_renewal_ = {};
  keep_lease();
  if (flushed.ok() && queued_.load(std::memory_order_relaxed) > 0) flushed = write_all();
  Result<void> closed = store_->close();
  is_up_ = is_open_ = false;
  finish_writing(std::move(writing));
  return flushed.ok() ? std::move(closed) : std::move(flushed);
}

Result<void> Journal::make_room() {
  const std::size_t unwritten =
      queued_.load(std::memory_order_relaxed) + again_size_.load(std::memory_order_relaxed);
  const bool is_full = unwritten >= max_unwritten_;
  if (durability_ != Durability::interval || !is_full) return {};
  Result<void> written = flush();
  if (written.ok()) return written;
  return Error{
      .code = written.error().code,
      .message = fmt::format("{} changed customers wait to be written, which is as many as "
                             "may: nothing has changed: {}",
                             max_unwritten_, written.error().message)};
}

// Writes what nobody waits for, opens the store again when it has failed, and keeps its lease.
void Journal::run() {
  Millis pause = durability_ == Durability::interval ? interval_ : Millis(100);
  if (renew_every_ != Millis(0)) pause = std::min(pause, renew_every_);
  for (;;) {
    if (const std::vector<Later> later = take_later(pause); !later.empty()) {
      run_those(later);
    } else if (const std::lock_guard lock(mutex_); stop_) {
      return;
    }
    std::unique_lock writing(writing_);
    if (is_open_ && !is_fenced()) {
      keep_lease();
      if (durability_ != Durability::manual && has_work()) (void)write_group();
    }
    // Also where nothing was written: somebody may have found writing_ taken, and wait.
    finish_writing(std::move(writing));
  }
}

bool Journal::run_later(std::function<std::uint64_t()> begin, std::function<void()> complete) {
  {
    const std::lock_guard lock(mutex_);
    if (later_.size() >= max_unwritten_) return false;
    later_.push_back({std::move(begin), std::move(complete)});
    ++later_made_;
    if (later_.size() != 1 && later_.size() != later_pace_.wanted()) return true;
  }
  later_came_.notify_one();
  return true;
}

// All that there are, after `pause` at the latest.
std::vector<Journal::Later> Journal::take_later(Millis pause) {
  std::unique_lock lock(mutex_);
  later_came_.wait_for(lock, pause, [this] { return stop_ || !later_.empty(); });
  if (!later_.empty()) {
    later_came_.wait_for(lock, later_pace_.patience(),
                         [this] { return stop_ || later_.size() >= later_pace_.wanted(); });
  }
  return std::exchange(later_, {});
}

void Journal::run_those(const std::vector<Later>& calls) {
  std::uint64_t last = 0;
  for (const Later& call : calls) last = std::max(last, call.begin());
  // One write for all; how it ended is asked for each.
  const auto begun = steady_clock::now();
  if (last != 0) (void)wait(last);
  {
    const std::lock_guard lock(mutex_);
    later_pace_.note(calls.size(), steady_clock::now() - begun);
  }
  for (const Later& call : calls) call.complete();
  {
    const std::lock_guard lock(mutex_);
    later_done_ += calls.size();
  }
  changed_.notify_all();
}

void Journal::keep_lease() {
  if (renew_every_ == Millis(0) || !is_up_ || steady_clock::now() < next_renewal_) return;
  next_renewal_ = steady_clock::now() + renew_every_;
  const Result<void> renewed = store_->renew();
  if (renewed.ok()) return write_lost_again();
  note_down(renewed.error());
  if (renewed.error().code == ErrorCode::store_fenced) fence();
}

bool Journal::has_work() const {
  if (queued_.load(std::memory_order_relaxed) > 0 || again_ || !is_up_) return true;
  if (estimates_are_due()) return true;
  const std::lock_guard lock(mutex_);
  return policy_.has_value();
}

bool Journal::estimates_are_due() const {
  return estimates_changed_.load(std::memory_order_relaxed) &&
         steady_clock::now() >= next_estimates_;
}

Result<void> Journal::write_group(With with) {
  if (!is_open_) {
    const Error closed{.code = ErrorCode::store_unavailable,
                       .message = "the engine was closed, and nothing has changed"};
    if (is_sync()) refuse(gather(with), closed);
    return closed;
  }
  if (!is_up_) {
    if (auto opened = reopen(); !opened.ok()) {
      if (is_sync()) refuse(gather(with), opened.error());
      return opened;
    }
  }
  Flight flight;
  if (again_) {
    flight = *std::exchange(again_, std::nullopt);
  } else {
    flight = gather(with);
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
    write_lost_again();
    return {};
  }
  fail(std::move(flight), written.error());
  return written;
}

Result<void> Journal::commit(const store::Group& group) {
  if (group.empty()) return {};
  return store_->commit(group);
}

Journal::Flight Journal::gather(With with) {
  Flight flight;
  const std::uint64_t group = number_.fetch_add(1, std::memory_order_seq_cst);
  flight.group.number = base_ + group;
  const auto shards = static_cast<std::uint32_t>(engine_.shards().size());
  for (std::uint32_t shard = 0; shard < shards; ++shard) gather_shard(shard, flight);
  if ((with == With::all || estimates_are_due()) &&
      estimates_changed_.exchange(false, std::memory_order_relaxed)) {
    flight.group.estimates = engine_.estimates_text();
    next_estimates_ = steady_clock::now() + estimates_every;
  }
  const std::lock_guard lock(mutex_);
  flight.group.policy = std::exchange(policy_, std::nullopt);
  return flight;
}

// What the shard has for the group joins it, in the order in which it was marked: one of an ID that
// another had before comes after it. What a later group has taken over since was written already.
void Journal::gather_shard(std::uint32_t shard, Flight& flight) {
  const std::uint64_t group = flight.group.number - base_;
  Shard& of = engine_.shard(shard);
  const std::lock_guard lock(of.mutex);
  Queue& queue = of.queue;
  std::vector<Slot*>& slots = queue.slots[group & 1];
  if (slots.empty()) return;
  std::vector<store::CustomerWrite>& customers = flight.group.customers;
  for (Slot* slot : slots) {
    if (slot->queued && slot->group == mark_of(group)) {
      customers.push_back(write_of(*slot, engine_.names()));
      slot->queued = false;
      queued_.fetch_sub(1, std::memory_order_relaxed);
    } else {
      const auto written =
          std::find_if(queue.written.begin(), queue.written.end(),
                       [slot](const Queue::Written& earlier) { return earlier.slot == slot; });
      customers.push_back(std::move(written->write));
    }
    flight.slots.push_back(slot);
  }
  queue.written.clear();
  slots.clear();
}

// The group is safe: what its customers were before is forgotten.
void Journal::settle(Flight& flight) {
  const std::uint64_t group = flight.group.number - base_;
  if (!flight.group.empty()) last_taken_ = flight.group.number;
  customers_written_ += flight.group.customers.size();
  again_size_.store(0, std::memory_order_relaxed);
  for (Slot* slot : flight.slots) {
    Shard& shard = engine_.shard(slot->shard);
    const std::lock_guard lock(shard.mutex);
    const auto safe = std::find_if(shard.queue.safe.begin(), shard.queue.safe.end(),
                                   [&](const Queue::Safe& kept) { return kept.slot == slot; });
    if (slot->group == mark_of(group)) {
      slot->group = 0;
      if (slot->removed) engine_.forget_leaving(*slot);
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
        std::erase_if(safe->pushed_out, [&](const RememberedRequest& request) {
          return request.number < write->first_request;
        });
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
  backoff_.failed(error);
}

// The store did not take the group, or did not say.
void Journal::fail(Flight flight, const Error& error) {
  note_down(error);
  if (error.code == ErrorCode::store_fenced) {
    fence();
  } else {
    engine_.log("the store has failed: " + error.to_string());
  }
  if (is_sync() && error.code != ErrorCode::outcome_unknown) {
    return refuse(std::move(flight), not_taken(error));
  }
  if (is_sync()) {
    const std::uint64_t group = flight.group.number - base_;
    add_failure(safe_.load(std::memory_order_relaxed) + 1, group, error);
  }
  again_size_.store(flight.group.customers.size(), std::memory_order_relaxed);
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
    shard.left_in = 0;
    for (const Queue::Safe& kept : shard.queue.safe) engine_.unlist(*kept.slot);
    while (!shard.leaving.empty()) engine_.forget_leaving(*shard.leaving.back());
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
      restore(kept.slot->customer, *std::move(kept.customer), std::move(kept.pushed_out));
      engine_.list(*kept.slot);
    }
    for (const Queue::Safe& kept : safe) {
      // Another one of its ID is there again, and says all there is to say of it.
      if (kept.slot->removed && shard.customers.contains(std::string_view(kept.slot->customer.id)))
        continue;
      mark(*kept.slot, next, /*is_new=*/kept.slot->removed);
      if (kept.slot->removed && engine_.is_on_demand()) engine_.note_leaving(*kept.slot);
    }
    for (const Queue::Safe& kept : safe) kept.slot->release();
    for (Slot* slot : waiting) slot->release();
  }
}

Result<void> Journal::reopen() {
  if (is_fenced()) return fenced();
  if (const Error* why = backoff_.too_early()) return not_taken(*why);
  Result<store::Opened> opened = store_->open(store::Access::own, owner_);
  if (!opened.ok()) {
    note_down(opened.error());
    return not_taken(opened.error());
  }
  const bool has_again = again_ && opened->last_group == again_->group.number;
  if (opened->last_group > last_taken_ && !has_again) return fence();
  const bool has_lost = opened->last_group < last_taken_;
  if (again_ && (is_sync() || has_again)) {
    // A group whose outcome nobody knew stands or falls. What was built on it falls.
    Flight flight = *std::exchange(again_, std::nullopt);
    if (has_again) settle(flight);
    if (is_sync()) refuse(std::move(flight), not_taken(*backoff_.why()));
  }
  if (has_lost) {
    write_again(fmt::format("the store has lost what it had taken (group {} is its last, {} was)",
                            opened->last_group, last_taken_));
  }
  write_lost_again();
  is_up_ = true;
  backoff_.recovered();
  return {};
}

void Journal::write_again(std::string_view why) {
  engine_.log(fmt::format("{}: what is in memory is written again", why));
  engine_.mark_all();
}

// A part of it may have gone back although its last group is there.
void Journal::write_lost_again() {
  if (store_->has_lost()) write_again("a part of the store has lost what it had taken");
}

// Another owner has written to the store: what this engine has in memory is of the past.
Error Journal::fence() {
  engine_.log("another engine has taken the store over: this one answers nothing any more");
  is_fenced_.store(true, std::memory_order_release);
  is_up_ = false;
  (void)store_->close();
  return fenced();
}

Error Journal::fenced() {
  return {.code = ErrorCode::store_fenced,
          .message = "another engine has taken the store over: open the store anew"};
}

Result<bool> Journal::look_up(std::uint64_t group) {
  const auto deadline = steady_clock::now() + timeout_;
  for (Millis pause = Backoff::min;; pause = std::min(pause * 2, Backoff::max)) {
    Result<store::Opened> opened = store_->open(store::Access::own, owner_);
    if (opened.ok()) {
      is_up_ = true;
      if (opened->last_group == group) return true;
      if (opened->last_group > last_taken_) return fence();
      return false;
    }
    if (steady_clock::now() + pause >= deadline) return std::move(opened).error();
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, pause, [this] { return stop_; })) return opened.error();
  }
}

void Journal::add_failure(std::uint64_t first, std::uint64_t last, const Error& error) {
  if (first > last) return;
  const std::lock_guard lock(mutex_);
  // While the store is away every call fails, and all of them since the last group that is safe.
  if (!failures_.empty() && failures_.back().first == first &&
      failures_.back().error.code == error.code) {
    failures_.back().last = std::max(failures_.back().last, last);
    return;
  }
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
