// SPDX-License-Identifier: Apache-2.0
#include "state/changes.h"

#include <algorithm>

#include "base/json_writer.h"
#include "state/cloud.h"
#include "state/record.h"

namespace limitr::state {
namespace {

template <typename Items>
void erase_id(Items& items, std::string_view id) {
  std::erase_if(items, [&](const auto& item) { return item.id == id; });
}

// What an entitlement's old name had takes its new one, unless the new one is there too. Whether
// something did.
template <typename Items>
bool rename_in(Items& items, Symbol from, Symbol to) {
  const auto named = [&](Symbol name) {
    return std::find_if(items.begin(), items.end(),
                        [&](const auto& item) { return item.entitlement == name; });
  };
  if (named(to) != items.end()) return false;
  const auto found = named(from);
  if (found == items.end()) return false;
  found->entitlement = to;
  return true;
}

// Puts each kind of move in place. Overloads, one a kind, so that a new one is not forgotten.
struct Apply {
  Family& family;

  void operator()(const CapMove& move) const {
    Cap* cap = family.at(move.customer).cap(move.cap);
    if (cap == nullptr) return;
    cap->meter_value = move.meter_value;
    cap->started = move.started;
    cap->last_reset = move.last_reset;
  }
  void operator()(const CapRemoval& move) const {
    erase_id(family.at(move.customer).own_rest().caps, move.cap);
  }
  void operator()(const GrantMove& move) const {
    std::vector<Grant>& grants = family.at(move.customer).own_rest().grants;
    const auto found = std::find_if(grants.begin(), grants.end(),
                                    [&](const Grant& grant) { return grant.id == move.after.id; });
    if (found == grants.end()) {
      grants.push_back(move.after);
    } else {
      *found = move.after;
    }
  }
  void operator()(const GrantRemoval& move) const {
    erase_id(family.at(move.customer).own_rest().grants, move.grant);
  }
  void operator()(const VoucherMove& move) const {
    family.at(move.customer).own_rest().metadata["limitr_voucher_runes"] = move.runes;
  }
  void operator()(const HoldAdded& move) const {
    family.at(move.customer).own_extra(move.entitlement).holds.push_back(move.hold);
  }
  void operator()(const HoldRemoval& move) const {
    erase_id(family.at(move.customer).own_extra(move.entitlement).holds, move.hold);
  }
  void operator()(const OverrideRemoval& move) const {
    std::erase_if(family.at(move.customer).own_rest().overrides,
                  [&](const Override& own) { return own.entitlement == move.entitlement; });
  }
  void operator()(const Rename& move) const {
    Customer& customer = family.at(move.customer);
    const bool has_meter = rename_in(customer.meters, move.from, move.to);
    if (has_meter && customer.cloud) rename_meter(*customer.cloud, move.from, move.to);
    if (!customer.rest) return;
    rename_in(customer.rest->extras, move.from, move.to);
    rename_in(customer.rest->overrides, move.from, move.to);
    for (Cap& cap : customer.rest->caps) {
      std::replace(cap.scope.begin(), cap.scope.end(), move.from, move.to);
    }
  }
  void operator()(const EstimateMove& move) const {
    std::vector<EstimateStats>& stats =
        family.at(move.customer).own_extra(move.entitlement).estimates;
    const auto found = std::find_if(stats.begin(), stats.end(), [&](const EstimateStats& known) {
      return known.segment == move.after.segment;
    });
    if (found == stats.end()) {
      stats.push_back(move.after);
    } else {
      *found = move.after;
    }
  }
};

// Writes each kind of move as JSON, `type` first.
struct Encode {
  const Family& family;
  const SymbolTable& names;
  JsonWriter& json;

  JsonWriter& begin(std::string_view type, Family::Index customer) const {
    return json.begin_object().field("type", type).field("customer", family[customer].id);
  }
  void operator()(const MeterMove& move) const {
    begin("meter", move.customer)
        .field("entitlement", names.text(move.entitlement))
        .field("credit", names.text(move.credit))
        .field("began_period", move.began_period)
        .field("started", move.started)
        .field("value_delta", move.value_delta)
        .field("value", move.value)
        .field("overhead_delta", move.overhead_delta)
        .field("overhead", move.overhead)
        .field("ewma_rate", move.ewma_rate);
    if (move.noted) {
      json.key("call").begin_object();
      json.field("ts", move.call.at).field("delta", move.call.delta).end_object();
    }
    json.end_object();
  }
  void operator()(const GovernorMove& move) const {
    begin("governor", move.customer)
        .field("entitlement", names.text(move.entitlement))
        .field("tokens_delta", move.tokens_delta)
        .field("tokens", move.tokens)
        .field("last_refill", move.last_refill)
        .end_object();
  }
  void operator()(const CapMove& move) const {
    begin("cap", move.customer)
        .field("cap", move.cap)
        .field("delta", move.delta)
        .field("meter_value", move.meter_value)
        .field("started", move.started)
        .field("last_reset", move.last_reset)
        .end_object();
  }
  void operator()(const CapRemoval& move) const {
    begin("cap_removed", move.customer).field("cap", move.cap).end_object();
  }
  void operator()(const GrantMove& move) const {
    begin("grant", move.customer).field("delta", move.delta).key("after");
    write_grant(json, move.after, names);
    json.end_object();
  }
  void operator()(const GrantRemoval& move) const {
    begin("grant_removed", move.customer)
        .field("grant", move.grant)
        .field("delta", move.delta)
        .end_object();
  }
  void operator()(const VoucherMove& move) const {
    begin("voucher", move.customer)
        .field("delta", move.delta)
        .field("runes", move.runes)
        .end_object();
  }
  void operator()(const HoldAdded& move) const {
    begin("hold", move.customer)
        .field("entitlement", names.text(move.entitlement))
        .field("hold", move.hold.id)
        .key("after");
    write_hold(json, move.hold);
    json.end_object();
  }
  void operator()(const HoldRemoval& move) const {
    begin("hold_removed", move.customer)
        .field("entitlement", names.text(move.entitlement))
        .field("hold", move.hold)
        .end_object();
  }
  void operator()(const OverrideRemoval& move) const {
    begin("override_removed", move.customer)
        .field("entitlement", names.text(move.entitlement))
        .end_object();
  }
  void operator()(const Rename& move) const {
    begin("rename", move.customer)
        .field("from", names.text(move.from))
        .field("to", names.text(move.to))
        .end_object();
  }
  void operator()(const EstimateMove& move) const {
    begin("estimate", move.customer)
        .field("entitlement", names.text(move.entitlement))
        .field("segment", move.after.segment)
        .key("after");
    write_estimate(json, move.after);
    json.end_object();
  }
};

}  // namespace

void Moves::Destroy::operator()(List* list) const { delete list; }

void apply(const Moves& moves, Family& family) {
  for (const Move& move : moves) std::visit(Apply{family}, move);
}

void apply(const Changes& changes, Family& family) {
  if (changes.meter) {
    const MeterMove& move = *changes.meter;
    Customer& customer = family.at(move.customer);
    Meter* meter = customer.meter(move.entitlement);
    if (meter == nullptr) meter = &customer.add_meter({.entitlement = move.entitlement});
    meter->credit = move.credit;
    meter->started = move.started;
    meter->value = move.value;
    meter->overhead = move.overhead;
    meter->ewma_rate = move.ewma_rate;
    if (move.began_period) meter->history = {};
    if (move.noted) meter->history.push(*move.call.at, move.call.delta);
  }
  if (changes.governor) {
    const GovernorMove& move = *changes.governor;
    MeterExtra& extra = family.at(move.customer).own_extra(move.entitlement);
    extra.governor_tokens = move.tokens;
    extra.governor_last_refill = move.last_refill;
  }
  if (!changes.moves.empty()) apply(changes.moves, family);
}

std::string encode(const Changes& changes, const Family& family, const SymbolTable& names,
                   Timestamp at, std::string_view request) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().field("at", at);
  if (!request.empty()) json.field("request", request);
  json.key("changes").begin_array();
  const Encode encode_move{family, names, json};
  if (changes.meter) encode_move(*changes.meter);
  if (changes.governor) encode_move(*changes.governor);
  for (const Move& move : changes.moves) std::visit(encode_move, move);
  json.end_array().end_object();
  return text;
}

}  // namespace limitr::state
