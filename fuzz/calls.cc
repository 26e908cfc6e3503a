// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "engines.h"
#include "fuzz.h"

// The input: calls on an engine with a rich policy, five bytes each; spaces and line breaks
// between the bytes do not count, so that people can write them:
//
//   what   a letter of the table at the end of this file, else any of them
//   who    the digits 0 to 3 are ann, bob, org and zed, who is not created at first
//   on     the digits 0 to 8 are the entitlements below, of which 0 has a hard limit that nothing
//   widens units  A is 1, B is 2 and so on; @ is 0, and the digits are negative how    a choice of
//   the call's own; for units 0 to 3 divide them, and letters replace them
//
// 1. check says what the allow that follows it says.
// 2. The hard limit is never passed.
// 3. Every number of every meter is one, and the books of grants balance.
// 4. A request counts once, and with the same arguments is never an error.
// 5. What is saved loads into a fresh engine, and each customer is then the same.
// 6. Events are JSON.
namespace limitr::fuzz {
namespace {

constexpr double hard_limit = 30;
constexpr std::size_t most_steps = 120;

// The running policy, and one that it is changed for; both have the hard limit.
constexpr std::string_view credits = R"(
policy:
  hold_ttl: 2hours
  request_limit: 3
  estimate_min_samples: 2
  credits:
    tok: { price: { amount: 1 }, overhead_cost: 0.1 }
    gold: { price: { amount: 4 }, overhead_fn: cost }
    tier:
      pricing_model: tiered
      tiers: &tiers [{ up_to: 5, price: { amount: 2 } }, { price: { amount: 0.3 } }]
    vol: { pricing_model: volume, tiers: *tiers }
    step: { pricing_model: stairstep, tiers: *tiers }
    space: { stof_units: MB, price: { amount: 0.25 } }
    seat: { stof_units: int }
  exchange: { coin: { value: 0.01 }, grant_strategy: cheapest_first }
  plans:
)";
constexpr std::string_view plans = R"(
    free:
      default: true
      entitlements:
        hard: { limit: { credit: tok, value: 30, grants_apply: false } }
        chat: { limit: { credit: tok, value: 20, increment: 3, resets: true, reset_inc: 6hours } }
        bill:
          limit: { credit: tier, value: 5, mode: soft, resets: true, reset_sch: "monthly:last" }
        many: { limit: { credit: vol, value: 5, mode: soft, minimum: 0 } }
        pack: { limit: { credit: step, value: 2, mode: observe } }
        disk: { limit: { credit: space, value: 3GB, hard_trailing: true } }
        seats: { scope: org, limit: { credit: seat, value: 5 } }
        fast:
          limit:
            { credit: gold, value: 90, governor_enabled: true, governor_capacity: 9,
              governor_refill_rate: 0.001 }
        flag: {}
      topups:
        gift: { credit: gold, value: 2, included: true, expires_after: 3days }
        extra:
          { credit: tok, value: 9, resets: true, reset_inc: 5hours, reset_mode: rollover,
            rollover_pct: 0.5, max_balance: 30 }
    pro:
      subscription: seats
      trial_period: 1day
      entitlements:
        hard: { limit: { credit: tok, value: 30, grants_apply: false } }
        chat: { limit: { credit: gold, value: 8, mode: soft } }
        seats: { limit: { credit: seat, value: 9 } }
      topups: { extra: { credit: gold, value: 7, resets: true, reset_mode: add } }
)";
constexpr std::string_view changed_plans = R"(
    free:
      default: true
      entitlements:
        hard: { limit: { credit: tok, value: 30, grants_apply: false } }
        talk: { renamed_from: [bill], limit: { credit: tok, value: 4, mode: soft } }
        chat: { limit: { credit: vol, value: 4, mode: soft } }
        seats: { limit: { credit: seat, value: 3 } }
)";

constexpr std::array customers = {"ann", "bob", "org", "zed"};
constexpr std::array entitlements = {"hard", "chat", "bill",  "many", "pack",
                                     "disk", "fast", "seats", "flag"};

struct Step {
  char what = 0;
  std::uint8_t who = 0, on = 0, units = 0, how = 0;

  const char* customer() const { return customers[who % customers.size()]; }
  const char* entitlement() const { return entitlements[on % entitlements.size()]; }
  bool is_hard() const { return on % entitlements.size() == 0; }
  double count() const { return static_cast<double>(units) - '@'; }
  std::size_t choice(std::size_t of) const { return how % of; }

  /// What the call uses: also what no customer would, and what is no number at all.
  Value value() const {
    switch (how) {
      case 'n': return std::nan("");
      case 'i': return HUGE_VAL;
      case 'h': return count() * 1e300;
      case 'b': return count() * 1e15;
      case 'e': return count() * 1e-9;
      case 'g': return "0.5GB";
      case 'x': return "5 parsecs";
      default: return count() / std::array{1.0, 3.0, 4.0, 1000.0}[choice(4)];
    }
  }
};

class World {
public:
  World() : clock_(std::make_shared<ManualClock>(start_ms)), limitr_(open()) {
    require(limitr_.create_customer("org", {.type = "org"}).ok(), "a customer is created");
    for (const char* id : {"ann", "bob"}) {
      const NewCustomer user{.refs = std::vector<std::string>{"org"}};
      require(limitr_.create_customer(id, user).ok(), "a customer is created", id);
    }
  }

  void allow(const Step& step) { decide(step, {}); }
  void force(const Step& step);
  void allow_with_overhead(const Step& step) { decide(step, {.overhead = step.how / 16.0}); }
  void allow_with_cap(const Step& step);
  void allow_once(const Step& step);
  void allow_many(const Step& step);
  void increment(const Step& step);
  void decrement(const Step& step);
  void set(const Step& step);

  void reserve(const Step& step);
  void settle(const Step& step);
  void release(const Step& step);
  void observe(const Step& step);

  void topup(const Step& step);
  void add_cap(const Step& step);
  void end_cap(const Step& step);
  void measure(const Step& step);
  void override_limit(const Step& step);
  void end_override(const Step& step);

  void create(const Step& step);
  void remove(const Step& step);
  void alias(const Step& step);
  void refer(const Step& step);
  void change_plan(const Step& step);
  void change_policy(const Step& step);
  void read(const Step& step);
  void restart(const Step& step);

  void wait(const Step& step) {
    clock_->advance(static_cast<std::int64_t>(step.count() * 1000 * 60) * (step.how % 64));
  }

  /// What must hold whatever was called.
  void check_state() {
    require_sound(limitr_);
    Limitr fresh = open();
    require_restorable(limitr_, fresh);
  }
  void check_hard_limit(const Step& step) {
    const auto value = limitr_.value(step.customer(), "hard");
    require(value.ok() && value->value_or(0) <= hard_limit + 1e-8, "the hard limit holds");
  }

private:
  std::string policy() const {
    return std::string(credits).append(is_changed_ ? changed_plans : plans);
  }
  Limitr open();
  void decide(const Step& step, const CallOptions& options);
  void require_agreement(const Result<Decision>& promised, const Result<Decision>& decided);

  std::shared_ptr<ManualClock> clock_;
  bool is_changed_ = false;
  Limitr limitr_;
  std::string hold_ = "none";
};

Limitr World::open() {
  Options options = quiet_options(clock_);
  options.host.overhead["cost"] = [](double units, const Json&) { return units / 2; };
  Result<Limitr> opened = Limitr::open(policy(), std::move(options));
  require(opened.ok(), "the policy opens", opened.ok() ? "" : opened.error().to_string());
  opened->add_handler("look", [](const Event& event) {
    require(Json::accept(event.payload), "an event is JSON", event.payload);
  });
  return *std::move(opened);
}

// What a call answers is known, whatever becomes of it: only that it was answered matters.
template <typename T>
void answered(const Result<T>& result) {
  if (!result.ok()) require(!result.error().message.empty(), "a failure says why");
}

void World::require_agreement(const Result<Decision>& promised, const Result<Decision>& decided) {
  require(promised.ok() == decided.ok(), "check fails where allow fails");
  if (!decided.ok()) return answered(decided);
  const std::string text = to_json(*decided);
  require(to_json(*promised) == text, "check says what allow says", to_json(*promised) + text);
  require(!decided->value || std::isfinite(*decided->value), "a meter is a number", text);
}

void World::decide(const Step& step, const CallOptions& options) {
  const auto promised = limitr_.check(step.customer(), step.entitlement(), step.value(), options);
  require_agreement(promised,
                    limitr_.allow(step.customer(), step.entitlement(), step.value(), options));
}

// Force is what passes a hard limit on purpose.
void World::force(const Step& step) { decide(step, {.force = !step.is_hard()}); }

void World::allow_with_cap(const Step& step) {
  const std::array names = {"rune", "tok", "gold", "coin"};
  const CallCap cap{.credit = names[step.choice(4)],
                    .value = step.how / 8.0,
                    .overage_only = step.how % 3 == 1,
                    .ignore_grants = step.how % 5 == 1,
                    .observe_only = step.how % 7 == 1,
                    .overhead_cost = step.how % 11 == 1,
                    .hard_trailing = step.how % 2 == 1};
  decide(step, {.caps = {cap}});
}

void World::allow_once(const Step& step) {
  const std::string request = "r" + std::to_string(step.choice(5));
  const CallOptions options{.request = request};
  const auto first = limitr_.allow(step.customer(), step.entitlement(), step.value(), options);
  if (!first.ok() || !first->allowed) return;
  const std::string before = limitr_.customers().value();
  const auto again = limitr_.allow(step.customer(), step.entitlement(), step.value(), options);
  require(again.ok(), "a request is the same with the same arguments", request);
  if (!again->repeated) return;
  require(limitr_.customers().value() == before, "a repeated request changes nothing", before);
  Decision same = *again;
  same.repeated = first->repeated;
  require(to_json(same) == to_json(*first), "a repeated request has its answer", to_json(same));
}

void World::allow_many(const Step& step) {
  const std::array calls = {
      Call{step.customer(), step.entitlement(), step.value()},
      Call{customers[step.choice(4)], step.entitlement(), 1},
      Call{step.customer(), "hard", step.value()},
  };
  for (const auto& decided : limitr_.allow_many(calls)) answered(decided);
}

void World::increment(const Step& step) {
  const auto promised = limitr_.check_increment(step.customer(), step.entitlement());
  require_agreement(promised, limitr_.increment(step.customer(), step.entitlement()));
}

void World::decrement(const Step& step) {
  const auto promised = limitr_.check_decrement(step.customer(), step.entitlement());
  require_agreement(promised, limitr_.decrement(step.customer(), step.entitlement()));
}

void World::set(const Step& step) {
  answered(limitr_.set(step.customer(), step.entitlement(), step.value()));
}

void World::reserve(const Step& step) {
  ReserveOptions options;
  if (step.how != '9') options.value = step.value();
  if (step.choice(3) == 1) options.ttl = "3hours";
  if (step.choice(5) == 2) options.segment = "big";
  if (step.choice(7) == 3) options.basis = step.count();
  const auto held = limitr_.reserve(step.customer(), step.entitlement(), options);
  answered(held);
  if (held.ok() && *held) hold_ = **held;
}

void World::settle(const Step& step) {
  // To settle is to record by force.
  if (step.is_hard()) return release(step);
  SettleOptions options;
  if (step.choice(3) == 1) options.overhead = step.how / 9.0;
  if (step.choice(5) == 2) options.segment = "big";
  answered(limitr_.settle(step.customer(), step.entitlement(), hold_, step.value(), options));
}

void World::release(const Step& step) {
  answered(limitr_.release(step.customer(), step.entitlement(), hold_));
}

void World::observe(const Step& step) {
  EstimateOptions options;
  if (step.choice(2) == 1) options.basis = step.count();
  if (step.choice(3) == 1) options.segment = "big";
  answered(limitr_.observe(step.customer(), step.entitlement(), step.value(), options));
  answered(limitr_.estimate(step.customer(), step.entitlement(), options));
}

void World::topup(const Step& step) {
  answered(limitr_.apply_customer_topup(step.customer(), step.choice(4) == 0 ? "gift" : "extra"));
  answered(limitr_.ensure_plan_subscription(step.customer()));
}

void World::add_cap(const Step& step) {
  const std::array names = {"rune", "tok", "gold", "coin", "step"};
  const std::string id = "c" + std::to_string(step.choice(6));
  CapOptions cap{.cap = id, .credit = names[step.choice(5)]};
  cap.overage_only = step.how % 4 == 1;
  cap.ignore_grants = step.how % 4 == 2;
  cap.observe_only = step.how % 7 == 1;
  cap.overhead_cost = step.how % 11 == 1;
  cap.follow_decrements = step.how % 2 == 1;
  cap.shared = step.units % 3 == 1;
  if (step.units % 5 == 1) cap.scope = {step.entitlement()};
  cap.resets = step.units % 2 == 1;
  if (step.units % 4 == 1) cap.reset_sch = "weekly:mon";
  if (step.how % 9 == 1) cap.expires_on = clock_->now() + std::chrono::hours(5);
  answered(limitr_.add_customer_cap(step.customer(), step.count(), cap));
}

void World::end_cap(const Step& step) {
  const std::string id = "c" + std::to_string(step.choice(6));
  answered(limitr_.customer_cap(step.customer(), id));
  answered(step.units % 2 == 0 ? limitr_.reset_customer_cap(step.customer(), id)
                               : limitr_.remove_customer_cap(step.customer(), id));
}

void World::measure(const Step& step) {
  if (step.choice(2) == 0) {
    answered(limitr_.start_margin_measurement(step.customer(), "m"));
  } else {
    answered(limitr_.capture_margin_measurement(step.customer(), "m"));
  }
}

void World::override_limit(const Step& step) {
  if (step.is_hard()) return;
  OverrideOptions own{.value = step.value()};
  own.mode = std::array{"hard", "soft", "observe"}[step.choice(3)];
  if (step.choice(5) == 1) own.credit = "gold";
  if (step.choice(5) == 2) own.reset_sch = "nth_weekday:2:tue";
  if (step.choice(5) == 3) own.increment = "1GB";
  if (step.choice(2) == 1) own.expires = clock_->now() + std::chrono::hours(step.units);
  answered(limitr_.create_customer_override(step.customer(), step.entitlement(), own));
}

void World::end_override(const Step& step) {
  answered(limitr_.remove_customer_override(step.customer(), step.entitlement()));
}

void World::create(const Step& step) {
  const std::array plan_names = {"", "free", "pro", "nowhere"};
  NewCustomer customer{.plan = plan_names[step.choice(4)]};
  customer.type = step.units % 4 == 1 ? "org" : "user";
  if (step.units % 3 == 1) customer.metadata = Json{{"seen", step.count()}};
  answered(limitr_.create_customer(step.customer(), customer));
}

void World::remove(const Step& step) { answered(limitr_.delete_customer(step.customer())); }

void World::alias(const Step& step) {
  const char* alt = step.choice(3) == 0 ? "zed" : "other";
  answered(step.units % 4 == 1 ? limitr_.delete_alt_customer_id(alt)
                               : limitr_.set_alt_customer_id(step.customer(), alt));
}

void World::refer(const Step& step) {
  std::vector<std::string> refs = {customers[step.choice(4)]};
  if (step.units % 2 == 1) refs.emplace_back("bob");
  answered(limitr_.set_customer_refs(step.customer(), refs));
}

void World::change_plan(const Step& step) {
  const std::array plan_names = {"free", "pro", "nowhere"};
  answered(
      limitr_.set_customer_plan(step.customer(), plan_names[step.choice(3)], step.units % 2 == 1));
}

void World::change_policy(const Step& step) {
  is_changed_ = step.choice(2) == 1;
  const auto set = limitr_.set_policy(policy(), Format::yaml);
  require(set.ok(), "a good policy is taken", set.ok() ? "" : set.error().to_string());
}

void World::read(const Step& step) {
  const char* who = step.customer();
  const char* what = step.entitlement();
  const bool flag = step.choice(2) == 1;
  const auto is_number = [](const auto& read) {
    require(read.ok() && std::isfinite(read->value_or(0)), "what is read is a number");
  };
  is_number(limitr_.value(who, what, flag));
  is_number(limitr_.remaining(who, what, flag));
  is_number(limitr_.limit(who, what, flag));
  is_number(limitr_.allowance(who, what, flag));
  is_number(limitr_.cost(who, what));
  is_number(limitr_.projected_exhaustion(who, what, flag));
  is_number(limitr_.credit_remaining(who, "tok"));
  require(std::isfinite(limitr_.held(who, what).value()), "what is held is a number");
  require(std::isfinite(limitr_.rate(who, what).value()), "a rate is a number");
  require(std::isfinite(limitr_.acceleration(who, what).value()), "a rate is a number");
  answered(limitr_.resets(who, what));
  answered(limitr_.customer_margin(who));
  answered(limitr_.meter(who, what));
  answered(limitr_.limit_object(who, what));
}

void World::restart(const Step&) {
  check_state();
  Limitr fresh = open();
  require(fresh.load_customers(limitr_.export_state().value()).ok(), "an export can be loaded");
  limitr_ = std::move(fresh);
}

using Play = void (World::*)(const Step&);
constexpr std::array<std::pair<char, Play>, 28> table = {{
    {'a', &World::allow},          {'f', &World::force},      {'o', &World::allow_with_overhead},
    {'c', &World::allow_with_cap}, {'q', &World::allow_once}, {'m', &World::allow_many},
    {'i', &World::increment},      {'d', &World::decrement},  {'s', &World::set},
    {'r', &World::reserve},        {'S', &World::settle},     {'R', &World::release},
    {'e', &World::observe},        {'t', &World::topup},      {'C', &World::add_cap},
    {'K', &World::end_cap},        {'M', &World::measure},    {'O', &World::override_limit},
    {'X', &World::end_override},   {'N', &World::create},     {'D', &World::remove},
    {'A', &World::alias},          {'F', &World::refer},      {'P', &World::change_plan},
    {'Y', &World::change_policy},  {'V', &World::read},       {'L', &World::restart},
    {'T', &World::wait},
}};

Play find(char what) {
  for (const auto& [letter, play] : table) {
    if (letter == what) return play;
  }
  return table[static_cast<std::uint8_t>(what) % table.size()].second;
}

std::optional<Step> next_step(std::string_view& rest) {
  std::array<std::uint8_t, 5> bytes;
  for (std::uint8_t& byte : bytes) {
    while (!rest.empty() && (rest.front() == '\n' || rest.front() == ' ')) rest.remove_prefix(1);
    if (rest.empty()) return std::nullopt;
    byte = static_cast<std::uint8_t>(rest.front());
    rest.remove_prefix(1);
  }
  return Step{static_cast<char>(bytes[0]), bytes[1], bytes[2], bytes[3], bytes[4]};
}

}  // namespace
}  // namespace limitr::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace limitr::fuzz;
  std::string_view rest = text_of(data, size);
  World world;
  for (std::size_t played = 0; played < most_steps; ++played) {
    const auto step = next_step(rest);
    if (!step) break;
    (world.*find(step->what))(*step);
    world.check_hard_limit(*step);
  }
  world.check_state();
  return 0;
}
