// SPDX-License-Identifier: Apache-2.0
#include "policy.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "engines.h"
#include "fuzz.h"
#include "policy/compile.h"
#include "policy/document.h"

// The input: a policy document in the target's format.
//
// 1. Validating ends, whatever the text; each issue has a message that can be shown.
// 2. A document that can be read is the same tree when it is written as JSON and read again, and
//    differs from itself nowhere.
// 3. A document without errors opens an engine, but for records of customers that it lists; one
//    with errors opens none.
// 4. In an engine check agrees with the allow that follows it, every meter is a number, and
//    what is saved loads into another one.
namespace limitr::fuzz {
namespace {

bool check_issues(const std::vector<Issue>& issues) {
  bool has_errors = false;
  for (const Issue& issue : issues) {
    has_errors = has_errors || issue.severity == Issue::Severity::error;
    require(!issue.message.empty(), "an issue says what it is");
    require(is_utf8(issue.to_string()), "an issue can be shown");
  }
  return has_errors;
}

void read_tree(std::string_view text, Format format) {
  const Result<policy::Node> node = policy::parse_document(text, format, {});
  if (!node.ok()) return;
  const std::string written = to_json_text(policy::to_json(*node));
  const Result<policy::Node> again = policy::parse_document(written, Format::json, {});
  require(again.ok(), "a tree is written as JSON that can be read", written);
  require(to_json_text(policy::to_json(*again)) == written, "a tree reads back the same", written);
  const auto differences = diff_policies(text, format, text, format);
  require(differences.ok() && differences->empty(), "a policy does not differ from itself");
  // Without its rules the compiler takes more: it must then end as well.
  policy::compile(*node, std::make_shared<SymbolTable>(), /*validate=*/false);
}

// The first few names of a mapping: what one plan shows, a hundred do not show better.
std::vector<std::string> names_in(const Json& parent, const char* field) {
  std::vector<std::string> names;
  const auto found = parent.find(field);
  if (found == parent.end() || !found->is_object()) return names;
  for (const auto& [name, member] : found->items()) {
    if (names.size() < 4) names.push_back(name);
  }
  return names;
}

void call(Limitr& limitr, const std::string& who, const std::string& entitlement) {
  for (const double units : {1.0, 7.5, 1e6, -2.0}) {
    const Result<Decision> promised = limitr.check(who, entitlement, units);
    const Result<Decision> decided = limitr.allow(who, entitlement, units);
    require(promised.ok() && decided.ok(), "a call in plain units is decided", entitlement);
    const std::string text = to_json(*decided);
    require(to_json(*promised) == text, "check agrees with allow", text);
    require(!decided->value || std::isfinite(*decided->value), "a meter is a number", text);
  }
  const auto hold = limitr.reserve(who, entitlement);
  if (hold.ok() && *hold) {
    require(limitr.settle(who, entitlement, **hold, 2).ok(), "a hold can be settled", entitlement);
  }
  // An increment may have a unit that its credit has not: an error, and nothing else.
  static_cast<void>(limitr.increment(who, entitlement).ok());
  static_cast<void>(limitr.remaining(who, entitlement).ok());
  static_cast<void>(limitr.cost(who, entitlement).ok());
  static_cast<void>(limitr.resets(who, entitlement).ok());
}

void use(Limitr& limitr, ManualClock& clock) {
  const Json document = limitr.policy();
  const Json& policy = document.at("policy");
  for (const std::string& plan : names_in(policy, "plans")) {
    const std::string who = "u_" + plan;
    if (!limitr.ensure_customer(who, {.plan = plan}).ok()) continue;
    const Json& content = policy["plans"][plan];
    for (const std::string& topup : names_in(content, "topups")) {
      static_cast<void>(limitr.apply_customer_topup(who, topup).ok());
    }
    for (const std::string& entitlement : names_in(content, "entitlements")) {
      call(limitr, who, entitlement);
      clock.advance(1000LL * 3600 * 24 * 17);
      call(limitr, who, entitlement);
    }
  }
}

// What breaks rules may open an engine where nobody asks for them, and is then used like any other.
void open_unvalidated(std::string_view text, Format format,
                      const std::shared_ptr<ManualClock>& clock) {
  Options options = quiet_options(clock, format);
  options.validate = false;
  Result<Limitr> opened = Limitr::open(text, std::move(options));
  if (opened.ok()) use(*opened, *clock);
}

}  // namespace

void try_policy(std::string_view text, Format format) {
  const bool has_errors = check_issues(validate_policy(text, format));
  read_tree(text, format);
  const auto clock = std::make_shared<ManualClock>(start_ms);
  Result<Limitr> opened = Limitr::open(text, quiet_options(clock, format));
  if (has_errors) {
    require(!opened.ok(), "a document with errors opens no engine");
    return open_unvalidated(text, format, clock);
  }
  if (!opened.ok()) {
    const Error& error = opened.error();
    return require(error.where.starts_with("policy.customers"), "a good document opens an engine",
                   error.to_string());
  }
  use(*opened, *clock);
  require_sound(*opened);
  Limitr fresh = Limitr::open(text, quiet_options(clock, format)).value();
  require_restorable(*opened, fresh);
}

}  // namespace limitr::fuzz
