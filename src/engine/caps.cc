// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/json_writer.h"
#include "core/customers.h"
#include "core/reads.h"
#include "engine/engine.h"
#include "engine/event_text.h"
#include "engine/given_text.h"
#include "state/record.h"

namespace limitr {

using engine::Locked;
using engine::Once;
using engine::wrong_text;
using engine::wrong_texts;
using state::Customer;

namespace {

// The IDs of the two caps that measure.
std::string charged_id(std::string_view measurement) {
  return std::string(measurement) + ":charged";
}
std::string costs_id(std::string_view measurement) { return std::string(measurement) + ":costs"; }

}  // namespace

Read<std::string> Limitr::add_customer_cap(std::string_view id, double value,
                                           const CapOptions& options) {
  return engine_->change([&]() -> Read<std::string> {
    if (auto wrong = wrong_text(options.cap, "cap")) return *std::move(wrong);
    if (auto wrong = wrong_texts(options.shared_with, "shared_with")) return *std::move(wrong);
    if (auto wrong = wrong_texts(options.scope, "scope")) return *std::move(wrong);
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "add_customer_cap", value, options);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer =
            once.answer<std::optional<std::string>>(locked, locked.find_draft(id, draft))) {
      return *std::move(answer);
    }
    Result<const state::Cap*> added =
        core::add_cap(locked.policy(), draft, value, options, now, engine_->ids());
    if (!added.ok()) return std::move(added).error();
    if (*added == nullptr) return engine_->answer(locked, std::optional<std::string>());
    const state::Cap cap = **added;
    once.remember(locked, cap.id);
    auto kept = engine_->put(
        locked, std::move(draft), [&](const Customer& customer, std::vector<Event>& events) {
          if (!options.events) return;
          const SymbolTable& names = engine_->names();
          events.push_back(engine::cap_changed("customer-cap-added", customer, cap, names, now));
          events.push_back(engine::customer_set(customer, names, now));
        });
    if (!kept.ok()) return std::move(kept).error();
    return std::optional(cap.id);
  });
}

Read<Json> Limitr::customer_cap(std::string_view id, std::string_view cap_id) {
  return engine_->read([&]() -> Read<Json> {
    const Timestamp now = engine_->now();
    Locked locked(*engine_);
    if (!locked.find(id)) return locked.none(std::optional<Json>());
    // A read shows the current period, and nothing that has expired.
    state::Moves upkeep;
    core::standing_caps(locked.family(), now, /*own=*/true, upkeep);
    if (!upkeep.empty()) locked.before_change();
    state::apply(upkeep, locked.family());
    const state::Cap* cap = locked.slot().customer.cap(cap_id);
    if (cap == nullptr) return engine_->answer(locked, std::optional<Json>());
    std::string text;
    JsonWriter json(text);
    state::write_cap(json, *cap, engine_->names());
    return engine_->answer(locked, std::optional(Json::parse(text)));
  });
}

Result<bool> Limitr::reset_customer_cap(std::string_view id, std::string_view cap_id,
                                        const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "reset_customer_cap", cap_id);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<bool>(locked, locked.find_draft(id, draft))) return *answer;
    state::Cap* cap = draft.cap(cap_id);
    if (cap == nullptr) return engine_->answer(locked, false);
    core::reset_cap(*cap, now);
    const state::Cap changed = *cap;
    once.remember(locked, true);
    auto kept = engine_->put(
        locked, std::move(draft), [&](const Customer& customer, std::vector<Event>& events) {
          const SymbolTable& names = engine_->names();
          events.push_back(
              engine::cap_changed("customer-cap-reset", customer, changed, names, now));
          events.push_back(engine::customer_set(customer, names, now));
        });
    if (!kept.ok()) return std::move(kept).error();
    return true;
  });
}

Result<bool> Limitr::remove_customer_cap(std::string_view id, std::string_view cap_id,
                                         const ChangeOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    const Timestamp now = engine_->now();
    const Once once(*engine_, options.request, "remove_customer_cap", cap_id);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<bool>(locked, locked.find_draft(id, draft))) return *answer;
    const std::size_t removed = std::erase_if(
        draft.own_rest().caps, [&](const state::Cap& cap) { return cap.id == cap_id; });
    if (removed == 0) return engine_->answer(locked, false);
    once.remember(locked, true);
    auto kept = engine_->put(locked, std::move(draft),
                             [&](const Customer& customer, std::vector<Event>& events) {
                               const SymbolTable& names = engine_->names();
                               events.push_back(engine::cap_removed(customer, cap_id, names, now));
                               events.push_back(engine::customer_set(customer, names, now));
                             });
    if (!kept.ok()) return std::move(kept).error();
    return true;
  });
}

Result<bool> Limitr::start_margin_measurement(std::string_view customer,
                                              std::string_view measurement,
                                              const MeasurementOptions& options) {
  return engine_->change([&]() -> Result<bool> {
    if (auto wrong = wrong_text(measurement, "measurement")) return *std::move(wrong);
    const Timestamp now = engine_->now();
    const std::string charged = charged_id(measurement);
    const std::string costs = costs_id(measurement);
    const Once once(*engine_, options.request, "start_margin_measurement", measurement, options);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<bool>(locked, locked.find_draft(customer, draft))) return *answer;
    CapOptions cap{.cap = charged,
                   .overage_only = options.overage_only,
                   .ignore_grants = options.ignore_grants,
                   .observe_only = true};
    // A ceiling that is never reached: these caps watch, and never cross.
    constexpr double never = amount::unbounded;
    Result<const state::Cap*> added =
        core::add_cap(locked.policy(), draft, never, cap, now, engine_->ids());
    if (!added.ok()) return std::move(added).error();
    if (*added == nullptr) return engine_->answer(locked, false);
    cap = {.cap = costs, .observe_only = true, .overhead_cost = true};
    added = core::add_cap(locked.policy(), draft, never, cap, now, engine_->ids());
    if (!added.ok()) return std::move(added).error();
    if (*added == nullptr) return engine_->answer(locked, false);
    once.remember(locked, true);
    auto kept = engine_->put(locked, std::move(draft), [](const Customer&, std::vector<Event>&) {});
    if (!kept.ok()) return std::move(kept).error();
    return true;
  });
}

Read<MeasuredMargin> Limitr::capture_margin_measurement(std::string_view customer,
                                                        std::string_view measurement,
                                                        const ChangeOptions& options) {
  return engine_->change([&]() -> Read<MeasuredMargin> {
    const Once once(*engine_, options.request, "capture_margin_measurement", measurement);
    Locked locked(*engine_);
    Customer draft;
    if (auto answer = once.answer<std::optional<MeasuredMargin>>(
            locked, locked.find_draft(customer, draft))) {
      return *std::move(answer);
    }
    const state::Cap* charged = draft.cap(charged_id(measurement));
    const state::Cap* costs = draft.cap(costs_id(measurement));
    if (charged == nullptr || costs == nullptr) {
      return engine_->answer(locked, std::optional<MeasuredMargin>());
    }
    MeasuredMargin margin;
    margin.charged = amount::rounded(charged->meter_value);
    margin.costs = amount::rounded(costs->meter_value);
    margin.raw_margin = amount::rounded(charged->meter_value - costs->meter_value);
    margin.margin = core::margin_percent(margin.charged, margin.costs).value_or(-100);
    std::erase_if(draft.own_rest().caps, [&](const state::Cap& cap) {
      return cap.id == charged_id(measurement) || cap.id == costs_id(measurement);
    });
    once.remember(locked, margin);
    auto kept = engine_->put(locked, std::move(draft), [](const Customer&, std::vector<Event>&) {});
    if (!kept.ok()) return std::move(kept).error();
    return std::optional(margin);
  });
}

}  // namespace limitr
