// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <future>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <limitr/decision.h>
#include <limitr/event.h>
#include <limitr/json.h>
#include <limitr/options.h>
#include <limitr/policy.h>
#include <limitr/result.h>
#include <limitr/time.h>
#include <limitr/value.h>

namespace limitr {

namespace engine {
class Engine;
class Slot;
}  // namespace engine
namespace policy {
struct Node;
}
namespace store {
class Store;
}

/// What a read gives: nothing where the customer, entitlement or figure is unknown.
template <typename T>
using Read = Result<std::optional<T>>;

/// A customer and an entitlement, looked up once: calls through it skip both look-ups. Stays valid
/// when the customer or the policy changes; a customer that was deleted is unknown to it until one
/// of that ID is created again. Threads: a handle may be copied and used from any thread. Must not
/// outlive its Limitr.
class Handle {
public:
  Handle(const Handle&);
  Handle(Handle&&) noexcept;
  Handle& operator=(Handle) noexcept;
  ~Handle();

private:
  friend class engine::Engine;
  Handle(engine::Slot* slot, std::uint32_t entitlement) : slot_(slot), entitlement_(entitlement) {}
  engine::Slot* slot_;
  std::uint32_t entitlement_;
};

/// The engine: decides what each customer may use right now, and meters it in the same step.
///
/// Every method may be called from any thread; calls for one customer run one after another,
/// unrelated customers never wait for each other. A denial is a Decision, never an Error; an Error
/// means that nothing changed. Unknown customers and entitlements are denied, not errors. A call
/// returns after its handlers ran, unless it was made from a handler.
///
/// A call that changes a customer counts once under a `request` ID of its options (valid UTF-8, at
/// most 200 bytes): when the ID comes again for that customer, the first answer is given again,
/// nothing changes and no event is sent. A Decision then says that it is `repeated`; other answers
/// have no place for it. Only calls that changed something are remembered, within the policy's
/// request_window and request_limit: one that was denied or found nothing is decided anew.
/// Errors: invalid_argument, for what cannot be an ID; request_mismatch, when the ID came with
/// another call or other arguments before: take a new one; record_invalid, when the first answer
/// was loaded and cannot be read. See docs/state.md, Exactly once.
class Limitr {
public:
  /// An engine for a policy text, or a policy given as an object.
  /// Errors: policy_invalid (the first problem; validate_policy() lists all), document_too_large,
  /// invalid_argument (a bound of the options that cannot be).
  static Result<Limitr> open(std::string_view policy, Options options = {});
  template <std::same_as<Json> J>
  static Result<Limitr> open(const J& policy, Options options = {}) {
    return open_json(policy, std::move(options));
  }
  /// An engine for the policy that its store, which the options name, keeps: the last one that an
  /// engine had there. `options.format` and `bounds` do not count. Errors also: invalid_argument,
  /// where the options name no store, or the store keeps no policy: give one to open(); those of
  /// opening a store (docs/state.md, Stores).
  static Result<Limitr> open_stored(Options options);
  /// An engine whose policy and customers are those of a Cloud server, which any number of engines
  /// share with exact limits. Errors: unauthorized, unconnected (no connection within the time);
  /// policy_invalid, invalid_argument (an address or a version that cannot be). See docs/cloud.md.
  static Result<Limitr> cloud(CloudOptions options);
  static std::string_view version() noexcept;

  Limitr(Limitr&&) noexcept;
  Limitr& operator=(Limitr&&) noexcept;
  ~Limitr();

  // Calls. See docs/calls.md.

  /// Decides a call and, when allowed, applies all of its changes together.
  /// Errors: invalid_value (not finite, or the unit does not fit), invalid_argument (a cap's or the
  /// event data's shape), request_mismatch.
  Result<Decision> allow(std::string_view customer, std::string_view entitlement, Value value = 0,
                         const CallOptions& options = default_call_options);
  /// What allow() would answer now. Meters nothing.
  Result<Decision> check(std::string_view customer, std::string_view entitlement, Value value = 0,
                         const CallOptions& options = default_call_options);
  /// allow() and check() with plus or minus the limit's increment; denied without a limit.
  Result<Decision> increment(std::string_view customer, std::string_view entitlement,
                             const CallOptions& options = default_call_options);
  Result<Decision> decrement(std::string_view customer, std::string_view entitlement,
                             const CallOptions& options = default_call_options);
  Result<Decision> check_increment(std::string_view customer, std::string_view entitlement,
                                   const CallOptions& options = default_call_options);
  Result<Decision> check_decrement(std::string_view customer, std::string_view entitlement,
                                   const CallOptions& options = default_call_options);
  /// allow() by as much as takes the meter to `value`.
  Result<Decision> set(std::string_view customer, std::string_view entitlement, Value value,
                       const CallOptions& options = default_call_options);
  /// Decides each call in order and on its own; so are its errors. Where the store is shared, all
  /// that changes is written as one: when it fails, each call has.
  std::vector<Result<Decision>> allow_many(std::span<const Call> calls);
  /// allow() without waiting for the store: `then` is given the answer once it is safe, on a thread
  /// of the engine's own, so one thread can have thousands of calls on their way. They are decided
  /// in the order in which they are made; those that wait share one write. Other answers wait while
  /// `then` runs; what it throws is logged. Without a store it runs before this returns; so it
  /// does, with store_unavailable, where Options::max_unwritten calls wait their turn already. All
  /// are answered before the engine is gone.
  void allow_async(const Call& call, std::function<void(Result<Decision>)> then);
  std::future<Result<Decision>> allow_async(const Call& call);
  /// The same for any calls: `calls` makes them, on a thread of the engine's own and in one order
  /// with allow_async(), and keeps what they return; `then` is told whether that holds, once it is
  /// safe. Where it is an error, nothing that they returned has happened, or `calls` was not run at
  /// all: as many wait as may. Without a store both run before this returns. `calls` may not throw,
  /// nor call close(). Where the store is shared, it may run more than once: the last time counts;
  /// and the customers that the calls which wait are `about` are read together.
  void run_async(std::function<void()> calls, std::function<void(Result<void>)> then,
                 std::string_view about = {});

  /// The look-ups of allow() done once. None where customer or entitlement is unknown today.
  Read<Handle> handle(std::string_view customer, std::string_view entitlement);
  Result<Decision> allow(const Handle& handle, Value value = 0,
                         const CallOptions& options = default_call_options);
  Result<Decision> check(const Handle& handle, Value value = 0,
                         const CallOptions& options = default_call_options);

  // Reservations and estimates. See docs/reservations.md.

  /// Holds room for a call whose size is known only afterwards: a hold's ID, or none when check()
  /// would not allow it now or the entitlement has no limit. Errors: as allow().
  Read<std::string> reserve(std::string_view customer, std::string_view entitlement,
                            const ReserveOptions& options = {});
  /// Drops the hold and records what was really used, by force. An unknown hold still records.
  Result<Decision> settle(std::string_view customer, std::string_view entitlement,
                          std::string_view hold, Value value, const SettleOptions& options = {});
  /// Drops the hold; false when there was none.
  Result<bool> release(std::string_view customer, std::string_view entitlement,
                       std::string_view hold, const ChangeOptions& options = {});
  /// The room held now.
  Result<double> held(std::string_view customer, std::string_view entitlement);
  Read<Estimate> estimate(std::string_view customer, std::string_view entitlement,
                          const EstimateOptions& options = {});
  /// Learns from a call without a hold; false where nothing could be learned.
  Result<bool> observe(std::string_view customer, std::string_view entitlement, Value value,
                       const EstimateOptions& options = {});

  // Customers. See docs/customers.md.

  /// Creates a customer, or updates plan, type, label, refs and metadata of a known one. An
  /// alternate ID that is another customer's is left out, and logged; those of a known customer
  /// stay as they are (set_alt_customer_id() adds one). Errors: no_plan, invalid_argument.
  Result<void> create_customer(std::string_view id, const NewCustomer& customer = {});
  /// True when the customer was created; a known one is left alone. Safe on every request.
  Result<bool> ensure_customer(std::string_view id, const NewCustomer& customer = {});
  /// The same from a full record (JSON text). Has no request: a second time changes nothing.
  Result<bool> ensure_set_customer(std::string_view record);
  /// Puts a full record in place, replacing any. Has no request: a second time puts the same in
  /// place. The customer's remembered requests stay. Errors: record_invalid, alias_taken.
  Result<void> set_customer(std::string_view record, bool event = true);
  Read<Json> customer(std::string_view id);
  Read<std::vector<std::string>> customer_refs(std::string_view id);
  Read<Json> customer_metadata(std::string_view id);
  Result<bool> set_customer_refs(std::string_view id, std::vector<std::string> refs,
                                 const ChangeOptions& options = {});
  /// False when there was none. Has no request: deleting forgets the customer's requests too.
  Result<bool> delete_customer(std::string_view id);
  /// `alt` then resolves to the customer everywhere; false when it belongs to another one.
  Result<bool> set_alt_customer_id(std::string_view id, std::string_view alt,
                                   const ChangeOptions& options = {});
  /// False when there was none. Has no request: the alternate ID that is gone was the only way to
  /// the customer who would remember it. Once another customer may have taken the ID, asking again
  /// may take it from them.
  Result<bool> delete_alt_customer_id(std::string_view alt);
  /// False when the plan is unknown or already in effect.
  Result<bool> set_customer_plan(std::string_view id, std::string_view plan,
                                 bool overwrite_meters = false, const ChangeOptions& options = {});
  /// Replaces an earlier override. False when customer, entitlement or credit is unknown or both
  /// reset forms are given. Errors: invalid_value, invalid_argument.
  Result<bool> create_customer_override(std::string_view id, std::string_view entitlement,
                                        const OverrideOptions& options);
  Result<bool> remove_customer_override(std::string_view id, std::string_view entitlement,
                                        const ChangeOptions& options = {});
  /// One more grant of a plan's topup; false if the plan has none of that name.
  Result<bool> apply_customer_topup(std::string_view id, std::string_view topup,
                                    const ChangeOptions& options = {});
  Result<void> ensure_included_topups(std::string_view id, const ChangeOptions& options = {});
  /// Increments the plan's subscription once, after the trial; true only then.
  Result<bool> ensure_plan_subscription(std::string_view id, const ChangeOptions& options = {});

  // Snapshot and load. See docs/state.md.

  /// Every customer's record as one JSON object, ID -> record: a consistent cut, taken while calls
  /// go on. With a store and sync durability it waits until all that it holds is safe. Errors:
  /// those of flush().
  Result<std::string> customers();
  /// Loads such an object, `{format, customers, ...}`, or an array of records. No event fires. A
  /// bad record never keeps the good ones out, and neither does a text that breaks off. Has no
  /// request: a second time puts the same records in place. Errors: record_invalid, when nothing in
  /// the text could be read; nothing is loaded then; store_unavailable and outcome_unknown, when
  /// the store did not take the records: the message says how many are certain to be loaded; load
  /// the text again. With interval durability what does not fit in max_unwritten is refused by name
  /// instead.
  Result<LoadReport> load_customers(std::string_view json);
  /// The same from a stream, which is read to its end, piece by piece: takes memory for a few times
  /// the largest record, not for the text. Errors also: io_failed, when the stream fails before
  /// anything could be read; later that is one of the refusals, and what was read is loaded.
  Result<LoadReport> load_customers(std::istream& json);
  /// Everything, policy-wide estimates and remembered requests included:
  /// `{format, customers, estimates, requests}`. load_customers() takes it back.
  Result<std::string> export_state();
  /// Everything in the state that contradicts itself; nothing: the books balance. Changes nothing,
  /// and calls go on meanwhile. Holds an export in memory. See docs/state.md, Books that balance.
  Result<std::vector<AuditFinding>> fsck();

  // The store, where the engine was opened with one. See docs/state.md, Stores.

  /// Reads these customers, and everyone their refs reach, ahead of their use: many at once. IDs
  /// that nobody has are passed over; without a store there is nothing to read. Errors:
  /// store_unavailable, data_corrupt.
  Result<void> warm(std::span<const std::string> ids);
  /// Writes all that waits to be written. Of a `file:` store it folds the journal into the JSON as
  /// well, which is complete by itself then; that takes as long as writing all of it. Errors:
  /// store_unavailable, also where only folding fails: all is safe then; outcome_unknown,
  /// store_fenced.
  Result<void> flush();
  /// flush(), and lets go of the store; how many records were written since it was opened. From
  /// then on calls that change something fail; with interval and manual durability they are not
  /// kept. Calls of allow_async() are answered first; but when a handler calls it, or what follows
  /// such a call, those that are not safe yet fail with store_unavailable. Errors: as flush(); the
  /// store is let go of all the same. Also invalid_argument, where a host function calls it and the
  /// store is shared: nothing is closed.
  Result<std::uint64_t> close();

  // Spend caps and margins. See docs/calls.md, Spend caps, and docs/reads.md, Margins.

  /// The new cap's ID; none when the ID is taken, the credit unknown, both reset forms are given,
  /// or the cap would have to convert through stairstep prices.
  Read<std::string> add_customer_cap(std::string_view id, double value,
                                     const CapOptions& options = {});
  Read<Json> customer_cap(std::string_view id, std::string_view cap);
  Result<bool> reset_customer_cap(std::string_view id, std::string_view cap,
                                  const ChangeOptions& options = {});
  Result<bool> remove_customer_cap(std::string_view id, std::string_view cap,
                                   const ChangeOptions& options = {});
  Read<Margin> customer_margin(std::string_view id);
  Read<Margin> plan_margin(std::string_view name, std::span<const ImaginedUsage> usage,
                           bool scaled = true);
  /// Measures a stretch of work by two observing caps; false when the ID is in use.
  Result<bool> start_margin_measurement(std::string_view customer, std::string_view measurement,
                                        const MeasurementOptions& options = {});
  /// What was charged and what it cost since the start; removes the measurement.
  Read<MeasuredMargin> capture_margin_measurement(std::string_view customer,
                                                  std::string_view measurement,
                                                  const ChangeOptions& options = {});

  // Reads: the current period, rounded to nine decimals. See docs/reads.md.

  Read<double> value(std::string_view customer, std::string_view entitlement, bool percent = false,
                     bool grants = true);
  Read<double> remaining(std::string_view customer, std::string_view entitlement,
                         bool percent = false, bool grants = true);
  /// Of a customer or a plan.
  Read<double> limit(std::string_view id, std::string_view entitlement, bool grants = true);
  Read<double> allowance(std::string_view customer, std::string_view entitlement,
                         bool grants = true);
  /// Of a customer or a plan.
  Read<double> cost(std::string_view id, std::string_view entitlement);
  Read<Timestamp> resets(std::string_view customer, std::string_view entitlement);
  /// Units per millisecond.
  Result<double> rate(std::string_view customer, std::string_view entitlement);
  Result<double> acceleration(std::string_view customer, std::string_view entitlement);
  /// Milliseconds until the limit at the present rate.
  Read<double> projected_exhaustion(std::string_view customer, std::string_view entitlement,
                                    bool smoothed = false, bool grants = true);
  Read<double> credit_exchange(std::string_view from, std::string_view to, double value = 1);
  Read<double> credit_remaining(std::string_view customer, std::string_view credit);
  Read<Json> meter(std::string_view customer, std::string_view entitlement);
  Read<Json> limit_object(std::string_view id, std::string_view entitlement);
  Read<Json> entitlement(std::string_view id, std::string_view entitlement);
  /// Of a customer or a plan's name, as the document has it, with its `name`.
  Read<Json> plan(std::string_view id);
  Read<Json> default_plan();
  Read<Json> credit(std::string_view name);
  Read<Json> credit_for(std::string_view id, std::string_view entitlement);
  Read<std::string> plan_period(std::string_view id);
  Read<Millis> plan_trial_period(std::string_view id);
  Read<std::string> plan_subscription_entitlement(std::string_view id);

  // Policy. Calls go on while it changes; each call sees one policy. See docs/policy.md.

  Result<void> set_policy(std::string_view policy, Format format);
  template <std::same_as<Json> J>
  Result<void> set_policy(const J& policy) {
    return set_policy_json(policy);
  }
  /// Adds or replaces one plan. Errors: policy_invalid, or invalid_argument for an empty name; the
  /// running policy then stays.
  Result<void> set_plan(std::string_view name, const Json& plan);
  Result<bool> delete_plan(std::string_view name);
  Result<void> set_notifications(const Json& notifications);
  /// The running policy's document.
  Json policy() const;

  // Events. See docs/events.md.

  /// Registers a handler; one of that name is replaced, in its place.
  void add_handler(std::string_view name, Handler handler);
  bool remove_handler(std::string_view name);
  void clear_handlers();

private:
  friend Result<Limitr> open_with_store(std::string_view policy, Options options,
                                        std::unique_ptr<store::Store> store);
  friend Result<Limitr> open_with_document(const policy::Node& policy, Options options);
  static Result<Limitr> open_json(const Json& policy, Options options);
  static Result<Limitr> open_document(const policy::Node& document, Options options,
                                      std::unique_ptr<store::Store> store);
  Result<void> set_policy_json(const Json& policy);
  explicit Limitr(std::unique_ptr<engine::Engine> engine);
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace limitr
