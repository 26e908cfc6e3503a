// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <limitr/limitr.h>

#include "backends.h"
#include "base/test_seed.h"
#include "call/calls.h"
#include "drawn_calls.h"
#include "engine/engine.h"
#include "faulty_store.h"
#include "made_up_ids.h"
#include "manual_clock.h"
#include "open/open_store.h"

// Whoever asks an engine cannot tell where it keeps its state: drawn calls are answered by one that
// has a store as by one that keeps all in memory, whatever is written, let go of, closed and read
// again between them. spec: state.md, Stores
namespace limitr {
namespace {

constexpr std::string_view credits = R"(
policy:
  estimate_min_samples: 2
  hold_ttl: 3hours
  request_limit: 3
  request_window: 1day
  credits:
    gold: { price: { amount: 4 }, overhead_fn: cost }
    seat: { stof_units: int }
    space: { stof_units: MB, price: { amount: 0.25 } }
    tier:
      pricing_model: tiered
      tiers: [{ up_to: 5, price: { amount: 2 } }, { price: { amount: 0.3 } }]
    tok: { price: { amount: 1 }, overhead_cost: 0.1 }
  plans:
)";
// Names are in the order of the alphabet: where a document becomes JSON, they keep it.
constexpr std::array plans = {R"(
    free:
      default: true
      entitlements:
        bill: { limit: { credit: tier, value: 5, mode: soft, resets: true, reset_sch: "monthly:last" } }
        chat: { limit: { credit: tok, value: 20, increment: 3, resets: true, reset_inc: 6hours } }
        disk: { limit: { credit: space, value: 3GB, hard_trailing: true } }
        fast:
          limit:
            { credit: gold, value: 90, governor_enabled: true, governor_capacity: 9,
              governor_refill_rate: 0.001 }
        flag: {}
        hard: { limit: { credit: tok, value: 30, grants_apply: false } }
        pack: { limit: { credit: tok, value: 2, mode: observe } }
        seats: { scope: org, limit: { credit: seat, value: 5 } }
        team: { scope: team, limit: { credit: tok, value: 25 } }
      topups:
        extra:
          { credit: tok, value: 9, resets: true, reset_inc: 5hours, reset_mode: rollover,
            rollover_pct: 0.5, max_balance: 30 }
        gift: { credit: gold, value: 2, included: true, expires_after: 3days }
    pro:
      subscription: seats
      trial_period: 1day
      entitlements:
        chat: { limit: { credit: gold, value: 8, mode: soft } }
        hard: { limit: { credit: tok, value: 30, grants_apply: false } }
        seats: { limit: { credit: seat, value: 9 } }
      topups: { extra: { credit: gold, value: 7, resets: true, reset_mode: add } }
)",
                              R"(
    free:
      default: true
      entitlements:
        chat: { limit: { credit: gold, value: 4, mode: soft } }
        hard: { limit: { credit: tok, value: 30, grants_apply: false } }
        seats: { limit: { credit: seat, value: 3 } }
        talk: { renamed_from: [bill], limit: { credit: tok, value: 4, mode: soft } }
)"};

std::string policy_of(std::size_t number) {
  return std::string(credits) + plans.at(number % plans.size());
}

// How an engine keeps its state.
struct Setting {
  store::Backend backend;
  bool shared = false;
  bool two_engines = false;
  Durability durability = Durability::sync;
  bool writes_always = false;  // With interval durability; otherwise only when told.
  bool load_all = false;
  std::size_t max_loaded = 0;
  bool has_handler = false;
  DrawnKinds kinds = {};

  std::string text() const {
    std::ostringstream out;
    out << backend.name << (shared ? " shared" : "") << (two_engines ? " by two" : "")
        << " durability " << static_cast<int>(durability) << (writes_always ? " always" : "")
        << (load_all ? " load_all" : "") << " max_loaded " << max_loaded
        << (has_handler ? " handler" : "");
    return out.str();
  }
};

// Names of which most lie in one shard, where a bound on customers in memory counts.
const std::vector<std::string>& names() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> made = {"a"};
    for (char letter = 'b'; letter <= 'f'; ++letter) {
      std::string name(1, letter);
      for (int i = 0; engine::Engine::shard_of(name) != engine::Engine::shard_of("a"); ++i) {
        name = letter + std::to_string(i);
      }
      made.push_back(name);
    }
    made.insert(made.end(), {"g", "h"});
    return made;
  }();
  return all;
}

// One or two engines that have the same customers, and those who ask them.
class World {
public:
  // Without a store, all is in memory.
  World(const Setting& setting, bool has_store) : setting_(setting) {
    if (has_store) place_ = setting.backend.make();
    open(policy_of(0), Format::yaml);
  }

  // What was answered, and which events were sent.
  std::string play(const Step& step);
  // All that there is, but for fingerprints of requests: those are also of IDs that were made up.
  std::string state() {
    Json all = exported();
    for (Json& request : all["requests"]) request.erase("fingerprint");
    all["told"] = made(first(), "fsck", Json::object());
    return ids_.told(all);
  }
  bool has_failed() const { return has_failed_; }
  // state(), as of somebody who has seen no ID before.
  std::string state_anew() {
    ids_ = {};
    return state();
  }
  // What was saved after another world was as this is now is forgotten.
  void forget_saves_after(const World& other) {
    saves_.resize(std::min(saves_.size(), other.saves_.size()));
  }
  std::int64_t now() const { return clock_->now().time_since_epoch().count(); }

private:
  Limitr& first() { return engines_.front(); }
  Limitr& engine_of(const Step& step) { return engines_.at(step.engine % engines_.size()); }

  void open(const std::string& policy, Format format);
  void reopen(bool crashes);
  Json exported();
  Json made(Limitr& engine, const std::string& name, const Json& with);
  Json done(const Step& step);
  Json put(const Step& step);
  Json called(const Step& step);
  Json decided(Limitr& engine, const Step& step);

  const std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>(DrawnCalls::start_ms);
  const Setting& setting_;
  std::unique_ptr<store::Place> place_;  // null: there is no store
  std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  std::vector<Limitr> engines_;
  std::vector<std::string> holds_;
  std::vector<std::string> caps_;
  std::vector<Json> saves_;
  Json events_ = Json::array();
  MadeUpIds ids_;
  bool has_failed_ = false;
};

void World::open(const std::string& policy, Format format) {
  const std::size_t count = place_ != nullptr && setting_.two_engines ? 2 : 1;
  for (std::size_t i = 0; i < count; ++i) {
    Options options;
    options.clock = clock_;
    options.format = format;
    options.log = [](std::string_view) {};
    options.host.overhead["cost"] = [](double units, const Json&) { return units / 2; };
    Result<Limitr> opened = [&] {
      if (place_ == nullptr) return Limitr::open(policy, options);
      options.shared = setting_.shared;
      options.store_timeout = Millis(1000);  // So that calls which never end by themselves do.
      options.durability = setting_.durability;
      options.write_interval = setting_.writes_always ? Millis(1) : Millis(3'600'000);
      options.load_all = setting_.load_all;
      options.max_loaded = setting_.max_loaded;
      return open_with_store(policy, options,
                             std::make_unique<FaultyStore>(place_->store(), faults_));
    }();
    if (!opened.ok()) throw std::runtime_error(opened.error().to_string());
    if (setting_.has_handler) {
      opened->add_handler("note", [this](const Event& event) {
        events_.push_back({event.type, event.customer, event.json()});
      });
    }
    engines_.push_back(*std::move(opened));
  }
}

// With the policy that the store has; one that was swapped just before a crash need not be there.
void World::reopen(bool crashes) {
  if (place_ == nullptr) return;
  std::string policy = first().policy().dump();
  if (crashes) {
    faults_->gone = true;
    engines_.clear();
    faults_->gone = false;
  } else {
    for (Limitr& engine : engines_) {
      if (auto closed = engine.close(); !closed.ok()) {
        throw std::runtime_error("close: " + closed.error().to_string());
      }
    }
    engines_.clear();
    const Result<store::Opened> kept = place_->store()->open(store::Access::read, {});
    if (!kept.ok()) throw std::runtime_error(kept.error().to_string());
    policy = kept->policy.value_or("no policy");
  }
  open(policy, Format::json);
}

// Statistics over all customers are each engine's own, and written now and then.
Json World::exported() {
  const Result<std::string> text = first().export_state();
  if (!text.ok()) throw std::runtime_error("export: " + text.error().to_string());
  Json all = Json::parse(*text);
  const auto named = [](const Json& request) {
    return std::pair(request["customer"], request["request"]);
  };
  std::sort(all["requests"].begin(), all["requests"].end(),
            [&](const Json& a, const Json& b) { return named(a) < named(b); });
  if (!setting_.kinds.teaches) all.erase("estimates");
  return all;
}

Json World::made(Limitr& engine, const std::string& name, const Json& with) {
  const call::Answer answer = call::make_call(engine, name, with.dump(), clock_->now());
  if (answer.error) {
    return {{"error", to_string(answer.error->code)}, {"message", answer.error->to_string()}};
  }
  return Json::parse(call::json_text(answer));
}

Json World::decided(Limitr& engine, const Step& step) {
  const auto text = [&](const char* name) { return step.with[name].get<std::string>(); };
  CallOptions options;
  if (step.with.contains("overhead")) options.overhead = step.with["overhead"].get<double>();
  options.force = step.with.contains("force");
  const std::string request = step.with.value("request", "");
  options.request = request;
  const std::string id = text("id");
  const std::string entitlement = text("entitlement");
  const double value = step.with["value"].get<double>();
  Result<Decision> decision = [&]() -> Result<Decision> {
    if (step.name == "@async") {
      return engine
          .allow_async(
              {.customer = id, .entitlement = entitlement, .value = value, .options = options})
          .get();
    }
    Read<Handle> handle = engine.handle(id, entitlement);
    if (!handle.ok()) return handle.error();
    if (!handle->has_value()) return Decision();
    return engine.allow(**handle, value, options);
  }();
  if (decision.ok()) return Json::parse(to_json(*decision));
  return {{"error", to_string(decision.error().code)}, {"message", decision.error().to_string()}};
}

// A record that was saved before, or all of them.
Json World::put(const Step& step) {
  if (saves_.empty()) return "nothing was saved";
  Json saved = saves_.at(step.with["save"].get<std::size_t>() % saves_.size());
  Json records = Json::array();
  for (const Json& record : saved["customers"]) records.push_back(record);
  if (records.empty()) return "nobody was saved";
  Json& changed = records.at(step.with["of"].get<std::size_t>() % records.size());
  if (step.with.contains("alts")) changed["alt_ids"] = step.with["alts"];
  if (step.name != "@load") return made(engine_of(step), step.name, {{"record", changed}});
  if (!step.with["whole"].get<bool>()) {
    return made(engine_of(step), "load_customers", {{"records", records}});
  }
  saved["customers"] = records;
  return made(engine_of(step), "load_customers", {{"records", saved}});
}

Json World::called(const Step& step) {
  Json with = step.with;
  const auto known = [&](const char* name, const char* as, const std::vector<std::string>& made) {
    if (!with.contains(name)) return;
    const auto number = with[name].get<std::size_t>();
    with.erase(name);
    with[as] = made.empty() ? "none" : made.at(number % made.size());
  };
  known("hold", "hold", holds_);
  known("made_cap", "cap", caps_);
  if (step.name == "set_policy") with["policy"] = policy_of(with["policy"].get<std::size_t>());
  if (step.name.ends_with("_policy") || step.name.ends_with("_plan")) {
    if (step.name != "set_customer_plan") {
      // Each engine has a policy of its own.
      Json answer;
      for (Limitr& engine : engines_) answer = made(engine, step.name, with);
      events_.clear();
      return answer;
    }
  }
  Json answer = made(engine_of(step), step.name, with);
  if (answer.is_string() && step.name == "reserve") holds_.push_back(answer);
  if (answer.is_string() && step.name == "add_customer_cap") caps_.push_back(answer);
  return answer;
}

Json World::done(const Step& step) {
  if (step.name == "@time") {
    clock_->advance(step.with["ms"].get<std::int64_t>());
  } else if (step.name == "@forget") {
    holds_.clear();
    caps_.clear();
  } else if (step.name == "@save") {
    saves_.push_back(exported());
  } else if (step.name == "@flush") {
    if (auto flushed = engine_of(step).flush(); !flushed.ok()) return flushed.error().to_string();
  } else if (step.name == "@reopen" || step.name == "@crash") {
    reopen(step.name == "@crash");
  } else if (step.name == "@async" || step.name == "@handle") {
    return decided(engine_of(step), step);
  } else if (step.with.contains("save")) {
    return put(step);
  } else if (step.name.front() != '@') {
    return called(step);
  }
  return nullptr;
}

std::string World::play(const Step& step) {
  events_ = Json::array();
  const bool fails = place_ != nullptr && step.fault != Step::Fault::none &&
                     step.name.front() != '@' && !step.with.contains("save") &&
                     step.name != "allow_many";
  if (fails) {
    faults_->refuse = step.fault == Step::Fault::refuses;
    faults_->lose_answer = step.fault == Step::Fault::loses_answer;
    faults_->lose_question = step.fault == Step::Fault::loses_question;
    faults_->cannot_read = step.fault == Step::Fault::cannot_read;
  }
  const Json answer = done(step);
  has_failed_ = false;
  if (fails) {
    faults_->refuse = faults_->lose_answer = faults_->lose_question = 0;
    faults_->cannot_read = false;
    for (Limitr& engine : engines_) {
      while (!engine.flush().ok()) {
      }
    }
    has_failed_ = answer.is_object() && answer.value("error", "") == "store_unavailable";
  }
  return ids_.told({answer, events_});
}

// The same calls on an engine that has a store and on one that has none.
class Both {
public:
  explicit Both(const Setting& setting) : setting_(setting) {}

  // The first thing that is not the same.
  std::optional<std::string> play(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      if (auto different = play(step)) return different;
    }
    for (const char* last : {"@compare", "@reopen"}) {
      if (auto different = play({last})) return different;
    }
    return std::nullopt;
  }

  // The steps so far, as text.
  std::string played() const { return setting_.text() + "\n" + played_; }

private:
  std::optional<std::string> play(const Step& step) {
    played_ += "  " + step.text() + "\n";
    const std::string found = kept_.play(step);
    if (step.name == "@crash") return go_back();
    if (kept_.has_failed()) return std::nullopt;
    const std::string expected = in_memory_->play(step);
    counted_.push_back(step);
    if (found != expected) return differ(expected, found);
    const bool is_reopened = step.name == "@reopen";
    if (is_reopened || step.name == "@flush" || setting_.durability == Durability::sync) {
      safe_ = counted_.size();
    }
    if (step.name != "@compare" && !is_reopened) return std::nullopt;
    const std::string all = in_memory_->state();
    const std::string all_found = kept_.state();
    return all_found == all ? std::nullopt : std::optional(differ(all, all_found));
  }

  // After a crash it is what it was after some call, and nothing that is safe is lost.
  std::optional<std::string> go_back() {
    const std::string found = kept_.state_anew();
    std::string expected;
    for (std::size_t count = counted_.size();; --count) {
      auto before = std::make_unique<World>(setting_, /*has_store=*/false);
      for (std::size_t i = 0; i < count; ++i) before->play(counted_[i]);
      expected = before->state_anew();
      if (found == expected) {
        in_memory_ = std::move(before);
        counted_.resize(count);
        kept_.forget_saves_after(*in_memory_);
        kept_.play({"@forget"});
        for (const Step& step :
             {Step{"@forget"}, Step{"@time", {{"ms", kept_.now() - in_memory_->now()}}}}) {
          in_memory_->play(step);
          counted_.push_back(step);
        }
        safe_ = counted_.size();
        return std::nullopt;
      }
      if (count == safe_) return differ(expected, found);
    }
  }

  std::string differ(const std::string& expected, const std::string& found) const {
    const Json patch = Json::diff(Json::parse(expected), Json::parse(found));
    return played() + "in memory: " + expected +
           "\nwith the store it is, as a patch of that: " + patch.dump();
  }

  const Setting& setting_;
  World kept_{setting_, /*has_store=*/true};
  std::unique_ptr<World> in_memory_ = std::make_unique<World>(setting_, /*has_store=*/false);
  std::vector<Step> counted_;  // What has happened in memory.
  std::size_t safe_ = 0;       // So much of it is in the store for certain.
  std::string played_;
};

std::optional<std::string> difference(const Setting& setting, const std::vector<Step>& steps) {
  Both both(setting);
  try {
    return both.play(steps);
  } catch (const std::exception& failure) {
    return both.played() + failure.what();
  }
}

// What can be left out of steps that end in a difference is.
std::string shortened(const Setting& setting, std::vector<Step> steps, std::string why) {
  for (std::size_t size = steps.size() / 2; size > 0; size /= 2) {
    for (std::size_t from = 0; from + size <= steps.size();) {
      std::vector<Step> fewer = steps;
      const auto begin = fewer.begin() + static_cast<std::ptrdiff_t>(from);
      fewer.erase(begin, begin + static_cast<std::ptrdiff_t>(size));
      if (auto still = difference(setting, fewer)) {
        steps = std::move(fewer);
        why = *still;
      } else {
        from += size;
      }
    }
  }
  return why;
}

class Equivalence : public ::testing::TestWithParam<store::Backend> {};

Setting drawn_setting(const store::Backend& backend, std::mt19937_64& drawn) {
  const auto once_in = [&](std::uint64_t times) { return drawn() % times == 0; };
  Setting setting{.backend = backend};
  setting.shared = backend.is_shared && once_in(2);
  if (setting.shared) {
    const std::vector<store::Backend> all = store::backends_that_are_shared();
    setting.backend = *std::ranges::find(all, backend.name, &store::Backend::name);
  }
  setting.two_engines = setting.shared && once_in(2);
  if (!setting.shared) setting.durability = static_cast<Durability>(drawn() % 3);
  setting.writes_always = setting.durability == Durability::interval && once_in(2);
  setting.load_all = once_in(3);
  setting.max_loaded = once_in(3) ? 0 : 1;
  setting.has_handler = once_in(2);
  const bool is_sync = setting.durability == Durability::sync;
  setting.kinds.crashes = once_in(3);
  // What is restored may be older than the policy.
  setting.kinds.swaps = is_sync || !setting.kinds.crashes;
  setting.kinds.fails = once_in(3);
  setting.kinds.teaches = !setting.two_engines && !setting.kinds.crashes && !setting.kinds.fails;
  return setting;
}

TEST_P(Equivalence, DrawnCallsAreAnsweredAsInMemory) {
  const std::uint64_t seed = printed_seed();
  const std::string& name = GetParam().name;
  const bool is_slow = name == "postgres" || name == "redis_cluster";
  const std::uint64_t rounds = number_from("LIMITR_ROUNDS", is_slow ? 4 : 10);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::mt19937_64 drawn(seed + round);
    const Setting setting = drawn_setting(GetParam(), drawn);
    const std::vector<Step> steps = DrawnCalls(drawn(), names(), setting.kinds).steps(80);
    if (auto different = difference(setting, steps)) {
      FAIL() << "LIMITR_SEED=" << seed + round << " LIMITR_ROUNDS=1\n"
             << shortened(setting, steps, *different);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, Equivalence, ::testing::ValuesIn(store::backends()),
                         store::backend_name);

}  // namespace
}  // namespace limitr
