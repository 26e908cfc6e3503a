// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "core/reads.h"

#include "engine/engine.h"
#include "state/record.h"

namespace limitr {

using core::MeterReading;
using core::Target;
using engine::Engine;
using engine::Locked;

namespace {

// One read of a meter: finds and locks its family, resolves the entitlement, and reads with
// `read(reading)`. `otherwise` where there is no such customer, entitlement or limit.
template <typename T, typename Reader>
Result<T> read_meter(Engine& engine, std::string_view customer, std::string_view entitlement,
                     T otherwise, const Reader& read) {
  const engine::HostRates rates = engine.rates();
  const Timestamp now = engine.now();
  Locked locked(engine);
  if (!locked.find_family(customer)) return locked.none(otherwise);
  const Target target = engine.resolve(locked, entitlement, now);
  if (target.denied || target.limit == nullptr) return engine.answer(locked, otherwise);
  MeterReading reading(locked.policy(), locked.family(), target, rates.of(locked.policy()), now);
  T answer = read(reading);
  if (!reading.upkeep().empty()) {
    locked.before_change();
    state::apply(reading.upkeep(), locked.family());
  }
  if (auto safe = engine.finish(locked); !safe.ok()) return std::move(safe).error();
  return answer;
}

// What a policy says of an entitlement, for a customer or a plan's name: with the customer's own
// override where there is one.
struct Terms {
  const policy::Plan* plan = nullptr;
  const policy::Entitlement* entitlement = nullptr;
  const Limit* limit = nullptr;
};

// Reads the terms that hold for `id` with `read(policy, terms)`: a customer's, a plan's of that
// name, or the default plan's.
template <typename Reader>
auto read_terms(Engine& engine, std::string_view id, std::string_view entitlement,
                const Reader& read)
    -> Result<std::invoke_result_t<Reader, const policy::Policy&, const Terms&>> {
  const Timestamp now = engine.now();
  Locked locked(engine);
  Terms terms;
  if (locked.find_family(id)) {
    const policy::Policy& policy = locked.policy();
    const Target target = engine.resolve(locked, entitlement, now);
    terms.plan = core::plan_of(policy, locked.family());
    if (terms.plan != nullptr) terms.entitlement = terms.plan->find(entitlement);
    terms.limit = target.denied ? core::plan_limit(terms.plan, entitlement) : target.limit;
    return engine.answer(locked, read(policy, terms));
  }
  if (locked.failure()) return *locked.failure();
  if (auto safe = engine.finish(locked); !safe.ok()) return std::move(safe).error();
  const engine::PolicyPointer policy = engine.policy();
  terms.plan = policy->plan(id);
  if (terms.plan == nullptr) terms.plan = policy->default_plan();
  if (terms.plan != nullptr) terms.entitlement = terms.plan->find(entitlement);
  terms.limit = core::plan_limit(terms.plan, entitlement);
  return read(*policy, terms);
}

// A plan's name where it is one, else the plan of the customer of that ID.
template <typename Reader>
auto read_plan(Engine& engine, std::string_view id, const Reader& read)
    -> Result<std::invoke_result_t<Reader, const policy::Policy&, const policy::Plan*>> {
  const engine::PolicyPointer policy = engine.policy();
  if (const policy::Plan* plan = policy->plan(id)) return read(*policy, plan);
  Locked locked(engine);
  if (!locked.find_family(id)) return locked.none(read(*policy, nullptr));
  return engine.answer(locked,
                       read(locked.policy(), core::plan_of(locked.policy(), locked.family())));
}

// A part of the document under its name.
Json named(const Json& part, std::string_view name) {
  Json copy = part;
  copy["name"] = name;
  return copy;
}

Json plan_document(const policy::Policy& policy, const policy::Plan& plan) {
  const std::string name(policy.text(plan.name));
  return named(policy.document.at("policy").at("plans").at(name), name);
}

Json credit_document(const policy::Policy& policy, Symbol credit) {
  const std::string name(policy.text(credit));
  return named(policy.document.at("policy").at("credits").at(name), name);
}

// One row of imagined usage, its quantities read in the credit's unit.
Result<core::PlanUsage> row_of(const Engine& engine, const policy::Policy& policy,
                               const policy::Plan& plan, const ImaginedUsage& imagined) {
  core::PlanUsage row;
  row.entitlement = plan.find(imagined.entitlement);
  const Limit* limit = core::plan_limit(&plan, std::string_view(imagined.entitlement));
  row.credit = imagined.credit    ? policy.credit(*imagined.credit)
               : limit != nullptr ? policy.credit(limit->credit)
                                  : nullptr;
  if (row.entitlement == nullptr || row.credit == nullptr) {
    return Error{.code = ErrorCode::invalid_argument,
                 .message = "the plan has no entitlement of that name that is metered in a credit",
                 .where = imagined.entitlement};
  }
  const Unit unit = row.credit->stof_units;
  const Result<double> units = quantity(imagined.meter, unit);
  if (!units.ok()) return units.error();
  row.units = *units;
  row.limit = limit != nullptr ? limit->value : 0;
  if (imagined.limit) {
    const Result<double> given = quantity(*imagined.limit, unit);
    if (!given.ok()) return given.error();
    row.limit = *given;
  }
  row.overhead = imagined.overhead.value_or(
      engine.call_overhead_fn(*row.credit, row.units, imagined.context.value_or(Json()))
          .value_or(row.units * row.credit->overhead_cost));
  return row;
}

Json limit_json(const Limit& limit, const SymbolTable& names) {
  std::string text;
  JsonWriter json(text);
  state::write_limit(json, limit, names);
  return Json::parse(text);
}

}  // namespace

Read<double> Limitr::value(std::string_view customer, std::string_view entitlement, bool percent,
                           bool grants) {
  return engine_->read([&]() -> Read<double> {
    using Answer = std::optional<double>;
    bool is_metered = false;
    Read<double> metered =
        read_meter(*engine_, customer, entitlement, Answer(), [&](MeterReading& reading) {
          is_metered = true;
          if (!percent) return Answer(reading.value());
          const Answer left = reading.remaining_percent(grants);
          return left ? Answer(amount::rounded(100 - *left)) : Answer();
        });
    if (is_metered || !metered.ok()) return metered;
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!locked.find_family(customer)) return locked.none(Answer());
    const bool is_feature = !engine_->resolve(locked, entitlement, now).denied;
    return engine_->answer(locked, is_feature ? Answer(0) : Answer());
  });
}

Read<double> Limitr::remaining(std::string_view customer, std::string_view entitlement,
                               bool percent, bool grants) {
  return engine_->read([&]() -> Read<double> {
    return read_meter(
        *engine_, customer, entitlement, std::optional<double>(), [&](MeterReading& reading) {
          return percent ? reading.remaining_percent(grants) : reading.remaining(grants);
        });
  });
}

Read<double> Limitr::limit(std::string_view id, std::string_view entitlement, bool grants) {
  return engine_->read([&]() -> Read<double> {
    bool is_metered = false;
    auto own =
        read_meter(*engine_, id, entitlement, std::optional<double>(), [&](MeterReading& reading) {
          is_metered = true;
          return reading.limit(grants);
        });
    if (is_metered || !own.ok()) return own;
    return read_terms(*engine_, id, entitlement, [](const policy::Policy&, const Terms& terms) {
      const bool counts = terms.limit != nullptr && terms.limit->mode != Mode::observe;
      return counts ? std::optional(amount::rounded(terms.limit->value)) : std::nullopt;
    });
  });
}

Read<double> Limitr::allowance(std::string_view customer, std::string_view entitlement,
                               bool grants) {
  return engine_->read([&]() -> Read<double> {
    return read_meter(*engine_, customer, entitlement, std::optional<double>(),
                      [&](MeterReading& reading) { return reading.allowance(grants); });
  });
}

Read<double> Limitr::cost(std::string_view id, std::string_view entitlement) {
  return engine_->read([&]() -> Read<double> {
    return read_terms(*engine_, id, entitlement, [](const policy::Policy&, const Terms& terms) {
      return terms.limit == nullptr ? std::nullopt
                                    : std::optional(amount::rounded(terms.limit->increment));
    });
  });
}

Read<Timestamp> Limitr::resets(std::string_view customer, std::string_view entitlement) {
  return engine_->read([&]() -> Read<Timestamp> {
    return read_meter(*engine_, customer, entitlement, std::optional<Timestamp>(),
                      [](MeterReading& reading) { return reading.resets(); });
  });
}

Result<double> Limitr::rate(std::string_view customer, std::string_view entitlement) {
  return engine_->read([&]() -> Result<double> {
    return read_meter(*engine_, customer, entitlement, 0.0,
                      [](MeterReading& reading) { return reading.rate(); });
  });
}

Result<double> Limitr::acceleration(std::string_view customer, std::string_view entitlement) {
  return engine_->read([&]() -> Result<double> {
    return read_meter(*engine_, customer, entitlement, 0.0,
                      [](MeterReading& reading) { return reading.acceleration(); });
  });
}

Read<double> Limitr::projected_exhaustion(std::string_view customer, std::string_view entitlement,
                                          bool smoothed, bool grants) {
  return engine_->read([&]() -> Read<double> {
    return read_meter(
        *engine_, customer, entitlement, std::optional<double>(),
        [&](MeterReading& reading) { return reading.projected_exhaustion(smoothed, grants); });
  });
}

Read<double> Limitr::credit_exchange(std::string_view from, std::string_view to, double value) {
  if (!std::isfinite(value)) {
    return Error{.code = ErrorCode::invalid_value, .message = "the value is not a finite number"};
  }
  const engine::PolicyPointer policy = engine_->policy();
  const engine::HostRates rates = engine_->rates();
  const SymbolTable& names = engine_->names();
  if (from == to) return std::optional(amount::rounded(value));
  return amount::rounded(
      core::Exchange(*policy, rates.of(*policy)).convert(value, names.find(from), names.find(to)));
}

Read<double> Limitr::credit_remaining(std::string_view customer, std::string_view credit) {
  return engine_->read([&]() -> Read<double> {
    const engine::HostRates rates = engine_->rates();
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!locked.find(customer)) return locked.none(std::optional<double>());
    state::Moves upkeep;
    const double units =
        core::credit_remaining(locked.policy(), locked.family(), rates.of(locked.policy()),
                               engine_->names().find(credit), now, upkeep);
    if (!upkeep.empty()) {
      locked.before_change();
      state::apply(upkeep, locked.family());
    }
    return engine_->answer(locked, std::optional(units));
  });
}

Read<Json> Limitr::meter(std::string_view customer, std::string_view entitlement) {
  return engine_->read([&]() -> Read<Json> {
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!locked.find_family(customer)) return locked.none(std::optional<Json>());
    const Target target = engine_->resolve(locked, entitlement, now);
    if (target.denied || target.limit == nullptr) {
      return engine_->answer(locked, std::optional<Json>());
    }
    const state::Customer& owner = locked.family()[target.owner];
    const auto meter = core::meter_now(owner, *target.limit, target.entitlement->name, now);
    if (!meter) return engine_->answer(locked, std::optional<Json>());
    std::string text;
    JsonWriter json(text);
    state::write_meter(json, *meter, owner.extra(target.entitlement->name), engine_->names());
    return engine_->answer(locked, std::optional(Json::parse(text)));
  });
}

Read<Json> Limitr::limit_object(std::string_view id, std::string_view entitlement) {
  return engine_->read([&]() -> Read<Json> {
    return read_terms(
        *engine_, id, entitlement, [](const policy::Policy& policy, const Terms& terms) {
          return terms.limit == nullptr ? std::nullopt
                                        : std::optional(limit_json(*terms.limit, *policy.names));
        });
  });
}

Read<Json> Limitr::entitlement(std::string_view id, std::string_view entitlement) {
  return engine_->read([&]() -> Read<Json> {
    return read_terms(
        *engine_, id, entitlement, [&](const policy::Policy& policy, const Terms& terms) {
          if (terms.entitlement == nullptr) return std::optional<Json>();
          const Json plan = plan_document(policy, *terms.plan);
          Json document = named(plan.at("entitlements").at(std::string(entitlement)), entitlement);
          if (terms.limit != nullptr) document["limit"] = limit_json(*terms.limit, *policy.names);
          return std::optional(std::move(document));
        });
  });
}

Read<Json> Limitr::plan(std::string_view id) {
  return engine_->read([&]() -> Read<Json> {
    return read_plan(*engine_, id, [](const policy::Policy& policy, const policy::Plan* plan) {
      return plan == nullptr ? std::nullopt : std::optional(plan_document(policy, *plan));
    });
  });
}

Read<Json> Limitr::default_plan() {
  const engine::PolicyPointer policy = engine_->policy();
  const policy::Plan* plan = policy->default_plan();
  return plan == nullptr ? std::nullopt : std::optional(plan_document(*policy, *plan));
}

Read<Json> Limitr::credit(std::string_view name) {
  const engine::PolicyPointer policy = engine_->policy();
  const policy::Credit* credit = policy->credit(name);
  return credit == nullptr ? std::nullopt : std::optional(credit_document(*policy, credit->name));
}

Read<Json> Limitr::credit_for(std::string_view id, std::string_view entitlement) {
  return engine_->read([&]() -> Read<Json> {
    return read_terms(*engine_, id, entitlement,
                      [](const policy::Policy& policy, const Terms& terms) {
                        return terms.limit == nullptr
                                   ? std::nullopt
                                   : std::optional(credit_document(policy, terms.limit->credit));
                      });
  });
}

Read<std::string> Limitr::plan_period(std::string_view id) {
  return engine_->read([&]() -> Read<std::string> {
    return read_plan(*engine_, id, [](const policy::Policy&, const policy::Plan* plan) {
      return plan == nullptr ? std::nullopt : std::optional(std::string(to_string(plan->period)));
    });
  });
}

Read<Millis> Limitr::plan_trial_period(std::string_view id) {
  return engine_->read([&]() -> Read<Millis> {
    return read_plan(*engine_, id, [](const policy::Policy&, const policy::Plan* plan) {
      return plan == nullptr ? std::nullopt : plan->trial_period;
    });
  });
}

Read<std::string> Limitr::plan_subscription_entitlement(std::string_view id) {
  return engine_->read([&]() -> Read<std::string> {
    return read_plan(*engine_, id, [](const policy::Policy& policy, const policy::Plan* plan) {
      return plan == nullptr ? std::nullopt
                             : std::optional(std::string(policy.text(plan->subscription)));
    });
  });
}

Read<Margin> Limitr::customer_margin(std::string_view id) {
  return engine_->read([&]() -> Read<Margin> {
    const engine::HostRates rates = engine_->rates();
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!locked.find_family(id)) return locked.none(std::optional<Margin>());
    return engine_->answer(locked,
                           std::optional(core::customer_margin(locked.policy(), locked.family(),
                                                               rates.of(locked.policy()), now)));
  });
}

Read<Margin> Limitr::plan_margin(std::string_view name, std::span<const ImaginedUsage> usage,
                                 bool scaled) {
  const engine::PolicyPointer policy = engine_->policy();
  const policy::Plan* plan = policy->plan(name);
  if (plan == nullptr) return std::optional<Margin>();
  std::vector<core::PlanUsage> rows;
  for (const ImaginedUsage& imagined : usage) {
    Result<core::PlanUsage> row = row_of(*engine_, *policy, *plan, imagined);
    if (!row.ok()) return std::move(row).error();
    rows.push_back(*row);
  }
  return std::optional(core::plan_margin(*policy, *plan, rows, scaled));
}

}  // namespace limitr
