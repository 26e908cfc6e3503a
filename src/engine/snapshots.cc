// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "engine/engine.h"
#include "state/export_text.h"
#include "state/record.h"

namespace limitr {

using engine::Journal;
using engine::Locked;
using state::Customer;

namespace {

constexpr std::size_t records_a_group = 4096;

// Names the meters of a customer that no plan of today has an entitlement for: not by their name,
// and not by one that a former name passes on to, since the customer has that one too.
void report_unmapped(const policy::Policy& policy, const Customer& customer,
                     const SymbolTable& names, LoadReport& report) {
  const auto known_in = [&](const policy::Plan& plan, Symbol name) {
    return plan.names_entitlement(
        name, [&](Symbol renamed) { return customer.meter(renamed) == nullptr; });
  };
  for (const state::Meter& meter : customer.meters) {
    const bool known =
        std::any_of(policy.plans.begin(), policy.plans.end(),
                    [&](const policy::Plan& plan) { return known_in(plan, meter.entitlement); });
    if (known) continue;
    report.unmapped.push_back({customer.id, std::string(names.text(meter.entitlement))});
  }
}

}  // namespace

Result<std::string> Limitr::customers() {
  engine::SnapshotText text{.records = "{"};
  if (auto taken = engine_->append_snapshot(text); !taken.ok()) return std::move(taken).error();
  text.records.push_back('}');
  return std::move(text.records);
}

Result<std::string> Limitr::export_state() {
  engine::SnapshotText text{.records = state::export_begin()};
  if (auto taken = engine_->append_snapshot(text); !taken.ok()) return std::move(taken).error();
  return fmt::format("{}{}{}{}", text.records, state::export_between(engine_->estimates_text()),
                     text.requests, state::export_end());
}

Result<LoadReport> Limitr::load_customers(std::string_view json) {
  LoadReport report;
  const engine::PolicyPointer policy = engine_->policy();
  const SymbolTable& names = engine_->names();
  std::uint64_t group = 0;
  std::optional<Error> failed;
  state::RecordSink sink;
  sink.loaded = [&](Customer customer) {
    report_unmapped(*policy, customer, names, report);
    std::string id = customer.id;
    // What is shared may have to be put more than once.
    const Result<std::uint64_t> put =
        engine_->sharing() == nullptr
            ? engine::put_record(*engine_, std::move(customer))
            : engine_->change([&] { return engine::put_record(*engine_, Customer(customer)); });
    if (put.ok()) {
      ++report.loaded;
      group = *put;
      // Not one by one, and not all at once either: what waits is in memory twice.
      if (report.loaded % records_a_group == 0 && group != 0) {
        if (auto safe = engine_->journal()->wait(group); !safe.ok()) failed = safe.error();
      }
    } else {
      report.refused.push_back({std::move(id), put.error()});
    }
  };
  sink.refused = [&](std::string id, Error error) {
    report.refused.push_back({std::move(id), std::move(error)});
  };
  sink.estimate = [&](std::string_view entitlement, const state::EstimateStats& stats) {
    engine_->merge_estimate(entitlement, stats);
    if (engine_->journal() != nullptr) engine_->journal()->note_estimates();
  };
  const auto put_request = [&](std::string_view customer,
                               state::RememberedRequest request) -> Result<void> {
    Locked locked(*engine_);
    if (!locked.find(customer))
      return locked.failure() ? Result<void>(*locked.failure()) : Result<void>();
    locked.before_change();
    state::CustomerRest& rest = locked.slot().customer.own_rest();
    std::vector<state::RememberedRequest>& known = rest.requests;
    request.number = rest.next_request();
    if (engine_->journal() != nullptr) group = engine_->journal()->group_of(locked.slot());
    std::erase_if(known, [&](const state::RememberedRequest& r) { return r.id == request.id; });
    known.push_back(std::move(request));
    return {};
  };
  sink.request = [&](std::string_view customer, const state::RememberedRequest& request) {
    auto put = engine_->change([&] { return put_request(customer, request); });
    if (!put.ok()) failed = std::move(put).error();
  };
  if (auto read = state::read_snapshot(json, engine_->names(), sink); !read.ok()) {
    // A text that breaks off is a refusal of what would have followed, once anything was read.
    if (report.loaded == 0 && report.refused.empty()) return std::move(read).error();
    report.refused.push_back({{}, std::move(read).error()});
  }
  Journal* journal = engine_->journal();
  if (journal != nullptr && journal->is_sync() && group != 0 && !failed) {
    if (auto safe = journal->wait(group); !safe.ok()) failed = std::move(safe).error();
  }
  if (failed) return *failed;
  return report;
}

}  // namespace limitr
