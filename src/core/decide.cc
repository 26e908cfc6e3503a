// SPDX-License-Identifier: Apache-2.0
#include "core/decide.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/grants.h"
#include "core/period.h"

// The steps below carry the numbers of decision.md. Each either goes on or denies; what a denial
// leaves behind is put together in one place, deny().
namespace limitr::core {
namespace {

using amount::less;
using amount::less_or_equal;
using policy::Policy;
using state::Family;

Error invalid_value(std::string message) {
  return {.code = ErrorCode::invalid_value, .message = std::move(message)};
}

// What a call meets beside its meter. Most meet nothing, and do not pay for it.
struct Spending {
  std::vector<AppliedCap> caps;
  std::optional<Grants> grants;  // the owner's, up to date; none: not looked at, or none held
  std::optional<double> grants_remaining;
  std::optional<Grants> drawn;  // after drawing
  std::optional<state::VoucherMove> voucher;

  // For the answer and the events.
  bool shows_grants = false;
  std::optional<CallEvents::Crossing> full_cap;
  std::vector<CallEvents::Crossing> crossings;
  std::vector<Family::Index> cap_holders;
};

class Decider {
public:
  Decider(const Policy& policy, const Family& family, const CallInput& input, IdSource& ids,
          Decision& decision, Outcome& out)
      : policy_(policy),
        family_(family),
        input_(input),
        options_(*input.options),
        ids_(ids),
        decision_(decision),
        out_(out),
        exchange_(policy, input.rates),
        limit_(*out.target.limit),
        credit_(*policy.credit(limit_.credit)),
        owner_(family[out.target.owner]),
        entitlement_(out.target.entitlement->name),
        meter_(owner_.meter(entitlement_)),
        extra_(owner_.extra(entitlement_)),
        period_(
            period_at(limit_.reset, meter_ != nullptr ? meter_->started : input.now, input.now)),
        begins_(period_.began || meter_ == nullptr),
        stored_(meter_ != nullptr ? meter_->value : 0),
        before_(begins_ ? 0 : stored_) {}

  void run();

private:
  [[gnu::always_inline]] inline bool allows();
  bool read_value();
  bool read_caps();
  void measure();
  bool caps_have_room();
  bool find_full_cap(double units, double position, double overage, double overage_position,
                     bool before_grants);
  bool governor_allows();
  [[gnu::always_inline]] inline bool fits(double value, double from) const;
  [[gnu::always_inline]] inline bool limit_allows();
  bool draw_grants();
  bool draw_from_grants();
  bool voucher_covers();
  [[gnu::always_inline]] inline void commit();
  void commit_meter();
  void commit_spending();
  void commit_caps();
  void settle_hold(const Settlement& settlement);
  void fill_events();

  void bring_grants_up_to_date();
  double grants_remaining();
  void fail(Error error) { out_.error = std::move(error); }
  bool deny(Reason reason);
  void answer();
  [[gnu::always_inline]] inline double smoothed_rate() const;
  /// The meter's, in today's period.
  MaybeAmount overhead_before() const {
    if (period_.began) return 0.0;
    return meter_ != nullptr ? meter_->overhead : MaybeAmount();
  }

  double overhead_rate() const {  // r
    return units_ != 0 ? overhead_ / units_ : credit_.overhead_cost;
  }
  double overage_at(double value) const {
    return value > before_ ? value - std::max(before_, limit_.value) : value - limit_.value;
  }
  bool is_hard() const { return limit_.mode == Mode::hard && !options_.force; }
  bool unforced_use() const { return units_ > 0 && !options_.force; }

  const Policy& policy_;
  const Family& family_;
  const CallInput& input_;
  const CallOptions& options_;
  IdSource& ids_;
  Decision& decision_;
  Outcome& out_;
  const Exchange exchange_;
  const Limit& limit_;
  const policy::Credit& credit_;
  const state::Customer& owner_;
  const Symbol entitlement_;
  const state::Meter* meter_;  // null: the owner has none yet
  const state::MeterExtra* extra_;

  const Period period_;
  const bool begins_;    // the period, or the meter
  const double stored_;  // m0
  const double before_;  // m
  double units_ = 0;     // v
  double after_ = 0;     // n
  double overhead_ = 0;  // o
  double overhead_after_ = 0;
  HeldRoom held_{};        // h, ho
  double doubt_ = 0;       // what other engines may have used besides
  double gate_units_ = 0;  // gv
  double gate_after_ = 0;  // gn
  double overage_ = 0;
  double gate_overage_ = 0;
  double position_ = 0;  // p
  double billable_ = 0;  // b
  MaybeAmount price_diff_;
  bool fits_alone_ = true;
  MaybeAmount tokens_;  // the governor's, when the call was put before it
  double covered_ = 0;  // by grants
  double left_ = 0;     // of the overage, to be billed
  MaybeAmount left_price_;
  std::optional<Spending> spending_;  // none: there are no caps and no grants to meet
};

void Decider::run() {
  if (!read_value()) return;
  measure();
  if (!std::isfinite(after_) || !std::isfinite(overhead_after_)) {
    return fail(invalid_value("the call takes the meter beyond the range of a number"));
  }
  if (allows()) {
    commit();
  } else if (out_.error) {
    return;
  }
  answer();
  if (input_.wants_events) fill_events();
}

// Steps 8 to 12. False: the call is denied, or fails.
bool Decider::allows() {
  if (family_[Family::caller].rest || owner_.rest || !options_.caps.empty()) {
    spending_.emplace();
    if (!read_caps()) return false;
    if (unforced_use() && !caps_have_room()) return false;
    if (limit_.grants_apply && !options_.force) bring_grants_up_to_date();
  }
  if (limit_.has_governor() && unforced_use() && !governor_allows()) return false;
  fits_alone_ = fits(after_, before_);
  if (!limit_allows()) return false;
  return fits_alone_ || (draw_grants() && voucher_covers());
}

// Step 2.
bool Decider::read_value() {
  if (options_.overhead && !std::isfinite(*options_.overhead)) {
    return fail(invalid_value("the overhead is not a finite number")), false;
  }
  if (input_.increments != 0) {
    const Result<double> increment = limit_.increment_in(credit_.stof_units);
    if (!increment.ok()) return fail(increment.error()), false;
    units_ = input_.increments * *increment;
    return true;
  }
  if (is_plain(input_.value, credit_.stof_units)) {
    units_ = input_.value.number();
  } else {
    Result<double> units = quantity(input_.value, credit_.stof_units);
    if (!units.ok()) return fail(std::move(units).error()), false;
    units_ = *units;
  }
  if (input_.value_is_target) units_ -= before_;
  return true;
}

// Steps 4 to 7.
void Decider::measure() {
  after_ = before_ + units_;
  if (limit_.minimum.has_value()) after_ = std::max(after_, *limit_.minimum);

  overhead_ = options_.overhead ? *options_.overhead
                                : input_.host_overhead.value_or(units_ * credit_.overhead_cost);
  overhead_ += 0.0;  // Giving units back that cost nothing costs 0, not -0.
  overhead_after_ = overhead_before().value_or(0) + overhead_;

  if (units_ > 0 && extra_ != nullptr) held_ = held_room(extra_, input_.now);
  if (units_ > 0 && owner_.cloud != nullptr && !begins_) doubt_ = doubted(owner_, entitlement_);
  gate_units_ = units_ + held_.value;
  gate_after_ = after_ + held_.value + doubt_;

  const double limit = limit_.value;
  overage_ = overage_at(after_);
  gate_overage_ = overage_at(gate_after_);
  position_ = before_ - limit;
  billable_ = std::max(0.0, position_);
  const double billable_diff = std::max(0.0, after_ - limit) - billable_;
  // Nothing billable costs nothing, wherever there is a price at all.
  if (billable_diff != 0) {
    price_diff_ = exchange_.to_runes(billable_diff, limit_.credit, billable_);
  } else if (exchange_.convertible(credit_)) {
    price_diff_ = 0.0;
  }
}

bool Decider::read_caps() {
  std::vector<AppliedCap>& caps = spending_->caps;
  caps = standing_caps(family_, input_.now, /*own=*/true, out_.upkeep);
  for (const CallCap& cap : options_.caps) {
    const Symbol credit = policy_.names->find(cap.credit);
    if (!std::isfinite(cap.value)) {
      return fail(invalid_value("the call's cap is not a finite number")), false;
    }
    if (!policy_.is_currency(credit)) {
      return fail({.code = ErrorCode::invalid_argument,
                   .message = fmt::format("the call's cap names `{}`, which is no credit or "
                                          "currency of this policy",
                                          cap.credit)}),
             false;
    }
    caps.push_back(call_cap(cap, credit, input_.now));
  }
  if (!caps.empty()) keep_applicable(caps, exchange_, entitlement_, limit_.credit);
  return true;
}

// Step 8. The first pass looks at the whole call, the second at what grants would leave of it.
bool Decider::caps_have_room() {
  if (spending_->caps.empty()) return true;
  // What is in doubt of a cap is the cap's own figure.
  const double gate_overage = std::max(0.0, overage_at(gate_after_ - doubt_));
  if (find_full_cap(gate_units_, position_, gate_overage, billable_, /*before_grants=*/true)) {
    return deny(Reason::cap);
  }
  if (limit_.grants_apply) bring_grants_up_to_date();
  const double grants = limit_.grants_apply ? grants_remaining() : 0;
  const double uncovered = amount::positive_part(gate_units_ - grants);
  const double overage = amount::positive_part(gate_overage - grants);
  if (uncovered > 0 &&
      find_full_cap(uncovered, position_ + (gate_units_ - uncovered), overage,
                    billable_ + (gate_overage - overage), /*before_grants=*/false)) {
    return deny(Reason::cap);
  }
  return true;
}

bool Decider::find_full_cap(double units, double position, double overage, double overage_position,
                            bool before_grants) {
  const double gate_rate =
      held_.value != 0 ? (overhead_ + held_.overhead) / gate_units_ : overhead_rate();
  for (const AppliedCap& applied : spending_->caps) {
    const state::Cap& cap = applied.cap;
    if (before_grants && cap.ignore_grants) continue;
    const auto consumed =
        consumption(cap, exchange_, limit_.credit, cap.overage_only ? overage : units,
                    cap.overage_only ? overage_position : position, gate_rate);
    const double in_doubt =
        applied.call_scoped ? 0 : doubted_of_cap(family_[applied.holder], applied.cap);
    if (has_room(cap, consumed, in_doubt)) continue;
    spending_->full_cap = {applied.holder, applied.call_scoped, cap};
    return true;
  }
  return false;
}

// Step 9.
bool Decider::governor_allows() {
  tokens_ = governor_tokens(limit_, extra_, begins_, input_.now);
  if (!less(*tokens_, units_)) return true;
  return deny(Reason::governor);
}

bool Decider::fits(double value, double from) const {
  if (limit_.mode == Mode::observe || less_or_equal(value, from)) return true;
  if (limit_.hard_trailing && limit_.mode == Mode::hard) return less(from, limit_.value);
  return less_or_equal(value, limit_.value);
}

// Step 10.
bool Decider::limit_allows() {
  const double others = held_.value + doubt_;
  const bool gate_fits = others != 0 ? fits(gate_after_, before_ + others) : fits_alone_;
  if ((fits_alone_ && gate_fits) || limit_.mode == Mode::soft || options_.force) return true;
  const bool on_grants = limit_.grants_apply && amount::is_positive(gate_overage_) &&
                         less_or_equal(gate_overage_, grants_remaining());
  return on_grants || deny(Reason::limit);
}

// Step 11.
bool Decider::draw_grants() {
  left_ = std::max(0.0, overage_);
  if (limit_.grants_apply && amount::is_positive(left_)) {
    if (spending_) bring_grants_up_to_date();
    if (spending_ && spending_->grants && !draw_from_grants()) return deny(Reason::limit);
    if (is_hard() && left_ > 0) return deny(Reason::limit);
  }
  left_price_ = exchange_.to_runes(left_, limit_.credit, billable_ + covered_);
  return true;
}

// Follows the topups and draws. False: a hard call's overage is not covered after all; the grants
// have followed their topups all the same, and nothing is drawn.
bool Decider::draw_from_grants() {
  const Grants& held = *spending_->grants;
  Grants& drawn = spending_->drawn.emplace(held);
  spending_->shows_grants = !held.empty();
  const policy::Plan* plan = plan_of(policy_, family_, out_.target.owner);
  if (!held.empty() && plan != nullptr) {
    follow_topups(drawn, *plan, owner_.type, input_.now, ids_);
  }
  const std::optional<Grants> followed = is_hard() ? std::optional(drawn) : std::nullopt;
  covered_ = draw(drawn, exchange_, policy_.grant_strategy, limit_.credit, left_, billable_);
  left_ = amount::positive_part(left_ - covered_);
  if (!is_hard() || left_ <= 0) return true;
  out_.changes.moves = grant_moves(out_.target.owner, held, *followed);
  return false;
}

// Step 12. A voucher that cannot be read covers nothing.
bool Decider::voucher_covers() {
  if (!spending_) return true;
  const Json& metadata = family_[Family::caller].more().metadata;
  if (options_.force || !amount::is_positive(left_) || !metadata.is_object()) return true;
  const auto expires = metadata.find("limitr_voucher_expires");
  if (!metadata.contains("limitr_voucher") || expires == metadata.end()) return true;
  const bool expired =
      !expires->is_number() || expires->get<double>() < static_cast<double>(to_ms(input_.now));
  if (expired) return deny(Reason::voucher);
  const auto runes = metadata.find("limitr_voucher_runes");
  if (runes == metadata.end() || runes->is_null()) return true;
  if (!runes->is_number() || !left_price_.has_value()) return deny(Reason::voucher);
  const double balance = runes->get<double>();
  const double price = std::max(0.0, *left_price_);
  if (less(balance, price)) return deny(Reason::voucher);
  spending_->voucher = state::VoucherMove{Family::caller, -price, balance - price};
  return true;
}

// Step 13.
void Decider::commit() {
  commit_meter();
  state::Moves& moves = out_.changes.moves;
  if (spending_) commit_spending();
  if (units_ != 0 && extra_ != nullptr) {
    for (const state::Hold& hold : extra_->holds) {
      if (hold.expires >= input_.now) continue;
      moves.push_back(state::HoldRemoval{out_.target.owner, entitlement_, hold.id});
    }
  }
  if (input_.settles != nullptr) settle_hold(*input_.settles);
  decision_.allowed = true;
}

void Decider::commit_meter() {
  out_.changes.meter = state::MeterMove{.customer = out_.target.owner,
                                        .entitlement = entitlement_,
                                        .credit = limit_.credit,
                                        .began_period = begins_,
                                        .noted = true,
                                        .started = period_.start,
                                        .value_delta = after_ - before_,
                                        .value = after_,
                                        .overhead_delta = overhead_,
                                        .overhead = overhead_after_,
                                        .ewma_rate = smoothed_rate(),
                                        .call = {input_.now, units_}};

  const bool governed = limit_.has_governor() && !options_.force;
  if (!governed) {
    // A period that begins empties the bucket's record; forced calls neither refill nor take.
    if (period_.began && extra_ != nullptr && extra_->governor_tokens.has_value()) {
      out_.changes.governor = {out_.target.owner, entitlement_, 0, {}, {}};
    }
    return;
  }
  const double taken = tokens_.has_value() ? units_ : 0;
  if (!tokens_.has_value()) {
    tokens_ = governor_tokens(limit_, extra_, begins_, input_.now);
  }
  out_.changes.governor = {out_.target.owner, entitlement_, -taken, *tokens_ - taken, input_.now};
}

// spec: decision.md, Rate history
double Decider::smoothed_rate() const {
  if (begins_) return 0;
  const MaybeAmount smoothed = meter_->ewma_rate;
  if (meter_->history.size() == 0) return smoothed.value_or(0);
  const double rate = meter_->history.rate_with(input_.now, units_);
  if (!smoothed.has_value()) return rate;
  return limit_.ewma_alpha * rate + (1 - limit_.ewma_alpha) * *smoothed;
}

// Puts together what caps, grants and a voucher come to.
void Decider::commit_spending() {
  state::Moves& moves = out_.changes.moves;
  if (spending_->drawn) {
    moves = grant_moves(out_.target.owner, *spending_->grants, *spending_->drawn);
  }
  if (spending_->voucher) moves.push_back(*spending_->voucher);
  commit_caps();
}

void Decider::commit_caps() {
  std::vector<Family::Index>& holders = spending_->cap_holders;
  for (AppliedCap& applied : spending_->caps) {
    state::Cap& cap = applied.cap;
    if (units_ < 0 && !cap.follow_decrements) continue;
    // Only a call that does not fit on its own has overage to count.
    double units = units_;
    double position = position_;
    if (cap.overage_only) {
      units = fits_alone_ ? 0 : std::max(0.0, overage_);
      position = billable_;
    }
    if (cap.ignore_grants) {
      units = std::max(0.0, units - covered_);
      position += covered_;
    }
    const auto consumed =
        consumption(cap, exchange_, limit_.credit, units, position, overhead_rate());
    if (!consumed || *consumed == 0) continue;
    const double old = cap.meter_value;
    cap.meter_value += *consumed;
    if (less(old, cap.value) && less_or_equal(cap.value, cap.meter_value)) {
      spending_->crossings.push_back({applied.holder, applied.call_scoped, cap});
    }
    if (applied.call_scoped) continue;
    out_.changes.moves.push_back(state::CapMove{applied.holder, cap.id, *consumed, cap.meter_value,
                                                cap.started, cap.last_reset});
    if (applied.holder != out_.target.owner &&
        std::find(holders.begin(), holders.end(), applied.holder) == holders.end()) {
      holders.push_back(applied.holder);
    }
  }
}

// Drops the hold and learns from what it came to: by the arguments, else what the hold keeps, else
// the event data. An unknown or expired hold still records.
void Decider::settle_hold(const Settlement& settlement) {
  std::optional<double> basis = settlement.basis;
  std::optional<std::string> segment = settlement.segment;
  const state::EstimateStats* known = nullptr;
  if (extra_ != nullptr) {
    for (const state::Hold& hold : extra_->holds) {
      if (hold.id != settlement.hold) continue;
      if (!basis) basis = hold.basis.optional();
      if (!segment && !hold.segment.empty()) segment = hold.segment;
      // An expired one is being dropped already.
      if (hold.expires >= input_.now || units_ == 0) {
        out_.changes.moves.push_back(state::HoldRemoval{out_.target.owner, entitlement_, hold.id});
      }
    }
  }
  const Json* context = options_.event_data ? &*options_.event_data : nullptr;
  Lesson& lesson = *(out_.lesson = std::make_unique<Lesson>());
  lesson.sample = sample_of(*out_.target.entitlement, context, basis, segment);
  lesson.value = units_;
  lesson.overhead = options_.overhead.value_or(units_ * credit_.overhead_cost);
  if (!lesson.sample.usable()) return;
  if (extra_ != nullptr) {
    for (const state::EstimateStats& stats : extra_->estimates) {
      if (stats.segment == lesson.sample.segment) known = &stats;
    }
  }
  out_.changes.moves.push_back(
      state::EstimateMove{out_.target.owner, entitlement_,
                          learn(known, lesson.sample, lesson.value, lesson.overhead, input_.now)});
}

// Leaves of a denied call: a period that began, and what the governor's rate history keeps.
bool Decider::deny(Reason reason) {
  decision_.reason = reason;
  const bool governed = reason == Reason::governor;
  if (begins_ || governed) {
    out_.changes.meter =
        state::MeterMove{.customer = out_.target.owner,
                         .entitlement = entitlement_,
                         .credit = meter_ != nullptr ? meter_->credit : limit_.credit,
                         .began_period = begins_,
                         .noted = governed,
                         .started = period_.start,
                         .value = before_,
                         .overhead = overhead_before(),
                         .ewma_rate = governed ? MaybeAmount(smoothed_rate()) : MaybeAmount(),
                         .call = {input_.now, units_}};
    if (governed) {
      out_.changes.governor = {out_.target.owner, entitlement_, 0, *tokens_, input_.now};
    } else if (period_.began && extra_ != nullptr && extra_->governor_tokens.has_value()) {
      out_.changes.governor = {out_.target.owner, entitlement_, 0, {}, {}};
    }
  }
  return false;
}

void Decider::answer() {
  using amount::rounded;
  Decision& decision = decision_;
  const double value = decision.allowed ? after_ : before_;
  decision.value = rounded(value);
  decision.limit = rounded(limit_.value);
  // Giving units back asks nobody what they may have used.
  const double in_doubt = owner_.cloud != nullptr && !begins_ ? doubted(owner_, entitlement_) : 0;
  decision.remaining = rounded(limit_.value - value - in_doubt);
  if (period_.next.has_value()) decision.resets = *period_.next;
  decision.overhead = rounded(overhead_);
  if (price_diff_.has_value()) decision.price_diff = rounded(*price_diff_);
  if (decision.allowed) {
    if (fits_alone_) return;
    decision.overage = rounded(left_);
    if (left_price_.has_value()) decision.overage_price = rounded(*left_price_);
    decision.grant_value_applied = rounded(covered_);
    return;
  }
  if (decision.reason == Reason::limit) decision.overage = rounded(overage_);
  if (decision.reason == Reason::cap) {
    const CallEvents::Crossing& full = *spending_->full_cap;
    DenyingCap cap;
    if (!full.call_scoped) cap.id = full.cap.id;
    cap.customer = family_[full.holder].id;
    decision.cap = std::make_shared<const DenyingCap>(std::move(cap));
  }
}

// Step 14: what the events are to say; nothing is built from it unless somebody listens.
void Decider::fill_events() {
  using Main = CallEvents::Main;
  CallEvents& events = *(out_.events = std::make_unique<CallEvents>());
  events.tokens = tokens_.value_or(0);
  events.capacity = limit_.governor_capacity.value_or(0);
  if (spending_) {
    events.shows_grants = spending_->shows_grants;
    events.cap = std::move(spending_->full_cap);
    events.crossings = std::move(spending_->crossings);
    events.cap_holders = std::move(spending_->cap_holders);
  }
  events.old = stored_;
  events.value = after_;
  events.limit = limit_.value;
  events.diff = units_;
  events.overhead_diff = overhead_;
  events.price_diff = price_diff_.optional();
  events.grant_value_applied = covered_;
  events.overhead =
      (out_.changes.meter ? out_.changes.meter->overhead : overhead_before()).value_or(0);
  if (decision_.allowed) {
    const bool changed = !amount::equal(after_, stored_) || !amount::is_zero(overhead_);
    if (!changed) return;
    const bool billed = !fits_alone_ && amount::is_positive(left_);
    events.main = billed ? Main::overage : Main::changed;
    events.reset = period_.began;
    events.shows_overage = events.shows_grants || billed;
    events.overage = left_;
    if (billed) events.overage_price = left_price_.optional();
    return;
  }
  events.overage = overage_;
  switch (*decision_.reason) {
    case Reason::limit:
      events.main = Main::limit;
      events.reset = period_.began;
      break;
    case Reason::governor: events.main = Main::governed; break;
    case Reason::cap: events.main = Main::cap; break;
    default: break;
  }
}

void Decider::bring_grants_up_to_date() {
  if (spending_->grants || !owner_.rest || owner_.rest->grants.empty()) return;
  Grants& grants = spending_->grants.emplace(owner_.rest->grants);
  bring_up_to_date(grants, input_.now);
  out_.upkeep.append(grant_moves(out_.target.owner, owner_.rest->grants, grants));
}

double Decider::grants_remaining() {
  if (!spending_ || !spending_->grants) return 0;
  std::optional<double>& known = spending_->grants_remaining;
  if (!known) known = remaining(*spending_->grants, exchange_, limit_.credit, billable_);
  return *known;
}

// A feature flag: allowed, and nothing is metered.
void decide_unmetered(const Family& family, const CallInput& input, Decision& decision,
                      Outcome& out) {
  const Result<double> value = input.value.is_text() ? quantity_as_written(input.value.text())
                                                     : quantity(input.value, Unit());
  if (!value.ok()) {
    out.error = value.error();
    return;
  }
  standing_caps(family, input.now, /*own=*/false, out.upkeep);
  decision.allowed = input.increments == 0;
  if (!decision.allowed) decision.reason = Reason::unknown_entitlement;
}

}  // namespace

Outcome decide(const Policy& policy, const Family& family, const CallInput& input, IdSource& ids,
               Decision& decision) {
  Outcome out(policy, family, input);
  if (out.target.denied) {
    decision.reason = out.target.denied;
    return out;
  }
  if (out.target.override_expired) {
    out.upkeep.push_back(state::OverrideRemoval{out.target.owner, out.target.entitlement->name});
  }
  if (out.target.limit == nullptr) {
    decide_unmetered(family, input, decision, out);
  } else {
    Decider(policy, family, input, ids, decision, out).run();
  }
  return out;
}

double governor_tokens(const Limit& limit, const state::MeterExtra* extra, bool period_began,
                       Timestamp now) {
  const double capacity = limit.governor_capacity.value_or(0);
  if (period_began || extra == nullptr || !extra->governor_tokens.has_value()) return capacity;
  const Timestamp last =
      extra->governor_last_refill.has_value() ? *extra->governor_last_refill : now;
  const auto elapsed = static_cast<double>(std::max<std::int64_t>(0, (now - last).count()));
  return std::min(capacity,
                  *extra->governor_tokens + elapsed * limit.governor_refill_rate.value_or(0));
}

HeldRoom held_room(const state::MeterExtra* extra, Timestamp now) {
  HeldRoom room;
  if (extra == nullptr) return room;
  for (const state::Hold& hold : extra->holds) {
    if (hold.expires < now) continue;
    room.value += hold.value;
    room.overhead += hold.overhead;
  }
  return room;
}

double doubted(const state::Customer& owner, Symbol entitlement) {
  const bool is_elsewhere = !owner.cloud->stay || !owner.cloud->stay->is_confirmed;
  if (!is_elsewhere && owner.cloud->doubts.empty()) return 0;
  return state::doubted(owner, entitlement, is_elsewhere);
}

double doubted_of_cap(const state::Customer& holder, const state::Cap& cap) {
  if (holder.cloud == nullptr) return 0;
  // Of the period that was found to run now; the holder may still have the one before.
  const state::Cap* stored = holder.cap(cap.id);
  if (stored == nullptr || state::period_of(*stored) != state::period_of(cap)) return 0;
  const bool is_elsewhere = !holder.cloud->stay || !holder.cloud->stay->is_confirmed;
  return state::doubted_of_cap(holder, cap.id, is_elsewhere);
}

}  // namespace limitr::core
