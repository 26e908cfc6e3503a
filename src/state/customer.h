// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <limitr/json.h>
#include "base/amount.h"
#include "base/limit.h"
#include "base/symbols.h"
#include "state/cloud.h"
#include "state/meters.h"

// Customer records as plain data, laid out for a million of them: what every call touches is
// compact and contiguous, the rest only takes space when there. spec: state.md, Record fields
namespace limitr::state {

struct Hold {
  std::string id;
  double value = 0;
  double overhead = 0;
  Timestamp expires;
  MaybeAmount basis;
  std::string segment;
  Json unknown = {};
  friend bool operator==(const Hold&, const Hold&) = default;
};

/// Statistics of one segment. spec: reservations.md, Estimates
struct EstimateStats {
  std::string segment;
  std::uint64_t samples = 0;
  double alpha = 0.1;
  double value_mean = 0;
  double value_var = 0;
  double overhead_mean = 0;
  double overhead_var = 0;
  bool per_basis = false;
  std::string source = "local";
  Timestamp updated;
  Json unknown = {};
  friend bool operator==(const EstimateStats&, const EstimateStats&) = default;
};

/// What only some meters have.
struct MeterExtra {
  Symbol entitlement = Symbol::empty;
  MaybeAmount governor_tokens;
  MaybeTime governor_last_refill;
  std::vector<Hold> holds;
  std::vector<EstimateStats> estimates;
  Json unknown;  ///< Fields that are not ours: an object, or null.
  friend bool operator==(const MeterExtra&, const MeterExtra&) = default;
};

struct Override {
  Symbol entitlement = Symbol::empty;
  Limit limit;
  Json unknown = {};
  friend bool operator==(const Override&, const Override&) = default;
};

/// A credit balance that covers usage past a limit. Its books balance:
/// starting_value + added = value + drawn + lost, `starting_value` being the one it began with.
struct Grant {
  std::string id;
  Symbol credit = Symbol::empty;
  Symbol topup = Symbol::empty;  ///< Empty: from none.
  Timestamp created_on;
  Timestamp granted_on;
  double starting_value = 0;
  double value = 0;
  Reset reset;
  MaybeTime last_reset;
  ResetMode reset_mode = ResetMode::hard;
  MaybeAmount rollover_min;
  MaybeAmount rollover_max;
  MaybeAmount rollover_pct;
  MaybeAmount max_balance;
  std::optional<std::uint32_t> reset_catchup_cap;
  MaybeTime expires_on;
  std::uint64_t seq = 0;  ///< The order in which a customer's grants were added.
  double drawn = 0;
  double added = 0;
  double lost = 0;
  Json unknown = {};
  friend bool operator==(const Grant&, const Grant&) = default;
};

/// A spend ceiling across calls. spec: pricing.md, Spend caps
struct Cap {
  std::string id;  ///< Empty for a call's own cap.
  Symbol credit = Symbol::empty;
  double value = 0;  ///< The ceiling.
  double meter_value = 0;
  bool exchangeable = false;
  bool overage_only = false;
  bool ignore_grants = false;
  bool observe_only = false;
  bool overhead_cost = false;
  bool follow_decrements = false;
  bool hard_trailing = false;
  bool shared = false;
  std::vector<Symbol> shared_with;  ///< Customer types; empty: all.
  std::vector<Symbol> scope;        ///< Entitlements; empty: all.
  Timestamp started;
  Timestamp created_on;
  Reset reset;
  MaybeTime last_reset;
  MaybeTime expires_on;
  std::uint64_t seq = 0;
  Json unknown = {};
  friend bool operator==(const Cap&, const Cap&) = default;
};

/// The answer to a call that came with a request ID. spec: state.md, Exactly once
struct RememberedRequest {
  std::uint64_t number = 0;  ///< Of a customer's requests, in the order in which they came.
  std::string id;
  std::uint64_t fingerprint = 0;  ///< Of the call's arguments.
  std::string answer;             ///< JSON text.
  Timestamp at;
};

/// What only some customers have.
struct CustomerRest {
  std::string label = "User";
  std::vector<std::string> refs;
  std::vector<std::string> alt_ids;
  std::vector<MeterExtra> extras;
  std::vector<Override> overrides;
  std::vector<Grant> grants;  ///< In the order they were added.
  std::vector<Cap> caps;      ///< Likewise.
  Json metadata;              ///< An object, or null.
  Json unknown = {};
  std::vector<RememberedRequest> requests;  ///< By number. Not part of the record.
  std::uint64_t requests_written = 0;       ///< The last number that a store has or is to get.

  /// A number for the next request.
  std::uint64_t next_request() const {
    return std::max(requests_written, requests.empty() ? 0 : requests.back().number) + 1;
  }
};

/// One customer. Copies are deep.
struct Customer {
  std::string id;
  Symbol plan = Symbol::empty;  ///< Empty: inherited.
  Symbol type = Symbol::empty;
  Meters meters;  ///< By entitlement, each once; kept also where the policy has none.
  std::unique_ptr<CustomerRest> rest;
  std::unique_ptr<Cloud> cloud;  ///< Null: no Cloud server has to do with it.

  Customer() = default;
  Customer(const Customer& other);
  Customer& operator=(const Customer& other);
  Customer(Customer&&) noexcept = default;
  Customer& operator=(Customer&&) noexcept = default;
  ~Customer() = default;

  /// Null where there is none.
  const Meter* meter(Symbol entitlement) const { return meters.find(entitlement); }
  Meter* meter(Symbol entitlement) {
    return const_cast<Meter*>(std::as_const(*this).meter(entitlement));
  }
  const MeterExtra* extra(Symbol entitlement) const {
    return rest ? find_extra(entitlement) : nullptr;
  }
  MeterExtra* extra(Symbol entitlement) {
    return const_cast<MeterExtra*>(std::as_const(*this).extra(entitlement));
  }
  const Override* find_override(Symbol entitlement) const;
  const Cap* cap(std::string_view cap_id) const;
  Cap* cap(std::string_view cap_id);

  /// The rest, or an empty one to read from.
  const CustomerRest& more() const;
  /// The rest, made if there is none.
  CustomerRest& own_rest();
  MeterExtra& own_extra(Symbol entitlement);
  /// Adds a meter, keeping memory exact.
  Meter& add_meter(const Meter& meter);

private:
  const MeterExtra* find_extra(Symbol entitlement) const;
};

/// A seq for the next grant or cap.
std::uint64_t next_seq(const std::vector<Grant>& grants);
std::uint64_t next_seq(const std::vector<Cap>& caps);

}  // namespace limitr::state
