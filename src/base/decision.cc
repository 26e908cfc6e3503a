// SPDX-License-Identifier: Apache-2.0
#include <limitr/decision.h>

#include <array>

#include "base/json_writer.h"

namespace limitr {

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
  if (!json.is_object()) {
    return Error{.code = ErrorCode::invalid_argument, .message = "a decision is a JSON object"};
  }
  const auto number = [&](const char* name) -> std::optional<double> {
    const auto found = json.find(name);
    return found != json.end() && found->is_number() ? std::optional(found->get<double>())
                                                     : std::nullopt;
  };
  Decision decision;
  decision.allowed = json.value("allowed", false);
  decision.repeated = json.value("repeated", false);
  if (const auto reason = json.find("reason"); reason != json.end() && reason->is_string()) {
    decision.reason = reason_from(reason->get_ref<const std::string&>());
  }
  if (const auto cap = json.find("cap"); cap != json.end() && cap->is_object()) {
    DenyingCap denying{.id = {}, .customer = cap->value("customer", "")};
    if (cap->contains("id") && cap->at("id").is_string()) denying.id = cap->at("id");
    decision.cap = std::make_shared<const DenyingCap>(std::move(denying));
  }
  decision.value = number("value");
  decision.limit = number("limit");
  decision.remaining = number("remaining");
  if (const auto ms = number("resets")) {
    decision.resets = timestamp_from_ms(static_cast<std::int64_t>(*ms));
  }
  decision.overage = number("overage");
  decision.grant_value_applied = number("grant_value_applied");
  decision.overhead = number("overhead");
  decision.price_diff = number("price_diff");
  decision.overage_price = number("overage_price");
  return decision;
}

}  // namespace limitr
