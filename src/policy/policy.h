// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <limitr/json.h>
#include "base/limit.h"
#include "base/quantity.h"
#include "base/symbols.h"
#include "base/text_map.h"

// A policy after it was checked and compiled: immutable, its names interned, its exchange paths
// resolved, and shared by every call until another one takes its place.
namespace limitr::policy {

enum class PricingModel : std::uint8_t { flat, tiered, volume, stairstep };

/// One band of a price curve: (after, up_to], the first from minus infinity.
struct Band {
  double after = 0;
  double up_to = 0;   ///< Infinite in the last one.
  double amount = 0;  ///< Runes: per unit, or for the whole step in stairstep.
};

/// What billable units cost. `priced()` is false where there is no price at all.
struct PriceCurve {
  PricingModel model = PricingModel::flat;
  std::optional<double> amount;  ///< Flat only.
  std::vector<Band> bands;       ///< The other models only; sorted.

  bool priced() const { return model == PricingModel::flat ? amount.has_value() : !bands.empty(); }
};

struct Credit;

/// How units of something convert: times `factor` into `credit`, whose price curve takes them to
/// runes; or, where `credit` is null, straight into runes.
struct ExchangePath {
  double factor = 1;
  const Credit* credit = nullptr;
};

struct Credit {
  Symbol name = Symbol::empty;
  std::string label;
  std::string description;
  std::string unit;
  Unit stof_units;
  bool resets = false;       ///< Informational.
  double overhead_cost = 0;  ///< Runes per unit.
  std::string overhead_fn;   ///< A host function's name, or empty.
  PriceCurve price;
  std::optional<ExchangePath> path = {};  ///< Policy::path() of its name. Set by Policy::index().
};

/// One unit of `name` is `value` units of `currency`.
struct ExchangePair {
  Symbol name = Symbol::empty;
  Symbol currency = Symbol::empty;
  double value = 1;
  std::string value_fn;  ///< A host function's name, or empty.
};

enum class GrantStrategy : std::uint8_t { expires_first, cheapest_first, valuable_first };
enum class PlanPeriod : std::uint8_t { monthly, yearly, weekly, daily };

std::string_view to_string(PlanPeriod period);
std::string_view to_string(PricingModel model);
std::string_view to_string(GrantStrategy strategy);

struct Topup {
  Symbol name = Symbol::empty;
  Symbol credit = Symbol::empty;
  double value = 0;           ///< A new grant's balance, in the credit's unit.
  double starting_value = 0;  ///< The same before "int" cuts it; what resets give.
  bool included = false;
  std::vector<Symbol> included_scopes;  ///< Customer types; empty means all.
  Reset reset;
  ResetMode reset_mode = ResetMode::hard;
  MaybeAmount rollover_min;
  MaybeAmount rollover_max;
  MaybeAmount rollover_pct;
  MaybeAmount max_balance;
  std::optional<Millis> expires_after;
  std::optional<std::uint32_t> reset_catchup_cap;

  bool is_for(Symbol customer_type) const;
};

struct Entitlement {
  Symbol name = Symbol::empty;
  std::string description;
  bool hidden = false;
  Symbol scope = Symbol::empty;  ///< A customer type, or empty.
  std::optional<Limit> limit;    ///< None: a feature flag.
  std::string estimate_basis;    ///< The name of an event data field, or empty.
  std::string estimate_segment;  ///< Likewise.
  std::vector<Symbol> renamed_from;
};

struct Plan {
  Symbol name = Symbol::empty;
  std::string label;
  bool is_default = false;
  bool hidden = false;
  PlanPeriod period = PlanPeriod::monthly;
  Symbol subscription = Symbol::empty;
  std::optional<Millis> trial_period;
  std::vector<Entitlement> entitlements;  ///< In the order of the document.
  std::vector<Topup> topups;              ///< Likewise.

  const Entitlement* find(std::string_view entitlement) const {
    if (texts.size() > few_names) return find_hashed(entitlement);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i] == entitlement) return &entitlements[i];
    }
    return nullptr;
  }
  const Entitlement* find(Symbol entitlement) const {
    if (names.size() > few_names) return find_hashed(entitlement);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == entitlement) return &entitlements[i];
    }
    return nullptr;
  }
  const Topup* find_topup(Symbol topup) const;
  /// Whether an entitlement has that name, or had it before and `takes_over(its name today)`.
  bool names_entitlement(Symbol entitlement, const std::function<bool(Symbol)>& takes_over) const;

  std::vector<Symbol> names;                             ///< Of entitlements, one by one.
  std::vector<std::string_view> texts;                   ///< The same, in the table of names.
  TextMap<std::uint32_t> by_text;                        ///< Into entitlements.
  absl::flat_hash_map<Symbol, std::uint32_t> by_symbol;  ///< Likewise.

private:
  // Plans are small as a rule: then comparing names beats hashing one.
  static constexpr std::size_t few_names = 16;
  const Entitlement* find_hashed(std::string_view entitlement) const;
  const Entitlement* find_hashed(Symbol entitlement) const;
};

/// A rule that sends picked events again under its own name. spec: events.md, Notifications
struct Notification {
  std::string name;
  std::vector<std::string> events;
  std::string fn;         ///< A host function's name, or empty.
  std::string condition;  ///< Kept as written; not evaluated.
};

class Policy {
public:
  std::shared_ptr<SymbolTable> names;
  std::vector<Credit> credits;
  std::vector<ExchangePair> pairs;  ///< `usd` included.
  std::vector<Plan> plans;          ///< In the order of the document.
  std::vector<Notification> notifications;
  GrantStrategy grant_strategy = GrantStrategy::expires_first;
  std::uint32_t estimate_min_samples = 5;
  Millis hold_ttl = std::chrono::minutes(10);
  Millis request_window = std::chrono::hours(24);
  std::uint32_t request_limit = 1000;
  Symbol rune = Symbol::empty;              ///< The base currency's name.
  Json document;                            ///< The whole document, `policy` at its root.
  std::vector<std::string> host_functions;  ///< Every host function the document names, once.

  bool has_renames = false;  ///< Some entitlement has `renamed_from`. Set by index().

  /// Null where there is none of that name.
  const Plan* plan(Symbol name) const { return at(plans, plan_index_, name); }
  const Plan* plan(std::string_view name) const { return plan(names->find(name)); }
  const Credit* credit(Symbol name) const { return at(credits, credit_index_, name); }
  const Credit* credit(std::string_view name) const { return credit(names->find(name)); }
  const ExchangePair* pair(Symbol name) const { return at(pairs, pair_index_, name); }
  /// The first plan marked `default`, or null.
  const Plan* default_plan() const { return default_plan_; }
  /// Whether `name` can be a cap's credit: rune, a credit or a currency.
  bool is_currency(Symbol name) const { return name == rune || credit(name) || pair(name); }
  std::string_view text(Symbol name) const { return names->text(name); }

  /// Follows the exchange pairs from `name` to rune, or to a priced credit without a pair. None:
  /// a loop or a dead end, not convertible. `rates`, when given, holds a rate for each of `pairs`
  /// in place of its own value. spec: pricing.md, Exchange
  std::optional<ExchangePath> path(Symbol name, std::span<const double> rates = {}) const;

  /// Builds the indexes, after the vectors are complete. Called once, by the compiler.
  void index();

private:
  // By symbol: one more than the item's number, 0 for none. A load instead of a hash, since every
  // call asks for its plan and credit.
  using Index = std::vector<std::uint32_t>;

  template <typename T>
  static const T* at(const std::vector<T>& items, const Index& index, Symbol name) {
    const auto i = static_cast<std::size_t>(name);
    return i < index.size() && index[i] != 0 ? &items[index[i] - 1] : nullptr;
  }
  static void put(Index& index, Symbol name, std::size_t number);

  Index plan_index_;
  Index credit_index_;
  Index pair_index_;
  const Plan* default_plan_ = nullptr;
};

}  // namespace limitr::policy
