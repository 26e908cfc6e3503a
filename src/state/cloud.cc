// SPDX-License-Identifier: Apache-2.0
#include "state/cloud.h"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <utility>

#include "state/customer.h"

namespace limitr::state {

bool is_present(const Customer& customer, const MeterRoom& room) {
  const Meter* meter = customer.meter(room.entitlement);
  return meter != nullptr && meter->started == room.started;
}

bool is_present(const Customer& customer, const CapRoom& room) {
  const Cap* cap = customer.cap(room.cap);
  return cap != nullptr && period_of(*cap) == room.started;
}

namespace {

bool is_present(const Customer& customer, const Room& room) {
  const auto present = [&](const auto& one) { return is_present(customer, one); };
  return std::any_of(room.meters.begin(), room.meters.end(), present) ||
         std::any_of(room.caps.begin(), room.caps.end(), present);
}

// Governor tokens that may have been taken with the units, or were not after all. Below zero they
// say how much of what comes back may be used up already.
void move_tokens(Customer& customer, const MeterRoom& room, double units) {
  if (!is_present(customer, room)) return;
  MeterExtra* extra = customer.extra(room.entitlement);
  if (extra == nullptr || !extra->governor_tokens.has_value()) return;
  extra->governor_tokens = *extra->governor_tokens + units;
}

double present_units(const Customer& customer, const Room& room, Symbol entitlement) {
  double units = 0;
  for (const MeterRoom& one : room.meters) {
    if (one.entitlement == entitlement && is_present(customer, one)) units += one.units;
  }
  return units;
}

double present_units(const Customer& customer, const Room& room, std::string_view cap) {
  double units = 0;
  for (const CapRoom& one : room.caps) {
    if (one.cap == cap && is_present(customer, one)) units += one.units;
  }
  return units;
}

// Of a meter, or of a cap by its ID. REQUIRES: there is a cloud.
template <typename Of>
double in_doubts(const Customer& customer, const Of& of, bool is_released) {
  double units = 0;
  for (const Doubt& doubt : customer.cloud->doubts) {
    if (doubt.is_released == is_released) units += present_units(customer, doubt.room, of);
  }
  return units;
}

// The largest number that a record has: no transaction's.
constexpr std::uint64_t no_report = 9'000'000'000'000'000;

bool is_of_period(const Meter& meter, const MeterUse& use) {
  const Millis apart = use.started - meter.started;
  return apart == Millis(0) || std::chrono::abs(apart) < use.period;
}

// Whether the customer has not begun the period yet.
bool begins(const Meter* meter, const MeterUse& use) {
  return meter == nullptr || (use.started > meter->started && !is_of_period(*meter, use));
}

bool is_of_same(const MeterRoom& one, const MeterRoom& other) {
  return one.entitlement == other.entitlement;
}
bool is_of_same(const CapRoom& one, const CapRoom& other) { return one.cap == other.cap; }

// A record has each meter and cap of a room once.
template <typename Of>
void add_room(std::vector<Of>& room, Of added) {
  for (Of& one : room) {
    if (is_of_same(one, added)) {
      one.units += added.units;
      return;
    }
  }
  room.push_back(std::move(added));
}

// Nobody knows whether this use is in the record: it is neither added nor forgotten, but stays in
// doubt until its period ends or an operator releases it. No report can settle that. What begins a
// period is not there: whoever had added it would have begun that.
void doubt(Customer& customer, const std::string& engine, std::initializer_list<const Use*> uses) {
  Room room;
  Use missing;
  for (const Use* use : uses) {
    for (const MeterUse& one : use->meters) {
      const Meter* meter = customer.meter(one.entitlement);
      if (begins(meter, one)) {
        missing.meters.push_back(one);
      } else if (one.used.units > 0 && is_of_period(*meter, one)) {
        add_room(room.meters, {one.entitlement, meter->started, one.used.units});
      }
    }
    for (const CapUse& one : use->caps) {
      CapRoom of_cap{one.cap, one.started, one.units};
      if (one.units > 0 && is_present(customer, of_cap)) add_room(room.caps, std::move(of_cap));
    }
  }
  add_use(customer, missing);
  if (room.empty()) return;
  customer.cloud->doubts.push_back(
      {.engine = engine, .report = no_report, .room = std::move(room)});
}

double units_of(const Use& use, Symbol entitlement, Timestamp started) {
  double units = 0;
  for (const MeterUse& one : use.meters) {
    if (one.entitlement == entitlement && one.started == started) units += one.used.units;
  }
  return units;
}

}  // namespace

Timestamp period_of(const Cap& cap) {
  return cap.reset.schedule && cap.last_reset.has_value() ? *cap.last_reset : cap.started;
}

bool is_written_by(const Cloud& cloud, std::string_view engine, std::uint64_t number) {
  return std::any_of(cloud.by.begin(), cloud.by.end(), [&](const Writer& writer) {
    return writer.engine == engine && writer.number == number;
  });
}

void sign(Cloud& cloud, std::string_view engine, std::uint64_t number) {
  std::erase_if(cloud.by, [&](const Writer& writer) { return writer.engine == engine; });
  cloud.by.insert(cloud.by.begin(), {.engine = std::string(engine), .number = number});
  if (cloud.by.size() > most_writers) cloud.by.resize(most_writers);
}

void rename_meter(Cloud& cloud, Symbol from, Symbol to) {
  const auto rename_in = [&](auto& meters) {
    // What has the new name already is of a meter that is gone.
    std::erase_if(meters, [&](const auto& one) { return one.entitlement == to; });
    for (auto& one : meters) {
      if (one.entitlement == from) one.entitlement = to;
    }
  };
  if (cloud.home) rename_in(cloud.home->room.meters);
  for (Doubt& doubt : cloud.doubts) rename_in(doubt.room.meters);
  if (!cloud.stay) return;
  // In the local file it has the old name, until its next report puts it there anew.
  if (Stay::OfMeter* one = cloud.stay->meter(from)) one->kept = nullptr;
  rename_in(cloud.stay->meters);
}

void lose_home(Customer& customer) {
  Cloud& cloud = *customer.cloud;
  Home home = *std::move(cloud.home);
  cloud.home.reset();
  for (const MeterRoom& room : home.room.meters) move_tokens(customer, room, -room.units);
  cloud.doubts.push_back(
      {.engine = std::move(home.engine), .report = home.report, .room = std::move(home.room)});
}

bool settle(Customer& customer, const Unreported& unreported) {
  const auto wrote = [&](std::string_view engine, std::uint64_t number) {
    return number != 0 && customer.cloud && is_written_by(*customer.cloud, engine, number);
  };
  // So many have written since that nobody can tell any more.
  const auto may_have_written = [&](std::string_view engine, std::uint64_t number) {
    return number != 0 && customer.cloud && customer.cloud->by.size() >= most_writers &&
           !is_written_by(*customer.cloud, engine, number);
  };
  const auto add_owed = [&] {
    if (!unreported.is_owed) return false;
    if (may_have_written(unreported.settler.engine, unreported.settler.number)) {
      doubt(customer, unreported.engine, {&unreported.sent, &unreported.since});
      return true;
    }
    if (may_have_written(unreported.engine, unreported.report)) {
      doubt(customer, unreported.engine, {&unreported.sent});
    } else if (!wrote(unreported.engine, unreported.report)) {
      add_use(customer, unreported.sent);
    }
    add_use(customer, unreported.since);
    return true;
  };
  if (!customer.cloud) return add_owed();
  if (wrote(unreported.settler.engine, unreported.settler.number)) return false;
  const std::optional<Home>& home = customer.cloud->home;
  if (unreported.is_dead && home && home->engine == unreported.engine) lose_home(customer);
  std::vector<Doubt>& doubts = customer.cloud->doubts;
  // Where the engine was the home again since, that entry says a later report.
  auto entry = doubts.end();
  for (auto one = doubts.begin(); one != doubts.end(); ++one) {
    if (one->engine != unreported.engine || one->report > unreported.report) continue;
    if (entry == doubts.end() || one->report > entry->report) entry = one;
  }
  if (entry == doubts.end()) return add_owed();
  const bool is_taken = entry->report >= unreported.report;
  const Doubt settled = std::move(*entry);
  doubts.erase(entry);
  for (const MeterRoom& room : settled.room.meters) {
    double used = units_of(unreported.since, room.entitlement, room.started);
    if (!is_taken) used += units_of(unreported.sent, room.entitlement, room.started);
    move_tokens(customer, room, (settled.is_released ? 0 : room.units) - used);
  }
  if (!is_taken) add_use(customer, unreported.sent);
  add_use(customer, unreported.since);
  return true;
}

void add_use(Customer& customer, const Use& use) {
  for (const MeterUse& one : use.meters) {
    Meter* meter = customer.meter(one.entitlement);
    if (begins(meter, one)) {
      if (meter == nullptr) meter = &customer.add_meter({.entitlement = one.entitlement});
      *meter = {.entitlement = one.entitlement, .credit = one.credit, .started = one.started};
    }
    if (!is_of_period(*meter, one)) continue;
    meter->value += one.used.units;
    if (one.used.overhead != 0) meter->overhead = meter->overhead.value_or(0) + one.used.overhead;
  }
  for (const CapUse& one : use.caps) {
    Cap* cap = customer.cap(one.cap);
    if (cap == nullptr || period_of(*cap) != one.started) continue;
    cap->meter_value += one.units;
  }
}

bool drop_past_doubts(Customer& customer) {
  if (!customer.cloud) return false;
  return std::erase_if(customer.cloud->doubts,
                       [&](const Doubt& doubt) { return !is_present(customer, doubt.room); }) != 0;
}

std::size_t release_doubts(Customer& customer, std::string_view engine) {
  if (!customer.cloud) return 0;
  std::size_t released = 0;
  for (Doubt& doubt : customer.cloud->doubts) {
    if (doubt.is_released || (!engine.empty() && doubt.engine != engine)) continue;
    doubt.is_released = true;
    for (const MeterRoom& room : doubt.room.meters) move_tokens(customer, room, room.units);
    ++released;
  }
  return released;
}

double doubted(const Customer& customer, Symbol entitlement, bool of_home) {
  if (!customer.cloud) return 0;
  double units = in_doubts(customer, entitlement, /*is_released=*/false);
  if (of_home && customer.cloud->home) {
    units += present_units(customer, customer.cloud->home->room, entitlement);
  }
  return units;
}

double doubted_of_cap(const Customer& customer, std::string_view cap, bool of_home) {
  if (!customer.cloud) return 0;
  double units = in_doubts(customer, cap, /*is_released=*/false);
  if (of_home && customer.cloud->home) {
    units += present_units(customer, customer.cloud->home->room, cap);
  }
  return units;
}

double released(const Customer& customer, Symbol entitlement) {
  return customer.cloud ? in_doubts(customer, entitlement, /*is_released=*/true) : 0;
}

double released_of_cap(const Customer& customer, std::string_view cap) {
  return customer.cloud ? in_doubts(customer, cap, /*is_released=*/true) : 0;
}

}  // namespace limitr::state
