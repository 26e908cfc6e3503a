// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "engine/engine.h"
#include "state/record.h"

namespace limitr {

using engine::Engine;
using engine::Locked;
using state::Customer;

namespace {

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

void write_estimates(JsonWriter& json, Engine& engine) {
  json.begin_object();
  engine.each_entitlement_estimates(
      [&](Symbol entitlement, const std::vector<state::EstimateStats>& segments) {
        json.key(engine.names().text(entitlement)).begin_object();
        for (const state::EstimateStats& stats : segments) {
          json.key(stats.segment);
          state::write_estimate(json, stats);
        }
        json.end_object();
      });
  json.end_object();
}

}  // namespace

Result<std::string> Limitr::customers() {
  engine::SnapshotText text{.records = "{"};
  engine_->append_snapshot(text);
  text.records.push_back('}');
  return std::move(text.records);
}

Result<std::string> Limitr::export_state() {
  engine::SnapshotText text{
      .records = fmt::format(R"({{"format":{},"customers":{{)", state::record_format)};
  engine_->append_snapshot(text);
  std::string estimates;
  JsonWriter json(estimates);
  write_estimates(json, *engine_);
  return fmt::format(R"({}}},"estimates":{},"requests":[{}]}})", text.records, estimates,
                     text.requests);
}

Result<LoadReport> Limitr::load_customers(std::string_view json) {
  LoadReport report;
  const engine::PolicyPointer policy = engine_->policy();
  const SymbolTable& names = engine_->names();
  state::RecordSink sink;
  sink.loaded = [&](Customer customer) {
    report_unmapped(*policy, customer, names, report);
    std::string id = customer.id;
    Result<void> put = engine::put_record(*engine_, std::move(customer));
    if (put.ok()) {
      ++report.loaded;
    } else {
      report.refused.push_back({std::move(id), std::move(put).error()});
    }
  };
  sink.refused = [&](std::string id, Error error) {
    report.refused.push_back({std::move(id), std::move(error)});
  };
  sink.estimate = [&](std::string_view entitlement, const state::EstimateStats& stats) {
    engine_->merge_estimate(entitlement, stats);
  };
  sink.request = [&](std::string_view customer, state::RememberedRequest request) {
    Locked locked(*engine_);
    if (!locked.find(customer)) return;
    locked.before_change();
    std::vector<state::RememberedRequest>& known = locked.slot().customer.own_rest().requests;
    std::erase_if(known, [&](const state::RememberedRequest& r) { return r.id == request.id; });
    known.push_back(std::move(request));
  };
  if (auto read = state::read_snapshot(json, engine_->names(), sink); !read.ok()) {
    // A text that breaks off is a refusal of what would have followed, once anything was read.
    if (report.loaded == 0 && report.refused.empty()) return std::move(read).error();
    report.refused.push_back({{}, std::move(read).error()});
  }
  return report;
}

}  // namespace limitr
