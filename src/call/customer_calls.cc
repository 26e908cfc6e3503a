// SPDX-License-Identifier: Apache-2.0
// spec: customers.md, state.md
#include <array>

#include "base/json_writer.h"
#include "call/answers.h"
#include "call/calls.h"
#include "call/shapes.h"

namespace limitr::call {
namespace {

constexpr Parameter id{"id", Kind::text, true};
constexpr Parameter entitlement{"entitlement", Kind::text, true};
constexpr Parameter request{"request", Kind::text};

constexpr std::array id_only = {id};
constexpr std::array ensure_takes = {id, request};
constexpr std::array create_takes = {
    id,
    Parameter{"plan", Kind::text},
    Parameter{"type", Kind::text},
    Parameter{"label", Kind::text},
    Parameter{"refs", Kind::texts},
    Parameter{"alts", Kind::texts},
    Parameter{"metadata", Kind::data},
    request,
};
constexpr std::array set_takes = {Parameter{"record", Kind::data, true},
                                  Parameter{"event", Kind::flag}};
constexpr std::array ensure_set_takes = {Parameter{"record", Kind::data, true}};
constexpr std::array refs_takes = {id, Parameter{"refs", Kind::texts, true}, request};
constexpr std::array alt_takes = {id, Parameter{"alt", Kind::text, true}, request};
constexpr std::array delete_alt_takes = {Parameter{"alt", Kind::text, true}};
constexpr std::array plan_takes = {id, Parameter{"plan", Kind::text, true},
                                   Parameter{"overwrite_meters", Kind::flag}, request};
constexpr std::array override_takes = {
    id,
    entitlement,
    Parameter{"value", Kind::quantity},
    Parameter{"expires", Kind::moment},
    Parameter{"credit", Kind::text},
    Parameter{"mode", Kind::text},
    Parameter{"increment", Kind::quantity},
    Parameter{"resets", Kind::flag},
    Parameter{"reset_inc", Kind::quantity},
    Parameter{"reset_sch", Kind::text},
    request,
};
constexpr std::array remove_override_takes = {id, entitlement, request};
constexpr std::array topup_takes = {id, Parameter{"topup", Kind::text, true}, request};
constexpr std::array load_takes = {Parameter{"records", Kind::records, true}};

NewCustomer new_customer(const Arguments& a) {
  NewCustomer customer;
  customer.plan = a.text("plan");
  customer.type = a.text("type", customer.type);
  customer.label = a.text("label", customer.label);
  customer.refs = a.texts("refs");
  customer.alts = a.texts("alts").value_or(customer.alts);
  customer.metadata = a.data("metadata");
  customer.request = a.text("request");
  return customer;
}

/// Records as text: what is text is meant to be JSON already.
std::string json_text(const Arguments& a, std::string_view name) {
  const policy::Node& record = *a.find(name);
  return record.as_text() ? *record.as_text() : policy::json_text(record);
}

Answer create_customer(Limitr& engine, const Arguments& a) {
  return answer(engine.create_customer(a.text("id"), new_customer(a)));
}

Answer ensure_customer(Limitr& engine, const Arguments& a) {
  return answer(engine.ensure_customer(a.text("id"), new_customer(a)));
}

Answer set_customer(Limitr& engine, const Arguments& a) {
  return answer(engine.set_customer(json_text(a, "record"), a.flag("event", true)));
}

Answer ensure_set_customer(Limitr& engine, const Arguments& a) {
  return answer(engine.ensure_set_customer(json_text(a, "record")));
}

template <auto method>
Answer with_id(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id")));
}

template <auto method>
Answer ensure(Limitr& engine, const Arguments& a) {
  return answer((engine.*method)(a.text("id"), change_options(a)));
}

Answer set_customer_refs(Limitr& engine, const Arguments& a) {
  return answer(engine.set_customer_refs(a.text("id"), *a.texts("refs"), change_options(a)));
}

Answer set_alt_customer_id(Limitr& engine, const Arguments& a) {
  return answer(engine.set_alt_customer_id(a.text("id"), a.text("alt"), change_options(a)));
}

Answer delete_alt_customer_id(Limitr& engine, const Arguments& a) {
  return answer(engine.delete_alt_customer_id(a.text("alt")));
}

Answer set_customer_plan(Limitr& engine, const Arguments& a) {
  return answer(engine.set_customer_plan(a.text("id"), a.text("plan"), a.flag("overwrite_meters"),
                                         change_options(a)));
}

Answer create_customer_override(Limitr& engine, const Arguments& a) {
  OverrideOptions options;
  options.value = a.maybe_quantity("value");
  options.expires = a.moment("expires");
  options.credit = a.maybe_text("credit");
  options.mode = a.maybe_text("mode");
  options.increment = a.maybe_quantity("increment");
  options.resets = a.maybe_flag("resets");
  options.reset_inc = a.maybe_quantity("reset_inc");
  options.reset_sch = a.maybe_text("reset_sch");
  options.request = a.text("request");
  return answer(engine.create_customer_override(a.text("id"), a.text("entitlement"), options));
}

Answer remove_customer_override(Limitr& engine, const Arguments& a) {
  return answer(
      engine.remove_customer_override(a.text("id"), a.text("entitlement"), change_options(a)));
}

Answer apply_customer_topup(Limitr& engine, const Arguments& a) {
  return answer(engine.apply_customer_topup(a.text("id"), a.text("topup"), change_options(a)));
}

Answer customers(Limitr& engine, const Arguments&) { return answer_json(engine.customers()); }

Answer export_state(Limitr& engine, const Arguments&) { return answer_json(engine.export_state()); }

Answer load_customers(Limitr& engine, const Arguments& a) {
  return answer(engine.load_customers(json_text(a, "records")));
}

constexpr std::array calls = {
    CallKind{"create_customer", create_takes, create_customer},
    CallKind{"ensure_customer", create_takes, ensure_customer},
    CallKind{"set_customer", set_takes, set_customer},
    CallKind{"ensure_set_customer", ensure_set_takes, ensure_set_customer},
    CallKind{"customer", id_only, with_id<&Limitr::customer>, &customer_shape},
    CallKind{"customer_refs", id_only, with_id<&Limitr::customer_refs>},
    CallKind{"customer_metadata", id_only, with_id<&Limitr::customer_metadata>},
    CallKind{"set_customer_refs", refs_takes, set_customer_refs},
    CallKind{"delete_customer", id_only, with_id<&Limitr::delete_customer>},
    CallKind{"set_alt_customer_id", alt_takes, set_alt_customer_id},
    CallKind{"delete_alt_customer_id", delete_alt_takes, delete_alt_customer_id},
    CallKind{"set_customer_plan", plan_takes, set_customer_plan},
    CallKind{"create_customer_override", override_takes, create_customer_override},
    CallKind{"remove_customer_override", remove_override_takes, remove_customer_override},
    CallKind{"apply_customer_topup", topup_takes, apply_customer_topup},
    CallKind{"ensure_included_topups", ensure_takes, ensure<&Limitr::ensure_included_topups>},
    CallKind{"ensure_plan_subscription", ensure_takes, ensure<&Limitr::ensure_plan_subscription>},
    CallKind{"customers", {}, customers, &customers_shape},
    CallKind{"export_state", {}, export_state, &export_shape},
    CallKind{"load_customers", load_takes, load_customers, &load_report_shape},
};

}  // namespace

std::span<const CallKind> customer_calls() { return calls; }

}  // namespace limitr::call
