// SPDX-License-Identifier: Apache-2.0
#include "drawn_calls.h"

#include <array>
#include <utility>

namespace limitr {

std::vector<Step> DrawnCalls::steps(std::size_t count) {
  std::vector<Step> all;
  for (int i = 0; i < 3; ++i) all.push_back(create());
  while (all.size() < count) {
    Step step = below(12) == 0 && !asked_.empty() ? asked_[below(asked_.size())] : next();
    if (step.with.contains("request") && asked_.size() < 20) asked_.push_back(step);
    step.engine = below(2);
    if (kinds_.fails && below(8) == 0) step.fault = static_cast<Step::Fault>(1 + below(4));
    all.push_back(std::move(step));
  }
  return all;
}

DrawnCalls::Texts DrawnCalls::some_names() {
  Texts some;
  for (std::size_t i = below(3); i > 0; --i) some.push_back(name());
  return some;
}

std::string DrawnCalls::entitlement() {
  return one_of(
      std::array{"bill", "chat", "chat", "disk", "fast", "flag", "hard", "pack", "seats", "team"});
}

Step DrawnCalls::with_request(Step step) {
  if (once_in(3)) step.with["request"] = "r" + std::to_string(below(6));
  return step;
}

Step DrawnCalls::create() {
  Json with = {{"id", once_in(4) ? name() : who()}};
  if (once_in(2)) with["type"] = one_of(std::array{"org", "team", "user"});
  if (once_in(3)) with["plan"] = one_of(std::array{"free", "none", "pro"});
  if (once_in(2)) with["refs"] = some_names();
  if (once_in(2)) with["alts"] = some_names();
  if (once_in(4)) with["metadata"] = metadata();
  if (once_in(5)) with["label"] = "L";
  return with_request({once_in(3) ? "ensure_customer" : "create_customer", with});
}

Json DrawnCalls::metadata() {
  if (once_in(2)) return {{"mine", {1, 2.5, "x"}}};
  return {{"limitr_voucher", "v"},
          {"limitr_voucher_expires", start_ms + static_cast<std::int64_t>(below(100)) * hour_ms},
          {"limitr_voucher_runes", below(40)}};
}

Json DrawnCalls::deciding() {
  Json with = on();
  with["value"] = units();
  if (once_in(8)) with["force"] = true;
  if (once_in(6)) with["overhead"] = static_cast<double>(below(5)) / 4;
  if (once_in(8)) {
    with["cap"] = {{"credit", one_of(std::array{"rune", "tok"})}, {"value", below(20)}};
  }
  return with;
}

Step DrawnCalls::decision() {
  Step step = {one_of(std::array{"allow", "allow", "allow", "allow", "@async", "check", "set",
                                 "increment", "decrement", "check_increment"}),
               deciding()};
  if (step.name.find("rement") != std::string::npos) step.with.erase("value");
  return with_request(step);
}

Step DrawnCalls::many() {
  Json calls = Json::array();
  for (std::size_t i = 1 + below(3); i > 0; --i)
    calls.push_back(with_request({"", deciding()}).with);
  return {"allow_many", {{"calls", calls}}};
}

Step DrawnCalls::hold() {
  Step step = {one_of(std::array{"reserve", "reserve", "settle", "release", "held"}), on()};
  if (step.name == "held") return step;
  if (step.name == "reserve") {
    if (!kinds_.teaches || once_in(2)) step.with["value"] = 1 + below(6);
    if (once_in(2)) step.with["ttl"] = "2hours";
    if (once_in(3)) step.with["segment"] = "s";
  } else {
    step.with["hold"] = below(100);
    if (step.name == "settle") step.with["value"] = below(6);
  }
  return with_request(step);
}

Step DrawnCalls::estimate() {
  Step step = {one_of(std::array{"estimate", "observe"}), on()};
  if (step.name == "observe") step.with["value"] = below(9);
  return step.name == "observe" ? with_request(step) : step;
}

Step DrawnCalls::edit() {
  switch (below(8)) {
    case 0: return with_request({"set_customer_refs", {{"id", who()}, {"refs", some_names()}}});
    case 1: return {"delete_alt_customer_id", {{"alt", name()}}};
    case 2:
    case 3: return with_request({"set_alt_customer_id", {{"id", who()}, {"alt", name()}}});
    case 4:
      return with_request({"set_customer_plan",
                           {{"id", who()},
                            {"plan", one_of(std::array{"free", "none", "pro"})},
                            {"overwrite_meters", once_in(2)}}});
    case 5: return with_request({"remove_customer_override", on()});
    default: break;
  }
  Json with = on();
  with["value"] = below(30);
  if (once_in(2)) {
    with["expires"] = start_ms + static_cast<std::int64_t>(below(100)) * hour_ms;
  }
  if (once_in(3)) with["mode"] = one_of(std::array{"hard", "observe", "soft"});
  if (once_in(3)) with["reset_inc"] = "6hours";
  return with_request({"create_customer_override", with});
}

Step DrawnCalls::grant() {
  Step step = {one_of(std::array{"apply_customer_topup", "ensure_included_topups",
                                 "ensure_plan_subscription"}),
               {{"id", who()}}};
  if (step.name == "apply_customer_topup") {
    step.with["topup"] = one_of(std::array{"extra", "gift", "none"});
  }
  return with_request(step);
}

Step DrawnCalls::cap() {
  switch (below(6)) {
    case 0: return {"customer_cap", {{"id", who()}, {"cap", cap_id()}}};
    case 1: return with_request({"reset_customer_cap", {{"id", who()}, {"cap", cap_id()}}});
    case 2: return with_request({"remove_customer_cap", {{"id", who()}, {"made_cap", below(9)}}});
    case 3: {
      const bool begins = once_in(2);
      return with_request({begins ? "start_margin_measurement" : "capture_margin_measurement",
                           {{"customer", who()}, {"id", "m"}}});
    }
    default: break;
  }
  Json with = {{"id", who()},
               {"value", below(30)},
               {"credit", one_of(std::array{"rune", "seat", "tok"})},
               {"shared", once_in(2)},
               {"observe_only", once_in(3)},
               {"overage_only", once_in(4)},
               {"follow_decrements", once_in(2)},
               {"resets", once_in(3)}};
  if (once_in(2)) with["cap"] = cap_id();
  if (with["resets"] == true && once_in(2)) with["reset_inc"] = "5hours";
  if (once_in(5)) with["scope"] = {entitlement()};
  if (once_in(5)) {
    with["expires_on"] = start_ms + static_cast<std::int64_t>(below(100)) * hour_ms;
  }
  return with_request({"add_customer_cap", with});
}

Step DrawnCalls::read() {
  switch (below(6)) {
    case 0:
      return {one_of(std::array{"customer", "customer_margin", "customer_metadata", "customer_refs",
                                "plan"}),
              {{"id", who()}}};
    case 1: return {"credit_remaining", {{"id", who()}, {"credit", "tok"}}};
    case 2: return {"warm", {{"ids", some_names()}}};
    default: break;
  }
  return {one_of(std::array{"allowance", "cost", "entitlement", "limit", "limit_object", "meter",
                            "projected_exhaustion", "rate", "remaining", "resets", "value"}),
          on()};
}

// A record that was saved before, as it was or with other alternate IDs.
Step DrawnCalls::put() {
  Step step = {one_of(std::array{"ensure_set_customer", "set_customer", "@load"}),
               {{"save", below(9)}, {"of", below(9)}}};
  if (once_in(2)) step.with["alts"] = some_names();
  if (step.name == "@load") step.with["whole"] = once_in(2);
  return step;
}

Step DrawnCalls::swap() {
  if (!kinds_.swaps) return read();
  if (once_in(2)) return {"set_policy", {{"policy", below(2)}}};
  if (once_in(2)) return {"delete_plan", {{"name", "pro"}}};
  return {
      "set_plan",
      {{"name", one_of(std::array{"none", "pro"})},
       {"document",
        {{"entitlements", {{"chat", {{"limit", {{"credit", "tok"}, {"value", below(30)}}}}}}}}}}};
}

// Now and then it goes back.
Step DrawnCalls::time() {
  const auto ms = static_cast<std::int64_t>(below(hour_ms * (once_in(4) ? 900 : 9)));
  return {"@time", {{"ms", once_in(6) ? -ms / 4 : ms}}};
}

Step DrawnCalls::next() {
  const std::size_t kind = below(100);
  if (kind < 28) return decision();
  if (kind < 31) return many();
  if (kind < 39) return hold();
  if (kind < 41) return kinds_.teaches ? estimate() : read();
  if (kind < 47) return create();
  if (kind < 52) return {"delete_customer", {{"id", who()}}};
  if (kind < 61) return edit();
  if (kind < 65) return grant();
  if (kind < 71) return cap();
  if (kind < 79) return read();
  if (kind < 82) return {"@save"};
  if (kind < 85) return put();
  if (kind < 86) return swap();
  if (kind < 91) return time();
  if (kind < 93) return {"@handle", deciding()};
  if (kind < 96) return {"@flush"};
  if (kind < 98) return {"@compare"};
  return {kinds_.crashes && once_in(2) ? "@crash" : "@reopen"};
}
}  // namespace limitr
