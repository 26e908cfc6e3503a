// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <limitr/limitr.h>
#include "base/amount.h"
#include "base/test_seed.h"
#include "call/calls.h"
#include "engine/manual_clock.h"
#include "open/stored.h"
#include "serve_process.h"
#include "server/control.h"

// Several engines of one server that are called in turn, each call answered before the next is
// made, answer what one engine in memory answers that gets the same calls: with any room, whoever
// asks, also where a customer goes from one engine to another. Each round has customers of its own;
// LIMITR_SEED plays its first round again, LIMITR_ROUNDS asks for more of them.
//
// What may differ, and how it is left out:
// - Checks and reads do not call a customer back, and show what was reported. So they are compared
//   where the engine that reads has just decided a call of the same customer and entitlement, or
//   where no engine has room; and records also when all have reported.
// - ensure_customer() is false of whoever the engine has in memory, whatever others did meanwhile.
//   Where it says so of one that is gone, the engine is made to look, and asked again.
// - IDs of holds and grants are random: those of holds are translated, grants are known by their
//   order.
// - What reads and checks bring up to date (grants that reset, caps that expire) stays with their
//   answer where another engine is the home. So others look only in rounds where no time passes:
//   they may see less than is left, as units may be set aside, and never more.
// - Estimates over all customers are an engine's own: each reservation says its value.
namespace limitr {
namespace {

using testing::ServeProcess;

constexpr std::int64_t start_ms = 1'767'225'600'000;  // 2026-01-01
constexpr std::int64_t hour_ms = 3'600'000;

class Draw {
public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}

  int between(int least, int most) {
    return least + static_cast<int>(random_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool chance(int percent) { return between(1, 100) <= percent; }
  template <typename List>
  const auto& one_of(const List& list) {
    return list[static_cast<std::size_t>(between(0, static_cast<int>(list.size()) - 1))];
  }

private:
  std::mt19937_64 random_;
};

constexpr std::array entitlements = {"chat", "seat", "soft",  "daily",       "governed",
                                     "wide", "seen", "extra", "subscription"};

// Limits that few calls reach. `marker` says which policy it is.
Json policy_of(Draw& draw, int marker, bool has_gifts) {
  const auto limit = [](const char* credit, int value, const Json& more = Json::object()) {
    Json given = {{"credit", credit}, {"value", value}};
    given.update(more);
    return Json{{"limit", given}};
  };
  const auto plan = [&](int times) {
    const auto few = [&] { return times * draw.between(3, 12); };
    Json seat = limit("coin", few());
    seat["scope"] = "org";
    Json all = {{"chat", limit("token", few(), {{"increment", 2}})},
                {"seat", seat},
                {"soft", limit("token", few(), {{"mode", "soft"}, {"minimum", 0}})},
                {"daily", limit("token", few(), {{"resets", true}, {"reset_inc", "2hours"}})},
                {"governed", limit("coin", 10 * few(),
                                   {{"governor_enabled", true},
                                    {"governor_capacity", 6},
                                    {"governor_refill_rate", 0.0001}})},
                {"wide", limit("token", 100 * few(), {{"grants_apply", false}, {"minimum", 0}})},
                {"seen", limit("coin", few(), {{"mode", "observe"}})},
                {"flag", Json::object()},
                {"subscription", limit("coin", 1)}};
    if (draw.chance(70)) {
      all["extra"] = limit("token", few(), {{"resets", true}, {"reset_sch", "weekly:mon"}});
      if (draw.chance(30)) all["extra"]["limit"]["hard_trailing"] = true;
    }
    const Json topups = {{"pack", {{"credit", "token"}, {"value", 5}, {"expires_after", "9hours"}}},
                         {"gift",
                          {{"credit", "coin"},
                           {"value", 2},
                           {"included", has_gifts},
                           {"resets", true},
                           {"reset_inc", "5hours"},
                           {"reset_mode", draw.chance(50) ? "add" : "hard"},
                           {"max_balance", 6}}}};
    return Json{{"entitlements", all}, {"topups", topups}};
  };
  Json free = plan(1);
  free["default"] = true;
  free["entitlements"]["marker"] = limit("coin", marker);
  Json token = {{"price", {{"amount", 0.5}}}, {"overhead_cost", 0.1}};
  if (draw.chance(30)) token["overhead_fn"] = "cost";
  return {{"policy",
           {{"credits", {{"token", token}, {"coin", {{"price", {{"amount", 2}}}}}}},
            {"plans", {{"free", free}, {"pro", plan(draw.between(2, 40))}}}}}};
}

// Those of the model and of every engine.
HostFunctions host_functions() {
  HostFunctions host;
  host.overhead["cost"] = [](double units, const Json& event_data) {
    return units * (event_data.is_null() ? 0.25 : 0.5);
  };
  return host;
}

struct Operation {
  std::string name;
  Json arguments = Json::object();
};

// As text, without what is random: grants are listed in their order, without their IDs.
Json comparable(const Json& value) {
  if (value.is_array()) {
    Json list = Json::array();
    for (const Json& one : value) list.push_back(comparable(one));
    return list;
  }
  if (!value.is_object()) return value;
  Json object = Json::object();
  const bool is_grant = value.contains("granted_on");
  for (const auto& [key, one] : value.items()) {
    if (is_grant && key == "id") continue;
    object[key] = comparable(one);
    if (key != "grants" || !one.is_object()) continue;
    std::map<double, Json> by_order;
    for (const Json& grant : one) by_order[grant.at("seq").get<double>()] = comparable(grant);
    object[key] = Json::array();
    for (const auto& [order, grant] : by_order) object[key].push_back(grant);
  }
  return object;
}

std::string quoted(const std::string& id) { return '"' + id + '"'; }

void replace_all(std::string& text, const std::string& from, const std::string& by) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + by.size())) {
    text.replace(at, from.size(), by);
  }
}

// How a call is made; the last two for a plain allow() only.
enum class Way : std::uint8_t { named, within_run, async, by_handle };

// An engine, and what it told.
class Side {
public:
  Side(Limitr limitr, std::shared_ptr<ManualClock> clock)
      : limitr_(std::move(limitr)), clock_(std::move(clock)) {
    limitr_.add_handler("test", [this](const Event& event) {
      // Those are the server's.
      if (event.type.starts_with("plan-")) return;
      const std::lock_guard lock(mutex_);
      events_.push_back({{"type", event.type},
                         {"customer", event.customer},
                         {"at", to_ms(event.at)},
                         {"payload", event.json()}});
    });
  }

  Limitr& operator*() { return limitr_; }
  Limitr* operator->() { return &limitr_; }

  std::string call(const Operation& operation, Way way) {
    if (way == Way::named) return by_name(operation);
    if (way == Way::within_run) {
      std::string answer;
      std::promise<Result<void>> made;
      limitr_.run_async([&] { answer = by_name(operation); },
                        [&](const Result<void>& safe) { made.set_value(safe); });
      const Result<void> safe = made.get_future().get();
      return safe.ok() ? answer : failed(safe.error());
    }
    const auto id = operation.arguments.at("id").get<std::string>();
    const auto entitlement = operation.arguments.at("entitlement").get<std::string>();
    const double value = operation.arguments.at("value").get<double>();
    if (way == Way::async) {
      return text_of(
          limitr_.allow_async({.customer = id, .entitlement = entitlement, .value = value}).get());
    }
    const Read<Handle> handle = limitr_.handle(id, entitlement);
    if (!handle.ok()) return failed(handle.error());
    if (!*handle) return "no handle";
    return text_of(limitr_.allow(**handle, value));
  }
  Json take_events() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, Json::array());
  }

private:
  std::string by_name(const Operation& operation) {
    const std::string arguments = operation.arguments.dump();
    const call::Answer answer = call::make_call(limitr_, operation.name, arguments, clock_->now());
    return answer.error ? failed(*answer.error) : call::json_text(answer);
  }
  static std::string failed(const Error& error) { return Json(error.to_string()).dump(); }
  static std::string text_of(const Result<Decision>& decision) {
    return decision.ok() ? to_json(*decision) : failed(decision.error());
  }

  std::mutex mutex_;
  Json events_ = Json::array();
  Limitr limitr_;
  std::shared_ptr<ManualClock> clock_;
};

class Equivalence : public ::testing::Test {
protected:
  void SetUp() override {
    server_.start({});
    auto control = server::Control::open_existing(server_.store());
    ASSERT_TRUE(control.ok()) << control.error().to_string();
    control_ = *std::move(control);
  }

  ServeProcess server_;
  std::unique_ptr<server::Control> control_;
  int marker_ = 0;
};

// One round.
class Round {
public:
  Round(const ServeProcess& server, server::Control& control, std::uint64_t seed, int& marker)
      : server_(server), control_(control), seed_(seed), draw_(seed), marker_(marker) {
    for (const char* name : {"org", "ann", "bob", "cyd", "dan"}) ids_.push_back(named(name));
    for (const char* name : {"x", "y", "z"}) alts_.push_back(named(name));
  }

  void play();

private:
  using Make = Operation (Round::*)();
  struct Kind {
    int weight;
    Make make;
  };

  std::string named(const char* name) const { return fmt::format("{}-{}", name, seed_); }
  void push_policy();
  void add_engine();
  void close_engine();
  bool compare(Side& engine, const Operation& operation, Way way = Way::named);
  bool read_after(Side& engine, const Operation& operation);
  bool look(Side& engine);
  bool read_all();
  std::size_t asked(const Operation& operation);
  bool step();
  void check_rows();
  std::string shown(std::string text) const;
  void note(const std::string& line) { history_.push_back(line); }
  void differs(const std::string& what, const std::string& expected, const std::string& found);

  const std::string& id() { return draw_.one_of(ids_); }
  std::string whom() { return draw_.chance(85) ? id() : draw_.one_of(alts_); }
  std::string entitlement() { return draw_.chance(3) ? "flag" : draw_.one_of(entitlements); }
  double units() { return draw_.chance(10) ? 0.25 * draw_.between(-8, 20) : draw_.between(-2, 4); }
  Operation about(std::string name, const Json& more = Json::object());
  Operation metered(std::string name, const Json& more = Json::object());
  Operation once(Operation operation);

  Operation allow();
  Operation step_by_increment();
  Operation set();
  Operation many();
  Operation reserve();
  Operation settle();
  Operation release();
  Operation topup();
  Operation follow_topups();
  Operation subscribe();
  Operation limit_own();
  Operation limit_as_planned();
  Operation add_cap();
  Operation change_cap();
  Operation measure();
  Operation ensure();
  Operation create();
  Operation remove();
  Operation name_else();
  Operation unname();
  Operation refer();
  Operation put_on_plan();
  Operation put_record();
  Operation observe();
  Operation drawn();

  const ServeProcess& server_;
  server::Control& control_;
  const std::uint64_t seed_;
  Draw draw_;
  int& marker_;
  std::vector<std::string> ids_;
  std::vector<std::string> alts_;
  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(start_ms);
  std::unique_ptr<Side> model_;
  std::vector<std::unique_ptr<Side>> engines_;
  int loyalty_ = 0;  // how many of a hundred calls of a customer one engine gets
  int opened_ = 0;
  bool has_room_ = true;
  bool has_files_ = false;
  bool time_passes_ = true;
  std::map<std::string, std::string> holds_;        // the model's by those of the engines
  std::map<std::string, std::string> model_holds_;  // the other way round
  std::vector<std::string> history_;
};

Json merged(Json object, const Json& more) {
  object.update(more);
  return object;
}

Operation Round::about(std::string name, const Json& more) {
  return {std::move(name), merged({{"id", whom()}}, more)};
}

Operation Round::metered(std::string name, const Json& more) {
  return about(std::move(name), merged({{"entitlement", entitlement()}}, more));
}

// Some calls come again, by whichever engine; others say what an earlier one has said.
Operation Round::once(Operation operation) {
  if (draw_.chance(20)) operation.arguments["request"] = fmt::format("r{}", draw_.between(1, 5));
  return operation;
}

Operation Round::allow() {
  Operation call = metered("allow", {{"value", units()}});
  if (draw_.chance(5)) call.arguments["force"] = true;
  if (draw_.chance(5)) call.arguments["overhead"] = 0.5 * draw_.between(0, 5);
  if (draw_.chance(5)) call.arguments["cap"] = Json{{"rune", draw_.between(0, 3)}};
  if (draw_.chance(3)) call.arguments["context"] = {{"segment", "a"}};
  return once(call);
}

Operation Round::step_by_increment() {
  return once(metered(draw_.chance(70) ? "increment" : "decrement"));
}
Operation Round::set() { return once(metered("set", {{"value", draw_.between(0, 8)}})); }

Operation Round::many() {
  Json calls = Json::array();
  for (int i = draw_.between(1, 4); i > 0; --i) calls.push_back(allow().arguments);
  return {"allow_many", {{"calls", calls}}};
}

Operation Round::reserve() {
  Operation call = metered("reserve", {{"value", draw_.between(1, 4)}});
  if (draw_.chance(30)) call.arguments["ttl"] = "1hr";
  return once(call);
}

Operation Round::settle() {
  Operation call = metered("settle", {{"value", draw_.between(0, 4)}, {"hold", "none"}});
  if (!model_holds_.empty()) {
    auto hold = model_holds_.begin();
    std::advance(hold, draw_.between(0, static_cast<int>(model_holds_.size()) - 1));
    call.arguments["hold"] = hold->first;
  }
  return once(call);
}

Operation Round::release() {
  Operation call = settle();
  call.name = "release";
  call.arguments.erase("value");
  return call;
}

Operation Round::observe() { return once(metered("observe", {{"value", draw_.between(0, 4)}})); }
Operation Round::topup() { return once(about("apply_customer_topup", {{"topup", "pack"}})); }
Operation Round::follow_topups() { return once(about("ensure_included_topups")); }
Operation Round::subscribe() { return once(about("ensure_plan_subscription")); }

Operation Round::limit_own() {
  Operation call = metered("create_customer_override", {{"value", draw_.between(0, 20)}});
  if (draw_.chance(30)) call.arguments["mode"] = draw_.chance(50) ? "soft" : "hard";
  if (draw_.chance(30)) call.arguments["expires"] = "+3h";
  return once(call);
}
Operation Round::limit_as_planned() { return once(metered("remove_customer_override")); }

Operation Round::add_cap() {
  Operation call = about("add_customer_cap", {{"value", draw_.between(1, 8)},
                                              {"cap", fmt::format("cap{}", draw_.between(1, 3))},
                                              {"credit", draw_.chance(50) ? "rune" : "token"}});
  const auto flag = [&](const char* name, int percent) {
    if (draw_.chance(percent)) call.arguments[name] = true;
  };
  flag("shared", 40);
  flag("overage_only", 20);
  flag("overhead_cost", 10);
  flag("observe_only", 10);
  flag("follow_decrements", 40);
  flag("hard_trailing", 10);
  flag("ignore_grants", 10);
  if (draw_.chance(20)) call.arguments["scope"] = {entitlement(), entitlement()};
  if (draw_.chance(30)) {
    call.arguments["resets"] = true;
    call.arguments["reset_inc"] = "3hours";
  }
  if (draw_.chance(20)) call.arguments["expires_on"] = "+4h";
  return once(call);
}

Operation Round::change_cap() {
  return once(about(draw_.chance(50) ? "reset_customer_cap" : "remove_customer_cap",
                    {{"cap", fmt::format("cap{}", draw_.between(1, 3))}}));
}

Operation Round::measure() {
  return once({draw_.chance(50) ? "start_margin_measurement" : "capture_margin_measurement",
               {{"customer", whom()}, {"id", "m"}}});
}

Operation Round::ensure() {
  Operation call = create();
  call.name = "ensure_customer";
  return call;
}

Operation Round::create() {
  const std::string& who = id();
  Operation call{"create_customer", {{"id", draw_.chance(95) ? who : draw_.one_of(alts_)}}};
  if (who == ids_.front()) call.arguments["type"] = "org";
  if (draw_.chance(60)) call.arguments["plan"] = draw_.chance(70) ? "free" : "pro";
  if (draw_.chance(75)) {
    call.arguments["refs"] = {who == ids_.front() || draw_.chance(30) ? id() : ids_.front()};
  }
  if (draw_.chance(30)) call.arguments["alts"] = {draw_.one_of(alts_)};
  if (draw_.chance(15)) {
    call.arguments["metadata"] = {{"limitr_voucher", "spring"},
                                  {"limitr_voucher_expires", start_ms + 30 * hour_ms},
                                  {"limitr_voucher_runes", draw_.between(0, 6)}};
  }
  return once(call);
}

Operation Round::remove() { return about("delete_customer"); }
Operation Round::name_else() {
  return once(
      about("set_alt_customer_id", {{"alt", draw_.chance(90) ? draw_.one_of(alts_) : id()}}));
}
Operation Round::unname() { return {"delete_alt_customer_id", {{"alt", draw_.one_of(alts_)}}}; }

Operation Round::refer() {
  Json refs = Json::array();
  if (draw_.chance(60)) refs.push_back(ids_.front());
  if (draw_.chance(30)) refs.push_back(whom());
  return once(about("set_customer_refs", {{"refs", refs}}));
}

Operation Round::put_on_plan() {
  return once(about("set_customer_plan", {{"plan", draw_.chance(50) ? "pro" : "free"},
                                          {"overwrite_meters", draw_.chance(30)}}));
}

// The record that the customer has, or one of its own. IDs of holds would not be translated any
// more.
Operation Round::put_record() {
  Json record = {{"id", id()}, {"plan", "free"}, {"label", "put"}};
  const Read<Json> known = (*model_)->customer(record.at("id").get<std::string>());
  if (known.ok() && *known && (*known)->dump().find(R"("expires":)") == std::string::npos) {
    record = **known;
    record["label"] = fmt::format("put {}", draw_.between(1, 9));
  }
  if (draw_.chance(30)) return {"load_customers", {{"records", {record}}}};
  return {draw_.chance(50) ? "set_customer" : "ensure_set_customer", {{"record", record}}};
}

Operation Round::drawn() {
  static constexpr std::array kinds = {
      Kind{50, &Round::allow},        Kind{8, &Round::step_by_increment},
      Kind{3, &Round::set},           Kind{4, &Round::many},
      Kind{5, &Round::reserve},       Kind{4, &Round::settle},
      Kind{2, &Round::release},       Kind{3, &Round::topup},
      Kind{1, &Round::follow_topups}, Kind{1, &Round::subscribe},
      Kind{2, &Round::limit_own},     Kind{1, &Round::limit_as_planned},
      Kind{3, &Round::add_cap},       Kind{2, &Round::change_cap},
      Kind{1, &Round::measure},       Kind{5, &Round::ensure},
      Kind{3, &Round::create},        Kind{2, &Round::remove},
      Kind{3, &Round::name_else},     Kind{2, &Round::unname},
      Kind{3, &Round::refer},         Kind{3, &Round::put_on_plan},
      Kind{1, &Round::put_record},    Kind{1, &Round::observe},
  };
  static constexpr int all = [] {
    int sum = 0;
    for (const Kind& kind : kinds) sum += kind.weight;
    return sum;
  }();
  int place = draw_.between(1, all);
  for (const Kind& kind : kinds) {
    place -= kind.weight;
    if (place <= 0) return (this->*kind.make)();
  }
  std::abort();
}

// Versions of all engines' policies, one after the other, so that `marker` names one.
void Round::push_policy() {
  const Json policy = policy_of(draw_, ++marker_, time_passes_);
  const auto pushed = control_.push(server::default_project, policy.dump(), Format::json, "test");
  ASSERT_TRUE(pushed.ok()) << pushed.error().to_string();
  if (model_) {
    ASSERT_TRUE((*model_)->set_policy(policy).ok());
  } else {
    Options options;
    options.clock = clock_;
    options.host = host_functions();
    options.log = [](std::string_view) {};
    Result<Limitr> limitr = Limitr::open(policy, options);
    ASSERT_TRUE(limitr.ok()) << limitr.error().to_string();
    model_ = std::make_unique<Side>(*std::move(limitr), clock_);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (const auto& engine : engines_) {
    while ((**engine).policy() != (*model_)->policy()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the policy does not come";
      std::this_thread::yield();
    }
  }
}

void Round::add_engine() {
  CloudOptions options = server_.options();
  options.engine.clock = clock_;
  options.engine.host = host_functions();
  options.deny_unconnected = draw_.chance(80);
  constexpr std::array rooms = {0.0, 0.01, 0.3, 1.0};
  options.room = has_room_ ? draw_.one_of(rooms) : 0.0;
  if (has_files_) options.local_file = server_.folder().file(fmt::format("local{}", opened_++));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (;;) {
    auto side = std::make_unique<Side>(testing::opened(options), clock_);
    if ((*side)->policy() == (*model_)->policy()) {
      note(fmt::format("engine {} opens with room {}", engines_.size(), options.room));
      engines_.push_back(std::move(side));
      return;
    }
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the policy does not come";
  }
}

void Round::close_engine() {
  const auto which =
      static_cast<std::size_t>(draw_.between(0, static_cast<int>(engines_.size()) - 1));
  note(fmt::format("engine {} closes", which));
  const auto closed = (**engines_[which]).close();
  EXPECT_TRUE(closed.ok()) << closed.error().to_string();
  engines_.erase(engines_.begin() + static_cast<std::ptrdiff_t>(which));
}

// What an engine of the server says, with the model's IDs of holds.
std::string Round::shown(std::string text) const {
  for (const auto& [here, there] : holds_) replace_all(text, quoted(here), quoted(there));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? text : comparable(json).dump();
}

void Round::differs(const std::string& what, const std::string& expected,
                    const std::string& found) {
  const auto parsed = [](const std::string& text) {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    return json.is_discarded() ? Json(text) : json;
  };
  ADD_FAILURE() << what << "\n  expected: " << expected << "\n  found:    " << found
                << "\n  from the one to the other: "
                << Json::diff(parsed(expected), parsed(found)).dump() << "\nLIMITR_SEED=" << seed_
                << " LIMITR_ROUNDS=1\n"
                << fmt::format("{}", fmt::join(history_, "\n"));
}

bool Round::compare(Side& engine, const Operation& operation, Way way) {
  Operation here = operation;
  std::string arguments = operation.arguments.dump();
  for (const auto& [there, own] : model_holds_) replace_all(arguments, quoted(there), quoted(own));
  here.arguments = Json::parse(arguments);
  const std::string expected_text = model_->call(operation, way);
  const std::string found_text = engine.call(here, way);
  if (operation.name == "reserve" && expected_text.front() == '"' && found_text.front() == '"') {
    const auto there = Json::parse(expected_text).get<std::string>();
    const auto own = Json::parse(found_text).get<std::string>();
    if (there.find(' ') == std::string::npos && model_holds_.try_emplace(there, own).second) {
      holds_.try_emplace(own, there);
    }
  }
  const std::string expected = shown(expected_text);
  const std::string found = shown(found_text);
  note(fmt::format("  {} {} -> {}", operation.name, operation.arguments.dump(), expected));
  bool is_same = expected == found;
  if (!is_same) differs(operation.name, expected, found);
  for (const auto& one : engines_) {
    const std::string told = shown(one->take_events().dump());
    const Json wanted = one.get() == &engine ? model_->take_events() : Json::array();
    if (told == shown(wanted.dump())) continue;
    differs("events of " + operation.name, shown(wanted.dump()), told);
    is_same = false;
  }
  return is_same;
}

bool Round::read_after(Side& engine, const Operation& operation) {
  constexpr std::array reads = {
      "value",        "remaining", "limit", "allowance",           "rate", "resets", "held",
      "acceleration", "cost",      "meter", "projected_exhaustion"};
  const Json who = {{"id", operation.arguments.at("id")}};
  const Json what = merged(who, {{"entitlement", operation.arguments.at("entitlement")}});
  switch (draw_.between(0, 4)) {
    case 0: return compare(engine, {"check", merged(what, {{"value", units()}})});
    case 1: return compare(engine, {"customer", who});
    case 2: return compare(engine, {"credit_remaining", merged(who, {{"credit", "token"}})});
    case 3: return compare(engine, {"customer_margin", who});
    default: return compare(engine, {draw_.one_of(reads), what});
  }
}

// What an engine sees of a customer that others decide on is left for sure. Reads may bring grants
// and caps up to date, or leave that to the home: so only where there is nothing of the kind.
bool Round::look(Side& engine) {
  const std::string who = whom();
  const std::string what = entitlement();
  const double asked = draw_.between(1, 6);
  const Read<double> left = (*model_)->remaining(who, what);
  const Read<double> seen = engine->remaining(who, what);
  const Result<Decision> check = engine->check(who, what, asked);
  EXPECT_TRUE(left.ok() && seen.ok() && check.ok());
  note(fmt::format("  remaining of {} {}: {}", who, what, left->value_or(-1)));
  bool is_good = left->has_value() == seen->has_value();
  if (*left) {
    is_good = is_good && **seen <= **left + 1e-9;
    const Result<Decision> wanted = (*model_)->check(who, what, asked);
    const bool may_not = wanted->reason == Reason::limit || wanted->reason == Reason::cap;
    is_good = is_good && !(check->allowed && may_not);
  }
  if (is_good) return true;
  differs("what is seen of " + who + " " + what, fmt::format("{}", left->value_or(-1)),
          fmt::format("{}", seen->value_or(-1)) + to_json(*check));
  return false;
}

// When all have reported, what one sees is all there is.
bool Round::read_all() {
  note("all report");
  for (const auto& engine : engines_) EXPECT_TRUE((**engine).flush().ok());
  Side& engine = *draw_.one_of(engines_);
  for (const auto* list : {&ids_, &alts_}) {
    for (const std::string& one : *list) {
      if (!compare(engine, {"customer", {{"id", one}}})) return false;
    }
  }
  return true;
}

// Which engine gets the call.
std::size_t Round::asked(const Operation& operation) {
  const auto any =
      static_cast<std::size_t>(draw_.between(0, static_cast<int>(engines_.size()) - 1));
  const auto who = operation.arguments.find("id");
  if (who == operation.arguments.end() || !draw_.chance(loyalty_)) return any;
  const auto name = std::find(ids_.begin(), ids_.end(), who->get<std::string>());
  return static_cast<std::size_t>(name - ids_.begin()) % engines_.size();
}

bool Round::step() {
  if (time_passes_ && draw_.chance(4)) {
    constexpr std::array times = {std::int64_t{1}, std::int64_t{1000}, 20 * hour_ms / 60,
                                  hour_ms,         5 * hour_ms,        60 * hour_ms};
    const std::int64_t time = draw_.one_of(times);
    clock_->advance(time);
    note(fmt::format("{} ms pass", time));
  }
  if (draw_.chance(2)) {
    close_engine();
    add_engine();
  }
  if (draw_.chance(3) && !read_all()) return false;
  if (time_passes_ && draw_.between(1, 1000) <= 2) {
    note("a new policy");
    push_policy();
  }
  const Operation operation = drawn();
  const std::size_t index = asked(operation);
  Side& engine = *engines_[index];
  note(fmt::format("engine {}", index));
  Way way = draw_.chance(10) ? Way::within_run : Way::named;
  if (operation.name == "allow" && operation.arguments.size() == 3 && draw_.chance(20)) {
    way = draw_.chance(50) ? Way::async : Way::by_handle;
  }
  if (operation.name == "ensure_customer") {
    const auto who = operation.arguments.at("id").get<std::string>();
    const Read<Json> known = (*model_)->customer(who);
    // The engine may know one that is gone: it looks.
    if (known.ok() && !*known && !compare(engine, {"customer", {{"id", who}}})) return false;
  }
  if (!compare(engine, operation, way)) return false;
  const bool decides = operation.arguments.contains("entitlement") &&
                       operation.name.find("override") == std::string::npos;
  if (decides && way != Way::by_handle && draw_.chance(30)) return read_after(engine, operation);
  if (!time_passes_ && draw_.chance(20)) return look(*draw_.one_of(engines_));
  if (has_room_ || draw_.chance(80)) return true;
  return compare(*draw_.one_of(engines_), {"customer", {{"id", whom()}}});
}

// What is stored is what was answered, and nobody has anything of it any more.
void Round::check_rows() {
  auto stored = StoredState::open(server_.store());
  ASSERT_TRUE(stored.ok()) << stored.error().to_string();
  std::vector<std::string> ids = ids_;
  ids.insert(ids.end(), alts_.begin(), alts_.end());
  const auto rows = stored->read(ids);
  ASSERT_TRUE(rows.ok()) << rows.error().to_string();
  Json found = {{"customers", Json::object()}, {"requests", Json::array()}};
  for (const store::StoredCustomer& row : *rows) {
    Json record = Json::parse(row.record);
    const Json cloud = record.value("cloud", Json::object());
    EXPECT_FALSE(cloud.contains("home")) << row.record;
    EXPECT_TRUE(cloud.value("doubts", Json::array()).empty()) << row.record;
    record.erase("cloud");
    found["customers"][row.id] = record;
    for (const store::StoredRequest& one : row.requests) {
      found["requests"].push_back({{"customer", row.id},
                                   {"request", one.id},
                                   {"answer", Json::parse(one.answer)},
                                   {"at", to_ms(one.at)}});
    }
  }
  Json expected = Json::parse((*model_)->export_state().value());
  if (!expected.contains("requests")) expected["requests"] = Json::array();
  for (Json& one : expected["requests"]) one.erase("fingerprint");  // They differ by IDs of holds.
  for (Json* state : {&expected, &found}) {
    std::stable_sort(
        (*state)["requests"].begin(), (*state)["requests"].end(),
        [](const Json& a, const Json& b) { return a.at("customer") < b.at("customer"); });
  }
  for (const char* part : {"customers", "requests"}) {
    const std::string wanted = shown(expected.at(part).dump());
    const std::string is = shown(found.at(part).dump());
    if (is != wanted) differs(part, wanted, is);
  }
}

void Round::play() {
  has_room_ = draw_.chance(75);
  has_files_ = draw_.chance(25);
  time_passes_ = draw_.chance(60);
  loyalty_ = draw_.one_of(std::array{0, 80, 97});
  ASSERT_NO_FATAL_FAILURE(push_policy());
  for (int i = draw_.between(2, 3); i > 0; --i) ASSERT_NO_FATAL_FAILURE(add_engine());
  for (const std::string& one : ids_) {
    if (draw_.chance(20)) continue;
    Operation made = create();
    made.name = "ensure_customer";
    made.arguments["id"] = one;
    if (one == ids_.front()) made.arguments["type"] = "org";
    if (!compare(*draw_.one_of(engines_), made)) return;
  }
  for (int i = draw_.between(20, 120); i > 0; --i) {
    if (!step() || ::testing::Test::HasFailure()) return;
  }
  while (!engines_.empty()) close_engine();
  check_rows();
}

TEST_F(Equivalence, EnginesInTurnAnswerAsOneInMemory) {
  const std::uint64_t seed = printed_seed();
  const std::uint64_t rounds = number_from("LIMITR_ROUNDS", 12);
  for (std::uint64_t i = 0; i < rounds && !HasFailure(); ++i) {
    Round(server_, *control_, seed + i, marker_).play();
  }
}

}  // namespace
}  // namespace limitr
