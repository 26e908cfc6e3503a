// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "engine/engine.h"
#include "engine/event_text.h"
#include "engine/given_text.h"

namespace limitr {

using engine::Locked;
using engine::Once;

namespace {

const Json* context_of(const std::optional<Json>& context) { return context ? &*context : nullptr; }

// The customer's own estimate once it has enough samples, else that over all customers.
std::optional<Estimate> estimate_for(engine::Engine& engine, Locked& locked,
                                     const core::Target& target, const core::Sample& sample,
                                     double quantile) {
  const Symbol entitlement = target.entitlement->name;
  const state::MeterExtra* extra = locked.family()[target.owner].extra(entitlement);
  if (extra != nullptr) {
    for (const state::EstimateStats& stats : extra->estimates) {
      if (stats.segment != sample.segment) continue;
      if (stats.samples < locked.policy().estimate_min_samples) break;
      std::optional<Estimate> own = core::predict(stats, sample, quantile);
      if (own) own->scope = "customer";
      return own;
    }
  }
  const auto shared = engine.policy_estimate(entitlement, sample.segment);
  if (!shared) return std::nullopt;
  std::optional<Estimate> estimate = core::predict(*shared, sample, quantile);
  if (estimate) estimate->scope = "policy";
  return estimate;
}

// The owner's meter, made where there is none yet: a hold or an estimate belongs to one.
void ensure_meter(Locked& locked, const core::Target& target, Timestamp now) {
  state::Customer& owner = locked.family().at(target.owner);
  const Symbol entitlement = target.entitlement->name;
  if (owner.meter(entitlement) != nullptr) return;
  const Symbol credit = target.limit != nullptr ? target.limit->credit : Symbol::empty;
  owner.add_meter(core::new_meter(entitlement, credit, now));
}

// Learns from one call; false where the sample lacks its basis.
bool learn(engine::Engine& engine, Locked& locked, const core::Target& target,
           const core::Sample& sample, double value, double overhead, Timestamp now) {
  if (!sample.usable()) {
    engine.log_unlearned(locked.family()[target.owner].id, *target.entitlement);
    return false;
  }
  locked.before_change();
  ensure_meter(locked, target, now);
  const Symbol entitlement = target.entitlement->name;
  const state::EstimateStats* known = nullptr;
  if (const state::MeterExtra* extra = locked.family()[target.owner].extra(entitlement)) {
    for (const state::EstimateStats& stats : extra->estimates) {
      if (stats.segment == sample.segment) known = &stats;
    }
  }
  const state::EstimateMove move{target.owner, entitlement,
                                 core::learn(known, sample, value, overhead, now)};
  state::apply({move}, locked.family());
  engine.learn(entitlement, sample, value, overhead, now);
  return true;
}

Error not_finite(const char* what) {
  return {.code = ErrorCode::invalid_value,
          .message = std::string("the ") + what + " is not a finite number"};
}

// What is wrong with the texts that a sample is named by.
template <typename SampleOptions>
std::optional<Error> wrong_sample(const SampleOptions& options) {
  if (auto wrong = engine::wrong_text(options.segment, "segment")) return wrong;
  return engine::wrong_context(options.context);
}

// The hold that a call would be given, before anyone asked whether there is room for it: value and
// overhead from the options, else from an estimate, else from the limit's increment.
Result<state::Hold> wanted_hold(engine::Engine& engine, Locked& locked, const core::Target& target,
                                const ReserveOptions& options, std::optional<double> host_overhead,
                                Timestamp now) {
  const policy::Credit& credit = *locked.policy().credit(target.limit->credit);
  const core::Sample sample = core::sample_of(*target.entitlement, context_of(options.context),
                                              options.basis, options.segment);
  state::Hold hold{.id = {},
                   .expires = now + locked.policy().hold_ttl,
                   .basis = sample.basis,
                   .segment = sample.segment};
  std::optional<double> overhead = options.overhead;
  if (options.ttl) {
    const Result<Millis> ttl = duration(*options.ttl);
    if (!ttl.ok()) return ttl.error();
    hold.expires = now + *ttl;
  }
  Result<double> units = 0.0;
  if (options.value) {
    units = quantity(*options.value, credit.stof_units);
  } else if (const auto estimate = estimate_for(engine, locked, target, sample, options.quantile)) {
    units = estimate->value;
    if (!overhead) overhead = estimate->overhead;
  } else {
    units = target.limit->increment_in(credit.stof_units);
  }
  if (!units.ok()) return units.error();
  hold.value = *units;
  if (!overhead) overhead = host_overhead;
  hold.overhead = overhead.value_or(hold.value * credit.overhead_cost);
  return hold;
}

// Puts a hold on the owner's meter and drops those that have expired.
void add_hold(Locked& locked, const core::Target& target, const state::Hold& hold, Timestamp now) {
  ensure_meter(locked, target, now);
  state::Moves moves;
  const Symbol name = target.entitlement->name;
  if (const state::MeterExtra* extra = locked.family()[target.owner].extra(name)) {
    for (const state::Hold& old : extra->holds) {
      if (old.expires < now) moves.push_back(state::HoldRemoval{target.owner, name, old.id});
    }
  }
  moves.push_back(state::HoldAdded{target.owner, name, hold});
  state::apply(moves, locked.family());
}

}  // namespace

Read<std::string> Limitr::reserve(std::string_view customer, std::string_view entitlement,
                                  const ReserveOptions& options) {
  return engine_->change([&]() -> Read<std::string> {
    if (options.overhead && !std::isfinite(*options.overhead)) return not_finite("overhead");
    if (auto wrong = wrong_sample(options)) return *std::move(wrong);
    CallOptions call_options{.event_data = options.context, .overhead = options.overhead};
    core::CallInput input{.entitlement = entitlement,
                          .value = options.value.value_or(0),
                          .increments = options.value ? 0 : 1,
                          .options = &call_options,
                          .now = {},
                          .host_overhead = {},
                          .rates = {}};
    const engine::HostRates rates = engine_->rates();
    const std::optional<double> host_overhead = engine_->host_overhead({customer}, input);
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "reserve", entitlement, options);
    Locked locked(*engine_);
    if (auto answer =
            once.answer<std::optional<std::string>>(locked, locked.find_family(customer))) {
      return *std::move(answer);
    }
    const core::Target target = engine_->resolve(locked, entitlement, now);
    if (target.denied || target.limit == nullptr) {
      return engine_->answer(locked, std::optional<std::string>());
    }
    Result<state::Hold> hold = wanted_hold(*engine_, locked, target, options, host_overhead, now);
    if (!hold.ok()) return std::move(hold).error();
    if (!(hold->value > 0)) return engine_->answer(locked, std::optional<std::string>());

    call_options.overhead = hold->overhead;
    input.value = hold->value;
    // A plain number is in the credit's unit by now.
    input.increments = 0;
    input.now = now;
    input.rates = rates.of(locked.policy());
    Decision decision;
    const core::Outcome outcome =
        core::decide(locked.policy(), locked.family(), input, engine_->ids(), decision);
    if (outcome.error) return *outcome.error;
    locked.before_change();
    state::apply(outcome.upkeep, locked.family());
    if (!decision.allowed) return engine_->answer(locked, std::optional<std::string>());
    hold->id = engine_->ids().next();
    add_hold(locked, target, *hold, now);
    once.remember(locked, hold->id);
    return engine_->answer(locked, std::optional(hold->id));
  });
}

Result<Decision> Limitr::settle(std::string_view customer, std::string_view entitlement,
                                std::string_view hold, Value value, const SettleOptions& options) {
  CallOptions call_options{.event = options.event,
                           .event_data = options.event_data,
                           .overhead = options.overhead,
                           .force = true};
  call_options.request = options.request;
  core::CallInput input{.entitlement = entitlement,
                        .value = value,
                        .options = &call_options,
                        .now = {},
                        .host_overhead = {},
                        .rates = {}};
  const core::Settlement settlement{hold, options.basis, options.segment};
  input.settles = &settlement;
  return engine_->decide({customer}, input, /*commit=*/true);
}

Result<bool> Limitr::release(std::string_view customer, std::string_view entitlement,
                             std::string_view hold, const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "release", entitlement, hold);
    Locked locked(*engine_);
    if (auto answer = once.answer<bool>(locked, locked.find_family(customer))) return *answer;
    const core::Target target = engine_->resolve(locked, entitlement, now);
    if (target.denied) return engine_->answer(locked, false);
    const Symbol name = target.entitlement->name;
    const state::MeterExtra* extra = locked.family()[target.owner].extra(name);
    if (extra == nullptr) return engine_->answer(locked, false);
    for (const state::Hold& held : extra->holds) {
      if (held.id != hold) continue;
      locked.before_change();
      state::apply({state::HoldRemoval{target.owner, name, std::string(hold)}}, locked.family());
      once.remember(locked, true);
      return engine_->answer(locked, true);
    }
    return engine_->answer(locked, false);
  });
}

Result<double> Limitr::held(std::string_view customer, std::string_view entitlement) {
  return engine_->read([&]() -> Result<double> {
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!locked.find_family(customer)) return locked.none(0.0);
    const core::Target target = engine_->resolve(locked, entitlement, now);
    if (target.denied) return engine_->answer(locked, 0.0);
    const state::MeterExtra* extra = locked.family()[target.owner].extra(target.entitlement->name);
    return engine_->answer(
        locked, amount::rounded(amount::within_range(core::held_room(extra, now).value)));
  });
}

Read<Estimate> Limitr::estimate(std::string_view customer, std::string_view entitlement,
                                const EstimateOptions& options) {
  return engine_->read([&]() -> Read<Estimate> {
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!locked.find_family(customer)) return locked.none(std::optional<Estimate>());
    const core::Target target = engine_->resolve(locked, entitlement, now);
    if (target.denied) return engine_->answer(locked, std::optional<Estimate>());
    const core::Sample sample = core::sample_of(*target.entitlement, context_of(options.context),
                                                options.basis, options.segment);
    return engine_->answer(locked,
                           estimate_for(*engine_, locked, target, sample, options.quantile));
  });
}

Result<bool> Limitr::observe(std::string_view customer, std::string_view entitlement, Value value,
                             const EstimateOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    if (options.overhead && !std::isfinite(*options.overhead)) return not_finite("overhead");
    if (auto wrong = wrong_sample(options)) return *std::move(wrong);
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "observe", entitlement, value, options);
    Locked locked(*engine_);
    if (auto answer = once.answer<bool>(locked, locked.find_family(customer))) return *answer;
    const core::Target target = engine_->resolve(locked, entitlement, now);
    if (target.denied) return engine_->answer(locked, false);
    const policy::Credit* credit =
        target.limit == nullptr ? nullptr : locked.policy().credit(target.limit->credit);
    const Result<double> units = quantity(value, credit == nullptr ? Unit() : credit->stof_units);
    if (!units.ok()) return units.error();
    const double rate = credit == nullptr ? 0 : credit->overhead_cost;
    const core::Sample sample = core::sample_of(*target.entitlement, context_of(options.context),
                                                options.basis, options.segment);
    const double overhead = options.overhead.value_or(*units * rate);
    const bool has_learned = learn(*engine_, locked, target, sample, *units, overhead, now);
    if (has_learned) once.remember(locked, true);
    return engine_->answer(locked, has_learned);
  });
}

}  // namespace limitr
