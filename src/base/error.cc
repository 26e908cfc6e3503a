// SPDX-License-Identifier: Apache-2.0
#include <limitr/error.h>

namespace limitr {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::invalid_value: return "invalid_value";
    case ErrorCode::policy_invalid: return "policy_invalid";
    case ErrorCode::document_too_large: return "document_too_large";
    case ErrorCode::record_invalid: return "record_invalid";
    case ErrorCode::request_mismatch: return "request_mismatch";
    case ErrorCode::no_plan: return "no_plan";
    case ErrorCode::alias_taken: return "alias_taken";
    case ErrorCode::io_failed: return "io_failed";
    case ErrorCode::store_unavailable: return "store_unavailable";
    case ErrorCode::outcome_unknown: return "outcome_unknown";
    case ErrorCode::store_owned: return "store_owned";
    case ErrorCode::store_fenced: return "store_fenced";
    case ErrorCode::store_weaker: return "store_weaker";
    case ErrorCode::data_corrupt: return "data_corrupt";
    case ErrorCode::unconnected: return "unconnected";
    case ErrorCode::unauthorized: return "unauthorized";
  }
  return "unknown";
}

}  // namespace limitr
