// SPDX-License-Identifier: Apache-2.0
#include "engine/sharing.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/engine.h"

namespace limitr::engine {
namespace {

using std::chrono::steady_clock;
using store::Exchanged;
using store::Part;
using store::StoredCustomer;
using store::Transaction;

// Sets of calls that have something in common, by union and find.
class Sets {
public:
  explicit Sets(std::size_t count) : parents_(count) {
    std::iota(parents_.begin(), parents_.end(), std::size_t{0});
  }
  std::size_t root(std::size_t one) {
    while (parents_[one] != one) one = parents_[one] = parents_[parents_[one]];
    return one;
  }
  void join(std::size_t one, std::size_t other) { parents_[root(other)] = root(one); }

private:
  std::vector<std::size_t> parents_;
};

Error torn() {
  return {.code = ErrorCode::invalid_argument,
          .message =
              "within one call, a host function cannot remove a customer and make another one "
              "of its ID: nothing has changed"};
}

}  // namespace

Sharing::Sharing(Engine& engine, std::unique_ptr<store::Store> store, const Options& options)
    : engine_(engine),
      store_(std::move(store)),
      timeout_(options.store_timeout),
      max_waiting_(options.max_unwritten),
      owner_(this_process(engine.now())) {}

Sharing::~Sharing() { stop(); }

void Sharing::stop() {
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
  if (worker_.joinable()) worker_.join();
}

Result<void> Sharing::open() {
  Result<store::Opened> opened = store_->open(store::Access::share, owner_);
  if (!opened.ok()) return std::move(opened).error();
  log_opened(*opened, engine_.options().log);
  if (opened->estimates) engine_.merge_estimates(*opened->estimates);
  renew_every_ = opened->renew_every;
  is_open_ = is_up_ = true;
  worker_ = std::thread([this] { work(); });
  return {};
}

void Sharing::execute(Task& task) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(&task);
  }
  for (;;) {
    std::uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex_);
      if (task.is_done) break;
      seen = finished_;
    }
    if (std::unique_lock leading(leading_, std::try_to_lock); leading) {
      lead();
      finish_leading(std::move(leading));
      continue;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return task.is_done || finished_ != seen; });
  }
  for (Dispatcher::Batch& batch : task.batches) engine_.dispatcher().run(std::move(batch));
}

bool Sharing::run_later(std::function<void()> body,
                        std::function<void(const std::optional<Error>&)> then) {
  auto task = std::make_unique<Task>(Task{.body = std::move(body), .then = std::move(then)});
  {
    const std::lock_guard lock(mutex_);
    if (later_ >= max_waiting_) return false;
    queue_.push_back(task.release());
    ++later_;
    ++later_made_;
  }
  changed_.notify_all();
  return true;
}

// Leads for those who do not wait, tells them, and keeps the lease.
void Sharing::work() {
  Millis pause(1000);
  if (renew_every_ != Millis(0)) pause = std::min(pause, renew_every_);
  for (;;) {
    std::vector<std::unique_ptr<Task>> answered;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, pause, [this] { return stop_ || later_ != 0 || !answered_.empty(); });
      if (stop_ && later_ == 0 && answered_.empty()) return;
      answered.swap(answered_);
    }
    for (const std::unique_ptr<Task>& task : answered) {
      for (Dispatcher::Batch& batch : task->batches) engine_.dispatcher().run(std::move(batch));
      task->then(task->failure);
    }
    {
      const std::lock_guard leading(leading_);
      if (is_open_) keep_lease();
      lead();
    }
    {
      const std::lock_guard lock(mutex_);
      ++finished_;
      later_done_ += answered.size();
    }
    changed_.notify_all();
  }
}

void Sharing::lead() {
  std::vector<Task*> tasks;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t count = std::min(queue_.size(), store::most_transactions);
    const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(count);
    tasks.assign(queue_.begin(), end);
    queue_.erase(queue_.begin(), end);
  }
  if (tasks.empty()) return;
  leader_ = std::this_thread::get_id();
  if (auto up = be_up(); !up.ok()) {
    for (Task* task : tasks) task->failure = up.error();
    answer(tasks);
    tasks.clear();
  } else {
    tasks = run_round(std::move(tasks));
  }
  leader_ = std::thread::id();
  // Before all that have come since.
  const std::lock_guard lock(mutex_);
  queue_.insert(queue_.begin(), tasks.begin(), tasks.end());
}

// Runs calls once, and returns those that are not answered yet.
std::vector<Sharing::Task*> Sharing::run_round(std::vector<Task*> tasks) {
  ++round_;
  std::vector<Task*> left;
  std::vector<Task*> round;
  const bool is_single = tasks.front()->runs_alone;
  for (Task* task : tasks) {
    const bool takes_part = is_single ? task == tasks.front() : !task->runs_alone;
    (takes_part ? round : left).push_back(task);
  }
  for (Task* task : round) {
    running_ = task;
    task->body();
  }
  running_ = nullptr;

  std::vector<Component> components = components_of(round);
  std::vector<Component*> asked;
  std::vector<Transaction> transactions;
  for (Component& component : components) {
    if (component.is_torn && is_single) {
      fail(component, torn());
    } else if (component.is_torn) {
      run_each_alone(component, left);
    } else if (!needs_exchange(component)) {
      answer(component.tasks);
    } else if (auto transaction = transaction_to_send(component, left)) {
      transactions.push_back(*std::move(transaction));
      asked.push_back(&component);
    }
  }
  if (transactions.empty()) return left;
  const Result<std::vector<Exchanged>> exchanged = exchange(transactions);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (exchanged.ok()) {
      settle(*asked[i], (*exchanged)[i], left);
    } else {
      fail(*asked[i], exchanged.error());
    }
  }
  return left;
}

// Those of them that are not given up are added to `left`.
void Sharing::run_again(Component& component, std::vector<Task*>& left) {
  for (Task* task : component.tasks) {
    clear(*task);
    if (is_given_up(*task)) {
      answer({&task, 1});
    } else {
      left.push_back(task);
    }
  }
}

void Sharing::run_each_alone(Component& component, std::vector<Task*>& left) {
  for (Task* task : component.tasks) task->runs_alone = true;
  undo(component);
  run_again(component, left);
}

// None where the store would refuse it: the component has failed, or its calls are run again.
std::optional<Transaction> Sharing::transaction_to_send(Component& component,
                                                        std::vector<Task*>& left) {
  Transaction transaction = transaction_of(component);
  const std::optional<Error> refusal = store_->refusal(transaction);
  if (!refusal) return transaction;
  if (component.tasks.size() > 1) {
    // It may be what one of them asks for; the others are not to fail with it.
    run_each_alone(component, left);
  } else {
    fail(component, *refusal);
  }
  return std::nullopt;
}

// What has become of a component that was exchanged.
void Sharing::settle(Component& component, const Exchanged& exchanged, std::vector<Task*>& left) {
  if (exchanged.failure) {
    fail(component, not_taken(*exchanged.failure));
    return;
  }
  if (exchanged.is_written) {
    keep(component, exchanged);
    answer(component.tasks);
    return;
  }
  undo(component);
  const auto unreadable = take_over(exchanged.current);
  if (!unreadable) {
    run_again(component, left);
    return;
  }
  for (Task* task : component.tasks) {
    task->failure = unreadable;
    task->held.clear();
  }
  answer(component.tasks);
}

// INVARIANT 3: two calls that have looked at one customer, or at one ID that nobody has, belong
// together; and so do all that belong together with either.
std::vector<Sharing::Component> Sharing::components_of(std::span<Task* const> tasks) {
  Sets sets(tasks.size());
  absl::flat_hash_map<std::string_view, std::size_t> nobodies;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    for (Slot* slot : tasks[i]->found) {
      Known& about = known(*slot);
      if (about.found_in != round_) {
        about.found_in = round_;
        about.found_by = i;
      }
      sets.join(about.found_by, i);
    }
    for (const std::string& id : tasks[i]->nobodies) {
      sets.join(nobodies.try_emplace(id, i).first->second, i);
    }
  }
  std::vector<Component> components;
  std::vector<std::optional<std::size_t>> places(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    std::optional<std::size_t>& place = places[sets.root(i)];
    if (!place) {
      place = components.size();
      components.emplace_back();
    }
    Component& component = components[*place];
    component.tasks.push_back(tasks[i]);
    component.slots.insert(component.slots.end(), tasks[i]->found.begin(), tasks[i]->found.end());
    component.nobodies.insert(component.nobodies.end(), tasks[i]->nobodies.begin(),
                              tasks[i]->nobodies.end());
  }
  for (Component& component : components) {
    const auto unique = [](auto& list) {
      std::sort(list.begin(), list.end());
      list.erase(std::unique(list.begin(), list.end()), list.end());
    };
    unique(component.slots);
    unique(component.nobodies);
    absl::flat_hash_map<std::string_view, const Slot*> by_id;
    for (Slot* slot : component.slots) {
      component.is_dirty = component.is_dirty || known(*slot).is_dirty;
      component.is_torn = component.is_torn || !by_id.try_emplace(slot->customer.id, slot).second;
    }
    // Whoever has got an ID in this round says all there is to say of it.
    std::erase_if(component.nobodies, [&](const std::string& id) { return by_id.contains(id); });
  }
  return components;
}

// One customer that was read in this round is what the store has.
bool Sharing::needs_exchange(const Component& component) const {
  if (component.is_dirty || component.slots.size() + component.nobodies.size() > 1) return true;
  if (component.slots.empty()) return !component.nobodies.empty();
  return known_.at(component.slots.front()).read_in != round_;
}

Transaction Sharing::transaction_of(const Component& component) {
  Transaction transaction{.number = ++transactions_, .parts = {}};
  for (Slot* slot : component.slots) {
    const Known& about = known(*slot);
    Part part{.id = slot->customer.id, .version = about.version};
    if (about.is_dirty) part.write = write_of(*slot, engine_.names());
    // One that was made and deleted again was never there.
    if (about.version == 0 && slot->removed) part.write.reset();
    transaction.parts.push_back(std::move(part));
  }
  for (const std::string& id : component.nobodies) transaction.parts.push_back({.id = id});
  return transaction;
}

// Errors: store_unavailable: nothing was written; outcome_unknown, when the store could not be
// asked in time.
Result<std::vector<Exchanged>> Sharing::exchange(std::span<const Transaction> transactions) {
  Result<std::vector<Exchanged>> exchanged = store_->exchange(transactions);
  const auto deadline = steady_clock::now() + timeout_;
  while (!exchanged.ok() && exchanged.error().code == ErrorCode::outcome_unknown) {
    // The same transactions again: the store knows those that it has taken.
    note_down(exchanged.error());
    if (steady_clock::now() >= deadline) return exchanged;
    {
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, Backoff::min, [this] { return stop_; })) return exchanged;
    }
    if (auto opened = store_->open(store::Access::share, owner_); !opened.ok()) {
      if (opened.error().code == ErrorCode::store_owned) return exchanged;
      continue;
    }
    is_up_ = true;
    backoff_.recovered();
    exchanged = store_->exchange(transactions);
    // Whatever it says now, it has not said what became of them.
    if (!exchanged.ok()) {
      exchanged = Error{.code = ErrorCode::outcome_unknown, .message = exchanged.error().message};
    }
  }
  if (!exchanged.ok()) {
    note_down(exchanged.error());
    return not_taken(exchanged.error());
  }
  return exchanged;
}

// The store has taken it all.
void Sharing::keep(Component& component, const Exchanged& exchanged) {
  for (std::size_t i = 0; i < component.slots.size(); ++i) {
    Slot& slot = *component.slots[i];
    Known& about = known(slot);
    if (about.is_dirty) ++customers_written_;
    about.is_dirty = false;
    about.before.reset();
    about.version = exchanged.versions[i];
    if (!slot.removed) continue;
    engine_.forget_leaving(slot);
    known_.erase(&slot);
  }
}

// Everything is what it was before the round.
void Sharing::undo(const Component& component) {
  // All at first: an alternate ID may have passed from one to another.
  for (Slot* slot : component.slots) {
    if (!known(*slot).is_dirty) continue;
    engine_.unlist(*slot);
    engine_.forget_leaving(*slot);
  }
  for (Slot* slot : component.slots) {
    Known& about = known(*slot);
    if (!about.is_dirty) continue;
    if (!about.before) {
      known_.erase(slot);
      continue;
    }
    slot->customer = *std::move(about.before);
    about.before.reset();
    about.is_dirty = false;
    engine_.list(*slot);
  }
}

// INVARIANT 4: whoever is concerned is read anew.
void Sharing::forget_all(const Component& component) {
  for (Slot* slot : component.slots) {
    engine_.unlist(*slot);
    engine_.forget_leaving(*slot);
    known_.erase(slot);
  }
}

// Puts in memory what the store has now. Errors: data_corrupt, record_invalid.
std::optional<Error> Sharing::take_over(const std::vector<StoredCustomer>& current) {
  std::vector<std::pair<Customer, std::uint64_t>> present;
  std::optional<Error> unreadable;
  for (const StoredCustomer& stored : current) {
    auto& customers = engine_.shard(Engine::shard_of(stored.id)).customers;
    const auto listed = customers.find(std::string_view(stored.id));
    if (listed != customers.end()) {
      known_.erase(*listed);
      engine_.unlist(**listed);
    }
    if (stored.version == 0) continue;
    if (!is_whole(stored, engine_.options().log)) {
      unreadable = stored.damage;
      continue;
    }
    Result<Customer> customer = customer_of(stored, engine_.names());
    if (!customer.ok()) {
      unreadable = std::move(customer).error();
      continue;
    }
    present.emplace_back(*std::move(customer), stored.version);
  }
  for (auto& [customer, version] : present) {
    note_loaded(engine_.insert_stored(std::move(customer)), version);
  }
  return unreadable;
}

void Sharing::fail(Component& component, const Error& error) {
  if (error.code == ErrorCode::outcome_unknown) {
    forget_all(component);
  } else {
    undo(component);
  }
  for (Task* task : component.tasks) {
    task->failure = error;
    task->held.clear();
  }
  answer(component.tasks);
}

// Lets whoever waits for these calls have their answers; nothing of the calls is touched
// afterwards.
void Sharing::answer(std::span<Task* const> tasks) {
  for (Task* task : tasks) {
    for (Task::Held& held : task->held) {
      for (const std::uint32_t shard : held.shards) {
        const std::lock_guard lock(engine_.shard(shard).mutex);
        engine_.dispatcher().take_ticket(held.batch, shard);
      }
      task->batches.push_back(std::move(held.batch));
    }
    clear(*task);
  }
  const std::lock_guard lock(mutex_);
  for (Task* task : tasks) {
    task->is_done = true;
    if (!task->then) continue;
    answered_.emplace_back(task);
    --later_;
  }
}

// Whether a call that has fallen is not run again: then it has its answer.
bool Sharing::is_given_up(Task& task) const {
  const auto now = steady_clock::now();
  if (!task.deadline) task.deadline = now + timeout_;
  // However short the time is, it is run a second time.
  else if (now >= *task.deadline) {
    task.failure = Error{.code = ErrorCode::store_unavailable,
                         .message =
                             "other engines kept changing what the call rests on: nothing "
                             "has changed"};
  }
  return task.failure.has_value();
}

void Sharing::clear(Task& task) {
  for (Slot* slot : task.found) slot->release();
  task.found.clear();
  task.nobodies.clear();
  task.held.clear();
}

void Sharing::note_found(Slot& slot) {
  std::vector<Slot*>& found = running_->found;
  if (std::find(found.rbegin(), found.rend(), &slot) != found.rend()) return;
  slot.retain();
  found.push_back(&slot);
}

void Sharing::note_nobody(std::string_view id) { running_->nobodies.emplace_back(id); }

void Sharing::mark(Slot& slot, bool is_new) {
  note_found(slot);
  Known& about = known(slot);
  if (about.is_dirty) return;
  about.is_dirty = true;
  if (!is_new) about.before = slot.customer;
}

void Sharing::note_loaded(Slot& slot, std::uint64_t version) {
  Known& about = known(slot);
  about.version = version;
  about.read_in = round_;
}

void Sharing::hold_back(Dispatcher::Batch batch, std::span<const std::uint32_t> shards) {
  running_->held.push_back({std::move(batch), {shards.begin(), shards.end()}});
}

Result<std::vector<Loaded>> Sharing::read(std::span<const std::string> ids) {
  return read_from(*store_, ids, engine_.names(), engine_.options().log);
}

Result<void> Sharing::scan(const std::function<void(const StoredCustomer&)>& visit) {
  return scan_from(*store_, visit, engine_.options().log);
}

void Sharing::set_policy(std::string document) {
  const std::lock_guard lock(mutex_);
  policy_ = std::move(document);
}

void Sharing::note_down(const Error& error) {
  is_up_ = false;
  backoff_.failed(error);
  engine_.log("the store has failed: " + error.to_string());
}

// Opens the store again where it has failed. REQUIRES: leading_ is held.
Result<void> Sharing::be_up() {
  if (!is_open_) {
    return Error{.code = ErrorCode::store_unavailable,
                 .message = "the engine was closed, and nothing has changed"};
  }
  if (is_up_) return write_texts();
  if (const Error* why = backoff_.too_early()) return not_taken(*why);
  auto opened = store_->open(store::Access::share, owner_);
  if (!opened.ok()) {
    backoff_.failed(opened.error());
    return not_taken(opened.error());
  }
  is_up_ = true;
  backoff_.recovered();
  return write_texts();
}

// The policy, where it is new. REQUIRES: leading_ is held.
Result<void> Sharing::write_texts() {
  store::Group group;
  {
    const std::lock_guard lock(mutex_);
    group.policy = policy_;
  }
  if (!group.policy) return {};
  if (auto written = store_->commit(group); !written.ok()) {
    note_down(written.error());
    return not_taken(written.error());
  }
  const std::lock_guard lock(mutex_);
  if (policy_ == group.policy) policy_.reset();
  return {};
}

Result<void> Sharing::flush() {
  if (is_leading()) return write_all();
  std::unique_lock leading(leading_);
  Result<void> written = write_all();
  finish_leading(std::move(leading));
  return written;
}

// REQUIRES: leading_ is held.
Result<void> Sharing::write_all() {
  if (auto up = be_up(); !up.ok()) return up;
  if (!estimates_changed_.exchange(false)) return {};
  store::Group group;
  group.estimates = engine_.estimates_text();
  Result<void> written = store_->commit(group);
  if (written.ok()) return written;
  note_estimates();
  note_down(written.error());
  return written;
}

// Whoever found leading_ taken meanwhile waits for this.
void Sharing::finish_leading(std::unique_lock<std::mutex> leading) {
  leading.unlock();
  {
    const std::lock_guard lock(mutex_);
    ++finished_;
  }
  changed_.notify_all();
}

Result<void> Sharing::close() {
  if (is_leading()) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = "a host function cannot close the engine: a call waits for its answer"};
  }
  const bool is_waited_for =
      worker_.get_id() == std::this_thread::get_id() || engine_.dispatcher().is_running_here();
  if (!is_waited_for) {
    // Those that were made before are answered first.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, made = later_made_] { return later_done_ >= made; });
  }
  Result<void> flushed = flush();
  std::unique_lock leading(leading_);
  if (!is_open_) {
    finish_leading(std::move(leading));
    return flushed;
  }
  Result<void> closed = store_->close();
  is_up_ = is_open_ = false;
  finish_leading(std::move(leading));
  return flushed.ok() ? std::move(closed) : std::move(flushed);
}

void Sharing::keep_lease() {
  if (renew_every_ == Millis(0) || !is_up_ || steady_clock::now() < next_renewal_) return;
  next_renewal_ = steady_clock::now() + renew_every_;
  if (auto renewed = store_->renew(); !renewed.ok()) note_down(renewed.error());
}

}  // namespace limitr::engine
