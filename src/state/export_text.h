// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "state/record.h"

// What stands around the records of an export, `{format, customers, estimates, requests}`, for
// those that write one: begin, the customers, between, the requests, end.
namespace limitr::state {

inline std::string export_begin() {
  return fmt::format(R"({{"format":{},"customers":{{)", record_format);
}

/// One customer; a comma goes between them. `record` is its portable JSON.
inline std::string export_customer(std::string_view id, std::string_view record) {
  return fmt::format("{}:{}", to_json_text(id), record);
}

/// `estimates` are those over all customers, as JSON text.
inline std::string export_between(std::string_view estimates) {
  return fmt::format(R"(}},"estimates":{},"requests":[)", estimates);
}

inline std::string_view export_end() { return "]}"; }

}  // namespace limitr::state
