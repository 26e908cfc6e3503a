// SPDX-License-Identifier: Apache-2.0
#include "engine/arguments.h"

namespace limitr::engine {

void write_argument(JsonWriter& json, const Value& value) {
  if (value.is_text()) {
    json.value(value.text());
  } else {
    json.value(value.number());
  }
}

void write_argument(JsonWriter& json, const CallCap& cap) {
  write_arguments(json, cap.credit, cap.value, cap.overage_only, cap.ignore_grants,
                  cap.observe_only, cap.overhead_cost, cap.hard_trailing);
}

void write_argument(JsonWriter& json, const CallOptions& options) {
  write_arguments(json, options.event, options.event_data, options.caps, options.overhead,
                  options.force);
}

void write_argument(JsonWriter& json, const core::Settlement& settlement) {
  write_arguments(json, settlement.hold, settlement.basis, settlement.segment);
}

void write_argument(JsonWriter& json, const ReserveOptions& options) {
  write_arguments(json, options.value, options.context, options.basis, options.segment, options.ttl,
                  options.quantile, options.overhead);
}

void write_argument(JsonWriter& json, const EstimateOptions& options) {
  write_arguments(json, options.basis, options.segment, options.context, options.overhead);
}

void write_argument(JsonWriter& json, const NewCustomer& customer) {
  write_arguments(json, customer.plan, customer.type, customer.label, customer.refs, customer.alts,
                  customer.metadata);
}

void write_argument(JsonWriter& json, const OverrideOptions& options) {
  write_arguments(json, options.value, options.expires, options.credit, options.mode,
                  options.increment, options.resets, options.reset_inc, options.reset_sch);
}

void write_argument(JsonWriter& json, const CapOptions& options) {
  write_arguments(json, options.cap, options.credit, options.exchangeable, options.overage_only,
                  options.ignore_grants, options.observe_only, options.overhead_cost,
                  options.follow_decrements, options.hard_trailing, options.shared,
                  options.shared_with, options.scope, options.resets, options.reset_inc,
                  options.reset_sch, options.expires_on, options.events);
}

void write_argument(JsonWriter& json, const MeasurementOptions& options) {
  write_arguments(json, options.overage_only, options.ignore_grants);
}

}  // namespace limitr::engine
