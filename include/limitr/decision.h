// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <limitr/result.h>
#include <limitr/time.h>

namespace limitr {

/// Why a call was denied. See docs/calls.md, Reasons.
enum class Reason : std::uint8_t {
  unknown_customer,
  unknown_entitlement,
  no_scope_customer,
  cap,
  governor,
  limit,
  voucher,
  unconnected,
};

std::string_view to_string(Reason reason) noexcept;
/// The reason of that name, or none.
std::optional<Reason> reason_from(std::string_view name) noexcept;

/// The cap that denied a call, and the customer who holds it (the caller for a call's own cap,
/// which has no ID).
struct DenyingCap {
  std::optional<std::string> id = {};
  std::string customer = {};

  bool operator==(const DenyingCap&) const = default;
};

/// The answer to one call. Numbers are in the limit's credit, prices and overhead in runes;
/// what does not apply is empty. Converts to bool: allowed or not. See docs/calls.md, The decision.
struct Decision {
  bool allowed = false;
  bool repeated = false;                       ///< An earlier answer to the same request ID.
  std::optional<Reason> reason = {};           ///< Empty when allowed.
  std::shared_ptr<const DenyingCap> cap = {};  ///< Only with Reason::cap.
  std::optional<double> value = {};  ///< The meter after the call (before it, when denied).
  std::optional<double> limit = {};
  std::optional<double> remaining = {};  ///< limit - value, without grants.
  std::optional<Timestamp> resets = {};  ///< When the meter's next period begins.
  std::optional<double> overage = {};    ///< Left to be billed after grants, or over the limit.
  std::optional<double> grant_value_applied = {};
  std::optional<double> overhead = {};       ///< What this call cost the provider.
  std::optional<double> price_diff = {};     ///< List price of the billable units this call adds.
  std::optional<double> overage_price = {};  ///< Price of the overage that grants did not cover.

  explicit operator bool() const noexcept { return allowed; }
};

/// The decision as JSON text: every field, null where it does not apply.
std::string to_json(const Decision& decision);
/// Reads that text back. Errors: invalid_argument.
Result<Decision> decision_from_json(std::string_view text);

}  // namespace limitr
