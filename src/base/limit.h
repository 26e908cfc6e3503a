// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/amount.h"
#include "base/quantity.h"
#include "base/schedule.h"
#include "base/symbols.h"

namespace limitr {

/// Thirty days: how long a period lasts where something resets and says no more.
inline constexpr Millis default_reset_inc = std::chrono::days(30);

/// When something starts over: never, after every `inc`, or on a calendar schedule.
struct Reset {
  bool resets = false;
  std::optional<Millis> inc;         ///< As given; see length().
  std::optional<Schedule> schedule;  ///< Exclusive with inc.

  /// The length of a period that no schedule governs.
  Millis length() const { return inc.value_or(default_reset_inc); }
  friend bool operator==(const Reset&, const Reset&) = default;
};

enum class Mode : std::uint8_t { hard, soft, observe };

/// What a reset does to a grant's balance. spec: pricing.md, Grants
enum class ResetMode : std::uint8_t { hard, add, rollover };

std::string_view to_string(Mode mode);
std::string_view to_string(ResetMode mode);
/// The mode of that name, or none.
std::optional<Mode> mode_from(std::string_view name);
std::optional<ResetMode> reset_mode_from(std::string_view name);

/// How much of an entitlement a customer may use: an entitlement's limit, or a customer's own
/// override of it. Amounts are in the credit's unit. spec: policy.md, Limit
struct Limit {
  Symbol credit = Symbol::empty;
  Mode mode = Mode::hard;
  bool hard_trailing = false;
  bool grants_apply = true;
  bool governor_enabled = false;
  double value = 0;
  double increment = 1;              ///< The number as written; see increment_in().
  std::string increment_text = {};   ///< The increment with its unit, where it was given one.
  MaybeAmount minimum;               ///< The meter never goes below it.
  MaybeAmount governor_capacity;     ///< Tokens.
  MaybeAmount governor_refill_rate;  ///< Tokens per ms.
  double ewma_alpha = 0.2;
  Reset reset;
  MaybeTime override_expires_on;  ///< Overrides only.

  /// The increment in the unit of the limit's credit. Errors: invalid_value, where a unit does not
  /// fit (any more).
  Result<double> increment_in(Unit unit) const;
  bool has_governor() const { return governor_enabled && mode == Mode::hard; }
  friend bool operator==(const Limit&, const Limit&) = default;
};

}  // namespace limitr
