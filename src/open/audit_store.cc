// SPDX-License-Identifier: Apache-2.0
#include "open/audit_store.h"

#include <fmt/format.h>

#include "base/symbols.h"
#include "state/audit.h"

namespace limitr {
namespace {

using store::StoredCustomer;
using store::StoredRequest;

// Whether every alternate ID leads home in the store.
Result<void> audit_alt_ids(StoredState& stored, const state::Customer& customer,
                           state::Audit& audit) {
  for (const std::string& alt : customer.more().alt_ids) {
    const auto found = stored.read({alt});
    if (!found.ok()) return found.error();
    if (!found->empty() && found->front().id == customer.id) continue;
    audit.add_finding(
        {.customer = customer.id,
         .field = "alt_ids",
         .message = fmt::format(
             "the alternate ID `{}` leads to {}", alt,
             found->empty() ? "nobody" : fmt::format("customer `{}`", found->front().id))});
  }
  return {};
}

}  // namespace

Result<StoreAudit> audit_store(StoredState& stored,
                               const std::function<Result<void>(std::uint64_t)>& progress) {
  SymbolTable names;
  state::Audit audit(names);
  for (const Error& damage : stored.opened().damage) {
    audit.add_finding({.customer = {}, .field = damage.where, .message = damage.message});
  }
  Result<void> going;
  const auto look_at = [&](const StoredCustomer& customer) -> Result<void> {
    if (customer.damage) {
      audit.add_finding({.customer = customer.id,
                         .field = customer.damage->where,
                         .message = customer.damage->message});
    }
    if (customer.record.empty()) return {};
    const auto read = audit.add_record(customer.id, customer.record);
    for (const StoredRequest& request : customer.requests) {
      audit.add_request(customer.id, request.number, request.id, request.answer);
    }
    if (read) {
      if (auto led = audit_alt_ids(stored, *read, audit); !led.ok()) return led;
    }
    return progress(audit.customers());
  };
  const Result<void> scanned = stored.scan([&](const StoredCustomer& customer) {
    going = look_at(customer);
    return going.ok();
  });
  if (!going.ok()) return std::move(going).error();
  if (!scanned.ok()) {
    if (scanned.error().code != ErrorCode::data_corrupt) return scanned.error();
    audit.add_finding(
        {.customer = {}, .field = scanned.error().where, .message = scanned.error().message});
  }
  StoreAudit found{.customers = audit.customers(), .requests = audit.requests()};
  found.findings = audit.finish();
  return found;
}

}  // namespace limitr
