// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "policy/document_reader.h"
#include "policy/sections.h"

namespace limitr::policy {
namespace {

constexpr std::string_view rune = "rune";
constexpr std::string_view usd = "usd";

constexpr std::array<std::pair<std::string_view, GrantStrategy>, 3> grant_strategies = {{
    {"expires_first", GrantStrategy::expires_first},
    {"cheapest_first", GrantStrategy::cheapest_first},
    {"valuable_first", GrantStrategy::valuable_first},
}};

void read_strategy(Making& making, const Fields& fields) {
  const auto name = fields.text("grant_strategy");
  if (!name) return;
  if (const auto strategy = chosen(grant_strategies, *name)) {
    making.policy.grant_strategy = *strategy;
    return;
  }
  making.issues.breaks_rule(fields.at("grant_strategy"),
                            fmt::format("Exchange grant strategy cannot be \"{}\" - only "
                                        "'expires_first', 'cheapest_first', or 'valuable_first'",
                                        shown(*name)));
}

std::optional<ExchangePair> read_pair(Making& making, const Place& place) {
  const Fields fields(place, making.issues);
  ExchangePair pair;
  pair.name = making.intern(place.key);
  pair.value_fn = fields.text_or("value_fn", "");
  making.use_function(pair.value_fn);
  const double value = fields.number("value").value_or(1);
  if (value >= 0) {
    pair.value = value;
  } else {
    making.issues.breaks_rule(fields.at("value"),
                              "Credit exchange mapping cannot have a negative value");
  }
  const std::string currency = fields.text_or("currency", usd);
  fields.warn_of_typos();
  if (place.key == rune) {
    making.issues.breaks_rule(place, "`rune` is the base of every exchange and cannot be a pair");
    return std::nullopt;
  }
  if (currency.empty()) {
    making.issues.breaks_rule(fields.at("currency"),
                              "Credit exchange mapping must contain a valid currency");
    return std::nullopt;
  }
  pair.currency = making.intern(currency);
  return pair;
}

// Which pairs reach runes: each is looked at once, however long the chains are.
class Reach {
public:
  explicit Reach(const Making& making) : making_(making) {
    const std::vector<ExchangePair>& pairs = making.policy.pairs;
    for (std::size_t i = 0; i < pairs.size(); ++i) by_name_.emplace(pairs[i].name, i);
    states_.resize(pairs.size(), State::unknown);
  }

  bool is_broken(std::size_t pair) {
    if (states_[pair] == State::unknown) settle(pair);
    return states_[pair] == State::broken;
  }

private:
  enum class State : std::uint8_t { unknown, reaches, broken };

  void settle(std::size_t pair) {
    std::vector<std::size_t> chain;
    State end = State::unknown;
    while (end == State::unknown) {
      // Until it is settled, a pair on the chain counts as broken: meeting it again is a loop.
      states_[pair] = State::broken;
      chain.push_back(pair);
      const Symbol currency = making_.policy.pairs[pair].currency;
      const auto next = by_name_.find(currency);
      if (next == by_name_.end()) {
        end = is_base(making_.policy.names->text(currency)) ? State::reaches : State::broken;
      } else {
        pair = next->second;
        end = states_[pair];
      }
    }
    for (const std::size_t passed : chain) states_[passed] = end;
  }

  bool is_base(std::string_view currency) const {
    if (currency == rune) return true;
    const auto credit = making_.priced.find(currency);
    return credit != making_.priced.end() && credit->second;
  }

  const Making& making_;
  absl::flat_hash_map<Symbol, std::size_t> by_name_;
  std::vector<State> states_;
};

}  // namespace

void read_exchange(Making& making, const Place& section) {
  read_strategy(making, Fields(section, making.issues));
  std::vector<Place> places;
  std::vector<ExchangePair>& pairs = making.policy.pairs;
  const auto read = [&](const Place& place) {
    if (auto pair = read_pair(making, place)) {
      pairs.push_back(*std::move(pair));
      places.push_back(place);
    }
  };
  for_each_entry(section, making.issues, read, "grant_strategy");
  const Symbol usd_name = making.intern(usd);
  const auto is_usd = [&](const ExchangePair& pair) { return pair.name == usd_name; };
  if (std::none_of(pairs.begin(), pairs.end(), is_usd)) {
    pairs.push_back({usd_name, making.policy.rune, 1, {}});
  }
  Reach reach(making);
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!reach.is_broken(i)) continue;
    making.issues.breaks_rule(
        places[i],
        fmt::format("Credit \"{}\" exchange \"{}\" currency does not map to Limitr runes (broken "
                    "conversions)",
                    shown(places[i].key), shown(making.policy.text(pairs[i].currency))));
  }
}

}  // namespace limitr::policy
