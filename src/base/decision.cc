// SPDX-License-Identifier: Apache-2.0
#include <limitr/decision.h>

#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"

namespace limitr {
namespace {

Error no_decision(std::string message) {
  return {.code = ErrorCode::invalid_argument, .message = std::move(message)};
}

}  // namespace

std::string_view to_string(Reason reason) noexcept {
  switch (reason) {
    case Reason::unknown_customer: return "unknown_customer";
    case Reason::unknown_entitlement: return "unknown_entitlement";
    case Reason::no_scope_customer: return "no_scope_customer";
    case Reason::cap: return "cap";
    case Reason::governor: return "governor";
    case Reason::limit: return "limit";
    case Reason::voucher: return "voucher";
    case Reason::unconnected: return "unconnected";
  }
  return "unknown";
}

std::optional<Reason> reason_from(std::string_view name) noexcept {
  constexpr std::array reasons = {
      Reason::unknown_customer,  Reason::unknown_entitlement,
      Reason::no_scope_customer, Reason::cap,
      Reason::governor,          Reason::limit,
      Reason::voucher,           Reason::unconnected,
  };
  for (const Reason reason : reasons) {
    if (to_string(reason) == name) return reason;
  }
  return std::nullopt;
}

std::string to_json(const Decision& decision) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.field("allowed", decision.allowed);
  json.field("repeated", decision.repeated);
  json.key("reason");
  decision.reason ? json.value(to_string(*decision.reason)) : json.null();
  json.key("cap");
  if (decision.cap) {
    json.begin_object();
    json.field("id", decision.cap->id);
    json.field("customer", decision.cap->customer);
    json.end_object();
  } else {
    json.null();
  }
  json.field("value", decision.value);
  json.field("limit", decision.limit);
  json.field("remaining", decision.remaining);
  json.field("resets", decision.resets);
  json.field("overage", decision.overage);
  json.field("grant_value_applied", decision.grant_value_applied);
  json.field("overhead", decision.overhead);
  json.field("price_diff", decision.price_diff);
  json.field("overage_price", decision.overage_price);
  json.end_object();
  return out;
}

Result<Decision> decision_from_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return no_decision("a decision is a JSON object");
  std::string_view wrong;  // The last field that is of another type than it should be.
  // Null where the field is absent; `of` is what to look in.
  const auto field = [&](const Json& of, const char* name,
                         bool (Json::*is_type)() const noexcept) -> const Json* {
    const auto found = of.find(name);
    if (found == of.end() || found->is_null()) return nullptr;
    if (((*found).*is_type)()) return &*found;
    wrong = name;
    return nullptr;
  };
  const auto flag = [&](const char* name) {
    const Json* found = field(json, name, &Json::is_boolean);
    return found != nullptr && found->get<bool>();
  };
  const auto number = [&](const char* name) {
    const Json* found = field(json, name, &Json::is_number);
    return found != nullptr ? std::optional(found->get<double>()) : std::nullopt;
  };
  Decision decision;
  decision.allowed = flag("allowed");
  decision.repeated = flag("repeated");
  if (const Json* reason = field(json, "reason", &Json::is_string)) {
    decision.reason = reason_from(reason->get_ref<const std::string&>());
  }
  if (const Json* cap = field(json, "cap", &Json::is_object)) {
    DenyingCap denying;
    if (const Json* id = field(*cap, "id", &Json::is_string)) denying.id = *id;
    if (const Json* customer = field(*cap, "customer", &Json::is_string)) {
      denying.customer = *customer;
    }
    decision.cap = std::make_shared<const DenyingCap>(std::move(denying));
  }
  decision.value = number("value");
  decision.limit = number("limit");
  decision.remaining = number("remaining");
  if (const auto ms = number("resets")) {
    if (std::fabs(*ms) > static_cast<double>(time_bound_ms)) {
      return no_decision("`resets` is no time");
    }
    decision.resets = timestamp_from_ms(static_cast<std::int64_t>(*ms));
  }
  decision.overage = number("overage");
  decision.grant_value_applied = number("grant_value_applied");
  decision.overhead = number("overhead");
  decision.price_diff = number("price_diff");
  decision.overage_price = number("overage_price");
  if (!wrong.empty()) return no_decision(fmt::format("`{}` is of another type", wrong));
  return decision;
}

}  // namespace limitr
