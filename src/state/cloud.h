// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <limitr/json.h>
#include <limitr/time.h>
#include "base/symbols.h"

// What the records of customers that engines share say of who may decide on them, and of the units
// that are set aside for whoever does. docs/protocol.md has the rules by these numbers.
namespace limitr::engine {

struct KeptUse;
class KeptStay;

}  // namespace limitr::engine

namespace limitr::state {

struct Cap;
struct Customer;

/// Units of a meter, set aside.
struct MeterRoom {
  Symbol entitlement = Symbol::empty;
  Timestamp started = {};  ///< The period that they belong to.
  double units = 0;
  friend bool operator==(const MeterRoom&, const MeterRoom&) = default;
};

/// Units of a spend cap, in its credit, set aside.
struct CapRoom {
  std::string cap;
  Timestamp started = {};
  double units = 0;
  friend bool operator==(const CapRoom&, const CapRoom&) = default;
};

struct Room {
  std::vector<MeterRoom> meters = {};
  std::vector<CapRoom> caps = {};
  bool empty() const { return meters.empty() && caps.empty(); }
  friend bool operator==(const Room&, const Room&) = default;
};

/// The engine that may decide on a customer by itself, as far as the room goes.
struct Home {
  std::string engine;
  std::uint64_t report = 0;  ///< The number of its last transaction that wrote the customer.
  Room room = {};
  friend bool operator==(const Home&, const Home&) = default;
};

/// Room of an engine that was lost before it said what it used of it.
struct Doubt {
  std::string engine;
  std::uint64_t report = 0;  ///< The number of its last transaction that wrote the customer.
  Room room = {};
  /// By an operator: others may use its units. What the engine used of them may still come.
  bool is_released = false;
  friend bool operator==(const Doubt&, const Doubt&) = default;
};

/// Who wrote a version.
struct Writer {
  std::string engine;
  std::uint64_t number = 0;  ///< Of its transaction.
  friend bool operator==(const Writer&, const Writer&) = default;
};

/// What is left of a room, and what it went to.
struct Tally {
  double granted = 0;  ///< By the newest version that was prepared.
  double left = 0;     ///< May be used without asking.
  double used = 0;     ///< Without asking, and in no report yet.
  double sent = 0;     ///< In the report that is on its way.
  double moved = 0;    ///< In all since the last report: what the next room is measured by.
  double usual = 0;    ///< What the last call used.
};

/// What the engine that is the home knows of its room. No part of the record.
struct Stay {
  struct OfMeter {
    Symbol entitlement = Symbol::empty;
    Symbol credit = Symbol::empty;
    Millis period{0};  ///< As of MeterUse.
    Timestamp started = {};
    double limit = 0;  ///< Infinite, where nothing is denied for it.
    Tally tally = {};
    double overhead_used = 0;
    double overhead_sent = 0;
    engine::KeptUse* kept = nullptr;  ///< As of Stay.
  };
  struct OfCap {
    std::string cap;
    Timestamp started = {};
    double limit = 0;
    Tally tally = {};
    engine::KeptUse* kept = nullptr;
  };

  std::vector<OfMeter> meters = {};
  std::vector<OfCap> caps = {};
  bool is_confirmed = false;  ///< Before that, it only gathers what room is going to be needed.
  std::uint64_t report = 0;   ///< The number of the last one that was prepared.
  Millis taken_at{0};         ///< By the store's clock.
  Millis sized_at{0};         ///< When room was last set, by that clock.
  bool is_adrift = false;     ///< Used without a connection and without room.
  bool is_touched =
      false;  ///< Brought up to date without use, or to be written for another reason.
  bool is_watched = false;   ///< In the list of those whose room shrinks when they are idle.
  bool is_recalled = false;  ///< Others want the customer: nothing is answered without asking.
  bool is_due = false;       ///< In the list of those that have something to report.
  /// Where the engine's local file has it; null: nowhere.
  engine::KeptStay* kept = nullptr;

  OfMeter* meter(Symbol entitlement) {
    for (OfMeter& one : meters) {
      if (one.entitlement == entitlement) return &one;
    }
    return nullptr;
  }
  OfCap* cap(std::string_view id) {
    for (OfCap& one : caps) {
      if (one.cap == id) return &one;
    }
    return nullptr;
  }
};

/// `cloud` of a record.
struct Cloud {
  std::optional<Home> home = {};
  std::vector<Writer> by = {};  ///< Of the last versions, the newest first.
  bool is_free = false;         ///< Whoever wrote it last has closed.
  std::vector<Doubt> doubts = {};
  Json unknown = {};
  std::optional<Stay> stay =
      {};  ///< Where this engine is the home, and the store has confirmed it.
};

inline constexpr std::size_t most_writers = 16;

/// When a cap's present period began.
Timestamp period_of(const Cap& cap);

/// What an engine has used and not reported, of one meter or cap.
struct Used {
  double units = 0;
  double overhead = 0;  ///< Of a meter.
};
struct MeterUse {
  Symbol entitlement = Symbol::empty;
  Symbol credit = Symbol::empty;
  /// Starts that are less than this apart are of one period: two engines that begin it without
  /// knowing of each other do so by their own clocks.
  Millis period{0};
  Timestamp started = {};
  Used used = {};
};
struct CapUse {
  std::string cap;
  Timestamp started = {};
  double units = 0;
};
struct Use {
  std::vector<MeterUse> meters = {};
  std::vector<CapUse> caps = {};
  bool empty() const { return meters.empty() && caps.empty(); }
};

/// Whether this engine's transaction wrote one of the last versions.
bool is_written_by(const Cloud& cloud, std::string_view engine, std::uint64_t number);
/// A version is written by that transaction.
void sign(Cloud& cloud, std::string_view engine, std::uint64_t number);

/// What is set aside of a meter, and what an engine knows of its use, goes on under its new name.
/// Of that name there was no meter before.
void rename_meter(Cloud& cloud, Symbol from, Symbol to);

/// The home is lost: its room is in doubt from now on, and so are as many of its meters' governor
/// tokens. (4) REQUIRES: there is a home.
void lose_home(Customer& customer);
/// Adds what an engine has used to the customer, if its room there is still in doubt, and takes it
/// out of doubt; `taken`: the last of its reports that is known to be in the record, so that what a
/// later one that was taken after all brought is not added. False: nothing of it is in doubt here
/// any more. (6, 9)
struct Unreported {
  std::string engine;
  std::uint64_t report = 0;  ///< Its last report, of which nobody knows whether it was taken.
  bool is_owed = false;      ///< It was used without room: it is added in any case.
  /// The engine does not run any more, for certain: where it is the home still, it is lost. (4)
  bool is_dead = false;
  /// The transaction by which it was last tried to settle this; 0: none.
  Writer settler = {};
  Use sent = {};                     ///< What that report brought.
  Use since = {};                    ///< What was used after it.
  engine::KeptStay* kept = nullptr;  ///< As of Stay: to be let go of when it is settled.
};
bool settle(Customer& customer, const Unreported& unreported);
/// What is in doubt counts for nobody any more: that engine's, or all of it where `engine` is
/// empty. An entry stays, so that what its engine used is added when it reports. How many entries
/// were released.
std::size_t release_doubts(Customer& customer, std::string_view engine);
/// Adds use to a customer as it stands; of a period that is over nothing is added, and one that the
/// customer has not begun begins.
void add_use(Customer& customer, const Use& use);
/// Takes out entries of which no period runs any more. Whether there were any.
bool drop_past_doubts(Customer& customer);

/// The units of a meter's present period that somebody other than the engine that asks may have
/// used: what is in doubt and not released and, with `of_home`, the home's room.
double doubted(const Customer& customer, Symbol entitlement, bool of_home);
/// The same of a cap.
double doubted_of_cap(const Customer& customer, std::string_view cap, bool of_home);

/// Whether the period that it belongs to is the present one.
bool is_present(const Customer& customer, const MeterRoom& room);
bool is_present(const Customer& customer, const CapRoom& room);
/// The units of released entries whose period runs: what may be used beyond the limits at most.
double released(const Customer& customer, Symbol entitlement);
double released_of_cap(const Customer& customer, std::string_view cap);

}  // namespace limitr::state
