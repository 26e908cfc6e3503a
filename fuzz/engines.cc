// SPDX-License-Identifier: Apache-2.0
#include "engines.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <simdjson.h>

#include "fuzz.h"
#include "state/record.h"

namespace limitr::fuzz {
namespace {

/// What an export has beside the records, its requests in an order that does not depend on which
/// customer an engine happens to write first.
Json beside_records(const std::string& exported) {
  simdjson::ondemand::parser parser;
  const simdjson::padded_string padded(exported);
  simdjson::ondemand::document document = parser.iterate(padded);
  Json beside;
  for (auto field : document.get_object()) {
    const std::string name(std::string_view(field.unescaped_key()));
    const std::string_view text = simdjson::to_json_string(field.value());
    if (name == "customers") continue;
    beside[name] = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    require(!beside[name].is_discarded(), "an export is JSON", exported);
  }
  std::sort(beside["requests"].begin(), beside["requests"].end());
  return beside;
}

bool is_same(const state::Customer& a, const state::Customer& b) {
  const state::CustomerRest& rest = a.more();
  const state::CustomerRest& other = b.more();
  return a.id == b.id && a.plan == b.plan && a.type == b.type && a.meters == b.meters &&
         rest.label == other.label && rest.refs == other.refs && rest.alt_ids == other.alt_ids &&
         rest.extras == other.extras && rest.overrides == other.overrides &&
         rest.grants == other.grants && rest.caps == other.caps &&
         rest.metadata == other.metadata && rest.unknown == other.unknown;
}

void require_loaded(const Result<LoadReport>& report, std::size_t records, std::string_view text) {
  require(report.ok(), "what is saved can be loaded", text);
  for (const auto& [id, error] : report->refused) {
    require(false, "no record that was saved is refused", id + ": " + error.to_string());
  }
  require(report->loaded == records, "each record that was saved is loaded", text);
}

void require_meter(const Json& meter, std::string_view record) {
  require(meter["value"].is_number() && meter["started"].is_number(),
          "a meter has a value and a start", record);
  for (const Json& entry : meter["history"]) {
    require(entry["delta"].is_number(), "a history has numbers", record);
  }
}

void require_books(const Json& grant, std::string_view record) {
  const auto number = [&](const char* name) {
    require(grant[name].is_number(), "a grant's books are numbers", record);
    return grant[name].get<double>();
  };
  const double came = number("starting_value") + number("added");
  const double went = number("value") + number("drawn") + number("lost");
  // Sums of numbers that large have no decimals left that could agree.
  const double size = std::fabs(number("added")) + std::fabs(number("lost"));
  if (size > 1e9) return;
  require(std::fabs(came - went) < 1e-6, "a grant's books balance", record);
}

}  // namespace

SymbolTable& shared_names() {
  // Names are never removed, so now and then it is a new one.
  constexpr int inputs = 1000;
  static std::unique_ptr<SymbolTable> names;
  static int served = 0;
  if (names == nullptr || ++served == inputs) {
    names = std::make_unique<SymbolTable>();
    served = 0;
  }
  return *names;
}

void require_record(const state::Customer& customer, SymbolTable& names) {
  const std::string written = state::to_record(customer, names);
  require(Json::accept(written), "a record is written as JSON", written);
  const Result<state::Customer> again = state::read_customer(written, names);
  require(again.ok(), "what is written can be read", written);
  require(is_same(*again, customer), "a customer reads back as it was", written);
  require(state::to_record(*again, names) == written, "a record has one form", written);
}

Options quiet_options(std::shared_ptr<const Clock> clock, Format format) {
  Options options;
  options.format = format;
  options.clock = std::move(clock);
  options.log = [](std::string_view) {};
  return options;
}

std::map<std::string, std::string> records_of(std::string_view snapshot) {
  std::map<std::string, std::string> records;
  simdjson::ondemand::parser parser;
  const simdjson::padded_string padded(snapshot);
  simdjson::ondemand::document document = parser.iterate(padded);
  for (auto field : document.get_object()) {
    std::string id(std::string_view(field.unescaped_key()));
    std::string record(std::string_view(simdjson::to_json_string(field.value())));
    require(records.emplace(std::move(id), std::move(record)).second, "a customer is saved once",
            snapshot);
  }
  return records;
}

void require_restorable(Limitr& limitr, Limitr& fresh) {
  const std::string saved = limitr.customers().value();
  const auto records = records_of(saved);
  require_loaded(fresh.load_customers(saved), records.size(), saved);
  require(records_of(fresh.customers().value()) == records, "a loaded customer is the same", saved);

  const std::string exported = limitr.export_state().value();
  require_loaded(fresh.load_customers(exported), records.size(), exported);
  require(records_of(fresh.customers().value()) == records, "an export has the same customers",
          exported);
  require(beside_records(fresh.export_state().value()) == beside_records(exported),
          "an export has the same requests and estimates", exported);
}

void require_sound(Limitr& limitr) {
  for (const auto& [id, record] : records_of(limitr.customers().value())) {
    const Json customer = Json::parse(record, nullptr, /*allow_exceptions=*/false);
    require(customer.is_object(), "a record is JSON", record);
    for (const Json& meter : customer["meters"]) require_meter(meter, record);
    for (const Json& grant : customer["grants"]) require_books(grant, record);
  }
}

}  // namespace limitr::fuzz
