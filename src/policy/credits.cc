// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "policy/document_reader.h"
#include "policy/sections.h"

namespace limitr::policy {
namespace {

constexpr std::array<std::pair<std::string_view, PricingModel>, 4> pricing_models = {{
    {"flat", PricingModel::flat},
    {"tiered", PricingModel::tiered},
    {"volume", PricingModel::volume},
    {"stairstep", PricingModel::stairstep},
}};

constexpr double no_bound = std::numeric_limits<double>::infinity();

// A PriceTier: `after` is settled once all are sorted.
std::optional<Band> read_tier(const Place& place, Issues& issues) {
  if (place.node->as_mapping() == nullptr) {
    issues.wrong(place, "Each value within a credit's 'tiers' list must be a PriceTier object");
    return std::nullopt;
  }
  const Fields fields(place, issues);
  const double up_to = fields.number("up_to").value_or(no_bound);
  const bool has_price = fields.find("price").has_value();
  const auto amount = read_price(fields, "price");
  fields.warn_of_typos();
  if (!has_price) {
    issues.breaks_rule(fields.at("price"), "a price tier requires a price ('price' field)");
  }
  if (!amount) return std::nullopt;
  return Band{0, up_to, *amount};
}

// The tiers as bands: by up_to, the unbounded one last and once.
std::vector<Band> read_tiers(const Place& place, std::string_view model, Issues& issues) {
  std::vector<Band> bands;
  const Node::Sequence& tiers = *place.node->as_sequence();
  bool is_whole = true;
  for (std::size_t i = 0; i < tiers.size(); ++i) {
    const auto band = read_tier(place.element(tiers[i], i), issues);
    if (band) bands.push_back(*band);
    is_whole = is_whole && band;
  }
  std::stable_sort(bands.begin(), bands.end(),
                   [](const Band& a, const Band& b) { return a.up_to < b.up_to; });
  const auto unbounded = std::find_if(bands.begin(), bands.end(),
                                      [](const Band& band) { return band.up_to == no_bound; });
  if (unbounded != bands.end()) {
    bands.erase(unbounded + 1, bands.end());
  } else if (is_whole && !bands.empty()) {
    issues.breaks_rule(place,
                       fmt::format("A '{}' credit pricing model requires the last tier in 'tiers' "
                                   "to be up_to null (infinity)",
                                   model));
    bands.back().up_to = no_bound;
  }
  for (std::size_t i = 1; i < bands.size(); ++i) bands[i].after = bands[i - 1].up_to;
  return bands;
}

PriceCurve read_curve(const Fields& fields) {
  PriceCurve curve;
  Issues& issues = fields.issues();
  const std::string model = fields.text_or("pricing_model", "flat");
  const auto known = chosen(pricing_models, model);
  if (known) {
    curve.model = *known;
  } else {
    issues.breaks_rule(fields.at("pricing_model"),
                       fmt::format("'{}' is not a valid credit pricing model - must be 'flat', "
                                   "'tiered', 'volume', or 'stairstep'",
                                   shown(model)));
  }
  const auto amount = read_price(fields, "price");
  const auto tiers = fields.list("tiers");
  if (curve.model == PricingModel::flat) {
    if (known && tiers && !tiers->node->as_sequence()->empty()) {
      issues.warn(tiers->at_key(),
                  "`tiers` are not used by the flat pricing model: set `pricing_model`");
    }
    curve.amount = amount;
    return curve;
  }
  if (const auto price = fields.find("price")) {
    issues.breaks_rule(
        *price, fmt::format("A '{}' credit pricing model requires 'price' to be null", model));
  }
  if (tiers && !tiers->node->as_sequence()->empty()) {
    curve.bands = read_tiers(*tiers, model, issues);
  } else {
    issues.breaks_rule(fields.at("tiers"),
                       fmt::format("A '{}' credit pricing model requires a list of pricing tiers "
                                   "('tiers' field)",
                                   model));
  }
  return curve;
}

}  // namespace

std::optional<double> read_price(const Fields& fields, std::string_view key) {
  const auto place = fields.mapping(key);
  if (!place) return std::nullopt;
  const Fields price(*place, fields.issues());
  price.text("id");
  const auto amount = price.number("amount");
  price.warn_of_typos();
  if (!price.find("amount")) {
    fields.issues().breaks_rule(price.at("amount"), "a price requires an amount ('amount' field)");
  }
  if (!amount || *amount >= 0) return amount;
  fields.issues().breaks_rule(price.at("amount"), "A price cannot have a negative amount");
  return std::nullopt;
}

void read_credits(Making& making, const Place& section) {
  for_each_entry(section, making.issues, [&](const Place& place) {
    const Fields fields(place, making.issues);
    Credit credit;
    credit.name = making.intern(place.key);
    credit.label = fields.text_or("label", "Credit");
    credit.description = fields.text_or("description", "");
    credit.unit = fields.text_or("unit", "credit");
    credit.resets = fields.flag_or("resets", false);
    credit.overhead_fn = fields.text_or("overhead_fn", "");
    making.use_function(credit.overhead_fn);

    const std::string unit = fields.text_or("stof_units", "float");
    if (const auto known = Unit::find(unit)) {
      credit.stof_units = *known;
    } else {
      making.issues.breaks_rule(
          fields.at("stof_units"),
          fmt::format("Credit \"{}\" has invalid units \"{}\"", shown(credit.label), shown(unit)));
    }
    const double cost = fields.number("overhead_cost").value_or(0);
    if (cost >= 0) {
      credit.overhead_cost = cost;
    } else {
      making.issues.breaks_rule(
          fields.at("overhead_cost"),
          fmt::format("Credit \"{}\" cannot have a negative overhead cost", shown(credit.label)));
    }
    credit.price = read_curve(fields);
    fields.warn_of_typos();

    making.units.emplace(place.key, credit.stof_units);
    making.priced.emplace(place.key, credit.price.priced());
    making.policy.credits.push_back(std::move(credit));
  });
}

}  // namespace limitr::policy
