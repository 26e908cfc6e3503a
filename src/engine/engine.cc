// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include <fmt/format.h>

#include "core/customers.h"
#include "engine/event_text.h"
#include "engine/given_text.h"
#include "state/record.h"

namespace limitr::engine {
namespace {

// A comma where something stands in front in the same list or object.
void begin_element(std::string& text) {
  if (!text.empty() && text.back() != '{' && text.back() != '[') text.push_back(',');
}

void append(std::string& text, const std::string& elements) {
  if (elements.empty()) return;
  begin_element(text);
  text += elements;
}

Decision unconnected() {
  Decision denied;
  denied.reason = Reason::unconnected;
  return denied;
}

Result<Decision> unanswered(const Error& failure) {
  if (is_cut_off(failure)) return unconnected();
  return failure;
}

Decision unknown_customer() {
  Decision unknown;
  unknown.reason = Reason::unknown_customer;
  return unknown;
}

bool calls_host_functions(const policy::Policy& policy, const HostFunctions& host) {
  return std::any_of(policy.host_functions.begin(), policy.host_functions.end(),
                     [&](const std::string& name) {
                       return host.overhead.contains(name) || host.rates.contains(name);
                     });
}

}  // namespace

Engine::Engine(const PolicyPointer& policy, std::shared_ptr<SymbolTable> names, Options options)
    : options_(std::move(options)),
      clock_(options_.clock),
      names_(std::move(names)),
      shards_(std::size_t{1} << shard_bits),
      dispatcher_(std::uint32_t{1} << shard_bits, options_.host, options_.log) {
  set_policy(policy);
}

Engine::~Engine() {
  if (journal_) journal_->stop();
  if (sharing_) sharing_->stop();
  // Handlers of a new policy may still be calling, and are told that the engine is closed.
  if (stop_policies_) stop_policies_();
  journal_.reset();
  sharing_.reset();
  for (Shard& shard : shards_) {
    for (Slot* slot : shard.customers) slot->release();
    for (Slot* slot : shard.leaving) slot->release();
  }
}

PolicyPointer Engine::policy() const {
  Shard& first = const_cast<Shard&>(shards_.front());
  const std::lock_guard lock(first.mutex);
  return first.policy;
}

void Engine::set_policy(const PolicyPointer& policy) {
  calls_host_.store(calls_host_functions(*policy, options_.host), std::memory_order_relaxed);
  for (Shard& shard : shards_) {
    PolicyPointer old = policy;
    const std::lock_guard lock(shard.mutex);
    shard.policy.swap(old);
  }
}

Handle Engine::make_handle(Slot& slot, Symbol entitlement) {
  slot.retain();
  return Handle(&slot, static_cast<std::uint32_t>(entitlement));
}

// Whether any cap is there that a call by another customer looks at decides, for most policies,
// that refs need not be followed.
bool Engine::refs_count(const policy::Policy& policy, const Customer& customer,
                        const core::EntitlementKey& key) const {
  if (has_shared_caps_.load(std::memory_order_relaxed)) return true;
  const policy::Plan* plan = policy.plan(customer.plan);
  if (plan == nullptr) return true;
  const policy::Entitlement* entitlement = key.in(*plan);
  return entitlement != nullptr && entitlement->scope != Symbol::empty &&
         entitlement->scope != customer.type;
}

void Engine::note_shared_caps(const Customer& customer) {
  const auto& caps = customer.more().caps;
  // One that expires is removed by whoever comes by, shared or not.
  const auto concerns_others = [](const state::Cap& cap) {
    return cap.shared || cap.expires_on.has_value();
  };
  if (std::any_of(caps.begin(), caps.end(), concerns_others)) {
    has_shared_caps_.store(true, std::memory_order_relaxed);
  }
}

HostRates Engine::rates() const {
  if (!calls_host_.load(std::memory_order_relaxed)) return {};
  PolicyPointer policy = this->policy();
  std::vector<double> rates;
  for (const policy::ExchangePair& pair : policy->pairs) {
    double rate = pair.value;
    if (const auto fn = options_.host.rates.find(pair.value_fn); fn != options_.host.rates.end()) {
      try {
        const HostCall call;
        const double returned = fn->second();
        if (std::isfinite(returned) && returned >= 0) {
          rate = returned;
        } else {
          log(fmt::format("rate function `{}` returned no usable number", pair.value_fn));
        }
      } catch (const std::exception& thrown) {
        log(fmt::format("rate function `{}` threw: {}", pair.value_fn, thrown.what()));
      } catch (...) {
        log(fmt::format("rate function `{}` threw", pair.value_fn));
      }
    }
    rates.push_back(rate);
  }
  return {std::move(policy), std::move(rates)};
}

std::optional<double> Engine::call_overhead_fn(const policy::Credit& credit, double units,
                                               const Json& event_data) const {
  const auto fn = options_.host.overhead.find(credit.overhead_fn);
  if (fn == options_.host.overhead.end()) return std::nullopt;
  try {
    const HostCall call;
    const double overhead = fn->second(units, event_data);
    if (std::isfinite(overhead)) return overhead;
    log(fmt::format("cost function `{}` returned no finite number", credit.overhead_fn));
  } catch (const std::exception& thrown) {
    log(fmt::format("cost function `{}` threw: {}", credit.overhead_fn, thrown.what()));
  } catch (...) {
    log(fmt::format("cost function `{}` threw", credit.overhead_fn));
  }
  return std::nullopt;
}

// Asks the cost function of the credit that the call would be metered in, if it has one. Found out
// under the locks, asked without them.
std::optional<double> Engine::host_overhead(const Who& who, const core::CallInput& input) {
  if (input.options->overhead || !calls_host_.load(std::memory_order_relaxed)) {
    return std::nullopt;
  }
  PolicyPointer policy;
  const policy::Credit* credit = nullptr;
  double units = 0;
  {
    Locked locked(*this);
    if (!locked.find_family(who)) return std::nullopt;
    policy = locked.policy_pointer();
    const core::Target target = resolve(locked, input.entitlement, now());
    if (target.denied || target.limit == nullptr) return std::nullopt;
    credit = policy->credit(target.limit->credit);
    if (input.increments != 0) {
      const Result<double> increment = target.limit->increment_in(credit->stof_units);
      if (!increment.ok()) return std::nullopt;  // The decision will say so.
      units = input.increments * *increment;
    } else {
      const Result<double> value = quantity(input.value, credit->stof_units);
      if (!value.ok()) return std::nullopt;  // The decision will say so.
      units = *value;
    }
  }
  if (units == 0) return std::nullopt;
  return call_overhead_fn(*credit, units, input.options->event_data.value_or(Json()));
}

core::Target Engine::resolve(Locked& locked, const core::EntitlementKey& key, Timestamp now) {
  if (locked.policy().has_renames) settle_names(locked, key);
  core::Target target = core::resolve(locked.policy(), locked.family(), key, now);
  if (!target.override_expired) return target;
  locked.before_change();
  state::apply({state::OverrideRemoval{target.owner, target.entitlement->name}}, locked.family());
  target.override_expired = false;
  return target;
}

Result<Decision> Engine::decide_locked(Locked& locked, core::CallInput& input, bool commit,
                                       const Once* once,
                                       std::optional<std::vector<Event>>& events) {
  const policy::Policy& policy = locked.policy();
  if (policy.has_renames) settle_names(locked, input.entitlement);
  Result<Decision> answer{Decision()};
  input.wants_events = commit && input.options->event && dispatcher_.has_handlers();
  core::Outcome outcome = core::decide(policy, locked.family(), input, ids_, *answer);
  if (outcome.error) {
    answer = *std::move(outcome.error);
    return answer;
  }
  if (!outcome.upkeep.empty() || (commit && !outcome.changes.empty())) locked.before_change();
  if (!outcome.upkeep.empty()) state::apply(outcome.upkeep, locked.family());
  if (!commit) return answer;
  if (!outcome.changes.empty()) state::apply(outcome.changes, locked.family());
  if (sharing_ != nullptr && sharing_->homes() != nullptr) {
    sharing_->homes()->note_decided(locked, outcome);
  }
  if (outcome.lesson) teach(locked, outcome, input.now);
  if (once != nullptr && answer->allowed && !outcome.changes.empty()) {
    once->remember(locked, *answer);
  }
  if (outcome.events) {
    events = call_events(policy, locked.family(), outcome, *input.options, input.now);
  }
  return answer;
}

// Has one answer, which is made where the caller wants it: moving it costs as much as a look-up.
Result<Decision> Engine::decide_and_finish(Locked& locked, bool counts, core::CallInput& input,
                                           bool commit, const Once* once) {
  std::optional<std::vector<Event>> events;
  Result<Decision> answer = counts ? decide_locked(locked, input, commit, once, events)
                                   : Result<Decision>(unknown_customer());
  if (journal_ != nullptr || events) {
    auto finished = finish(locked, std::move(events).value_or(std::vector<Event>()));
    if (!finished.ok()) answer = std::move(finished).error();
  }
  return answer;
}

// A call that says no more than who, what and how much.
Result<Decision> Engine::decide_bare(const Who& who, core::CallInput& input, bool commit) {
  input.now = now();
  Locked locked(*this);
  const bool found = find(locked, who, input.entitlement);
  if (const Error* failure = locked.failure()) return unanswered(*failure);
  return decide_and_finish(locked, found, input, commit, nullptr);
}

Result<Decision> Engine::decide_once(const Who& who, core::CallInput& input, bool commit,
                                     const Condition* condition) {
  if (input.settles != nullptr) {
    if (auto wrong = wrong_text(input.settles->segment, "segment")) return *std::move(wrong);
  }
  std::optional<Once> once;  // A check asks as the allow that it foretells.
  if (!input.options->request.empty()) {
    if (auto wrong = wrong_request(input.options->request)) return *std::move(wrong);
    once = once_of(*this, input);
  }
  if (condition != nullptr) once = condition->once;
  if (input.options->event_data) {
    if (auto wrong = wrong_event_data(*input.options->event_data)) return *std::move(wrong);
  }
  std::optional<HostRates> rates;
  if (calls_host_.load(std::memory_order_relaxed)) {
    rates = this->rates();
    input.host_overhead = host_overhead(who, input);
  }
  input.now = now();
  Locked locked(*this);
  const bool found = find(locked, who, input.entitlement);
  if (found && once) {
    if (auto first = once->repeated<Decision>(locked)) {
      if (auto finished = finish(locked); !finished.ok()) return std::move(finished).error();
      return *std::move(first);
    }
  }
  if (const Error* failure = locked.failure()) return unanswered(*failure);
  const bool counts = found && (condition == nullptr || condition->holds(locked, input.now));
  if (counts && rates) input.rates = rates->of(locked.policy());
  return decide_and_finish(locked, counts, input, commit, once ? &*once : nullptr);
}

Result<Decision> Engine::decide_shared(const Who& who, core::CallInput& input, bool commit,
                                       const Condition* condition) {
  if (condition == nullptr && decides_at_home()) {
    if (auto answer = decide_at_home(who, input, commit)) {
      if (AtHome* outer = AtHome::of(*this); outer != nullptr && commit) outer->note_change();
      return *std::move(answer);
    }
  }
  if (gives_up()) return cannot_wait();
  const auto body = [&] { return decide_once(who, input, commit, condition); };
  const AtHome::Pause confirmed;
  Result<Decision> answer = sharing_->run(body, commit, who.id);
  if (answer.ok() || !is_cut_off(answer.error())) return answer;
  // Where that is not wanted, it was answered without a connection already.
  return unconnected();
}

std::optional<Result<Decision>> Engine::decide_at_home(const Who& who, core::CallInput& input,
                                                       bool commit) {
  // What is to count once is remembered where all engines see it.
  if (!input.options->request.empty() || input.settles != nullptr) return std::nullopt;
  if (input.options->event_data && wrong_event_data(*input.options->event_data)) {
    return std::nullopt;
  }
  AtHome at_home(*this);
  std::optional<HostRates> rates;
  if (calls_host_.load(std::memory_order_relaxed)) {
    rates = this->rates();
    input.host_overhead = host_overhead(who, input);
    if (!at_home.holds()) return std::nullopt;
  }
  input.now = now();
  Locked locked(*this);
  const bool found = find(locked, who, input.entitlement);
  if (!found || !at_home.holds()) return std::nullopt;
  // An old name's meter passes to the new one, whose room is another's.
  if (locked.policy().has_renames) return std::nullopt;
  if (rates) input.rates = rates->of(locked.policy());
  input.wants_events = commit && input.options->event && dispatcher_.has_handlers();
  Result<Decision> answer{Decision()};
  core::Outcome outcome = core::decide(locked.policy(), locked.family(), input, ids_, *answer);
  if (outcome.error) return Result<Decision>(*std::move(outcome.error));
  if (commit && !sharing_->homes()->covers(locked, outcome)) return std::nullopt;
  if (!outcome.upkeep.empty()) {
    locked.before_change();
    state::apply(outcome.upkeep, locked.family());
  }
  if (!commit) return answer;
  if (!outcome.changes.empty()) {
    state::apply(outcome.changes, locked.family());
    sharing_->homes()->use(locked, outcome);
  }
  if (!outcome.events) return answer;
  auto sent = complete(let_go(
      locked, call_events(locked.policy(), locked.family(), outcome, *input.options, input.now)));
  if (!sent.ok()) answer = std::move(sent).error();
  return answer;
}

// What the entitlement was called before passes to its name of today, on first use.
void Engine::settle_names(Locked& locked, const core::EntitlementKey& key) {
  const policy::Plan* plan = core::plan_of(locked.policy(), locked.family());
  const policy::Entitlement* entitlement = plan == nullptr ? nullptr : key.in(*plan);
  if (entitlement == nullptr || entitlement->renamed_from.empty()) return;
  for (Family::Index who = 0; who < locked.family().size(); ++who) {
    const state::Moves moves = core::carry_over(*entitlement, locked.family(), who);
    if (moves.empty()) continue;
    locked.before_change();
    state::apply(moves, locked.family());
  }
}

// Passes on what a settled call taught, to the statistics over all customers.
void Engine::teach(Locked& locked, const core::Outcome& outcome, Timestamp now) {
  const core::Lesson& lesson = *outcome.lesson;
  const policy::Entitlement& entitlement = *outcome.target.entitlement;
  if (lesson.sample.usable()) {
    learn(entitlement.name, lesson.sample, lesson.value, lesson.overhead, now);
  } else {
    log_unlearned(locked.family()[outcome.target.owner].id, entitlement);
  }
}

void Engine::log_unlearned(std::string_view customer, const policy::Entitlement& entitlement) {
  log(
      fmt::format("estimates: a call by `{}` on `{}` has no `{}` to scale by: it is metered but "
                  "not learned from",
                  customer, names_->text(entitlement.name), entitlement.estimate_basis));
}

Engine::Rest Engine::let_go(Locked& locked, std::vector<Event> events) {
  Rest rest{.group = unsafe_group(locked), .batch = {}};
  if (auto pushed_out = locked.pushed_out(); !pushed_out.empty()) {
    journal_->note_pushed_out(locked.slot(), std::move(pushed_out));
  }
  if (!events.empty()) {
    Dispatcher::Batch batch{.events = std::move(events), .tickets = {}, .policy = {}};
    batch.policy = locked.policy_pointer();
    if (sharing_ != nullptr && locked.at_home() == nullptr) {
      sharing_->hold_back(std::move(batch), locked.locks().held());
    } else {
      for (const std::uint32_t shard : locked.locks().held()) dispatcher_.take_ticket(batch, shard);
      rest.batch = std::move(batch);
    }
  }
  if (locked.at_home() == nullptr) make_room(locked.locks());
  locked.unlock();
  return rest;
}

thread_local Engine::Deferral* Engine::Deferral::current_ = nullptr;

Engine::Deferral::Deferral(const Engine& engine, std::vector<Rest>& rests)
    : engine_(engine), rests_(rests), outer_(std::exchange(current_, this)) {}

Engine::Deferral::~Deferral() { current_ = outer_; }

Engine::Deferral* Engine::Deferral::of(const Engine& engine) {
  if (engine.journal_ == nullptr || current_ == nullptr) return nullptr;
  return &current_->engine_ == &engine ? current_ : nullptr;
}

thread_local int Engine::HostCall::running_ = 0;

Result<void> Engine::complete(Rest rest) {
  Deferral* deferral = Deferral::of(*this);
  if (deferral != nullptr && HostCall::running_ == 0) {
    deferral->rests_.push_back(std::move(rest));
    return {};
  }
  Result<void> safe;
  if (rest.group != 0) safe = journal_->wait(rest.group);
  if (safe.ok() && journal_ != nullptr && journal_->is_fenced()) safe = Journal::fenced();
  if (!rest.batch) return safe;
  // Nobody is told of what has not happened; those who come after it in line go on.
  if (!safe.ok()) rest.batch->events.clear();
  if (deferral != nullptr) {
    // Calls that were deferred may be before it in line.
    deferral->rests_.push_back({.group = 0, .batch = std::move(rest.batch)});
  } else {
    dispatcher_.run(*std::move(rest.batch));
  }
  return safe;
}

// The last group that the call's answer rests on and that is not safe yet.
std::uint64_t Engine::unsafe_group(const Locked& locked) const {
  if (journal_ == nullptr || !journal_->is_sync()) return 0;
  std::uint64_t last = journal_->is_safe(locked.rests_on()) ? 0 : locked.rests_on();
  const auto look_at = [&](const Slot* slot) {
    if (slot != nullptr && slot->group != 0) last = std::max(last, journal_->group_of(*slot));
  };
  look_at(locked.caller_slot());
  for (const Slot* slot : locked.relatives()) look_at(slot);
  return last;
}

void Engine::send(std::vector<Event> events) {
  if (events.empty()) return;
  Dispatcher::Batch batch;
  batch.events = std::move(events);
  batch.policy = policy();
  dispatcher_.run(std::move(batch));
}

Slot& Engine::insert(Customer customer) {
  // Where it is kept, who decides on it is not the caller's to say.
  if (journal_ != nullptr || sharing_ != nullptr) customer.cloud.reset();
  Slot& slot = insert_stored(std::move(customer));
  if (journal_ != nullptr) journal_->mark(slot, journal_->current(), /*is_new=*/true);
  if (sharing_ != nullptr) sharing_->mark(slot, /*is_new=*/true);
  return slot;
}

Slot& Engine::insert_stored(Customer customer) {
  note_shared_caps(customer);
  for (const std::string& alt : customer.more().alt_ids) {
    shards_[shard_of(alt)].alts[alt] = customer.id;
  }
  const std::uint32_t index = shard_of(customer.id);
  auto* slot = new Slot(std::move(customer), static_cast<std::uint16_t>(index));
  slot->snapshot = snapshot_.load(std::memory_order_relaxed);
  shards_[index].customers.insert(slot);
  if (is_on_demand_) note_loaded(*slot);
  return *slot;
}

void Engine::note_loaded(Slot& slot) {
  std::vector<Slot*>& loaded = shards_[slot.shard].loaded;
  slot.place = static_cast<std::uint32_t>(loaded.size());
  loaded.push_back(&slot);
}

bool Engine::insert_plain(Customer& customer) {
  // A store waits for its group, and alternate IDs stand in shards of their own.
  if (journal_ != nullptr || sharing_ != nullptr || !customer.more().alt_ids.empty()) return false;
  const std::size_t hash = TextHash()(customer.id);
  const std::uint32_t index = shard_of_hash(hash);
  Shard& shard = shards_[index];
  const std::lock_guard lock(shard.mutex);
  if (!shard.alts.empty() && shard.alts.contains(customer.id)) return false;
  bool is_new = false;
  shard.customers.lazy_emplace(HashedId{customer.id, hash}, [&](const auto& construct) {
    is_new = true;
    note_shared_caps(customer);
    auto* slot = new Slot(std::move(customer), static_cast<std::uint16_t>(index));
    slot->snapshot = snapshot_.load(std::memory_order_relaxed);
    construct(slot);
  });
  return is_new;
}

void Engine::reserve(std::size_t customers) {
  // Hashes spread them over the shards, nearly evenly.
  const std::size_t each = customers / shards_.size();
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    shard.customers.reserve(each);
  }
}

void Engine::replace(Slot& slot, Customer customer) {
  before_change(&slot);
  note_shared_caps(customer);
  // Remembered requests stand beside the record: one that takes another's place keeps them.
  if (slot.customer.rest && !slot.customer.rest->requests.empty() &&
      customer.more().requests.empty()) {
    customer.own_rest().requests = slot.customer.rest->requests;
  }
  const auto contains = [](const Customer& one, const std::string& alt) {
    const auto& alts = one.more().alt_ids;
    return std::find(alts.begin(), alts.end(), alt) != alts.end();
  };
  for (const std::string& alt : slot.customer.more().alt_ids) {
    if (contains(customer, alt)) continue;
    shards_[shard_of(alt)].alts.erase(alt);
    note_left(slot, alt);
  }
  for (const std::string& alt : customer.more().alt_ids) {
    if (!contains(slot.customer, alt)) shards_[shard_of(alt)].alts[alt] = customer.id;
  }
  customer.cloud = std::move(slot.customer.cloud);
  slot.customer = std::move(customer);
}

void Engine::erase(Slot& slot) {
  before_change(&slot);
  note_left(slot, slot.customer.id);
  for (const std::string& alt : slot.customer.more().alt_ids) note_left(slot, alt);
  unlist(slot);
  if (is_on_demand_) note_leaving(slot);
}

// An ID is nobody's any more; with a journal, from the group on that the slot is marked for.
void Engine::note_left(const Slot& slot, std::string_view id) {
  if (journal_ != nullptr) shards_[shard_of(id)].left_in = journal_->group_of(slot);
  if (sharing_ != nullptr) sharing_->note_left(id);
}

void Engine::note_leaving(Slot& slot) {
  slot.retain();
  shards_[slot.shard].leaving.push_back(&slot);
}

void Engine::unlist(Slot& slot) {
  if (slot.removed) return;
  for (const std::string& alt : slot.customer.more().alt_ids) {
    // Where it is shared, another engine may have given it to somebody who is listed already.
    TextMap<std::string>& alts = shards_[shard_of(alt)].alts;
    const auto known = alts.find(alt);
    if (known != alts.end() && known->second == slot.customer.id) alts.erase(known);
  }
  Shard& shard = shards_[slot.shard];
  shard.customers.erase(&slot);
  slot.removed = true;
  if (is_on_demand_) {
    shard.loaded.back()->place = slot.place;
    shard.loaded[slot.place] = shard.loaded.back();
    shard.loaded.pop_back();
  }
  if (snapshot_.load(std::memory_order_relaxed) != 0) {
    shard.removed.push_back(&slot);
  } else {
    slot.release();
  }
}

void Engine::list(Slot& slot) {
  Shard& shard = shards_[slot.shard];
  slot.removed = false;
  for (const std::string& alt : slot.customer.more().alt_ids) {
    shards_[shard_of(alt)].alts[alt] = slot.customer.id;
  }
  shard.customers.insert(&slot);
  if (is_on_demand_) note_loaded(slot);
  // A snapshot that has it among the removed has its reference too.
  if (std::erase(shard.removed, &slot) == 0) slot.retain();
}

void Engine::mark_all() {
  const std::uint64_t group = journal_->current();
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (Slot* slot : shard.customers) {
      journal_->mark(*slot, group);
      state::CustomerRest* rest = slot->customer.rest.get();
      if (rest == nullptr || rest->requests.empty()) continue;
      const std::uint64_t before_all = rest->requests.front().number - 1;
      rest->requests_written = std::min(rest->requests_written, before_all);
    }
  }
}

std::optional<std::string> Engine::owner_of(std::string_view id) {
  Shard& shard = shards_[shard_of(id)];
  if (shard.customers.contains(id)) return std::string(id);
  const auto alt = shard.alts.find(id);
  return alt == shard.alts.end() ? std::nullopt : std::optional(alt->second);
}

void Engine::note_change(Slot* caller, std::span<Slot* const> relatives, std::uint32_t running) {
  if (running != 0) {
    write_ahead(caller, running);
    for (Slot* slot : relatives) write_ahead(slot, running);
  }
  if (sharing_ != nullptr) {
    if (caller != nullptr) sharing_->mark(*caller);
    for (Slot* slot : relatives) {
      if (slot != nullptr) sharing_->mark(*slot);
    }
  }
  if (journal_ == nullptr) return;
  const std::uint64_t group = journal_->current();
  if (caller != nullptr) journal_->mark(*caller, group);
  for (Slot* slot : relatives) {
    if (slot != nullptr) journal_->mark(*slot, group);
  }
}

void Engine::write_ahead(Slot* slot, std::uint32_t running) {
  if (slot == nullptr || slot->snapshot == running) return;
  append_record(shards_[slot->shard].snapshot, *slot, running);
}

// REQUIRES: the slot's shard is locked.
void Engine::append_record(SnapshotText& text, Slot& slot, std::uint32_t running) {
  slot.snapshot = running;
  if (journal_ != nullptr && slot.group != 0) note_unsafe(text, journal_->group_of(slot));
  JsonWriter json(text.records);
  begin_element(text.records);
  json.key(slot.customer.id);
  state::write_customer(json, slot.customer, *names_);
  for (const state::RememberedRequest& request : slot.customer.more().requests) {
    begin_element(text.requests);
    state::write_request(text.requests, slot.customer.id, request);
  }
}

// There are few: those that are on their way to the store at one time.
void Engine::note_unsafe(SnapshotText& text, std::uint64_t group) const {
  if (journal_ == nullptr || !journal_->is_sync() || journal_->is_safe(group)) return;
  const bool is_known =
      std::find(text.groups.begin(), text.groups.end(), group) != text.groups.end();
  if (!is_known) text.groups.push_back(group);
}

// A call either reads the snapshot's number before it is set, and then the snapshot meets its
// customers only after all of them have changed; or after, and then writes what stood before.
// Deciding which takes no lock: the call reads the number under its locks, and the snapshot takes
// those same locks later (INVARIANT 6).
Result<void> Engine::append_snapshot(SnapshotText& text) {
  if (is_on_demand_) return append_stored(text);
  const std::lock_guard one_at_a_time(snapshot_mutex_);
  if (++snapshots_taken_ == 0) ++snapshots_taken_;
  const std::uint32_t running = snapshots_taken_;
  // Customers that are created before the number is set but listed after must be in the cut, so
  // each shard's list is read under its lock, after.
  snapshot_.store(running, std::memory_order_seq_cst);
  for (Shard& shard : shards_) {
    std::vector<Slot*> slots;
    {
      const std::lock_guard lock(shard.mutex);
      slots.assign(shard.customers.begin(), shard.customers.end());
      note_unsafe(text, shard.left_in);
    }
    constexpr std::size_t ahead = 4;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (i + ahead < slots.size()) slots[i + ahead]->prefetch();
      const std::lock_guard lock(shard.mutex);
      if (slots[i]->snapshot != running) append_record(text, *slots[i], running);
    }
  }
  snapshot_.store(0, std::memory_order_seq_cst);
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    append(text.records, shard.snapshot.records);
    append(text.requests, shard.snapshot.requests);
    for (const std::uint64_t group : shard.snapshot.groups) note_unsafe(text, group);
    shard.snapshot = {};
    for (Slot* slot : shard.removed) slot->release();
    shard.removed.clear();
  }
  Result<void> safe;
  for (const std::uint64_t group : text.groups) {
    auto completed = complete({.group = group, .batch = {}});
    if (safe.ok()) safe = std::move(completed);
  }
  return safe;
}

Result<void> Engine::append_stored(SnapshotText& text) {
  if (gives_up()) return cannot_wait();
  if (auto flushed = flush(); !flushed.ok()) return flushed;
  const auto visit = [&](const store::StoredCustomer& stored) {
    JsonWriter json(text.records);
    begin_element(text.records);
    json.key(stored.id);
    text.records += state::shown_record(stored.record, *names_);
    for (const store::StoredRequest& request : stored.requests) {
      begin_element(text.requests);
      state::write_request(text.requests, stored.id, remembered(request));
    }
  };
  return journal_ != nullptr ? journal_->scan(visit) : sharing_->scan(visit);
}

std::optional<state::EstimateStats> Engine::policy_estimate(Symbol entitlement,
                                                            const std::string& segment) const {
  const std::lock_guard lock(estimates_mutex_);
  const auto found = estimates_.find(entitlement);
  if (found == estimates_.end()) return std::nullopt;
  for (const state::EstimateStats& stats : found->second) {
    if (stats.segment == segment) return stats;
  }
  return std::nullopt;
}

void Engine::each_entitlement_estimates(
    const std::function<void(Symbol, const std::vector<state::EstimateStats>&)>& visit) const {
  const std::lock_guard lock(estimates_mutex_);
  for (const auto& [entitlement, segments] : estimates_) visit(entitlement, segments);
}

void Engine::learn(Symbol entitlement, const core::Sample& sample, double value, double overhead,
                   Timestamp now) {
  if (journal_ != nullptr) journal_->note_estimates();
  if (sharing_ != nullptr) sharing_->note_estimates();
  const std::lock_guard lock(estimates_mutex_);
  std::vector<state::EstimateStats>& segments = estimates_[entitlement];
  for (state::EstimateStats& stats : segments) {
    if (stats.segment != sample.segment) continue;
    stats = core::learn(&stats, sample, value, overhead, now);
    return;
  }
  segments.push_back(core::learn(nullptr, sample, value, overhead, now));
}

void Engine::merge_estimate(std::string_view entitlement, const state::EstimateStats& stats) {
  const Symbol name = names_->intern(entitlement);
  const std::lock_guard lock(estimates_mutex_);
  std::vector<state::EstimateStats>& segments = estimates_[name];
  for (state::EstimateStats& known : segments) {
    if (known.segment != stats.segment) continue;
    known = core::merge(known, stats);
    return;
  }
  segments.push_back(stats);
}

std::string Engine::estimates_text() const {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  each_entitlement_estimates(
      [&](Symbol entitlement, const std::vector<state::EstimateStats>& segments) {
        json.key(names_->text(entitlement)).begin_object();
        for (const state::EstimateStats& stats : segments) {
          json.key(stats.segment);
          state::write_estimate(json, stats);
        }
        json.end_object();
      });
  json.end_object();
  return text;
}

void Engine::merge_estimates(std::string_view text) {
  state::RecordSink sink;
  sink.estimate = [&](std::string_view entitlement, const state::EstimateStats& stats) {
    merge_estimate(entitlement, stats);
  };
  sink.refused = [&](const std::string& id, const Error& error) {
    log(fmt::format("not loaded from the store: {}: {}", id, error.to_string()));
  };
  const std::string document =
      fmt::format(R"({{"format":{},"customers":{{}},"estimates":{}}})", state::record_format, text);
  if (auto read = state::read_snapshot(document, *names_, sink); !read.ok()) {
    log("the estimates in the store cannot be read: " + read.error().to_string());
  }
}

Result<void> Engine::keep_in(std::unique_ptr<store::Store> store) {
  if (options_.shared) {
    auto sharing = std::make_unique<Sharing>(*this, std::move(store), options_);
    if (auto opened = sharing->open(); !opened.ok()) return opened;
    sharing_ = std::move(sharing);
  } else {
    auto journal = std::make_unique<Journal>(*this, std::move(store), options_);
    if (auto opened = journal->open(); !opened.ok()) return opened;
    journal_ = std::move(journal);
  }
  is_plain_ = sharing_ == nullptr && options_.durability != Durability::interval;
  is_on_demand_ = sharing_ != nullptr || !options_.load_all;
  // One that is not in memory may have some.
  if (is_on_demand_) has_shared_caps_.store(true, std::memory_order_relaxed);
  if (sharing_ != nullptr) sharing_->settle_left();
  return {};
}

void Engine::keep_policy(std::string document) {
  if (journal_ != nullptr) {
    journal_->set_policy(std::move(document));
  } else if (sharing_ != nullptr) {
    sharing_->set_policy(std::move(document));
  }
}

Result<void> Engine::flush() {
  if (gives_up()) return cannot_wait();
  if (sharing_ != nullptr) return sharing_->flush();
  return journal_ == nullptr ? Result<void>() : journal_->flush();
}

Result<void> Engine::fold() { return journal_ == nullptr ? flush() : journal_->fold(); }

Result<std::uint64_t> Engine::close() {
  if (gives_up()) return cannot_wait();
  Result<void> closed;
  if (sharing_ != nullptr) closed = sharing_->close();
  if (journal_ != nullptr) closed = journal_->close();
  if (!closed.ok()) return std::move(closed).error();
  if (sharing_ != nullptr) return sharing_->customers_written();
  return journal_ == nullptr ? 0 : journal_->customers_written();
}

}  // namespace limitr::engine
