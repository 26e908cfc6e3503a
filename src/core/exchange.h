// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "policy/policy.h"

namespace limitr::core {

/// Converts between credits, currencies and runes under one policy. Cheap to make.
/// spec: pricing.md, Exchange
class Exchange {
public:
  /// `rates`, when given, holds a rate for each of the policy's pairs, from the host.
  explicit Exchange(const policy::Policy& policy, std::span<const double> rates = {})
      : policy_(policy), rates_(rates) {}

  bool convertible(Symbol name) const { return path(name).has_value(); }
  bool convertible(const policy::Credit& credit) const {
    return rates_.empty() ? credit.path.has_value() : path(credit.name).has_value();
  }

  /// What `units` of `name` from position `from` are worth; none: no path to runes.
  std::optional<double> to_runes(double units, Symbol name, double from = 0) const;
  /// The units of `name` that `runes` are worth from position `from`, at most
  /// amount::unbounded; none: no path, or no answer.
  std::optional<double> from_runes(double runes, Symbol name, double from = 0) const;
  /// `units` of `from` in `to`; themselves where the two are the same.
  std::optional<double> convert(double units, Symbol from, Symbol to) const;

private:
  std::optional<policy::ExchangePath> path(Symbol name) const {
    if (rates_.empty()) {
      if (const policy::Credit* credit = policy_.credit(name)) return credit->path;
    }
    return policy_.path(name, rates_);
  }

  const policy::Policy& policy_;
  std::span<const double> rates_;
};

}  // namespace limitr::core
