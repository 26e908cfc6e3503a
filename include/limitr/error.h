// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace limitr {

/// What failed, chosen by what the caller does next. Codes are never renumbered.
/// A denial is not an error: it is a Decision (decision.h).
enum class ErrorCode {
  invalid_argument = 1,    ///< The call is wrong as it stands: change it. Nothing changed.
  invalid_value = 2,       ///< A quantity is not finite, no number, or its unit does not fit.
  policy_invalid = 3,      ///< The policy document does not validate; `where` says which field.
  document_too_large = 4,  ///< A document passes a bound; the message names bound and option.
  record_invalid = 5,      ///< A customer record cannot be read; the others are not affected.
  request_mismatch = 6,    ///< A request ID came again with other arguments.
  no_plan = 7,             ///< A customer would be on no plan at all: name one or set a default.
  alias_taken = 8,         ///< An alternate ID belongs to another customer.
  io_failed = 9,           ///< A file cannot be read or written.
  store_unavailable = 10,  ///< The store did not take the change: nothing changed. Try again.
  outcome_unknown = 11,    ///< The store broke off: it changed or not. The same request ID tells.
  store_owned = 12,        ///< Another process owns the store; the message says which.
  store_fenced = 13,       ///< Another process has taken the store over: stop, and open it anew.
  store_weaker = 14,       ///< The store keeps less than was asked for, as the message says.
  data_corrupt = 15,       ///< What the store holds is not what was written to it.
  unconnected = 16,        ///< There is no connection to the Cloud server: nothing changed.
  unauthorized = 17,       ///< The token is wrong, expired or revoked, or its scope too small.
};

/// The code's name as it appears in JSON and in messages, e.g. "policy_invalid".
std::string_view to_string(ErrorCode code) noexcept;

/// A failure of a call. Whoever returns one has changed nothing, unless it says otherwise.
struct Error {
  ErrorCode code;
  std::string message;     ///< Lower case where the wording is ours, input in backticks or quotes.
  std::string where = {};  ///< A path (policy.plans.pro...), a place (line:column), both, or empty.

  /// "where: message", or just the message where there is no place.
  std::string to_string() const { return where.empty() ? message : where + ": " + message; }
};

}  // namespace limitr
