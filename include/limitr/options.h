// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/event.h>
#include <limitr/json.h>
#include <limitr/policy.h>
#include <limitr/time.h>
#include <limitr/value.h>

namespace limitr {

/// When a change is safe in the store. See docs/state.md, Stores.
enum class Durability : std::uint8_t {
  sync,      ///< Before the call is answered. Calls that wait at the same time share one write.
  interval,  ///< Within Options::write_interval.
  manual,    ///< At flush() and close().
};

/// How an engine is opened.
struct Options {
  Format format = Format::yaml;
  bool validate = true;  ///< Off: a policy that breaks rules but can be compiled is taken.
  DocumentBounds bounds = {};
  HostFunctions host = {};
  std::shared_ptr<const Clock> clock = {};  ///< Empty: the system's.
  /// Where the state is kept, as a URL; empty: nowhere, the caller takes snapshots.
  std::string store = {};
  /// Any number of engines use the store at the same time, on Redis or PostgreSQL: each call is
  /// decided on what all of them have done. See docs/state.md, Sharing.
  bool shared = false;
  Durability durability = Durability::sync;
  Millis write_interval{100};  ///< For Durability::interval.
  /// For Durability::interval: how many changed customers may wait while the store takes none.
  /// Calls that would change more fail with store_unavailable. With every durability, and where the
  /// store is shared: how many calls of allow_async() may wait their turn; more fail likewise.
  std::size_t max_unwritten = 100'000;
  /// How long a call may wait to learn what a store has done; where it is shared, also how long it
  /// is decided again because others were first.
  Millis store_timeout{5000};
  bool accept_weaker = false;  ///< Take a store that keeps less than `durability` asks; logged.
  /// How many customers a store's engine keeps in memory, about; 0: all that were used. Those that
  /// are in use, or not written yet, stay beyond it. Others are read when they are used.
  std::size_t max_loaded = 0;
  bool load_all = false;  ///< Read every customer at open; none is let go of then.
  std::function<void(std::string_view message)> log = {};  ///< Empty: standard error.
};

/// How an engine of a Cloud server is opened. See docs/cloud.md.
struct CloudOptions {
  std::string token = {};
  std::string address = "http://localhost:4242";  ///< http://, or https:// for TLS.
  std::string policy = {};  ///< A version of the policy; empty: the active one, always.
  Millis connect_timeout{5000};
  /// What calls get that neither the server nor room covers while there is no connection: a denial
  /// with reason `unconnected`; off: they are decided on what is known, and added to the server's
  /// state when it is back, which can pass limits.
  bool deny_unconnected = true;
  /// How much of a hard limit or cap may be set aside for calls that are answered without asking;
  /// 0: each call is confirmed.
  double room = 0.01;
  std::string ca_file = {};  ///< Certificates that https:// trusts; empty: the system's.
  /// A file of this engine alone, made where there is none: what was answered and not reported
  /// outlives there a process that is killed, and is reported by the next engine with that file; it
  /// does not outlive the machine. Empty: none; it stays in doubt.
  std::string local_file = {};
  /// Of these, validate, bounds, host, clock, store_timeout, max_unwritten, max_loaded and log
  /// count.
  Options engine = {};
};

/// A cap that counts for one call only. See docs/calls.md, Spend caps.
struct CallCap {
  std::string credit = "rune";
  double value = 0;  ///< The ceiling, in `credit`.
  bool overage_only = false;
  bool ignore_grants = false;
  bool observe_only = false;
  bool overhead_cost = false;
  bool hard_trailing = false;
};

/// What a call may say besides who, what and how much. See docs/calls.md.
struct CallOptions {
  bool event = true;                    ///< Off: the call sends no events.
  std::optional<Json> event_data = {};  ///< An object; on the events, and given to cost functions.
  std::vector<CallCap> caps = {};
  std::optional<double> overhead = {};  ///< What the call really cost, in runes.
  bool force = false;             ///< The usage already happened: record it whatever it breaks.
  std::string_view request = {};  ///< The call counts once under this ID. Empty: none.
};

/// What a call means that says nothing else. One object, so that a call need not make it.
extern const CallOptions default_call_options;

/// One call of allow_many().
struct Call {
  std::string_view customer = {};
  std::string_view entitlement = {};
  Value value = 0;
  CallOptions options = {};
};

/// What a change to a customer may say besides what it changes.
struct ChangeOptions {
  std::string_view request = {};  ///< The call counts once under this ID. Empty: none.
};

/// What a new customer is given. See docs/customers.md.
struct NewCustomer {
  std::string_view plan = {};  ///< Empty: inherited through refs, else the default plan.
  std::string_view type = "user";
  std::string_view label = "User";
  std::optional<std::vector<std::string>> refs = {};  ///< Unset: none, or unchanged for a known ID.
  std::vector<std::string> alts = {};                 ///< Those of other customers are left out.
  std::optional<Json> metadata = {};                  ///< Unset: none, or unchanged for a known ID.
  std::string_view request = {};  ///< Remembered on the customer made or updated.
};

/// A customer's own limit: what is unset copies the present limit, but that a reset form that is
/// given takes the place of the other one. See docs/customers.md, Overrides.
struct OverrideOptions {
  std::optional<Value> value = {};
  std::optional<Timestamp> expires = {};
  std::optional<std::string> credit = {};
  std::optional<std::string> mode = {};  ///< hard, soft or observe.
  std::optional<Value> increment = {};
  std::optional<bool> resets = {};
  std::optional<Value> reset_inc = {};  ///< A duration.
  std::optional<std::string> reset_sch = {};
  std::string_view request = {};
};

/// A spend cap on a customer. See docs/calls.md, Spend caps.
struct CapOptions {
  std::string_view cap = {};  ///< Its ID; empty: one is made.
  std::string_view credit = "rune";
  std::optional<bool> exchangeable = {};  ///< Unset: true for rune or a pure currency.
  bool overage_only = false;
  bool ignore_grants = false;
  bool observe_only = false;
  bool overhead_cost = false;
  bool follow_decrements = false;
  bool hard_trailing = false;
  bool shared = false;
  std::vector<std::string> shared_with = {};  ///< Customer types; empty: all.
  std::vector<std::string> scope = {};        ///< Entitlements; empty: all.
  bool resets = false;
  std::optional<Value> reset_inc = {};  ///< A duration.
  std::optional<std::string> reset_sch = {};
  std::optional<Timestamp> expires_on = {};
  bool events = true;
  std::string_view request = {};
};

/// What a hold is made of. See docs/reservations.md.
struct ReserveOptions {
  std::optional<Value> value = {};   ///< Unset: the estimate, else the limit's increment.
  std::optional<Json> context = {};  ///< Event data.
  std::optional<double> basis = {};
  std::optional<std::string> segment = {};
  std::optional<Value> ttl = {};  ///< A duration; unset: the policy's hold_ttl.
  double quantile = 0.9;
  std::optional<double> overhead = {};
  std::string_view request = {};
};

struct SettleOptions {
  bool event = true;
  std::optional<Json> event_data = {};
  std::optional<double> overhead = {};
  std::optional<double> basis = {};
  std::optional<std::string> segment = {};
  std::string_view request = {};
};

struct EstimateOptions {
  std::optional<double> basis = {};
  std::optional<std::string> segment = {};
  std::optional<Json> context = {};
  double quantile = 0.9;                ///< For estimate().
  std::optional<double> overhead = {};  ///< For observe().
  std::string_view request = {};        ///< For observe().
};

/// What one call of this size is expected to use. See docs/reservations.md, Estimates.
struct Estimate {
  double value = 0;
  double overhead = 0;
  std::uint64_t samples = 0;
  std::string source = {};  ///< "local" or "cloud".
  std::string scope = {};   ///< "customer" or "policy".
};

/// What one entitlement earned and cost this period, in runes. See docs/reads.md, Margins.
struct EntitlementMargin {
  std::string entitlement = {};
  double cost = 0;
  double revenue = 0;
  std::optional<double> margin = {};  ///< Percent, two decimals; empty without revenue.
};

struct Margin {
  double cost = 0;
  double revenue = 0;
  double margin = -100;  ///< Percent; -100 without revenue.
  std::vector<EntitlementMargin> entitlements = {};
};

/// Usage that is only imagined, for plan_margin().
struct ImaginedUsage {
  std::string entitlement = {};
  Value meter = 0;
  std::optional<Value> limit = {};
  std::optional<std::string> credit = {};
  std::optional<double> overhead = {};
  std::optional<Json> context = {};
};

/// Which caps start_margin_measurement() adds.
struct MeasurementOptions {
  bool overage_only = true;
  bool ignore_grants = true;
  std::string_view request = {};
};

/// What a stretch of work was charged and cost, in runes.
struct MeasuredMargin {
  double charged = 0;
  double costs = 0;
  double margin = 0;      ///< Percent, two decimals; -100 without charges.
  double raw_margin = 0;  ///< charged - costs.
};

/// What load_customers() did. See docs/state.md, Loading.
struct LoadReport {
  struct Refused {
    std::string id = {};  ///< Its place in the list where it names none; empty for the rest of a
                          ///< text that breaks off.
    Error error = {};
  };
  struct Unmapped {
    std::string customer = {};
    std::string entitlement = {};
  };

  std::size_t loaded = 0;
  std::vector<Refused> refused = {};
  std::vector<Unmapped> unmapped = {};  ///< Meters without an entitlement in today's policy.
};

/// Something in the state that contradicts itself. See docs/state.md, Books that balance.
struct AuditFinding {
  std::string customer = {};
  std::string field = {};  ///< The path inside its record, or requests.ID; empty: the whole record.
  std::string message = {};
  std::optional<double> expected = {};  ///< Two numbers that should be the same, where it is two.
  std::optional<double> found = {};
};

}  // namespace limitr
