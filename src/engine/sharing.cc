// SPDX-License-Identifier: Apache-2.0
#include "engine/sharing.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <utility>

#include <fmt/format.h>

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

// When what could not be reported or settled is tried again.
constexpr Millis again_after{100};

// How long until the row of another engine's customer is read again, each time longer.
Millis pause_after(int recalls) {
  return std::min(Millis(50), Millis(1) * (1 << std::min(recalls, 6)));
}

bool is_written_by(const state::Customer& customer, std::string_view engine, std::uint64_t number) {
  return customer.cloud != nullptr && state::is_written_by(*customer.cloud, engine, number);
}

bool was_written_last_by(const state::Customer& customer, std::string_view engine,
                         std::uint64_t number) {
  return customer.cloud != nullptr && !customer.cloud->by.empty() &&
         customer.cloud->by.front() == state::Writer{std::string(engine), number};
}

// What was used of a meter that an entitlement has taken over since counts under its name of today.
// spec: policy.md, renamed_from
void rename_use(const policy::Policy& policy, const state::Customer& customer,
                state::Unreported& unreported) {
  const auto name_today = [&](Symbol name) {
    if (customer.meter(name) != nullptr) return name;
    for (const policy::Plan& plan : policy.plans) {
      for (const policy::Entitlement& entitlement : plan.entitlements) {
        const std::vector<Symbol>& former = entitlement.renamed_from;
        const bool was_it = std::find(former.begin(), former.end(), name) != former.end();
        if (was_it && customer.meter(entitlement.name) != nullptr) return entitlement.name;
      }
    }
    return name;
  };
  for (state::Use* use : {&unreported.sent, &unreported.since}) {
    for (state::MeterUse& one : use->meters) one.entitlement = name_today(one.entitlement);
  }
}

Error torn() {
  return {.code = ErrorCode::invalid_argument,
          .message =
              "within one call, a customer cannot be made of an ID that another one has given up, "
              "as a host function asks for: nothing has changed"};
}

}  // namespace

Sharing::Sharing(Engine& engine, std::unique_ptr<store::Store> store, const Options& options)
    : engine_(engine),
      store_(std::move(store)),
      timeout_(options.store_timeout),
      max_waiting_(options.max_unwritten),
      owner_(this_process(engine.now())) {
  store::Homes* port = store_->homes();
  if (port == nullptr) return;
  homes_ = std::make_unique<Homes>(engine, *port);
  homes_->on_urgent([this] {
    {
      const std::lock_guard lock(mutex_);
    }
    changed_.notify_all();
  });
}

Sharing::~Sharing() {
  stop();
  for (const Sent& sent : unanswered_) {
    for (Slot* slot : sent.component.slots) slot->release();
  }
}

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
  if (homes_) {
    if (auto file = homes_->open_file(); !file.ok()) {
      (void)store_->close();
      return file;
    }
  }
  if (opened->estimates) engine_.merge_estimates(*opened->estimates);
  renew_every_ = opened->renew_every;
  is_open_ = is_up_ = true;
  if (homes_) {
    homes_->port().on_recall([this](std::vector<std::string> customers) {  //
      homes_->recall(customers);
    });
    if (homes_->port().is_stepped()) return {};
  }
  worker_ = std::thread([this] { work(); });
  return {};
}

void Sharing::settle_left() {
  if (!homes_ || !homes_->take_left()) return;
  {
    const std::lock_guard lock(mutex_);
    later_came_ = true;
  }
  changed_.notify_all();
}

void Sharing::execute(Task& task) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(&task);
  }
  for (;;) {
    if (std::unique_lock leading(leading_, std::try_to_lock); leading) {
      const std::optional<Millis> wait = lead();
      finish_leading(std::move(leading));
      if (wait) homes_->port().pause(*wait);
    }
    // Whoever leads now wakes one of those who wait when it has ended, or answers this one.
    std::unique_lock lock(mutex_);
    task.wakes.wait(lock, [&] { return task.is_done || std::exchange(task.leads_next, false); });
    if (task.is_done) break;
  }
  for (Dispatcher::Batch& batch : task.batches) engine_.dispatcher().run(std::move(batch));
}

bool Sharing::run_later(std::function<void()> body,
                        std::function<void(const std::optional<Error>&)> then, std::string about) {
  auto task = std::make_unique<Task>();
  task->body = std::move(body);
  task->about = std::move(about);
  task->then = std::move(then);
  {
    const std::lock_guard lock(mutex_);
    if (later_ >= max_waiting_) return false;
    queue_.push_back(task.release());
    ++later_;
    ++later_made_;
    later_came_ = true;
  }
  later_waiting_.fetch_add(1, std::memory_order_release);
  changed_.notify_all();
  return true;
}

// Leads for those who do not wait, reports what is due, and keeps the lease.
void Sharing::work() {
  std::optional<Millis> wait;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      Millis pause = wait.value_or(Millis(1000));
      if (renew_every_ != Millis(0)) pause = std::min(pause, renew_every_);
      changed_.wait_for(lock, pause, [this] {
        if (stop_ || later_came_ || !answered_.empty()) return true;
        return homes_ && homes_->wait() == Millis(0) && !unreachable_;
      });
      if (stop_ && later_ == 0 && answered_.empty()) return;
    }
    wait = step();
  }
}

std::optional<Millis> Sharing::step() {
  std::vector<std::unique_ptr<Task>> answered;
  {
    const std::lock_guard lock(mutex_);
    answered.swap(answered_);
    later_came_ = false;
  }
  for (const std::unique_ptr<Task>& task : answered) {
    for (Dispatcher::Batch& batch : task->batches) engine_.dispatcher().run(std::move(batch));
    task->then(task->failure);
  }
  if (has_untried_.exchange(false)) answer_at_home();
  std::optional<Millis> wait;
  {
    const std::lock_guard leading(leading_);
    if (is_open_) keep_lease();
    lead();
    wait = wait_for_later();
    if (homes_) {
      const bool is_cut_off = !unanswered_.empty() || (is_open_ && !is_up_);
      unreachable_ = is_cut_off;
      std::optional<Millis> due = is_cut_off ? again_after : homes_->wait();
      if (homes_->unsettled() != 0) due = std::min(due.value_or(again_after), again_after);
      if (due && (!wait || *due < *wait)) wait = due;
    }
  }
  wake_next();
  {
    const std::lock_guard lock(mutex_);
    later_done_ += answered.size();
  }
  later_waiting_.fetch_sub(answered.size(), std::memory_order_release);
  changed_.notify_all();
  return wait;
}

// Those of the queue whose time has come; `wait`: how long until it comes for the next, where there
// are none.
std::vector<Sharing::Task*> Sharing::take_tasks(std::optional<Millis>& wait) {
  const Millis now = homes_ ? homes_->port().running_time() : Millis(0);
  std::vector<Task*> tasks;
  std::vector<Task*> rest;
  const std::lock_guard lock(mutex_);
  for (Task* task : queue_) {
    if (task->retry_at > now) {
      const Millis left = task->retry_at - now;
      wait = std::min(wait.value_or(left), left);
      rest.push_back(task);
    } else if (tasks.size() < store::most_transactions) {
      tasks.push_back(task);
    } else {
      rest.push_back(task);
    }
  }
  queue_ = std::move(rest);
  return tasks;
}

std::optional<Millis> Sharing::lead() {
  std::optional<Millis> wait;
  if (homes_) homes_->shrink_idle();
  std::vector<Task*> tasks = take_tasks(wait);
  const bool reports = homes_ && (homes_->wait() == Millis(0) || homes_->unsettled() != 0);
  if (tasks.empty() && !reports && unanswered_.empty()) return wait;
  leader_ = std::this_thread::get_id();
  std::vector<Task*> left;
  Result<void> up = be_up();
  if (up.ok() && !unanswered_.empty()) {
    up = exchange_all(std::exchange(unanswered_, {}), left);
    if (up.ok() && !unanswered_.empty()) {
      up = Error{.code = ErrorCode::store_unavailable,
                 .message = "the store has not said what became of earlier calls"};
    }
  }
  if (!up.ok() && is_cut_off(up.error()) && homes_) {
    const auto rest = std::stable_partition(
        tasks.begin(), tasks.end(), [](const Task* task) { return task->settling == nullptr; });
    for (auto task = rest; task != tasks.end(); ++task) (*task)->failure = up.error();
    answer({rest, tasks.end()});
    tasks.erase(rest, tasks.end());
    if (homes_->port().is_leased()) leave_untried(tasks, left);
    run_adrift(tasks, up.error());
  } else if (!up.ok()) {
    for (Task* task : tasks) task->failure = up.error();
    answer(tasks);
  } else {
    if (homes_) add_settling(tasks);
    left = run_round(std::move(tasks));
    note_settled();
  }
  leader_ = std::thread::id();
  // Before all that have come since.
  const std::lock_guard lock(mutex_);
  queue_.insert(queue_.begin(), left.begin(), left.end());
  return std::nullopt;
}

// How long until the worker is to lead for those that nobody waits for and that are left; none:
// there are none.
std::optional<Millis> Sharing::wait_for_later() {
  const Millis now = homes_ ? homes_->port().running_time() : Millis(0);
  std::optional<Millis> wait;
  const std::lock_guard lock(mutex_);
  for (const Task* task : queue_) {
    if (!task->then && task->settling == nullptr) continue;
    const Millis left = std::max(Millis(0), task->retry_at - now);
    wait = std::min(wait.value_or(left), left);
  }
  return wait;
}

// Runs calls once, and returns those that are not answered yet. Reports what is due besides.
std::vector<Sharing::Task*> Sharing::run_round(std::vector<Task*> tasks) {
  // Before the round begins: it was so a while ago, and reads need what is so now.
  if (homes_) take_changed();
  ++round_;
  std::vector<Task*> left;
  std::vector<Task*> round;
  const bool is_single = !tasks.empty() && tasks.front()->runs_alone;
  for (Task* task : tasks) {
    const bool takes_part = is_single ? task == tasks.front() : !task->runs_alone;
    (takes_part ? round : left).push_back(task);
  }
  run_bodies(round);

  std::vector<Component> elsewhere;
  std::vector<Sent> sent;
  for (Component& component : components_of(round)) {
    const bool others_decide = is_elsewhere(component);
    if (others_decide && !changes(component)) {
      // What looking has brought up to date went into the answers; the home does that itself.
      undo(component);
      component.is_dirty = false;
    }
    if (was_cut_off(component)) {
      undo(component);
      run_again(component, left);
    } else if (component.is_torn && is_single) {
      fail(component, torn());
    } else if (component.is_torn) {
      run_each_alone(component, left);
    } else if (others_decide && changes(component)) {
      elsewhere.push_back(std::move(component));
    } else if (!needs_exchange(component)) {
      answer(component.tasks);
    } else if (auto transaction = transaction_to_send(component, left)) {
      sent.push_back({std::move(component), *std::move(transaction)});
    }
  }
  if (homes_) add_reports(sent);
  if (!sent.empty()) {
    // Whoever waits has been told of a failure by then.
    (void)exchange_all(std::move(sent), left);
  }
  if (!elsewhere.empty()) recall(std::move(elsewhere), left);
  return left;
}

// There is no connection. Calls say so; or they are answered all the same, where that is wanted, on
// what is in memory: what they change is reported when there is a connection again.
void Sharing::run_adrift(std::span<Task* const> tasks, const Error& why) {
  ++round_;
  const bool denies = homes_->port().denies_unconnected();
  homes_->set_adrift(!denies);
  homes_->set_cut_off(denies ? &why : nullptr);
  run_bodies(tasks);
  homes_->set_adrift(false);
  homes_->set_cut_off(nullptr);
  for (Task* task : tasks) {
    for (Slot* slot : task->found) {
      Known& about = known(*slot);
      if (!std::exchange(about.is_dirty, false)) continue;
      about.before.reset();
      const std::lock_guard lock(engine_.shard(slot->shard).mutex);
      homes_->note_adrift(*slot);
    }
  }
  answer(tasks);
}

// Those that nobody waits for were not tried at home when others were before them: the worker does
// that first.
void Sharing::leave_untried(std::vector<Task*>& tasks, std::vector<Task*>& left) {
  const auto untried = std::stable_partition(
      tasks.begin(), tasks.end(), [](const Task* task) { return !task->then || task->was_tried; });
  if (untried == tasks.end()) return;
  left.insert(left.end(), untried, tasks.end());
  tasks.erase(untried, tasks.end());
  has_untried_ = true;
  {
    const std::lock_guard lock(mutex_);
    later_came_ = true;
  }
  changed_.notify_all();
}

// Answers those of them that need no connection; the rest keep their order. REQUIRES: this is the
// worker, and does not lead.
void Sharing::answer_at_home() {
  std::vector<Task*> later;
  {
    const std::lock_guard lock(mutex_);
    const auto rest = std::stable_partition(queue_.begin(), queue_.end(), [](const Task* task) {
      return !task->then || task->was_tried;
    });
    later.assign(rest, queue_.end());
    queue_.erase(rest, queue_.end());
  }
  std::vector<Task*> answered;
  std::vector<Task*> left;
  for (Task* task : later) {
    task->was_tried = true;
    const AtHome at_home(engine_);
    task->body();
    (at_home.holds() ? answered : left).push_back(task);
  }
  answer(answered);
  const std::lock_guard lock(mutex_);
  queue_.insert(queue_.begin(), left.begin(), left.end());
}

void Sharing::run_bodies(std::span<Task* const> tasks) {
  nobodies_.clear();
  if (homes_) {
    std::vector<std::string> wanted;
    for (const Task* task : tasks) {
      if (!task->about.empty()) wanted.push_back(task->about);
    }
    std::sort(wanted.begin(), wanted.end());
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    // All in one round trip. Where that fails, each call that needs one says so itself.
    if (!wanted.empty() && engine_.load(wanted).ok()) {
      for (const std::string& id : wanted) {
        const std::uint32_t shard = Engine::shard_of(id);
        const std::lock_guard lock(engine_.shard(shard).mutex);
        if (!engine_.owner_of(id)) nobodies_.try_emplace(id, engine_.departures(shard));
      }
    }
  }
  for (Task* task : tasks) {
    running_ = task;
    task->body();
  }
  running_ = nullptr;
}

// Sends transactions and does what their answers say. Errors: those of exchange(); all who wait
// have been told.
Result<void> Sharing::exchange_all(std::vector<Sent> sent, std::vector<Task*>& left) {
  const Result<std::vector<Exchanged>> exchanged = exchange(sent);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    Sent& one = sent[i];
    const bool is_unknown = !exchanged.ok() && exchanged.error().code == ErrorCode::outcome_unknown;
    if (exchanged.ok()) {
      settle(one, (*exchanged)[i], left);
      if (one.was_unanswered) let_go(one.component);
    } else if (one.was_unanswered || (homes_ && is_unknown)) {
      leave_unanswered(one, exchanged.error());
    } else if (one.component.is_report) {
      settle_report(one, {.failure = exchanged.error()});
    } else if (has_broken_off(exchanged.error())) {
      // It was never sent.
      undo(one.component);
      run_again(one.component, left);
    } else {
      fail(one.component, exchanged.error());
    }
  }
  if (!exchanged.ok()) return exchanged.error();
  return {};
}

// INVARIANT 4: it is sent again before anything else is done. Those who wait are told that nobody
// knows.
void Sharing::leave_unanswered(Sent& sent, const Error& error) {
  Component& component = sent.component;
  if (!sent.was_unanswered && !component.is_report) {
    for (Slot* slot : component.slots) {
      slot->retain();
      const std::lock_guard lock(engine_.shard(slot->shard).mutex);
      slot->in_round = Slot::Round::unanswered;
    }
  }
  sent.was_unanswered = sent.was_resent = true;
  for (Task* task : component.tasks) {
    task->failure = error;
    task->held.clear();
  }
  answer(std::exchange(component.tasks, {}));
  unanswered_.push_back(std::move(sent));
}

// Calls may look at them again.
void Sharing::let_go(const Component& component) {
  if (component.is_report) return;
  for (Slot* slot : component.slots) {
    {
      const std::lock_guard lock(engine_.shard(slot->shard).mutex);
      slot->in_round = Slot::Round::none;
    }
    slot->release();
  }
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
void Sharing::settle(Sent& sent, const Exchanged& exchanged, std::vector<Task*>& left) {
  Component& component = sent.component;
  if (exchanged.failure && sent.was_resent &&
      exchanged.failure->code != ErrorCode::invalid_argument) {
    // It says what became of it this time, and not what did before.
    leave_unanswered(sent, {.code = ErrorCode::outcome_unknown,
                            .message = exchanged.failure->message,
                            .where = exchanged.failure->where});
    return;
  }
  if (component.is_report) {
    settle_report(sent, exchanged);
    return;
  }
  if (exchanged.failure) {
    fail(component, not_taken(*exchanged.failure));
    return;
  }
  if (exchanged.is_written) {
    keep(component, exchanged);
    answer(component.tasks);
    return;
  }
  if (was_taken(sent, exchanged)) {
    adopt(sent, exchanged);
    answer(component.tasks);
    return;
  }
  const bool is_told = !sent.was_resent || tells(exchanged);
  undo(component);
  auto unreadable = take_over(exchanged.current);
  if (!unreadable && !is_told) {
    unreadable = Error{.code = ErrorCode::outcome_unknown,
                       .message =
                           "so many others have written since that the server cannot tell "
                           "whether the call was counted"};
  }
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

void Sharing::settle_report(Sent& sent, const Exchanged& exchanged) {
  Slot& slot = *sent.component.slots.front();
  if (exchanged.failure) {
    const std::lock_guard lock(engine_.shard(slot.shard).mutex);
    homes_->not_taken(slot);
  } else if (exchanged.is_written) {
    keep(sent.component, exchanged);
  } else if (was_taken(sent, exchanged)) {
    adopt(sent, exchanged);
  } else {
    if (!sent.was_resent) {
      // It is in no record, however many have written since.
      const std::lock_guard lock(engine_.shard(slot.shard).mutex);
      homes_->not_taken(slot);
    }
    if (const auto unreadable = take_over(exchanged.current)) {
      engine_.log(unreadable->to_string());
    }
  }
  slot.release();
}

// Whether the store took a transaction before, and its answer was lost: the rows say so.
bool Sharing::was_taken(const Sent& sent, const Exchanged& exchanged) const {
  if (!homes_) return false;
  const Transaction& transaction = sent.transaction;
  return std::any_of(
      exchanged.current.begin(), exchanged.current.end(), [&](const StoredCustomer& row) {
        const auto part = std::find_if(transaction.parts.begin(), transaction.parts.end(),
                                       [&](const Part& one) { return one.id == row.id; });
        if (part == transaction.parts.end() || !part->write) return false;
        // One that is gone names nobody: others may have removed it.
        if (!part->write->record) return row.version == 0 && sent.was_resent;
        if (row.version == 0 || row.damage) return false;
        const Result<state::Customer> customer = customer_of(row, engine_.names());
        return customer.ok() && is_written_by(*customer, homes_->engine(), transaction.number);
      });
}

// Whether rows that do not name a transaction of ours say that it was not taken: not where so many
// have written since that it would be forgotten.
bool Sharing::tells(const Exchanged& exchanged) const {
  return std::none_of(exchanged.current.begin(), exchanged.current.end(),
                      [&](const StoredCustomer& row) {
                        if (row.version == 0 || row.damage) return false;
                        const Result<state::Customer> customer = customer_of(row, engine_.names());
                        return customer.ok() && customer->cloud != nullptr &&
                               customer->cloud->by.size() >= state::most_writers;
                      });
}

// The store took it before; others may have written since.
void Sharing::adopt(Sent& sent, const Exchanged& exchanged) {
  Component& component = sent.component;
  Exchanged ours{.is_written = true};
  Component kept;
  kept.is_report = component.is_report;
  std::vector<StoredCustomer> others;
  for (Slot* slot : component.slots) {
    const auto row =
        std::find_if(exchanged.current.begin(), exchanged.current.end(),
                     [&](const StoredCustomer& one) { return one.id == slot->customer.id; });
    if (row == exchanged.current.end()) {
      // It was only looked at, and is what it was.
      ours.versions.push_back(known(*slot).version);
      kept.slots.push_back(slot);
      continue;
    }
    const Result<state::Customer> customer = row->version == 0
                                                 ? Result<state::Customer>(state::Customer())
                                                 : customer_of(*row, engine_.names());
    if (customer.ok() &&
        was_written_last_by(*customer, homes_->engine(), sent.transaction.number)) {
      ours.versions.push_back(row->version);
      kept.slots.push_back(slot);
      continue;
    }
    {
      const std::lock_guard lock(engine_.shard(slot->shard).mutex);
      homes_->taken(*slot);
    }
    Known& about = known(*slot);
    about.is_dirty = false;
    about.before.reset();
    others.push_back(*row);
  }
  keep(kept, ours);
  if (const auto unreadable = take_over(others)) engine_.log(unreadable->to_string());
}

// INVARIANT 3: two calls that have looked at one customer, or at one ID that nobody has, belong
// together; and so do all that belong together with either.
std::vector<Sharing::Component> Sharing::components_of(std::span<Task* const> tasks) {
  Sets sets(tasks.size());
  absl::flat_hash_map<const Slot*, std::size_t> found;  // by the first call to look at them
  absl::flat_hash_map<std::string_view, std::size_t> nobodies;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    for (Slot* slot : tasks[i]->found) {
      sets.join(found.try_emplace(slot, i).first->second, i);
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
    const auto unique = [](auto& list, const auto& before) {
      std::sort(list.begin(), list.end(), before);
      list.erase(std::unique(list.begin(), list.end()), list.end());
    };
    // In the order of their IDs, so that a replay sends the same.
    unique(component.slots, [](const Slot* a, const Slot* b) {
      const int order = a->customer.id.compare(b->customer.id);
      return order != 0 ? order < 0 : a < b;
    });
    unique(component.nobodies, std::less<>());
    absl::flat_hash_map<std::string_view, const Slot*> by_id;
    for (Slot* slot : component.slots) {
      component.is_dirty = component.is_dirty || known(*slot).is_dirty;
      component.is_torn = component.is_torn || !by_id.try_emplace(slot->customer.id, slot).second;
    }
    // Whoever has got an ID in this round, or given up an alternate one, says all there is to say
    // of it.
    for (const Slot* slot : component.slots) {
      const state::Customer* before = known_.at(slot).before.get();
      if (before == nullptr) continue;
      for (const std::string& alt : before->more().alt_ids) {
        const auto [taken, is_free] = by_id.try_emplace(alt, slot);
        const bool is_new = !is_free && known_.at(taken->second).version == 0;
        component.is_torn = component.is_torn || (is_new && !taken->second->removed);
      }
    }
    std::erase_if(component.nobodies, [&](const std::string& id) { return by_id.contains(id); });
  }
  return components;
}

// Whether there is no connection any more, and an error says so: who was not answered for that
// reason is decided again, as without a connection.
bool Sharing::has_broken_off(const Error& error) const {
  return homes_ && is_cut_off(error) && !homes_->port().is_connected();
}

bool Sharing::was_cut_off(const Component& component) const {
  return std::any_of(component.tasks.begin(), component.tasks.end(),
                     [](const Task* task) { return task->was_cut_off; });
}

// One customer that was read in this round is what the store has.
bool Sharing::needs_exchange(const Component& component) const {
  if (component.is_dirty) return true;
  if (homes_ && component.nobodies.empty() && homes_->port().is_leased()) {
    const auto is_here = [this](Slot* slot) {
      const std::lock_guard lock(engine_.shard(slot->shard).mutex);
      return homes_->stays(*slot);
    };
    if (std::all_of(component.slots.begin(), component.slots.end(), is_here)) return false;
  }
  if (component.slots.size() + component.nobodies.size() > 1) return true;
  if (component.slots.empty()) return !component.nobodies.empty();
  return known_.at(component.slots.front()).read_in != round_;
}

// Whether there is a call that may change something.
bool Sharing::changes(const Component& component) {
  return std::any_of(component.tasks.begin(), component.tasks.end(),
                     [](const Task* task) { return task->changes; });
}

// Whether calls rest on customers that other engines decide on.
bool Sharing::is_elsewhere(const Component& component) const {
  return homes_ && std::any_of(component.slots.begin(), component.slots.end(),
                               [this](const Slot* slot) { return homes_->is_elsewhere(*slot); });
}

// Has others give back what the calls need; the calls run again when they have, or are lost.
void Sharing::recall(std::vector<Component> components, std::vector<Task*>& left) {
  std::vector<store::Home> homes;
  for (Component& component : components) {
    undo(component);
    for (const Slot* slot : component.slots) {
      if (slot->removed || !homes_->is_elsewhere(*slot)) continue;
      homes.push_back({slot->customer.cloud->home->engine, slot->customer.id});
    }
  }
  const Result<std::vector<std::string>> lost = homes_->port().recall(homes);
  const Millis now = homes_->port().running_time();
  for (Component& component : components) {
    if (!lost.ok()) {
      has_broken_off(lost.error()) ? run_again(component, left)
                                   : fail(component, not_taken(lost.error()));
      continue;
    }
    bool waits = false;
    for (Slot* slot : component.slots) {
      if (slot->removed || !homes_->is_elsewhere(*slot)) continue;
      ShardLocks locks(engine_.shards());
      lock(locks, slot->customer);
      const std::string& engine = slot->customer.cloud->home->engine;
      if (std::find(lost->begin(), lost->end(), engine) != lost->end()) {
        homes_->lose(*slot);
        known(*slot).others_until.reset();
      } else {
        waits = true;
        homes_->lost(*slot);  // It may have been used without a connection.
        engine_.unlist(*slot);
        known_.erase(slot);
      }
    }
    for (Task* task : component.tasks) {
      if (waits) task->retry_at = now + pause_after(task->recalls++);
    }
    run_again(component, left);
  }
}

// The customers that have something to report, and that no call of this round has looked at.
void Sharing::add_reports(std::vector<Sent>& sent) {
  for (Slot* slot : homes_->take_due()) {
    std::unique_lock lock(engine_.shard(slot->shard).mutex);
    if (slot->in_round == Slot::Round::none && homes_->is_owed_elsewhere(*slot)) {
      lock.unlock();
      settle_later(*slot);
      slot->release();
      continue;
    }
    if (slot->in_round != Slot::Round::none || sent.size() >= store::most_transactions) {
      homes_->put_back(slot);
      continue;
    }
    if (!homes_->begin_report(*slot)) {
      slot->release();
      continue;
    }
    Known& about = known(*slot);
    Transaction transaction{.number = ++transactions_, .parts = {}};
    homes_->prepare(*slot, transaction.number, about.others_until);
    transaction.parts.push_back({.id = slot->customer.id,
                                 .version = about.version,
                                 .write = write_of(*slot, engine_.names())});
    // What is too large for the store stays unreported; the next call that is confirmed says so.
    if (store_->refusal(transaction)) {
      homes_->not_taken(*slot);
      slot->release();
      continue;
    }
    Component component;
    component.slots.push_back(slot);
    component.is_report = true;
    sent.push_back({std::move(component), std::move(transaction)});
  }
}

// A version of this customer is not this engine's to write: what is to be reported is settled, by a
// call, which recalls the customer first.
void Sharing::settle_later(Slot& slot) {
  ShardLocks locks(engine_.shards());
  lock(locks, slot.customer);
  homes_->lost(slot);
  engine_.unlist(slot);
  known_.erase(&slot);
}

// What was used of customers that were lost is added to what the store has of them by now.
void Sharing::settle_one(Settling& one) {
  Locked locked(engine_);
  one.failure.reset();
  if (!locked.find(one.customer)) {
    if (locked.failure() != nullptr) {
      one.failure = *locked.failure();
    } else if (one.unreported.is_dead) {
      engine_.log(
          fmt::format("what was used of `{}` by an engine that died is not reported: there "
                      "is no such customer any more",
                      one.customer));
    }
    return;
  }
  Slot& slot = locked.slot();
  if (locked.policy().has_renames) rename_use(locked.policy(), slot.customer, one.unreported);
  state::Customer as_it_would_be = slot.customer;
  if (state::settle(as_it_would_be, one.unreported)) {
    locked.before_change();
    state::settle(slot.customer, one.unreported);
    // Whoever follows an engine that died need not have been alone with the customer.
    const state::Cloud* cloud = slot.customer.cloud.get();
    if (one.unreported.is_dead && cloud != nullptr && !cloud->by.empty() &&
        cloud->by.front().engine == one.unreported.engine) {
      known(slot).others_until.reset();
    }
  }
  if (auto finished = engine_.finish(locked); !finished.ok()) {
    one.failure = std::move(finished).error();
  }
}

// Takes note of what has become of what was to be settled.
void Sharing::note_settled() {
  std::erase_if(settling_, [this](const std::unique_ptr<Settling>& one) {
    {
      const std::lock_guard lock(mutex_);
      if (!one->task.is_done) return false;
    }
    if (one->task.failure || one->failure) {
      homes_->put_back_unsettled(std::move(one->customer), std::move(one->unreported));
    } else {
      homes_->settled(one->unreported);
    }
    return true;
  });
}

// Adds the calls that settle what is left, as many as there is room for in a round.
void Sharing::add_settling(std::vector<Task*>& tasks) {
  note_settled();
  for (auto& [customer, unreported] : homes_->take_unsettled()) {
    if (tasks.size() >= store::most_transactions) {
      homes_->put_back_unsettled(std::move(customer), std::move(unreported));
      continue;
    }
    Settling& one = *settling_.emplace_back(std::make_unique<Settling>());
    one.customer = std::move(customer);
    one.unreported = std::move(unreported);
    one.task.body = [this, &one] { settle_one(one); };
    one.task.about = one.customer;
    tasks.push_back(&one.task);
  }
}

// Settles all there is, as far as the store can be asked. REQUIRES: leading_ is held.
void Sharing::settle_all() {
  std::vector<Task*> tasks;
  {
    const std::lock_guard lock(mutex_);
    const auto is_settling = [](const Task* task) { return task->settling != nullptr; };
    std::copy_if(queue_.begin(), queue_.end(), std::back_inserter(tasks), is_settling);
    std::erase_if(queue_, is_settling);
  }
  const Millis deadline = running_time() + timeout_;
  leader_ = std::this_thread::get_id();
  add_settling(tasks);
  while (!tasks.empty() && running_time() < deadline) {
    for (const Task* task : tasks) {
      if (const Millis left = task->retry_at - running_time(); left > Millis(0)) {
        homes_->port().pause(left);
      }
    }
    tasks = run_round(std::move(tasks));
    if (!is_up_) break;
    add_settling(tasks);
  }
  leader_ = std::thread::id();
  const std::size_t left = tasks.size() + homes_->unsettled();
  if (left != 0) {
    engine_.log(
        fmt::format("what was used of {} customers is not reported, and stays in doubt", left));
  }
}

Transaction Sharing::transaction_of(const Component& component) {
  Transaction transaction{.number = ++transactions_, .parts = {}};
  for (Task* task : component.tasks) {
    if (task->settling != nullptr) {
      homes_->settle_by(task->settling->unreported, transaction.number);
    }
  }
  for (Slot* slot : component.slots) {
    const Known& about = known(*slot);
    Part part{.id = slot->customer.id, .version = about.version};
    if (about.is_dirty) {
      const std::lock_guard lock(engine_.shard(slot->shard).mutex);
      if (homes_) homes_->prepare(*slot, transaction.number, about.others_until);
      part.write = write_of(*slot, engine_.names());
    }
    // One that was made and deleted again was never there.
    if (about.version == 0 && slot->removed) part.write.reset();
    transaction.parts.push_back(std::move(part));
  }
  for (const std::string& id : component.nobodies) transaction.parts.push_back({.id = id});
  return transaction;
}

// Errors: store_unavailable, unconnected: nothing was written; outcome_unknown, when the store
// could not be asked in time.
Result<std::vector<Exchanged>> Sharing::exchange(std::span<Sent> sent) {
  std::vector<Transaction> transactions;
  for (Sent& one : sent) transactions.push_back(std::move(one.transaction));
  bool is_resent = false;
  // Reports are for nobody to wait for, least of all those who need no answer of the server.
  const bool is_waited_for = !homes_ || std::any_of(sent.begin(), sent.end(), [](const Sent& one) {
    return !one.component.tasks.empty();
  });
  Result<std::vector<Exchanged>> exchanged =
      exchange_until_known(transactions, is_waited_for ? timeout_ : Millis(0), is_resent);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    sent[i].transaction = std::move(transactions[i]);
    sent[i].was_resent = sent[i].was_resent || is_resent;
    if (!sent[i].was_resent) continue;
    for (Task* task : sent[i].component.tasks) {
      if (task->settling == nullptr) continue;
      homes_->may_be_settled_by(task->settling->unreported, sent[i].transaction.number);
    }
  }
  if (exchanged.ok() || exchanged.error().code == ErrorCode::outcome_unknown) return exchanged;
  note_down(exchanged.error());
  return not_taken(exchanged.error());
}

Result<std::vector<Exchanged>> Sharing::exchange_until_known(
    std::span<const Transaction> transactions, Millis patience, bool& is_resent) {
  Result<std::vector<Exchanged>> exchanged = store_->exchange(transactions);
  const Millis deadline = running_time() + patience;
  while (!exchanged.ok() && exchanged.error().code == ErrorCode::outcome_unknown) {
    // The same transactions again: the store knows those that it has taken.
    is_resent = true;
    note_down(exchanged.error());
    if (running_time() >= deadline) return exchanged;
    if (homes_) homes_->port().pause(Backoff::min);
    {
      std::unique_lock lock(mutex_);
      const Millis pause = homes_ ? Millis(0) : Backoff::min;
      if (changed_.wait_for(lock, pause, [this] { return stop_; })) return exchanged;
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
  return exchanged;
}

// By a clock that does not jump.
Millis Sharing::running_time() const {
  if (homes_) return homes_->port().running_time();
  return std::chrono::duration_cast<Millis>(steady_clock::now().time_since_epoch());
}

void Sharing::lock(ShardLocks& locks, const state::Customer& customer) const {
  locks.add(Engine::shard_of(customer.id));
  for (const std::string& alt : customer.more().alt_ids) locks.add(Engine::shard_of(alt));
}

// The store has taken it all.
void Sharing::keep(Component& component, const Exchanged& exchanged) {
  for (std::size_t i = 0; i < component.slots.size(); ++i) {
    Slot& slot = *component.slots[i];
    Known& about = known(slot);
    const bool is_written = about.is_dirty || component.is_report;
    if (is_written) ++customers_written_;
    about.is_dirty = false;
    about.before.reset();
    about.version = exchanged.versions[i];
    ShardLocks locks(engine_.shards());
    lock(locks, slot.customer);
    if (is_written && homes_) homes_->confirmed(slot);
    if (!slot.removed) continue;
    engine_.forget_leaving(slot);
    known_.erase(&slot);
  }
}

// Everything is what it was before the round.
void Sharing::undo(const Component& component) {
  ShardLocks locks(engine_.shards());
  for (Slot* slot : component.slots) {
    const Known& about = known(*slot);
    if (!about.is_dirty) continue;
    lock(locks, slot->customer);
    if (about.before) lock(locks, *about.before);
  }
  // All at first: an alternate ID may have passed from one to another.
  for (Slot* slot : component.slots) {
    if (!known(*slot).is_dirty) continue;
    engine_.unlist(*slot);
    engine_.forget_leaving(*slot);
  }
  for (Slot* slot : component.slots) {
    Known& about = known(*slot);
    if (!about.is_dirty) continue;
    if (homes_) homes_->undone(about.before.get(), slot->customer);
    if (!about.before) {
      known_.erase(slot);
      continue;
    }
    slot->customer = std::move(*about.before);
    about.before.reset();
    about.is_dirty = false;
    engine_.list(*slot);
  }
}

// INVARIANT 4: whoever is concerned is read anew.
void Sharing::forget_all(const Component& component) {
  ShardLocks locks(engine_.shards());
  for (const Slot* slot : component.slots) lock(locks, slot->customer);
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
  ShardLocks locks(engine_.shards());
  for (const StoredCustomer& stored : current) {
    locks.add(Engine::shard_of(stored.id));
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
    lock(locks, *customer);
    // Two IDs of a call may lead to one customer.
    const bool is_twice = std::any_of(present.begin(), present.end(), [&](const auto& one) {
      return one.first.id == customer->id;
    });
    if (!is_twice) present.emplace_back(*std::move(customer), stored.version);
  }
  // Whoever memory has under these IDs: also those whose ID, or alternate ID, is somebody else's
  // now.
  std::vector<std::string_view> ids;
  for (const StoredCustomer& stored : current) ids.push_back(stored.id);
  for (const auto& [customer, version] : present) {
    ids.insert(ids.end(), customer.more().alt_ids.begin(), customer.more().alt_ids.end());
  }
  const auto listed = [&](std::string_view id) -> Slot* {
    const auto owner = engine_.owner_of(id);
    if (!owner) return nullptr;
    locks.add(Engine::shard_of(*owner));
    const auto& customers = engine_.shard(Engine::shard_of(*owner)).customers;
    const auto found = customers.find(std::string_view(*owner));
    return found == customers.end() ? nullptr : *found;
  };
  // To take one lock more may let go of the others meanwhile: until none is missing.
  for (std::size_t held = 0; held != locks.held().size();) {
    held = locks.held().size();
    for (const std::string_view id : ids) {
      if (const Slot* slot = listed(id)) lock(locks, slot->customer);
    }
  }
  for (const std::string_view id : ids) {
    if (Slot* slot = listed(id)) {
      if (homes_) homes_->lost(*slot);
      known_.erase(slot);
      engine_.unlist(*slot);
    }
  }
  for (auto& [customer, version] : present) {
    note_loaded(engine_.insert_stored(std::move(customer)), version);
  }
  return unreadable;
}

// Others have written them: calls that rest on what is in memory would only fall.
void Sharing::take_changed() {
  std::vector<StoredCustomer> newer = homes_->port().take_changed();
  std::erase_if(newer, [this](const StoredCustomer& row) {
    const std::uint32_t shard = Engine::shard_of(row.id);
    const std::lock_guard lock(engine_.shard(shard).mutex);
    const auto& customers = engine_.shard(shard).customers;
    const auto found = customers.find(std::string_view(row.id));
    if (found == customers.end()) return true;
    Slot& slot = **found;
    const auto about = known_.find(&slot);
    return !Homes::is_at_rest(slot) || about == known_.end() || about->second.is_dirty ||
           about->second.version >= row.version;
  });
  if (newer.empty()) return;
  if (const auto unreadable = take_over(newer)) engine_.log(unreadable->to_string());
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
  bool wakes_worker = false;
  for (Task* task : tasks) {
    task->is_done = true;
    // Under the lock: whoever waits for it may be gone right after.
    task->wakes.notify_one();
    if (!task->then) continue;
    wakes_worker = true;
    answered_.emplace_back(task);
    --later_;
  }
  if (wakes_worker) changed_.notify_all();
}

// Whether a call that has fallen is not run again: then it has its answer.
bool Sharing::is_given_up(Task& task) const {
  const Millis now = running_time();
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
  for (Slot* slot : task.found) {
    if (homes_) {
      const std::lock_guard lock(engine_.shard(slot->shard).mutex);
      if (slot->in_round == Slot::Round::running) slot->in_round = Slot::Round::none;
    }
    slot->release();
  }
  task.found.clear();
  task.was_cut_off = false;
  task.nobodies.clear();
  task.left.clear();
  task.held.clear();
}

void Sharing::note_found(Slot& slot) {
  std::vector<Slot*>& found = running_->found;
  if (std::find(found.rbegin(), found.rend(), &slot) != found.rend()) return;
  slot.retain();
  found.push_back(&slot);
  if (homes_) slot.in_round = Slot::Round::running;
}

void Sharing::note_nobody(std::string_view id) { running_->nobodies.emplace_back(id); }

void Sharing::note_left(std::string_view id) { running_->left.emplace_back(id); }

bool Sharing::has_left(std::string_view id) const {
  return std::find(running_->left.begin(), running_->left.end(), id) != running_->left.end();
}

void Sharing::mark(Slot& slot, bool is_new) {
  note_found(slot);
  Known& about = known(slot);
  if (about.is_dirty) return;
  about.is_dirty = true;
  if (!is_new) about.before = std::make_unique<state::Customer>(slot.customer);
}

void Sharing::note_loaded(Slot& slot, std::uint64_t version) {
  Known& about = known(slot);
  about.version = version;
  about.read_in = round_;
  if (homes_) about.others_until = homes_->others_wrote(slot);
}

void Sharing::hold_back(Dispatcher::Batch batch, std::span<const std::uint32_t> shards) {
  running_->held.push_back({std::move(batch), {shards.begin(), shards.end()}});
}

Result<std::vector<Loaded>> Sharing::read(std::span<const std::string> ids) {
  // Whoever is not in memory is nobody, until it can be asked.
  if (homes_ && homes_->is_adrift()) return std::vector<Loaded>();
  Result<std::vector<Loaded>> read =
      read_from(*store_, ids, engine_.names(), engine_.options().log);
  if (is_leading() && running_ != nullptr && !read.ok() && has_broken_off(read.error())) {
    running_->was_cut_off = true;
  }
  return read;
}

Result<void> Sharing::scan(const std::function<void(const StoredCustomer&)>& visit) {
  return scan_from(*store_, visit, engine_.options().log);
}

void Sharing::set_policy(std::string document) {
  const std::lock_guard lock(mutex_);
  policy_ = std::move(document);
}

void Sharing::note_down(const Error& error) {
  const bool is_known =
      !std::exchange(is_up_, false) && backoff_.why() && backoff_.why()->message == error.message;
  backoff_.failed(error);
  if (is_known) return;
  engine_.log("the store has failed: " + error.to_string());
}

// Opens the store again where it has failed. REQUIRES: leading_ is held.
Result<void> Sharing::be_up() {
  if (!is_open_) {
    return Error{.code = ErrorCode::store_unavailable,
                 .message = "the engine was closed, and nothing has changed"};
  }
  if (is_up_ && (!homes_ || homes_->port().is_connected())) return write_texts();
  // With homes, opening is to ask whether the connection is there again.
  if (const Error* why = backoff_.too_early(); why != nullptr && !homes_) return not_taken(*why);
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
  if (homes_) {
    if (auto reported = report_all(); !reported.ok()) return reported;
  }
  if (!estimates_changed_.exchange(false)) return {};
  store::Group group;
  group.estimates = engine_.estimates_text();
  Result<void> written = store_->commit(group);
  if (written.ok()) return written;
  note_estimates();
  note_down(written.error());
  return written;
}

// Reports whatever is due. REQUIRES: leading_ is held.
Result<void> Sharing::report_all() {
  std::vector<Task*> none;
  if (!unanswered_.empty()) {
    if (auto sent = exchange_all(std::exchange(unanswered_, {}), none); !sent.ok()) return sent;
  }
  for (;;) {
    std::vector<Sent> sent;
    add_reports(sent);
    if (sent.empty()) return {};
    if (auto taken = exchange_all(std::move(sent), none); !taken.ok()) return taken;
  }
}

// One of those who came meanwhile leads next.
void Sharing::finish_leading(std::unique_lock<std::mutex> leading) {
  leading.unlock();
  wake_next();
}

void Sharing::wake_next() {
  const std::lock_guard lock(mutex_);
  const auto waits = [](const Task* task) { return !task->then && task->settling == nullptr; };
  const auto next = std::find_if(queue_.begin(), queue_.end(), waits);
  if (next == queue_.end()) return;
  (*next)->leads_next = true;
  (*next)->wakes.notify_one();
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
  if (is_open_ && homes_) {
    homes_->port().on_recall(nullptr);
    homes_->give_back_all();
    if (auto given_back = report_all(); !given_back.ok() && flushed.ok()) flushed = given_back;
    settle_all();
  }
  if (!is_open_) {
    finish_leading(std::move(leading));
    return flushed;
  }
  Result<void> closed = store_->close();
  if (homes_) homes_->close_file();
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
