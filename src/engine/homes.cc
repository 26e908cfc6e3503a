// SPDX-License-Identifier: Apache-2.0
#include "engine/homes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include "engine/engine.h"

namespace limitr::engine {
namespace {

using state::Cloud;
using state::Family;
using state::Stay;
using state::Tally;

// How long use may wait to be reported, and how long one that is idle keeps room for more.
constexpr Millis report_every{100};
constexpr Millis idle_for{1000};
// How long an engine must have been the only one to write a customer before it takes it home; twice
// as long each time that it is called back soon after.
constexpr Millis alone_min{2000};
constexpr Millis alone_max{60'000};
constexpr Millis soon{10'000};
constexpr std::size_t most_recalled = 100'000;
// Where nothing is denied for what is unreported, room bounds how much that may be.
constexpr double usual_calls = 10;
constexpr double unlimited = std::numeric_limits<double>::infinity();

constexpr Millis for_ever = Millis::max();

// How far apart starts of one period can be; a calendar's are the same for all.
Millis period_of(const Reset& reset) {
  if (!reset.resets) return for_ever;
  return reset.schedule ? Millis(0) : reset.length();
}

Stay& stay_of(state::Customer& customer) {
  if (!customer.cloud) customer.cloud = std::make_unique<Cloud>();
  if (!customer.cloud->stay) customer.cloud->stay.emplace();
  return *customer.cloud->stay;
}

// A tally of what moves in the present period; what went before is in the record as it is.
template <typename Of>
Tally& present(Of& one, Timestamp started) {
  if (one.started != started) {
    one.started = started;
    one.tally = {.usual = one.tally.usual};
    one.kept = nullptr;
  }
  return one.tally;
}

void count_move(Tally& tally, double units, bool is_used) {
  if (units == 0) return;
  tally.moved += std::fabs(units);
  tally.usual = std::fabs(units);
  if (!is_used) return;
  tally.left -= units;
  tally.used += units;
}

bool fits(const Tally& tally, double units) { return units <= 0 || units <= tally.left; }

bool runs_short(const Tally& tally) { return tally.left < tally.granted / 2; }

// What is asked for, within the share of a limit, and within what is left of it. `is_early`: what
// has moved is not what moves in the time between two reports.
double sized(const Tally& tally, bool is_early, double limit, double share, double left) {
  if (share <= 0) return 0;
  const double before = is_early ? (runs_short(tally) ? 2 : 1) * tally.granted : 0;
  const double wanted = std::max({2 * tally.moved, before, tally.usual});
  if (limit == unlimited) return std::max(wanted, usual_calls * tally.usual);
  return std::max(0.0, std::min({wanted, std::max(1.0, share * limit), left}));
}

void send(Tally& tally, double units) {
  tally.sent += tally.used;
  tally.used = 0;
  tally.moved = 0;
  tally.left = std::min(tally.left, units);
  tally.granted = units;
}

void keep(Tally& tally) {
  tally.sent = 0;
  tally.left = tally.granted - tally.used;
}

void take_back(Tally& tally) {
  tally.used += tally.sent;
  tally.moved += std::fabs(tally.sent);
  tally.sent = 0;
}

double held(const state::Customer& customer, Symbol entitlement, Timestamp now) {
  return core::held_room(customer.extra(entitlement), now).value;
}

// What is in no version that is known to be confirmed.
state::Unreported unreported_of(const Cloud& cloud, std::string_view engine) {
  state::Unreported unreported{.engine = std::string(engine),
                               .report = cloud.stay->report,
                               .is_owed = cloud.stay->is_adrift,
                               .kept = cloud.stay->kept};
  for (const Stay::OfMeter& one : cloud.stay->meters) {
    const auto add = [&](state::Use& use, double units, double overhead) {
      if (units == 0 && overhead == 0) return;
      use.meters.push_back(
          {one.entitlement, one.credit, one.period, one.started, {units, overhead}});
    };
    add(unreported.sent, one.tally.sent, one.overhead_sent);
    add(unreported.since, one.tally.used, one.overhead_used);
  }
  for (const Stay::OfCap& one : cloud.stay->caps) {
    if (one.tally.sent != 0) unreported.sent.caps.push_back({one.cap, one.started, one.tally.sent});
    if (one.tally.used != 0)
      unreported.since.caps.push_back({one.cap, one.started, one.tally.used});
  }
  return unreported;
}

// Whether there is use that no report has brought.
bool is_used(const Stay& stay) {
  return std::any_of(
             stay.meters.begin(), stay.meters.end(),
             [](const auto& one) { return one.tally.used != 0 || one.overhead_used != 0; }) ||
         std::any_of(stay.caps.begin(), stay.caps.end(),
                     [](const auto& one) { return one.tally.used != 0; });
}

// The store has what was sent.
void forget_sent(Stay& stay) {
  for (Stay::OfMeter& one : stay.meters) one.tally.sent = one.overhead_sent = 0;
  for (Stay::OfCap& one : stay.caps) one.tally.sent = 0;
}

// Whether nothing has moved since its room was set, and that is more than one call needs.
bool is_idle(const Stay& stay) {
  bool is_large = false;
  const auto look_at = [&](const Tally& tally) {
    is_large = is_large || tally.granted > tally.usual;
    return tally.moved == 0;
  };
  for (const Stay::OfMeter& one : stay.meters) {
    if (!look_at(one.tally)) return false;
  }
  for (const Stay::OfCap& one : stay.caps) {
    if (!look_at(one.tally)) return false;
  }
  return is_large;
}

}  // namespace

Homes::Homes(Engine& engine, store::Homes& port)
    : engine_(engine), port_(port), share_(port.room_share()) {}

Homes::~Homes() {
  for (Slot* slot : here_) slot->release();
  for (Slot* slot : due_) slot->release();
  for (const auto& [slot, since] : watched_) slot->release();
}

Result<void> Homes::open_file() {
  const std::string path = port_.local_file();
  if (path.empty()) return {};
  auto opened = UnreportedFile::open({.path = path,
                                      .engine = std::string(engine()),
                                      .log = [this](std::string_view text) { engine_.log(text); }},
                                     *engine_.shared_names());
  if (!opened.ok()) return std::move(opened).error();
  file_ = *std::move(opened);
  return {};
}

bool Homes::take_left() {
  if (!file_) return false;
  std::vector<UnreportedFile::Left> left = file_->take_left();
  for (UnreportedFile::Left& one : left) {
    put_back_unsettled(std::move(one.customer), std::move(one.unreported));
  }
  return !left.empty();
}

// Nothing writes to it any more: all that was at home was recalled, and nobody leads from now on.
void Homes::close_file() {
  if (file_) file_->close();
}

Slot& Homes::slot_of(Locked& locked, Family::Index who) const {
  return who == Family::caller ? locked.slot() : *locked.relatives()[who - 1];
}
const Slot& Homes::slot_of(const Locked& locked, Family::Index who) const {
  return who == Family::caller ? *locked.caller_slot() : *locked.relatives()[who - 1];
}

bool Homes::covers(const Locked& locked, const core::Outcome& outcome) const {
  if (outcome.lesson) return false;
  // Without room, what gives units back is confirmed too.
  if (share_ <= 0 && !outcome.changes.empty()) return false;
  if (const auto& meter = outcome.changes.meter) {
    if (meter->began_period) return false;
    Stay& stay = *slot_of(locked, meter->customer).customer.cloud->stay;
    const Stay::OfMeter* one = stay.meter(meter->entitlement);
    const bool moves = meter->value_delta != 0 || meter->overhead_delta != 0;
    if (moves && (one == nullptr || one->started != meter->started)) return false;
    if (moves && !fits(one->tally, meter->value_delta)) return false;
    if (moves && file_ && one->kept == nullptr) return false;
  }
  for (const state::Move& move : outcome.changes.moves) {
    const auto* cap = std::get_if<state::CapMove>(&move);
    if (cap == nullptr) return false;
    const state::Customer& holder = slot_of(locked, cap->customer).customer;
    const state::Cap* stored = holder.cap(cap->cap);
    const Stay::OfCap* one = holder.cloud->stay->cap(cap->cap);
    if (stored == nullptr || one == nullptr) return false;
    if (one->started != state::period_of(*stored) || !fits(one->tally, cap->delta)) return false;
    if (file_ && one->kept == nullptr) return false;
  }
  return true;
}

void Homes::count(Locked& locked, const core::Outcome& outcome, bool is_used) {
  if (const auto& meter = outcome.changes.meter) {
    Slot& slot = slot_of(locked, meter->customer);
    Stay& stay = stay_of(slot.customer);
    Stay::OfMeter* one = stay.meter(meter->entitlement);
    if (one == nullptr) {
      one = &stay.meters.emplace_back();
      one->entitlement = meter->entitlement;
      one->started = meter->started;
    }
    const Limit* limit = outcome.target.limit;
    one->credit = meter->credit;
    one->period = limit != nullptr ? period_of(limit->reset) : for_ever;
    one->limit = limit != nullptr && limit->mode == Mode::hard ? limit->value : unlimited;
    Tally& tally = present(*one, meter->started);
    count_move(tally, meter->value_delta, is_used);
    if (is_used) {
      // Also by a call that adds nothing: it is in the history of the meter.
      stay.is_touched = true;
      one->overhead_used += meter->overhead_delta;
      if (one->kept != nullptr) one->kept->add(meter->value_delta, meter->overhead_delta);
      make_due(slot, runs_short(tally));
    }
  }
  for (const state::Move& move : outcome.changes.moves) {
    const auto* moved = std::get_if<state::CapMove>(&move);
    if (moved == nullptr) continue;
    Slot& slot = slot_of(locked, moved->customer);
    const state::Cap* cap = slot.customer.cap(moved->cap);
    if (cap == nullptr) continue;
    Stay& stay = stay_of(slot.customer);
    Stay::OfCap* one = stay.cap(moved->cap);
    if (one == nullptr) {
      one = &stay.caps.emplace_back();
      one->cap = moved->cap;
      one->started = state::period_of(*cap);
    }
    one->limit = cap->observe_only ? unlimited : cap->value;
    Tally& tally = present(*one, state::period_of(*cap));
    count_move(tally, moved->delta, is_used);
    if (!is_used) continue;
    if (one->kept != nullptr) one->kept->add(moved->delta, 0);
    make_due(slot, runs_short(tally));
  }
}

void Homes::use(Locked& locked, const core::Outcome& outcome) { count(locked, outcome, true); }

void Homes::touch(Slot& slot) {
  slot.customer.cloud->stay->is_touched = true;
  make_due(slot, false);
}

void Homes::note_decided(Locked& locked, const core::Outcome& outcome) {
  count(locked, outcome, is_adrift_);
}

void Homes::note_adrift(Slot& slot) {
  if (slot.removed) return;
  Stay& stay = stay_of(slot.customer);
  stay.is_adrift = true;
  if (file_ && stay.kept == nullptr) stay.kept = file_->begin(slot.customer.id);
  if (stay.kept != nullptr) {
    keep_use(stay);
    file_->owe(*stay.kept);
  }
  if (here_.insert(&slot).second) slot.retain();
  touch(slot);
}

bool Homes::is_elsewhere(const Slot& slot) const {
  const Cloud* cloud = slot.customer.cloud.get();
  return cloud != nullptr && cloud->home && cloud->home->engine != engine();
}

bool Homes::is_owed_elsewhere(const Slot& slot) const {
  return !slot.removed && is_elsewhere(slot) && slot.customer.cloud->stay &&
         slot.customer.cloud->stay->is_adrift;
}

// Whether a version that is written now may say that this engine is the home.
bool Homes::may_take(const Slot& slot, std::optional<Millis> others_until) const {
  const Cloud& cloud = *slot.customer.cloud;
  if (gives_back_ || slot.removed || (cloud.stay && cloud.stay->is_recalled)) return false;
  if (cloud.home) return cloud.home->engine == engine();
  const auto recalled = recalled_.find(slot.customer.id);
  const Millis now = port_.running_time();
  // Whoever asked for it is to have it first.
  if (recalled != recalled_.end() && now - recalled->second.at < recalled->second.alone)
    return false;
  const Millis alone = recalled == recalled_.end() ? alone_min : recalled->second.alone;
  return !others_until || now - *others_until >= alone;
}

void Homes::prepare(Slot& slot, std::uint64_t number, std::optional<Millis> others_until) {
  if (slot.removed) return;
  state::Customer& customer = slot.customer;
  if (!customer.cloud) customer.cloud = std::make_unique<Cloud>();
  Cloud& cloud = *customer.cloud;
  state::drop_past_doubts(customer);
  bool takes = may_take(slot, others_until);
  if (takes && file_ && stay_of(customer).kept == nullptr) {
    // Before the store may have this engine as the home, so that the next one knows of it.
    stay_of(customer).kept = file_->begin(customer.id);
    takes = stay_of(customer).kept != nullptr;
  }
  state::sign(cloud, engine(), number);
  // Of one that leaves for good: the next engine takes it home at once.
  cloud.is_free = gives_back_;
  Stay& stay = stay_of(customer);
  stay.is_touched = false;
  if (!cloud.home) cloud.home = state::Home{.engine = std::string(engine())};
  stay.report = cloud.home->report = number;
  size_room(customer, takes);
  for (Stay::OfMeter& one : stay.meters) {
    one.overhead_sent += std::exchange(one.overhead_used, 0);
  }
  if (stay.kept != nullptr) file_->report(*stay.kept, number);
  if (!takes) cloud.home.reset();
}

// Puts what moves in the file, where it is not there yet, and lets go of what moved in periods that
// are over. REQUIRES: the stay is in the file.
void Homes::keep_use(Stay& stay) {
  std::vector<KeptUse*> present;
  for (Stay::OfMeter& one : stay.meters) {
    if (one.kept == nullptr) {
      one.kept = file_->keep(*stay.kept, engine_.names().text(one.entitlement),
                             engine_.names().text(one.credit),
                             {one.entitlement,
                              one.credit,
                              one.period,
                              one.started,
                              {one.tally.used, one.overhead_used}});
    }
    present.push_back(one.kept);
  }
  for (Stay::OfCap& one : stay.caps) {
    if (one.kept == nullptr) {
      one.kept = file_->keep(*stay.kept, {one.cap, one.started, one.tally.used});
    }
    present.push_back(one.kept);
  }
  file_->drop_others(*stay.kept, present);
}

void Homes::end_kept(Stay& stay) {
  if (stay.kept != nullptr) file_->end(*std::exchange(stay.kept, nullptr));
}

// The room of the next version, and what may be answered until that is confirmed.
void Homes::size_room(state::Customer& customer, bool takes) const {
  const Timestamp now = engine_.now();
  Stay& stay = *customer.cloud->stay;
  state::Room& room = customer.cloud->home->room;
  room = {};
  const Millis time = port_.running_time();
  const bool is_early = time - std::exchange(stay.sized_at, time) < report_every;
  for (Stay::OfMeter& one : stay.meters) {
    const state::Meter* meter = customer.meter(one.entitlement);
    if (meter == nullptr) continue;
    Tally& tally = present(one, meter->started);
    const double left = one.limit - meter->value - held(customer, one.entitlement, now) -
                        state::doubted(customer, one.entitlement, false);
    const double units = takes ? sized(tally, is_early, one.limit, share_, left) : 0;
    send(tally, units);
    if (units > 0) room.meters.push_back({one.entitlement, one.started, units});
  }
  for (Stay::OfCap& one : stay.caps) {
    const state::Cap* cap = customer.cap(one.cap);
    if (cap == nullptr) continue;
    Tally& tally = present(one, state::period_of(*cap));
    const double left =
        one.limit - cap->meter_value - state::doubted_of_cap(customer, one.cap, false);
    const double units = takes ? sized(tally, is_early, one.limit, share_, left) : 0;
    send(tally, units);
    if (units > 0) room.caps.push_back({one.cap, one.started, units});
  }
}

void Homes::confirmed(Slot& slot) {
  if (slot.removed || !slot.customer.cloud || !slot.customer.cloud->stay) {
    if (slot.customer.cloud && slot.customer.cloud->stay) end_kept(*slot.customer.cloud->stay);
    if (here_.erase(&slot) != 0) slot.release();
    return;
  }
  Cloud& cloud = *slot.customer.cloud;
  Stay& stay = *cloud.stay;
  if (!cloud.home && stay.is_adrift && is_used(stay)) {
    // Without a connection, after that version was prepared.
    forget_sent(stay);
    stay.is_confirmed = stay.is_recalled = false;
    if (stay.kept != nullptr) file_->confirm(*stay.kept, /*is_owed=*/true);
    return;
  }
  if (!cloud.home) {
    if (stay.is_recalled) note_given_back(slot.customer.id, stay);
    end_kept(stay);
    const Stay given_back = *std::exchange(cloud.stay, Stay());
    cloud.stay->is_due = given_back.is_due;
    cloud.stay->is_watched = given_back.is_watched;
    if (here_.erase(&slot) != 0) slot.release();
    return;
  }
  if (here_.insert(&slot).second) {
    slot.retain();
    stay.taken_at = port_.running_time();
  }
  stay.is_confirmed = true;
  stay.is_adrift = false;
  bool has_room = false;
  for (Stay::OfMeter& one : stay.meters) {
    keep(one.tally);
    one.overhead_sent = 0;
    has_room = has_room || one.tally.granted > 0;
  }
  for (Stay::OfCap& one : stay.caps) {
    keep(one.tally);
    has_room = has_room || one.tally.granted > 0;
  }
  if (stay.kept != nullptr) {
    file_->confirm(*stay.kept, /*is_owed=*/false);
    keep_use(stay);
  }
  if (!has_room || stay.is_watched) return;
  stay.is_watched = true;
  slot.retain();
  watched_.emplace_back(&slot, port_.running_time());
}

void Homes::note_given_back(const std::string& customer, const Stay& stay) {
  if (recalled_.size() >= most_recalled) recalled_.clear();
  Recalled& recalled = recalled_[customer];
  recalled.at = port_.running_time();
  const bool was_soon = recalled.at - stay.taken_at < soon;
  recalled.alone = was_soon ? std::clamp(recalled.alone * 2, alone_min * 2, alone_max) : alone_min;
}

void Homes::not_taken(Slot& slot) {
  if (!slot.customer.cloud || !slot.customer.cloud->stay) return;
  Stay& stay = *slot.customer.cloud->stay;
  for (Stay::OfMeter& one : stay.meters) {
    take_back(one.tally);
    one.overhead_used += std::exchange(one.overhead_sent, 0);
  }
  for (Stay::OfCap& one : stay.caps) take_back(one.tally);
  stay.is_touched = true;
  make_due(slot, false);
}

void Homes::taken(Slot& slot) {
  if (!slot.customer.cloud || !slot.customer.cloud->stay) return;
  // What that version set aside is in doubt by now, also where nothing of it was used.
  const bool was_here = slot.customer.cloud->home && slot.customer.cloud->home->engine == engine();
  if (was_here && here_.insert(&slot).second) slot.retain();
  forget_sent(*slot.customer.cloud->stay);
}

void Homes::lost(Slot& slot) {
  if (here_.erase(&slot) == 0) return;
  if (slot.customer.cloud && slot.customer.cloud->stay) {
    state::Unreported unreported = unreported_of(*slot.customer.cloud, engine());
    slot.customer.cloud->stay.reset();
    put_back_unsettled(slot.customer.id, std::move(unreported));
  }
  slot.release();
}

std::optional<Millis> Homes::others_wrote(const Slot& slot) const {
  const Cloud* cloud = slot.customer.cloud.get();
  if (cloud == nullptr || cloud->is_free || cloud->by.empty() ||
      cloud->by.front().engine == engine()) {
    return std::nullopt;
  }
  return port_.running_time();
}

void Homes::lose(Slot& slot) { state::lose_home(slot.customer); }

void Homes::make_due(Slot& slot, bool is_urgent) {
  Stay& stay = *slot.customer.cloud->stay;
  if (!stay.is_due) {
    stay.is_due = true;
    slot.retain();
    const std::lock_guard lock(mutex_);
    due_.push_back(&slot);
    if (!due_since_) due_since_ = port_.running_time();
  }
  if (is_urgent && !is_urgent_.load(std::memory_order_relaxed) && !is_urgent_.exchange(true)) {
    if (wake_) wake_();
  }
}

std::vector<Slot*> Homes::take_due() {
  const std::lock_guard lock(mutex_);
  due_since_.reset();
  is_urgent_ = false;
  return std::exchange(due_, {});
}

void Homes::put_back(Slot* slot) {
  const std::lock_guard lock(mutex_);
  due_.push_back(slot);
  if (!due_since_) due_since_ = port_.running_time();
}

bool Homes::begin_report(Slot& slot) {
  Cloud* cloud = slot.customer.cloud.get();
  if (slot.removed || cloud == nullptr || !cloud->stay) return false;
  Stay& stay = *cloud->stay;
  stay.is_due = false;
  if (!stay.is_confirmed && !stay.is_adrift) return false;
  return is_used(stay) || stay.is_touched || stay.is_recalled;
}

void Homes::undone(state::Customer* was, state::Customer& now) {
  if (!now.cloud || !now.cloud->stay) return;
  Stay& stay = *now.cloud->stay;
  if (was == nullptr || !was->cloud || !was->cloud->stay) {
    end_kept(stay);
    return;
  }
  Stay& before = *was->cloud->stay;
  before.is_due = stay.is_due;
  before.is_watched = stay.is_watched;
  before.is_recalled = stay.is_recalled;
  before.is_touched = stay.is_touched;
  if (before.kept == nullptr) before.kept = stay.kept;
}

std::optional<Millis> Homes::wait() const {
  if (is_urgent_) return Millis(0);
  const std::lock_guard lock(mutex_);
  if (!due_since_) return std::nullopt;
  return std::max(Millis(0), *due_since_ + report_every - port_.running_time());
}

void Homes::give_back_all() {
  gives_back_ = true;
  // In the order of their IDs: whoever replays this sends the same.
  std::vector<Slot*> all(here_.begin(), here_.end());
  std::sort(all.begin(), all.end(),
            [](const Slot* a, const Slot* b) { return a->customer.id < b->customer.id; });
  for (Slot* slot : all) {
    const std::lock_guard lock(engine_.shard(slot->shard).mutex);
    if (!slot->customer.cloud || !slot->customer.cloud->stay) continue;
    slot->customer.cloud->stay->is_recalled = true;
    make_due(*slot, true);
  }
}

void Homes::recall(std::span<const std::string> customers) {
  for (const std::string& id : customers) {
    Shard& shard = engine_.shard(Engine::shard_of(id));
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.customers.find(std::string_view(id));
    if (found == shard.customers.end()) continue;
    Slot& slot = **found;
    if (!slot.customer.cloud || !slot.customer.cloud->stay) continue;
    slot.customer.cloud->stay->is_recalled = true;
    make_due(slot, true);
  }
}

void Homes::shrink_idle() {
  const Millis now = port_.running_time();
  while (!watched_.empty() && watched_.front().second + idle_for <= now) {
    Slot& slot = *watched_.front().first;
    watched_.pop_front();
    {
      const std::lock_guard lock(engine_.shard(slot.shard).mutex);
      Cloud* cloud = slot.customer.cloud.get();
      if (cloud != nullptr && cloud->stay) {
        cloud->stay->is_watched = false;
        // Otherwise it is watched again when its next report is confirmed.
        if (!slot.removed && cloud->stay->is_confirmed && is_idle(*cloud->stay)) {
          touch(slot);
        }
      }
    }
    slot.release();
  }
}

std::vector<std::pair<std::string, state::Unreported>> Homes::take_unsettled() {
  const std::lock_guard lock(mutex_);
  return std::exchange(unsettled_, {});
}

void Homes::put_back_unsettled(std::string customer, state::Unreported unreported) {
  const std::lock_guard lock(mutex_);
  unsettled_.emplace_back(std::move(customer), std::move(unreported));
}

void Homes::may_be_settled_by(state::Unreported& unreported, std::uint64_t number) const {
  unreported.settler = {.engine = std::string(engine()), .number = number};
}

void Homes::settle_by(const state::Unreported& unreported, std::uint64_t number) {
  if (unreported.kept != nullptr) file_->settle_by(*unreported.kept, number);
}

void Homes::settled(const state::Unreported& unreported) {
  if (unreported.kept != nullptr) file_->end(*unreported.kept);
}

}  // namespace limitr::engine
