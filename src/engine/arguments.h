// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include <limitr/options.h>
#include <limitr/value.h>
#include "base/json_writer.h"
#include "core/decide.h"

// The arguments of calls as JSON text, all that two calls can differ in: what the fingerprint of a
// remembered request is made from. Options are lists of their fields, without their request.
namespace limitr::engine {

void write_argument(JsonWriter& json, const Value& value);
void write_argument(JsonWriter& json, const CallCap& cap);
void write_argument(JsonWriter& json, const CallOptions& options);
void write_argument(JsonWriter& json, const core::Settlement& settlement);
void write_argument(JsonWriter& json, const ReserveOptions& options);
/// As observe() takes them.
void write_argument(JsonWriter& json, const EstimateOptions& options);
void write_argument(JsonWriter& json, const NewCustomer& customer);
void write_argument(JsonWriter& json, const OverrideOptions& options);
void write_argument(JsonWriter& json, const CapOptions& options);
void write_argument(JsonWriter& json, const MeasurementOptions& options);

/// What the writer takes as it is.
template <typename T>
void write_argument(JsonWriter& json, const T& argument) {
  json.value(argument);
}
template <typename T>
void write_argument(JsonWriter& json, const std::optional<T>& argument) {
  if (argument) {
    write_argument(json, *argument);
  } else {
    json.null();
  }
}
template <typename T>
void write_argument(JsonWriter& json, const std::vector<T>& list) {
  json.begin_array();
  for (const T& item : list) write_argument(json, item);
  json.end_array();
}

/// All of them, as one list.
template <typename... Arguments>
void write_arguments(JsonWriter& json, const Arguments&... arguments) {
  json.begin_array();
  (write_argument(json, arguments), ...);
  json.end_array();
}

}  // namespace limitr::engine
