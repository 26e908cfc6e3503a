// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>

#include <fmt/format.h>
#include <simdjson.h>

#include <limitr/decision.h>
#include "base/quantity.h"
#include "state/record.h"
#include "state/record_reader.h"

namespace limitr::state {
namespace {

namespace ondemand = simdjson::ondemand;

// A place inside a record, built into text only when something is wrong there.
struct Place {
  const Place* parent = nullptr;
  std::string_view name = {};

  Place operator[](std::string_view member) const { return {this, member}; }
  std::string text() const {
    if (parent == nullptr) return std::string(name);
    const std::string outer = parent->text();
    return outer.empty() ? std::string(name) : fmt::format("{}.{}", outer, name);
  }
};

// A field that cannot be read. Never leaves this file.
struct BadField {
  std::string where;
  std::string message;
};

[[noreturn]] void bad(const Place& place, std::string_view expected) {
  throw BadField{place.text(), fmt::format("expected {}", expected)};
}

// Compares with the length known, which becomes a few instructions: most of reading a record is
// to find out which field it is.
template <std::size_t size>
bool is(std::string_view key, const char (&name)[size]) {
  return key.size() == size - 1 && std::memcmp(key.data(), name, size - 1) == 0;
}

bool is_null(ondemand::value& value, const Place& place) {
  bool null = false;
  if (value.type() == ondemand::json_type::null) {
    null = value.is_null();
    if (!null) bad(place, "a value");
  }
  return null;
}

double read_number(ondemand::value& value, const Place& place) {
  double number = 0;
  if (value.get_double().get(number) != simdjson::SUCCESS || !std::isfinite(number)) {
    bad(place, "a number");
  }
  return number;
}

double read_count(ondemand::value& value, const Place& place) {
  const double number = read_number(value, place);
  if (number < 0 || number != std::trunc(number) || number > 9e15) bad(place, "a whole number");
  return number;
}

bool read_bool(ondemand::value& value, const Place& place) {
  bool flag = false;
  if (value.get_bool().get(flag) != simdjson::SUCCESS) bad(place, "true or false");
  return flag;
}

// What a text in quotes says where it has no escape: just what stands there. None where it has.
// REQUIRES: the parser was here, and has seen that the text ends and is valid.
std::optional<std::string_view> as_it_stands(const char* begin) {
  const char* end = begin;
  while (*end != '"') {
    if (*end == '\\') return std::nullopt;
    ++end;
  }
  return std::string_view(begin, static_cast<std::size_t>(end - begin));
}

// Valid as long as the document.
std::string_view read_text(ondemand::value& value, const Place& place) {
  const std::string_view token = value.raw_json_token();
  if (!token.empty() && token.front() == '"') {
    const auto plain = as_it_stands(token.data() + 1);
    if (plain && value.get_raw_json_string().error() == simdjson::SUCCESS) return *plain;
  }
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) bad(place, "text");
  return text;
}

std::int64_t read_ms(ondemand::value& value, const Place& place) {
  const double number = std::floor(read_number(value, place));
  if (std::fabs(number) > static_cast<double>(time_bound_ms)) bad(place, "a time in milliseconds");
  return static_cast<std::int64_t>(number);
}

Timestamp read_time(ondemand::value& value, const Place& place) {
  return timestamp_from_ms(read_ms(value, place));
}

MaybeAmount maybe_number(ondemand::value& value, const Place& place) {
  return is_null(value, place) ? MaybeAmount() : MaybeAmount(read_number(value, place));
}

MaybeTime maybe_time(ondemand::value& value, const Place& place) {
  return is_null(value, place) ? MaybeTime() : MaybeTime(read_time(value, place));
}

bool maybe_bool(ondemand::value& value, const Place& place) {
  return !is_null(value, place) && read_bool(value, place);
}

Symbol maybe_name(ondemand::value& value, const Place& place, NameCache& names) {
  return is_null(value, place) ? Symbol::empty : names.intern(read_text(value, place));
}

Json read_json(ondemand::value& value, const Place& place) {
  std::string_view raw;
  if (simdjson::to_json_string(value).get(raw) != simdjson::SUCCESS) bad(place, "JSON");
  // Whoever walks it later does so on the stack.
  bool too_deep = false;
  const auto watch_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > max_json_depth;
    return true;
  };
  Json json = Json::parse(raw, watch_depth, /*allow_exceptions=*/false);
  if (json.is_discarded()) bad(place, "JSON");
  if (too_deep) bad(place, fmt::format("JSON at most {} levels deep", max_json_depth));
  return json;
}

void keep_unknown(Json& unknown, std::string_view key, ondemand::value& value, const Place& place) {
  unknown[std::string(key)] = read_json(value, place);
}

// Calls `take(key, value)` for each member. The key is valid as long as the document.
template <typename Take>
void each_member(ondemand::value& value, const Place& place, const Take& take) {
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) bad(place, "an object");
  for (auto result : object) {
    ondemand::field field;
    if (std::move(result).get(field) != simdjson::SUCCESS) bad(place, "an object");
    std::optional<std::string_view> key = as_it_stands(field.key().raw());
    if (!key && field.unescaped_key().get(key.emplace()) != simdjson::SUCCESS) {
      bad(place, "an object");
    }
    take(*key, field.value());
  }
}

template <typename Take>
void each_member_or_null(ondemand::value& value, const Place& place, const Take& take) {
  if (!is_null(value, place)) each_member(value, place, take);
}

template <typename Take>
void each_element(ondemand::value& value, const Place& place, const Take& take) {
  if (is_null(value, place)) return;
  ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) bad(place, "a list");
  for (auto result : array) {
    ondemand::value element;
    if (std::move(result).get(element) != simdjson::SUCCESS) bad(place, "a list");
    take(element);
  }
}

std::vector<std::string> read_ids(ondemand::value& value, const Place& place) {
  std::vector<std::string> ids;
  each_element(value, place,
               [&](ondemand::value& element) { ids.emplace_back(read_text(element, place)); });
  return ids;
}

std::vector<Symbol> read_names(ondemand::value& value, const Place& place, NameCache& names) {
  std::vector<Symbol> list;
  each_element(value, place, [&](ondemand::value& element) {
    list.push_back(names.intern(read_text(element, place)));
  });
  return list;
}

// The fields of a reset, which stand among those of their record.
bool read_reset(Reset& reset, std::string_view key, ondemand::value& value, const Place& place) {
  if (is(key, "resets")) {
    reset.resets = maybe_bool(value, place);
  } else if (is(key, "reset_inc")) {
    if (is_null(value, place)) return true;
    Result<Millis> length = value.type() == ondemand::json_type::string
                                ? duration(read_text(value, place))
                                : duration(read_number(value, place));
    if (!length.ok() || *length <= Millis(0)) bad(place, "a duration");
    reset.inc = *length;
  } else if (is(key, "reset_sch")) {
    if (is_null(value, place)) return true;
    reset.schedule = Schedule::parse(read_text(value, place));
    if (!reset.schedule) bad(place, "a calendar schedule");
  } else {
    return false;
  }
  return true;
}

History read_history(ondemand::value& value, const Place& place) {
  History history;
  each_element(value, place, [&](ondemand::value& element) {
    std::optional<Timestamp> at;
    double delta = 0;
    each_member(element, place, [&](std::string_view key, ondemand::value member) {
      const Place here = place[key];
      if (is(key, "ts")) {
        at = read_time(member, here);
      } else if (is(key, "delta")) {
        delta = read_number(member, here);
      }
    });
    if (!at) bad(place["ts"], "a time in milliseconds");
    history.push(*at, delta);
  });
  return history;
}

Hold read_hold(std::string_view id, ondemand::value& value, const Place& place) {
  Hold hold;
  hold.id = id;
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "value")) {
      hold.value = read_number(member, here);
    } else if (is(key, "overhead")) {
      hold.overhead = maybe_number(member, here).value_or(0);
    } else if (is(key, "expires")) {
      hold.expires = read_time(member, here);
    } else if (is(key, "basis")) {
      hold.basis = maybe_number(member, here);
    } else if (is(key, "segment")) {
      if (!is_null(member, here)) hold.segment = read_text(member, here);
    } else {
      keep_unknown(hold.unknown, key, member, here);
    }
  });
  return hold;
}

EstimateStats read_estimate(std::string_view segment, ondemand::value& value, const Place& place) {
  EstimateStats stats;
  stats.segment = segment;
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "samples")) {
      stats.samples = static_cast<std::uint64_t>(read_count(member, here));
    } else if (is(key, "alpha")) {
      stats.alpha = read_number(member, here);
    } else if (is(key, "value_mean")) {
      stats.value_mean = read_number(member, here);
    } else if (is(key, "value_var")) {
      stats.value_var = read_number(member, here);
    } else if (is(key, "overhead_mean")) {
      stats.overhead_mean = read_number(member, here);
    } else if (is(key, "overhead_var")) {
      stats.overhead_var = read_number(member, here);
    } else if (is(key, "per_basis")) {
      stats.per_basis = maybe_bool(member, here);
    } else if (is(key, "source")) {
      stats.source = read_text(member, here);
    } else if (is(key, "updated")) {
      stats.updated = read_time(member, here);
    } else {
      keep_unknown(stats.unknown, key, member, here);
    }
  });
  return stats;
}

// Reads a meter into the customer, and what only some meters have into an extra of its own.
void read_meter(Customer& customer, Symbol entitlement, ondemand::value& value, const Place& place,
                NameCache& names) {
  Meter& meter = customer.meters.emplace_back();
  meter.entitlement = entitlement;
  const auto extra = [&]() -> MeterExtra& { return customer.own_extra(entitlement); };
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "credit")) {
      meter.credit = maybe_name(member, here, names);
    } else if (is(key, "started")) {
      meter.started = read_time(member, here);
    } else if (is(key, "value")) {
      meter.value = read_number(member, here);
    } else if (is(key, "overhead")) {
      meter.overhead = maybe_number(member, here);
    } else if (is(key, "history")) {
      meter.history = read_history(member, here);
    } else if (is(key, "ewma_rate")) {
      meter.ewma_rate = maybe_number(member, here);
    } else if (is(key, "governor_tokens")) {
      if (!is_null(member, here)) extra().governor_tokens = read_number(member, here);
    } else if (is(key, "governor_last_refill")) {
      if (!is_null(member, here)) extra().governor_last_refill = read_time(member, here);
    } else if (is(key, "holds")) {
      each_member_or_null(member, here, [&](std::string_view id, ondemand::value hold) {
        const std::string kept(id);
        extra().holds.push_back(read_hold(kept, hold, here[kept]));
      });
    } else if (is(key, "estimates")) {
      each_member_or_null(member, here, [&](std::string_view segment, ondemand::value stats) {
        const std::string kept(segment);
        extra().estimates.push_back(read_estimate(kept, stats, here[kept]));
      });
    } else {
      keep_unknown(extra().unknown, key, member, here);
    }
  });
}

bool read_limit_switch(Limit& limit, std::string_view key, ondemand::value& value,
                       const Place& place) {
  if (is(key, "hard_trailing")) {
    limit.hard_trailing = maybe_bool(value, place);
  } else if (is(key, "grants_apply")) {
    limit.grants_apply = read_bool(value, place);
  } else if (is(key, "governor_enabled")) {
    limit.governor_enabled = maybe_bool(value, place);
  } else if (is(key, "mode")) {
    const auto mode = mode_from(read_text(value, place));
    if (!mode) bad(place, "hard, soft or observe");
    limit.mode = *mode;
  } else {
    return read_reset(limit.reset, key, value, place);
  }
  return true;
}

// A number, or text with a unit: as the policy or the caller wrote it.
void read_increment(Limit& limit, ondemand::value& value, const Place& place) {
  if (value.type() != ondemand::json_type::string) {
    limit.increment = read_number(value, place);
    return;
  }
  limit.increment_text = read_text(value, place);
  const Result<double> written = quantity_as_written(limit.increment_text);
  if (!written.ok()) bad(place, "a quantity");
  limit.increment = *written;
}

Override read_override(ondemand::value& value, const Place& place, NameCache& names) {
  Override own;
  Limit& limit = own.limit;
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "credit")) {
      limit.credit = names.intern(read_text(member, here));
    } else if (is(key, "value")) {
      limit.value = read_number(member, here);
    } else if (is(key, "increment")) {
      read_increment(limit, member, here);
    } else if (is(key, "minimum")) {
      limit.minimum = maybe_number(member, here);
    } else if (is(key, "override_expires_on")) {
      limit.override_expires_on = maybe_time(member, here);
    } else if (is(key, "governor_capacity")) {
      limit.governor_capacity = maybe_number(member, here);
    } else if (is(key, "governor_refill_rate")) {
      limit.governor_refill_rate = maybe_number(member, here);
    } else if (is(key, "ewma_alpha")) {
      limit.ewma_alpha = maybe_number(member, here).value_or(limit.ewma_alpha);
    } else if (!read_limit_switch(limit, key, member, here)) {
      keep_unknown(own.unknown, key, member, here);
    }
  });
  return own;
}

bool read_grant_rule(Grant& grant, std::string_view key, ondemand::value& value,
                     const Place& place) {
  if (is(key, "reset_mode")) {
    if (is_null(value, place)) return true;
    const auto mode = reset_mode_from(read_text(value, place));
    if (!mode) bad(place, "hard, add or rollover");
    grant.reset_mode = *mode;
  } else if (is(key, "rollover_min")) {
    grant.rollover_min = maybe_number(value, place);
  } else if (is(key, "rollover_max")) {
    grant.rollover_max = maybe_number(value, place);
  } else if (is(key, "rollover_pct")) {
    grant.rollover_pct = maybe_number(value, place);
  } else if (is(key, "max_balance")) {
    grant.max_balance = maybe_number(value, place);
  } else if (is(key, "reset_catchup_cap")) {
    if (!is_null(value, place)) {
      grant.reset_catchup_cap = static_cast<std::uint32_t>(std::min(read_count(value, place), 4e9));
    }
  } else if (is(key, "last_reset")) {
    grant.last_reset = maybe_time(value, place);
  } else if (is(key, "expires_on")) {
    grant.expires_on = maybe_time(value, place);
  } else {
    return read_reset(grant.reset, key, value, place);
  }
  return true;
}

Grant read_grant(std::string_view id, ondemand::value& value, const Place& place,
                 NameCache& names) {
  Grant grant;
  grant.id = id;
  bool has_books = false;
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "id")) {
      if (read_text(member, here) != grant.id) bad(here, "the ID it stands under");
    } else if (is(key, "credit")) {
      grant.credit = names.intern(read_text(member, here));
    } else if (is(key, "topup")) {
      grant.topup = maybe_name(member, here, names);
    } else if (is(key, "created_on")) {
      grant.created_on = read_time(member, here);
    } else if (is(key, "granted_on")) {
      grant.granted_on = read_time(member, here);
    } else if (is(key, "starting_value")) {
      grant.starting_value = read_number(member, here);
    } else if (is(key, "value")) {
      grant.value = read_number(member, here);
    } else if (is(key, "seq")) {
      grant.seq = static_cast<std::uint64_t>(read_count(member, here));
    } else if (is(key, "drawn")) {
      grant.drawn = read_number(member, here);
      has_books = true;
    } else if (is(key, "added")) {
      grant.added = read_number(member, here);
    } else if (is(key, "lost")) {
      grant.lost = read_number(member, here);
    } else if (!read_grant_rule(grant, key, member, here)) {
      keep_unknown(grant.unknown, key, member, here);
    }
  });
  if (!has_books) {
    // A record that kept no books: what is gone was drawn, what is more was added.
    grant.drawn = std::max(0.0, grant.starting_value - grant.value);
    grant.added = std::max(0.0, grant.value - grant.starting_value);
    if (!std::isfinite(grant.drawn) || !std::isfinite(grant.added)) {
      bad(place["value"], "a balance that its books can hold");
    }
  }
  return grant;
}

bool read_cap_switch(Cap& cap, std::string_view key, ondemand::value& value, const Place& place) {
  const auto flag = [&](bool& target) {
    target = maybe_bool(value, place);
    return true;
  };
  if (is(key, "exchangeable")) return flag(cap.exchangeable);
  if (is(key, "overage_only")) return flag(cap.overage_only);
  if (is(key, "ignore_grants")) return flag(cap.ignore_grants);
  if (is(key, "observe_only")) return flag(cap.observe_only);
  if (is(key, "overhead_cost")) return flag(cap.overhead_cost);
  if (is(key, "follow_decrements")) return flag(cap.follow_decrements);
  if (is(key, "hard_trailing")) return flag(cap.hard_trailing);
  if (is(key, "shared")) return flag(cap.shared);
  return read_reset(cap.reset, key, value, place);
}

Cap read_cap(std::string_view id, ondemand::value& value, const Place& place, NameCache& names) {
  Cap cap;
  cap.id = id;
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "id")) {
      if (read_text(member, here) != cap.id) bad(here, "the ID it stands under");
    } else if (is(key, "credit")) {
      cap.credit = names.intern(read_text(member, here));
    } else if (is(key, "value")) {
      cap.value = read_number(member, here);
    } else if (is(key, "meter_value")) {
      cap.meter_value = read_number(member, here);
    } else if (is(key, "shared_with")) {
      cap.shared_with = read_names(member, here, names);
    } else if (is(key, "scope")) {
      cap.scope = read_names(member, here, names);
    } else if (is(key, "started")) {
      cap.started = read_time(member, here);
    } else if (is(key, "created_on")) {
      cap.created_on = read_time(member, here);
    } else if (is(key, "last_reset")) {
      cap.last_reset = maybe_time(member, here);
    } else if (is(key, "expires_on")) {
      cap.expires_on = maybe_time(member, here);
    } else if (is(key, "seq")) {
      cap.seq = static_cast<std::uint64_t>(read_count(member, here));
    } else if (!read_cap_switch(cap, key, member, here)) {
      keep_unknown(cap.unknown, key, member, here);
    }
  });
  return cap;
}

// One that leaves no room for the next numbers nothing.
constexpr std::uint64_t largest_seq = 1'000'000'000'000'000;

// Grants and caps are maps in the text; seq, else created_on, keeps the order they were added in.
template <typename Items>
void put_in_order(Items& items) {
  const bool numbered = std::all_of(items.begin(), items.end(), [](const auto& item) {
    return item.seq != 0 && item.seq < largest_seq;
  });
  std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
    return numbered ? a.seq < b.seq : a.created_on < b.created_on;
  });
  if (numbered) return;
  for (std::size_t i = 0; i < items.size(); ++i) items[i].seq = i + 1;
}

// No field may stand twice: which of the two counts would be a guess.
template <typename Items, typename Id>
void refuse_twice(const Items& items, const Id& id_of, const Place& place) {
  if (items.size() < 2) return;
  using Key = std::remove_cvref_t<decltype(id_of(items.front()))>;
  std::vector<Key> ids;
  for (const auto& item : items) ids.push_back(id_of(item));
  std::sort(ids.begin(), ids.end());
  if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) bad(place, "each name once");
}

void read_state(Customer& customer, std::string_view key, ondemand::value& value,
                const Place& place, NameCache& names) {
  each_member_or_null(value, place, [&](std::string_view name, ondemand::value member) {
    if (is(key, "meters")) {
      const Symbol entitlement = names.intern(name);
      read_meter(customer, entitlement, member, place[names.text(entitlement)], names);
      return;
    }
    const std::string id(name);
    const Place here = place[id];
    CustomerRest& rest = customer.own_rest();
    if (is(key, "overrides")) {
      Override own = read_override(member, here, names);
      own.entitlement = names.intern(id);
      rest.overrides.push_back(std::move(own));
    } else if (is(key, "grants")) {
      rest.grants.push_back(read_grant(id, member, here, names));
    } else {
      rest.caps.push_back(read_cap(id, member, here, names));
    }
  });
}

Room read_room(ondemand::value& value, const Place& place, NameCache& names) {
  Room room;
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const bool of_caps = is(key, "caps");
    if (!of_caps && !is(key, "meters")) bad(place, "meters and caps");
    const Place kind = place[of_caps ? "caps" : "meters"];
    each_member(member, kind, [&](std::string_view name, ondemand::value units) {
      const std::string kept(name);
      const Place here = kind[kept];
      MeterRoom one{.entitlement = of_caps ? Symbol::empty : names.intern(kept)};
      each_member(units, here, [&](std::string_view field, ondemand::value figure) {
        if (is(field, "units")) {
          one.units = read_number(figure, here["units"]);
        } else if (is(field, "started")) {
          one.started = read_time(figure, here["started"]);
        } else {
          bad(here, "units and started");
        }
      });
      if (of_caps) {
        room.caps.push_back({.cap = kept, .started = one.started, .units = one.units});
      } else {
        room.meters.push_back(one);
      }
    });
  });
  return room;
}

Doubt read_doubt(ondemand::value& value, const Place& place, NameCache& names) {
  Doubt doubt;
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "engine")) {
      doubt.engine = read_text(member, here);
    } else if (is(key, "report")) {
      doubt.report = static_cast<std::uint64_t>(read_count(member, here));
    } else if (is(key, "room")) {
      doubt.room = read_room(member, here, names);
    } else if (is(key, "released")) {
      doubt.is_released = read_bool(member, here);
    } else {
      bad(place, "engine, report, room and released");
    }
  });
  if (doubt.engine.empty()) bad(place["engine"], "an engine");
  return doubt;
}

Writer read_writer(ondemand::value& value, const Place& place) {
  Writer writer;
  std::size_t at = 0;
  each_element(value, place, [&](ondemand::value& element) {
    if (at == 0) writer.engine = read_text(element, place);
    if (at == 1) writer.number = static_cast<std::uint64_t>(read_count(element, place));
    ++at;
  });
  if (at != 2) bad(place, "an engine and a number");
  return writer;
}

std::unique_ptr<Cloud> read_cloud(ondemand::value& value, const Place& place, NameCache& names) {
  auto cloud = std::make_unique<Cloud>();
  each_member(value, place, [&](std::string_view key, ondemand::value member) {
    const Place here = place[key];
    if (is(key, "home")) {
      if (is_null(member, here)) return;
      Doubt home = read_doubt(member, here, names);
      if (home.is_released) bad(here["released"], "no release of a home");
      cloud->home = Home{std::move(home.engine), home.report, std::move(home.room)};
    } else if (is(key, "by")) {
      each_element(member, here, [&](ondemand::value& element) {
        cloud->by.push_back(read_writer(element, here));
      });
    } else if (is(key, "free")) {
      cloud->is_free = read_bool(member, here);
    } else if (is(key, "doubts")) {
      each_element(member, here, [&](ondemand::value& element) {
        cloud->doubts.push_back(read_doubt(element, here, names));
      });
    } else {
      keep_unknown(cloud->unknown, key, member, here);
    }
  });
  return cloud;
}

void read_field(Customer& customer, std::string_view key, ondemand::value& value,
                const Place& place, NameCache& names) {
  if (is(key, "id")) {
    customer.id = read_text(value, place);
  } else if (is(key, "plan")) {
    customer.plan = maybe_name(value, place, names);
  } else if (is(key, "type")) {
    customer.type = names.intern(read_text(value, place));
  } else if (is(key, "label")) {
    const std::string_view label = read_text(value, place);
    if (label != customer.more().label) customer.own_rest().label = label;
  } else if (is(key, "refs") || is(key, "alt_ids")) {
    std::vector<std::string> ids = read_ids(value, place);
    if (ids.empty()) return;
    const bool has_empty = std::any_of(ids.begin(), ids.end(), std::mem_fn(&std::string::empty));
    if (is(key, "alt_ids") && has_empty) bad(place, "alternate IDs that are not empty");
    (is(key, "refs") ? customer.own_rest().refs : customer.own_rest().alt_ids) = std::move(ids);
  } else if (is(key, "meters") || is(key, "overrides") || is(key, "grants") || is(key, "caps")) {
    read_state(customer, key, value, place, names);
  } else if (is(key, "metadata")) {
    if (is_null(value, place)) return;
    if (value.type() != ondemand::json_type::object) bad(place, "an object or null");
    customer.own_rest().metadata = read_json(value, place);
  } else if (is(key, "cloud")) {
    if (!is_null(value, place)) customer.cloud = read_cloud(value, place, names);
  } else if (is(key, "format")) {
    const double format = read_number(value, place);
    if (format != record_format)
      bad(place, fmt::format("format {}, not {}", record_format, format));
  } else {
    keep_unknown(customer.own_rest().unknown, key, value, place);
  }
}

// `usual`: how many meters the customer before had, as this one likely has; then how many it had.
Customer read_customer_value(ondemand::value& value, NameCache& names, std::size_t& usual) {
  const Place root;
  Customer customer;
  constexpr std::size_t most_likely = 64;
  customer.meters.reserve(std::min(usual, most_likely));
  customer.type = names.intern("user");
  each_member(value, root, [&](std::string_view key, ondemand::value member) {
    read_field(customer, key, member, root[key], names);
  });
  if (customer.id.empty()) bad(root["id"], "an ID");
  const auto entitlement_of = [](const auto& item) { return item.entitlement; };
  refuse_twice(customer.meters, entitlement_of, root["meters"]);
  const auto id_of = [](const auto& item) -> std::string_view { return item.id; };
  for (const MeterExtra& extra : customer.more().extras) {
    const auto segment_of = [](const EstimateStats& stats) {
      return std::string_view(stats.segment);
    };
    const Place meters = root["meters"];
    const Place meter = meters[names.text(extra.entitlement)];
    refuse_twice(extra.holds, id_of, meter["holds"]);
    refuse_twice(extra.estimates, segment_of, meter["estimates"]);
  }
  usual = customer.meters.size();
  customer.meters.shrink_to_fit();
  if (customer.rest) {
    CustomerRest& rest = *customer.rest;
    refuse_twice(rest.overrides, entitlement_of, root["overrides"]);
    refuse_twice(rest.grants, id_of, root["grants"]);
    refuse_twice(rest.caps, id_of, root["caps"]);
    put_in_order(rest.grants);
    put_in_order(rest.caps);
  }
  return customer;
}

ExportedRequest read_exported_request(ondemand::value& value) {
  const Place root;
  ExportedRequest read;
  each_member(value, root, [&](std::string_view key, ondemand::value member) {
    const Place here = root[key];
    if (is(key, "customer")) {
      read.customer = read_text(member, here);
    } else if (is(key, "request")) {
      read.request.id = read_text(member, here);
    } else if (is(key, "fingerprint")) {
      read.request.fingerprint =
          std::strtoull(std::string(read_text(member, here)).c_str(), nullptr, 16);
    } else if (is(key, "answer")) {
      read.request.answer = std::string(std::string_view(simdjson::to_json_string(member)));
    } else if (is(key, "at")) {
      read.request.at = read_time(member, here);
    }
  });
  // It is written again as it stands: what is none would break the text around it.
  if (!is_answer(read.request.answer)) bad(root["answer"], "the answer of a call");
  return read;
}

}  // namespace

bool is_answer(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_boolean() || json.is_string()) return true;
  return json.is_object() && (!json.contains("allowed") || decision_from_json(text).ok());
}

// Calls `read` with the text's value, an object, and sees that nothing stands behind it.
template <typename T, typename Read>
Result<T> RecordReader::read_whole(std::string_view text, std::string_view kind, const Read& read) {
  try {
    ondemand::document document =
        parser_.iterate(text.data(), text.size(), text.size() + simdjson::SIMDJSON_PADDING);
    // Asked first: a scalar cannot be had as a value.
    if (document.type() != ondemand::json_type::object) {
      return record_invalid(fmt::format("{} must be an object", kind));
    }
    ondemand::value root = document.get_value();
    T value = read(root);
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
      return record_invalid(fmt::format("more text behind {}", kind));
    }
    return value;
  } catch (const BadField& field) {
    return record_invalid(field.message, field.where);
  } catch (const simdjson::simdjson_error& error) {
    return record_invalid(fmt::format("not JSON ({})", error.what()));
  }
}

Result<Customer> RecordReader::read(std::string_view record) {
  return read_whole<Customer>(record, "a record", [&](ondemand::value& value) {
    return read_customer_value(value, names_, meters_);
  });
}

std::optional<std::string> RecordReader::id_of(std::string_view record) {
  try {
    ondemand::document document =
        parser_.iterate(record.data(), record.size(), record.size() + simdjson::SIMDJSON_PADDING);
    return std::string(std::string_view(document.get_object()["id"].get_string()));
  } catch (const simdjson::simdjson_error&) {
    return std::nullopt;
  }
}

Result<EstimateStats> RecordReader::read_estimate(std::string_view segment, std::string_view text) {
  return read_whole<EstimateStats>(text, "an estimate", [&](ondemand::value& value) {
    return state::read_estimate(segment, value, Place());
  });
}

Result<ExportedRequest> RecordReader::read_request(std::string_view text) {
  return read_whole<ExportedRequest>(
      text, "a request", [](ondemand::value& value) { return read_exported_request(value); });
}

Result<Customer> read_customer(std::string_view record, SymbolTable& names) {
  const simdjson::padded_string padded(record);
  return RecordReader(names).read(padded);
}

}  // namespace limitr::state
