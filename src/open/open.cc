// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "engine/engine.h"
#include "open/open_store.h"
#include "open/stored.h"
#include "open/stored_types.h"
#include "policy/compile.h"
#include "state/record.h"

namespace limitr {
namespace {

void log_to_stderr(std::string_view message) { fmt::print(stderr, "limitr: {}\n", message); }

// Warns of functions that the document names and nobody registered: its own figures count then.
void warn_of_missing(const policy::Policy& policy, const Options& options) {
  const HostFunctions& host = options.host;
  for (const std::string& name : policy.host_functions) {
    if (host.overhead.contains(name) || host.rates.contains(name) ||
        host.notifications.contains(name)) {
      continue;
    }
    options.log(
        fmt::format("the policy names the host function `{}`, which is not registered: "
                    "what the policy says itself counts",
                    name));
  }
}

// Whatever is wrong with a listed customer is wrong with the document.
Error of_listed(const std::string& id, Error error) {
  error.code = ErrorCode::policy_invalid;
  error.where =
      fmt::format("policy.customers.{}{}{}", id, error.where.empty() ? "" : ".", error.where);
  return error;
}

// Creates the customers that the document lists and nobody knows yet. No event fires. A record
// that comes with state is put in place as it is; any other starts like a new customer.
Result<void> add_listed_customers(Limitr& limitr, SymbolTable& names, const Json& document) {
  const Json& policy = document.at("policy");
  const auto customers = policy.find("customers");
  if (customers == policy.end() || !customers->is_object()) return {};
  for (const auto& [id, listed] : customers->items()) {
    Json record = listed;
    record["id"] = id;
    const Result<state::Customer> read = state::read_customer(to_json_text(record), names);
    if (!read.ok()) return of_listed(id, read.error());
    const state::CustomerRest& rest = read->more();
    if (!read->meters.empty() || !rest.grants.empty() || !rest.caps.empty() ||
        !rest.overrides.empty()) {
      const Result<bool> put = limitr.ensure_set_customer(to_json_text(record));
      if (!put.ok()) return of_listed(id, put.error());
      continue;
    }
    NewCustomer customer{.plan = names.text(read->plan),
                         .type = names.text(read->type),
                         .label = rest.label,
                         .refs = rest.refs,
                         .alts = rest.alt_ids,
                         .metadata = rest.metadata};
    const Result<bool> created = limitr.ensure_customer(id, customer);
    if (!created.ok()) return of_listed(id, created.error());
  }
  return {};
}

}  // namespace

Limitr::Limitr(std::unique_ptr<engine::Engine> engine) : engine_(std::move(engine)) {}
Limitr::Limitr(Limitr&&) noexcept = default;
Limitr& Limitr::operator=(Limitr&&) noexcept = default;
Limitr::~Limitr() = default;

std::string_view Limitr::version() noexcept { return LIMITR_VERSION; }

Result<Limitr> Limitr::open_document(const policy::Node& document, Options options,
                                     std::unique_ptr<store::Store> store) {
  if (!options.log) options.log = log_to_stderr;
  if (!store && !options.store.empty()) {
    Result<std::unique_ptr<store::Store>> named = store_at(options.store, options.accept_weaker);
    if (!named.ok()) return std::move(named).error();
    store = *std::move(named);
  }
  auto names = std::make_shared<SymbolTable>();
  policy::Compiled compiled = policy::compile(document, names, options.validate);
  if (!compiled.policy) return policy::first_error(compiled.issues);
  for (const Issue& issue : compiled.issues) options.log(issue.to_string());
  warn_of_missing(*compiled.policy, options);
  const engine::PolicyPointer policy = compiled.policy;
  auto engine = std::make_unique<engine::Engine>(policy, names, std::move(options));
  if (store) {
    if (auto kept = engine->keep_in(std::move(store)); !kept.ok()) return std::move(kept).error();
    // In the order in which it was written, which decides what is granted first.
    engine->keep_policy(policy::json_text(document));
  }
  Limitr limitr(std::move(engine));
  if (auto added = add_listed_customers(limitr, *names, policy->document); !added.ok()) {
    return std::move(added).error();
  }
  return limitr;
}

Result<Limitr> Limitr::open(std::string_view policy, Options options) {
  Result<policy::Node> document = policy::parse_document(policy, options.format, options.bounds);
  if (!document.ok()) return std::move(document).error();
  return open_document(*document, std::move(options), nullptr);
}

Result<Limitr> open_with_store(std::string_view policy, Options options,
                               std::unique_ptr<store::Store> store) {
  Result<policy::Node> document = policy::parse_document(policy, options.format, options.bounds);
  if (!document.ok()) return std::move(document).error();
  return Limitr::open_document(*document, std::move(options), std::move(store));
}

Result<Limitr> open_with_document(const policy::Node& policy, Options options) {
  return Limitr::open_document(policy, std::move(options), nullptr);
}

// Read before it is owned: where there is no policy nothing has been made or taken.
Result<Limitr> Limitr::open_stored(Options options) {
  if (options.store.empty()) {
    return Error{.code = ErrorCode::invalid_argument, .message = "the options name no store"};
  }
  Result<policy::Node> document = [&]() -> Result<policy::Node> {
    const Result<StoredState> stored = StoredState::open(options.store);
    if (!stored.ok()) return stored.error();
    const Result<std::string> text = stored->policy();
    if (!text.ok()) return text.error();
    return parse_stored_policy(*text);
  }();
  if (!document.ok()) return std::move(document).error();
  return open_document(*document, std::move(options), nullptr);
}

Result<Limitr> Limitr::open_json(const Json& policy, Options options) {
  Result<policy::Node> document = policy::to_node(policy, options.bounds);
  if (!document.ok()) return std::move(document).error();
  return open_document(*document, std::move(options), nullptr);
}

}  // namespace limitr
