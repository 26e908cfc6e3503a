// SPDX-License-Identifier: Apache-2.0
#include "server/in_doubt.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "open/open_store.h"
#include "state/cloud.h"
#include "state/customer.h"
#include "state/record.h"

namespace limitr::server {
namespace {

using store::StoredCustomer;

constexpr std::size_t page_rows = 250;
constexpr std::size_t most_engines = 10'000;
constexpr int most_tries = 20;
constexpr std::size_t default_limit = 100;
constexpr double most_limit = 1'000;

/// Where the text goes on after these, which nothing but spaces may stand between; npos: it does
/// not.
std::size_t after_tokens(std::string_view text, std::size_t at,
                         std::initializer_list<std::string_view> tokens) {
  for (const std::string_view token : tokens) {
    at = text.find_first_not_of(" \t\r\n", at);
    if (at == std::string_view::npos || !text.substr(at).starts_with(token)) {
      return std::string_view::npos;
    }
    at += token.size();
  }
  return at;
}

/// Where members of that name go on after these tokens, anywhere in the text.
std::vector<std::size_t> after_members(std::string_view text, std::string_view name,
                                       std::initializer_list<std::string_view> tokens) {
  std::vector<std::size_t> ends;
  for (std::size_t at = text.find(name); at != std::string_view::npos;
       at = text.find(name, at + 1)) {
    const std::size_t end = after_tokens(text, at + name.size(), tokens);
    if (end != std::string_view::npos) ends.push_back(end);
  }
  return ends;
}

// Most records are not read: their text tells that there is nothing to see. What says the same
// elsewhere, in metadata for instance, is only looked at in vain.
bool has_doubts(std::string_view record) {
  return !after_members(record, R"("doubts")", {":", "[", "{"}).empty();
}

std::vector<std::string_view> homes_in(std::string_view record) {
  std::vector<std::string_view> homes;
  for (const std::size_t at :
       after_members(record, R"("home")", {":", "{", R"("engine")", ":", "\""})) {
    homes.push_back(record.substr(at, record.find('"', at) - at));
  }
  return homes;
}

Error no_customer(const std::string& id) {
  return {.code = ErrorCode::invalid_argument,
          .message = fmt::format("there is no customer `{}`", id)};
}

Result<StoredCustomer> read_one(Rows& rows, const std::string& id) {
  auto found = rows.read({&id, 1});
  if (!found.ok()) return std::move(found).error();
  if (found->empty()) return no_customer(id);
  if (found->front().record.empty() && found->front().damage) return *found->front().damage;
  return std::move(found->front());
}

/// A customer with names of its own.
struct Known {
  SymbolTable names;
  state::Customer customer;

  static Result<std::unique_ptr<Known>> of(const StoredCustomer& row) {
    auto known = std::make_unique<Known>();
    auto read = state::read_customer(row.record, known->names);
    if (!read.ok()) {
      Error error = std::move(read).error();
      error.message = fmt::format("`{}` cannot be read: {}", row.id, error.message);
      return error;
    }
    known->customer = *std::move(read);
    state::drop_past_doubts(known->customer);
    return known;
  }
  std::string home() const {
    return customer.cloud && customer.cloud->home ? customer.cloud->home->engine : "";
  }
};

Json json_of(const state::Room& room, const SymbolTable& names) {
  Json meters = Json::object();
  Json caps = Json::object();
  for (const state::MeterRoom& one : room.meters) {
    meters[std::string(names.text(one.entitlement))] = {{"units", one.units},
                                                        {"started", to_ms(one.started)}};
  }
  for (const state::CapRoom& one : room.caps) {
    caps[one.cap] = {{"units", one.units}, {"started", to_ms(one.started)}};
  }
  return {{"meters", std::move(meters)}, {"caps", std::move(caps)}};
}

/// Sums over entries by meter and cap: those that are released, or those that are not.
Json sums_of(const Known& known, bool is_released) {
  Json meters = Json::object();
  Json caps = Json::object();
  for (const state::Doubt& doubt : known.customer.cloud->doubts) {
    if (doubt.is_released != is_released) continue;
    for (const state::MeterRoom& one : doubt.room.meters) {
      meters[std::string(known.names.text(one.entitlement))] =
          is_released ? state::released(known.customer, one.entitlement)
                      : state::doubted(known.customer, one.entitlement, false);
    }
    for (const state::CapRoom& one : doubt.room.caps) {
      caps[one.cap] = is_released ? state::released_of_cap(known.customer, one.cap)
                                  : state::doubted_of_cap(known.customer, one.cap, false);
    }
  }
  return {{"meters", std::move(meters)}, {"caps", std::move(caps)}};
}

/// Null: nothing is in doubt of it, and nothing was released.
Json list_one(const StoredCustomer& row, const IsLost& is_lost, std::size_t engines_away) {
  const auto known = Known::of(row);
  if (!known.ok()) return {{"id", row.id}, {"error", known.error().to_string()}};
  state::Customer& customer = (*known)->customer;
  const std::string home = (*known)->home();
  const bool is_home_lost = !home.empty() && is_lost(home);
  if (is_home_lost) state::lose_home(customer);
  if (!customer.cloud || customer.cloud->doubts.empty()) return nullptr;
  Json entries = Json::array();
  const state::Doubt& last = customer.cloud->doubts.back();
  for (const state::Doubt& doubt : customer.cloud->doubts) {
    entries.push_back({{"engine", doubt.engine},
                       {"report", doubt.report},
                       {"released", doubt.is_released},
                       {"home", is_home_lost && &doubt == &last},
                       {"room", json_of(doubt.room, (*known)->names)}});
  }
  Json exposure = sums_of(**known, /*is_released=*/true);
  exposure["engines"] = engines_away;
  return {{"id", row.id},
          {"in_doubt", sums_of(**known, /*is_released=*/false)},
          {"entries", std::move(entries)},
          {"exposure", std::move(exposure)}};
}

/// What takes the place of the row.
store::Transaction replacing(const StoredCustomer& row, const Known& known) {
  store::CustomerWrite write;
  write.id = row.id;
  write.record = state::to_record(known.customer, known.names);
  if (known.customer.rest) write.alt_ids = known.customer.rest->alt_ids;
  if (!row.requests.empty()) write.first_request = row.requests.front().number;
  return {.number = 0,
          .parts = {{.id = row.id, .version = row.version, .write = std::move(write)}}};
}

InDoubtFigures::Units units_of(const state::Customer& customer, const state::Room& room) {
  InDoubtFigures::Units units;
  for (const state::MeterRoom& one : room.meters) {
    if (state::is_present(customer, one)) units.meters += one.units;
  }
  for (const state::CapRoom& one : room.caps) {
    if (state::is_present(customer, one)) units.caps += one.units;
  }
  return units;
}

std::vector<std::string> unreleased(const state::Cloud& cloud, const std::string& engine) {
  std::vector<std::string> engines;
  for (const state::Doubt& doubt : cloud.doubts) {
    if (!doubt.is_released && (engine.empty() || doubt.engine == engine)) {
      engines.push_back(doubt.engine);
    }
  }
  return engines;
}

/// In the record; none of the engines: there was nothing to release.
Released release(state::Customer& customer, const std::string& engine, const std::string& lost) {
  Released released{.customer = customer.id, .engines = {}};
  if (!customer.cloud) return released;
  state::Cloud& cloud = *customer.cloud;
  // The word of the operator, or the server, that this engine is lost.
  if (cloud.home && cloud.home->engine == (engine.empty() ? lost : engine)) {
    state::lose_home(customer);
  }
  released.engines = unreleased(cloud, engine);
  if (released.engines.empty()) return released;
  state::release_doubts(customer, engine);
  // Whoever replaces a version ends the stay of its home.
  if (cloud.home) {
    released.interrupted = cloud.home->engine;
    state::lose_home(customer);
  }
  return released;
}

}  // namespace

Result<DoubtfulRows> read_doubtful(Rows& rows, const std::string& after, bool with_homes) {
  auto page = rows.scan(after, page_rows);
  if (!page.ok()) return std::move(page).error();
  DoubtfulRows doubtful{.rows = {}, .after = after, .has_more = page->has_more};
  for (StoredCustomer& row : page->rows) {
    doubtful.after = row.id;
    if (has_doubts(row.record) || (with_homes && !homes_in(row.record).empty())) {
      doubtful.rows.push_back(std::move(row));
    }
  }
  return doubtful;
}

Result<DoubtfulRows> read_doubtful_of(Rows& rows, const std::string& customer) {
  auto row = read_one(rows, customer);
  if (!row.ok()) return std::move(row).error();
  DoubtfulRows doubtful;
  doubtful.rows.push_back(*std::move(row));
  return doubtful;
}

std::vector<std::string> homes_in(const DoubtfulRows& page) {
  std::set<std::string_view> homes;
  for (const StoredCustomer& row : page.rows) {
    for (const std::string_view home : homes_in(row.record)) homes.insert(home);
  }
  return {homes.begin(), homes.end()};
}

Json list_in_doubt(const DoubtfulRows& page, const IsLost& is_lost, const ListOptions& options) {
  Json customers = Json::array();
  std::string after = page.after;
  bool has_more = page.has_more;
  for (const StoredCustomer& row : page.rows) {
    Json one = list_one(row, is_lost, options.engines_away);
    if (one.is_null()) continue;
    if (customers.size() == options.limit) {
      has_more = true;
      after = customers.back()["id"];
      break;
    }
    customers.push_back(std::move(one));
  }
  Json value = {{"customers", std::move(customers)}, {"more", has_more}};
  if (has_more) value["after"] = after;
  return value;
}

Json json_of(const Released& released) {
  return {{"customer", released.customer},
          {"released", released.engines.size()},
          {"engines", released.engines}};
}

Result<std::string> home_of(Rows& rows, const std::string& customer) {
  const auto row = read_one(rows, customer);
  if (!row.ok()) return row.error();
  const auto known = Known::of(*row);
  if (!known.ok()) return known.error();
  return (*known)->home();
}

Result<Released> release_in_doubt(Rows& rows, const std::string& customer,
                                  const std::string& engine, const std::string& lost) {
  for (int tried = 0; tried < most_tries; ++tried) {
    const auto row = read_one(rows, customer);
    if (!row.ok()) return row.error();
    const auto known = Known::of(*row);
    if (!known.ok()) return known.error();
    Released released = release((*known)->customer, engine, lost);
    if (released.engines.empty()) return released;
    auto exchanged = rows.exchange({replacing(*row, **known)});
    if (!exchanged.ok()) return std::move(exchanged).error();
    if (exchanged->front().failure) return *exchanged->front().failure;
    if (exchanged->front().is_written) return released;
  }
  return Error{.code = ErrorCode::store_unavailable,
               .message = fmt::format("`{}` changes all the time, and nothing was released: try "
                                      "again",
                                      customer)};
}

Result<Json> run_in_doubt(const std::string& store_url, const store::Owner& owner,
                          std::string_view what, const Json& args) {
  auto store = store_at(store_url);
  if (!store.ok()) return std::move(store).error();
  const bool is_list = what == "in_doubt_list";
  Rows rows(*std::move(store), is_list ? store::Access::read : access_to(store_url), owner);
  if (auto opened = rows.open(); !opened.ok()) return std::move(opened).error();
  auto done = [&]() -> Result<Json> {
    const std::string customer = text_in(args, "customer");
    if (is_list) {
      auto page = customer.empty() ? read_doubtful(rows, text_in(args, "after"), false)
                                   : read_doubtful_of(rows, customer);
      if (!page.ok()) return std::move(page).error();
      return list_in_doubt(*page, nobody_is_lost, {.limit = limit_of(args)});
    }
    const auto released = release_in_doubt(rows, customer, text_in(args, "engine"), "");
    if (!released.ok()) return released.error();
    return json_of(*released);
  }();
  if (auto closed = rows.close(); !closed.ok() && done.ok()) return std::move(closed).error();
  return done;
}

std::string text_in(const Json& args, const char* name) {
  const auto found = args.find(name);
  return found != args.end() && found->is_string() ? found->get<std::string>() : "";
}

std::size_t limit_of(const Json& args) {
  const auto found = args.find("limit");
  if (found == args.end() || !found->is_number()) return default_limit;
  return static_cast<std::size_t>(std::clamp(found->get<double>(), 1.0, most_limit));
}

void InDoubtFigures::add(const DoubtfulRows& page) {
  for (const StoredCustomer& row : page.rows) {
    const auto known = Known::of(row);
    if (!known.ok() || !(*known)->customer.cloud) continue;
    bool is_in_doubt = false;
    for (const state::Doubt& doubt : (*known)->customer.cloud->doubts) {
      const Units sum = units_of((*known)->customer, doubt.room);
      (doubt.is_released ? released : units) += sum;
      if (doubt.is_released) continue;
      is_in_doubt = true;
      if (engines.size() >= most_engines && !engines.contains(doubt.engine)) continue;
      engines[doubt.engine] += sum;
    }
    customers += is_in_doubt ? 1 : 0;
  }
}

Json json_of(const InDoubtFigures::Units& units) {
  return {{"meters", units.meters}, {"caps", units.caps}};
}

}  // namespace limitr::server
