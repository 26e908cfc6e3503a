// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <map>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <limitr/limitr.h>
#include <rapidcheck/gtest.h>

#include "core/price.h"
#include "manual_clock.h"

// What holds in every state that random policies and random calls lead to. A failure prints the
// policy, the steps and a seed; RC_PARAMS="seed=..." plays it again.
namespace limitr {
namespace {

constexpr std::int64_t start_ms = 1'767'225'600'000;  // 2026-01-01
constexpr std::int64_t hour_ms = 3'600'000;

// What a random policy is made of: numbers, so that they shrink.
struct Shape {
  int mode = 0, price = 0, resets = 0, minimum = 0, strategy = 0, topup_mode = 0, limit = 0;
  bool trailing = false, governor = false, scoped = false, grants_apply = true;

  double lowest() const {
    if (minimum == 0) return -std::numeric_limits<double>::infinity();
    return minimum == 1 ? 0 : -5;
  }
  Json policy() const;
};

Json price_of(int kind) {
  const auto tiers = [](const char* model) {
    const auto band = [](const Json& up_to, double amount) {
      return Json{{"up_to", up_to}, {"price", {{"amount", amount}}}};
    };
    return Json{{"pricing_model", model},
                {"tiers", {band(5, 2), band(12, 0.75), band(nullptr, 0.3)}}};
  };
  switch (kind) {
    case 0: return {{"price", {{"amount", 1}}}};
    case 1: return tiers("tiered");
    case 2: return tiers("volume");
    default: return Json::object();
  }
}

void add_reset(Json& to, int kind) {
  if (kind == 0) return;
  to["resets"] = true;
  if (kind == 1) to["reset_inc"] = "6hours";
  if (kind == 2) to["reset_sch"] = "weekly:mon";
}

Json Shape::policy() const {
  Json tok = price_of(price);
  tok["overhead_cost"] = 0.1;
  Json main = {{"credit", "tok"},
               {"value", limit},
               {"increment", 3},
               {"mode", std::array{"hard", "soft", "observe"}[static_cast<std::size_t>(mode)]},
               {"grants_apply", grants_apply}};
  if (mode == 0) main["hard_trailing"] = trailing;
  if (minimum != 0) main["minimum"] = lowest();
  if (governor && mode == 0) {
    main["governor_enabled"] = true;
    main["governor_capacity"] = 12;
    main["governor_refill_rate"] = 0.001;
  }
  add_reset(main, resets);
  Json metered = {{"limit", main}};
  if (scoped) metered["scope"] = "org";
  Json extra = {{"credit", "tok"}, {"value", 9}};
  add_reset(extra, topup_mode % 3);
  if (topup_mode % 3 != 0) {
    extra["reset_mode"] =
        std::array{"hard", "add", "rollover"}[static_cast<std::size_t>(topup_mode / 3)];
    extra["max_balance"] = 30;
    if (topup_mode / 3 == 2) extra["rollover_pct"] = 0.5;
  }
  const Json gift = {{"credit", "gold"}, {"value", 2}, {"included", true}};
  const Json plan = {{"default", true},
                     {"entitlements",
                      {{"main", metered},
                       {"other", {{"limit", {{"credit", "gold"}, {"value", 4}}}}},
                       {"flag", Json::object()}}},
                     {"topups", {{"extra", extra}, {"gift", gift}}}};
  const auto order = std::array{"expires_first", "cheapest_first", "valuable_first"};
  return {{"policy",
           {{"credits", {{"tok", tok}, {"gold", {{"price", {{"amount", 4}}}}}}},
            {"grant_strategy", order[static_cast<std::size_t>(strategy)]},
            {"plans", {{"pro", plan}}}}}};
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.policy(); }

rc::Gen<Shape> shapes() {
  using rc::gen::inRange;
  using rc::gen::set;
  return rc::gen::build<Shape>(
      set(&Shape::mode, inRange(0, 3)), set(&Shape::price, inRange(0, 4)),
      set(&Shape::resets, inRange(0, 3)), set(&Shape::minimum, inRange(0, 3)),
      set(&Shape::strategy, inRange(0, 3)), set(&Shape::topup_mode, inRange(0, 9)),
      set(&Shape::limit, inRange(0, 30)), set(&Shape::trailing), set(&Shape::governor),
      set(&Shape::scoped), set(&Shape::grants_apply));
}

// One thing that happens.
struct Step {
  enum Kind {
    call,
    forced,
    with_overhead,
    with_cap,
    increment,
    set,
    topup,
    time,
    cap,
    own_limit,
    reserve,
    settle,
    release,
    observe,
    kinds
  };
  int kind = 0, who = 0, amount = 0, option = 0;

  // A third or a quarter of the number: sums of thirds are never exact.
  double units() const { return amount / (option % 2 == 0 ? 3.0 : 4.0); }
  bool decides() const { return kind <= increment; }
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
  constexpr std::array names = {"call",    "forced", "with_overhead", "with_cap", "increment",
                                "set",     "topup",  "time",          "cap",      "own_limit",
                                "reserve", "settle", "release",       "observe"};
  return out << names[static_cast<std::size_t>(step.kind)] << "(who " << step.who << ", units "
             << step.units() << ", option " << step.option << ")";
}

// Calls are what happens most.
rc::Gen<int> kinds() {
  return rc::gen::weightedOneOf<int>(
      {{3, rc::gen::just<int>(Step::call)}, {4, rc::gen::inRange<int>(0, Step::kinds)}});
}

rc::Gen<std::vector<Step>> step_lists() {
  return rc::gen::container<std::vector<Step>>(rc::gen::build<Step>(
      rc::gen::set(&Step::kind, kinds()), rc::gen::set(&Step::who, rc::gen::inRange(0, 3)),
      rc::gen::set(&Step::amount, rc::gen::inRange(-20, 60)),
      rc::gen::set(&Step::option, rc::gen::inRange(0, 12))));
}

constexpr std::array customer_ids = {"ann", "bob", "org"};

// An engine under such a policy, with an org and two of its users.
class World {
public:
  explicit World(const Shape& shape, std::int64_t now = start_ms, bool with_customers = true)
      : clock_(std::make_shared<ManualClock>(now)), limitr_(open(shape, clock_)) {
    if (!with_customers) return;
    created(limitr_.create_customer("org", {.type = "org"}));
    for (const char* id : {"ann", "bob"}) {
      created(limitr_.create_customer(id, {.refs = std::vector<std::string>{"org"}}));
    }
  }

  Limitr& operator*() { return limitr_; }
  Limitr* operator->() { return &limitr_; }
  ManualClock& clock() { return *clock_; }

  std::string text() { return limitr_.customers().value(); }
  Json json() { return Json::parse(text()); }
  const char* id(const Step& step) const {
    return customer_ids[static_cast<std::size_t>(step.who)];
  }
  // Makes the call of a step that decides, or only asks.
  Decision decide(const Step& step, bool commit);
  /// Plays any step; what it answered, as text.
  std::string play(const Step& step);
  void play(const std::vector<Step>& steps) {
    for (const Step& step : steps) play(step);
  }
  /// Takes over the IDs of holds that another world made.
  void know_holds_of(const World& other) { holds_ = other.holds_; }
  /// Every read of every customer, as text.
  std::string reads();

private:
  static Limitr open(const Shape& shape, std::shared_ptr<const Clock> clock) {
    Options options;
    options.clock = std::move(clock);
    Result<Limitr> opened = Limitr::open(shape.policy(), std::move(options));
    if (!opened.ok()) throw std::invalid_argument(opened.error().to_string());
    return *std::move(opened);
  }
  static void created(const Result<void>& result) {
    if (!result.ok()) throw std::invalid_argument(result.error().to_string());
  }
  std::string settle(const Step& step);
  void add_cap(const Step& step);

  std::shared_ptr<ManualClock> clock_;
  Limitr limitr_;
  std::map<std::string, std::vector<std::string>> holds_;
};

Decision World::decide(const Step& step, bool commit) {
  CallOptions options;
  options.force = step.kind == Step::forced;
  if (step.kind == Step::with_overhead) options.overhead = step.option / 2.0;
  if (step.kind == Step::with_cap) {
    options.caps = {{.credit = step.option % 3 == 0 ? "tok" : "rune",
                     .value = step.option / 2.0,
                     .overage_only = step.option % 4 == 1,
                     .ignore_grants = step.option % 4 == 2,
                     .hard_trailing = step.option % 5 == 1}};
  }
  const char* entitlement = step.option % 6 == 5 ? "other" : "main";
  if (step.kind == Step::increment) {
    if (step.option % 3 == 2) {
      return *(commit ? limitr_.decrement(id(step), entitlement, options)
                      : limitr_.check_decrement(id(step), entitlement, options));
    }
    return *(commit ? limitr_.increment(id(step), entitlement, options)
                    : limitr_.check_increment(id(step), entitlement, options));
  }
  return *(commit ? limitr_.allow(id(step), entitlement, step.units(), options)
                  : limitr_.check(id(step), entitlement, step.units(), options));
}

std::string World::settle(const Step& step) {
  std::vector<std::string>& known = holds_[id(step)];
  if (known.empty()) return "no hold";
  const std::string hold = known.back();
  known.pop_back();
  if (step.kind == Step::release) {
    return *limitr_.release(id(step), "main", hold) ? "released" : "gone";
  }
  SettleOptions options;
  options.overhead = step.option / 3.0;
  return to_json(*limitr_.settle(id(step), "main", hold, std::fabs(step.units()), options));
}

void World::add_cap(const Step& step) {
  CapOptions cap;
  const std::string name = "cap" + std::to_string(step.option);
  cap.cap = name;
  cap.credit = step.amount % 2 == 0 ? "rune" : "tok";
  cap.overage_only = step.option % 4 == 1;
  cap.ignore_grants = step.option % 4 == 2;
  cap.observe_only = step.option % 3 == 1;
  cap.overhead_cost = step.option == 7;
  cap.follow_decrements = step.option % 2 == 0;
  cap.hard_trailing = step.option % 5 == 4;
  cap.shared = step.amount % 3 == 0;
  cap.resets = step.option % 3 == 2;
  if (cap.resets && step.option == 2) cap.reset_sch = "monthly:1";
  if (step.option == 9) cap.expires_on = clock_->now() + Millis(30 * hour_ms);
  if (!limitr_.add_customer_cap(id(step), std::fabs(step.units()), cap).ok()) {
    throw std::logic_error("the cap is refused");
  }
}

std::string World::play(const Step& step) {
  if (step.decides()) return to_json(decide(step, true));
  switch (step.kind) {
    case Step::set: return to_json(*limitr_.set(id(step), "main", step.units()));
    case Step::topup: return *limitr_.apply_customer_topup(id(step), "extra") ? "yes" : "no";
    case Step::time:
      clock_->advance(std::abs(step.amount) * (step.option + 1) * hour_ms / 7);
      break;
    case Step::cap: add_cap(step); break;
    case Step::own_limit: {
      OverrideOptions own{.value = step.units(), .mode = step.option % 2 == 0 ? "hard" : "soft"};
      if (step.option % 3 == 0) own.expires = clock_->now() + Millis(step.amount * hour_ms);
      return *limitr_.create_customer_override(id(step), "main", own) ? "yes" : "no";
    }
    case Step::reserve: {
      ReserveOptions options;
      if (step.option % 4 != 0) options.value = step.units();
      if (step.option % 5 == 0) options.ttl = "2hours";
      const auto hold = *limitr_.reserve(id(step), "main", options);
      if (hold) holds_[id(step)].push_back(*hold);
      return hold ? "held" : "refused";
    }
    case Step::settle:
    case Step::release: return settle(step);
    case Step::observe: return *limitr_.observe(id(step), "main", step.units()) ? "yes" : "no";
    default: break;
  }
  return "";
}

std::string World::reads() {
  Json all = Json::array();
  const auto note = [&](const auto& read) {
    all.push_back(read.ok() && read->has_value() ? Json(**read) : Json());
  };
  for (const char* who : customer_ids) {
    for (const char* entitlement : {"main", "other", "flag"}) {
      for (const bool grants : {true, false}) {
        note(limitr_.remaining(who, entitlement, false, grants));
        note(limitr_.limit(who, entitlement, grants));
        note(limitr_.allowance(who, entitlement, grants));
        note(limitr_.projected_exhaustion(who, entitlement, grants, grants));
      }
      note(limitr_.value(who, entitlement));
      note(limitr_.value(who, entitlement, true));
      note(limitr_.cost(who, entitlement));
      all.push_back(*limitr_.rate(who, entitlement));
      all.push_back(*limitr_.acceleration(who, entitlement));
      all.push_back(*limitr_.held(who, entitlement));
      const auto resets = *limitr_.resets(who, entitlement);
      all.push_back(resets ? Json(resets->time_since_epoch().count()) : Json());
    }
    note(limitr_.credit_remaining(who, "tok"));
    note(limitr_.credit_remaining(who, "gold"));
    all.push_back((*limitr_.customer_margin(who))->margin);
  }
  return all.dump();
}

// The records of a snapshot, each as the very text that stands there.
std::map<std::string, std::string> record_texts(const std::string& snapshot) {
  std::map<std::string, std::string> records;
  int depth = 0;
  bool quoted = false;
  std::size_t begin = 1;
  for (std::size_t i = 0; i < snapshot.size(); ++i) {
    const char c = snapshot[i];
    if (c == '"' && snapshot[i - 1] != '\\') quoted = !quoted;
    if (quoted) continue;
    if (c == '{') ++depth;
    if (c == '}') --depth;
    if (depth == 1 && (c == '{' || c == ',')) begin = i + 1;
    if (depth == 1 && c == '}') {
      const std::string member = snapshot.substr(begin, i + 1 - begin);
      const std::size_t colon = member.find(':');
      records[member.substr(0, colon)] = member.substr(colon + 1);
    }
  }
  return records;
}

// Goal: check says what allow then does, whatever the state. spec: decision.md, One rule above all
RC_GTEST_PROP(Properties, CheckAgreesWithAllow, ()) {
  World world(*shapes());
  for (const Step& step : *step_lists()) {
    if (!step.decides()) {
      world.play(step);
      continue;
    }
    const std::string promised = to_json(world.decide(step, false));
    RC_ASSERT(promised == to_json(world.decide(step, false)));
    RC_ASSERT(promised == to_json(world.decide(step, true)));
  }
}

// Goal: check meters nothing: after it has brought grants and caps up to date, a second one leaves
// every byte as it is. spec: decision.md
RC_GTEST_PROP(Properties, ACheckChangesNothing, ()) {
  World world(*shapes());
  for (const Step& step : *step_lists()) {
    if (step.decides()) {
      world.decide(step, false);
      const std::string before = world.text();
      world.decide(step, false);
      world.reads();
      const std::string after_reads = world.text();
      world.decide(step, false);
      RC_ASSERT(world.text() == after_reads);
      RC_ASSERT(Json::parse(before)["ann"]["meters"] == Json::parse(after_reads)["ann"]["meters"]);
    }
    world.play(step);
  }
}

// A meter that has begun the period it is in, and nothing since.
Json begun(Json meter, const Json& started) {
  meter["started"] = started;
  meter["value"] = 0;
  meter["overhead"] = 0;
  meter["history"] = Json::array();
  meter["ewma_rate"] = nullptr;
  meter["governor_tokens"] = nullptr;
  meter["governor_last_refill"] = nullptr;
  return meter;
}

// Goal: a denied call leaves no trace but a period that began, and what a governor's denial notes.
// spec: decision.md, One rule above all; Fine points
RC_GTEST_PROP(Properties, ADeniedCallLeavesNoTrace, ()) {
  World world(*shapes());
  for (const Step& step : *step_lists()) {
    if (!step.decides()) {
      world.play(step);
      continue;
    }
    world.decide(step, false);  // Brings up to date what looking does.
    Json before = world.json();
    const Decision decision = world.decide(step, true);
    if (decision.allowed) continue;
    Json after = world.json();
    for (auto& [id, record] : after.items()) {
      for (auto& [entitlement, meter] : record["meters"].items()) {
        Json& old = before[id]["meters"][entitlement];
        if (meter["started"] != old["started"]) {
          RC_ASSERT(meter["started"] > old["started"]);
          old = begun(old, meter["started"]);
        }
        if (decision.reason != Reason::governor) continue;
        for (const char* noted :
             {"history", "ewma_rate", "governor_tokens", "governor_last_refill"}) {
          meter.erase(noted);
          old.erase(noted);
        }
      }
    }
    RC_ASSERT(after == before);
  }
}

// Goal: giving back what was used takes the meter, and the bill, to where they were.
// spec: decision.md, Arguments; price_diff
RC_GTEST_PROP(Properties, ADecrementUndoesAnIncrement, ()) {
  const Shape shape = *shapes();
  World world(shape);
  world.play(*step_lists());
  const double units = *rc::gen::inRange(1, 100) / 7.0;
  const double before = **world->value("ann", "main");
  // A meter that an own limit without a minimum left below the plan's is lifted to it by any move.
  RC_PRE(before >= shape.lowest());
  RC_PRE((*world->remaining("ann", "main")).has_value() || before >= 0);
  const Decision up = *world->allow("ann", "main", units);
  RC_PRE(up.allowed);
  const Decision down = *world->allow("ann", "main", -units);
  RC_ASSERT(down.allowed);
  RC_ASSERT(std::fabs(*down.value - before) < 1e-8);
  RC_ASSERT(up.price_diff.has_value() == down.price_diff.has_value());
  if (up.price_diff) RC_ASSERT(std::fabs(*up.price_diff + *down.price_diff) < 1e-8);
}

// Goal: units cost the same in one call as in several. spec: pricing.md, Price of units
RC_GTEST_PROP(Properties, ATieredRangeCostsTheSumOfItsParts, ()) {
  policy::PriceCurve curve{.model = policy::PricingModel::tiered, .amount = {}, .bands = {}};
  double edge = -std::numeric_limits<double>::infinity();
  double next = 0;
  for (const int width : *rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 50))) {
    next += width;
    curve.bands.push_back({.after = edge, .up_to = next, .amount = *rc::gen::inRange(0, 9) / 4.0});
    edge = next;
  }
  curve.bands.push_back(
      {.after = edge, .up_to = std::numeric_limits<double>::infinity(), .amount = 0.125});
  double position = *rc::gen::inRange(-40, 200) / 3.0;
  const double from = position;
  double parts = 0;
  double units = 0;
  for (const int part : *rc::gen::container<std::vector<int>>(rc::gen::inRange(-100, 100))) {
    parts += *core::price(curve, part / 3.0, position);
    position += part / 3.0;
    units += part / 3.0;
  }
  RC_ASSERT(std::fabs(*core::price(curve, units, from) - parts) < 1e-6);
}

// Goal: grants never go negative, and their books balance after every step.
// spec: state.md, Books that balance
RC_GTEST_PROP(Properties, GrantsBalance, ()) {
  World world(*shapes());
  for (const Step& step : *step_lists()) {
    world.play(step);
    const Json records = world.json();
    for (const auto& record : records) {
      for (const auto& grant : record["grants"]) {
        const auto field = [&](const char* name) { return grant[name].get<double>(); };
        RC_ASSERT(field("value") >= 0);
        RC_ASSERT(field("drawn") >= 0);
        RC_ASSERT(std::fabs(field("starting_value") + field("added") - field("value") -
                            field("drawn") - field("lost")) < 1e-6);
      }
    }
  }
}

// Goal: units allowed never pass a hard limit. spec: decision.md, step 10
RC_GTEST_PROP(Properties, AHardLimitIsNeverPassed, ()) {
  Shape shape = *shapes();
  shape.mode = 0;
  shape.trailing = false;
  shape.grants_apply = false;
  World world(shape);
  for (const Step& step : *step_lists()) {
    if (step.kind == Step::forced || step.kind == Step::settle || step.kind == Step::own_limit) {
      continue;
    }
    world.play(step);
    const Json records = world.json();
    for (const auto& record : records) {
      RC_ASSERT(record["meters"]["main"]["value"].get<double>() <= shape.limit + 1e-8);
    }
  }
}

// Goal: a period never starts twice and a meter's `started` never moves back, whatever the clock
// does. spec: decision.md, step 3
RC_GTEST_PROP(Properties, StartsNeverMoveBack, ()) {
  World world(*shapes());
  std::map<std::string, double> last;
  for (const Step& step : *step_lists()) {
    if (step.kind == Step::time && step.amount < 0) {
      world.clock().advance(step.amount * 100 * hour_ms);
    } else {
      world.play(step);
    }
    const Json records = world.json();
    for (const auto& [id, record] : records.items()) {
      for (const auto& [entitlement, meter] : record["meters"].items()) {
        double& started = last[id + "/" + entitlement];
        RC_ASSERT(meter["started"].get<double>() >= started);
        started = meter["started"].get<double>();
      }
    }
  }
}

// Goal: an engine that loaded a snapshot cannot be told from the one that wrote it.
// spec: state.md, Snapshot and load
RC_GTEST_PROP(Properties, ARestoredEngineIsTheSame, ()) {
  const Shape shape = *shapes();
  const auto steps = *step_lists();
  const auto later = *step_lists();
  const bool whole = *rc::gen::arbitrary<bool>();
  World world(shape);
  world.play(steps);
  const std::string snapshot = world.text();
  World restored(shape, world.clock().now().time_since_epoch().count(), false);
  const auto report = restored->load_customers(whole ? *world->export_state() : snapshot);
  RC_ASSERT(report.ok());
  RC_ASSERT(report->loaded == customer_ids.size());
  RC_ASSERT(report->refused.empty() && report->unmapped.empty());
  RC_ASSERT(record_texts(snapshot).size() == customer_ids.size());
  RC_ASSERT(record_texts(restored.text()) == record_texts(snapshot));
  RC_ASSERT(restored.reads() == world.reads());
  restored.know_holds_of(world);
  for (const Step& step : later) {
    // A hold of an estimated size rests on the statistics over all customers.
    if (step.kind == Step::reserve && !whole && step.option % 4 == 0) continue;
    RC_ASSERT(restored.play(step) == world.play(step));
    RC_ASSERT(restored.reads() == world.reads());
  }
}

// Goal: a request counts once: the same answer again, and nothing changes. spec: state.md
RC_GTEST_PROP(Properties, ARepeatedRequestCountsOnce, ()) {
  World world(*shapes());
  world.play(*step_lists());
  const double units = *rc::gen::inRange(-20, 60) / 4.0;
  CallOptions options;
  options.request = "once";
  options.force = *rc::gen::arbitrary<bool>();
  const Decision first = *world->allow("ann", "main", units, options);
  const std::string after_first = world.text();
  if (!first.allowed) {
    RC_ASSERT(!(*world->allow("ann", "main", units, options)).repeated);
    return;
  }
  world.clock().advance(hour_ms);
  Decision again = *world->allow("ann", "main", units, options);
  RC_ASSERT(again.repeated);
  again.repeated = false;
  RC_ASSERT(to_json(again) == to_json(first));
  options.force = !options.force;
  const auto other = world->allow("ann", "main", units, options);
  RC_ASSERT(!other.ok());
  RC_ASSERT(other.error().code == ErrorCode::request_mismatch);
  RC_ASSERT(world.text() == after_first);
}

// Goal: the same request ID with any other argument is an error, and nothing changes.
// spec: state.md, Exactly once
TEST(Requests, OtherArgumentsAreAMismatch) {
  World world(Shape{.limit = 100});
  CallOptions same;
  same.request = "r";
  ASSERT_TRUE(*world->allow("ann", "main", 2, same));
  const std::string before = world.text();
  const auto expect_mismatch = [&](const char* why, const Result<Decision>& decision) {
    SCOPED_TRACE(why);
    ASSERT_FALSE(decision.ok()) << to_json(*decision);
    EXPECT_EQ(decision.error().code, ErrorCode::request_mismatch);
    EXPECT_EQ(world.text(), before);
  };
  CallOptions other = same;
  expect_mismatch("value", world->allow("ann", "main", 3, same));
  expect_mismatch("entitlement", world->allow("ann", "other", 2, same));
  expect_mismatch("increment", world->increment("ann", "main", same));
  expect_mismatch("set", world->set("ann", "main", 2, same));
  other.overhead = 1;
  expect_mismatch("overhead", world->allow("ann", "main", 2, other));
  other = same;
  other.force = true;
  expect_mismatch("force", world->allow("ann", "main", 2, other));
  other = same;
  other.event_data = Json{{"a", 1}};
  expect_mismatch("event data", world->allow("ann", "main", 2, other));
  other = same;
  other.caps = {{.credit = "tok", .value = 50}};
  expect_mismatch("caps", world->allow("ann", "main", 2, other));
  SettleOptions settled;
  settled.request = "r";
  expect_mismatch("settle", world->settle("ann", "main", "h", 2, settled));
  other = same;
  other.event = false;
  expect_mismatch("event", world->allow("ann", "main", 2, other));
  EXPECT_TRUE(world->allow("bob", "main", 3, same)->allowed) << "IDs are each customer's own";
  EXPECT_TRUE(world->allow("ann", "main", 2, same)->repeated);
}

// Goal: requests are forgotten after the policy's window. spec: state.md, Exactly once
TEST(Requests, AreForgottenAfterTheWindow) {
  World world(Shape{.limit = 100});
  CallOptions options;
  options.request = "r";
  ASSERT_TRUE(*world->allow("ann", "main", 2, options));
  world.clock().advance(24 * hour_ms);
  EXPECT_TRUE(world->allow("ann", "main", 2, options)->repeated);
  world.clock().advance(1);
  EXPECT_FALSE(world->allow("ann", "main", 2, options)->repeated);
  EXPECT_EQ(**world->value("ann", "main"), 4);
}

// Goal: an ID that was made up is part of the first answer, and no second thing is made.
// spec: state.md, Exactly once
TEST(Requests, RepeatTheIdsThatWereMadeUp) {
  World world(Shape{.limit = 100});
  const ReserveOptions hold{.value = 2, .request = "hold"};
  const CapOptions cap{.request = "cap"};
  const std::optional<std::string> held = *world->reserve("ann", "main", hold);
  const std::optional<std::string> capped = *world->add_customer_cap("ann", 5, cap);
  ASSERT_TRUE(held && capped);
  const std::string before = world.text();
  EXPECT_EQ(*world->reserve("ann", "main", hold), held);
  EXPECT_EQ(*world->add_customer_cap("ann", 5, cap), capped);
  EXPECT_EQ(world.text(), before);
}

// Goal: what cannot be told from another ID once it is written is no request ID.
TEST(Requests, AreUtf8) {
  World world(Shape{.limit = 100});
  const std::string before = world.text();
  CallOptions options;
  options.request = "\xff";
  const auto expect_invalid = [](const auto& answer) {
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument);
  };
  expect_invalid(world->allow("ann", "main", 2, options));
  expect_invalid(world->set_customer_refs("ann", {"bob"}, {.request = "\xff"}));
  EXPECT_EQ(world.text(), before);
}

// Goal: an answer that somebody has damaged is named, not made up, and the call not made again.
TEST(Requests, DamagedAnswersAreErrors) {
  const Shape shape{.limit = 100};
  World world(shape);
  CallOptions call;
  call.request = "call";
  ASSERT_TRUE(*world->allow("ann", "main", 2, call));
  const ChangeOptions change{.request = "change"};
  ASSERT_TRUE(*world->set_customer_refs("ann", {}, change));
  const CapOptions cap{.request = "cap"};
  ASSERT_TRUE((*world->add_customer_cap("ann", 5, cap)).has_value());
  Json state = Json::parse(*world->export_state());
  // An answer, but not of that call.
  for (Json& request : state["requests"]) {
    if (request["request"] == "cap") request["answer"] = true;
    if (request["request"] != "cap") request["answer"] = "text";
  }
  World restored(shape, start_ms, false);
  ASSERT_TRUE(restored->load_customers(state.dump()).ok());
  const std::string before = restored.text();
  const auto expect_unreadable = [&](const auto& answer) {
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().code, ErrorCode::record_invalid);
    EXPECT_EQ(restored.text(), before);
  };
  expect_unreadable(restored->allow("ann", "main", 2, call));
  expect_unreadable(restored->set_customer_refs("ann", {}, change));
  expect_unreadable(restored->add_customer_cap("ann", 5, cap));
}

// Goal: remembered requests survive a restart. spec: state.md, Exactly once
TEST(Requests, SurviveARestart) {
  const Shape shape{.limit = 100};
  World world(shape);
  CallOptions options;
  options.request = "r";
  const Decision first = *world->allow("ann", "main", 2, options);
  World restored(shape, start_ms, false);
  ASSERT_TRUE(restored->load_customers(*world->export_state()).ok());
  Decision again = *restored->allow("ann", "main", 2, options);
  EXPECT_TRUE(again.repeated);
  again.repeated = false;
  EXPECT_EQ(to_json(again), to_json(first));
}

}  // namespace
}  // namespace limitr
