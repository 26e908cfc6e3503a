// SPDX-License-Identifier: Apache-2.0
#include "engine/event_text.h"

#include "base/json_writer.h"
#include "core/resolve.h"
#include "state/record.h"

namespace limitr::engine {
namespace {

using amount::rounded;
using core::CallEvents;
using state::Customer;
using state::Family;

// Builds one event: begins the payload's object, and ends it.
class EventText {
public:
  EventText(std::string_view type, const Customer& customer, Timestamp at)
      : event_{.type = std::string(type), .customer = customer.id, .at = at, .payload = {}},
        json_(event_.payload) {
    event_.payload.reserve(512);
    json_.begin_object();
  }
  JsonWriter& json() { return json_; }
  Event done() {
    json_.end_object();
    return std::move(event_);
  }

private:
  Event event_;
  JsonWriter json_;
};

void write_identity_at(JsonWriter& json, std::string_view key, const Customer& customer,
                       const SymbolTable& names) {
  json.key(key);
  state::write_identity(json, customer, names);
}

void write_record(JsonWriter& json, const Customer& customer, const SymbolTable& names) {
  json.key("customer");
  state::write_customer(json, customer, names);
}

// A cap with its figures rounded; one of the call's own has no ID.
void write_cap_at(JsonWriter& json, const CallEvents::Crossing& crossing,
                  const SymbolTable& names) {
  json.key("cap");
  state::Cap cap = crossing.cap;
  cap.meter_value = rounded(cap.meter_value);
  cap.value = rounded(cap.value);
  if (!crossing.call_scoped) return state::write_cap(json, cap, names);
  json.begin_object()
      .key("id")
      .null()
      .field("credit", names.text(cap.credit))
      .field("value", cap.value)
      .field("meter_value", cap.meter_value)
      .end_object();
}

std::string_view type_of(CallEvents::Main main) {
  switch (main) {
    case CallEvents::Main::changed: return "meter-changed";
    case CallEvents::Main::overage: return "meter-overage";
    case CallEvents::Main::limit: return "meter-limit";
    case CallEvents::Main::governed: return "meter-governed";
    case CallEvents::Main::cap: return "cap-limit";
    case CallEvents::Main::none: break;
  }
  return {};
}

// Writes the events of one call; what they share is written alike.
class CallText {
public:
  CallText(const policy::Policy& policy, const Family& family, const core::Outcome& outcome,
           const CallOptions& options, Timestamp now)
      : policy_(policy),
        names_(*policy.names),
        family_(family),
        outcome_(outcome),
        events_(*outcome.events),
        options_(options),
        now_(now) {}

  std::vector<Event> all() const {
    std::vector<Event> list;
    if (events_.main == CallEvents::Main::none) return list;
    // A reset's payload is that of the call's own event.
    if (events_.reset) list.push_back(main("meter-reset"));
    list.push_back(main(type_of(events_.main)));
    for (const CallEvents::Crossing& crossing : events_.crossings)
      list.push_back(crossed(crossing));
    for (const Family::Index holder : events_.cap_holders) {
      list.push_back(customer_set(family_[holder], names_, now_));
    }
    return list;
  }

private:
  const Customer& owner() const { return family_[outcome_.target.owner]; }
  const Customer& caller() const { return family_[Family::caller]; }

  Event main(std::string_view type) const {
    switch (events_.main) {
      case CallEvents::Main::cap: return capped(type);
      case CallEvents::Main::governed: return governed(type);
      case CallEvents::Main::limit: return limited(type);
      default: return metered(type);
    }
  }

  void write_call(JsonWriter& json) const {
    const policy::Plan* plan = core::plan_of(policy_, family_, outcome_.target.owner);
    json.field("entitlement", names_.text(outcome_.target.entitlement->name)).key("plan");
    if (plan == nullptr) {
      json.null();
    } else {
      json.begin_object()
          .field("name", names_.text(plan->name))
          .field("label", plan->label)
          .end_object();
    }
    json.field("credit", names_.text(outcome_.target.limit->credit)).key("event_data");
    if (options_.event_data) {
      json.value(*options_.event_data);
    } else {
      json.null();
    }
  }

  // The meter's figures that every event but a governor's has.
  void write_figures(JsonWriter& json, double value) const {
    json.field("value", rounded(value))
        .field("limit", rounded(events_.limit))
        .field("diff", rounded(events_.diff))
        .field("overhead", rounded(events_.overhead))
        .field("overhead_diff", rounded(events_.overhead_diff))
        .field("price_diff", rounded(events_.price_diff));
  }

  Event metered(std::string_view type) const {
    EventText text(type, owner(), now_);
    JsonWriter& json = text.json();
    json.key("meter").begin_object().field("old", rounded(events_.old));
    write_figures(json, events_.value);
    json.end_object().field("remaining", rounded(events_.limit - events_.value));
    write_identity_at(json, "customer", owner(), names_);
    write_call(json);
    if (events_.shows_grants)
      json.field("grant_value_applied", rounded(events_.grant_value_applied));
    if (events_.shows_overage) json.field("overage", rounded(events_.overage));
    if (events_.main == CallEvents::Main::overage) {
      json.field("overage_price", rounded(events_.overage_price));
    }
    return text.done();
  }

  Event limited(std::string_view type) const {
    EventText text(type, owner(), now_);
    JsonWriter& json = text.json();
    json.key("meter").begin_object();
    write_figures(json, events_.old);
    json.field("invalid", rounded(events_.value)).end_object();
    write_identity_at(json, "customer", owner(), names_);
    write_call(json);
    json.field("invalid_value", rounded(events_.value)).field("overage", rounded(events_.overage));
    if (events_.shows_grants)
      json.field("grant_value_applied", rounded(events_.grant_value_applied));
    return text.done();
  }

  Event governed(std::string_view type) const {
    EventText text(type, owner(), now_);
    JsonWriter& json = text.json();
    json.key("meter")
        .begin_object()
        .field("value", rounded(events_.old))
        .field("limit", rounded(events_.limit))
        .field("overhead", rounded(events_.overhead))
        .end_object();
    json.key("governor")
        .begin_object()
        .field("tokens", rounded(events_.tokens))
        .field("capacity", rounded(events_.capacity))
        .field("requested", rounded(events_.diff))
        .end_object();
    write_identity_at(json, "customer", owner(), names_);
    write_call(json);
    return text.done();
  }

  Event capped(std::string_view type) const {
    const CallEvents::Crossing& full = *events_.cap;
    const Customer& holder = family_[full.holder];
    EventText text(type, holder, now_);
    JsonWriter& json = text.json();
    json.key("meter").begin_object();
    write_figures(json, events_.old);
    json.end_object();
    write_identity_at(json, "customer", holder, names_);
    write_identity_at(json, "caller", caller(), names_);
    write_cap_at(json, full, names_);
    write_call(json);
    return text.done();
  }

  Event crossed(const CallEvents::Crossing& crossing) const {
    const Customer& holder = family_[crossing.holder];
    EventText text("cap-threshold-crossed", holder, now_);
    JsonWriter& json = text.json();
    write_identity_at(json, "customer", holder, names_);
    write_identity_at(json, "caller", caller(), names_);
    json.field("entitlement", names_.text(outcome_.target.entitlement->name));
    write_cap_at(json, crossing, names_);
    return text.done();
  }

  const policy::Policy& policy_;
  const SymbolTable& names_;
  const Family& family_;
  const core::Outcome& outcome_;
  const CallEvents& events_;
  const CallOptions& options_;
  Timestamp now_;
};

}  // namespace

std::vector<Event> call_events(const policy::Policy& policy, const Family& family,
                               const core::Outcome& outcome, const CallOptions& options,
                               Timestamp now) {
  return CallText(policy, family, outcome, options, now).all();
}

Event customer_set(const Customer& customer, const SymbolTable& names, Timestamp now) {
  EventText text("customer-set", customer, now);
  write_record(text.json(), customer, names);
  return text.done();
}

Event customer_removed(const Customer& customer, const SymbolTable& names, Timestamp now) {
  EventText text("customer-removed", customer, now);
  write_record(text.json(), customer, names);
  return text.done();
}

Event plan_changed(const Customer& customer, const SymbolTable& names, const policy::Plan* previous,
                   const policy::Plan& plan, Timestamp now) {
  EventText text("customer-plan-changed", customer, now);
  JsonWriter& json = text.json();
  json.key("previous_plan");
  if (previous == nullptr) {
    json.null();
  } else {
    json.value(names.text(previous->name));
  }
  json.field("new_plan", names.text(plan.name));
  write_record(json, customer, names);
  return text.done();
}

Event topup_granted(const Customer& customer, const policy::Policy& policy,
                    const policy::Plan& plan, const policy::Topup& topup, const state::Grant& grant,
                    Timestamp now) {
  EventText text("customer-topup-granted", customer, now);
  JsonWriter& json = text.json();
  json.field("topup_name", policy.text(topup.name))
      .field("plan_name", policy.text(plan.name))
      .field("topup", topup_document(policy, plan, topup.name))
      .key("grant");
  state::write_grant(json, grant, *policy.names);
  write_record(json, customer, *policy.names);
  return text.done();
}

Event cap_changed(std::string_view type, const Customer& customer, const state::Cap& cap,
                  const SymbolTable& names, Timestamp now) {
  EventText text(type, customer, now);
  write_cap_at(text.json(), {.cap = cap}, names);
  write_record(text.json(), customer, names);
  return text.done();
}

Event cap_removed(const Customer& customer, std::string_view cap, const SymbolTable& names,
                  Timestamp now) {
  EventText text("customer-cap-removed", customer, now);
  text.json().field("id", cap);
  write_record(text.json(), customer, names);
  return text.done();
}

Event plan_event(std::string_view type, std::string_view name, const Json& plan, Timestamp now) {
  Event event{.type = std::string(type), .customer = {}, .at = now, .payload = {}};
  JsonWriter json(event.payload);
  Json named = plan;
  named["name"] = name;
  json.begin_object().field("plan", named).end_object();
  return event;
}

Json topup_document(const policy::Policy& policy, const policy::Plan& plan, Symbol topup) {
  const Json& topups =
      policy.document.at("policy").at("plans").at(std::string(policy.text(plan.name))).at("topups");
  return topups.at(std::string(policy.text(topup)));
}

}  // namespace limitr::engine
