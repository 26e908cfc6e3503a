// SPDX-License-Identifier: Apache-2.0
#include "open/stored.h"

#include <limits>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/symbols.h"
#include "open/stored_types.h"
#include "state/export_text.h"
#include "state/record.h"

namespace limitr {
namespace {

using store::StoredCustomer;
using store::StoredRequest;

}  // namespace

DocumentBounds stored_policy_bounds() {
  constexpr std::size_t any = std::numeric_limits<std::size_t>::max();
  return {.max_bytes = any,
          .max_nodes = any,
          .max_depth = DocumentBounds::deepest,
          .max_alias_factor = any};
}

std::string shown_record(const std::string& record) {
  SymbolTable names;
  return state::shown_record(record, names);
}

Result<StoredState> StoredState::open(std::string_view url) {
  // To read, what is weaker does no harm.
  Result<std::unique_ptr<store::Store>> store = store_at(url, /*accept_weaker=*/true);
  if (!store.ok()) return std::move(store).error();
  Result<store::Opened> opened = (*store)->open(store::Access::read, {});
  if (!opened.ok()) return std::move(opened).error();
  return StoredState(*std::move(store), *std::move(opened));
}

Result<std::string> StoredState::policy() const {
  if (opened_.policy) return *opened_.policy;
  for (const Error& damage : opened_.damage) {
    if (damage.message.find("policy") != std::string::npos) return damage;
  }
  return Error{.code = ErrorCode::invalid_argument,
               .message = "the store keeps no policy: give one"};
}

// Step by step: a store looks up many IDs in one round trip.
Result<std::vector<StoredCustomer>> StoredState::family_of(std::span<const std::string> ids,
                                                           std::vector<Error>& damage) {
  std::vector<StoredCustomer> family;
  std::set<std::string> known;  // every ID that was asked for or found
  std::vector<std::string> next;
  const auto ask_for = [&](const std::string& id) {
    if (known.insert(id).second) next.push_back(id);
  };
  for (const std::string& id : ids) ask_for(id);
  std::set<std::string> taken;
  while (!next.empty()) {
    Result<std::vector<StoredCustomer>> found = store_->read(std::exchange(next, {}));
    if (!found.ok()) return std::move(found).error();
    for (StoredCustomer& customer : *found) {
      // One that was found by an alternate ID before.
      if (!taken.insert(customer.id).second) continue;
      known.insert(customer.id);
      if (customer.damage) damage.push_back(damage_of(customer));
      if (customer.record.empty()) continue;
      SymbolTable names;
      const Result<state::Customer> read = state::read_customer(customer.record, names);
      if (read.ok()) {
        for (const std::string& ref : read->more().refs) ask_for(ref);
      }
      family.push_back(std::move(customer));
    }
  }
  return family;
}

Result<Limitr> StoredState::engine_of(std::span<const std::string> ids, const policy::Node* policy,
                                      const Options& options, std::vector<Error>& damage) {
  std::optional<policy::Node> kept;
  if (policy == nullptr) {
    const Result<std::string> text = this->policy();
    if (!text.ok()) return text.error();
    Result<policy::Node> document = parse_stored_policy(*text);
    if (!document.ok()) return std::move(document).error();
    policy = &kept.emplace(*std::move(document));
  }
  Options in_memory = options;
  in_memory.store.clear();
  Result<Limitr> limitr = open_with_document(*policy, std::move(in_memory));
  if (!limitr.ok()) return limitr;
  const Result<std::vector<StoredCustomer>> family = family_of(ids, damage);
  if (!family.ok()) return family.error();
  std::string text = state::export_begin();
  std::string requests;
  for (const StoredCustomer& customer : *family) {
    if (!text.ends_with('{')) text += ',';
    text += state::export_customer(customer.id, customer.record);
    for (const StoredRequest& request : customer.requests) {
      if (!requests.empty()) requests += ',';
      state::write_request(requests, customer.id, request_of(request));
    }
  }
  text += state::export_between(opened_.estimates.value_or("{}"));
  text += requests;
  text += state::export_end();
  const Result<LoadReport> report = limitr->load_customers(text);
  if (!report.ok()) return report.error();
  for (const auto& [id, error] : report->refused) {
    damage.push_back({.code = error.code,
                      .message = fmt::format("customer `{}`: {}", id, error.message),
                      .where = error.where});
  }
  return limitr;
}

}  // namespace limitr
