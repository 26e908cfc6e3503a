// SPDX-License-Identifier: Apache-2.0
#include "state/record.h"

#include <fmt/format.h>

namespace limitr::state {
namespace {

void write_unknown(JsonWriter& json, const Json& unknown) {
  if (!unknown.is_object()) return;
  for (const auto& [name, value] : unknown.items()) json.field(name, value);
}

template <MemberName member>
void write_names(JsonWriter& json, const std::vector<Symbol>& list, const SymbolTable& names) {
  json.key<member>();
  if (list.empty()) {
    json.null();
    return;
  }
  json.begin_array();
  for (const Symbol name : list) json.value(names.text(name));
  json.end_array();
}

template <MemberName member>
void write_ids(JsonWriter& json, const std::vector<std::string>& ids) {
  json.key<member>().begin_array();
  for (const std::string& id : ids) json.value(id);
  json.end_array();
}

void write_reset(JsonWriter& json, const Reset& reset) {
  json.field<"resets">(reset.resets).field<"reset_inc">(reset.inc).key<"reset_sch">();
  if (reset.schedule) {
    json.value(reset.schedule->text());
  } else {
    json.null();
  }
}

void write_topup_name(JsonWriter& json, Symbol topup, const SymbolTable& names) {
  json.key<"topup">();
  if (topup == Symbol::empty) {
    json.null();
  } else {
    json.value(names.text(topup));
  }
}

void write_holds(JsonWriter& json, const MeterExtra* extra) {
  json.key<"holds">();
  if (extra == nullptr || extra->holds.empty()) {
    json.null();
    return;
  }
  json.begin_object();
  for (const Hold& hold : extra->holds) {
    json.key(hold.id);
    write_hold(json, hold);
  }
  json.end_object();
}

void write_estimates(JsonWriter& json, const MeterExtra* extra) {
  json.key<"estimates">();
  if (extra == nullptr || extra->estimates.empty()) {
    json.null();
    return;
  }
  json.begin_object();
  for (const EstimateStats& stats : extra->estimates) {
    json.key(stats.segment);
    write_estimate(json, stats);
  }
  json.end_object();
}

void write_room(JsonWriter& json, const Room& room, const SymbolTable& names) {
  const auto write = [&](std::string_view name, double units, Timestamp started) {
    json.key(name).begin_object().field<"units">(units).field<"started">(started).end_object();
  };
  json.key<"room">().begin_object().key<"meters">().begin_object();
  for (const MeterRoom& one : room.meters)
    write(names.text(one.entitlement), one.units, one.started);
  json.end_object().key<"caps">().begin_object();
  for (const CapRoom& one : room.caps) write(one.cap, one.units, one.started);
  json.end_object().end_object();
}

void write_cloud(JsonWriter& json, const Cloud& cloud, const SymbolTable& names) {
  json.key<"cloud">().begin_object();
  if (cloud.home) {
    json.key<"home">().begin_object().field<"engine">(cloud.home->engine);
    json.field<"report">(cloud.home->report);
    write_room(json, cloud.home->room, names);
    json.end_object();
  }
  json.key<"by">().begin_array();
  for (const Writer& writer : cloud.by) {
    json.begin_array().value(writer.engine).value(writer.number).end_array();
  }
  json.end_array().field<"free">(cloud.is_free).key<"doubts">().begin_array();
  for (const Doubt& doubt : cloud.doubts) {
    json.begin_object().field<"engine">(doubt.engine).field<"report">(doubt.report);
    write_room(json, doubt.room, names);
    if (doubt.is_released) json.field<"released">(true);
    json.end_object();
  }
  json.end_array();
  write_unknown(json, cloud.unknown);
  json.end_object();
}

}  // namespace

void write_hold(JsonWriter& json, const Hold& hold) {
  json.begin_object()
      .field<"value">(hold.value)
      .field<"overhead">(hold.overhead)
      .field<"expires">(hold.expires)
      .field<"basis">(hold.basis)
      .field<"segment">(hold.segment);
  write_unknown(json, hold.unknown);
  json.end_object();
}

void write_estimate(JsonWriter& json, const EstimateStats& stats) {
  json.begin_object()
      .field<"samples">(stats.samples)
      .field<"alpha">(stats.alpha)
      .field<"value_mean">(stats.value_mean)
      .field<"value_var">(stats.value_var)
      .field<"overhead_mean">(stats.overhead_mean)
      .field<"overhead_var">(stats.overhead_var)
      .field<"per_basis">(stats.per_basis)
      .field<"source">(stats.source)
      .field<"updated">(stats.updated);
  write_unknown(json, stats.unknown);
  json.end_object();
}

void write_meter(JsonWriter& json, const Meter& meter, const MeterExtra* extra,
                 const SymbolTable& names) {
  json.begin_object()
      .field<"credit">(names.text(meter.credit))
      .field<"started">(meter.started)
      .field<"value">(meter.value)
      .field<"overhead">(meter.overhead)
      .key<"history">()
      .begin_array();
  for (std::size_t i = 0; i < meter.history.size(); ++i) {
    const History::Entry& entry = meter.history[i];
    json.begin_object().field<"ts">(entry.at).field<"delta">(entry.delta).end_object();
  }
  json.end_array().field<"ewma_rate">(meter.ewma_rate);
  json.field<"governor_tokens">(extra != nullptr ? extra->governor_tokens : MaybeAmount())
      .field<"governor_last_refill">(extra != nullptr ? extra->governor_last_refill : MaybeTime());
  write_holds(json, extra);
  write_estimates(json, extra);
  if (extra != nullptr) write_unknown(json, extra->unknown);
  json.end_object();
}

void write_grant(JsonWriter& json, const Grant& grant, const SymbolTable& names) {
  json.begin_object().field<"id">(grant.id).field<"credit">(names.text(grant.credit));
  write_topup_name(json, grant.topup, names);
  json.field<"created_on">(grant.created_on)
      .field<"granted_on">(grant.granted_on)
      .field<"starting_value">(grant.starting_value)
      .field<"value">(grant.value);
  write_reset(json, grant.reset);
  json.field<"last_reset">(grant.last_reset)
      .field<"reset_mode">(to_string(grant.reset_mode))
      .field<"rollover_min">(grant.rollover_min)
      .field<"rollover_max">(grant.rollover_max)
      .field<"rollover_pct">(grant.rollover_pct)
      .field<"max_balance">(grant.max_balance)
      .field<"reset_catchup_cap">(grant.reset_catchup_cap)
      .field<"expires_on">(grant.expires_on)
      .field<"seq">(grant.seq)
      .field<"drawn">(grant.drawn)
      .field<"added">(grant.added)
      .field<"lost">(grant.lost);
  write_unknown(json, grant.unknown);
  json.end_object();
}

void write_cap(JsonWriter& json, const Cap& cap, const SymbolTable& names) {
  json.begin_object()
      .field<"id">(cap.id)
      .field<"credit">(names.text(cap.credit))
      .field<"value">(cap.value)
      .field<"meter_value">(cap.meter_value)
      .field<"exchangeable">(cap.exchangeable)
      .field<"overage_only">(cap.overage_only)
      .field<"ignore_grants">(cap.ignore_grants)
      .field<"observe_only">(cap.observe_only)
      .field<"overhead_cost">(cap.overhead_cost)
      .field<"follow_decrements">(cap.follow_decrements)
      .field<"hard_trailing">(cap.hard_trailing)
      .field<"shared">(cap.shared);
  write_names<"shared_with">(json, cap.shared_with, names);
  write_names<"scope">(json, cap.scope, names);
  json.field<"started">(cap.started).field<"created_on">(cap.created_on);
  write_reset(json, cap.reset);
  json.field<"last_reset">(cap.last_reset)
      .field<"expires_on">(cap.expires_on)
      .field<"seq">(cap.seq);
  write_unknown(json, cap.unknown);
  json.end_object();
}

void write_limit(JsonWriter& json, const Limit& limit, const SymbolTable& names,
                 const Json& unknown) {
  json.begin_object()
      .field<"credit">(names.text(limit.credit))
      .field<"mode">(to_string(limit.mode))
      .field<"value">(limit.value)
      .key<"increment">();
  if (limit.increment_text.empty()) {
    json.value(limit.increment);
  } else {
    json.value(limit.increment_text);
  }
  json.field<"minimum">(limit.minimum)
      .field<"hard_trailing">(limit.hard_trailing)
      .field<"grants_apply">(limit.grants_apply);
  write_reset(json, limit.reset);
  json.field<"override_expires_on">(limit.override_expires_on)
      .field<"governor_enabled">(limit.governor_enabled)
      .field<"governor_capacity">(limit.governor_capacity)
      .field<"governor_refill_rate">(limit.governor_refill_rate)
      .field<"ewma_alpha">(limit.ewma_alpha);
  write_unknown(json, unknown);
  json.end_object();
}

void write_identity(JsonWriter& json, const Customer& customer, const SymbolTable& names) {
  const CustomerRest& rest = customer.more();
  json.begin_object()
      .field<"id">(customer.id)
      .field<"plan">(names.text(customer.plan))
      .field<"type">(names.text(customer.type))
      .field<"label">(rest.label);
  write_ids<"refs">(json, rest.refs);
  write_ids<"alt_ids">(json, rest.alt_ids);
  json.field<"metadata">(rest.metadata).end_object();
}

namespace {

void write_record(JsonWriter& json, const Customer& customer, const Cloud* cloud,
                  const SymbolTable& names) {
  const CustomerRest& rest = customer.more();
  json.begin_object()
      .field<"id">(customer.id)
      .field<"plan">(names.text(customer.plan))
      .field<"type">(names.text(customer.type))
      .field<"label">(rest.label);
  write_ids<"refs">(json, rest.refs);
  write_ids<"alt_ids">(json, rest.alt_ids);
  json.key<"meters">().begin_object();
  for (const Meter& meter : customer.meters) {
    json.key(names.text(meter.entitlement));
    write_meter(json, meter, customer.extra(meter.entitlement), names);
  }
  json.end_object().key<"overrides">().begin_object();
  for (const Override& own : rest.overrides) {
    json.key(names.text(own.entitlement));
    write_limit(json, own.limit, names, own.unknown);
  }
  json.end_object().key<"grants">().begin_object();
  for (const Grant& grant : rest.grants) {
    json.key(grant.id);
    write_grant(json, grant, names);
  }
  json.end_object().key<"caps">().begin_object();
  for (const Cap& cap : rest.caps) {
    json.key(cap.id);
    write_cap(json, cap, names);
  }
  json.end_object().field<"metadata">(rest.metadata).field<"format">(record_format);
  if (cloud != nullptr) write_cloud(json, *cloud, names);
  write_unknown(json, rest.unknown);
  json.end_object();
}

}  // namespace

void write_customer(JsonWriter& json, const Customer& customer, const SymbolTable& names) {
  write_record(json, customer, nullptr, names);
}

void write_request(std::string& text, std::string_view customer, const RememberedRequest& request) {
  JsonWriter json(text);
  json.begin_object()
      .field<"customer">(customer)
      .field<"request">(request.id)
      .field<"fingerprint">(fmt::format("{:016x}", request.fingerprint))
      .key<"answer">()
      .raw(request.answer)
      .field<"at">(request.at)
      .end_object();
}

std::string to_record(const Customer& customer, const SymbolTable& names) {
  std::string text;
  // About as long as it gets where there is nothing else: it need not grow step by step.
  text.reserve(256 + 384 * customer.meters.size());
  JsonWriter json(text);
  write_record(json, customer, customer.cloud.get(), names);
  return text;
}

std::string shown_record(const std::string& record, SymbolTable& names) {
  if (record.find(R"("cloud":)") == std::string::npos) return record;
  const Result<Customer> customer = read_customer(record, names);
  if (!customer.ok() || customer->cloud == nullptr) return record;
  std::string text;
  JsonWriter json(text);
  write_customer(json, *customer, names);
  return text;
}

}  // namespace limitr::state
