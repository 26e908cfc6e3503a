// SPDX-License-Identifier: Apache-2.0
#include "simulation.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/test_folder.h"
#include "engine/engine.h"
#include "link.h"
#include "policy/compile.h"
#include "policy/document.h"
#include "state/record.h"

namespace limitr::simulation {
namespace {

constexpr std::string_view policy_text = R"(
policy:
  credits:
    token: { description: tokens }
  plans:
    pro:
      default: true
      entitlements:
        few:  { limit: { mode: hard, credit: token, value: 60 } }
        many: { limit: { mode: hard, credit: token, value: 4000 } }
        soft: { limit: { mode: soft, credit: token, value: 100 } }
        seat: { scope: org, limit: { mode: hard, credit: token, value: 300 } }
        again: { limit: { mode: hard, credit: token, value: 30, resets: true, reset_inc: 2seconds } }
)";

constexpr std::array<std::string_view, 3> customers = {"ann", "bob", "cyd"};
constexpr std::array<std::string_view, 5> entitlements = {"few", "many", "soft", "seat", "again"};
constexpr double cap_value = 2500;
constexpr double again_value = 30;  // in each period

class SimulatedClock final : public Clock {
public:
  SimulatedClock(const World& world, Millis off) : world_(world), off_(off) {}
  Timestamp now() const override { return Timestamp(world_.now() + off_); }

private:
  const World& world_;
  const Millis off_;
};

struct Call {
  std::string customer;
  std::string entitlement;
  double units = 0;
};

// One engine in a process of its own, and what it is told to do.
struct Process {
  Process(World& world, Servers& servers, std::string name, Millis clock_off, double share,
          bool denies, std::string file)
      : link_store(
            std::make_unique<Link>(world, servers, actor, std::move(name), share, denies, file)),
        link(*link_store),
        local_file(std::move(file)) {
    Options options;
    options.shared = true;
    options.clock = std::make_shared<SimulatedClock>(world, clock_off);
    options.store_timeout = Millis(2000);
    options.log = [](std::string_view) {};
    auto names = std::make_shared<SymbolTable>();
    Result<policy::Node> document =
        policy::parse_document(policy_text, Format::yaml, DocumentBounds());
    policy::Compiled compiled = policy::compile(*document, names, true);
    if (!compiled.policy) std::abort();
    engine = std::make_unique<engine::Engine>(compiled.policy, names, std::move(options));
    if (!engine->keep_in(std::move(link_store)).ok()) std::abort();
    link.live();
  }

  Actor actor;
  std::unique_ptr<Link> link_store;
  Link& link;
  const std::string local_file;  // empty: it has none
  std::unique_ptr<engine::Engine> engine;
  std::deque<std::function<void()>> jobs;
  bool is_closed = false;
};

class Simulation {
public:
  Simulation(std::uint64_t seed, Bug bug)
      : world_(seed),
        bug_(bug),
        servers_(world_, bug == Bug::none && world_.chance(0.4) ? 2 : 1, bug) {}

  Report run();

private:
  using Place = std::pair<std::string, std::string>;  // whose meter, and which
  struct Period {
    double value = 0;
    double doubted = 0;
  };

  void set_up();
  void draw_weights();
  void go_on(Millis time);
  void let_actors_run();
  void act();
  void fault();
  void call(Process& process, const Call& call);
  void count(const Call& call, const Result<Decision>& answer, bool at_home);
  void step(Process& process);
  void heal();
  void hand_over();
  void note_periods();
  void check_periods();
  void check_leases();
  void check_given_back(const std::string& id, const state::Customer& customer);
  void check_state(bool is_final);
  void exhaust();
  std::size_t add_process(const std::string& left = {});
  Process& any();
  static Place place_of(const Call& call) {
    return {call.entitlement == "seat" ? "org" : call.customer, call.entitlement};
  }
  void violated(std::string what) { report_.violations.push_back(std::move(what)); }

  /// Whether what an engine that died had not reported is told by nobody.
  bool may_be_in_doubt() const { return report_.crashes != 0 && !has_files_; }

  const TestFolder folder_;  // of local files
  World world_;
  const Bug bug_;
  Servers servers_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<Process>> dead_;
  std::uint64_t names_ = 0;
  double share_ = 0.01;
  bool denies_ =
      true;  // what cannot be confirmed; otherwise limits may be passed, but nothing lost
  bool has_files_ = false;
  double fault_chance_ = 0;
  double crash_chance_ = 0;
  std::map<Place, double> answered_;
  std::map<Place, double> maybe_;
  std::map<std::string, std::map<Timestamp, Period>> periods_;  // of `again`, as last stored
  Report report_;
};

double limit_of(const std::string& entitlement) {
  if (entitlement == "few") return 60;
  if (entitlement == "many") return 4000;
  if (entitlement == "seat") return 300;
  return INFINITY;
}

// `left`: the local file of an engine that died.
std::size_t Simulation::add_process(const std::string& left) {
  std::string name =
      fmt::format("engine-{}", bug_ == Bug::incarnation ? processes_.size() % 3 : ++names_);
  std::string file;
  if (has_files_) {
    file = folder_.file(name);
    // As it was when that one died: what it does here after its death did not happen.
    if (!left.empty()) std::filesystem::copy_file(left, file);
  }
  processes_.push_back(std::make_unique<Process>(world_, servers_, std::move(name),
                                                 Millis(world_.between(-2000, 2000)), share_,
                                                 denies_, std::move(file)));
  return processes_.size() - 1;
}

void Simulation::set_up() {
  const std::string org = R"({"id":"org","type":"org","plan":"pro"})";
  servers_.put("org", org);
  for (const std::string_view id : customers) {
    servers_.put(std::string(id),
                 fmt::format(R"({{"id":"{}","plan":"pro","refs":["org"],"caps":{}}})", id,
                             id == "ann" ? fmt::format(R"({{"cap":{{"id":"cap","credit":"token",)"
                                                       R"("value":{},"scope":["many"],"started":0,)"
                                                       R"("created_on":0}}}})",
                                                       cap_value)
                                         : "{}"));
  }
  draw_weights();
  servers_.on_written([this] { note_periods(); });
  const std::int64_t count = world_.between(2, 4);
  for (std::int64_t i = 0; i < count; ++i) add_process();
  go_on(Millis(200));
}

void Simulation::draw_weights() {
  servers_.faults().loss = world_.chance(0.5) ? 0.0 : 0.02;
  servers_.faults().twice = world_.chance(0.5) ? 0.0 : 0.05;
  servers_.faults().longest_delay = Millis(world_.between(1, 20));
  fault_chance_ = world_.chance(0.3) ? 0.0 : 0.02;
  denies_ = bug_ != Bug::none || world_.chance(0.85);
  has_files_ = bug_ == Bug::none && world_.chance(0.4);
  crash_chance_ = has_files_ ? 0.7 : !denies_ || world_.chance(0.5) ? 0.0 : 0.2;
  share_ = world_.chance(0.1) ? 0.0 : world_.chance(0.3) ? 0.1 : 0.01;
}

Process& Simulation::any() {
  return *processes_[static_cast<std::size_t>(
      world_.between(0, static_cast<std::int64_t>(processes_.size()) - 1))];
}

// Whatever can go on does, in the order of the engines.
void Simulation::let_actors_run() {
  for (bool went_on = true; went_on;) {
    went_on = false;
    for (auto* all : {&processes_, &dead_}) {
      for (const auto& process : *all) {
        if (process->link.stands_still() && !process->link.is_dead()) continue;
        if (process->actor.is_ripe()) {
          process->actor.run();
          went_on = true;
        } else if (process->actor.is_idle() && !process->jobs.empty()) {
          std::function<void()> job = std::move(process->jobs.front());
          process->jobs.pop_front();
          process->actor.start(std::move(job));
          went_on = true;
        }
      }
    }
  }
}

void Simulation::go_on(Millis time) {
  const Millis end = world_.now() + time;
  let_actors_run();
  while (world_.step(end)) let_actors_run();
  world_.pass_until(end);
}

void Simulation::count(const Call& call, const Result<Decision>& answer, bool at_home) {
  const Place place = place_of(call);
  if (!answer.ok()) {
    if (answer.error().code != ErrorCode::outcome_unknown) return;
    maybe_[place] += call.units;
    ++report_.unknown;
    return;
  }
  if (!answer->allowed) {
    ++report_.denied;
    return;
  }
  answered_[place] += call.units;
  ++report_.answered;
  if (at_home) ++report_.at_home;
  world_.note(fmt::format("{} {} {}", place.first, place.second, call.units));
  if (!denies_) return;
  if (answered_[place] > limit_of(call.entitlement) + 1e-9) {
    violated(fmt::format("{}/{}: {} answered of {}", place.first, place.second, answered_[place],
                         limit_of(call.entitlement)));
  }
  if (place.first == "ann" && place.second == "many" && answered_[place] > cap_value + 1e-9) {
    violated(fmt::format("ann's cap: {} answered of {}", answered_[place], cap_value));
  }
}

// At home where that can be, as engine::Engine::decide() does; otherwise when the actor has time.
void Simulation::call(Process& process, const Call& call) {
  if (process.link.is_dead() || process.link.stands_still()) return;
  CallOptions options;
  core::CallInput input{.entitlement = std::string_view(call.entitlement),
                        .value = call.units,
                        .options = &options,
                        .now = {},
                        .host_overhead = {},
                        .rates = {}};
  if (process.engine->decides_at_home()) {
    if (auto answer = process.engine->decide_at_home({call.customer}, input, true)) {
      count(call, *answer, true);
      return;
    }
  }
  if (process.jobs.size() > 8) return;
  process.jobs.push_back([this, call, process = &process] {
    CallOptions none;
    core::CallInput again{.entitlement = std::string_view(call.entitlement),
                          .value = call.units,
                          .options = &none,
                          .now = {},
                          .host_overhead = {},
                          .rates = {}};
    const Result<Decision> answer = process->engine->decide({call.customer}, again, true);
    if (process->link.is_dead()) {
      // Nobody is there to be answered; it may have happened.
      maybe_[place_of(call)] += call.units;
      return;
    }
    count(call, answer, false);
  });
}

void Simulation::step(Process& process) {
  if (process.is_closed || process.link.is_dead() || process.jobs.size() > 8) return;
  process.jobs.push_back([process = &process] { (void)process->engine->sharing()->step(); });
}

void Simulation::act() {
  Process& process = any();
  const std::string_view customer =
      customers[static_cast<std::size_t>(world_.between(0, customers.size() - 1))];
  const std::string_view entitlement =
      entitlements[static_cast<std::size_t>(world_.between(0, entitlements.size() - 1))];
  const bool is_many = entitlement == "many";
  call(process, {std::string(customer), std::string(entitlement),
                 static_cast<double>(world_.between(1, is_many ? 25 : 2))});
  for (const auto& each : processes_) {
    const auto wait = each->engine->sharing()->homes()->wait();
    if (wait == Millis(0) || world_.chance(0.05)) step(*each);
  }
}

void Simulation::fault() {
  Process& process = any();
  const auto back = [this](Millis after, std::function<void()> what) {
    world_.after(after, std::move(what));
  };
  switch (world_.between(0, 5)) {
    case 0: process.link.leave(); break;
    case 1: {
      const bool to = world_.chance(0.7);
      const bool from = !to || world_.chance(0.7);
      servers_.cut(process.link, to, from);
      const Client* client = &process.link;
      back(Millis(world_.between(50, 9000)),
           [this, client] { servers_.cut(*client, false, false); });
      break;
    }
    case 2: process.link.stand_still(world_.now() + Millis(world_.between(50, 9000))); break;
    case 3: {
      const auto index = static_cast<std::size_t>(
          world_.between(0, static_cast<std::int64_t>(servers_.count()) - 1));
      servers_.crash(index);
      back(Millis(world_.between(10, 4000)), [this, index] { servers_.restart(index); });
      break;
    }
    case 4:
      if (!world_.chance(crash_chance_) || processes_.size() < 2) break;
      ++report_.crashes;
      process.link.die();
      for (std::size_t i = 0; i < processes_.size(); ++i) {
        if (processes_[i].get() != &process) continue;
        dead_.push_back(std::move(processes_[i]));
        processes_.erase(processes_.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      }
      add_process(dead_.back()->local_file);
      let_actors_run();
      break;
    default: break;
  }
}

void Simulation::heal() {
  servers_.faults() = {};
  for (const auto& process : processes_) {
    servers_.cut(process->link, false, false);
    process->link.stand_still(world_.now());
  }
  for (std::size_t i = 0; i < servers_.count(); ++i) servers_.restart(i);
  go_on(3 * Servers::lease);
}

// Every engine that lives closes.
void Simulation::hand_over() {
  for (const auto& process : processes_) {
    for (int i = 0; i < 3; ++i) step(*process);
  }
  go_on(Servers::lease);
  for (const auto& process : processes_) {
    for (int i = 0; i < 3; ++i) step(*process);
  }
  go_on(Servers::lease);
  for (const auto& process : processes_) {
    process->is_closed = true;
    process->jobs.push_back([process = process.get()] { (void)process->engine->close(); });
  }
  go_on(3 * Servers::lease);
}

// Engines' clocks differ, and so do the periods that they begin; what the store has is what counts.
void Simulation::note_periods() {
  SymbolTable names;
  const Symbol again = names.intern("again");
  for (const store::StoredCustomer& row : servers_.rows()) {
    const Result<state::Customer> customer = state::read_customer(row.record, names);
    const state::Meter* meter = customer.ok() ? customer->meter(again) : nullptr;
    if (meter == nullptr) continue;
    auto& periods = periods_[row.id];
    if (!periods.empty() && meter->started < periods.rbegin()->first) {
      violated(row.id + ": a period has gone back");
    }
    Period& period = periods[meter->started];
    period = {meter->value, state::doubted(*customer, again, true)};
    if (denies_ && period.value + period.doubted > again_value + 1e-9) {
      violated(fmt::format("{}/again: {} stored and {} in doubt of {}", row.id, period.value,
                           period.doubted, again_value));
    }
  }
}

void Simulation::check_periods() {
  for (const auto& [id, periods] : periods_) {
    const Place place{id, "again"};
    Period sum;
    for (const auto& [started, period] : periods) {
      sum.value += period.value;
      sum.doubted += period.doubted;
    }
    const double answered = answered_[place];
    const double maybe = maybe_[place];
    if (denies_ && sum.value + sum.doubted < answered - 1e-6) {
      violated(fmt::format("{}/again: {} answered, {} stored, {} in doubt", id, answered, sum.value,
                           sum.doubted));
    }
    if (sum.value > answered + maybe + 1e-6) {
      violated(fmt::format("{}/again: {} stored, {} answered, {} unknown", id, sum.value, answered,
                           maybe));
    }
  }
}

// Where nothing went wrong, nobody is called lost.
void Simulation::check_leases() {
  if (fault_chance_ != 0 || servers_.faults().loss != 0) return;
  SymbolTable names;
  for (const store::StoredCustomer& row : servers_.rows()) {
    const Result<state::Customer> customer = state::read_customer(row.record, names);
    if (!customer.ok() || customer->cloud == nullptr || customer->cloud->doubts.empty()) continue;
    violated(row.id + ": the home was called lost, though nothing was");
  }
}

void Simulation::check_given_back(const std::string& id, const state::Customer& customer) {
  const state::Cloud* cloud = customer.cloud.get();
  if (may_be_in_doubt() || cloud == nullptr || (!cloud->home && cloud->doubts.empty())) return;
  violated(id + " has a home or doubts when all have closed");
}

// What the store has against what was answered.
void Simulation::check_state(bool is_final) {
  SymbolTable names;
  std::map<Place, double> stored, doubted;
  for (const store::StoredCustomer& row : servers_.rows()) {
    const Result<state::Customer> customer = state::read_customer(row.record, names);
    if (!customer.ok()) {
      violated("unreadable: " + row.id);
      continue;
    }
    for (const state::Meter& meter : customer->meters) {
      const Place place{row.id, std::string(names.text(meter.entitlement))};
      stored[place] = meter.value;
      doubted[place] = state::doubted(*customer, meter.entitlement, true);
    }
    if (const state::Cap* cap = customer->cap("cap")) {
      const double many = stored[{row.id, "many"}];
      if (std::fabs(cap->meter_value - many) > 1e-6) {
        violated(fmt::format("the cap of {} has {}, its meter {}", row.id, cap->meter_value, many));
      }
    }
    check_given_back(row.id, *customer);
  }
  check_periods();
  for (const auto& [place, answered] : answered_) {
    if (place.second == "again") continue;
    const double value = stored[place];
    const double doubt = may_be_in_doubt() ? doubted[place] : 0;
    const double maybe = maybe_[place];
    const bool is_bounded = std::isfinite(limit_of(place.second));
    if (value + doubt < answered - 1e-6 && (is_bounded || !may_be_in_doubt())) {
      violated(fmt::format("{}/{}: {} answered, {} stored, {} in doubt", place.first, place.second,
                           answered, value, doubt));
    }
    if (value > answered + maybe + 1e-6) {
      violated(fmt::format("{}/{}: {} stored, {} answered, {} unknown", place.first, place.second,
                           value, answered, maybe));
    }
    if (!is_final || !is_bounded) continue;
    const double limit =
        place.first == "ann" && place.second == "many" ? cap_value : limit_of(place.second);
    if (value + doubt < limit - 1 + 1e-6) {
      violated(fmt::format("{}/{}: {} stored and {} in doubt, though {} were asked for",
                           place.first, place.second, value, doubt, limit));
    }
  }
}

// One more engine takes all that is left, unit by unit.
void Simulation::exhaust() {
  Process& last = *processes_[add_process()];
  go_on(Millis(500));
  for (const auto& [place, answered] : std::map(answered_)) {
    if (!std::isfinite(limit_of(place.second))) continue;
    const std::string customer = place.first == "org" ? "bob" : place.first;
    for (int i = 0; i < 5000; ++i) {
      const std::uint64_t denied = report_.denied;
      // In large steps at first, so that it does not take long.
      const double units = i < 3000 && place.second == "many" ? std::max(1, 200 - i) : 1;
      call(last, {customer, place.second, units});
      if (i % 4 == 0) step(last);
      do {
        go_on(Millis(5));
      } while (!last.actor.is_idle() || !last.jobs.empty());
      if (report_.denied != denied && units == 1) break;
    }
  }
  last.is_closed = true;
  last.jobs.push_back([&last] { (void)last.engine->close(); });
  go_on(2 * Servers::lease);
}

Report Simulation::run() {
  set_up();
  const std::int64_t steps = world_.between(200, 900);
  for (std::int64_t i = 0; i < steps; ++i) {
    act();
    if (world_.chance(fault_chance_)) fault();
    go_on(Millis(world_.between(0, 12)));
  }
  check_leases();
  heal();
  hand_over();
  check_state(/*is_final=*/false);
  if (report_.violations.empty() && bug_ == Bug::none && denies_ && world_.chance(0.1)) {
    exhaust();
    check_state(/*is_final=*/true);
  }
  for (const auto& process : processes_) process->link.die();
  let_actors_run();
  report_.trace = world_.trace();
  return report_;
}

}  // namespace

Report simulate(std::uint64_t seed, Bug bug) { return Simulation(seed, bug).run(); }

}  // namespace limitr::simulation
